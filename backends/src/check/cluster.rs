//! What the API server knows: whether agents may do what they do, whether one leads, whether all that is
//! asked for is announced, and how kube-proxy is set up.

use k8s_openapi::{
    api::{
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        core::v1::ConfigMap,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};
use porter_core::{Announcement, Observer};

use super::Finding;
use crate::{kube::Look, view::Leader};

/// How kube-proxy is told to behave, as kubeadm installs it.
const PROXY_NAMESPACE: &str = "kube-system";
const PROXY_CONFIG: &str = "kube-proxy";

/// What a user has to be allowed to do.
#[derive(Clone, Debug)]
pub struct Rights {
    /// Who: `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// What, each with one verb and one resource.
    pub needed: Vec<ResourceAttributes>,
}

/// Looks at a cluster whose objects were looked at, and whose Lease somebody may hold.
pub async fn cluster(look: &Look, leader: &Leader, rights: &Rights) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("Eip", "the API server knows the kind")];
    findings.push(may(look.client(), rights).await);
    findings.push(match leader.leads {
        true => Finding::fine("leader", leader.to_string()),
        false => Finding::wrong("leader", leader.to_string()),
    });
    findings.extend(eips(&look.observer));
    findings.extend(services(&look.observer, leader.leads));
    findings.push(proxy(look.client()).await);
    findings
}

/// Whether a user has all the rights it needs.
async fn may(client: &Client, Rights { user, needed }: &Rights) -> Finding {
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let mut lacks = Vec::new();
    for attributes in needed {
        let spec = SubjectAccessReviewSpec {
            user: Some(user.clone()),
            resource_attributes: Some(attributes.clone()),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { metadata: ObjectMeta::default(), spec, status: None };
        match reviews.create(&PostParams::default(), &review).await {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => lacks.push(words(attributes)),
            Err(error) => {
                let why =
                    format!("whether {user} may do what agents do could not be asked: {error}");
                return Finding::unknown("rights", why);
            }
        }
    }
    match lacks.is_empty() {
        true => Finding::fine("rights", format!("{user} may do all that agents do")),
        false => {
            let lacks = lacks.join(", ");
            let remedy = "apply the roles and bindings of deploy/rbac.yaml";
            Finding::wrong("rights", format!("{user} may not {lacks}; {remedy}"))
        }
    }
}

fn words(attributes: &ResourceAttributes) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let ResourceAttributes { verb, resource, subresource, .. } = attributes;
    match subresource {
        Some(subresource) => format!("{} {}/{subresource}", text(verb), text(resource)),
        None => format!("{} {}", text(verb), text(resource)),
    }
}

fn eips(observer: &Observer<'_>) -> Vec<Finding> {
    let mut eips = observer.eips().peekable();
    if eips.peek().is_none() {
        let told = "there is none of layer2, so that nothing can be given; see the guide for one";
        return vec![Finding::doubtful("Eips", told)];
    }
    let (mut served, mut findings) = (0, Vec::new());
    for (name, eip) in eips {
        match &eip.status.ready {
            Some(ready) if ready.met => served += 1,
            Some(ready) => {
                findings.push(Finding::wrong("Eips", format!("{name}: {}", ready.message)));
            }
            None => findings.push(Finding::wrong(
                "Eips",
                format!("{name}: no leader has looked at it; see whether one leads"),
            )),
        }
    }
    if served > 0 {
        findings.insert(0, Finding::fine("Eips", format!("{served} served")));
    }
    findings
}

fn services(observer: &Observer<'_>, led: bool) -> Vec<Finding> {
    let (mut announced, mut findings) = (0, Vec::new());
    for Announcement { service: name, asks, held, announced: said, conflict } in
        observer.announcements()
    {
        if let Err(not_ours) = asks {
            findings.extend(held.iter().map(|(_, address)| {
                let told = format!("{name} gives {address} back when an agent runs: {not_ours}");
                Finding::doubtful("Services", told)
            }));
            continue;
        }
        let conflict = conflict.filter(|conflict| conflict.met);
        if let Some(conflict) = conflict {
            findings.push(Finding::doubtful("Services", format!("{name}: {}", conflict.message)));
        }
        match said {
            Some(said) if said.met => announced += 1,
            Some(said) => {
                findings.push(Finding::wrong("Services", format!("{name}: {}", said.message)))
            }
            None => findings.push(Finding::wrong(
                "Services",
                format!("{name}: no leader has looked at it; see whether one leads"),
            )),
        }
    }
    let announced = match led {
        true => Finding::fine("Services", format!("{announced} announced")),
        false => Finding::doubtful(
            "Services",
            format!("{announced} announced by the record, and none answered while nobody leads"),
        ),
    };
    findings.insert(0, announced);
    findings
}

/// Whether kube-proxy leaves ARP for external addresses alone.
async fn proxy(client: &Client) -> Finding {
    let configs = Api::<ConfigMap>::namespaced(client.clone(), PROXY_NAMESPACE);
    let found = match configs.get_opt(PROXY_CONFIG).await {
        Ok(found) => found.and_then(|config| config.data),
        Err(error) => {
            return Finding::unknown(
                "kube-proxy",
                format!("its ConfigMap could not be read: {error}"),
            );
        }
    };
    let texts: Vec<_> = found.into_iter().flatten().map(|(_, text)| text).collect();
    proxy_says(&texts.concat())
}

fn proxy_says(config: &str) -> Finding {
    let says = |field: &str, value: &str| {
        let lines = config.lines().filter_map(|line| line.trim().split_once(':'));
        let mut values = lines.filter(|(name, _)| *name == field).map(|(_, value)| value.trim());
        values.any(|it| it.trim_matches('"') == value)
    };
    match (says("mode", "ipvs"), says("strictARP", "true")) {
        _ if config.is_empty() => Finding::unknown(
            "kube-proxy",
            "there is no ConfigMap kube-system/kube-proxy; if it runs in IPVS mode, strictARP has to be true",
        ),
        (true, true) => Finding::fine("kube-proxy", "in IPVS mode with strictARP"),
        (true, false) => Finding::wrong(
            "kube-proxy",
            "in IPVS mode without strictARP, every node answers ARP for external addresses itself; set \
             ipvs.strictARP to true in the ConfigMap kube-system/kube-proxy and restart kube-proxy",
        ),
        (false, _) => Finding::fine("kube-proxy", "not in IPVS mode, so that it answers no ARP"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use porter_core::{Eip, Input, Service, ServiceName, Version, keys};

    use super::{super::Verdict, *};

    /// As OpenELB 0.6 leaves it, which knows the protocol by the Eip.
    #[test]
    fn who_holds_an_address_and_asks_for_none_is_told_that_it_gives_it_back() {
        let name = ServiceName::new("default", "web");
        let mut eip = Eip { protocol: Some("layer2".to_owned()), ..Eip::default() };
        let address = IpAddr::from([172, 22, 0, 190]);
        eip.status.used.insert(address, [name.clone()].into_iter().collect());
        let mut service = Service { load_balancer: true, ..Service::default() };
        service.metadata.annotations.insert(keys::LOAD_BALANCER.to_owned(), "openelb".to_owned());
        service.metadata.finalizers.push(keys::SERVICE_FINALIZER.to_owned());
        let mut observer = Observer::new();
        observer.handle_input(Input::Eip("pool".into(), Version(1), Some(eip)));
        observer.handle_input(Input::Service(name, Version(2), Some(service)));

        let findings = services(&observer, true);

        let [announced, returned] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(*announced, Finding::fine("Services", "0 announced"));
        assert_eq!(returned.verdict, Verdict::Doubtful);
        let told = "default/web gives 172.22.0.190 back when an agent runs: it names neither";
        assert!(returned.told.starts_with(told), "{}", returned.told);
    }

    #[test]
    fn kube_proxy_in_ipvs_mode_needs_strict_arp() {
        let verdict = |config: &str| proxy_says(config).verdict;
        assert_eq!(verdict(""), Verdict::Unknown);
        assert_eq!(verdict("mode: iptables\n"), Verdict::Fine);
        assert_eq!(verdict("ipvs:\n  strictARP: false\nmode: \"\"\n"), Verdict::Fine);
        assert_eq!(verdict("ipvs:\n  strictARP: false\nmode: ipvs\n"), Verdict::Wrong);
        assert_eq!(verdict("ipvs:\n  strictARP: true\nmode: \"ipvs\"\n"), Verdict::Fine);
    }
}

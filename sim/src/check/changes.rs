//! A write that takes effect changes something, and nothing that is somebody else's: not a Service
//! that does not ask and carries nothing of ours, no foreign entry of an ingress, no foreign
//! finalizer. And nobody is recorded who could be deleted without giving the address back.

use porter_core::{
    EipChange, EipName, EipStatus, Ingress, MetadataChange, Service, ServiceChange, ServiceName,
    Texts, Version, Write, keys,
};

use super::Violation;
use crate::world::Api;

/// Looks at a write before it is carried out. One that conflicts has no effect.
pub(super) fn check(api: &Api, write: &Write) -> Result<(), Violation> {
    match write {
        Write::Service(name, version, change) => match api.services.get(name) {
            Some((now, service)) if now == version => check_service(name, service, change),
            Some(_) | None => Ok(()),
        },
        Write::Eip(name, version, EipChange::Status(status)) => {
            check_record(api, name, *version, status)
        }
        Write::Eip(_, _, EipChange::Metadata(_)) | Write::Lease(..) => Ok(()),
    }
}

fn check_service(
    name: &ServiceName,
    service: &Service,
    change: &ServiceChange,
) -> Result<(), Violation> {
    let violation = |what: &str| Err(Violation(format!("{name} is written {what}: {change:?}")));
    let metadata = &service.metadata;
    let asks = metadata.annotations.contains_key(keys::LOAD_BALANCER)
        || service.class.as_deref() == Some(keys::CLASS);
    let finalized = metadata.finalizers.iter().any(|it| it == keys::SERVICE_FINALIZER);
    let says = service.announced.is_some() || service.conflict.is_some();
    if !asks && !finalized && !says {
        return violation("and is not ours");
    }
    match change {
        ServiceChange::Metadata(MetadataChange { annotations, labels, finalizers }) => {
            let sets = |map: &Texts, changes: &[(String, Option<String>)]| {
                changes.iter().any(|(key, value)| map.get(key) != value.as_ref())
            };
            let refinalizes = finalizers.as_ref().is_some_and(|it| *it != metadata.finalizers);
            if !sets(&metadata.annotations, annotations)
                && !sets(&metadata.labels, labels)
                && !refinalizes
            {
                return violation("as it is");
            }
            let foreign = |all: &[String]| -> Vec<String> {
                all.iter().filter(|it| *it != keys::SERVICE_FINALIZER).cloned().collect()
            };
            let kept =
                finalizers.as_ref().is_none_or(|it| foreign(it) == foreign(&metadata.finalizers));
            if kept { Ok(()) } else { violation("with other foreign finalizers") }
        }
        ServiceChange::Status(status) => {
            let mut after = service.clone();
            status.announced.clone().apply(&mut after.announced);
            status.conflict.clone().apply(&mut after.conflict);
            after.ingress.clone_from(&status.ingress);
            if after == *service {
                return violation("as it is");
            }
            let foreign = |all: &[Ingress]| -> Vec<Ingress> {
                let other = |entry: &&Ingress| matches!(entry, Ingress::Other(_));
                all.iter().filter(other).cloned().collect()
            };
            let kept = foreign(&status.ingress) == foreign(&service.ingress);
            if kept { Ok(()) } else { violation("with other foreign entries") }
        }
    }
}

fn check_record(
    api: &Api,
    name: &EipName,
    version: Version,
    status: &EipStatus,
) -> Result<(), Violation> {
    let Some((_, eip)) = api.eips.get(name).filter(|(now, _)| *now == version) else {
        return Ok(());
    };
    for (address, holders) in &status.used {
        let before = eip.status.used.get(address);
        for holder in holders.iter().filter(|it| before.is_none_or(|by| !by.contains(it))) {
            let held = api.services.get(holder).is_some_and(|(_, service)| {
                service.metadata.finalizers.iter().any(|it| it == keys::SERVICE_FINALIZER)
            });
            if !held {
                let what = format!("{holder} is recorded for {address} and has no finalizer");
                return Err(Violation(what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use porter_core::{Eip, ServiceStatus};

    use super::*;

    fn web() -> ServiceName {
        ServiceName::new("default", "web")
    }

    /// What is found of a change of a Service, which is ours if it `asks`.
    fn found(asks: bool, change: ServiceChange) -> Result<(), Violation> {
        let mut service = Service::default();
        if asks {
            service
                .metadata
                .annotations
                .insert(keys::LOAD_BALANCER.to_owned(), "porter".to_owned());
        }
        service.metadata.finalizers = vec!["example.com/keep".to_owned()];
        service.ingress = vec![Ingress::Other("{}".to_owned())];
        let mut api = Api::default();
        let (version, _) = api.put_service(web(), service).expect("it was just made");
        check(&api, &Write::Service(web(), version, change))
    }

    fn shows(ingress: &[Ingress]) -> ServiceChange {
        let status = ServiceStatus { ingress: ingress.to_vec(), ..ServiceStatus::default() };
        ServiceChange::Status(status)
    }

    fn finalizers(names: &[&str]) -> ServiceChange {
        let finalizers = Some(names.iter().map(|&name| name.to_owned()).collect());
        ServiceChange::Metadata(MetadataChange { finalizers, ..MetadataChange::default() })
    }

    #[test]
    fn a_write_changes_something_of_ours_and_nothing_else() {
        let other = Ingress::Other("{}".to_owned());
        let ours = Ingress::Address(IpAddr::from([172, 22, 0, 188]));
        assert_eq!(found(true, shows(&[ours.clone(), other.clone()])), Ok(()));
        assert!(found(false, shows(&[ours.clone(), other.clone()])).is_err());
        assert!(found(true, shows(&[other])).is_err());
        assert!(found(true, shows(&[ours])).is_err());
        let keep = "example.com/keep";
        assert_eq!(found(true, finalizers(&[keep, keys::SERVICE_FINALIZER])), Ok(()));
        assert!(found(true, finalizers(&[keep])).is_err());
        assert!(found(true, finalizers(&[keys::SERVICE_FINALIZER])).is_err());
    }

    #[test]
    fn nobody_is_recorded_without_a_finalizer() {
        let address = IpAddr::from([172, 22, 0, 188]);
        let recorded = |finalizers: Vec<String>| {
            let mut api = Api::default();
            let mut service = Service::default();
            service.metadata.finalizers = finalizers;
            api.put_service(web(), service);
            let stored = api.put_eip("pool".into(), Eip::default());
            let (version, _) = stored.expect("it was just made");
            let used = [(address, [web()].into())].into();
            let status = EipStatus { used, ..EipStatus::default() };
            check(&api, &Write::Eip("pool".into(), version, EipChange::Status(status)))
        };
        assert!(recorded(vec![]).is_err());
        assert_eq!(recorded(vec![keys::SERVICE_FINALIZER.to_owned()]), Ok(()));
    }
}

//! `v1 Service`.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort};
use porter_core::{
    ConditionChange, Family, Ingress, Input, Kind, Listing, Metadata, Port, ServiceName,
    ServiceStatus, TrafficPolicy, Version,
    keys::{ANNOUNCED, CONFLICT, REQUESTED_IP, SERVICE_FINALIZER, Spelling},
};
use serde_json::{Value, json};

use super::{Watched, condition, metadata};

/// `ipMode` of an entry whose address no node has: kube-proxy short-cuts it within the cluster (KEP-1860).
const VIP: &str = "VIP";

impl Watched for Service {
    const KIND: Kind = Kind::Service;
    type Name = ServiceName;
    type Fact = porter_core::Service;

    fn named(namespace: &str, name: &str) -> ServiceName {
        ServiceName::new(namespace, name)
    }

    /// `None` for a Service that neither asks for an address nor carries anything of ours, as most do:
    /// one that ceases to ask carries our finalizer until it holds nothing.
    fn fact(&self) -> Option<porter_core::Service> {
        let spec = self.spec.as_ref();
        let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let balancer = self.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref());
        let families = spec.and_then(|spec| spec.ip_families.as_ref());
        let conditions = self.status.as_ref().and_then(|status| status.conditions.as_ref());
        let policy = spec.and_then(|spec| spec.external_traffic_policy.as_deref());
        let service = porter_core::Service {
            metadata: metadata::fact(&self.metadata),
            load_balancer: spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer"),
            class: text(spec.and_then(|spec| spec.load_balancer_class.as_ref())),
            requested_ip: text(spec.and_then(|spec| spec.load_balancer_ip.as_ref())),
            policy: match policy {
                Some("Local") => TrafficPolicy::Local,
                Some(_) | None => TrafficPolicy::Cluster,
            },
            families: families.into_iter().flatten().filter_map(|text| family(text)).collect(),
            requires_dual_stack: spec.and_then(|spec| spec.ip_family_policy.as_deref())
                == Some("RequireDualStack"),
            ingress: ingress.into_iter().flatten().map(entry).collect(),
            announced: conditions.and_then(|conditions| condition::fact(conditions, ANNOUNCED)),
            conflict: conditions.and_then(|conditions| condition::fact(conditions, CONFLICT)),
            ..porter_core::Service::default()
        };
        if !concerns(&service) {
            return None;
        }
        if !names_address(&service) {
            return Some(service);
        }
        let ports = spec.and_then(|spec| spec.ports.as_ref());
        let selector = spec.and_then(|spec| spec.selector.clone());
        Some(porter_core::Service {
            ports: ports.into_iter().flatten().map(port).collect(),
            selector: selector.into_iter().flatten().collect(),
            ..service
        })
    }

    fn seen(name: ServiceName, version: Version, fact: Option<porter_core::Service>) -> Input {
        Input::Service(name, version, fact)
    }

    fn listed(listing: Listing<ServiceName, porter_core::Service>) -> Input {
        Input::Services(listing)
    }
}

/// Whether a Service asks for an address, or carries anything that is ours to take back.
fn concerns(service: &porter_core::Service) -> bool {
    let Metadata { annotations, labels, finalizers, .. } = &service.metadata;
    service.load_balancer
        || !annotations.is_empty()
        || !labels.is_empty()
        || finalizers.iter().any(|finalizer| finalizer == SERVICE_FINALIZER)
        || !service.ingress.is_empty()
        || service.announced.is_some()
        || service.conflict.is_some()
}

/// Whether a Service names an address. Only then may it share one, for which ports and pods matter.
fn names_address(service: &porter_core::Service) -> bool {
    let annotations = &service.metadata.annotations;
    let mut keys =
        [Spelling::Porter, Spelling::OpenElb].map(|it| REQUESTED_IP.spelled(it)).into_iter();
    service.requested_ip.is_some() || keys.any(|key| annotations.contains_key(key))
}

fn port(port: &ServicePort) -> Port {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    Port { protocol, number: u16::try_from(port.port).unwrap_or_default() }
}

fn family(text: &str) -> Option<Family> {
    match text {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    }
}

/// An entry with nothing but an address, and a mode that says the same, is one of ours or as good.
fn entry(entry: &LoadBalancerIngress) -> Ingress {
    let LoadBalancerIngress { hostname, ip, ip_mode, ports } = entry;
    let plain = hostname.as_deref().is_none_or(str::is_empty)
        && ip_mode.as_deref().is_none_or(|mode| mode == VIP)
        && ports.as_ref().is_none_or(Vec::is_empty);
    match ip.as_deref().map(str::parse) {
        Some(Ok(address)) if plain => Ingress::Address(address),
        Some(_) | None => Ingress::Other(json!(entry).to_string()),
    }
}

/// A strategic merge patch of the status subresource: these entries and no others, and the conditions
/// beside those of other types, which it leaves alone.
pub(super) fn status_patch(version: Version, status: &ServiceStatus) -> Value {
    let ingress = status.ingress.iter().map(|entry| match entry {
        Ingress::Address(address) => json!({ "ip": address, "ipMode": VIP }),
        Ingress::Other(text) => serde_json::from_str(text).unwrap_or_default(),
    });
    let ingress: Vec<Value> = ingress.collect();
    let mut patch = metadata::precondition(version);
    patch["status"]["loadBalancer"]["ingress"] = match ingress.is_empty() {
        true => Value::Null,
        false => json!(ingress),
    };
    let changes = [(ANNOUNCED, &status.announced), (CONFLICT, &status.conflict)];
    let changes = changes.into_iter().filter_map(|(kind, change)| match change {
        ConditionChange::Keep => None,
        ConditionChange::Set(condition) => Some(condition::body(kind, condition)),
        // Only where there is one: what an API server makes of a directive without a list to apply it
        // to differs by version.
        ConditionChange::Remove => Some(json!({ "type": kind, "$patch": "delete" })),
    });
    let changes: Vec<_> = changes.collect();
    if !changes.is_empty() {
        patch["status"]["conditions"] = json!(changes);
    }
    patch
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use porter_core::{Texts, Timestamp, Uid};

    use super::*;
    use crate::kube::convert::read;

    #[test]
    fn the_service_of_the_guide_is_read_with_what_was_given_to_it() {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "mylbapp-svc-layer2",
                "namespace": "default",
                "uid": "0b0a7a9c",
                "resourceVersion": "42",
                "creationTimestamp": "2020-08-05T12:00:00Z",
                "finalizers": ["finalizer.lb.kubesphere.io/v1alpha1"],
                "labels": { "app": "x", "eip.porter.kubesphere.io/v1alpha2": "eip-sample-layer2" },
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "lb.kubesphere.io/v1alpha1": "porter",
                    "protocol.porter.kubesphere.io/v1alpha1": "layer2"
                }
            },
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 8088 }], "loadBalancerIP": "" },
            "status": { "loadBalancer": { "ingress": [{ "ip": "172.22.0.188" }] } }
        });
        let (name, version, service) = read::<Service>(object).unwrap();
        assert_eq!(name, ServiceName::new("default", "mylbapp-svc-layer2"));
        assert_eq!(version, Version(42));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let annotations = [
            pair("lb.kubesphere.io/v1alpha1", "porter"),
            pair("protocol.porter.kubesphere.io/v1alpha1", "layer2"),
        ];
        let labels = [pair("eip.porter.kubesphere.io/v1alpha2", "eip-sample-layer2")];
        let expected = porter_core::Service {
            metadata: Metadata {
                uid: Some(Uid::from("0b0a7a9c")),
                created: Timestamp(1_596_628_800_000_000),
                deleting: false,
                generation: 0,
                annotations: annotations.into_iter().collect(),
                labels: labels.into_iter().collect(),
                finalizers: vec!["finalizer.lb.kubesphere.io/v1alpha1".into()],
            },
            load_balancer: true,
            class: None,
            requested_ip: None,
            policy: TrafficPolicy::Cluster,
            ingress: vec![Ingress::Address("172.22.0.188".parse().unwrap())],
            ..porter_core::Service::default()
        };
        assert_eq!(service, Some(expected));
    }

    #[test]
    fn an_ingress_that_is_no_address_is_left_out() {
        let ingress = json!([{ "hostname": "a.example" }, { "ip": "no" }, { "ip": "fd00::7" }]);
        let object = json!({
            "metadata": { "name": "web", "namespace": "default", "resourceVersion": "1",
                          "deletionTimestamp": "2020-08-05T12:00:00Z" },
            "spec": { "type": "ClusterIP", "externalTrafficPolicy": "Local",
                      "loadBalancerClass": "example.com/other", "loadBalancerIP": "192.0.2.7" },
            "status": { "loadBalancer": { "ingress": ingress } }
        });
        let service = read::<Service>(object).unwrap().2.unwrap();
        assert_eq!(service.shown().collect::<Vec<_>>(), ["fd00::7".parse::<IpAddr>().unwrap()]);
        assert!(service.metadata.deleting);
        assert!(!service.load_balancer);
        assert_eq!(service.policy, TrafficPolicy::Local);
        assert_eq!(service.class.as_deref(), Some("example.com/other"));
        assert_eq!(service.requested_ip.as_deref(), Some("192.0.2.7"));
    }

    fn of_spec(spec: Value) -> porter_core::Service {
        let metadata = json!({ "name": "web", "namespace": "default", "resourceVersion": "1" });
        let mut object = json!({ "metadata": metadata, "spec": spec });
        object["spec"]["type"] = json!("LoadBalancer");
        read::<Service>(object).unwrap().2.unwrap()
    }

    fn of_status(status: Value) -> porter_core::Service {
        let metadata = json!({ "name": "web", "namespace": "default", "resourceVersion": "1" });
        let spec = json!({ "type": "LoadBalancer" });
        let object = json!({ "metadata": metadata, "spec": spec, "status": status });
        read::<Service>(object).unwrap().2.unwrap()
    }

    #[test]
    fn ports_and_selector_are_read_as_kubernetes_means_them() {
        let ports = json!([
            { "port": 53, "protocol": "UDP" },
            { "port": 53 },
            { "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30000 }
        ]);
        let mut spec = json!({ "ports": ports, "selector": { "app": "dns" } });
        assert!(of_spec(spec.clone()).ports.is_empty(), "what names no address shares none");
        spec["loadBalancerIP"] = json!("192.0.2.7");
        let service = of_spec(spec);
        let port = |protocol: &str, number| Port { protocol: protocol.into(), number };
        assert_eq!(service.ports, [port("TCP", 53), port("TCP", 80), port("UDP", 53)].into());
        assert_eq!(service.selector, Texts::from_iter([("app".to_owned(), "dns".to_owned())]));
    }

    #[test]
    fn ports_are_read_of_whoever_names_an_address_in_either_spelling() {
        for key in ["eip.porter.kubesphere.io/v1alpha1", "eip.openelb.kubesphere.io/v1alpha1"] {
            let metadata = json!({ "name": "web", "namespace": "default", "resourceVersion": "1",
                                   "annotations": { key: "192.0.2.7" } });
            let spec = json!({ "type": "LoadBalancer", "ports": [{ "port": 53 }] });
            let service = read::<Service>(json!({ "metadata": metadata, "spec": spec }));
            assert_eq!(service.unwrap().2.unwrap().ports.len(), 1, "{key}");
        }
    }

    #[test]
    fn a_service_means_nothing_unless_it_asks_or_carries_something_of_ours() {
        let fact = |metadata: Value, kind: &str, status: Value| {
            let mut object = json!({ "metadata": metadata, "status": status,
                                     "spec": { "type": kind, "ports": [{ "port": 80 }] } });
            object["metadata"]["name"] = json!("web");
            object["metadata"]["resourceVersion"] = json!("1");
            read::<Service>(object).unwrap().2
        };
        let others = json!({ "annotations": { "a": "b" }, "labels": { "a": "b" },
                             "finalizers": ["service.kubernetes.io/load-balancer-cleanup"] });
        assert_eq!(fact(others, "ClusterIP", json!({})), None);

        let none = || json!({});
        let ingress = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } });
        let condition = json!({ "type": "porter.kubesphere.io/Announced", "status": "False",
                                "reason": "", "message": "",
                                "lastTransitionTime": "2020-08-05T12:00:00Z" });
        for (metadata, kind, status) in [
            (none(), "LoadBalancer", none()),
            (none(), "ClusterIP", ingress),
            (none(), "ClusterIP", json!({ "conditions": [condition] })),
            (json!({ "finalizers": [SERVICE_FINALIZER] }), "ClusterIP", none()),
            (
                json!({ "labels": { "eip.porter.kubesphere.io/v1alpha2": "pool" } }),
                "NodePort",
                none(),
            ),
            (
                json!({ "annotations": { "lb.kubesphere.io/v1alpha1": "porter" } }),
                "NodePort",
                none(),
            ),
        ] {
            assert!(fact(metadata.clone(), kind, status).is_some(), "{kind} {metadata}");
        }
    }

    #[test]
    fn families_keep_their_order_and_only_one_policy_requires_both() {
        let service = |policy: &str| {
            of_spec(json!({ "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": policy }))
        };
        assert_eq!(service("RequireDualStack").families, [Family::V6, Family::V4]);
        assert!(service("RequireDualStack").requires_dual_stack);
        assert!(!service("PreferDualStack").requires_dual_stack);
        assert!(!service("SingleStack").requires_dual_stack);
        assert!(of_spec(json!({})).families.is_empty());
    }

    #[test]
    fn entries_of_others_are_written_back_word_for_word() {
        let foreign = json!([
            { "hostname": "a.example" },
            { "hostname": "b.example", "ip": "192.0.2.8" },
            { "ip": "192.0.2.9", "ipMode": "Proxy" },
            { "ip": "192.0.2.10", "ports": [{ "port": 80, "protocol": "TCP" }] },
            { "ip": "somewhere" }
        ]);
        let service = of_status(json!({ "loadBalancer": { "ingress": foreign } }));
        assert_eq!(service.shown().next(), None);
        let status = ServiceStatus { ingress: service.ingress, ..ServiceStatus::default() };
        let patch = status_patch(Version(1), &status);
        assert_eq!(patch["status"]["loadBalancer"]["ingress"], foreign);
    }

    #[test]
    fn an_entry_of_ours_is_known_with_and_without_its_mode() {
        let ours = json!([{ "ip": "192.0.2.7" }, { "ip": "fd00::7", "ipMode": "VIP" }]);
        let service = of_status(json!({ "loadBalancer": { "ingress": ours } }));
        let addresses: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        assert_eq!(service.ingress, addresses.map(Ingress::Address));
    }

    #[test]
    fn only_the_condition_of_ours_is_read() {
        let condition = |kind: &str, reason: &str| {
            json!({ "type": kind, "status": "True", "reason": reason, "message": "",
                    "lastTransitionTime": "2020-08-05T12:00:00Z" })
        };
        let others = condition("LoadBalancerPortsError", "Elsewhere");
        let ours = condition("porter.kubesphere.io/Announced", "Announced");
        let service = of_status(json!({ "conditions": [others, ours] }));
        assert_eq!(
            (service.announced.unwrap().reason.as_str(), service.conflict),
            ("Announced", None)
        );
        let conflict = condition("porter.kubesphere.io/AddressConflict", "ForeignHost");
        let service = of_status(json!({ "conditions": [ours, conflict] }));
        assert_eq!(service.conflict.unwrap().reason, "ForeignHost");
        assert_eq!(of_status(json!({ "conditions": [others] })).announced, None);
    }
}

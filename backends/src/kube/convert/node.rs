//! `v1 Node`.

use k8s_openapi::api::core::v1::Node;
use porter_core::{Input, Kind, Listing, NodeName, Version};

use super::{Watched, metadata};

/// Label: the node takes no traffic of load balancers (well-known labels of Kubernetes).
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Taint: a person says that the node is down for good (KEP-2268).
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl Watched for Node {
    const KIND: Kind = Kind::Node;
    type Name = NodeName;
    type Fact = porter_core::Node;

    fn named(_: &str, name: &str) -> NodeName {
        NodeName::from(name)
    }

    fn fact(&self) -> Option<porter_core::Node> {
        let spec = self.spec.as_ref();
        let status = self.status.as_ref();
        let condition = |kind: &str| {
            let conditions = status.and_then(|status| status.conditions.as_ref());
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|condition| condition.type_ == kind && condition.status == "True")
        };
        let addresses = |kind: &'static str| {
            let addresses = status.and_then(|status| status.addresses.as_ref());
            let addresses = addresses.into_iter().flatten();
            addresses
                .filter(move |address| address.type_ == kind)
                .filter_map(|address| address.address.parse().ok())
        };
        let labels = self.metadata.labels.as_ref();
        let taints = spec.and_then(|spec| spec.taints.as_ref());
        Some(porter_core::Node {
            metadata: metadata::fact(&self.metadata),
            ready: condition("Ready"),
            network_unavailable: condition("NetworkUnavailable"),
            cordoned: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
            excluded: labels.is_some_and(|labels| labels.contains_key(EXCLUDED)),
            out_of_service: taints.into_iter().flatten().any(|taint| taint.key == OUT_OF_SERVICE),
            addresses: addresses("InternalIP").chain(addresses("ExternalIP")).collect(),
        })
    }

    fn seen(name: NodeName, version: Version, fact: Option<porter_core::Node>) -> Input {
        Input::Node(name, version, fact)
    }

    fn listed(listing: Listing<NodeName, porter_core::Node>) -> Input {
        Input::Nodes(listing)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::{Value, json};

    use super::*;
    use crate::kube::convert::read;

    fn node(spec: Value, status: Value) -> porter_core::Node {
        let labels = json!({ "node.kubernetes.io/exclude-from-external-load-balancers": "" });
        let metadata = json!({ "name": "node1", "resourceVersion": "3", "labels": labels });
        let object = json!({ "metadata": metadata, "spec": spec, "status": status });
        read::<Node>(object).unwrap().2.unwrap()
    }

    #[test]
    fn internal_addresses_come_before_external_ones() {
        let addresses = json!([
            { "type": "Hostname", "address": "node1" },
            { "type": "ExternalIP", "address": "198.51.100.3" },
            { "type": "InternalIP", "address": "172.22.0.3" },
            { "type": "InternalIP", "address": "" },
            { "type": "InternalIP", "address": "fd00::3" }
        ]);
        let node = node(json!({}), json!({ "addresses": addresses }));
        let addresses = ["172.22.0.3", "fd00::3", "198.51.100.3"];
        assert_eq!(node.addresses, addresses.map(|address| address.parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn a_node_that_says_nothing_is_not_ready_and_nothing_else() {
        let silent = node(json!({}), json!({}));
        assert!(!silent.ready && !silent.network_unavailable);
        assert!(!silent.cordoned && !silent.out_of_service);
        assert!(silent.excluded, "the value of the label does not matter");
    }

    #[test]
    fn what_keeps_traffic_away_is_seen() {
        let taint = json!({ "key": "node.kubernetes.io/out-of-service", "effect": "NoExecute" });
        let conditions = json!([
            { "type": "Ready", "status": "True" },
            { "type": "NetworkUnavailable", "status": "True" }
        ]);
        let spec = json!({ "unschedulable": true, "taints": [taint] });
        let node = node(spec, json!({ "conditions": conditions }));
        assert!(node.ready && node.network_unavailable);
        assert!(node.cordoned && node.out_of_service);
    }
}

//! `discovery.k8s.io/v1 EndpointSlice`.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use porter_core::{Family, Input, Kind, Listing, NodeName, ServiceName, Slice, SliceName, Version};

use super::Watched;

/// Label: the Service whose endpoints these are.
const SERVICE: &str = "kubernetes.io/service-name";

impl Watched for EndpointSlice {
    const KIND: Kind = Kind::Slice;
    type Name = SliceName;
    type Fact = Slice;

    fn named(namespace: &str, name: &str) -> SliceName {
        SliceName::new(namespace, name)
    }

    /// `None` for a slice of no Service, and for one of names instead of addresses, which kube-proxy
    /// passes over.
    fn fact(&self) -> Option<Slice> {
        let family = match self.address_type.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => return None,
        };
        let service = self.metadata.labels.as_ref()?.get(SERVICE)?;
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        let endpoints = self.endpoints.iter().flatten();
        Some(Slice {
            service: ServiceName::new(namespace, service),
            family,
            endpoints: endpoints.map(endpoint).collect(),
        })
    }

    fn seen(name: SliceName, version: Version, fact: Option<Slice>) -> Input {
        Input::Slice(name, version, fact)
    }

    fn listed(listing: Listing<SliceName, Slice>) -> Input {
        Input::Slices(listing)
    }
}

fn endpoint(endpoint: &Endpoint) -> porter_core::Endpoint {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let node = endpoint.node_name.as_deref().filter(|name| !name.is_empty());
    porter_core::Endpoint {
        node: node.map(NodeName::from),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::convert::read;

    fn slice(labels: Value, address_type: &str) -> Option<Slice> {
        let endpoints = json!([
            { "addresses": ["10.0.0.1"], "nodeName": "node1" },
            { "addresses": ["10.0.0.2"], "nodeName": "",
              "conditions": { "ready": false, "terminating": true } },
            { "addresses": ["10.0.0.3"], "conditions": { "ready": false, "serving": true } }
        ]);
        let metadata = json!({ "name": "web-x7k2p", "namespace": "default", "labels": labels,
                               "resourceVersion": "11" });
        let object = json!({ "metadata": metadata, "addressType": address_type,
                             "endpoints": endpoints });
        let (name, _, fact) = read::<EndpointSlice>(object).unwrap();
        assert_eq!(name, SliceName::new("default", "web-x7k2p"));
        fact
    }

    #[test]
    fn absent_conditions_are_read_as_kube_proxy_reads_them() {
        let slice = slice(json!({ "kubernetes.io/service-name": "web" }), "IPv4").unwrap();
        let endpoint = |node: Option<&str>, ready, serving, terminating| {
            let node = node.map(NodeName::from);
            porter_core::Endpoint { node, ready, serving, terminating }
        };
        let expected = [
            endpoint(Some("node1"), true, true, false),
            endpoint(None, false, false, true),
            endpoint(None, false, true, false),
        ];
        assert_eq!(slice.service, ServiceName::new("default", "web"));
        assert_eq!(slice.endpoints, expected);
    }

    #[test]
    fn the_family_is_that_of_the_addresses() {
        let labels = || json!({ "kubernetes.io/service-name": "web" });
        assert_eq!(slice(labels(), "IPv4").unwrap().family, Family::V4);
        assert_eq!(slice(labels(), "IPv6").unwrap().family, Family::V6);
    }

    #[test]
    fn a_slice_of_no_service_or_of_names_is_as_good_as_gone() {
        assert_eq!(slice(json!({}), "IPv4"), None);
        assert_eq!(slice(json!({ "kubernetes.io/service-name": "web" }), "FQDN"), None);
    }
}

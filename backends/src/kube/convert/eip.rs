//! `network.kubesphere.io/v1alpha2 Eip`.

use std::net::IpAddr;

use porter_core::{EipName, Few, Input, Kind, Listing, ServiceName, Version, keys::READY};
use serde_json::{Value, json};

use super::{Watched, condition, metadata};
use crate::kube::{Eip, EipStatus};

/// Between the Services that share an address.
const SEPARATOR: char = ';';

impl Watched for Eip {
    const KIND: Kind = Kind::Eip;
    type Name = EipName;
    type Fact = porter_core::Eip;

    fn named(_: &str, name: &str) -> EipName {
        EipName::from(name)
    }

    fn fact(&self) -> Option<porter_core::Eip> {
        Some(porter_core::Eip {
            metadata: metadata::fact(&self.metadata),
            address: self.spec.address.clone(),
            interface: self.spec.interface.clone(),
            protocol: self.spec.protocol.clone(),
            disable: self.spec.disable,
            priority: self.spec.priority,
            namespaces: self.spec.namespaces.iter().cloned().collect(),
            namespace_selector: self.spec.namespace_selector.clone().into_iter().collect(),
            status: self.status.as_ref().map(status_fact).unwrap_or_default(),
        })
    }

    fn seen(name: EipName, version: Version, fact: Option<porter_core::Eip>) -> Input {
        Input::Eip(name, version, fact)
    }

    fn listed(listing: Listing<EipName, porter_core::Eip>) -> Input {
        Input::Eips(listing)
    }
}

fn status_fact(status: &EipStatus) -> porter_core::EipStatus {
    let address = |text: Option<&String>| text.and_then(|text| text.parse().ok());
    let holders = |text: &str| -> Few<_> {
        text.split(SEPARATOR).filter_map(|name| ServiceName::parse(name.trim())).collect()
    };
    let used = status.used.iter();
    porter_core::EipStatus {
        pool_size: status.pool_size,
        first: address(status.first_ip.as_ref()),
        last: address(status.last_ip.as_ref()),
        used: used
            .filter_map(|(address, text)| Some((address.parse().ok()?, holders(text))))
            .filter(|(_, holders)| !holders.is_empty())
            .collect(),
        ready: condition::fact(&status.conditions, READY),
    }
}

/// The object to put to the status subresource.
///
/// Put, not patched: an address that is free again must go from the map `used`, and a merge patch
/// would have to know what it was. The API server takes nothing but `status` from it. All of the
/// status is ours, so that a condition of another type, which another writer left, goes with the
/// next write.
pub(super) fn status_body(
    name: &EipName,
    version: Version,
    status: &porter_core::EipStatus,
) -> Value {
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string());
    let holders = |holders: &Few<ServiceName>| {
        let names: Vec<_> = holders.iter().map(ServiceName::to_string).collect();
        names.join(&SEPARATOR.to_string())
    };
    let ready = status.ready.as_ref();
    let status = EipStatus {
        occupied: status.occupied(),
        usage: status.usage(),
        pool_size: status.pool_size,
        used: status.used.iter().map(|(ip, names)| (ip.to_string(), holders(names))).collect(),
        first_ip: text(status.first),
        last_ip: text(status.last),
        ready: status.is_ready(),
        conditions: Vec::new(),
        v4: status.v4(),
    };
    let mut body = metadata::precondition(version);
    body["apiVersion"] = json!("network.kubesphere.io/v1alpha2");
    body["kind"] = json!("Eip");
    body["metadata"]["name"] = json!(name.as_str());
    body["status"] = json!(status);
    if let Some(ready) = ready {
        body["status"]["conditions"] = json!([condition::body(READY, ready)]);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::convert::read;

    #[test]
    fn holders_that_are_none_are_left_out_and_the_rest_is_kept() {
        let used = json!({
            "172.22.0.188": "default/b;default/a",
            "172.22.0.189": "nobody",
            "somewhere": "default/c",
            "fd00::7": "default/d;;"
        });
        let object = json!({
            "metadata": { "name": "pool", "resourceVersion": "5" },
            "spec": { "address": "172.22.0.188-172.22.0.200", "protocol": "layer2" },
            "status": { "firstIP": "172.22.0.188", "lastIP": "?", "poolSize": 13, "used": used }
        });
        let (name, _, eip) = read::<Eip>(object).unwrap();
        let eip = eip.unwrap();
        assert_eq!(name, EipName::from("pool"));
        assert_eq!(eip.status.first, Some("172.22.0.188".parse().unwrap()));
        assert_eq!(eip.status.last, None);
        let service = |name| ServiceName::new("default", name);
        let expected = [
            ("172.22.0.188".parse().unwrap(), Few::from([service("a"), service("b")])),
            ("fd00::7".parse().unwrap(), Few::from([service("d")])),
        ];
        assert_eq!(eip.status.used, expected.into());
    }

    #[test]
    fn what_a_pool_is_for_is_read_as_written() {
        let spec = json!({ "address": "192.0.2.7", "priority": -3, "disable": true,
                           "namespaces": ["shop", "blog"], "namespaceSelector": { "tier": "front" } });
        let metadata = json!({ "name": "pool", "resourceVersion": "5", "generation": 7 });
        let eip = read::<Eip>(json!({ "metadata": metadata, "spec": spec })).unwrap().2.unwrap();
        assert_eq!((eip.priority, eip.disable, eip.metadata.generation), (-3, true, 7));
        assert_eq!(eip.namespaces, ["blog", "shop"].map(str::to_owned).into());
        assert_eq!(
            eip.namespace_selector,
            [("tier".to_owned(), "front".to_owned())].into_iter().collect()
        );
    }

    #[test]
    fn a_status_is_read_back_as_it_was_written() {
        let holders = ["a", "b"].map(|name| ServiceName::new("default", name));
        let status = porter_core::EipStatus {
            pool_size: 1,
            first: Some("192.0.2.7".parse().unwrap()),
            last: Some("192.0.2.7".parse().unwrap()),
            used: [("192.0.2.7".parse().unwrap(), holders.into())].into(),
            ready: Some(porter_core::Condition {
                met: true,
                reason: "Served".into(),
                message: String::new(),
                generation: 3,
                since: porter_core::Timestamp(1_596_628_800_000_000),
            }),
        };
        let mut body = status_body(&EipName::from("pool"), Version(9), &status);
        let expected = json!({
            "firstIP": "192.0.2.7", "lastIP": "192.0.2.7", "occupied": true, "poolSize": 1,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "Served", "message": "",
                              "observedGeneration": 3, "lastTransitionTime": "2020-08-05T12:00:00Z" }],
            "ready": true, "usage": 1, "used": { "192.0.2.7": "default/a;default/b" }, "v4": true
        });
        assert_eq!(body["status"], expected);
        body["spec"] = json!({ "address": "192.0.2.7" });
        let (name, version, eip) = read::<Eip>(body).unwrap();
        assert_eq!((name, version), (EipName::from("pool"), Version(9)));
        assert_eq!(eip.unwrap().status, status);
    }
}

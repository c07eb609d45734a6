//! The `Eip` kind: a pool of external addresses, as people write it and as the API server keeps it.
//!
//! Group, version, kind, field names and the format of `status.used` are those of the original
//! Porter (and OpenELB), so that its objects work unchanged. Reading is lenient: what an address or
//! an interface means, and what to say if it means nothing, is decided by the core. What one object
//! shows to be a mistake the API server refuses already, by [`rules`].
//!
//! `v1alpha1` is not served. The original stores nothing in it since 0.4, and it has no `interface`,
//! so that no Eip written in it could be one of layer2.
//!
//! Everything that a rule looks at has a bound, which the API server needs to see what a rule costs
//! at most. `status` has none: it is as large as what is in use.

#![expect(clippy::duplicated_attributes, reason = "each printer column has a type of its own")]
#![expect(unreachable_pub, reason = "KubeSchema derives from EipSpec a public struct of its own")]

mod rules;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person asks for.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "network.kubesphere.io",
    version = "v1alpha2",
    kind = "Eip",
    plural = "eips",
    category = "networking",
    status = "EipStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A pool of external IP addresses for Services of type LoadBalancer, on one link.",
    printcolumn(name = "cidr", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "usage", type_ = "integer", json_path = ".status.usage"),
    printcolumn(name = "total", type_ = "integer", json_path = ".status.poolSize"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Interface",
        type_ = "string",
        json_path = ".spec.interface",
        priority = "1"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::interface_given(), validation = rules::interface_name())]
pub struct EipSpec {
    /// The addresses: a single one (`192.0.2.7`), a CIDR (`192.0.2.0/28`) or an inclusive range
    /// (`192.0.2.10-192.0.2.20`), IPv4 or IPv6, without spaces.
    #[schemars(length(max = 91))]
    #[x_kube(
        validation = rules::address_form(),
        validation = rules::prefix_length(),
        validation = rules::range_end(),
        validation = rules::one_family(),
        validation = rules::not_backwards()
    )]
    pub address: String,
    /// How the addresses are made known: `layer2` answers ARP and NDP on `interface`. Eips with any
    /// other protocol are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["bgp", "layer2", "vip"]))]
    pub protocol: Option<String>,
    /// The network interface of the nodes on whose LAN the addresses are: a name such as `eth0`, or
    /// `can_reach:192.0.2.1` for the one that leads there. Needed by `layer2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64))]
    pub interface: Option<String>,
    /// Whether to hand out no new address. Addresses in use stay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable: bool,
    /// Without effect; accepted because Eips for older versions carry it.
    #[serde(default, rename = "usingKnownIPs", skip_serializing_if = "is_default")]
    pub using_known_ips: bool,
    /// Among the Eips bound to a namespace, the one with the smallest priority is taken first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i64,
    /// The namespaces whose Services may take an address without naming this Eip.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1024),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub namespaces: Vec<String>,
    /// The same by labels of the namespace, all of which must match exactly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 64,
        "additionalProperties" = { "type": "string", "maxLength": 63 }
    ))]
    pub namespace_selector: BTreeMap<String, String>,
}

/// What became of it: the only store of which Service holds which address.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EipStatus {
    /// Whether no address is left.
    #[serde(default, skip_serializing_if = "is_default")]
    pub occupied: bool,
    /// How many addresses are held, however many Services share them.
    #[serde(default)]
    pub usage: i64,
    /// How many addresses there are.
    #[serde(default)]
    pub pool_size: i64,
    /// Address to the Services that hold it: `namespace/name`, several joined by `;`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<String, String>,
    /// The first address.
    #[serde(default, rename = "firstIP", skip_serializing_if = "Option::is_none")]
    pub first_ip: Option<String>,
    /// The last address.
    #[serde(default, rename = "lastIP", skip_serializing_if = "Option::is_none")]
    pub last_ip: Option<String>,
    /// Whether the Eip is served.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ready: bool,
    /// `Ready`: whether the Eip is served, and if not, why and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Whether the addresses are IPv4.
    #[serde(default, skip_serializing_if = "is_default")]
    pub v4: bool,
}

/// The original leaves out what is false, zero or empty. So does this but for the numbers, since
/// kubectl shows nothing in the column of what is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use serde_json::{Value, json};

    use super::*;

    fn crd() -> Value {
        serde_json::to_value(Eip::crd()).unwrap()
    }

    #[test]
    fn the_kind_is_the_originals() {
        let spec = &crd()["spec"];
        assert_eq!(spec["group"], "network.kubesphere.io");
        assert_eq!(spec["scope"], "Cluster");
        let names = json!({ "categories": ["networking"], "kind": "Eip", "plural": "eips",
                            "singular": "eip" });
        assert_eq!(spec["names"], names);
        let version = &spec["versions"][0];
        assert_eq!(version["name"], "v1alpha2");
        assert_eq!(version["subresources"], json!({ "status": {} }));
        let columns = version["additionalPrinterColumns"].as_array().unwrap();
        let columns: Vec<_> = columns.iter().map(|column| &column["name"]).collect();
        assert_eq!(columns, ["cidr", "usage", "total", "Ready", "Interface", "Reason", "Age"]);
    }

    #[test]
    fn the_fields_are_the_originals() {
        let crd = crd();
        let fields = |part: &str| {
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let fields = schema["properties"][part]["properties"].as_object().unwrap();
            fields.keys().cloned().collect::<Vec<_>>()
        };
        let spec = [
            "address",
            "disable",
            "interface",
            "namespaceSelector",
            "namespaces",
            "priority",
            "protocol",
            "usingKnownIPs",
        ];
        assert_eq!(fields("spec"), spec);
        let status = [
            "conditions",
            "firstIP",
            "lastIP",
            "occupied",
            "poolSize",
            "ready",
            "usage",
            "used",
            "v4",
        ];
        assert_eq!(fields("status"), status);
    }

    #[test]
    fn a_pool_that_nobody_uses_shows_a_usage_of_zero() {
        let status = serde_json::to_value(EipStatus::default()).unwrap();
        assert_eq!(status, json!({ "usage": 0, "poolSize": 0 }));
    }

    #[test]
    fn an_eip_of_the_original_is_read_and_written_back_the_same() {
        let object = json!({
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "Eip",
            "metadata": { "name": "eip-sample-layer2" },
            "spec": {
                "address": "172.22.0.188-172.22.0.200",
                "interface": "eth0",
                "protocol": "layer2",
                "usingKnownIPs": true
            },
            "status": {
                "firstIP": "172.22.0.188",
                "lastIP": "172.22.0.200",
                "poolSize": 13,
                "ready": true,
                "usage": 1,
                "used": { "172.22.0.188": "default/a;default/b" },
                "v4": true
            }
        });
        let eip: Eip = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(eip).unwrap(), object);
    }
}

//! Services and EndpointSlices.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cells::{elements, selector, text, text_or};
use super::cluster::created;
use super::{Column, View};

/// How many elements of a list are shown before it is cut.
const SHOWN: usize = 3;

pub(super) fn services() -> View {
    let mut columns = vec![Column::name()];
    columns.extend(["Type", "Cluster-IP", "External-IP", "Port(s)", "Age"].map(Column::text));
    columns.push(Column::text("Selector").wide());
    View::new(columns, |service, now| {
        let spec = &service["spec"];
        vec![
            service["metadata"]["name"].clone(),
            json!(text_or(&spec["type"], "ClusterIP")),
            json!(text_or(&spec["clusterIP"], "<none>")),
            json!(external_addresses(service)),
            json!(ports(&spec["ports"])),
            created(service, now),
            json!(selector(&spec["selector"])),
        ]
    })
}

/// All of them: an API server makes its tables for `-o wide`, and kubectl leaves out columns.
fn external_addresses(service: &Value) -> String {
    let spec = &service["spec"];
    let mut addresses: Vec<_> = elements(&spec["externalIPs"]).map(text).collect();
    match text(&spec["type"]) {
        "ExternalName" => return text(&spec["externalName"]).to_owned(),
        "LoadBalancer" => {
            let ingress = elements(&service["status"]["loadBalancer"]["ingress"]);
            let assigned: BTreeSet<_> =
                ingress.map(|point| text_or(&point["ip"], text(&point["hostname"]))).collect();
            addresses.splice(0..0, assigned);
            if addresses.is_empty() {
                return "<pending>".to_owned();
            }
        }
        _ => {}
    }
    if addresses.is_empty() { "<none>".to_owned() } else { addresses.join(",") }
}

fn ports(ports: &Value) -> String {
    let shown: Vec<_> = elements(ports)
        .map(|port| match port["nodePort"].as_u64() {
            Some(node_port) if node_port > 0 => {
                format!("{}:{node_port}/{}", port["port"], text(&port["protocol"]))
            }
            _ => format!("{}/{}", port["port"], text(&port["protocol"])),
        })
        .collect();
    if shown.is_empty() { "<none>".to_owned() } else { shown.join(",") }
}

pub(super) fn endpoint_slices() -> View {
    let mut columns = vec![Column::name()];
    columns.extend(["AddressType", "Ports", "Endpoints", "Age"].map(Column::text));
    View::new(columns, |slice, now| {
        let ports: Vec<_> = elements(&slice["ports"])
            .map(|port| {
                port["port"]
                    .as_u64()
                    .map_or_else(|| text_or(&port["name"], "*").to_owned(), |port| port.to_string())
            })
            .collect();
        let addresses: Vec<_> = elements(&slice["endpoints"])
            .flat_map(|endpoint| elements(&endpoint["addresses"]))
            .map(text)
            .collect();
        vec![
            slice["metadata"]["name"].clone(),
            slice["addressType"].clone(),
            json!(if ports.is_empty() { "<unset>".to_owned() } else { some_of(&ports) }),
            json!(if addresses.is_empty() { "<unset>".to_owned() } else { some_of(&addresses) }),
            created(slice, now),
        ]
    })
}

/// The first elements of a list, and how many more there are.
fn some_of<T: AsRef<str>>(list: &[T]) -> String {
    let shown = list.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(ingress: Value) -> Value {
        json!({
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 8088, "nodePort": 30564, "protocol": "TCP" }] },
            "status": { "loadBalancer": { "ingress": ingress } },
        })
    }

    #[test]
    fn a_balancer_waits_for_its_address_and_then_shows_it() {
        assert_eq!(external_addresses(&balancer(json!([]))), "<pending>");
        assert_eq!(
            external_addresses(&balancer(json!([{ "ip": "172.22.0.188" }]))),
            "172.22.0.188"
        );
        let both = json!([{ "ip": "fd00:172:22::188" }, { "ip": "172.22.0.188" }]);
        assert_eq!(external_addresses(&balancer(both)), "172.22.0.188,fd00:172:22::188");
    }

    #[test]
    fn a_port_comes_with_its_node_port() {
        assert_eq!(ports(&balancer(json!([]))["spec"]["ports"]), "8088:30564/TCP");
        assert_eq!(
            ports(&json!([{ "port": 80, "protocol": "TCP" }, { "port": 53, "protocol": "UDP" }])),
            "80/TCP,53/UDP"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(some_of(&["a", "b", "c", "d", "e"]), "a,b,c + 2 more...");
    }
}

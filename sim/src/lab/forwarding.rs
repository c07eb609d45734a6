//! What kube-proxy derives from Services and EndpointSlices: which address and port leads to which
//! pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt as _;
use porter_core::Family;

/// The label by which an EndpointSlice says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What one node has to do for the Services of the cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Forwarding {
    /// Addresses that the node has to take for its own.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Where it listens, and the pods to which it passes what it hears there. No pods: it refuses.
    pub(crate) rules: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    /// The same for datagrams. No pods: they are lost.
    pub(crate) datagrams: BTreeMap<SocketAddr, Vec<SocketAddr>>,
}

impl Forwarding {
    /// What the node called `node` has to do, for the families of which it has an address. TCP and
    /// UDP.
    pub(crate) fn of(
        node: &str,
        addresses: &[IpAddr],
        services: &[Service],
        slices: &[EndpointSlice],
    ) -> Self {
        let mut this = Self::default();
        for service in services {
            for &address in addresses {
                this.forward(service, node, address, slices);
            }
        }
        this
    }

    /// Adds what is done for a Service in the family of the node's address. One that does not have
    /// the family has no addresses of it that count, and no node ports.
    fn forward(
        &mut self,
        service: &Service,
        node: &str,
        address: IpAddr,
        slices: &[EndpointSlice],
    ) {
        let family = Family::of(address);
        let Some(spec) = service.spec.as_ref().filter(|_| has_family(service, family)) else {
            return;
        };
        let virtual_ips = virtual_ips(service, family);
        self.addresses.extend(&virtual_ips);
        for port in spec.ports.iter().flatten() {
            let rules = match port.protocol.as_deref() {
                None | Some("TCP") => &mut self.rules,
                Some("UDP") => &mut self.datagrams,
                Some(_) => continue,
            };
            let pods = pods(node, service, port, family, slices);
            let on_virtual = virtual_ips.iter().map(|&ip| (ip, port.port));
            let on_node = port.node_port.map(|port| (address, port));
            for (ip, port) in on_virtual.chain(on_node) {
                if let Ok(port) = u16::try_from(port) {
                    rules.insert((ip, port).into(), pods.clone());
                }
            }
        }
    }
}

/// Whether a Service has a family. The API server fills the list in for all that have an address.
fn has_family(service: &Service, family: Family) -> bool {
    let families = service.spec.iter().filter_map(|spec| spec.ip_families.as_ref()).flatten();
    families.into_iter().any(|known| *known == family.to_string())
}

/// The ClusterIP and the external addresses of a Service, of a family.
fn virtual_ips(service: &Service, family: Family) -> Vec<IpAddr> {
    let cluster = service.spec.iter().filter_map(|spec| spec.cluster_ips.as_ref()).flatten();
    let cluster = cluster.map(String::as_str);
    let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
    let ingress = balancer.flat_map(|balancer| balancer.ingress.iter().flatten());
    let external = ingress.filter_map(|ingress| ingress.ip.as_deref());
    // A headless Service has `None` for an address.
    let all = cluster.chain(external).filter_map(|ip| ip.parse().ok());
    all.filter(|ip| Family::of(*ip) == family).collect()
}

/// The pods behind a port of a Service, as far as this node may use them, at their addresses of a
/// family. Those that are leaving but
/// still serve are used if there are no others.
fn pods(
    node: &str,
    service: &Service,
    port: &ServicePort,
    family: Family,
    slices: &[EndpointSlice],
) -> Vec<SocketAddr> {
    let policy = service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref());
    let near_only = policy == Some("Local");
    let of_service = slices.iter().filter(|slice| {
        slice.namespace() == service.namespace()
            && slice.address_type == family.to_string()
            && slice.labels().get(SERVICE_NAME) == Some(&service.name_any())
    });
    let (mut pods, mut leaving) = (Vec::new(), Vec::new());
    for slice in of_service {
        let numbers = slice.ports.iter().flatten();
        let same = numbers.filter(|known| {
            known.name.as_deref().unwrap_or("") == port.name.as_deref().unwrap_or("")
        });
        let Some(number) = same.filter_map(|known| known.port).next().or_else(|| fixed(port))
        else {
            continue;
        };
        let known = slice.endpoints.iter().flatten();
        let near =
            known.filter(|endpoint| !near_only || endpoint.node_name.as_deref() == Some(node));
        for endpoint in near {
            let at = endpoint.addresses.iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
            let at = at.filter_map(|ip| Some(SocketAddr::new(ip, u16::try_from(number).ok()?)));
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            if conditions.ready != Some(false) {
                pods.extend(at);
            } else if conditions.serving == Some(true) && conditions.terminating == Some(true) {
                leaving.extend(at);
            }
        }
    }
    if pods.is_empty() { leaving } else { pods }
}

/// The pods' port, if the Service gives it as a number.
fn fixed(port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(_)) => None,
        None => Some(port.port),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn service(policy: &str, ingress: &str) -> Service {
        from_value(json!({
            "metadata": { "namespace": "default", "name": "web" },
            "spec": { "clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"],
                      "externalTrafficPolicy": policy,
                      "ports": [{ "name": "http", "port": 8088, "nodePort": 30564 }] },
            "status": { "loadBalancer": { "ingress": [{ "ip": ingress }] } },
        }))
        .unwrap()
    }

    fn slice() -> EndpointSlice {
        from_value(json!({
            "metadata": { "namespace": "default", "labels": { SERVICE_NAME: "web" } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": 80 }],
            "endpoints": [
                { "addresses": ["10.0.1.2"], "nodeName": "node1" },
                { "addresses": ["10.0.3.2"], "nodeName": "node3" },
                { "addresses": ["10.0.3.3"], "conditions": { "ready": false } },
            ],
        }))
        .unwrap()
    }

    /// The addresses of the pods in [`slice`], in the other family.
    fn slice_v6() -> EndpointSlice {
        let mut slice = slice();
        slice.address_type = "IPv6".into();
        for (endpoint, address) in
            slice.endpoints.iter_mut().flatten().zip(["fd10::1:2", "fd10::3:2"])
        {
            endpoint.addresses = vec![address.into()];
        }
        slice
    }

    fn node3() -> Vec<IpAddr> {
        ["192.0.2.3", "fd00::3"].map(|address| address.parse().unwrap()).into()
    }

    fn on_node3(service: Service) -> Forwarding {
        Forwarding::of("node3", &node3(), &[service], &[slice(), slice_v6()])
    }

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_address_of_a_service_leads_to_its_ready_pods() {
        let forwarding = on_node3(service("Cluster", "192.0.2.188"));
        let frontends = sockets(&["10.96.0.7:8088", "192.0.2.3:30564", "192.0.2.188:8088"]);
        assert_eq!(forwarding.rules.keys().copied().collect::<Vec<_>>(), frontends);
        let pods = sockets(&["10.0.1.2:80", "10.0.3.2:80"]);
        assert!(forwarding.rules.values().all(|found| *found == pods));
        assert!(forwarding.addresses.contains(&IpAddr::from([192, 0, 2, 188])));
    }

    #[test]
    fn each_family_leads_to_the_pods_addresses_of_that_family() {
        let mut service = service("Cluster", "192.0.2.188");
        let spec = service.spec.as_mut().unwrap();
        spec.cluster_ips.as_mut().unwrap().push("fd96::7".into());
        let ingress = service.status.as_mut().unwrap().load_balancer.as_mut().unwrap();
        let both = from_value(json!([{ "ip": "192.0.2.188" }, { "ip": "fd00::188" }])).unwrap();
        ingress.ingress = both;
        assert_eq!(on_node3(service.clone()).rules.len(), 3, "a family that it does not have");

        service.spec.as_mut().unwrap().ip_families.as_mut().unwrap().push("IPv6".into());
        let forwarding = on_node3(service);
        let frontends = sockets(&["[fd00::3]:30564", "[fd00::188]:8088", "[fd96::7]:8088"]);
        let (v6, v4): (Vec<_>, Vec<_>) = forwarding.rules.iter().partition(|(at, _)| at.is_ipv6());
        assert_eq!(v6.iter().map(|(at, _)| **at).collect::<Vec<_>>(), frontends);
        let pods = sockets(&["[fd10::1:2]:80", "[fd10::3:2]:80"]);
        assert!(v6.iter().all(|(_, found)| **found == pods), "{v6:?}");
        let pods = sockets(&["10.0.1.2:80", "10.0.3.2:80"]);
        assert!(v4.len() == 3 && v4.iter().all(|(_, found)| **found == pods), "{v4:?}");
    }

    #[test]
    fn a_pod_that_is_leaving_serves_until_there_is_another() {
        let mut slice = slice();
        let endpoints = slice.endpoints.as_mut().unwrap();
        endpoints[1].conditions = from_value(json!(
            { "ready": false, "serving": true, "terminating": true }
        ))
        .unwrap();
        let near = |policy| {
            let service = service(policy, "192.0.2.188");
            Forwarding::of("node3", &node3(), &[service], &[slice.clone()])
        };
        let pods = |forwarding: Forwarding| forwarding.rules.into_values().next().unwrap();
        assert_eq!(pods(near("Local")), sockets(&["10.0.3.2:80"]));
        assert_eq!(pods(near("Cluster")), sockets(&["10.0.1.2:80"]));
    }

    #[test]
    fn a_node_that_must_not_pass_traffic_on_keeps_to_its_own_pods() {
        let forwarding = on_node3(service("Local", "192.0.2.188"));
        assert!(forwarding.rules.values().all(|found| *found == sockets(&["10.0.3.2:80"])));
    }
}

//! What a kubelet reports about its node, and the guide's three nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

/// What a node says of itself when it joins the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeFacts {
    /// Name of the node.
    pub name: String,
    /// Its `InternalIP`s, at most one of each family; the first is what `kubectl` shows.
    pub internal_ips: Vec<IpAddr>,
    /// Role labels, e.g. `worker`.
    pub roles: Vec<String>,
    /// As `uname -r` would print it.
    pub kernel_version: String,
    /// Name and version of the container runtime.
    pub container_runtime: String,
}

/// The nodes in the guide's `kubectl get nodes -o wide`: node1, node3 and node4. Each has an IPv6
/// address, too, which that table does not show.
pub fn guide_nodes() -> Vec<NodeFacts> {
    vec![
        guide_node("node1", 3, &["master", "worker"], "4.15.0-109-generic", "docker://19.3.6"),
        guide_node("node3", 9, &["worker"], "4.15.0-108-generic", "docker://19.3.8"),
        guide_node("node4", 10, &["worker"], "4.15.0-101-generic", "docker://19.3.8"),
    ]
}

fn guide_node(name: &str, host: u8, roles: &[&str], kernel: &str, runtime: &str) -> NodeFacts {
    NodeFacts {
        name: name.into(),
        internal_ips: vec![
            IpAddr::V4(Ipv4Addr::new(172, 22, 0, host)),
            IpAddr::V6(guide_ipv6(host)),
        ],
        roles: roles.iter().map(|&role| role.into()).collect(),
        kernel_version: kernel.into(),
        container_runtime: runtime.into(),
    }
}

/// The IPv6 address of the host with this number in the guide's network; it is written with the
/// same digits as the last part of its IPv4 address.
pub fn guide_ipv6(host: u8) -> Ipv6Addr {
    let digits = u16::from_str_radix(&host.to_string(), 16).expect("decimal digits are hex digits");
    Ipv6Addr::new(0xfd00, 0x172, 0x22, 0, 0, 0, 0, digits)
}

impl NodeFacts {
    /// The node as its kubelet registers it, ready since `now`.
    pub(super) fn registration(&self, now: &Time) -> Node {
        let role = |role: &String| (format!("node-role.kubernetes.io/{role}"), String::new());
        let mut labels: BTreeMap<String, String> = self.roles.iter().map(role).collect();
        labels.insert("kubernetes.io/hostname".into(), self.name.clone());
        labels.insert("kubernetes.io/os".into(), "linux".into());
        Node {
            metadata: ObjectMeta {
                labels: Some(labels),
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec::default()),
            status: Some(self.status(now)),
        }
    }

    fn status(&self, now: &Time) -> NodeStatus {
        let address = |type_: &str, address: String| NodeAddress { type_: type_.into(), address };
        let pods = BTreeMap::from([("pods".to_owned(), Quantity("110".into()))]);
        let internal = self.internal_ips.iter().map(|ip| address("InternalIP", ip.to_string()));
        let addresses = internal.chain([address("Hostname", self.name.clone())]).collect();
        NodeStatus {
            addresses: Some(addresses),
            allocatable: Some(pods.clone()),
            capacity: Some(pods),
            conditions: Some(vec![NodeCondition {
                last_heartbeat_time: Some(now.clone()),
                last_transition_time: Some(now.clone()),
                message: Some("kubelet is posting ready status".into()),
                reason: Some("KubeletReady".into()),
                status: "True".into(),
                type_: "Ready".into(),
            }]),
            node_info: Some(NodeSystemInfo {
                architecture: "amd64".into(),
                container_runtime_version: self.container_runtime.clone(),
                kernel_version: self.kernel_version.clone(),
                kube_proxy_version: "v1.17.9".into(),
                kubelet_version: "v1.17.9".into(),
                operating_system: "linux".into(),
                os_image: "Ubuntu 18.04.4 LTS".into(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }
    }
}

//! What a kubelet reports about its node, and the guide's three nodes.

use std::net::{IpAddr, Ipv4Addr};

/// What a node says of itself when it joins the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeFacts {
    /// Name of the node.
    pub name: String,
    /// Its `InternalIP`.
    pub internal_ip: IpAddr,
    /// Role labels, e.g. `worker`.
    pub roles: Vec<String>,
    /// As `uname -r` would print it.
    pub kernel_version: String,
    /// Name and version of the container runtime.
    pub container_runtime: String,
}

/// The nodes in the guide's `kubectl get nodes -o wide`: node1, node3 and node4.
pub fn guide_nodes() -> [NodeFacts; 3] {
    [
        guide_node("node1", 3, &["master", "worker"], "4.15.0-109-generic", "docker://19.3.6"),
        guide_node("node3", 9, &["worker"], "4.15.0-108-generic", "docker://19.3.8"),
        guide_node("node4", 10, &["worker"], "4.15.0-101-generic", "docker://19.3.8"),
    ]
}

fn guide_node(name: &str, host: u8, roles: &[&str], kernel: &str, runtime: &str) -> NodeFacts {
    NodeFacts {
        name: name.into(),
        internal_ip: IpAddr::V4(Ipv4Addr::new(172, 22, 0, host)),
        roles: roles.iter().map(|&role| role.into()).collect(),
        kernel_version: kernel.into(),
        container_runtime: runtime.into(),
    }
}

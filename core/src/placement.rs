//! Which node is answered for a Service.
//!
//! Candidates are the usable nodes with an endpoint of the Service that can take traffic. The one
//! on record stays while it is a candidate; otherwise the candidate with the fewest EIPs is picked,
//! and ties are broken by rendezvous hashing, so that every replica would pick the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    Link, Node, NodeName, ServiceName, Slice, TrafficPolicy, Uid,
    keys::{self, Spelling},
    random,
};

/// The nodes that can serve a Service now, in the order of their names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Candidates {
    /// No endpoint could take traffic: not answered, under either policy.
    NoEndpoint,
    /// These; none if no node with an endpoint, and for `Cluster` no node at all, is usable.
    Nodes(BTreeMap<NodeName, IpAddr>),
}

impl Candidates {
    /// The candidates for a Service with this policy and these slices, on a link of the replica,
    /// for an EIP of the family of `eip`.
    pub(crate) fn of<'a>(
        policy: TrafficPolicy,
        slices: impl Iterator<Item = &'a Slice> + Clone,
        nodes: &'a BTreeMap<NodeName, IpAddr>,
    ) -> Self {
        let Some(holders) = endpoint_nodes(slices) else { return Self::NoEndpoint };
        let near = nodes.iter().filter(|(name, _)| holders.contains(name));
        let near: BTreeMap<_, _> = near.map(|(name, &address)| (name.clone(), address)).collect();
        match policy {
            TrafficPolicy::Cluster if near.is_empty() => Self::Nodes(nodes.clone()),
            TrafficPolicy::Cluster | TrafficPolicy::Local => Self::Nodes(near),
        }
    }

    /// The address of `node` on the link, if it is a candidate.
    pub(crate) fn address(&self, node: &NodeName) -> Option<IpAddr> {
        match self {
            Self::NoEndpoint => None,
            Self::Nodes(nodes) => nodes.get(node).copied(),
        }
    }
}

/// The nodes with an endpoint that can take traffic; `None` if there is no such endpoint, not even
/// one without a node.
///
/// As kube-proxy does (KEP-1669): ready endpoints, and if there are none, those that still serve
/// while they terminate.
fn endpoint_nodes<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
) -> Option<BTreeSet<&'a NodeName>> {
    let endpoints = slices.flat_map(|slice| &slice.endpoints);
    let any_ready = endpoints.clone().any(|endpoint| endpoint.ready);
    let mut usable = endpoints.filter(|endpoint| match any_ready {
        true => endpoint.ready,
        false => endpoint.serving && endpoint.terminating,
    });
    let first = usable.next()?;
    Some(usable.chain([first]).filter_map(|endpoint| endpoint.node.as_ref()).collect())
}

/// The address of a node on a link of ours, if the node may be answered at all: it is Ready, its
/// network is available, and it is neither being deleted nor excluded nor out of service.
///
/// The Node's own annotation names the address; otherwise it is the first of its addresses, of the
/// family that is asked for, in a subnet of the link.
pub(crate) fn usable_address(node: &Node, link: &Link, v4: bool) -> Option<IpAddr> {
    let barred = node.network_unavailable
        || node.metadata.deleting
        || node.excluded
        || node.out_of_service
        || !node.ready;
    if barred {
        return None;
    }
    let annotated = keys::LAYER2.find(&node.metadata.annotations);
    let annotated = annotated.and_then(|(_, address)| address.parse().ok());
    let mut addresses = annotated.into_iter().chain(node.addresses.iter().copied());
    addresses.find(|&address| {
        address.is_ipv4() == v4 && (link.owns(address) || link.address_beside(address).is_some())
    })
}

/// The node on record for a Service, and the spelling it was written in.
pub(crate) fn record(annotations: &BTreeMap<String, String>) -> Option<(Spelling, NodeName)> {
    let (spelling, node) = keys::LAYER2.find(annotations)?;
    Some((spelling, NodeName::from(node)))
}

/// Which node each Service is placed on, and how many each node has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    placed: BTreeMap<ServiceName, Placed>,
    counts: BTreeMap<NodeName, usize>,
}

/// A node that a Service is placed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Placed {
    pub(crate) node: NodeName,
    /// Whether the API server has confirmed it: only then is it answered.
    pub(crate) committed: bool,
}

impl Load {
    /// Places a Service, or takes it off its node.
    pub(crate) fn place(&mut self, service: &ServiceName, placed: Option<Placed>) {
        if let Some(old) = self.placed.remove(service)
            && let Some(count) = self.counts.get_mut(&old.node)
        {
            *count -= 1;
        }
        if let Some(placed) = placed {
            *self.counts.entry(placed.node.clone()).or_default() += 1;
            self.placed.insert(service.clone(), placed);
        }
    }

    pub(crate) fn placed(&self, service: &ServiceName) -> Option<&Placed> {
        self.placed.get(service)
    }

    /// How many Services are placed on a node.
    pub(crate) fn count(&self, node: &NodeName) -> usize {
        self.counts.get(node).copied().unwrap_or(0)
    }
}

/// The best of some nodes: the one with the fewest EIPs, ties by rendezvous hash.
pub(crate) fn pick<'a>(
    nodes: impl Iterator<Item = &'a NodeName>,
    service: Option<&Uid>,
    load: impl Fn(&NodeName) -> usize,
) -> Option<&'a NodeName> {
    let service = service.map_or("", Uid::as_str);
    nodes.min_by_key(|node| (load(node), random::hash(&[service, node.as_str()])))
}

#[cfg(test)]
mod tests {
    use pnet::util::MacAddr;

    use super::*;
    use crate::{Endpoint, Family};

    fn nodes(names: &[&str]) -> BTreeMap<NodeName, IpAddr> {
        let address = |i| IpAddr::from([172, 22, 0, i]);
        (1u8..).zip(names).map(|(i, &name)| (NodeName::from(name), address(i))).collect()
    }

    fn endpoint(node: Option<&str>, ready: bool, terminating: bool) -> Endpoint {
        let node = node.map(NodeName::from);
        Endpoint { node, ready, serving: ready || terminating, terminating }
    }

    fn names(policy: TrafficPolicy, endpoints: Vec<Endpoint>) -> Option<String> {
        let slice =
            Slice { service: ServiceName::new("default", "web"), family: Family::V4, endpoints };
        match Candidates::of(policy, [&slice].into_iter(), &nodes(&["a", "b", "c"])) {
            Candidates::NoEndpoint => None,
            Candidates::Nodes(nodes) => {
                Some(nodes.keys().map(NodeName::as_str).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn candidates_are_the_nodes_with_a_ready_endpoint_under_both_policies() {
        for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            let two = vec![endpoint(Some("c"), true, false), endpoint(Some("a"), true, false)];
            assert_eq!(names(policy, two).as_deref(), Some("a c"));
            let unready = vec![endpoint(Some("a"), false, false)];
            assert_eq!(names(policy, unready), None);
            assert_eq!(names(policy, vec![]), None);
        }
    }

    #[test]
    fn without_ready_endpoints_those_that_serve_while_terminating_count() {
        let draining = endpoint(Some("a"), false, true);
        let ready = endpoint(Some("b"), true, false);
        let both = vec![draining.clone(), ready];
        assert_eq!(names(TrafficPolicy::Local, both).as_deref(), Some("b"));
        assert_eq!(names(TrafficPolicy::Local, vec![draining]).as_deref(), Some("a"));
    }

    #[test]
    fn endpoints_elsewhere_leave_any_node_to_cluster_and_none_to_local() {
        for node in [None, Some("unusable")] {
            let elsewhere = || vec![endpoint(node, true, false)];
            assert_eq!(names(TrafficPolicy::Cluster, elsewhere()).as_deref(), Some("a b c"));
            assert_eq!(names(TrafficPolicy::Local, elsewhere()).as_deref(), Some(""));
        }
    }

    #[test]
    fn the_least_loaded_node_is_picked_and_ties_are_spread() {
        let nodes = nodes(&["a", "b", "c"]);
        let load = |node: &NodeName| usize::from(node.as_str() != "b");
        assert_eq!(pick(nodes.keys(), None, load).map(NodeName::as_str), Some("b"));
        let picks = |uid: &str| pick(nodes.keys(), Some(&Uid::from(uid)), |_| 0).cloned();
        let spread: BTreeSet<_> = (0..32).map(|i| picks(&i.to_string())).collect();
        assert_eq!(spread.len(), 3);
    }

    #[test]
    fn a_node_is_usable_with_an_address_on_the_link() {
        let net = "172.22.0.9/24".parse().unwrap();
        let mac = MacAddr::new(2, 0, 0, 0, 0, 9);
        let link = Link { mac, addresses: vec![net], carrier: true };
        let addresses = vec![[10, 0, 0, 1].into(), [172, 22, 0, 3].into()];
        let node = Node { ready: true, addresses, ..Node::default() };
        assert_eq!(usable_address(&node, &link, true), Some([172, 22, 0, 3].into()));
        assert_eq!(usable_address(&node, &link, false), None);
        let mut annotated = node.clone();
        let key = "layer2.openelb.kubesphere.io/v1alpha1".to_owned();
        annotated.metadata.annotations.insert(key, "172.22.0.4".to_owned());
        assert_eq!(usable_address(&annotated, &link, true), Some([172, 22, 0, 4].into()));
        for barred in [
            Node { ready: false, ..node.clone() },
            Node { excluded: true, ..node.clone() },
            Node { out_of_service: true, ..node.clone() },
            Node { network_unavailable: true, ..node.clone() },
            Node { addresses: vec![], ..node },
        ] {
            assert_eq!(usable_address(&barred, &link, true), None);
        }
    }
}

//! Which node is answered for a Service.
//!
//! Candidates are the usable nodes with an endpoint of the Service that can take traffic. The one
//! on record stays while it is a candidate; otherwise the candidate with the fewest EIPs is picked,
//! and ties are broken by rendezvous hashing, so that every replica would pick the same.

use std::{collections::BTreeMap, fmt, iter, net::IpAddr};

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::{
    Endpoint, Family, Link, Node, NodeName, Service, Slice, Texts, TrafficPolicy, Uid, keys, random,
};

/// The usable nodes of one link and family, with their addresses there.
pub(crate) type Usable = BTreeMap<NodeName, IpAddr>;

/// The slices of a Service that are of one family. It is one for most.
pub(crate) type Slices<'a> = SmallVec<[&'a Slice; 2]>;

/// Nodes with their addresses. They are few for most Services.
type Near<'a> = SmallVec<[(&'a NodeName, IpAddr); 4]>;

/// The nodes that can serve one address now. What it costs to find them follows the endpoints, and not
/// the nodes that there are.
#[derive(Clone, Debug)]
pub(crate) struct Candidates<'a> {
    usable: &'a Usable,
    /// Whether any usable node passes on what arrives: the policy is `Cluster`.
    cluster_wide: bool,
    /// The slices of each sharer that has endpoints.
    sharers: SmallVec<[Slices<'a>; 1]>,
    /// The usable nodes with an endpoint, by name.
    near: Near<'a>,
}

impl<'a> Candidates<'a> {
    /// The candidates for an address that these Services hold together, or one of them alone, each
    /// with the slices of the address's family.
    ///
    /// A node that has endpoints of all of them comes first; under `Cluster` one that has endpoints
    /// of any will do, and if there is none, any node. Services without endpoints do not count.
    pub(crate) fn of(
        policy: TrafficPolicy,
        sharers: impl Iterator<Item = Slices<'a>>,
        usable: &'a Usable,
    ) -> Self {
        let cluster_wide = policy == TrafficPolicy::Cluster;
        let of_one = |slices: Slices<'a>| Some((endpoint_nodes(&slices)?, slices));
        let sharers: SmallVec<[_; 1]> = sharers.filter_map(of_one).collect();
        let others = || sharers.iter().skip(1).map(|(nodes, _)| nodes);
        let of_all = |node: &&&NodeName| others().all(|there| there.binary_search(node).is_ok());
        let at = |node: &&NodeName| usable.get_key_value(*node).map(|(node, &at)| (node, at));
        let first = sharers.iter().take(1).flat_map(|(nodes, _)| nodes);
        let mut near: Near<'a> = first.filter(of_all).filter_map(at).collect();
        if cluster_wide && near.is_empty() && sharers.len() > 1 {
            near = sharers.iter().flat_map(|(nodes, _)| nodes).filter_map(at).collect();
            near.sort_unstable();
            near.dedup();
        }
        let sharers = sharers.into_iter().map(|(_, slices)| slices).collect();
        Self { usable, cluster_wide, sharers, near }
    }

    /// Whether there is an endpoint at all.
    pub(crate) fn has_endpoint(&self) -> bool {
        !self.sharers.is_empty()
    }

    /// Whether there is a node with an endpoint to choose, or no other may be chosen.
    pub(crate) fn are_near(&self) -> bool {
        !self.cluster_wide || !self.near.is_empty()
    }

    /// Whether a node without an endpoint may be taken for lack of one that has any.
    pub(crate) fn may_be_far(&self) -> bool {
        self.far().is_some()
    }

    /// The nodes to choose among.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&'a NodeName, IpAddr)> {
        let far = self.far().filter(|_| !self.are_near()).into_iter().flatten();
        self.near.iter().copied().chain(far.map(|(node, &address)| (node, address)))
    }

    /// The nodes to choose among, or with `far` all those that could pass on what arrives.
    pub(crate) fn within(&self, far: bool) -> impl Iterator<Item = (&'a NodeName, IpAddr)> {
        let others = self.far().filter(|_| far);
        self.nodes().chain(others.into_iter().flatten().map(|(node, &address)| (node, address)))
    }

    /// The nodes that pass on what arrives, whether they have an endpoint or not.
    fn far(&self) -> Option<&'a Usable> {
        (self.cluster_wide && self.has_endpoint()).then_some(self.usable)
    }

    /// Whether a node has an endpoint.
    pub(crate) fn is_near(&self, node: &NodeName) -> bool {
        self.near(node).is_some()
    }

    fn near(&self, node: &NodeName) -> Option<IpAddr> {
        let found = self.near.binary_search_by_key(&node, |(near, _)| near).ok()?;
        Some(self.near[found].1)
    }

    /// The address of a node that takes the traffic, though another one is to take over: it passes on
    /// what arrives, or its own endpoints still serve while they terminate.
    pub(crate) fn lingers(&self, node: &NodeName) -> Option<IpAddr> {
        let serves = || self.sharers.iter().all(|slices| serves(slices, node));
        let lingers = self.has_endpoint() && (self.cluster_wide || serves());
        self.usable.get(node).filter(|_| lingers).copied()
    }

    /// The address of a node that may be answered: a candidate, or one that was taken for lack of
    /// one (`stays`), which stays as long as it is usable at all.
    pub(crate) fn address(&self, node: &NodeName, stays: bool) -> Option<IpAddr> {
        let far = || self.far().filter(|_| stays || self.near.is_empty())?.get(node).copied();
        self.near(node).or_else(far)
    }
}

/// The endpoints that take traffic, as for kube-proxy (KEP-1669): those that are ready, and if there are
/// none, those that still serve while they terminate.
pub(crate) fn takers<'a>(slices: &[&'a Slice]) -> impl Iterator<Item = &'a Endpoint> {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let any_ready = endpoints.clone().any(|endpoint| endpoint.ready);
    endpoints.filter(move |endpoint| match any_ready {
        true => endpoint.ready,
        false => endpoint.serving && endpoint.terminating,
    })
}

/// The nodes with an endpoint that takes traffic, by name, each once; `None` if there is no such
/// endpoint, not even one without a node.
pub(crate) fn endpoint_nodes<'a>(slices: &[&'a Slice]) -> Option<SmallVec<[&'a NodeName; 4]>> {
    let mut usable = takers(slices);
    let first = usable.next()?;
    let nodes = usable.chain([first]).filter_map(|endpoint| endpoint.node.as_ref());
    let mut nodes: SmallVec<_> = nodes.collect();
    nodes.sort_unstable();
    nodes.dedup();
    Some(nodes)
}

/// Whether a node has an endpoint that takes traffic.
///
/// A node's kube-proxy that is to keep to its own endpoints takes those that terminate if none of
/// them is ready, whatever there is elsewhere (KEP-1669).
fn serves(slices: &[&Slice], node: &NodeName) -> bool {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let mut here = endpoints.filter(|endpoint| endpoint.node.as_ref() == Some(node));
    here.any(|endpoint| endpoint.ready || endpoint.serving && endpoint.terminating)
}

/// Whether any node passes on what arrives for a Service.
pub(crate) fn is_cluster_wide(service: &Service) -> bool {
    service.policy == TrafficPolicy::Cluster
}

/// Why a node may not be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Obstacle {
    /// Several MACs claim to be it on the LAN.
    AmbiguousMac,
    /// It does not answer on the LAN.
    Dead,
    /// It is being deleted.
    Deleting,
    /// It has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    Excluded,
    /// None of its addresses of the family is in a subnet of the link.
    NoAddress,
    /// Its condition `NetworkUnavailable` is true.
    NetworkUnavailable,
    /// It is not Ready.
    NotReady,
    /// It has the taint `node.kubernetes.io/out-of-service`.
    OutOfService,
}

impl Obstacle {
    /// A clause that follows the name of the node.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AmbiguousMac => "is claimed by several MACs on the LAN",
            Self::Dead => "does not answer on the LAN",
            Self::Deleting => "is being deleted",
            Self::Excluded => {
                "has the label node.kubernetes.io/exclude-from-external-load-balancers"
            }
            Self::NoAddress => "has no address in a subnet of the interface",
            Self::NetworkUnavailable => "has its network unavailable",
            Self::NotReady => "is not Ready",
            Self::OutOfService => "has the taint node.kubernetes.io/out-of-service",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address of a node on a link of ours, if the node may be answered at all.
///
/// The Node's own annotation names the address, or by a CIDR those of its addresses that may be
/// taken; otherwise it is the first of its addresses, of the family that is asked for, in a subnet of
/// the link. `excludes`: whether the label that excludes a node counts; it does not when every node
/// has it.
pub(crate) fn usable_address(
    node: &Node,
    link: &Link,
    family: Family,
    excludes: bool,
) -> Result<IpAddr, Obstacle> {
    if let Some(obstacle) = bar(node, excludes) {
        return Err(obstacle);
    }
    let text = keys::LAYER2.find(&node.metadata.annotations).map(|(_, text)| text.trim());
    let net: Option<IpNet> = text.and_then(|text| text.parse().ok());
    let named = text.and_then(|text| text.parse().ok()).into_iter();
    let own = node.addresses.iter().copied();
    let own = own.filter(|address| net.is_none_or(|net| net.contains(address)));
    let mut addresses = named.chain(own).filter(|&address| Family::of(address) == family);
    let on_link = |address: &IpAddr| link.owns(*address) || link.address_beside(*address).is_some();
    addresses.find(on_link).ok_or(Obstacle::NoAddress)
}

/// What the API server says against a node, on whichever link.
pub(crate) fn bar(node: &Node, excludes: bool) -> Option<Obstacle> {
    let bars = [
        (node.metadata.deleting, Obstacle::Deleting),
        (node.out_of_service, Obstacle::OutOfService),
        (!node.ready, Obstacle::NotReady),
        (node.network_unavailable, Obstacle::NetworkUnavailable),
        (excludes && node.excluded, Obstacle::Excluded),
    ];
    bars.into_iter().find(|(bars, _)| *bars).map(|(_, obstacle)| obstacle)
}

/// The addresses that a node has, on whichever link: no Service may have them.
pub(crate) fn addresses(node: &Node) -> impl Iterator<Item = IpAddr> + '_ {
    let named = keys::LAYER2.find(&node.metadata.annotations);
    let named = named.and_then(|(_, text)| text.trim().parse().ok());
    node.addresses.iter().copied().chain(named)
}

/// The node on record for a Service.
pub(crate) fn record(annotations: &Texts) -> Option<NodeName> {
    keys::LAYER2.find(annotations).map(|(_, node)| NodeName::from(node))
}

/// The best of some nodes: the one with the least load, ties by rendezvous hash.
pub(crate) fn pick<'a, L: Ord>(
    nodes: impl Iterator<Item = &'a NodeName>,
    service: Option<&Uid>,
    load: impl Fn(&NodeName) -> L,
) -> Option<&'a NodeName> {
    let service = service.map_or("", Uid::as_str);
    let mut nodes = nodes.peekable();
    let first = nodes.next()?;
    if nodes.peek().is_none() {
        return Some(first); // What it is compared by takes a while to find.
    }
    let nodes = iter::once(first).chain(nodes);
    nodes.min_by_key(|node| (load(node), random::hash(&[service, node.as_str()])))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pnet::util::MacAddr;

    use super::*;
    use crate::{Endpoint, Family, ServiceName};

    fn nodes(names: &[&str]) -> BTreeMap<NodeName, IpAddr> {
        let address = |i| IpAddr::from([172, 22, 0, i]);
        (1u8..).zip(names).map(|(i, &name)| (NodeName::from(name), address(i))).collect()
    }

    fn endpoint(node: Option<&str>, ready: bool, terminating: bool) -> Endpoint {
        let node = node.map(NodeName::from);
        Endpoint { node, ready, serving: ready || terminating, terminating }
    }

    fn names(policy: TrafficPolicy, endpoints: Vec<Endpoint>) -> Option<String> {
        shared(policy, vec![endpoints])
    }

    fn shared(policy: TrafficPolicy, sharers: Vec<Vec<Endpoint>>) -> Option<String> {
        let service = ServiceName::new("default", "web");
        let slice = |endpoints| Slice { service: service.clone(), family: Family::V4, endpoints };
        let slices: Vec<_> = sharers.into_iter().map(slice).collect();
        let usable = nodes(&["a", "b", "c"]);
        let candidates = Candidates::of(
            policy,
            slices.iter().map(|slice| Slices::from_slice(&[slice])),
            &usable,
        );
        let names = candidates.nodes().map(|(node, _)| node.as_str());
        candidates.has_endpoint().then(|| names.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn sharers_are_served_where_all_are_else_where_any_is_and_the_idle_do_not_count() {
        let on = |nodes: &[&str]| {
            nodes.iter().map(|node| endpoint(Some(node), true, false)).collect::<Vec<_>>()
        };
        let of = |policy, sharers: &[&[&str]]| {
            shared(policy, sharers.iter().map(|nodes| on(nodes)).collect())
        };
        let (cluster, local) = (TrafficPolicy::Cluster, TrafficPolicy::Local);
        assert_eq!(of(cluster, &[&["a", "b"], &["b", "c"]]).as_deref(), Some("b"));
        assert_eq!(of(cluster, &[&["a"], &["b"]]).as_deref(), Some("a b"));
        assert_eq!(of(local, &[&["a"], &["b"]]).as_deref(), Some(""));
        assert_eq!(of(local, &[&[], &["b"]]).as_deref(), Some("b"));
        assert_eq!(of(cluster, &[&[], &[]]), None);
    }

    #[test]
    fn a_node_taken_for_lack_of_another_stays_while_it_is_usable() {
        let slice = Slice {
            service: ServiceName::new("default", "web"),
            family: Family::V4,
            endpoints: vec![endpoint(Some("a"), true, false)],
        };
        let usable = nodes(&["a", "b"]);
        let of =
            |policy| Candidates::of(policy, [Slices::from_slice(&[&slice])].into_iter(), &usable);
        let stays = |policy, node: &str, stays| of(policy).address(&node.into(), stays).is_some();
        assert!(stays(TrafficPolicy::Cluster, "b", true));
        assert!(!stays(TrafficPolicy::Cluster, "b", false));
        assert!(!stays(TrafficPolicy::Local, "b", true));
        assert!(!stays(TrafficPolicy::Cluster, "c", true));
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
        let link = Link { mac, addresses: vec![net], gateways: BTreeSet::new(), carrier: true };
        let addresses = vec![[10, 0, 0, 1].into(), [172, 22, 0, 3].into()];
        let node = Node { ready: true, addresses, ..Node::default() };
        let of = |node: &Node, family| usable_address(node, &link, family, true);
        assert_eq!(of(&node, Family::V4), Ok([172, 22, 0, 3].into()));
        assert_eq!(of(&node, Family::V6), Err(Obstacle::NoAddress));
        let mut annotated = node.clone();
        let key = "layer2.openelb.kubesphere.io/v1alpha1".to_owned();
        annotated.metadata.annotations.insert(key, "172.22.0.4".to_owned());
        assert_eq!(of(&annotated, Family::V4), Ok([172, 22, 0, 4].into()));
        for (barred, obstacle) in [
            (Node { ready: false, ..node.clone() }, Obstacle::NotReady),
            (Node { excluded: true, ..node.clone() }, Obstacle::Excluded),
            (Node { out_of_service: true, ..node.clone() }, Obstacle::OutOfService),
            (Node { network_unavailable: true, ..node.clone() }, Obstacle::NetworkUnavailable),
            (Node { addresses: vec![], ..node.clone() }, Obstacle::NoAddress),
        ] {
            assert_eq!(of(&barred, Family::V4), Err(obstacle));
        }
        let excluded = Node { excluded: true, ..node };
        assert!(usable_address(&excluded, &link, Family::V4, false).is_ok());
    }

    #[test]
    fn the_annotation_of_a_node_may_name_a_subnet_instead_of_an_address() {
        let link = Link {
            mac: MacAddr::new(2, 0, 0, 0, 0, 9),
            addresses: vec!["172.22.0.9/16".parse().unwrap()],
            gateways: BTreeSet::new(),
            carrier: true,
        };
        let addresses = vec![[172, 22, 0, 3].into(), [172, 22, 9, 3].into()];
        let mut node = Node { ready: true, addresses, ..Node::default() };
        let mut of = |text: &str| {
            let key = "layer2.porter.kubesphere.io/v1alpha1".to_owned();
            node.metadata.annotations.insert(key, text.to_owned());
            usable_address(&node, &link, Family::V4, true)
        };
        assert_eq!(of("172.22.9.0/24"), Ok([172, 22, 9, 3].into()));
        assert_eq!(of("172.22.7.0/24"), Err(Obstacle::NoAddress));
        assert_eq!(of("nonsense"), Ok([172, 22, 0, 3].into()));
    }
}

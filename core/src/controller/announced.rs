//! What the condition `porter.kubesphere.io/Announced` says of a Service that holds an address.
//!
//! | reason | met | what it means |
//! |---|---|---|
//! | `Announced` | yes | every address is answered with the node and the MAC in the message |
//! | `AnnouncedElsewhere` | yes | likewise, with a node that has no endpoint: none that has one was usable, or had been for long |
//! | `LeftToAnother` | no | somebody else claims the address, and is left with it |
//! | `NodeAddress` | no | a node has the address for its own, and answers for it |
//! | `NoReadyEndpoint` | no | no endpoint could take traffic |
//! | `NoUsableNode` | no | there are endpoints, but none of their nodes may be answered |
//! | `MacUnknown` | no | the node is chosen, but does not answer on the interface |
//! | `InterfaceSilent` | no | nothing is heard any more on the interface where Porter leads |
//!
//! If the interface of the Eip is at fault the reason is that of [`Lack`].
//! A Service that holds no address is told why by [`Refusal`](crate::ipam::Refusal).

use std::{fmt::Write, net::IpAddr};

use pnet::util::MacAddr;

use super::{
    Surroundings,
    lack::Lack,
    placing::{self, Answer, Placing},
};
use crate::{
    Family, LinkName, NodeName, ServiceName, Silence, Whereabouts, cluster::Cluster,
    interface::Interface, ipam::Holding, placement,
};

/// The reason that says of a node that it has no endpoint. It is read again by the next leader: a
/// node that was taken so stays until it is unusable itself.
pub(super) const ELSEWHERE: &str = "AnnouncedElsewhere";
/// So many nodes are named in a message; of the others it says how many there are.
const NAMED: usize = 3;

/// What is to be said of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// It is about to change: what is said stays.
    Later,
    /// The condition is met or not, for this reason and with this message.
    Now { met: bool, reason: &'static str, message: String },
}

impl Word {
    pub(super) fn not(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Now { met: false, reason, message: message.into() }
    }
}

/// What is to be said of a Service that was placed.
pub(super) fn word(name: &ServiceName, placing: &Placing, around: &Surroundings<'_>) -> Word {
    let failed = placing.answers.iter().find_map(|answer| Some((answer, answer.is_at.err()?)));
    let Some((answer, silence)) = failed else {
        let mut message = String::new();
        for Answer { address, link, is_at } in &placing.answers {
            let (Some(node), Ok(mac)) = (&placing.node, is_at) else { continue };
            let comma = if message.is_empty() { "" } else { "; " };
            let _ = write!(message, "{comma}{}", at(*address, node, *mac, *link));
        }
        return match message.is_empty() {
            true => Word::Later,
            false if placing.fallback => {
                message
                    .push_str(", which has no endpoint: no node that has one could be relied on");
                Word::Now { met: true, reason: ELSEWHERE, message }
            }
            false => Word::Now { met: true, reason: "Announced", message },
        };
    };
    let (address, link) = (answer.address, answer.link);
    let cluster = around.cluster;
    let lack = Lack::of_link(link, cluster);
    let mut word = match (silence, &placing.node) {
        (Silence::Uncommitted, _) => return Word::Later,
        (Silence::NoNode, _) if placing.searches => return Word::Later,
        (Silence::MacUnknown, Some(node))
            if placing::is_searched(node, answer, cluster, around.neighbors) =>
        {
            return Word::Later;
        }
        (Silence::Conflict, _) => Word::not("LeftToAnother", left(address)),
        (Silence::NodeAddress, _) => Word::not("NodeAddress", node_address(address, cluster)),
        (Silence::NoEndpoint, _) => {
            Word::not("NoReadyEndpoint", no_endpoint(name, answer, cluster))
        }
        (_, _) if let Some(Lack { reason, message }) = &lack => {
            Word::not(reason, format!("{address} is not answered: {message}"))
        }
        (Silence::LinkSuspect, _) => {
            let message = format!(
                "{address} is not answered: nothing is heard on {link} any more where Porter leads; \
                 check the cable and the switch port of that node"
            );
            Word::not("InterfaceSilent", message)
        }
        (Silence::MacUnknown, Some(node)) => Word::not("MacUnknown", no_mac(node, answer, cluster)),
        (_, _) => Word::not("NoUsableNode", no_node(name, answer, around)),
    };
    // One family may be answered while the other is not.
    let told = placing.answers.iter().filter_map(|answer| Some((answer, answer.is_at.ok()?)));
    if let Word::Now { message, .. } = &mut word
        && let Some(node) = &placing.node
    {
        for (Answer { address, link, .. }, mac) in told {
            let _ = write!(message, "; {}", at(*address, node, mac, *link));
        }
    }
    word
}

fn at(address: IpAddr, node: &NodeName, mac: MacAddr, link: LinkName) -> Whereabouts {
    Whereabouts { address, node: node.clone(), mac, link }
}

/// What is to be said if an address is held of an Eip that is on no link any more.
pub(super) fn linkless(held: &[Holding], cluster: &Cluster) -> Option<Word> {
    let on_none = |holding: &&Holding| cluster.link_of(&holding.eip).is_none();
    let Holding { eip, address } = held.iter().find(on_none)?;
    if let Some(Interface::Reaching(reached)) = cluster.eips.get(eip).and_then(Interface::of) {
        let Some(Lack { reason, message }) = Lack::of_route(reached, cluster) else {
            return Some(Word::Later);
        };
        return Some(Word::not(reason, format!("{address} is not answered: {message}")));
    }
    let message = format!(
        "{address} is not answered: Eip {eip} names no network interface; correct spec.interface of \
         the Eip"
    );
    Some(Word::not("InterfaceMissing", message))
}

fn left(address: IpAddr) -> String {
    format!(
        "{address} is not answered: somebody else claims it, and --on-conflict=yield leaves it to them; \
         see the condition AddressConflict"
    )
}

fn node_address(address: IpAddr, cluster: &Cluster) -> String {
    let node = cluster.owner(address).map_or("a node", NodeName::as_str);
    format!(
        "{address} is not answered: {node} has it for its own address; give that node another, or \
         name another on the Service"
    )
}

fn no_endpoint(name: &ServiceName, answer: &Answer, cluster: &Cluster) -> String {
    let (address, family) = (answer.address, Family::of(answer.address));
    let slices = cluster.endpoints.of(name, family);
    let n_endpoints: usize = slices.iter().map(|slice| slice.endpoints.len()).sum();
    match n_endpoints {
        0 => format!(
            "{address} is not answered: the Service has no {family} endpoint; check that its \
             selector matches the labels of running pods"
        ),
        n => format!(
            "{address} is not answered: none of the {n} {family} endpoints is ready; check the \
             readiness of the pods"
        ),
    }
}

fn no_mac(node: &NodeName, answer: &Answer, cluster: &Cluster) -> String {
    let (address, link) = (answer.address, answer.link);
    let at = cluster.address_of(node, link, Family::of(address));
    let at = at.map(|at| at.to_string()).unwrap_or_default();
    format!(
        "{address} is to be at {node}, which does not answer for {at} on {link}; is it on this LAN?"
    )
}

fn no_node(name: &ServiceName, answer: &Answer, around: &Surroundings<'_>) -> String {
    let cluster = around.cluster;
    let (address, link) = (answer.address, answer.link);
    let family = Family::of(address);
    let mut nodes =
        placement::endpoint_nodes(&cluster.endpoints.of(name, family)).unwrap_or_default();
    let cluster_wide = cluster.services.get(name).is_some_and(placement::is_cluster_wide);
    if cluster_wide {
        // Any node would do, and none does.
        nodes = cluster.nodes.iter().map(|(node, _)| node).collect();
    }
    let answers = |node: &NodeName| {
        let at = cluster.address_of(node, link, family);
        let own = |at| cluster.links.get(&link).is_some_and(|link| link.owns(at));
        at.is_some_and(|at| own(at) || around.neighbors.mac((link, at)).is_some())
    };
    let obstacle = |node: &NodeName| match cluster.obstacle(node, link, family) {
        _ if cluster.nodes.get(node).is_none() => "is no Node of the cluster".to_owned(),
        Some(obstacle) => obstacle.to_string(),
        None if cluster.is_cordoned(node) => "is cordoned".to_owned(),
        None if answers(node) => "cannot serve the other addresses that go with it".to_owned(),
        None => format!("does not answer on {link}"),
    };
    let named: Vec<_> =
        nodes.iter().take(NAMED).map(|node| format!("{node} {}", obstacle(node))).collect();
    let mut message = match (named.is_empty(), cluster_wide) {
        (false, _) => format!("{address} is not answered: {}", named.join(", ")),
        (true, true) => format!("{address} is not answered: the cluster has no nodes"),
        (true, false) => format!(
            "{address} is not answered: externalTrafficPolicy is Local, and no endpoint names its \
             node"
        ),
    };
    if let Some(others) = nodes.len().checked_sub(NAMED).filter(|others| *others > 0) {
        let _ = write!(message, ", and {others} more");
    }
    if !cluster_wide && !named.is_empty() {
        message.push_str("; externalTrafficPolicy is Local, so no other node will do");
    }
    message
}

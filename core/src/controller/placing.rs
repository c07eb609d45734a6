//! Which node is answered for the addresses of a Service.
//!
//! All addresses of a Service are answered with one node, and so are all Services that share one.
//! The record is the annotation of the oldest sharer; the others carry copies, which are written
//! afterwards and read only when they have become the oldest.

use std::net::IpAddr;

use pnet::util::MacAddr;

use super::{Controller, Surroundings, announced::ELSEWHERE};
use crate::{
    Family, LinkName, NodeName, Service, ServiceName, Silence,
    cluster::Cluster,
    ipam::{self, Holding, Ipam},
    neighbor::Neighbors,
    placement::{self, Candidates, Placed},
};

/// What became of placing a Service.
pub(super) struct Placing {
    /// The node to have on record.
    pub(super) node: Option<NodeName>,
    /// A node that a person has put on record and that cannot be answered.
    pub(super) rejected: Option<NodeName>,
    /// What is answered for each address.
    pub(super) answers: Vec<Answer>,
    /// Whether it is still to be found out which nodes are there.
    pub(super) searches: bool,
    /// Whether the node was taken for lack of a usable one with an endpoint.
    pub(super) fallback: bool,
}

/// What is answered for an address.
pub(super) struct Answer {
    pub(super) address: IpAddr,
    pub(super) link: LinkName,
    pub(super) is_at: Result<MacAddr, Silence>,
}

/// An address to be answered, and who could be answered for it.
struct Spot<'a> {
    address: IpAddr,
    link: LinkName,
    candidates: Candidates<'a>,
}

impl Spot<'_> {
    fn has_endpoint(&self) -> bool {
        self.candidates.has_endpoint()
    }

    fn mac(&self, at: IpAddr, cluster: &Cluster, neighbors: &Neighbors) -> Option<MacAddr> {
        let own = cluster.links.get(&self.link).filter(|link| link.owns(at));
        own.map(|link| link.mac).or_else(|| neighbors.mac((self.link, at)))
    }

    fn is_settled(&self, at: IpAddr, cluster: &Cluster, neighbors: &Neighbors) -> bool {
        let own = cluster.links.get(&self.link).is_some_and(|link| link.owns(at));
        own || neighbors.settled((self.link, at))
    }
}

impl Controller {
    /// Settles what is answered for the recorded addresses of a Service.
    pub(super) fn place(
        &mut self,
        name: &ServiceName,
        service: &Service,
        holdings: &[Holding],
        around: &mut Surroundings<'_>,
    ) -> Placing {
        let cluster = around.cluster;
        let sharers = sharers(&self.ipam, holdings, cluster);
        let head =
            sharers.first().filter(|(head, _)| *head != name).map(|(head, _)| (*head).clone());
        let sharing = |(sharer, facts): &(&ServiceName, &Service)| {
            *sharer == name || cluster.request(facts).is_some()
        };
        let sharers: Vec<_> = sharers.iter().copied().filter(sharing).collect();
        let spot = |holding: &Holding| {
            let address = holding.address;
            let link = cluster.eips.get(&holding.eip).and_then(ipam::link_of)?;
            let shared = self.ipam.holders_of(address).nth(1).is_some();
            let candidates = match shared {
                true => cluster.candidates(sharers.iter().copied(), link, address),
                false => cluster.candidates([(name, service)].into_iter(), link, address),
            };
            Some(Spot { address, link, candidates })
        };
        let spots: Vec<_> = holdings.iter().filter_map(spot).collect();
        let record = placement::record(&service.metadata.annotations);
        let (placed, searches) = match &head {
            // What the head has not committed is not copied.
            Some(head) => {
                (self.load.placed(head).filter(|placed| placed.committed).cloned(), false)
            }
            None => {
                let stays = self.stays((name, service), record.as_ref(), &spots, around);
                match stays {
                    Some(placed) => (Some(placed), false),
                    None => self.pick(service, &spots, around),
                }
            }
        };
        let rejected = record.filter(|record| {
            let kept = placed.as_ref().filter(|placed| placed.committed && head.is_none());
            kept.is_some_and(|kept| kept.node != *record)
        });
        let heads = placed.clone().filter(|_| head.is_none());
        if self.load.placed(name) != heads.as_ref() {
            // Whoever shares an address with it follows.
            let followers = sharers.iter().filter(|(sharer, _)| *sharer != name);
            self.services.extend(followers.map(|(sharer, _)| (*sharer).clone()));
        }
        self.load.place(name, heads);
        let answers = spots.iter().map(|spot| {
            let is_at = answer(spot, placed.as_ref(), cluster, around.neighbors);
            Answer { address: spot.address, link: spot.link, is_at }
        });
        let answers: Vec<_> = answers.collect();
        for Answer { address, link, is_at } in &answers {
            let heads = self.ipam.holders_of(*address).nth(1).is_none() || head.is_none();
            if heads {
                around.publication.set(*link, *address, Some(*is_at));
            }
        }
        let fallback = placed.as_ref().is_some_and(|placed| placed.fallback);
        let node = placed.map(|placed| placed.node);
        Placing { node, rejected, answers, searches, fallback }
    }

    /// The node that stays: the one on record, or else the one that is answered, which no edit of
    /// the record moves to a node that cannot be answered.
    fn stays(
        &self,
        (name, service): (&ServiceName, &Service),
        record: Option<&NodeName>,
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> Option<Placed> {
        let served = |node: &NodeName, fallback: bool| {
            let serves = |spot: &&Spot<'_>| spot.candidates.address(node, fallback).is_some();
            spots.iter().filter(serves).count()
        };
        let placed = self.load.placed(name);
        // An earlier leader has left word of why it took a node without an endpoint.
        let announced = service.announced.as_ref();
        let announced = announced.is_some_and(|announced| announced.reason == ELSEWHERE);
        let fallback = |node: &NodeName| match placed {
            Some(placed) => placed.node == *node && placed.fallback,
            None => announced,
        };
        let record = record.filter(|node| served(node, fallback(node)) > 0);
        let stays = match (record, placed) {
            (Some(node), _) => (node, true, served(node, fallback(node))),
            (None, Some(placed)) => {
                (&placed.node, placed.committed, served(&placed.node, placed.fallback))
            }
            (None, None) => return None,
        };
        let (node, committed, n_served) = stays;
        if n_served == 0 {
            return None;
        }
        let wanted = spots.iter().filter(|spot| spot.has_endpoint()).count();
        let in_all = |node: &NodeName| {
            let answers = |spot: &Spot<'_>| {
                let at = spot.candidates.address(node, false);
                at.is_some_and(|at| spot.mac(at, around.cluster, around.neighbors).is_some())
            };
            spots.iter().filter(|spot| spot.has_endpoint()).all(answers)
        };
        let nodes = || spots.iter().flat_map(|spot| spot.candidates.nodes());
        let open = |node: &NodeName| !around.cluster.is_cordoned(node) && in_all(node);
        if n_served < wanted && is_settled(spots, around) && nodes().any(|(node, _)| open(node)) {
            return None;
        }
        let fallback = !spots.iter().any(|spot| spot.candidates.is_near(node));
        Some(Placed { node: node.clone(), committed, fallback })
    }

    /// Picks a node among those that answer, once it is known of every candidate whether it does.
    /// Says whether that is still to be found out.
    fn pick(
        &self,
        service: &Service,
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> (Option<Placed>, bool) {
        let (cluster, neighbors) = (around.cluster, around.neighbors);
        if !is_settled(spots, around) {
            return (None, true);
        }
        let answered = |node: &NodeName| {
            let answers = |spot: &&Spot<'_>| {
                let at = spot.candidates.nodes().find(|(other, _)| *other == node);
                at.is_some_and(|(_, at)| spot.mac(at, cluster, neighbors).is_some())
            };
            spots.iter().filter(answers).count()
        };
        let nodes = spots.iter().flat_map(|spot| spot.candidates.nodes().map(|(node, _)| node));
        let open = nodes.filter(|node| !cluster.is_cordoned(node));
        let open: Vec<_> = open.map(|node| (answered(node), node)).collect();
        // One that answers in every family is better than one that does in some.
        let most = open.iter().map(|(n_answered, _)| *n_answered).max().filter(|most| *most > 0);
        let best = open.iter().filter(|(n_answered, _)| Some(*n_answered) == most);
        let load = |node: &NodeName| self.load.count(node);
        let uid = service.metadata.uid.as_ref();
        let node = placement::pick(best.map(|(_, node)| *node), uid, load);
        let placed = node.map(|node| Placed {
            node: node.clone(),
            committed: false,
            fallback: !spots.iter().any(|spot| spot.candidates.is_near(node)),
        });
        (placed, false)
    }
}

/// Those who share an address among some, the oldest first; empty if none is shared.
pub(super) fn sharers<'a>(
    ipam: &Ipam,
    holdings: &[Holding],
    cluster: &'a Cluster,
) -> Vec<(&'a ServiceName, &'a Service)> {
    let shared = |holding: &&Holding| ipam.holders_of(holding.address).nth(1).is_some();
    let Some(holding) = holdings.iter().find(shared) else { return Vec::new() };
    let holders = ipam.holders_of(holding.address);
    let mut sharers: Vec<_> = holders.filter_map(|name| cluster.services.entry(name)).collect();
    sharers.sort_by_key(|(name, service)| (super::age(service), (*name).clone()));
    sharers
}

/// Whether it is known of every candidate whether it answers.
fn is_settled(spots: &[Spot<'_>], around: &Surroundings<'_>) -> bool {
    let settled = |spot: &Spot<'_>| {
        let mut nodes = spot.candidates.nodes();
        nodes.all(|(_, at)| spot.is_settled(at, around.cluster, around.neighbors))
    };
    spots.iter().all(settled)
}

fn answer(
    spot: &Spot<'_>,
    placed: Option<&Placed>,
    cluster: &Cluster,
    neighbors: &Neighbors,
) -> Result<MacAddr, Silence> {
    if !spot.has_endpoint() {
        return Err(Silence::NoEndpoint);
    }
    let placed = placed.ok_or(Silence::NoNode)?;
    if !placed.committed {
        return Err(Silence::Uncommitted);
    }
    let at = spot.candidates.address(&placed.node, placed.fallback).ok_or(Silence::NoNode)?;
    spot.mac(at, cluster, neighbors).ok_or(Silence::MacUnknown)
}

/// Whether nobody knows yet whether a node answers for an address of a family on a link.
pub(super) fn is_searched(
    node: &NodeName,
    answer: &Answer,
    cluster: &Cluster,
    neighbors: &Neighbors,
) -> bool {
    let at = cluster.address_of(node, answer.link, Family::of(answer.address));
    at.is_some_and(|at| !neighbors.settled((answer.link, at)))
}

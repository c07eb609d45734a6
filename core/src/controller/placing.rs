//! Which node is answered for the addresses of a Service.
//!
//! All addresses of a Service are answered with one node, and so are all Services that share one.
//! The record is the annotation of the oldest sharer; the others carry copies, which are written
//! afterwards and read only when they have become the oldest.

mod moves;

pub(crate) use self::moves::Departure;
pub use self::moves::{Move, MoveCause};

use std::net::IpAddr;

use pnet::util::MacAddr;
use smallvec::SmallVec;

use super::{Controller, Surroundings, announced::ELSEWHERE};
use crate::{
    Family, LinkName, NodeName, Service, ServiceName, Silence,
    cluster::Cluster,
    ipam::{Holding, Ipam},
    load::Placed,
    neighbor::Neighbors,
    placement::{self, Candidates, Obstacle},
};

/// What became of placing a Service.
pub(super) struct Placing {
    /// The node to have on record.
    pub(super) node: Option<NodeName>,
    /// A node that a person has put on record and that cannot be answered.
    pub(super) rejected: Option<Rejected>,
    /// What is answered for each address.
    pub(super) answers: Answers,
    /// Whether it is still to be found out which nodes are there.
    pub(super) searches: bool,
    /// Whether the node was taken for lack of a usable one with an endpoint.
    pub(super) fallback: bool,
}

/// A pin that is not followed.
pub(super) struct Rejected {
    pub(super) node: NodeName,
    /// What is wrong with the node, as a clause that follows its name.
    pub(super) why: String,
}

/// What is answered for each address of a Service.
type Answers = SmallVec<[Answer; 2]>;

/// What is answered for an address.
pub(super) struct Answer {
    pub(super) address: IpAddr,
    pub(super) link: LinkName,
    pub(super) is_at: Result<MacAddr, Silence>,
}

/// Which nodes come into question as the answer.
#[derive(Clone, Copy)]
struct Answered<'a> {
    /// The node that is decided for.
    placed: Option<&'a Placed>,
    /// The node that was answered, as long as the other is not committed.
    meanwhile: Option<&'a NodeName>,
    /// The node on record, whether it can be answered or not.
    recorded: Option<&'a NodeName>,
    /// Whether an earlier leader may have left an address to somebody else.
    left: bool,
}

/// What was decided for a Service before, by this leader or an earlier one.
#[derive(Clone, Copy)]
struct Past<'a> {
    service: &'a Service,
    record: Option<&'a NodeName>,
    placed: Option<&'a Placed>,
}

impl<'a> Past<'a> {
    /// The node that is answered for the Service, or was by an earlier leader.
    fn incumbent(self) -> Option<&'a NodeName> {
        match self.placed {
            Some(placed) if placed.committed => Some(&placed.node),
            Some(placed) => placed.follows.as_ref(),
            None => {
                self.record.filter(|_| self.service.announced.as_ref().is_some_and(|it| it.met))
            }
        }
    }
}

/// An address to be answered, and who could be answered for it.
struct Spot<'a> {
    address: IpAddr,
    link: LinkName,
    shared: bool,
    candidates: Candidates<'a>,
}

impl Spot<'_> {
    fn has_endpoint(&self) -> bool {
        self.candidates.has_endpoint()
    }

    /// The address of a node that may be answered here, taken for lack of another or not. One that
    /// has an endpoint of another family of the Service may pass on what arrives in this one.
    fn address_of(&self, node: &NodeName, fallback: bool, spots: &[Spot<'_>]) -> Option<IpAddr> {
        let near = || spots.iter().any(|spot| spot.candidates.is_near(node));
        self.candidates.address(node, fallback || near())
    }

    /// Whether a node that may be answered here is known to answer.
    fn answers(
        &self,
        node: &NodeName,
        fallback: bool,
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> bool {
        let at = self.address_of(node, fallback, spots);
        at.is_some_and(|at| self.is_there(at, around))
    }

    fn is_there(&self, at: IpAddr, around: &Surroundings<'_>) -> bool {
        self.own_mac(at, around).is_some() || around.neighbors.mac((self.link, at)).is_some()
    }

    /// What is answered with for the node at an address.
    fn mac(&self, at: IpAddr, around: &Surroundings<'_>) -> Option<MacAddr> {
        let confirmed = || around.neighbors.confirmed_mac((self.link, at));
        self.own_mac(at, around).or_else(confirmed)
    }

    /// The link's own MAC, if the address is the link's own.
    fn own_mac(&self, at: IpAddr, around: &Surroundings<'_>) -> Option<MacAddr> {
        let own = around.cluster.links.get(&self.link).filter(|link| link.owns(at));
        own.map(|link| link.mac)
    }

    fn is_settled(&self, at: IpAddr, cluster: &Cluster, neighbors: &Neighbors) -> bool {
        let own = cluster.links.get(&self.link).is_some_and(|link| link.owns(at));
        own || neighbors.settled((self.link, at))
    }
}

impl Answer {
    /// Whether the address is left to somebody else.
    fn is_left(&self) -> bool {
        self.is_at == Err(Silence::Conflict)
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
        let mut sharers = sharers(&self.ipam, holdings, cluster);
        sharers.retain(|(sharer, _)| {
            *sharer == name || is_recorded(&self.ipam, sharer, holdings, cluster)
        });
        self.hand_up(&sharers);
        let head =
            sharers.first().filter(|(head, _)| *head != name).map(|(head, _)| (*head).clone());
        let sharing = |(sharer, facts): &(&ServiceName, &Service)| {
            *sharer == name || cluster.request(facts).is_some()
        };
        let sharers: Vec<_> = sharers.iter().copied().filter(sharing).collect();
        let spot = |holding: &Holding| {
            let address = holding.address;
            let link = cluster.link_of(&holding.eip)?;
            let shared = self.ipam.is_shared(holding);
            let holders = if shared { &*sharers } else { &[(name, service)] };
            let candidates = cluster.candidates(holders.iter().copied(), link, address);
            Some(Spot { address, link, shared, candidates })
        };
        let spots: SmallVec<[_; 1]> = holdings.iter().filter_map(spot).collect();
        let record = placement::record(&service.metadata.annotations);
        let before = self.load.placed(name).cloned();
        let past = Past { record: record.as_ref(), placed: before.as_ref(), service };
        let incumbent = past.incumbent();
        let (placed, searches) = match &head {
            // What the head has not committed is not copied.
            Some(head) => {
                let placed = self.load.placed(head);
                let searches = placed.is_some_and(|placed| !placed.committed);
                (placed.filter(|placed| placed.committed).cloned(), searches)
            }
            None => self.decide_and_tell(name, past, &sharers, &spots, around),
        };
        let kept = placed.as_ref().filter(|_| head.is_none());
        let rejected = rejected(record.as_ref(), kept, &spots, around);
        let meanwhile = match &placed {
            Some(placed) => placed.follows.as_ref(),
            None => incumbent.filter(|_| searches),
        };
        let left = service.conflict.as_ref().is_some_and(super::conflict::may_be_left);
        let recorded = record.as_ref();
        let answered = Answered { placed: placed.as_ref(), meanwhile, recorded, left };
        let (answers, changed) = Self::settle(&spots, answered, head.is_none(), around);
        let heads = placed.clone().filter(|_| head.is_none());
        if changed || before != heads {
            // Whoever shares an address with it follows, and it is given another if that one is left.
            let followers = sharers.iter().filter(|(sharer, _)| *sharer != name);
            self.services.extend(followers.map(|(sharer, _)| (*sharer).clone()));
            self.services.extend(answers.iter().any(Answer::is_left).then(|| name.clone()));
        }
        let roams = head.is_none() && roams(&spots, placed.as_ref());
        self.load.place(name, heads);
        self.load.search(name, meanwhile.filter(|_| head.is_none() && placed.is_none()));
        if roams {
            self.load.roam(name);
        }
        let fallback = placed.as_ref().is_some_and(|placed| placed.fallback);
        let node = placed.map(|placed| placed.node);
        Placing { node, rejected, answers, searches, fallback }
    }

    /// Sets what is answered for some addresses. Of a shared one only its head decides, who may know
    /// more families than this one. Says whether anything changed.
    fn settle(
        spots: &[Spot<'_>],
        answered: Answered<'_>,
        heads: bool,
        around: &mut Surroundings<'_>,
    ) -> (Answers, bool) {
        let (mut answers, mut changed) = (Answers::new(), false);
        for spot in spots {
            let (address, link) = (spot.address, spot.link);
            let published = around.publication.entry(link, address);
            let is_at = if heads || !spot.shared {
                let is_at = answer(spot, spots, answered, around);
                changed |= published != Some(is_at);
                around.publication.set(link, address, Some(is_at));
                is_at
            } else {
                published.unwrap_or(Err(Silence::Uncommitted))
            };
            answers.push(Answer { address, link, is_at });
        }
        (answers, changed)
    }

    /// The node of one that decides for itself and all who share an address with it. Says whether it
    /// is still to be found out which nodes are there.
    fn decide(
        &self,
        past: Past<'_>,
        sharers: &[(&ServiceName, &Service)],
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> (Option<Placed>, bool) {
        // An oldest sharer that has no record yet goes on with that of the next.
        let fresh = past.placed.is_none();
        let copied =
            || sharers.iter().find_map(|(_, it)| placement::record(&it.metadata.annotations));
        let copied = if past.record.is_none() && fresh { copied() } else { None };
        if let Some(placed) = stays(past, past.record.or(copied.as_ref()), spots, around) {
            return (Some(placed), false);
        }
        let (placed, searches) = self.pick(past.service, !fresh, spots, around);
        let on_record = |placed: Placed| {
            // What is on record already is not written again, so that no verdict would commit it.
            let committed = past.record == Some(&placed.node);
            let follows = past.incumbent().filter(|_| !committed).cloned();
            Placed { committed, follows, ..placed }
        };
        (placed.map(on_record), searches)
    }

    /// Lets the oldest sharer go on with the node that is answered for a younger one, whatever node it
    /// has on record from a time before it shared.
    fn hand_up(&mut self, sharers: &[(&ServiceName, &Service)]) {
        let Some(((oldest, service), younger)) = sharers.split_first() else { return };
        if self.load.placed(oldest).is_some() {
            return;
        }
        let incumbent = younger.iter().find(|(name, _)| self.load.placed(name).is_some());
        let Some((incumbent, _)) = incumbent else { return };
        let overrules = placement::record(&service.metadata.annotations);
        let placed = self.load.placed(incumbent).cloned();
        let placed = placed.map(|placed| Placed { overrules, ..placed });
        self.load.place(incumbent, None);
        self.load.place(oldest, placed);
        self.services.insert((*oldest).clone());
    }

    /// Picks a node among those that answer, once it is known of every candidate whether it does.
    /// Says whether that is still to be found out. `moves`: the Service leaves another node.
    fn pick(
        &self,
        service: &Service,
        moves: bool,
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> (Option<Placed>, bool) {
        let uid = service.metadata.uid.as_ref();
        // One that came back from the dead just now is taken only if there is no other.
        let held_down = |node: &NodeName| {
            let at = |spot: &Spot<'_>| Some((spot.link, spot.address_of(node, true, spots)?));
            let mut at = spots.iter().filter_map(at);
            at.any(|target| around.neighbors.is_held_down(target, around.now))
        };
        let n_bad = |node: &NodeName| around.proxies.n_bad(node);
        let load = |node: &NodeName| (n_bad(node), held_down(node), self.load.count(node));
        let n_answered = |node: &NodeName, far: bool| {
            spots.iter().filter(|spot| spot.answers(node, far, spots, around)).count()
        };
        let best = |far: bool, may: &dyn Fn(&NodeName) -> bool| {
            let answered = |node: &NodeName| n_answered(node, far);
            let nodes = spots.iter().flat_map(|spot| spot.candidates.within(far));
            let open = nodes.map(|(node, _)| node);
            let open = open.filter(|node| !around.cluster.is_cordoned(node) && may(node));
            let near =
                |node: &NodeName| spots.iter().filter(|spot| spot.candidates.is_near(node)).count();
            let ranked = open.map(|node| ((answered(node), near(node)), node));
            let open: SmallVec<[_; 4]> = ranked.collect();
            // One that answers in every family is better than one that does in some, and then one
            // that has endpoints of every family.
            let most = open.iter().map(|(rank, _)| *rank).max();
            let most = most.filter(|(n_answered, _)| *n_answered > 0);
            let best = open.iter().filter(|(rank, _)| Some(*rank) == most);
            placement::pick(best.map(|(_, node)| *node), uid, load)
        };
        // Without one that has an endpoint and takes new EIPs, any that passes on what arrives.
        let mut node = None;
        for far in [false, true] {
            if node.is_none() {
                if !is_settled(spots, far, around) {
                    return (None, true);
                }
                node = best(far, &|_| true);
            }
        }
        // One that moves would go back and forth between nodes that come and go. It leaves them all to
        // any other that serves as much, and stays there.
        if let Some(unsteady) = node.filter(|node| moves && held_down(node)) {
            let steady = |node: &NodeName| {
                !held_down(node)
                    && n_bad(node) <= n_bad(unsteady)
                    && n_answered(node, true) >= n_answered(unsteady, true)
            };
            node = best(true, &steady).or(node);
        }
        let placed = node.map(|node| Placed {
            node: node.clone(),
            committed: false,
            fallback: !spots.iter().any(|spot| spot.candidates.is_near(node)),
            follows: None,
            overrules: None,
            departure: None,
        });
        (placed, false)
    }
}

/// The node that stays: the one on record, or else the one that is answered, which no edit of
/// the record moves to a node that cannot be answered.
fn stays(
    past: Past<'_>,
    record: Option<&NodeName>,
    spots: &[Spot<'_>],
    around: &Surroundings<'_>,
) -> Option<Placed> {
    let served = |node: &NodeName, fallback: bool| {
        let serves = |spot: &&Spot<'_>| spot.address_of(node, fallback, spots).is_some();
        spots.iter().filter(serves).count()
    };
    let Past { placed, service, .. } = past;
    let overrules = placed.and_then(|placed| placed.overrules.as_ref());
    let overrules = overrules.filter(|overrules| record == Some(*overrules));
    // An earlier leader has left word of why it took a node without an endpoint.
    let announced = service.announced.as_ref();
    let announced = announced.is_some_and(|announced| announced.reason == ELSEWHERE);
    let fallback = |node: &NodeName| match placed {
        Some(placed) => placed.node == *node && placed.fallback,
        None => announced,
    };
    let answered = |node: &NodeName, fallback: bool| {
        spots.iter().filter(|spot| spot.answers(node, fallback, spots, around)).count()
    };
    let fails = |node: &NodeName| around.proxies.fails(node);
    // A pin is followed if the node serves, and no less than the one that is answered does.
    let does = |node: &NodeName| {
        served(node, fallback(node)) > 0
            && placed.is_none_or(|placed| {
                placed.node == *node
                    || answered(node, false) >= answered(&placed.node, placed.fallback)
                        && fails(node) <= fails(&placed.node)
            })
    };
    let record = record.filter(|node| overrules.is_none() && does(node));
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
        let mut wanted = spots.iter().filter(|spot| spot.has_endpoint());
        wanted.all(|spot| spot.answers(node, false, spots, around))
    };
    let nodes = || spots.iter().flat_map(|spot| spot.candidates.nodes());
    let open = |node: &NodeName| !around.cluster.is_cordoned(node) && in_all(node);
    let better = |other: &NodeName| open(other) && around.proxies.n_bad(other) == 0;
    let lacks = n_served < wanted && nodes().any(|(node, _)| open(node));
    if (lacks || fails(node) && nodes().any(|(other, _)| better(other)))
        && is_settled(spots, false, around)
    {
        return None;
    }
    let fallback = !spots.iter().any(|spot| spot.candidates.is_near(node));
    let follows = past.incumbent().filter(|_| !committed).cloned();
    let (node, overrules) = (node.clone(), overrules.cloned());
    let departure = None;
    Some(Placed { node, committed, fallback, follows, overrules, departure })
}

/// Those who share an address among some, the oldest first; empty if none is shared.
pub(super) fn sharers<'a>(
    ipam: &Ipam,
    holdings: &[Holding],
    cluster: &'a Cluster,
) -> Vec<(&'a ServiceName, &'a Service)> {
    let shared = |holding: &&Holding| ipam.is_shared(holding);
    let Some(holding) = holdings.iter().find(shared) else { return Vec::new() };
    let holders = ipam.sharers_of(holding);
    let mut sharers: Vec<_> = holders.filter_map(|name| cluster.services.entry(name)).collect();
    sharers.sort_by_key(|(name, service)| (super::age(service), (*name).clone()));
    sharers
}

/// Whether the API server has it on record that a Service holds one of some addresses.
pub(super) fn is_recorded(
    ipam: &Ipam,
    name: &ServiceName,
    holdings: &[Holding],
    cluster: &Cluster,
) -> bool {
    let holds = |holding: &&Holding| ipam.sharers_of(holding).any(|holder| holder == name);
    holdings.iter().filter(holds).any(|Holding { eip, address }| {
        let used = cluster.eips.get(eip).and_then(|eip| eip.status.used.get(address));
        used.is_some_and(|holders| holders.contains(name))
    })
}

/// The node on record, if it is a pin that is not followed.
fn rejected(
    record: Option<&NodeName>,
    kept: Option<&Placed>,
    spots: &[Spot<'_>],
    around: &Surroundings<'_>,
) -> Option<Rejected> {
    let kept = kept.filter(|kept| kept.committed)?;
    let is_pin = |node: &&NodeName| kept.node != **node && kept.overrules.as_ref() != Some(*node);
    let node = record.filter(is_pin)?;
    Some(Rejected { node: node.clone(), why: flaw(node, spots, around) })
}

/// Why a node cannot be answered for some addresses, or less well than another.
fn flaw(node: &NodeName, spots: &[Spot<'_>], around: &Surroundings<'_>) -> String {
    let cluster = around.cluster;
    if cluster.nodes.get(node).is_none() {
        return "is no Node of the cluster".to_owned();
    }
    let flaw = |spot: &Spot<'_>| match spot.address_of(node, false, spots) {
        Some(at) if spot.is_there(at, around) => None,
        Some(_) => Some(format!("does not answer on {}", spot.link)),
        None => match cluster.obstacle(node, spot.link, Family::of(spot.address)) {
            Some(obstacle) => Some(obstacle.to_string()),
            None => Some(format!("has no endpoint for {}", spot.address)),
        },
    };
    let fails = || around.proxies.fails(node).then(|| "has a kube-proxy that does not work".into());
    let flaw = spots.iter().filter(|spot| spot.has_endpoint()).find_map(flaw).or_else(fails);
    flaw.unwrap_or_else(|| "cannot be answered".to_owned())
}

/// Whether a Service may come to be on a node without an endpoint, or is there, so that any node is of
/// interest to it.
fn roams(spots: &[Spot<'_>], placed: Option<&Placed>) -> bool {
    let far = |spot: &Spot<'_>| spot.candidates.may_be_far();
    let near = placed.is_some_and(|placed| !placed.fallback);
    spots.iter().any(|spot| far(spot) && (!near || !spot.candidates.are_near()))
}

/// Whether it is known of every candidate whether it answers.
fn is_settled(spots: &[Spot<'_>], far: bool, around: &Surroundings<'_>) -> bool {
    let settled = |spot: &Spot<'_>| {
        let mut nodes = spot.candidates.within(far);
        nodes.all(|(_, at)| spot.is_settled(at, around.cluster, around.neighbors))
    };
    spots.iter().all(settled)
}

fn answer(
    spot: &Spot<'_>,
    spots: &[Spot<'_>],
    answered: Answered<'_>,
    around: &Surroundings<'_>,
) -> Result<MacAddr, Silence> {
    if around.cluster.owner(spot.address).is_some() {
        // It is the node that answers for it: a second voice would cut that node off.
        return Err(Silence::NodeAddress);
    }
    let mac = placed_mac(spot, spots, answered, around)?;
    match around.conflicts.yields((spot.link, spot.address), mac, answered.left) {
        true => Err(Silence::Conflict),
        false => Ok(mac),
    }
}

/// The MAC of the node that is placed, whoever else claims the address.
fn placed_mac(
    spot: &Spot<'_>,
    spots: &[Spot<'_>],
    Answered { placed, meanwhile, recorded, left: _ }: Answered<'_>,
    around: &Surroundings<'_>,
) -> Result<MacAddr, Silence> {
    if !spot.has_endpoint() {
        return Err(Silence::NoEndpoint);
    }
    if around.neighbors.is_suspect(spot.link) {
        return Err(Silence::LinkSuspect);
    }
    let no_node = || {
        let family = Family::of(spot.address);
        let obstacle = |node| around.cluster.obstacle(node, spot.link, family);
        match recorded.and_then(obstacle) {
            Some(Obstacle::Dead) => Silence::NodeDead,
            Some(_) | None => Silence::NoNode,
        }
    };
    let Some(placed) = placed.filter(|placed| placed.committed) else {
        // A move that is on its way leaves no gap, as long as the old node can take the traffic.
        let at = meanwhile.and_then(|node| spot.candidates.lingers(node));
        let mac = at.and_then(|at| spot.mac(at, around));
        let silence = || if placed.is_some() { Silence::Uncommitted } else { no_node() };
        return mac.ok_or_else(silence);
    };
    let at = spot.address_of(&placed.node, placed.fallback, spots).ok_or_else(no_node)?;
    spot.mac(at, around).ok_or(Silence::MacUnknown)
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

//! What is said of those who claim an address of ours: the condition
//! `porter.kubesphere.io/AddressConflict` of a Service, met while somebody does.
//!
//! | reason | what it means |
//! |---|---|
//! | `ForeignHost` | a host that is no node claims the address |
//! | `OtherSpeaker` | a second Porter, or another load balancer, claims it for some host |
//! | `NodeAnswers` | a node's kernel answers for it |
//!
//! And what becomes of an address that somebody has before it is given: it is set aside for a while,
//! and another is given unless it was asked for by name.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr, sync::Arc, time::Duration};

use pnet::util::MacAddr;

use super::{Controller, Surroundings};
use crate::{
    About, Condition, Event, Family, Instant, LinkName, Service, ServiceName, Size,
    cluster::Cluster,
    conflict::{Claimant, Place, Rival},
    ipam::Holding,
    ledger::Object,
};

/// For how long an address is set aside.
const SET_ASIDE: Duration = Duration::from_secs(600);
/// How many addresses are set aside at a time; the one that was found first makes room.
const ASIDE_MAX: usize = 4_096;

/// The addresses that somebody else has.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside {
    /// Until when, and who has it.
    who: BTreeMap<IpAddr, (Instant, Arc<str>)>,
}

impl Aside {
    fn insert(&mut self, address: IpAddr, until: Instant, who: Arc<str>) {
        if self.who.len() >= ASIDE_MAX
            && let Some((&first, _)) = self.who.iter().min_by_key(|(_, (until, _))| *until)
        {
            self.who.remove(&first);
        }
        self.who.insert(address, (until, who));
    }

    /// Forgets those whose time is over. Says whether there are any.
    fn expire(&mut self, now: Instant) -> bool {
        let before = self.who.len();
        self.who.retain(|_, (until, _)| now < *until);
        self.who.len() < before
    }

    /// Who has which.
    pub(super) fn who(&self) -> BTreeMap<IpAddr, Arc<str>> {
        self.who.iter().map(|(address, (_, who))| (*address, who.clone())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.who.len()
    }

    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.who.values().map(|(until, _)| *until).min()
    }

    pub(super) fn size(&self) -> Size {
        Size::new("addresses set aside", self.who.len(), ASIDE_MAX)
    }
}

impl Controller {
    /// Takes in that something else is known of who claims an address.
    pub(crate) fn handle_conflict(&mut self, (_, address): Place) {
        self.services.extend(self.ipam.holders_of(address).cloned());
        self.eips.extend(self.ipam.owner(address).cloned());
    }

    /// Takes in that an address which was to be given is somebody else's.
    pub(crate) fn handle_found(
        &mut self,
        (link, address): Place,
        rival: &Rival,
        cluster: &Cluster,
        now: Instant,
    ) {
        let Some(eip) = self.ipam.owner(address).cloned() else { return };
        let on_link = cluster.link_of(&eip) == Some(link);
        if !on_link || !self.is_new(&Holding { eip: eip.clone(), address }, cluster) {
            return;
        }
        self.aside.insert(address, now + SET_ASIDE, has(rival, link).into());
        self.ipam.handle_aside(&self.aside.who());
        let holders: Vec<_> = self.ipam.holders_of(address).cloned().collect();
        for holder in holders {
            self.ipam.release(&holder, Family::of(address));
            self.services.insert(holder);
        }
        self.eips.insert(eip);
    }

    /// What is to be said now: something else than what is said only once that has lasted, since the one
    /// that claims an address may be a second Porter that says so on the same Service.
    pub(super) fn conflict(
        &mut self,
        name: &ServiceName,
        service: &Service,
        around: &Surroundings<'_>,
    ) -> Option<Condition> {
        let held: Vec<_> = self.ipam.holdings_of(name).cloned().collect();
        let conflict = condition(service, &held, around);
        let (said, object) = (service.conflict.as_ref(), Object::Service(name.clone()));
        if said.is_none() || said == conflict.as_ref() {
            self.disputed.end(&object);
            return conflict;
        }
        match self.disputed.lasts(object, around.now) {
            true => conflict,
            false => said.cloned(),
        }
    }

    /// Gives those addresses back to be given that were set aside for long enough.
    pub(super) fn end_aside(&mut self, now: Instant) {
        if self.aside.expire(now) {
            self.ipam.handle_aside(&self.aside.who());
            self.retry();
            let pools: Vec<_> = self.ipam.eips().cloned().collect();
            self.eips.extend(pools);
        }
    }

    /// How many addresses are set aside.
    pub(crate) fn n_aside(&self) -> usize {
        self.aside.len()
    }

    /// Whether an address is about to be given for the first time, as far as is known.
    pub(super) fn is_new(&self, holding: &Holding, cluster: &Cluster) -> bool {
        let Holding { eip, address } = holding;
        let recorded = cluster.eips.get(eip).map(|eip| &eip.status.used);
        let written = self.written.get(eip);
        let on_record = recorded.into_iter().chain(written).any(|used| used.contains_key(address));
        let shows = |name: &ServiceName| {
            let service = cluster.services.get(name);
            service.is_some_and(|service| service.shown().any(|shown| shown == *address))
        };
        !on_record && !self.ipam.holders_of(*address).any(shows)
    }
}

/// The condition as it is to be, of the addresses that a Service holds.
fn condition(service: &Service, held: &[Holding], around: &Surroundings<'_>) -> Option<Condition> {
    let said = service.conflict.as_ref();
    let mut all = Vec::new();
    for holding in held {
        let Some(link) = around.cluster.link_of(&holding.eip) else {
            continue;
        };
        if around.cluster.owner(holding.address).is_some() {
            continue; // It is that node's own, and is said to be.
        }
        match around.conflicts.rivals((link, holding.address)) {
            Some(rivals) => {
                all.extend(rivals.into_iter().map(|rival| (rival, link, holding.address)));
            }
            // What an earlier leader said holds until it is known better.
            None if said.is_some() => return said.cloned(),
            None => {}
        }
    }
    let (worst, _, _) = all.iter().min()?;
    let reason = match worst.who {
        Claimant::Stranger => "ForeignHost",
        Claimant::Speaker(_) => "OtherSpeaker",
        Claimant::Node(_) => "NodeAnswers",
    };
    let mut message = String::new();
    for (rival, link, address) in &all {
        let comma = if message.is_empty() { "" } else { "; " };
        let _ = write!(message, "{comma}{}", claims(rival, *link, *address));
    }
    let since = said.map_or(around.wall_time, |said| said.since);
    let condition = Condition { met: true, reason: reason.into(), message, generation: 0, since };
    // A second Porter says the same of us, in other words.
    let mutual = all.iter().any(|(rival, ..)| matches!(rival.who, Claimant::Speaker(_)));
    let same =
        |said: &Condition| said.says_as(&condition) || mutual && said.reason == condition.reason;
    match said {
        Some(said) if same(said) => Some(said.clone()),
        Some(_) | None => Some(condition),
    }
}

/// Whether who says this may have left an address to somebody else: all but a node's kernel.
pub(super) fn may_be_left(said: &Condition) -> bool {
    said.met && said.reason != "NodeAnswers"
}

/// What people are told of a condition that changes.
pub(super) fn event(
    about: &About,
    said: Option<&Condition>,
    now: Option<&Condition>,
) -> Option<Event> {
    let (warning, reason, message) = match (said, now) {
        (Some(said), Some(now)) if said.says_as(now) => return None,
        (_, Some(now)) => (true, "AddressConflict", now.message.clone()),
        (Some(_), None) => {
            (false, "AddressConflictOver", "nobody else claims an address of it any more".into())
        }
        (None, None) => return None,
    };
    Some(Event { about: about.clone(), warning, reason, message })
}

/// What is wrong with who claims an address that is answered, and what to do.
fn claims(Rival { who, mac, via }: &Rival, link: LinkName, address: IpAddr) -> String {
    match who {
        Claimant::Stranger => format!(
            "a host that is no node of this cluster claims {address} on {link}, at {mac}: take the \
             address off that host, or give the Service another"
        ),
        Claimant::Speaker(Some(node)) => format!(
            "another Porter, or another load balancer, on {node} says that {address} is at {mac} on \
             {link}: let only one of them have the address, or let both compete for one Lease"
        ),
        Claimant::Speaker(None) => format!(
            "another load balancer, or a proxy{}, says that {address} is at {mac} on {link}: let only \
             one of them have the address",
            of(*via)
        ),
        Claimant::Node(node) => format!(
            "{node}'s kernel answers for {address} on {link}, too, at {mac}: the address is bound there; \
             if kube-proxy does that, set strictARP in its configuration; otherwise take it off, or \
             set sysctl net.ipv4.conf.all.arp_ignore=1 there"
        ),
    }
}

/// Where a speaker is, if that is known.
fn of(via: MacAddr) -> String {
    if via.is_zero() { String::new() } else { format!(" at {via}") }
}

/// Who has an address that is not given therefore, and what to do.
fn has(Rival { who, mac, via }: &Rival, link: LinkName) -> String {
    match who {
        Claimant::Stranger => format!("a host that is no node has it on {link}, at {mac}"),
        Claimant::Speaker(Some(node)) => format!(
            "another Porter, or another load balancer, on {node} says on {link} that it is at {mac}"
        ),
        Claimant::Speaker(None) => {
            format!("a load balancer or proxy{} says on {link} that it is at {mac}", of(*via))
        }
        Claimant::Node(node) => format!(
            "{node}'s kernel answers for it on {link}, at {mac}: it is bound there, without strictARP \
             of kube-proxy or sysctl net.ipv4.conf.all.arp_ignore=1"
        ),
    }
}

//! What is said of those who claim an address of ours: the condition
//! `porter.kubesphere.io/AddressConflict` of a Service, met while somebody does.
//!
//! | reason | what it means |
//! |---|---|
//! | `ForeignHost` | a host that is no node claims the address |
//! | `OtherSpeaker` | a second Porter, or another load balancer, claims it for some host |
//! | `NodeAnswers` | a node's kernel answers for it |
//!
//! And what becomes of an address that somebody has, or tries to take, before it is given: it is set aside
//! for a while, and another is given unless it was asked for by name. So is one that is left to who claims
//! it afterwards ([`OnConflict::Yield`](crate::OnConflict::Yield)).

use std::{collections::BTreeMap, fmt::Write, net::IpAddr, sync::Arc, time::Duration};

use pnet::util::MacAddr;

use super::{Controller, Surroundings};
use crate::{
    About, AddressRange, Condition, EipName, Event, Family, Instant, LinkName, Service,
    ServiceName, Silence, Size,
    cluster::Cluster,
    conflict::{Claimant, Contender, Place, Prober, Rival},
    ipam::{Asker, Crowd, Holding},
    ledger::Object,
};

/// For how long an address is set aside.
const SET_ASIDE: Duration = Duration::from_secs(600);
/// How many addresses are set aside at a time.
const ASIDE_MAX: usize = 4_096;

/// The addresses that somebody else has.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    /// Until when, and who has it.
    who: BTreeMap<IpAddr, (Instant, Arc<str>)>,
    /// Eips of which another was found when there was no room.
    crowds: BTreeMap<EipName, Crowd>,
    at_most: usize,
}

impl Default for Aside {
    fn default() -> Self {
        Self { who: BTreeMap::new(), crowds: BTreeMap::new(), at_most: ASIDE_MAX }
    }
}

impl Aside {
    /// Sets an address of an Eip aside, and says whether there was room. If not, the Eip gives nothing
    /// until there is: what is forgotten too early would be tried out again and again.
    fn insert(
        &mut self,
        eip: &EipName,
        range: AddressRange,
        (address, until, who): (IpAddr, Instant, Arc<str>),
    ) -> bool {
        let has_room = self.who.len() < self.at_most || self.who.contains_key(&address);
        if has_room {
            self.who.insert(address, (until, who));
        } else {
            self.crowds.insert(eip.clone(), Crowd { range, address, who });
        }
        has_room
    }

    /// Forgets those whose time is over. Says whether there are any.
    fn expire(&mut self, now: Instant) -> bool {
        let before = self.who.len();
        self.who.retain(|_, (until, _)| now < *until);
        let expired = self.who.len() < before;
        if expired {
            self.crowds.clear();
        }
        expired
    }

    /// Takes in that an Eip is gone.
    pub(super) fn forget(&mut self, eip: &EipName) {
        self.crowds.remove(eip);
    }

    /// Whether an address is set aside.
    fn has(&self, address: IpAddr) -> bool {
        self.who.contains_key(&address)
    }

    /// Who has which.
    pub(super) fn who(&self) -> BTreeMap<IpAddr, Arc<str>> {
        self.who.iter().map(|(address, (_, who))| (*address, who.clone())).collect()
    }

    /// The Eips that give nothing since no more can be set aside.
    pub(super) fn crowds(&self) -> &BTreeMap<EipName, Crowd> {
        &self.crowds
    }

    pub(super) fn len(&self) -> usize {
        self.who.len()
    }

    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.who.values().map(|(until, _)| *until).min()
    }

    pub(super) fn size(&self) -> Size {
        Size::new("addresses set aside", self.who.len(), self.at_most)
    }
}

impl Controller {
    /// Takes in that something else is known of who claims an address.
    pub(crate) fn handle_conflict(&mut self, (_, address): Place) {
        self.services.extend(self.ipam.holders_of(address).cloned());
    }

    /// Takes in that more addresses can be tried out.
    pub(crate) fn handle_room(&mut self) {
        let pools: Vec<_> = self.ipam.eips().cloned().collect();
        self.eips.extend(pools);
    }

    /// Sets those addresses of a Service aside that are left to somebody else, so that it is given others
    /// (RFC 5227 section 2.4 a). One that it asks for by name it keeps, and waits for.
    pub(super) fn leave(&mut self, asker: &Asker<'_>, around: &Surroundings<'_>) {
        let held: Vec<_> = self.ipam.holdings_of(asker.name).cloned().collect();
        for Holding { eip, address } in held {
            let Some(link) = around.cluster.link_of(&eip) else { continue };
            let at = match around.publication.entry(link, address) {
                Some(Ok(mac)) => mac,
                Some(Err(Silence::Conflict)) => MacAddr::zero(),
                Some(Err(_)) | None => continue,
            };
            if is_named(asker, address) || self.aside.has(address) {
                continue;
            }
            if let Some(rival) = around.conflicts.left_to((link, address), at) {
                self.lay_aside(&eip, address, has(&rival, link).into(), around.now);
                self.eips.insert(eip);
            }
        }
    }

    /// Whether an address that a Service holds was left to somebody else.
    pub(super) fn is_left(&self, asker: &Asker<'_>, address: IpAddr) -> bool {
        self.aside.has(address) && !is_named(asker, address)
    }

    /// What people are told of an address of theirs that was left to somebody else, if it was.
    pub(super) fn left(&self, about: &About, address: IpAddr) -> Option<Event> {
        let (_, who) = self.aside.who.get(&address)?;
        let message = format!("{address} is left to somebody else, and set aside: {who}");
        Some(Event { about: about.clone(), warning: true, reason: "AddressConflict", message })
    }

    fn lay_aside(&mut self, eip: &EipName, address: IpAddr, who: Arc<str>, now: Instant) {
        let Some(range) = self.ipam.range(eip) else { return };
        match self.aside.insert(eip, range, (address, now + SET_ASIDE, who.clone())) {
            true => self.ipam.set_aside(address, who),
            false => self.ipam.handle_aside(&self.aside.who(), self.aside.crowds()),
        }
    }

    /// Takes in that somebody has tried out an address that is answered. Returns what people are told.
    pub(crate) fn handle_probed(
        &self,
        (link, address): Place,
        prober: &Prober,
        cluster: &Cluster,
    ) -> Vec<Event> {
        let message = format!(
            "{} on {link} meant to take {address} and was told that it is in use; that did no harm, but if \
             it is to have the address, take it out of the Eip",
            named(prober)
        );
        let event = |name: &ServiceName| {
            let service = cluster.services.get(name)?;
            let about = About::Service(name.clone(), service.metadata.uid.clone());
            let (reason, message) = ("AddressProbed", message.clone());
            Some(Event { about, warning: false, reason, message })
        };
        self.ipam.holders_of(address).filter_map(event).collect()
    }

    /// Takes in that an address which was to be given is somebody else's.
    pub(crate) fn handle_found(
        &mut self,
        (link, address): Place,
        contender: &Contender,
        cluster: &Cluster,
        now: Instant,
    ) {
        let Some(eip) = self.ipam.owner(address).cloned() else { return };
        let on_link = cluster.link_of(&eip) == Some(link);
        if !on_link || !self.is_new(&Holding { eip: eip.clone(), address }, cluster) {
            return;
        }
        let who = match contender {
            Contender::Has(rival) => has(rival, link),
            Contender::Tries(prober) => format!(
                "{} on {link} tried it out at the same time, as who takes an address does",
                named(prober)
            ),
        };
        self.lay_aside(&eip, address, who.into(), now);
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
            self.ipam.handle_aside(&self.aside.who(), self.aside.crowds());
            self.retry();
            self.handle_room();
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

/// Whether a Service asks for an address by name.
fn is_named(asker: &Asker<'_>, address: IpAddr) -> bool {
    asker.request.asked_address() == Some(address)
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

/// Who tries out an address.
fn named(Prober { mac, node }: &Prober) -> String {
    match (node, mac) {
        (Some(node), Some(mac)) => format!("{node}, or another Porter there, at {mac}"),
        (_, Some(mac)) => format!("a host at {mac}"),
        (_, None) => "a host that did not tell its MAC".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_not_forgotten_early_for_more_and_an_eip_of_more_gives_nothing() {
        let mut aside = Aside { at_most: 2, ..Aside::default() };
        let range = AddressRange::parse("192.0.2.1-192.0.2.9").unwrap();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        for last in 1..=3 {
            let until = Instant::from_millis(1_000 * u64::from(last));
            let found = (address(last), until, "a host".into());
            assert_eq!(aside.insert(&"pool".into(), range, found), last < 3);
        }
        assert_eq!(aside.who().into_keys().collect::<Vec<_>>(), [address(1), address(2)]);
        assert_eq!(aside.crowds()["pool"].address, address(3));
        assert!(!aside.expire(Instant::from_millis(999)) && aside.crowds().len() == 1);
        assert!(aside.expire(Instant::from_millis(1_000)) && aside.crowds().is_empty());
        assert_eq!(aside.who().into_keys().collect::<Vec<_>>(), [address(2)]);
    }
}

//! Who else speaks for an EIP, and whether somebody has an address that is to become one.
//!
//! Heads up: read RFC 5227 sections 2.1 and 2.4 first. Porter differs from a host in that it speaks for
//! many addresses and for other hosts' MACs, and in that those who contradict it are mostly its own
//! cluster: a node whose kernel answers, or a second Porter.
//!
//! An address that nobody holds is *tried out* before it is given: a few probes that name no sender,
//! and nobody may answer. Nor may anybody else try it out meanwhile (section 2.1.1; RFC 4862 section
//! 5.4.3): a lot decides who gives way at once, and who waits until the other would have the address and
//! tries it out anew. So two Porters that hand out the same addresses do not follow each other from one to
//! the next. What is held is *watched*: every claim to it that is heard counts, and once in
//! a while the LAN is asked, since most who have an address say so only then. A claim is believed when
//! it was seen twice, a second apart: one frame may have been on its way since before it was overtaken.
//! For the same reason none counts shortly after a term began, when another replica was entitled to
//! speak. What is believed is forgotten when two further questions found nobody.
//!
//! | who claims | how it is told |
//! |---|---|
//! | a strange host | it says that the address is at its own Ethernet address, which no node has |
//! | a node's kernel | likewise, and a node has it |
//! | another speaker: a second Porter, another load balancer | it says that the address is elsewhere than at its own Ethernet address |
//!
//! Who tries out what is held is answered, and gives way. That is no conflict, and told now and then,
//! since it may be an address that was configured by mistake, or another load balancer's pool.
//!
//! All questions are sent by whoever holds the Lease, and before its deadline.

mod probing;
mod roll;
#[cfg(test)]
mod tests;
mod trials;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use pnet::util::MacAddr;

pub use self::probing::ConflictProbing;
use self::trials::Trial;
pub(crate) use self::{roll::Roll, trials::TRIALS_MAX};
use crate::{Instant, IsAt, Link, LinkName, NodeName, Probe, Silence, Size, random::Random};

/// From the beginning of a term on, for how long others may be heard who were entitled to speak: longer
/// than any frame is on its way.
const GRACE: Duration = Duration::from_secs(5);
/// How long after it was first seen a claim has to be seen again to be believed.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);
/// How often the LAN is asked for an EIP, before jitter.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How often it is while somebody claims it, and how often it is defended at most: `DEFEND_INTERVAL`
/// of RFC 5227 section 1.1.
const DEFEND_EVERY: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long after it was last seen a claim is over: two questions in between brought nobody.
const OVER_AFTER: Duration = Duration::from_millis(25_000);
/// How many claims to one EIP are told apart: who floods the link does not fill memory.
const CLAIMS_MAX: usize = 4;
/// How often, at most, questions about what is held are asked.
const CHECK_PACE: Duration = Duration::from_millis(100);
/// How many at once: 50 a second, for which nobody is woken more than ten times.
const CHECKED_AT_ONCE: usize = 5;
/// How often it is told, at most, that somebody tries out an EIP.
const PROBED_EVERY: Duration = Duration::from_secs(600);
/// How often of any EIP.
const PROBED_PACE: Duration = Duration::from_secs(10);

/// What to do about an EIP that somebody else claims.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnConflict {
    /// Say that it is ours, once in ten seconds at most, and raise the alarm (RFC 5227 section 2.4 c).
    #[default]
    Defend,
    /// Leave it to them, and give the Service another (section 2.4 a). One that it asks for by name it
    /// keeps, and nothing is said of that until the claim is over. What a node's kernel claims is defended
    /// nevertheless: that node is misconfigured, and no rightful owner.
    Yield,
}

/// How many conflicts a leader knows of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Disputes {
    /// EIPs that a strange host claims.
    pub by_strangers: usize,
    /// EIPs that a node's kernel answers for.
    pub by_nodes: usize,
    /// EIPs that another speaker claims: a second Porter, another load balancer.
    pub by_speakers: usize,
    /// Addresses that were not given, or were left, since somebody has them or tries to take them.
    pub set_aside: usize,
}

/// An address on a link.
pub(crate) type Place = (LinkName, IpAddr);

/// Somebody who claims an address.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Rival {
    pub(crate) who: Claimant,
    /// Where the address is said to be.
    pub(crate) mac: MacAddr,
    /// Who says so: the Ethernet source; zero if that is not known.
    pub(crate) via: MacAddr,
}

/// Somebody who tries out an address, to take it unless somebody has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Prober {
    /// Its MAC, which is not told in IPv6.
    pub(crate) mac: Option<MacAddr>,
    /// The node that has this MAC.
    pub(crate) node: Option<NodeName>,
}

/// Somebody to whom an address is left that was tried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Contender {
    /// It has the address.
    Has(Rival),
    /// It tries it out, too.
    Tries(Prober),
}

/// Who claims an address. The worst comes first: what hosts send goes out of the cluster.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Claimant {
    /// A host that is no node.
    Stranger,
    /// One that speaks for others, and the node that it runs on, if it is one.
    Speaker(Option<NodeName>),
    /// A node, for itself.
    Node(NodeName),
}

/// What is known of those who claim what is ours, in one term.
#[derive(Clone, Debug)]
pub(crate) struct Conflicts {
    probing: Option<ConflictProbing>,
    policy: OnConflict,
    random: Random,
    begun_at: Instant,
    watches: BTreeMap<Place, Watch>,
    /// When each that is watched is asked for, and when the time for an answer is over.
    checks: BTreeSet<(Instant, Place)>,
    /// Those of them that somebody claims, or may: of many EIPs they come first.
    urgent: BTreeSet<(Instant, Place)>,
    ends: BTreeSet<(Instant, Place)>,
    trials: BTreeMap<Place, Trial>,
    /// Whether some wait for their trial, since so many go on.
    crowded: bool,
    /// Of which it may be another whether they are tried out.
    moved: BTreeSet<Place>,
    /// When each trial goes on.
    tries: BTreeSet<(Instant, Place)>,
    check_free_at: Instant,
    trial_free_at: Instant,
    /// When this was last called so late that answers may have been waiting still.
    late_at: Option<Instant>,
    /// Links that may carry no frames, so that it proves nothing that nobody answers.
    doubted: BTreeSet<LinkName>,
    /// Of whom something else is known than before.
    changes: BTreeSet<Place>,
    /// What was found to be in use, or to come into use.
    found: VecDeque<(Place, Contender)>,
    /// Who tried out an EIP, as far as that is to be told.
    probers: VecDeque<(Place, Prober)>,
    /// When that was told last of any EIP.
    probed_at: Option<Instant>,
    /// What is to be said once more.
    defences: BTreeSet<Place>,
    outputs: VecDeque<Probe>,
}

/// An EIP that is watched.
#[derive(Clone, Debug)]
struct Watch {
    due_at: Instant,
    /// Whether it was asked for, and the time for an answer runs.
    asks: bool,
    /// Whether it is known whether anybody claims it: the LAN was asked in this term.
    known: bool,
    /// When a claim was seen first and last, by MAC and Ethernet source.
    claims: BTreeMap<(MacAddr, MacAddr), Sighting>,
    defended_at: Option<Instant>,
    /// When it was told last that somebody tries it out.
    probed_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Sighting {
    who: Claimant,
    first_at: Instant,
    last_at: Instant,
    believed: bool,
}

impl Conflicts {
    pub(crate) fn new(probing: Option<ConflictProbing>, policy: OnConflict, seed: u64) -> Self {
        Self {
            probing,
            policy,
            random: Random::new(seed),
            begun_at: Instant::ZERO,
            watches: BTreeMap::new(),
            checks: BTreeSet::new(),
            urgent: BTreeSet::new(),
            ends: BTreeSet::new(),
            trials: BTreeMap::new(),
            crowded: false,
            moved: BTreeSet::new(),
            tries: BTreeSet::new(),
            check_free_at: Instant::ZERO,
            trial_free_at: Instant::ZERO,
            late_at: None,
            doubted: BTreeSet::new(),
            changes: BTreeSet::new(),
            found: VecDeque::new(),
            probers: VecDeque::new(),
            probed_at: None,
            defences: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Forgets everything: a term begins or ends.
    pub(crate) fn handle_term(&mut self, now: Instant) {
        let random = Random::new(self.random.next());
        let Self { probing, policy, .. } = *self;
        let mut moved = std::mem::take(&mut self.moved);
        moved.extend(self.trials.keys().copied());
        *self = Self { random, begun_at: now, moved, ..Self::new(probing, policy, 0) };
    }

    /// Takes in what is said of an EIP on a link, if anything is.
    pub(crate) fn handle_spoken(
        &mut self,
        place: Place,
        said: Option<Result<MacAddr, Silence>>,
        now: Instant,
    ) {
        self.end_trial(place);
        let Some(said) = said else {
            if let Some(watch) = self.watches.remove(&place) {
                self.checks.remove(&(watch.due_at, place));
                self.urgent.remove(&(watch.due_at, place));
                self.ends.remove(&(watch.due_at, place));
            }
            self.defences.remove(&place);
            return;
        };
        if self.watches.contains_key(&place) {
            return;
        }
        // Spread out, since a leader begins to speak of all EIPs at once.
        let spread = u64::try_from(CHECK_EVERY.as_millis()).expect("it is a constant");
        let wait = match said {
            // Left by an earlier leader, it is not answered before it was asked for.
            Err(Silence::Conflict) => Duration::ZERO,
            Ok(_) | Err(_) => Duration::from_millis(self.random.next() % spread),
        };
        let due_at = now.max(self.begun_at + GRACE) + wait;
        let watch = Watch {
            due_at,
            asks: false,
            known: false,
            claims: BTreeMap::new(),
            defended_at: None,
            probed_at: None,
        };
        self.watches.insert(place, watch);
        let checks =
            if said == Err(Silence::Conflict) { &mut self.urgent } else { &mut self.checks };
        checks.insert((due_at, place));
    }

    /// Whether a claim to an address is of interest.
    pub(crate) fn minds(&self, place: Place) -> bool {
        self.watches.contains_key(&place) || self.trials.contains_key(&place)
    }

    /// Takes in a claim to an address, of which `answer` is said, and who makes it.
    pub(crate) fn handle_heard(
        &mut self,
        claim: &IsAt,
        who: Claimant,
        answer: Option<MacAddr>,
        now: Instant,
    ) {
        let place = (claim.link, claim.target);
        let settled = now >= self.begun_at + GRACE;
        let rival = Rival { who, mac: claim.mac, via: claim.via };
        if self.trials.contains_key(&place) {
            let answers = claim.to.is_some_and(|(to, _)| to.is_unspecified());
            let own = claim.via == claim.mac;
            // What nobody asked for may be what the leader before said of one that held it.
            if answers || settled || own && rival.who == Claimant::Stranger {
                self.end_trial(place);
                self.found.push_back((place, Contender::Has(rival)));
            }
            return;
        }
        let Some(watch) = self.watches.get_mut(&place).filter(|_| settled) else { return };
        let key = (claim.mac, claim.via);
        if !watch.claims.contains_key(&key) && watch.claims.len() >= CLAIMS_MAX {
            return;
        }
        let sighting = watch.claims.entry(key).or_insert_with(|| Sighting {
            who: rival.who.clone(),
            first_at: now,
            last_at: now,
            believed: false,
        });
        sighting.last_at = now;
        let named = std::mem::replace(&mut sighting.who, rival.who) != sighting.who;
        let believes = !sighting.believed && now >= sighting.first_at + CONFIRM_AFTER;
        sighting.believed |= believes;
        if believes || named && sighting.believed {
            self.changes.insert(place);
        }
        let soon = sighting.first_at + CONFIRM_AFTER;
        let believed = sighting.believed;
        // Who says the same as we do misleads nobody.
        let misleads = answer.is_some_and(|answer| answer != claim.mac);
        if misleads && watch.defended_at.is_none_or(|at| now >= at + DEFEND_EVERY) {
            watch.defended_at = Some(now);
            self.defences.insert(place);
        }
        // It is asked whether that one stays with it.
        if !believed && !watch.asks && watch.due_at > soon {
            self.checks.remove(&(watch.due_at, place));
            self.urgent.remove(&(watch.due_at, place));
            watch.due_at = soon;
            self.urgent.insert((soon, place));
        }
    }

    /// Takes in that somebody else tries out an address, of which `answer` is said.
    pub(crate) fn handle_probed(
        &mut self,
        place: Place,
        prober: Prober,
        answer: Option<MacAddr>,
        now: Instant,
    ) {
        let settled = now >= self.begun_at + GRACE;
        if self.trials.contains_key(&place) {
            // It may be the leader before, who tried out the same.
            if settled || prober.mac.is_some() && prober.node.is_none() {
                self.contend(place, prober, now);
            }
            return;
        }
        let Some(watch) = self.watches.get_mut(&place).filter(|_| settled) else { return };
        // Who is not answered may take it, and is heard of then.
        let answered = answer.is_some_and(|answer| prober.mac != Some(answer));
        let rested = |at: Option<Instant>, span| at.is_none_or(|at| now >= at + span);
        if answered && rested(watch.probed_at, PROBED_EVERY) && rested(self.probed_at, PROBED_PACE)
        {
            (watch.probed_at, self.probed_at) = (Some(now), Some(now));
            self.probers.push_back((place, prober));
        }
    }

    /// Takes in the passage of time, at which this replica may speak.
    pub(crate) fn handle_timeout(&mut self, links: &BTreeMap<LinkName, Link>, now: Instant) {
        while let Some(place) = take_due(&mut self.ends, now) {
            self.end_check(place, now);
        }
        self.run_trials(links, now);
        if now < self.check_free_at {
            return;
        }
        let mut n_asked = 0;
        while n_asked < CHECKED_AT_ONCE
            && let Some(place) =
                take_due(&mut self.urgent, now).or_else(|| take_due(&mut self.checks, now))
        {
            n_asked += usize::from(self.check(place, links, now));
        }
        if n_asked > 0 {
            self.check_free_at = now + CHECK_PACE;
        }
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let first = |due: &BTreeSet<(Instant, Place)>| due.first().map(|(at, _)| *at);
        let trial = first(&self.tries).map(|at| at.max(self.trial_free_at));
        let checks = [&self.urgent, &self.checks].map(first);
        let [urgent, check] = checks.map(|check| check.map(|at| at.max(self.check_free_at)));
        [first(&self.ends), trial, urgent, check].into_iter().flatten().min()
    }

    /// The next question to be put on the LAN.
    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<Probe> {
        self.outputs.pop_front()
    }

    /// An address that was tried out and is left to somebody, and to whom.
    #[must_use]
    pub(crate) fn poll_found(&mut self) -> Option<(Place, Contender)> {
        self.found.pop_front()
    }

    /// An EIP that somebody tried out, of whom people are to be told.
    #[must_use]
    pub(crate) fn poll_prober(&mut self) -> Option<(Place, Prober)> {
        self.probers.pop_front()
    }

    /// An address of which something else is known than before.
    #[must_use]
    pub(crate) fn poll_change(&mut self) -> Option<Place> {
        self.changes.pop_first()
    }

    /// An EIP that is to be announced, since somebody else did.
    #[must_use]
    pub(crate) fn poll_defence(&mut self) -> Option<Place> {
        self.defences.pop_first()
    }

    /// Those who are known to claim an EIP; `None`: nothing is known in this term.
    pub(crate) fn rivals(&self, place: Place) -> Option<BTreeSet<Rival>> {
        let watch = self.watches.get(&place)?;
        let believed = watch.claims.iter().filter(|(_, sighting)| sighting.believed);
        let rivals = believed.map(|(&(mac, via), it)| Rival { who: it.who.clone(), mac, via });
        let rivals: BTreeSet<_> = rivals.collect();
        (watch.known || !rivals.is_empty()).then_some(rivals)
    }

    /// Whether an EIP that is at `mac` is left to somebody else. What an earlier leader left is not taken
    /// back before it is known whether anybody still claims it.
    pub(crate) fn yields(&self, place: Place, mac: MacAddr, left: bool) -> bool {
        let left = self.leaves() && left && self.rivals(place).is_none();
        left || self.left_to(place, mac).is_some()
    }

    /// Whether EIPs are left to those who claim them.
    pub(crate) fn leaves(&self) -> bool {
        self.policy == OnConflict::Yield
    }

    /// To whom an EIP is left that is, or would be, at `mac`, if it is known to be claimed.
    pub(crate) fn left_to(&self, place: Place, mac: MacAddr) -> Option<Rival> {
        if !self.leaves() {
            return None;
        }
        // Who says the same as we would misleads nobody.
        let foreign = |rival: &Rival| !matches!(rival.who, Claimant::Node(_)) && rival.mac != mac;
        self.rivals(place)?.into_iter().find(foreign)
    }

    /// How many conflicts are known.
    pub(crate) fn disputes(&self) -> Disputes {
        let mut disputes = Disputes::default();
        for watch in self.watches.values() {
            let believed = || watch.claims.values().filter(|sighting| sighting.believed);
            let any = |is: fn(&Claimant) -> bool| usize::from(believed().any(|it| is(&it.who)));
            disputes.by_strangers += any(|who| matches!(who, Claimant::Stranger));
            disputes.by_nodes += any(|who| matches!(who, Claimant::Node(_)));
            disputes.by_speakers += any(|who| matches!(who, Claimant::Speaker(_)));
        }
        disputes
    }

    pub(crate) fn n_outputs(&self) -> usize {
        let told = self.changes.len() + self.moved.len() + self.probers.len();
        self.outputs.len() + self.found.len() + self.defences.len() + told
    }

    /// How much is remembered, where something is said of so many EIPs, or was until shortly ago.
    pub(crate) fn sizes(&self, eips: usize) -> [Size; 3] {
        let claims = self.watches.values().map(|watch| watch.claims.len()).sum();
        let due = self.checks.len() + self.urgent.len() + self.ends.len();
        [
            Size::new("EIPs watched", self.watches.len(), eips),
            Size::new("EIPs to be asked for", due, eips),
            Size::new("claims to EIPs", claims, eips * CLAIMS_MAX),
        ]
    }

    /// Asks the LAN for an EIP, if it can be asked. Says whether it was.
    fn check(&mut self, place: Place, links: &BTreeMap<LinkName, Link>, now: Instant) -> bool {
        let own = self.can_ask(place, links).filter(|_| self.probing.is_some());
        let asks = own.is_some();
        if asks {
            self.put(place, own);
        }
        let watch = self.watches.get_mut(&place).expect("what is asked for is watched");
        if links.get(&place.0).is_none_or(|link| !link.carrier) {
            // Nobody is heard, which proves nothing.
            watch.due_at = now + DEFEND_EVERY;
            let checks = if watch.claims.is_empty() { &mut self.checks } else { &mut self.urgent };
            checks.insert((watch.due_at, place));
            return asks;
        }
        watch.asks = true;
        watch.due_at = now + ANSWER_WITHIN;
        self.ends.insert((watch.due_at, place));
        asks
    }

    /// Draws the conclusions from who answered, and who did not.
    fn end_check(&mut self, place: Place, now: Instant) {
        let watch = self.watches.get_mut(&place).expect("what was asked for is watched");
        let before = watch.claims.values().filter(|it| it.believed).count();
        watch.claims.retain(|_, sighting| now < sighting.last_at + OVER_AFTER);
        let after = watch.claims.values().filter(|it| it.believed).count();
        // Of what was seen once it is not known yet.
        let certain = watch.claims.values().all(|sighting| sighting.believed);
        if certain && !std::mem::replace(&mut watch.known, true) || before != after {
            self.changes.insert(place);
        }
        let span = match certain {
            false => CONFIRM_AFTER,
            true if watch.claims.is_empty() => self.random.about(CHECK_EVERY),
            true => DEFEND_EVERY.saturating_sub(ANSWER_WITHIN),
        };
        watch.asks = false;
        watch.due_at = now + span;
        let checks = if watch.claims.is_empty() { &mut self.checks } else { &mut self.urgent };
        checks.insert((watch.due_at, place));
    }

    /// The link's own MAC, if the address may be asked for there.
    fn can_ask(&self, (link, address): Place, links: &BTreeMap<LinkName, Link>) -> Option<MacAddr> {
        let link = links.get(&link).filter(|link| link.carrier)?;
        link.address_beside(address).map(|_| link.mac)
    }

    fn put(&mut self, (link, target): Place, own: Option<MacAddr>) {
        let nobody = match target {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let probe = own.map(|own| Probe { link, target, to: None, sender: (nobody, own) });
        self.outputs.extend(probe);
    }
}

/// The first of which the time has come.
fn take_due(due: &mut BTreeSet<(Instant, Place)>, now: Instant) -> Option<Place> {
    due.first().filter(|(at, _)| *at <= now)?;
    due.pop_first().map(|(_, place)| place)
}

//! Which nodes are there, and at what MAC: learned on this replica's own links from answers to its
//! own probes.
//!
//! Nothing else teaches a MAC: a claim that nobody asked for is no proof. Every node is probed, those
//! that are answered for some EIP every `interval`, the others slowly. A MAC is named only if it was
//! proved in this term: before, another spoke, who may know of a newer one. A node whose probes go
//! unanswered is `Dead` once the link has proved that it still carries frames; if it has not, the
//! link is suspected, and no node of it. A link without carrier is suspect for certain.
//!
//! From the last sign of life to the verdict it takes at most three intervals and one time-out, as
//! long as a third station is heard: 900 ms by default, 360 ms in the fast profile.

mod health;
mod station;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use pnet::util::MacAddr;

use crate::{
    Family, Instant, IsAt, Link, LinkName, Probe, Probing, Size, neighbor::health::Health,
    placement::Obstacle, random::Random,
};
use station::{Closed, Station};

/// How often a node that nobody is sent to is asked again, before jitter.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// How often a node that does not answer is asked again after its first probes, before jitter.
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// After so many unanswered probes in a row a first search is over, and a node may be dead.
const PROBES: u32 = 3;
/// How many other nodes of a link are asked at a time when one is silent: whoever answers proves the
/// link.
const WITNESSES_MAX: usize = 8;
/// For how long a node that came back from the dead is chosen last, the first time. Each time that it
/// dies again soon doubles it.
const HOLD_DOWN: Duration = Duration::from_secs(60);
/// The longest hold-down.
const HOLD_DOWN_MAX: Duration = Duration::from_secs(3_600);

/// So many MACs that answer one probe are told apart: who floods the link does not fill memory.
const ANSWERS_MAX: usize = 8;

/// How much of what is on the LAN a replica is in doubt of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Doubts {
    /// Links with carrier on which nobody was heard when somebody should have been.
    pub suspect_links: usize,
    /// Nodes whose address several MACs claim, none of which was known before.
    pub ambiguous_nodes: usize,
    /// Nodes that came back from the dead lately, and are chosen last.
    pub held_down_nodes: usize,
}

/// Where a node is looked for: an address on a link.
pub(crate) type Target = (LinkName, IpAddr);

/// Of what something else is known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct News {
    /// Targets whose MAC changed, or became known not to be had.
    pub(crate) targets: BTreeSet<Target>,
    /// Links that are suspected since, or are not any more.
    pub(crate) links: BTreeSet<LinkName>,
}

/// All nodes that may have to be answered, and the links behind which they are.
#[derive(Clone, Debug)]
pub(crate) struct Neighbors {
    probing: Probing,
    random: Random,
    stations: BTreeMap<Target, Station>,
    /// What is due when; the same as in `stations`, by time.
    due: BTreeSet<(Instant, Target)>,
    links: BTreeMap<LinkName, Health>,
    /// Links without carrier: what is silent there says nothing of nodes.
    down: BTreeSet<LinkName>,
    /// The targets that some EIP is answered with.
    used: BTreeSet<Target>,
    /// The targets that missed a probe and are not known to be dead.
    silent: BTreeSet<Target>,
    /// What has become of targets since it was last asked for.
    changes: BTreeMap<Target, Option<Obstacle>>,
    news: News,
    outputs: VecDeque<Probe>,
}

impl Neighbors {
    pub(crate) fn new(probing: Probing, seed: u64) -> Self {
        Self {
            probing,
            random: Random::new(seed),
            stations: BTreeMap::new(),
            due: BTreeSet::new(),
            links: BTreeMap::new(),
            down: BTreeSet::new(),
            used: BTreeSet::new(),
            silent: BTreeSet::new(),
            changes: BTreeMap::new(),
            news: News::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in where nodes are to be found, and who asks there. What was learned of a target that
    /// stays is kept.
    pub(crate) fn handle_targets(
        &mut self,
        targets: &BTreeMap<Target, (IpAddr, MacAddr)>,
        now: Instant,
    ) {
        let stays =
            |target: &Target, station: &Station| targets.get(target) == Some(&station.sender);
        for (target, station) in self.stations.extract_if(.., |target, it| !stays(target, it)) {
            self.due.remove(&(station.next_at(), target));
            self.silent.remove(&target);
            self.changes.insert(target, None);
        }
        for (&target, &sender) in targets {
            self.stations.entry(target).or_insert_with(|| {
                self.due.insert((now, target));
                Station::new(sender, now)
            });
        }
        self.links.retain(|link, _| targets.keys().any(|(of, _)| of == link));
        self.handle_timeout(now);
    }

    /// Takes in which targets EIPs are answered with: these are asked most often.
    pub(crate) fn handle_used(&mut self, used: BTreeSet<Target>, now: Instant) {
        let before = std::mem::replace(&mut self.used, used);
        let begun: Vec<_> = self.used.difference(&before).copied().collect();
        for target in begun {
            self.hasten(target, now);
        }
    }

    /// Takes in whether EIPs are answered with one target.
    pub(crate) fn handle_use(&mut self, target: Target, used: bool, now: Instant) {
        if !used {
            self.used.remove(&target);
        } else if self.used.insert(target) {
            self.hasten(target, now);
        }
    }

    /// Asks a target as often as those are that EIPs are answered with, from now on.
    fn hasten(&mut self, target: Target, now: Instant) {
        match self.stations.get_mut(&target) {
            Some(station) if station.is_idle() => {
                self.due.remove(&(station.next_at(), target));
                self.ask(target, now);
            }
            // It is due when the time of its probe is over, and may have been put off.
            Some(station) => station.rest(self.probing.interval(), now),
            None => {}
        }
    }

    /// Takes in whether a link has carrier.
    pub(crate) fn handle_carrier(&mut self, link: LinkName, carrier: bool) {
        let is_new = match carrier {
            true => self.down.remove(&link),
            false => self.down.insert(link),
        };
        if is_new {
            self.news.links.insert(link);
        }
        if is_new && carrier {
            let behind = self.stations.iter_mut().filter(|((of, _), _)| *of == link);
            behind.for_each(|(_, station)| station.excuse());
            self.silent.retain(|(of, _)| *of != link);
        }
    }

    /// Takes in which links there are: of others nothing is remembered.
    pub(crate) fn handle_links(&mut self, links: &BTreeMap<LinkName, Link>) {
        self.down.retain(|link| links.contains_key(link));
        self.links.retain(|link, _| links.contains_key(link));
    }

    /// Takes in that a term begins. Nodes that are silent behind a link that is suspected now are
    /// dead, since the one who led before may have given up for the same silence. And that one may
    /// have told the LAN of a MAC that a node got since it was asked from here.
    pub(crate) fn handle_term(&mut self) {
        self.stations.values_mut().for_each(Station::doubt);
        for health in self.links.values_mut() {
            health.handle_term();
        }
    }

    /// Takes in that a frame of another station arrived: the link carries frames.
    pub(crate) fn handle_stirred(&mut self, link: LinkName, now: Instant) {
        let gap = self.probing.interval() * 2;
        if self.links.entry(link).or_default().handle_heard(gap, now) {
            self.news.links.insert(link);
        }
    }

    /// Takes in a claim heard.
    pub(crate) fn handle_heard(&mut self, claim: &IsAt, now: Instant) {
        let target = (claim.link, claim.target);
        self.handle_stirred(claim.link, now);
        let Some(station) = self.stations.get_mut(&target) else { return };
        let before = station.next_at();
        let (mac, named) = (station.mac(), station.confirmed_mac());
        let obstacle = station.obstacle();
        let used = self.used.contains(&target);
        if station.handle_answer(claim, now) {
            let every = match used {
                true => self.probing.interval(),
                false => self.random.about(CONFIRM_EVERY),
            };
            station.rest(every, now);
            reschedule(&mut self.due, target, before, station.next_at());
            self.silent.remove(&target);
        }
        if station.obstacle() != obstacle {
            self.changes.insert(target, station.obstacle());
        }
        // What nobody is answered with is of interest only if it is news that the node is there.
        if station.mac() != mac || used && station.confirmed_mac() != named {
            self.news.targets.insert(target);
        }
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let mut silent = Vec::new();
        let mut ready = Vec::new();
        while let Some(&(at, target)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            let station = self.stations.get_mut(&target).expect("what is due is a station");
            let obstacle = station.obstacle();
            match station.close(now, self.probing) {
                Some(Closed::Unanswered) => {
                    if station.mac().is_none() && station.missed() == PROBES {
                        self.news.targets.insert(target);
                    }
                    silent.push(target);
                }
                Some(Closed::Late | Closed::Answered) | None => {}
                Some(Closed::Decided) => {
                    self.news.targets.insert(target);
                    // It may have been asked as one that is lost, and would be asked late again.
                    if station.mac().is_some() && self.used.contains(&target) {
                        station.rest(self.probing.interval(), station.sent_at());
                    }
                }
            }
            if station.obstacle() != obstacle {
                self.changes.insert(target, station.obstacle());
            }
            match station.missed() > 0 && station.obstacle() != Some(Obstacle::Dead) {
                true => self.silent.insert(target),
                false => self.silent.remove(&target),
            };
            match now >= station.next_at() {
                true => ready.push(target),
                false => drop(self.due.insert((station.next_at(), target))),
            }
        }
        // Judged only now: of those whose time is over at once, each is a witness for the others.
        for target in silent {
            self.judge(target, now);
        }
        for target in ready {
            self.ask(target, now);
        }
    }

    /// Of what something else is known since this was last called.
    pub(crate) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// What came to be known of targets: what keeps each from being answered, if anything does.
    #[must_use]
    pub(crate) fn poll_change(&mut self) -> Option<(Target, Option<Obstacle>)> {
        self.changes.pop_first()
    }

    /// The MAC of a node, if it was proved, be it in an earlier term: the node is there.
    pub(crate) fn mac(&self, target: Target) -> Option<MacAddr> {
        self.stations.get(&target)?.mac()
    }

    /// The MAC of a node, if it was proved in this term: it may be named.
    pub(crate) fn confirmed_mac(&self, target: Target) -> Option<MacAddr> {
        self.stations.get(&target)?.confirmed_mac()
    }

    /// Where a MAC is known to be.
    pub(crate) fn at(&self, link: LinkName, mac: MacAddr) -> impl Iterator<Item = IpAddr> {
        let behind = self.behind(link).filter(move |(_, station)| station.mac() == Some(mac));
        behind.map(|((_, address), _)| address)
    }

    /// Whether a node or a gateway is probed.
    pub(crate) fn probes(&self, target: Target) -> bool {
        self.stations.contains_key(&target)
    }

    /// Whether it is known of a node that it answers, or that it did not answer the first probes.
    pub(crate) fn settled(&self, target: Target) -> bool {
        self.stations.get(&target).is_none_or(Station::is_settled)
    }

    /// When the first question was sent that a node has left without an answer since.
    pub(crate) fn silent_since(&self, target: Target) -> Option<Instant> {
        self.stations.get(&target)?.silent_since()
    }

    /// Whether a node came back from the dead too recently to be trusted like others.
    pub(crate) fn is_held_down(&self, target: Target, now: Instant) -> bool {
        self.stations.get(&target).is_some_and(|station| station.is_held_down(now))
    }

    /// Whether a link has no carrier, or nothing was heard behind it when something should have been.
    pub(crate) fn is_suspect(&self, link: LinkName) -> bool {
        self.down.contains(&link) || self.links.get(&link).is_some_and(Health::is_suspect)
    }

    /// Whether a link is suspect, or may come to be: a node that had answered does not, and nobody else was
    /// heard since it was asked.
    pub(crate) fn is_doubted(&self, link: LinkName) -> bool {
        let health = self.links.get(&link).copied().unwrap_or_default();
        let silent = |(_, station): (Target, &Station)| {
            let lost = station.obstacle() == Some(Obstacle::Dead) || station.mac().is_none();
            let carried = health.carried(station.proved_by_frames_since(), station.sent_at());
            station.missed() > 0 && !lost && !carried
        };
        self.is_suspect(link) || !health.presumes_death() && self.behind(link).any(silent)
    }

    /// Whether it means something that anybody is heard on a link, whoever it is: nobody was yet, or
    /// somebody is silent.
    pub(crate) fn seeks_proof(&self, link: LinkName) -> bool {
        let health = self.links.get(&link).copied().unwrap_or_default();
        let from = (link, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let silent = || self.silent.range(from..).next().is_some_and(|(of, _)| *of == link);
        !health.was_heard() || health.is_suspect() || health.presumes_death() || silent()
    }

    /// Whether nothing proves that a link carries frames, though something should have been heard: by
    /// those who were heard before, or by two at least if nobody ever was.
    pub(crate) fn is_silent(&self, link: LinkName) -> bool {
        let health = self.links.get(&link).copied().unwrap_or_default();
        let unheard = |family| {
            let unheard = |((_, address), station): &(Target, &Station)| {
                Family::of(*address) == family && station.missed() >= PROBES
            };
            self.behind(link).filter(unheard).nth(1).is_some()
        };
        // A node may have an address of each family.
        let nobody = || Family::ALL.into_iter().any(unheard);
        health.is_suspect() || health.presumes_death() || !health.was_heard() && nobody()
    }

    /// How much of what is on the LAN is in doubt.
    pub(crate) fn doubts(&self, now: Instant) -> Doubts {
        let ambiguous = |it: &&Station| it.obstacle() == Some(Obstacle::AmbiguousMac);
        Doubts {
            suspect_links: self.links.values().filter(|it| it.is_suspect()).count(),
            ambiguous_nodes: self.stations.values().filter(ambiguous).count(),
            held_down_nodes: self.stations.values().filter(|it| it.is_held_down(now)).count(),
        }
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<Probe> {
        self.outputs.pop_front()
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How much is remembered, where there are so many targets and links.
    pub(crate) fn sizes(&self, targets: usize, links: usize) -> [Size; 9] {
        let answers = self.stations.values().map(Station::n_answers).sum();
        [
            Size::new("targets probed", self.stations.len(), targets),
            Size::new("probes due", self.due.len(), targets),
            Size::new("targets used", self.used.len(), targets),
            Size::new("targets changed", self.changes.len(), targets),
            Size::new("targets with news", self.news.targets.len(), targets),
            Size::new("links with news", self.news.links.len(), links),
            Size::new("answers to probes", answers, targets * (ANSWERS_MAX + 1)),
            Size::new("links heard", self.links.len(), links),
            Size::new("links without carrier", self.down.len(), links),
        ]
    }

    /// Judges a node that did not answer a probe: it may be dead, or the link suspect.
    fn judge(&mut self, target: Target, now: Instant) {
        let (link, _) = target;
        let station = &self.stations[&target];
        let judged = station.missed() < PROBES || station.obstacle() == Some(Obstacle::Dead);
        if judged || self.down.contains(&link) {
            return;
        }
        let mut witnesses = 0_u32;
        let mut unasked = 0_u32;
        // The other address of a node of two families is silent with it.
        let others = self.behind(link).filter(|(other, it)| {
            *other != target && (it.mac() != station.mac() || it.mac().is_none())
        });
        for (_, other) in others {
            if other.mac().is_some() && other.obstacle() != Some(Obstacle::Dead) {
                witnesses += 1;
                unasked += u32::from(other.missed() == 0);
            }
        }
        let known = station.mac().is_some();
        let since = station.proved_by_frames_since();
        let health = self.links.entry(link).or_default();
        let carries = health.carried(since, station.sent_at()) || health.presumes_death();
        // Who is alone with it on the link has its carrier to go by, and a sign of life in the past.
        let dead = carries || known && witnesses == 0;
        if !dead {
            // Those who were not asked may be silent for that.
            let all = witnesses > 0 && unasked <= witnesses - asked_of(witnesses);
            if known && all && health.suspect() {
                self.news.links.insert(link);
            }
            return;
        }
        let station = self.stations.get_mut(&target).expect("it was judged");
        station.die(now);
        self.silent.remove(&target);
        self.changes.insert(target, station.obstacle());
        self.news.targets.insert(target);
    }

    /// Asks a node, and with it, if it is silent, those who can tell whether it is the link.
    fn ask(&mut self, target: Target, now: Instant) {
        let (link, _) = target;
        // All are silent: the first that is heard ends it, whoever it is, and haste helps nobody.
        let suspect = self.is_suspect(link);
        let station = self.stations.get_mut(&target).expect("what is due is a station");
        let doubted = station.missed() > 0 && station.obstacle() != Some(Obstacle::Dead);
        let matters = station.mac().is_some() || self.used.contains(&target);
        let again = match () {
            () if station.is_lost() || suspect && station.missed() > 0 => {
                self.random.about(SEARCH_EVERY)
            }
            () => self.probing.interval(),
        };
        self.outputs.push_back(station.probe(target, now, self.probing.timeout(), again));
        self.due.insert((station.next_at(), target));
        if suspect || !(doubted && matters) {
            return;
        }
        // Those that are silent already have nothing new to tell, and are asked for their own sake.
        let heard = |(other, station): &(Target, &Station)| {
            *other != target && station.mac().is_some() && station.missed() == 0
        };
        let heard = self.behind(link).filter(heard);
        let (idle, asked): (Vec<_>, Vec<_>) = heard.partition(|(_, it)| it.is_idle());
        let room = WITNESSES_MAX.saturating_sub(asked.len()).min(idle.len());
        let mut idle: Vec<_> = idle.into_iter().map(|(other, _)| other).collect();
        for _ in 0..room {
            // Any of them, since nodes that fail together are often neighbours by their addresses, too.
            let other = idle.swap_remove(self.random.below(idle.len()));
            let station = self.stations.get_mut(&other).expect("it was found there");
            let before = station.next_at();
            let probe = station.probe(other, now, self.probing.timeout(), self.probing.interval());
            self.outputs.push_back(probe);
            reschedule(&mut self.due, other, before, station.next_at());
        }
    }

    /// The stations behind a link.
    fn behind(&self, link: LinkName) -> impl Iterator<Item = (Target, &Station)> {
        let from = (link, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let behind = self.stations.range(from..).take_while(move |((of, _), _)| *of == link);
        behind.map(|(target, station)| (*target, station))
    }
}

/// How many of so many witnesses are asked.
fn asked_of(witnesses: u32) -> u32 {
    witnesses.min(u32::try_from(WITNESSES_MAX).expect("there are few"))
}

fn reschedule(due: &mut BTreeSet<(Instant, Target)>, target: Target, from: Instant, to: Instant) {
    due.remove(&(from, target));
    due.insert((to, target));
}

//! The MACs of nodes, learned on this replica's own links from answers to its own probes.
//!
//! Nothing else teaches a MAC: a claim that nobody asked for is no proof. A MAC that is known is
//! confirmed by asking it alone, and only its own answer counts; another is adopted only after the
//! known one stayed silent and the same other one, and no third, answered two broadcasts in a row.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use pnet::util::MacAddr;

use crate::{Instant, IsAt, LinkName, Probe, random::Random};

/// How long after one probe of a node that has not answered the next one follows.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// How long an answer to a probe may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);
/// How often a node whose MAC is known is asked again, before jitter.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// How often a node that never answered is asked again after its first probes, before jitter.
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// After so many unanswered probes a first search is over, or a known MAC is in doubt.
const PROBES: u32 = 3;

/// Where a node is looked for: an address on a link.
pub(crate) type Target = (LinkName, IpAddr);

/// The MACs of all nodes that may have to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Neighbors {
    random: Random,
    neighbors: BTreeMap<Target, Neighbor>,
    outputs: VecDeque<Probe>,
}

#[derive(Clone, Debug)]
struct Neighbor {
    /// The link's own address and MAC: who asks.
    sender: (IpAddr, MacAddr),
    mac: Option<MacAddr>,
    /// Probes in a row that brought nothing.
    missed: u32,
    /// The probe whose answer is waited for.
    pending: Option<Pending>,
    /// The only other MAC that answered the last broadcast.
    rival: Option<MacAddr>,
    probe_at: Instant,
}

#[derive(Clone, Debug)]
struct Pending {
    to: Option<MacAddr>,
    until: Instant,
    answers: BTreeSet<MacAddr>,
}

impl Neighbors {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        Self { random, neighbors: BTreeMap::new(), outputs: VecDeque::new() }
    }

    /// Takes in where nodes are to be found, and who asks there. What was learned of a target that
    /// stays is kept.
    pub(crate) fn handle_targets(
        &mut self,
        targets: &BTreeMap<Target, (IpAddr, MacAddr)>,
        now: Instant,
    ) {
        self.neighbors.retain(|target, neighbor| targets.get(target) == Some(&neighbor.sender));
        for (&target, &sender) in targets {
            self.neighbors.entry(target).or_insert(Neighbor {
                sender,
                mac: None,
                missed: 0,
                pending: None,
                rival: None,
                probe_at: now,
            });
        }
        self.handle_timeout(now);
    }

    /// Takes in a claim heard. Says whether it taught a MAC.
    pub(crate) fn handle_heard(&mut self, claim: &IsAt, now: Instant) -> bool {
        let IsAt { link, target, mac, to, via } = *claim;
        let Some(neighbor) = self.neighbors.get_mut(&(link, target)) else { return false };
        let Some(pending) = &mut neighbor.pending else { return false };
        let to_us = to == Some(neighbor.sender);
        let asked = pending.to.is_none_or(|asked| asked == mac);
        if via != mac || !to_us || !asked || now >= pending.until {
            return false;
        }
        pending.answers.insert(mac);
        if neighbor.mac.is_some_and(|known| known != mac) {
            return false; // Judged when the window closes: others may answer too.
        }
        let learned = neighbor.mac.is_none();
        neighbor.mac = Some(mac);
        neighbor.missed = 0;
        neighbor.rival = None;
        neighbor.pending = None;
        neighbor.probe_at = now + self.random.about(CONFIRM_EVERY);
        learned
    }

    /// Takes in the passage of time. Returns whether a MAC changed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for (&(link, target), neighbor) in &mut self.neighbors {
            changed |= neighbor.close(now);
            if neighbor.pending.is_some() || now < neighbor.probe_at {
                continue;
            }
            let to = neighbor.mac.filter(|_| neighbor.missed < PROBES);
            let until = now + ANSWER_WITHIN;
            neighbor.pending = Some(Pending { to, until, answers: BTreeSet::new() });
            let searched = neighbor.mac.is_none() && neighbor.missed + 1 >= PROBES;
            let again = if searched { self.random.about(SEARCH_EVERY) } else { PROBE_EVERY };
            neighbor.probe_at = now + again;
            self.outputs.push_back(Probe { link, target, to, sender: neighbor.sender });
        }
        changed
    }

    /// The MAC of a node, if it was proved.
    pub(crate) fn mac(&self, target: Target) -> Option<MacAddr> {
        self.neighbors.get(&target)?.mac
    }

    /// Whether it is known of a node that it answers, or that it did not answer the first probes.
    pub(crate) fn settled(&self, target: Target) -> bool {
        let known = |neighbor: &Neighbor| neighbor.mac.is_some() || neighbor.missed >= PROBES;
        self.neighbors.get(&target).is_none_or(known)
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<Probe> {
        self.outputs.pop_front()
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.neighbors.values().map(Neighbor::next_at).min()
    }
}

impl Neighbor {
    fn next_at(&self) -> Instant {
        self.pending.as_ref().map_or(self.probe_at, |pending| pending.until)
    }

    /// Judges a probe whose time is over. Says whether the MAC, or that none is to be had, became
    /// known by it.
    fn close(&mut self, now: Instant) -> bool {
        let Some(pending) = self.pending.take_if(|pending| now >= pending.until) else {
            return false;
        };
        self.missed = self.missed.saturating_add(1);
        let mut answers = pending.answers.into_iter();
        let sole = match (answers.next(), answers.next()) {
            (Some(mac), None) => Some(mac),
            (None | Some(_), _) => None,
        };
        if sole.is_some() && sole == self.rival {
            self.mac = sole;
            self.missed = 0;
            self.rival = None;
            return true;
        }
        self.rival = sole;
        self.mac.is_none() && self.missed == PROBES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 9));
    const SELF: (IpAddr, MacAddr) =
        (IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 3)), MacAddr(2, 0, 0, 0, 0, 3));
    const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
    const OTHER: MacAddr = MacAddr(2, 0, 0, 0, 0, 99);

    fn target() -> Target {
        (LinkName::new("eth0").unwrap(), NODE)
    }

    fn reply(mac: MacAddr) -> IsAt {
        IsAt { link: target().0, target: NODE, mac, to: Some(SELF), via: mac }
    }

    fn looking() -> Neighbors {
        let mut neighbors = Neighbors::new(1);
        neighbors.handle_targets(&BTreeMap::from([(target(), SELF)]), Instant::ZERO);
        neighbors
    }

    /// Lets time pass up to `until`; `answer` says who answers each probe.
    fn run(neighbors: &mut Neighbors, until: Instant, answer: impl Fn(&Probe) -> Vec<MacAddr>) {
        loop {
            let now = neighbors.poll_timeout().unwrap();
            if now > until {
                return;
            }
            neighbors.handle_timeout(now);
            while let Some(probe) = neighbors.poll_output() {
                for mac in answer(&probe) {
                    neighbors.handle_heard(&reply(mac), now + Duration::from_millis(1));
                }
            }
        }
    }

    #[test]
    fn a_node_is_asked_by_broadcast_and_learned_from_its_answer() {
        let mut neighbors = looking();
        let probe = neighbors.poll_output().unwrap();
        assert_eq!((probe.target, probe.to, probe.sender), (NODE, None, SELF));
        assert!(neighbors.handle_heard(&reply(MAC), Instant::from_millis(1)));
        assert_eq!(neighbors.mac(target()), Some(MAC));
    }

    #[test]
    fn a_claim_that_nobody_asked_for_teaches_nothing() {
        let mut neighbors = looking();
        let late = Instant::ZERO + ANSWER_WITHIN;
        assert!(!neighbors.handle_heard(&reply(MAC), late));
        let announced = IsAt { to: None, ..reply(MAC) };
        assert!(!neighbors.handle_heard(&announced, Instant::from_millis(1)));
        let forged = IsAt { via: OTHER, ..reply(MAC) };
        assert!(!neighbors.handle_heard(&forged, Instant::from_millis(1)));
        assert_eq!(neighbors.mac(target()), None);
    }

    #[test]
    fn a_known_mac_is_not_displaced_by_another_that_answers_too() {
        let mut neighbors = looking();
        assert!(neighbors.poll_output().is_some());
        neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
        run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
            Some(known) => vec![known],
            None => vec![OTHER, MAC],
        });
        assert_eq!(neighbors.mac(target()), Some(MAC));
    }

    #[test]
    fn a_new_mac_is_adopted_once_the_known_one_is_silent() {
        let mut neighbors = looking();
        assert!(neighbors.poll_output().is_some());
        neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
        run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
            Some(MAC) => vec![],
            Some(_) | None => vec![OTHER],
        });
        assert_eq!(neighbors.mac(target()), Some(OTHER));
    }

    #[test]
    fn two_rivals_displace_nobody() {
        let mut neighbors = looking();
        assert!(neighbors.poll_output().is_some());
        neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
        let third = MacAddr(2, 0, 0, 0, 0, 98);
        run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
            Some(_) => vec![],
            None => vec![OTHER, third],
        });
        assert_eq!(neighbors.mac(target()), Some(MAC));
    }

    #[test]
    fn rivals_that_take_turns_displace_nobody() {
        let mut neighbors = looking();
        assert!(neighbors.poll_output().is_some());
        neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
        let third = MacAddr(2, 0, 0, 0, 0, 98);
        let last = std::cell::Cell::new(third);
        run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
            Some(_) => vec![],
            None => {
                last.set(if last.get() == OTHER { third } else { OTHER });
                vec![last.get()]
            }
        });
        assert_eq!(neighbors.mac(target()), Some(MAC));
    }

    #[test]
    fn a_node_that_never_answers_is_settled_after_the_first_probes_and_asked_on() {
        let mut neighbors = looking();
        assert!(!neighbors.settled(target()));
        run(&mut neighbors, Instant::from_millis(1_000), |_| vec![]);
        assert!(neighbors.settled(target()));
        run(&mut neighbors, Instant::from_millis(5_000), |_| vec![MAC]);
        assert_eq!(neighbors.mac(target()), Some(MAC));
    }
}

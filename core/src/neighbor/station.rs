//! One node on one link: its MAC, and whether it is there.
//!
//! A MAC that is known is confirmed by asking it alone, and only its own answer counts; the third
//! probe in a row asks everybody. Another MAC is adopted only after the known one stayed silent and
//! the same other one, and no third, answered two broadcasts in a row. If several answer and the
//! known one is not among them, nobody can tell which is the node.

use std::{collections::BTreeSet, time::Duration};

use pnet::util::MacAddr;

use super::{ANSWERS_MAX, HOLD_DOWN, HOLD_DOWN_MAX, PROBES, Target};
use crate::{Instant, IsAt, Probe, Probing, placement::Obstacle};

/// A node behind a link.
#[derive(Clone, Debug)]
pub(super) struct Station {
    /// The link's own address and MAC: who asks.
    pub(super) sender: (std::net::IpAddr, MacAddr),
    mac: Option<MacAddr>,
    /// Whether it answered since it was last doubted.
    confirmed: bool,
    /// Probes in a row that brought nothing.
    missed: u32,
    /// The probe whose answer is waited for.
    pending: Option<Pending>,
    /// When the last probe was sent.
    sent_at: Instant,
    /// When the first of those was sent that brought nothing since.
    silent_since: Instant,
    /// The only other MAC that answered the last broadcast.
    rival: Option<MacAddr>,
    obstacle: Option<Obstacle>,
    hold: Hold,
    probe_at: Instant,
}

#[derive(Clone, Debug)]
struct Pending {
    to: Option<MacAddr>,
    until: Instant,
    answers: BTreeSet<MacAddr>,
}

/// What is remembered of a node's deaths.
#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    until: Option<Instant>,
    span: Duration,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// Somebody answered, and it changes nothing.
    Answered,
    /// By an answer it is decided what the MAC is, or that nobody can tell.
    Decided,
    /// The end of its time was noticed too late: the answer may have been there.
    Late,
    /// Nobody answered.
    Unanswered,
}

impl Station {
    pub(super) fn new(sender: (std::net::IpAddr, MacAddr), now: Instant) -> Self {
        Self {
            sender,
            mac: None,
            confirmed: false,
            missed: 0,
            pending: None,
            sent_at: now,
            silent_since: now,
            rival: None,
            obstacle: None,
            hold: Hold::default(),
            probe_at: now,
        }
    }

    /// The MAC, if it was proved and nothing speaks against it.
    pub(super) fn mac(&self) -> Option<MacAddr> {
        self.mac
    }

    /// The MAC, if the node has answered with it since it was last doubted.
    pub(super) fn confirmed_mac(&self) -> Option<MacAddr> {
        self.mac.filter(|_| self.confirmed)
    }

    /// Takes in that others may know better what its MAC is.
    pub(super) fn doubt(&mut self) {
        self.confirmed = false;
    }

    /// Takes in that nobody could have answered.
    pub(super) fn excuse(&mut self) {
        self.missed = 0;
        self.rival = None;
    }

    /// Probes in a row that nobody answered.
    pub(super) fn missed(&self) -> u32 {
        self.missed
    }

    pub(super) fn sent_at(&self) -> Instant {
        self.sent_at
    }

    /// Since when a frame of another station proves that this one could have been heard. Of a node that
    /// is known it has to be in the same window, since the link may have failed meanwhile; one that never
    /// answered loses nothing by being given up.
    pub(super) fn proved_by_frames_since(&self) -> Instant {
        if self.mac.is_some() { self.sent_at } else { self.silent_since }
    }

    /// When the first of those was sent that brought nothing since.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        (self.missed > 0).then_some(self.silent_since)
    }

    /// What keeps the node from being answered.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        self.obstacle
    }

    /// How many MACs have answered the probe that is waited for.
    pub(super) fn n_answers(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.answers.len())
    }

    /// Whether it is known that it answers, or that it did not answer the first probes.
    pub(super) fn is_settled(&self) -> bool {
        self.mac.is_some() || self.missed >= PROBES || self.obstacle.is_some()
    }

    /// Whether it has stayed silent for so long that it is asked but now and then.
    pub(super) fn is_lost(&self) -> bool {
        self.obstacle.is_some() || self.mac.is_none() && self.missed + 1 >= PROBES
    }

    /// Whether no answer is waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_none()
    }

    pub(super) fn is_held_down(&self, now: Instant) -> bool {
        self.hold.until.is_some_and(|until| now < until)
    }

    pub(super) fn next_at(&self) -> Instant {
        self.pending.as_ref().map_or(self.probe_at, |pending| pending.until)
    }

    /// Leaves it alone for a while.
    pub(super) fn rest(&mut self, span: Duration, now: Instant) {
        self.probe_at = now + span;
    }

    /// The next probe, whose answer is waited for until `timeout` is over.
    pub(super) fn probe(
        &mut self,
        (link, target): Target,
        now: Instant,
        timeout: Duration,
        again: Duration,
    ) -> Probe {
        let to = self.mac.filter(|_| self.missed + 1 < PROBES);
        self.pending = Some(Pending { to, until: now + timeout, answers: BTreeSet::new() });
        self.sent_at = now;
        if self.missed == 0 {
            self.silent_since = now;
        }
        self.probe_at = now + again;
        Probe { link, target, to, sender: self.sender }
    }

    /// Takes in a claim to be the node. Says whether it is a proof that it is there.
    pub(super) fn handle_answer(&mut self, claim: &IsAt, now: Instant) -> bool {
        let Some(pending) = &mut self.pending else { return false };
        let to_us = claim.to == Some(self.sender);
        let asked = pending.to.is_none_or(|asked| asked == claim.mac);
        if claim.via != claim.mac || !to_us || !asked || now >= pending.until {
            return false;
        }
        if pending.answers.len() < ANSWERS_MAX || self.mac == Some(claim.mac) {
            pending.answers.insert(claim.mac);
        }
        let first = pending.answers.len() == 1 && self.obstacle != Some(Obstacle::AmbiguousMac);
        match self.mac {
            Some(known) if known == claim.mac => self.pending = None,
            // Judged when the window closes: others may answer too.
            Some(_) => return false,
            // The window stays open for a second that claims to be it.
            None if first => self.mac = Some(claim.mac),
            None => return false,
        }
        self.missed = 0;
        self.rival = None;
        self.revive(now);
        true
    }

    /// Judges a probe whose time is over.
    pub(super) fn close(&mut self, now: Instant, probing: Probing) -> Option<Closed> {
        let pending = self.pending.take_if(|pending| now >= pending.until)?;
        let mut answers = pending.answers.iter().copied();
        let sole = match (answers.next(), answers.next()) {
            (Some(mac), None) => Some(mac),
            (None | Some(_), _) => None,
        };
        let knows = self.mac.is_some_and(|mac| pending.answers.contains(&mac));
        if knows && (sole.is_some() || pending.to.is_some()) {
            return Some(Closed::Answered);
        }
        if pending.answers.is_empty() {
            if now > pending.until + probing.interval() / 2 {
                return Some(Closed::Late);
            }
            self.missed = self.missed.saturating_add(1);
            self.rival = None;
            return Some(Closed::Unanswered);
        }
        self.missed = self.missed.saturating_add(1);
        let Some(sole) = sole else {
            // Several, and the one that was known before this probe is not among them.
            self.mac = None;
            self.rival = None;
            self.obstacle = Some(Obstacle::AmbiguousMac);
            return Some(Closed::Decided);
        };
        if self.rival.replace(sole) != Some(sole) {
            return Some(Closed::Answered);
        }
        self.mac = Some(sole);
        self.missed = 0;
        self.rival = None;
        self.revive(now);
        Some(Closed::Decided)
    }

    /// Takes in that the node is dead.
    pub(super) fn die(&mut self, now: Instant) {
        self.obstacle = Some(Obstacle::Dead);
        self.mac = None;
        // One that stayed well for as long as it was held down begins anew.
        let relapsed = self.hold.until.is_some_and(|until| now < until + self.hold.span);
        let span = if relapsed { self.hold.span * 2 } else { HOLD_DOWN };
        self.hold = Hold { until: None, span: span.min(HOLD_DOWN_MAX) };
    }

    fn revive(&mut self, now: Instant) {
        self.confirmed = true;
        if self.obstacle.take() == Some(Obstacle::Dead) {
            self.hold.until = Some(now + self.hold.span);
        }
    }
}

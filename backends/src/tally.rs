//! What came of what a replica did: counted by the loop that drives it, and told with a report.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use porter_core::{
    Got, Input, Instant, Kind, LinkName, Move, MoveCause, Output, Version, Write, WriteError,
    WriteId,
};
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of seconds that were left when the Lease was renewed: from a close call to what is left of a
/// Lease of half a minute.
const MARGINS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Bounds of seconds that a decision came late, up to what makes a replica miss a probe's answer.
const LATENESSES: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0];

/// Bounds of seconds that a move takes: from a write of a moment to a node that was missed for long.
const MOVES: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Bounds of seconds in which nobody led: from a handover to a Lease of half a minute.
const TAKEOVERS: [f64; 10] = [0.01, 0.05, 0.25, 1.0, 2.0, 4.0, 5.0, 6.0, 10.0, 30.0];

/// Bounds of seconds that an answer takes: from a switch nearby to what counts as none.
const ROUND_TRIPS: [f64; 9] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.03, 0.06, 0.25];

/// After this time nobody waits for the answer to a probe any more.
const UNANSWERED: Duration = Duration::from_secs(10);

/// Of how many probes it is remembered when they were sent, before those that are not waited for are
/// looked for.
const PROBES_KEPT: usize = 1_024;

/// What came of what a replica did.
#[derive(Clone, Debug)]
pub struct Tally {
    /// How often it began to lead.
    pub begun: u64,
    /// How often it ceased to.
    pub ended: u64,
    /// For how many more seconds it might have spoken each time that it was allowed to go on.
    pub(crate) margins: Histogram,
    /// How many seconds after its time each decision was made that was due at some time.
    pub(crate) lateness: Histogram,
    /// How many seconds after the last sign of another leader it led.
    pub(crate) takeovers: Histogram,
    /// After how many seconds nodes answered its probes.
    pub(crate) round_trips: Histogram,
    /// How often Services moved, and how many seconds that took, by `MoveCause as usize`.
    moves: [(u64, Histogram); MoveCause::ALL.len()],
    /// The Lease as it was seen last while another led, and when.
    sign: Option<(Version, Instant)>,
    /// When it was last asked for each node.
    asked: BTreeMap<(LinkName, IpAddr), Instant>,
    writes: BTreeMap<(Kind, Verdict), u64>,
    /// What is being written.
    pending: BTreeMap<WriteId, Kind>,
    /// Until when it may speak.
    until: Instant,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// It took effect.
    Written,
    /// The API server has too many requests.
    Busy,
    /// The object had changed meanwhile.
    Conflict,
    /// There is no right to it.
    Forbidden,
    /// The API server refused what was to be written.
    Rejected,
    /// No answer that makes sense came in time.
    Unknown,
}

impl Verdict {
    /// All that there are.
    pub const ALL: [Self; 6] =
        [Self::Written, Self::Busy, Self::Conflict, Self::Forbidden, Self::Rejected, Self::Unknown];

    /// The name, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "Written",
            Self::Busy => "Busy",
            Self::Conflict => "Conflict",
            Self::Forbidden => "Forbidden",
            Self::Rejected => "Rejected",
            Self::Unknown => "Unknown",
        }
    }

    fn of<T>(verdict: &Result<T, WriteError>) -> Self {
        match verdict {
            Ok(_) => Self::Written,
            Err(WriteError::Busy(_)) => Self::Busy,
            Err(WriteError::Conflict) => Self::Conflict,
            Err(WriteError::Forbidden(_)) => Self::Forbidden,
            Err(WriteError::Rejected(_)) => Self::Rejected,
            Err(WriteError::Unknown) => Self::Unknown,
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            begun: 0,
            ended: 0,
            margins: Histogram::new(MARGINS),
            lateness: Histogram::new(LATENESSES),
            takeovers: Histogram::new(TAKEOVERS),
            round_trips: Histogram::new(ROUND_TRIPS),
            moves: MoveCause::ALL.map(|_| (0, Histogram::new(MOVES))),
            sign: None,
            asked: BTreeMap::new(),
            writes: BTreeMap::new(),
            pending: BTreeMap::new(),
            until: Instant::ZERO,
        }
    }
}

impl Tally {
    /// The kinds that are written.
    pub const KINDS: [Kind; 3] = [Kind::Eip, Kind::Lease, Kind::Service];

    /// How many writes of a kind came to this.
    pub fn writes(&self, kind: Kind, verdict: Verdict) -> u64 {
        self.writes.get(&(kind, verdict)).copied().unwrap_or_default()
    }

    /// How often Services moved for this cause, and how many seconds that took.
    pub(crate) fn moves(&self, cause: MoveCause) -> &(u64, Histogram) {
        &self.moves[cause as usize]
    }

    /// Takes in what is to be done.
    pub(crate) fn handle_output(&mut self, output: &Output, now: Instant) {
        if let Output::Permit(until) = output {
            if now < self.until && self.until < *until {
                self.margins.observe(self.until.since(now).as_secs_f64());
            }
            self.until = *until;
        }
        if let Output::Moved(Move { cause, took, .. }) = output {
            let (count, seconds) = &mut self.moves[*cause as usize];
            *count += 1;
            seconds.observe(took.as_secs_f64());
        }
        if let Output::Probe(probe) = output
            && !probe.is_for_conflicts()
        {
            if self.asked.len() >= PROBES_KEPT {
                self.asked.retain(|_, asked_at| now.since(*asked_at) < UNANSWERED);
            }
            self.asked.insert((probe.link, probe.target), now);
        }
        if let Output::Write(id, write) = output {
            let kind = match write {
                Write::Eip(..) => Kind::Eip,
                Write::Lease(..) => Kind::Lease,
                Write::Service(..) => Kind::Service,
            };
            self.pending.insert(*id, kind);
        }
    }

    /// Takes in what happened.
    pub(crate) fn handle_input(&mut self, input: &Input, now: Instant) {
        if let Input::Written(id, verdict) = input
            && let Some(kind) = self.pending.remove(id)
        {
            *self.writes.entry((kind, Verdict::of(verdict))).or_default() += 1;
        }
        if let Input::Heard(is_at) = input
            && let Some(asked_at) = self.asked.remove(&(is_at.link, is_at.target))
        {
            self.round_trips.observe(now.since(asked_at).as_secs_f64());
        }
        if let Input::Lease(Some((version, _))) | Input::Got(_, Ok(Got::Lease(Some((version, _))))) =
            input
            && self.sign.as_ref().is_none_or(|(seen, _)| seen != version)
        {
            self.sign = Some((*version, now));
        }
    }

    /// Takes in that what was due is met now.
    pub(crate) fn handle_timeout(&mut self, due_at: Instant, now: Instant) {
        self.lateness.observe(now.since(due_at).as_secs_f64());
    }

    /// Takes in whether the replica leads.
    pub(crate) fn handle_leads(&mut self, leads: bool, now: Instant) {
        match leads {
            true => {
                self.begun += 1;
                if let Some((_, seen_at)) = self.sign {
                    self.takeovers.observe(now.since(seen_at).as_secs_f64());
                }
            }
            false => self.ended += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use porter_core::{IsAt, LeaseRecord, MacAddr, Probe};

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_margin_is_what_was_left_when_the_permission_was_extended() {
        let mut tally = Tally::default();
        for (until, now) in [(4_850, 0), (6_350, 1_500), (7_850, 6_000)] {
            tally.handle_output(&Output::Permit(at(until)), at(now));
        }
        assert_eq!(tally.margins.count(), 2, "the first permission extends none");
        assert!((tally.margins.sum() - 3.7).abs() < 1e-6, "{}", tally.margins.sum());

        for (until, now) in [(0, 7_000), (20_000, 15_000), (30_000, 21_000)] {
            tally.handle_output(&Output::Permit(at(until)), at(now));
        }
        assert_eq!(tally.margins.count(), 2, "it was taken back, given anew, or had run out");
    }

    #[test]
    fn a_decision_is_as_late_as_it_is_made_after_it_was_due() {
        let mut tally = Tally::default();
        tally.handle_timeout(at(1_000), at(1_003));
        tally.handle_timeout(at(2_000), at(2_000));
        assert_eq!(tally.lateness.count(), 2);
        assert!((tally.lateness.sum() - 0.003).abs() < 1e-6, "{}", tally.lateness.sum());
    }

    #[test]
    fn a_verdict_is_counted_with_the_kind_of_its_write_and_once() {
        let mut tally = Tally::default();
        let write = |id| Output::Write(WriteId(id), Write::Lease(None, LeaseRecord::default()));
        let busy = |id| Input::Written(WriteId(id), Err(WriteError::Busy(Duration::ZERO)));
        let hear = |tally: &mut Tally, id| tally.handle_input(&busy(id), at(0));
        tally.handle_output(&write(1), at(0));
        hear(&mut tally, 2);
        assert_eq!(tally.writes(Kind::Lease, Verdict::Busy), 0);

        hear(&mut tally, 1);
        hear(&mut tally, 1);
        assert_eq!(tally.writes(Kind::Lease, Verdict::Busy), 1);
        assert_eq!(tally.writes(Kind::Service, Verdict::Busy), 0);
    }

    #[test]
    fn a_takeover_counts_from_the_last_news_of_the_lease() {
        let mut tally = Tally::default();
        let seen = |version| Input::Lease(Some((Version(version), LeaseRecord::default())));
        for (version, millis) in [(7, 1_000), (8, 2_500), (8, 6_000)] {
            tally.handle_input(&seen(version), at(millis));
        }
        tally.handle_leads(true, at(7_500));
        assert_eq!(tally.takeovers.count(), 1);
        assert!((tally.takeovers.sum() - 5.0).abs() < 1e-6, "{}", tally.takeovers.sum());

        tally.handle_leads(false, at(9_000));
        assert_eq!(tally.takeovers.count(), 1, "who falls silent takes nothing over");
    }

    #[test]
    fn a_round_trip_is_from_the_last_probe_of_a_node_to_its_first_answer() {
        let mut tally = Tally::default();
        let link = LinkName::new("eth0").expect("a good name");
        let own = ([172, 22, 0, 3].into(), MacAddr::new(2, 0, 0, 0, 0, 3));
        let nobody = (IpAddr::from([0, 0, 0, 0]), own.1);
        let node = |host: u16| IpAddr::from([172, 22, (host >> 8) as u8, host as u8]);
        let mac = MacAddr::new(2, 0, 0, 0, 0, 9);
        let probe = |target, sender| Output::Probe(Probe { link, target, to: None, sender });
        let heard = |target| Input::Heard(IsAt { link, target, mac, to: Some(own), via: mac });

        tally.handle_output(&probe(node(9), own), at(0));
        tally.handle_output(&probe(node(9), own), at(300));
        tally.handle_output(&probe(node(188), nobody), at(300));
        tally.handle_input(&heard(node(188)), at(301));
        tally.handle_input(&heard(node(9)), at(302));
        tally.handle_input(&heard(node(9)), at(303));
        assert_eq!(tally.round_trips.count(), 1, "who asks who has an EIP asks no node");
        assert!((tally.round_trips.sum() - 0.002).abs() < 1e-6, "{}", tally.round_trips.sum());

        for host in 0..20_000 {
            tally.handle_output(&probe(node(host), own), at(u64::from(host) * 100));
        }
        assert!(tally.asked.len() <= PROBES_KEPT, "{}", tally.asked.len());
    }
}

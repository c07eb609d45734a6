//! What came of what a replica did: counted by the loop that drives it, and told with a report.

use std::collections::BTreeMap;

use porter_core::{Input, Instant, Kind, Output, Write, WriteError, WriteId};
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of seconds that were left when the Lease was renewed: from a close call to what is left of a
/// Lease of half a minute.
const MARGINS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Bounds of seconds that a decision came late, up to what makes a replica miss a probe's answer.
const LATENESSES: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0];

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

    /// Takes in what is to be done.
    pub(crate) fn handle_output(&mut self, output: &Output, now: Instant) {
        if let Output::Permit(until) = output {
            if now < self.until && self.until < *until {
                self.margins.observe(self.until.since(now).as_secs_f64());
            }
            self.until = *until;
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
    pub(crate) fn handle_input(&mut self, input: &Input) {
        if let Input::Written(id, verdict) = input
            && let Some(kind) = self.pending.remove(id)
        {
            *self.writes.entry((kind, Verdict::of(verdict))).or_default() += 1;
        }
    }

    /// Takes in that what was due is met now.
    pub(crate) fn handle_timeout(&mut self, due_at: Instant, now: Instant) {
        self.lateness.observe(now.since(due_at).as_secs_f64());
    }

    /// Takes in whether the replica leads.
    pub(crate) fn handle_leads(&mut self, leads: bool) {
        match leads {
            true => self.begun += 1,
            false => self.ended += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use porter_core::LeaseRecord;

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
        tally.handle_output(&write(1), at(0));
        tally.handle_input(&busy(2));
        assert_eq!(tally.writes(Kind::Lease, Verdict::Busy), 0);

        tally.handle_input(&busy(1));
        tally.handle_input(&busy(1));
        assert_eq!(tally.writes(Kind::Lease, Verdict::Busy), 1);
        assert_eq!(tally.writes(Kind::Service, Verdict::Busy), 0);
    }
}

//! What became of every frame, as numbers: the path on which answers are given writes no log.

use std::sync::atomic::{AtomicU64, Ordering};

use porter_core::{Silence, wire::Dropped};

/// What became of one frame, heard or to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A claim was sent to everybody.
    Announced,
    /// A question was answered.
    Answered,
    /// It could not be read, or was not meant for us.
    Dropped(Dropped),
    /// A claim was heard and passed on.
    Heard,
    /// The permitted time was over between the decision to send and the sending.
    Late,
    /// The kernel had no room for it: the responder was behind. Counted once it has caught up.
    Missed,
    /// A claim was heard and lost: more came than could be taken in.
    Overrun,
    /// A node's MAC was asked for.
    Probed,
    /// A question was not answered.
    Silent(Silence),
    /// More than a millisecond passed from the check whether to speak until a frame was sent. Comes
    /// on top of what became of the frame.
    Slow,
    /// It could not be sent: the link was gone or down, or its queue was full.
    Unsent,
}

/// The number of outcomes without a reason of their own.
const PLAIN: usize = 9;
const COUNT: usize = PLAIN + Dropped::ALL.len() + Silence::ALL.len();

impl Outcome {
    fn place(self) -> usize {
        match self {
            Self::Announced => 0,
            Self::Answered => 1,
            Self::Heard => 2,
            Self::Late => 3,
            Self::Missed => 4,
            Self::Overrun => 5,
            Self::Probed => 6,
            Self::Slow => 7,
            Self::Unsent => 8,
            Self::Dropped(reason) => PLAIN + reason as usize,
            Self::Silent(reason) => PLAIN + Dropped::ALL.len() + reason as usize,
        }
    }

    /// Every outcome that there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Announced,
            Self::Answered,
            Self::Heard,
            Self::Late,
            Self::Missed,
            Self::Overrun,
            Self::Probed,
            Self::Slow,
            Self::Unsent,
        ];
        plain
            .into_iter()
            .chain(Dropped::ALL.into_iter().map(Self::Dropped))
            .chain(Silence::ALL.into_iter().map(Self::Silent))
    }
}

/// How often each [`Outcome`] came about, on all links together.
#[derive(Debug)]
pub struct Outcomes([AtomicU64; COUNT]);

impl Outcomes {
    /// How often it came about until now.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0[outcome.place()].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, outcome: Outcome) {
        self.add_many(outcome, 1);
    }

    pub(crate) fn add_many(&self, outcome: Outcome, times: u64) {
        self.0[outcome.place()].fetch_add(times, Ordering::Relaxed);
    }
}

impl Default for Outcomes {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; COUNT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_apart_from_the_others() {
        let outcomes = Outcomes::default();
        for (times, outcome) in Outcome::all().enumerate() {
            (0..times).for_each(|_| outcomes.add(outcome));
        }
        for (times, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcomes.count(outcome), times as u64, "{outcome:?}");
        }
        assert_eq!(Outcome::all().count(), COUNT);
    }
}

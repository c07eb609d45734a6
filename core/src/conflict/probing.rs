//! How long an address is tried out before it is given.

use std::time::Duration;

use crate::random::Random;

/// The shortest wait before the first probe. A trial begins when all that was due has been asked already: one
/// that were due at once would need another turn for itself.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// How an address is tried out: how often it is asked for, and for how long nobody may answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConflictProbing {
    /// The longest wait before the first probe; it is any time up to that.
    wait_max: Duration,
    count: u8,
    gap_min: Duration,
    gap_max: Duration,
    /// How long after the last probe an answer counts.
    settle: Duration,
}

impl ConflictProbing {
    /// Three probes within 200 ms, and as long for an answer. RFC 5227 section 2.2 allows shorter
    /// timers where hosts are known to answer fast; on a LAN of servers they do.
    pub fn fast() -> Self {
        Self {
            wait_max: Duration::ZERO,
            count: 3,
            gap_min: Duration::from_millis(100),
            gap_max: Duration::from_millis(100),
            settle: Duration::from_millis(200),
        }
    }

    /// The timers of RFC 5227 section 1.1: from four to seven seconds.
    pub fn rfc5227() -> Self {
        Self {
            wait_max: Duration::from_secs(1),
            count: 3,
            gap_min: Duration::from_secs(1),
            gap_max: Duration::from_secs(2),
            settle: Duration::from_secs(2),
        }
    }

    /// The longest that it takes, on a LAN where nothing else is to be asked.
    pub fn lasts_at_most(&self) -> Duration {
        self.wait_max.max(WAIT_MIN) + self.gap_max * u32::from(self.count - 1) + self.settle
    }

    pub(super) fn count(&self) -> u8 {
        self.count
    }

    pub(super) fn settle(&self) -> Duration {
        self.settle
    }

    /// How long the first probe waits.
    pub(super) fn wait(&self, random: &mut Random) -> Duration {
        between(Duration::ZERO, self.wait_max, random).max(WAIT_MIN)
    }

    /// How long after one probe the next one follows.
    pub(super) fn gap(&self, random: &mut Random) -> Duration {
        between(self.gap_min, self.gap_max, random)
    }
}

fn between(min: Duration, max: Duration, random: &mut Random) -> Duration {
    let span = u64::try_from((max - min).as_millis()).expect("timers are short");
    min + Duration::from_millis(random.next() % (span + 1))
}

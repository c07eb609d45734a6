//! What a replica is told once, at its start, and checks before it says a word.

use std::{error, fmt, time::Duration};

use crate::{ConflictProbing, Identity, OnConflict, Timestamp};

/// How one replica is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this process is: never used by another process, nor by this one after a restart.
    pub identity: Identity,
    /// The wall-clock time at the boot of this host. Lease times are shown by it and nothing is
    /// decided by it.
    pub epoch: Timestamp,
    /// How the Lease is held and competed for.
    pub lease: LeaseTiming,
    /// How nodes are probed.
    pub probing: Probing,
    /// Whether kube-proxy on the nodes is asked how it is.
    pub checks_proxies: bool,
    /// How an address is tried out before it is given; `None`: neither that, nor is the LAN asked who
    /// else has it later.
    pub conflict_probing: Option<ConflictProbing>,
    /// What is done about an EIP that somebody else claims.
    pub on_conflict: OnConflict,
}

/// How nodes are probed on the LAN.
///
/// A node is given up after three probes in a row that nobody answered: at most three intervals and
/// one time-out after its last sign of life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probing {
    /// How long after one probe of a node that EIPs are answered with the next one follows.
    interval: Duration,
    /// How long an answer to a probe may take.
    timeout: Duration,
}

impl Probing {
    /// The longest interval. Nodes that nobody is sent to are asked that often anyway, and a kernel
    /// notices a dead neighbour about as fast by itself.
    pub const INTERVAL_MAX: Duration = Duration::from_secs(10);

    /// Probes every `interval`, with answers that may take `timeout`: less than the interval, so that
    /// one answer is never taken for another's, and at least 10 ms. The interval is at most
    /// [`Self::INTERVAL_MAX`].
    pub fn new(interval: Duration, timeout: Duration) -> Result<Self, ProbingError> {
        if timeout < Duration::from_millis(10) {
            return Err(ProbingError::TooShort(timeout));
        }
        if interval > Self::INTERVAL_MAX {
            return Err(ProbingError::TooLong(interval));
        }
        if timeout >= interval {
            return Err(ProbingError::Overlap { interval, timeout });
        }
        Ok(Self { interval, timeout })
    }

    /// For LANs and hosts that never keep anything waiting for long: 100 ms and 60 ms.
    pub fn fast() -> Self {
        Self { interval: Duration::from_millis(100), timeout: Duration::from_millis(60) }
    }

    /// How long after one probe the next one follows.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long an answer may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The longest from a node's last sign of life to the verdict that it is dead.
    pub fn notices_within(&self) -> Duration {
        self.interval * 3 + self.timeout
    }
}

impl Default for Probing {
    /// 250 ms and 150 ms.
    fn default() -> Self {
        Self { interval: Duration::from_millis(250), timeout: Duration::from_millis(150) }
    }
}

/// Why a [`Probing`] cannot be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProbingError {
    /// The next probe would be sent while an answer to the last one may still come.
    Overlap {
        /// Between two probes.
        interval: Duration,
        /// For an answer.
        timeout: Duration,
    },
    /// A node that died would be sent to for half a minute and more.
    TooLong(Duration),
    /// Answers take longer on any LAN.
    TooShort(Duration),
}

impl fmt::Display for ProbingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { interval, timeout } => write!(
                f,
                "a probe that may be answered for {timeout:?} does not end before the next one, \
                 {interval:?} later; probe less often, or wait less long"
            ),
            Self::TooLong(interval) => write!(
                f,
                "probes every {interval:?} do not tell whether a node is there; probe every {:?} or \
                 more often",
                Probing::INTERVAL_MAX
            ),
            Self::TooShort(timeout) => {
                write!(
                    f,
                    "{timeout:?} is too short for an answer to a probe; give it 10 ms or more"
                )
            }
        }
    }
}

impl error::Error for ProbingError {}

/// The arithmetic of the Lease.
///
/// A holder speaks until `duration * (1 - drift) - margin` after it *sent* its last successful
/// write; a challenger waits `duration * (1 + drift)` from when it *saw* that write. Since sending
/// precedes seeing, the two never overlap as long as no clock is off by more than `drift` and no
/// frame leaves later than `margin` after its check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseTiming {
    duration: Duration,
    renew_every: Duration,
    request_timeout: Duration,
    margin: Duration,
    drift_ppm: u32,
}

impl LeaseTiming {
    /// The timing with these values, if a holder that speaks by it can be one voice.
    ///
    /// `duration` is `leaseDurationSeconds`, a whole number of seconds. `drift_ppm` bounds how far
    /// each clock's rate is off, in parts per million.
    pub fn new(
        duration: Duration,
        renew_every: Duration,
        request_timeout: Duration,
        margin: Duration,
        drift_ppm: u32,
    ) -> Result<Self, TimingError> {
        let timing = Self { duration, renew_every, request_timeout, margin, drift_ppm };
        if duration.is_zero() || duration.subsec_nanos() != 0 {
            return Err(TimingError::NotSeconds(duration));
        }
        if drift_ppm > 100_000 {
            return Err(TimingError::Drift(drift_ppm));
        }
        // The jitter makes it later by up to a tenth.
        let needs = renew_every + renew_every / 10 + request_timeout;
        if needs >= timing.speak_for() {
            return Err(TimingError::TooShort { needs, has: timing.speak_for() });
        }
        Ok(timing)
    }

    /// `leaseDurationSeconds`.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How long after the last successful write was sent the next one is due, before jitter.
    pub fn renew_every(&self) -> Duration {
        self.renew_every
    }

    /// After how long a request is given up.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// For how long a holder speaks from the sending of a write that succeeded.
    pub fn speak_for(&self) -> Duration {
        (self.duration - self.drift_of(self.duration)).saturating_sub(self.margin)
    }

    /// For how long a challenger waits from seeing a claim of `duration`.
    pub fn wait_for(&self, duration: Duration) -> Duration {
        duration + self.drift_of(duration)
    }

    fn drift_of(&self, span: Duration) -> Duration {
        span * self.drift_ppm / 1_000_000
    }
}

impl Default for LeaseTiming {
    /// 5 s, renewed every 1.5 s with 1 s for a request, a margin of 100 ms, clocks within 1 %.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(5),
            renew_every: Duration::from_millis(1_500),
            request_timeout: Duration::from_secs(1),
            margin: Duration::from_millis(100),
            drift_ppm: 10_000,
        }
    }
}

/// Why a [`LeaseTiming`] cannot be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TimingError {
    /// Clocks that are off by more than a tenth are no clocks.
    Drift(u32),
    /// The Lease's duration is a positive whole number of seconds in the API.
    NotSeconds(Duration),
    /// A renewal that is asked for in time could still come too late.
    TooShort {
        /// What a renewal may take.
        needs: Duration,
        /// How long the holder speaks.
        has: Duration,
    },
}

impl fmt::Display for TimingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drift(ppm) => {
                write!(f, "a clock drift of {ppm} ppm is more than the 100000 that can be borne")
            }
            Self::NotSeconds(duration) => {
                write!(f, "a lease duration of {duration:?} is not a positive number of seconds")
            }
            Self::TooShort { needs, has } => write!(
                f,
                "renewing takes up to {needs:?}, but the lease lets its holder speak for {has:?} \
                 only; lengthen the lease, or renew more often"
            ),
        }
    }
}

impl error::Error for TimingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_given_up_within_a_second_and_in_the_fast_profile_within_400_ms() {
        assert_eq!(Probing::default().notices_within(), Duration::from_millis(900));
        assert_eq!(Probing::fast().notices_within(), Duration::from_millis(360));
    }

    #[test]
    fn a_probe_ends_before_the_next_one() {
        let millis = Duration::from_millis;
        for Probing { interval, timeout } in [Probing::default(), Probing::fast()] {
            assert!(Probing::new(interval, timeout).is_ok());
        }
        let overlap = Probing::new(millis(100), millis(100));
        assert!(matches!(overlap, Err(ProbingError::Overlap { .. })));
        assert!(Probing::new(millis(10_000), millis(100)).is_ok());
        let rare = Probing::new(millis(10_001), millis(100));
        assert_eq!(rare, Err(ProbingError::TooLong(millis(10_001))));
        assert_eq!(Probing::new(millis(100), millis(9)), Err(ProbingError::TooShort(millis(9))));
    }

    #[test]
    fn the_default_could_have_been_asked_for() {
        let default = LeaseTiming::default();
        let LeaseTiming { duration, renew_every, request_timeout, margin, drift_ppm } = default;
        let asked = LeaseTiming::new(duration, renew_every, request_timeout, margin, drift_ppm);
        assert_eq!(asked, Ok(default));
        assert_eq!(default.speak_for(), Duration::from_millis(4_850));
        assert_eq!(default.wait_for(duration), Duration::from_millis(5_050));
    }

    #[test]
    fn a_renewal_that_its_jitter_could_make_late_is_refused() {
        let millis = Duration::from_millis;
        let timing =
            |renew| LeaseTiming::new(millis(5_000), renew, millis(1_000), millis(100), 10_000);
        assert!(timing(millis(3_490)).is_ok());
        assert!(matches!(timing(millis(3_600)), Err(TimingError::TooShort { .. })));
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_in_time_is_refused() {
        let seconds = Duration::from_secs;
        let refused = LeaseTiming::new(seconds(2), seconds(1), seconds(1), Duration::ZERO, 10_000);
        assert!(matches!(refused, Err(TimingError::TooShort { .. })));
        let refused = LeaseTiming::new(
            Duration::from_millis(2_500),
            seconds(1),
            seconds(1),
            Duration::ZERO,
            0,
        );
        assert!(matches!(refused, Err(TimingError::NotSeconds(_))));
    }
}

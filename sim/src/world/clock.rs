//! True time, and the clocks of hosts that differ from it.
//!
//! Every host has a boot-time clock of its own, which started at another point and runs at another
//! rate. A replica sees nothing but its host's clock; only the world and its checks know true time,
//! so the two are different types.

use std::{fmt, ops::Add, time::Duration};

use porter_core::Instant;

/// A point in true time, in nanoseconds since the world began.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(u64);

impl Moment {
    /// The beginning of the world.
    pub const ZERO: Self = Self(0);

    /// How long ago `earlier` was, or zero if it is still to come.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The last one before it.
    pub(crate) const fn just_before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl fmt::Display for Moment {
    /// Seconds and milliseconds, as wide as two minutes need: `  4.512s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000_000;
        write!(f, "{:>3}.{:03}s", millis / 1_000, millis % 1_000)
    }
}

/// A host's `CLOCK_BOOTTIME`: a straight line over true time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// A point of the line.
    anchor: (Moment, Instant),
    /// How many nanoseconds it shows for a million true ones.
    rate: u64,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// A clock that shows `shows` at the beginning of the world and is fast by `ppm` parts per
    /// million.
    pub(crate) fn new(shows: Instant, ppm: i32) -> Self {
        Self { anchor: (Moment::ZERO, shows), rate: rate(ppm) }
    }

    /// Changes the rate. The clock goes on from what it shows.
    pub(crate) fn set_rate(&mut self, ppm: i32, now: Moment) {
        self.anchor = (now, self.read(now));
        self.rate = rate(ppm);
    }

    /// What the clock shows.
    pub(crate) fn read(&self, at: Moment) -> Instant {
        let (moment, shown) = self.anchor;
        shown + Duration::from_nanos(scale(nanos(at.since(moment)), self.rate, MILLION, 0))
    }

    /// The first moment at which the clock shows `local` or more, as far as it is still to come.
    pub(crate) fn moment_of(&self, local: Instant) -> Moment {
        let (moment, shown) = self.anchor;
        let span = nanos(local.since(shown));
        moment + Duration::from_nanos(scale(span, MILLION, self.rate, self.rate - 1))
    }
}

fn rate(ppm: i32) -> u64 {
    u64::try_from(1_000_000 + i64::from(ppm)).expect("a clock goes forward")
}

fn scale(value: u64, by: u64, of: u64, round_up: u64) -> u64 {
    let scaled = (u128::from(value) * u128::from(by) + u128::from(round_up)) / u128::from(of);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Instant = Instant::from_millis(86_400_000);

    #[test]
    fn a_fast_clock_shows_more_and_a_slow_one_less() {
        let after = |ppm| Clock::new(BOOT, ppm).read(Moment::ZERO + Duration::from_secs(100));
        assert_eq!(after(10_000), BOOT + Duration::from_secs(101));
        assert_eq!(after(0), BOOT + Duration::from_secs(100));
        assert_eq!(after(-10_000), BOOT + Duration::from_secs(99));
    }

    #[test]
    fn a_timer_fires_when_the_clock_shows_its_time_and_no_nanosecond_before() {
        for ppm in [-10_000, -1, 0, 3, 10_000] {
            let clock = Clock::new(BOOT, ppm);
            for span in [1, 999, 1_000_001, 5_050_000_000] {
                let due = BOOT + Duration::from_nanos(span);
                let moment = clock.moment_of(due);
                assert!(clock.read(moment) >= due, "{ppm} {span}");
                assert!(clock.read(Moment(moment.0 - 1)) < due, "{ppm} {span}");
            }
        }
    }

    #[test]
    fn a_clock_whose_rate_changes_does_not_jump() {
        let mut clock = Clock::new(BOOT, 10_000);
        let now = Moment::ZERO + Duration::from_secs(100);
        clock.set_rate(-10_000, now);
        assert_eq!(clock.read(now), BOOT + Duration::from_secs(101));
        assert_eq!(clock.read(now + Duration::from_secs(100)), BOOT + Duration::from_secs(200));
    }
}

//! The boot-time clock: the only one by which anything is decided.
//!
//! `CLOCK_BOOTTIME` goes on counting while the host is suspended. The clocks of std and tokio do
//! not, and a replica that woke up would take its claim for younger than it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use porter_core::{Instant, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// How long tokio's clock is trusted at a stretch: a sleeper is late by at most this after a
/// suspend.
const STRETCH: Duration = Duration::from_secs(1);

/// Now.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Instant::from_nanos(u64::try_from(nanos).expect("boot time starts at zero and fits 584 years"))
}

/// Returns at `until` or soon after, and at once if that has passed. Cancel safe.
pub async fn sleep_until(until: Instant) {
    loop {
        let left = until.since(now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(STRETCH)).await;
    }
}

/// The wall-clock time at the boot of this host, as of now: it moves when the wall clock is set.
pub fn epoch() -> Timestamp {
    // A wall clock before 1970 is none; zero is as good a guess as any.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let up = now().since(Instant::ZERO);
    let micros = i128::try_from(wall.as_micros()).unwrap_or(i128::MAX)
        - i128::try_from(up.as_micros()).unwrap_or(i128::MAX);
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_at_its_time_and_not_before() {
        let until = now() + Duration::from_millis(5);
        sleep_until(until).await;
        assert!(now() >= until);
    }

    #[test]
    fn time_that_has_passed_is_not_waited_for() {
        assert!(tokio_test::task::spawn(sleep_until(Instant::ZERO)).poll().is_ready());
    }

    #[test]
    fn the_epoch_and_the_boot_time_add_up_to_the_wall_clock() {
        let shown = epoch() + now().since(Instant::ZERO);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let apart = wall.as_micros().abs_diff(u128::try_from(shown.0).unwrap_or_default());
        assert!(apart < 60_000_000, "{apart} microseconds apart");
    }
}

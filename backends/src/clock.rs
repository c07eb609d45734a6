//! The boot-time clock: the only one by which anything is decided.
//!
//! `CLOCK_BOOTTIME` goes on counting while the host is suspended. The clocks of std and tokio do
//! not, and a replica that woke up would take its claim for younger than it is.

use std::{
    future, io,
    os::fd::OwnedFd,
    time::{SystemTime, UNIX_EPOCH},
};

use porter_core::{Instant, Timestamp};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::Error;

/// Now.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Instant::from_nanos(u64::try_from(nanos).expect("boot time starts at zero and fits 584 years"))
}

/// A timer of the kernel's by this clock: it is on time after a suspend, and to the microsecond.
///
/// Those of tokio count in whole milliseconds, each later than asked for, and announcements are a
/// millisecond apart.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// When it goes off, if it has not yet.
    set_for: Option<Instant>,
}

impl Alarm {
    /// One that is not set. Needs a tokio runtime.
    pub fn new() -> Result<Self, Error> {
        let timer = timer().map_err(|source| Error::new("making a timer", source))?;
        Ok(Self { timer, set_for: None })
    }

    /// Returns at `until` or soon after, and at once if that has passed; never if it is `None`. Cancel
    /// safe.
    pub async fn wait(&mut self, until: Option<Instant>) {
        let Some(until) = until else { return future::pending().await };
        if until <= now() {
            return;
        }
        if self.set_for != Some(until) {
            self.set(until);
        }
        while now() < until {
            let ready = self.timer.readable().await;
            let mut ready = ready.expect("the runtime outlives what waits in it");
            // The number of times that it went off, if it did since it was set. It goes off once.
            let _ = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
            ready.clear_ready();
        }
        self.set_for = None;
    }

    fn set(&mut self, until: Instant) {
        let since_boot = until.since(Instant::ZERO);
        let at = Timespec {
            tv_sec: i64::try_from(since_boot.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: since_boot.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: at };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
        set.expect("a time after boot is one that a timer takes");
        self.set_for = Some(until);
    }
}

#[expect(unsafe_code, reason = "the runtime keeps the number of the descriptor")]
fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
    // SAFETY: an `OwnedFd` has the one descriptor until it is dropped, and it is not taken out again.
    Ok(unsafe { AsyncFd::register(timer) }?)
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
    use std::{pin::pin, time::Duration};

    use super::*;

    #[tokio::test]
    async fn an_alarm_goes_off_at_its_time_and_not_before() {
        let mut alarm = Alarm::new().unwrap();
        for millis in [5, 1, 0] {
            let until = now() + Duration::from_millis(millis);
            alarm.wait(Some(until)).await;
            assert!(now() >= until);
        }
    }

    #[tokio::test]
    async fn an_alarm_that_was_set_anew_goes_off_for_neither_time_too_early() {
        let mut alarm = Alarm::new().unwrap();
        let (soon, later) = (now() + Duration::from_millis(2), now() + Duration::from_millis(20));
        for until in [soon, later] {
            let went_off = futures::poll!(pin!(alarm.wait(Some(until)))).is_ready();
            assert!(!went_off || now() >= until);
        }
        std::thread::sleep(Duration::from_millis(3));
        alarm.wait(Some(later)).await;
        assert!(now() >= later);
    }

    #[tokio::test]
    async fn time_that_has_passed_is_not_waited_for_and_none_is_for_ever() {
        let mut alarm = Alarm::new().unwrap();
        assert!(futures::poll!(pin!(alarm.wait(Some(Instant::ZERO)))).is_ready());
        assert!(futures::poll!(pin!(alarm.wait(None))).is_pending());
    }

    #[test]
    fn the_epoch_and_the_boot_time_add_up_to_the_wall_clock() {
        let shown = epoch() + now().since(Instant::ZERO);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let apart = wall.as_micros().abs_diff(u128::try_from(shown.0).unwrap_or_default());
        assert!(apart < 60_000_000, "{apart} microseconds apart");
    }
}

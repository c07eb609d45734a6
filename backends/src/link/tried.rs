//! Which addresses were asked for lately that nobody is to have: who else asks for one of these may want
//! the same.
//!
//! Those that send write it down and the responder reads it, so it takes no lock. Two addresses may have
//! one place: then one is told of that is of no interest, and who is told knows better.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use porter_core::Instant;

/// How many places there are: several for all that can be asked for in [`LATELY`] where many wait for an
/// address.
const PLACES: usize = 16_384;
/// Longer than from one probe of a trial to the next, by whatever timers, and until an address is spoken of
/// that was given.
const LATELY: Duration = Duration::from_secs(10);

/// The addresses that were asked for, in a fixed size.
#[derive(Debug)]
pub(crate) struct Tried {
    /// When one with this place was asked for, in nanoseconds; zero for never.
    asked_at: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Tried {
    /// Takes in that an address is asked for.
    pub(crate) fn add(&self, target: IpAddr, now: Instant) {
        self.place(target).store(nanos(now), Ordering::Relaxed);
    }

    /// Whether an address may have been asked for lately.
    pub(crate) fn has(&self, target: IpAddr, now: Instant) -> bool {
        let asked_at = self.place(target).load(Ordering::Relaxed);
        asked_at > 0 && nanos(now).saturating_sub(asked_at) < nanos(Instant::ZERO + LATELY)
    }

    fn place(&self, target: IpAddr) -> &AtomicU64 {
        let hash = self.hasher.hash_one(target) % PLACES as u64;
        &self.asked_at[usize::try_from(hash).expect("there are few places")]
    }
}

impl Default for Tried {
    fn default() -> Self {
        let asked_at = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { asked_at, hasher: RandomState::new() }
    }
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.since(Instant::ZERO).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_remembered_for_ten_seconds() {
        let tried = Tried::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let asked_at = Instant::from_millis(1_000);
        tried.add(address(1), asked_at);
        let now = asked_at + LATELY - Duration::from_millis(1);
        assert!(tried.has(address(1), now));
        let others = (2..=255).filter(|last| tried.has(address(*last), now));
        assert!(others.count() < 8, "few of many have one place");
        assert!(!tried.has(address(1), asked_at + LATELY));
    }
}

//! How often one host is answered for one EIP, so that a storm costs little and starves nobody.
//!
//! A host asks once, and once a second as long as it is not answered; a relay does so for those behind
//! it. Whoever asks much more often is broken, or means harm. There is no limit for an EIP as a whole,
//! because somebody who asks in many names would use it up for everybody else.
//!
//! A host is whom an answer goes to, whatever a question says inside. Those that have no address yet, or do
//! not tell their MAC, are one host together.
//!
//! Questions come from anybody, so the table has a fixed size. Who finds no place displaces the one who
//! has asked least lately, and is answered.

use std::{net::IpAddr, time::Duration};

use pnet::util::MacAddr;

use crate::{Instant, WhoHas, table};

/// How many pairs of a host and an EIP are told apart.
const PAIRS_MAX: usize = 4096;
/// In how many places a pair may be kept.
const PLACES: usize = 4;
/// How many questions in a row are answered.
const BURST: u32 = 400;
/// One more is answered each time that this has passed: 400 a second, which is more than a host asks that
/// forgets whatever it is told.
const EVERY: Duration = Duration::from_micros(2_500);

/// Whom a link has answered lately, and how often. Nothing allocates but [`Self::new`].
#[derive(Clone, Debug)]
pub struct Limits {
    pairs: Box<[Option<Pair>]>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    via: MacAddr,
    target: IpAddr,
    /// When all that was asked until now is paid for, at one every [`EVERY`].
    paid_at: Instant,
}

impl Limits {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self { pairs: vec![None; PAIRS_MAX].into() }
    }

    /// Takes in a question that could be answered. Says whether it may be.
    pub fn admits(&mut self, who_has: &WhoHas, now: Instant) -> bool {
        let WhoHas { via, target, .. } = *who_has;
        let first = table::place(via, target, PAIRS_MAX / PLACES) * PLACES;
        let places = &mut self.pairs[first..first + PLACES];
        let same = |pair: &Pair| (pair.via, pair.target) == (via, target);
        let known = places.iter().position(|slot| slot.as_ref().is_some_and(same));
        let known_paid_at = known.and_then(|at| places[at]).map(|pair| pair.paid_at);
        let paid_at = known_paid_at.map_or(now, |paid_at| paid_at.max(now));
        if paid_at.since(now) > EVERY * (BURST - 1) {
            return false;
        }
        let slot = match known {
            Some(at) => &mut places[at],
            None => {
                let least = places.iter_mut().min_by_key(|slot| slot.map(|pair| pair.paid_at));
                least.expect("a pair has several places")
            }
        };
        *slot = Some(Pair { via, target, paid_at: paid_at + EVERY });
        true
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkName;

    fn question(last: u8, host: u8) -> WhoHas {
        let via = MacAddr(2, 0, 0, 0, 1, host);
        let asker = ([172, 22, 0, 100].into(), via);
        let link = LinkName::new("eth0").unwrap();
        WhoHas { link, target: [172, 22, 0, last].into(), asker, via }
    }

    /// How many of so many questions in a row are answered at `millis`.
    fn admitted(limits: &mut Limits, question: &WhoHas, n: u32, millis: u64) -> u32 {
        let now = Instant::from_millis(millis);
        (0..n).map(|_| u32::from(limits.admits(question, now))).sum()
    }

    #[test]
    fn one_host_is_answered_four_hundred_times_at_once_and_then_four_hundred_times_a_second() {
        let mut limits = Limits::new();
        assert_eq!(admitted(&mut limits, &question(188, 1), 1_000, 5_000), 400);
        assert_eq!(admitted(&mut limits, &question(188, 1), 1_000, 5_002), 0);
        assert_eq!(admitted(&mut limits, &question(188, 1), 1_000, 5_003), 1);
        assert_eq!(admitted(&mut limits, &question(188, 1), 1_000, 6_003), 400);
        assert_eq!(admitted(&mut limits, &question(188, 1), 1_000, 60_000), 400);
    }

    #[test]
    fn a_host_that_storms_keeps_nobody_else_from_being_answered() {
        let mut limits = Limits::new();
        admitted(&mut limits, &question(188, 1), 100_000, 0);
        assert_eq!(admitted(&mut limits, &question(188, 2), 10, 0), 10);
        assert_eq!(admitted(&mut limits, &question(189, 1), 10, 0), 10);
    }

    #[test]
    fn what_a_frame_says_inside_makes_no_other_host_of_its_sender() {
        let mut limits = Limits::new();
        let forged = |n: u16| {
            let [high, low] = n.to_be_bytes();
            let asker = ([172, 22, high, low].into(), MacAddr(2, 0, 0, 9, high, low));
            WhoHas { asker, ..question(188, 1) }
        };
        let admitted = (0..1_000).filter(|n| limits.admits(&forged(*n), Instant::ZERO)).count();
        assert_eq!(admitted, 400);
    }

    #[test]
    fn whoever_asks_in_many_names_is_answered_and_fills_no_memory() {
        let mut limits = Limits::new();
        let before = limits.pairs.len();
        for n in 0..100_000_u32 {
            let [_, a, b, c] = n.to_be_bytes();
            let via = MacAddr(2, 0, 0, a, b, c);
            assert!(limits.admits(&WhoHas { via, ..question(188, 1) }, Instant::ZERO));
        }
        assert_eq!(limits.pairs.len(), before);
        assert!(limits.admits(&question(188, 2), Instant::ZERO));
    }
}

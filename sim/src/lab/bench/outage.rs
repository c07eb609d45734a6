//! What a client saw of a fault.

use std::time::{Duration, Instant};

use super::client::{INTERVAL, Packet};

/// What one repeat showed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outage {
    /// The longest time without an answered packet, by the times at which they were sent; `None` if
    /// the client was not served again while it was watched.
    pub(crate) longest: Option<Duration>,
    /// How many packets were not answered, or too late.
    pub(crate) lost: usize,
}

impl Outage {
    /// What is to be seen in packets that were sent after a point in time. Those sent last may
    /// still be answered, so `until` is that much earlier than now.
    pub(crate) fn of(packets: &[Packet], from: Instant, until: Instant) -> Self {
        let mut longest = Some(Duration::ZERO);
        let (mut lost, mut losing) = (0, false);
        let mut answered_at = from;
        for packet in packets.iter().filter(|it| it.sent_at >= from && it.sent_at <= until) {
            if !packet.answered() {
                (lost, losing) = (lost + 1, true);
                continue;
            }
            if losing {
                // Time in which nothing was sent counts only around a loss.
                let gap = (packet.sent_at - answered_at).saturating_sub(INTERVAL);
                longest = longest.map(|longest| longest.max(gap));
            }
            (answered_at, losing) = (packet.sent_at, false);
        }
        // A single loss at the very end is not yet an outage, nor is it over.
        if losing && until.saturating_duration_since(answered_at) > 4 * INTERVAL {
            longest = None;
        }
        Self { longest, lost }
    }
}

/// Whether the last packets sent until a point in time were answered, but for one in twenty if some
/// may be lost without a fault.
pub(crate) fn is_served(packets: &[Packet], until: Instant, some_lost: bool) -> bool {
    const LOOKED_AT: usize = 100;
    let sent = packets.iter().rev().filter(|it| it.sent_at <= until);
    let last: Vec<_> = sent.take(LOOKED_AT).collect();
    let lost = last.iter().filter(|it| !it.answered()).count();
    last.len() == LOOKED_AT && lost <= if some_lost { LOOKED_AT / 20 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets sent every 5 ms: `#` is answered, `.` is not, `l` too late.
    fn packets(start: Instant, picture: &str) -> Vec<Packet> {
        let packets = (0..).zip(picture.chars()).map(|(number, answer)| {
            let sent_at = start + number * INTERVAL;
            let after = match answer {
                '#' => Some(Duration::from_millis(1)),
                'l' => Some(Duration::from_secs(1)),
                _ => None,
            };
            Packet { sent_at, answered_at: after.map(|after| sent_at + after) }
        });
        packets.collect()
    }

    fn outage(picture: &str) -> Outage {
        let start = Instant::now();
        Outage::of(&packets(start, picture), start, start + Duration::from_secs(60))
    }

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn the_longest_gap_counts_and_all_lost_packets() {
        assert_eq!(outage("##########"), Outage { longest: millis(0), lost: 0 });
        assert_eq!(outage("##.##..l##"), Outage { longest: millis(15), lost: 4 });
        assert_eq!(outage("...##"), Outage { longest: millis(10), lost: 3 });
    }

    #[test]
    fn an_outage_that_does_not_end_has_no_length() {
        assert_eq!(outage("####......"), Outage { longest: None, lost: 6 });
    }

    #[test]
    fn a_sender_that_was_slow_did_not_lose_anything() {
        let start = Instant::now();
        let mut packets = packets(start, "##########");
        packets.drain(2..8);
        let until = start + Duration::from_secs(1);
        assert_eq!(Outage::of(&packets, start, until), Outage { longest: millis(0), lost: 0 });
    }

    #[test]
    fn who_is_served_may_have_lost_something_only_if_he_always_asks() {
        let start = Instant::now();
        let now = start + Duration::from_secs(60);
        let served = |picture: &str, some| is_served(&packets(start, picture), now, some);
        assert!(served(&"#".repeat(100), false) && !served(&"#".repeat(99), false));
        let once = "#".repeat(50) + "." + &"#".repeat(49);
        assert!(served(&once, true) && !served(&once, false));
        assert!(!served(&("#".repeat(90) + &".".repeat(10)), true));
    }
}

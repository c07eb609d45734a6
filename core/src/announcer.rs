//! When the LAN is told where an EIP is, without having asked.
//!
//! After every change each announcement is repeated: hosts may miss the first, and old Linux kernels
//! lock an entry for a second after it changed. Then it is refreshed slowly, so that switches do not
//! forget the port and routers need not ask.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use pnet::util::MacAddr;

use crate::{Instant, IsAt, LinkName, random::Random};

/// When, after a change, each announcement of it is sent: at once, once more in case that was lost,
/// and then in steps of more than the one second for which hosts may ignore a second change.
const BURST: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(1_100),
    Duration::from_millis(2_200),
    Duration::from_millis(4_400),
];
/// How often an EIP is announced in quiet times, before jitter: a third of the 300 s after which
/// switches forget a port.
const REFRESH_EVERY: Duration = Duration::from_secs(90);
/// The least time between two announcements, each of two frames: a change of a thousand EIPs must
/// not be a storm.
const PACE: Duration = Duration::from_millis(2);

/// The announcements that are still to be made.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    random: Random,
    subjects: BTreeMap<(LinkName, IpAddr), Subject>,
    /// What is due when; the same as in `subjects`, by time.
    due: BTreeSet<(Instant, LinkName, IpAddr)>,
    free_at: Instant,
    outputs: VecDeque<IsAt>,
}

#[derive(Clone, Copy, Debug)]
struct Subject {
    mac: MacAddr,
    changed_at: Instant,
    /// How many announcements of the burst were made.
    made: usize,
    next_at: Instant,
}

impl Announcer {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            subjects: BTreeMap::new(),
            due: BTreeSet::new(),
            free_at: Instant::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// Starts to announce that an EIP is at `mac`, from the beginning of the burst.
    pub(crate) fn handle_change(
        &mut self,
        link: LinkName,
        eip: IpAddr,
        mac: MacAddr,
        now: Instant,
    ) {
        self.handle_silence(link, eip);
        let subject = Subject { mac, changed_at: now, made: 0, next_at: now };
        self.subjects.insert((link, eip), subject);
        self.due.insert((now, link, eip));
        self.handle_timeout(now);
    }

    /// Announces an EIP no more.
    pub(crate) fn handle_silence(&mut self, link: LinkName, eip: IpAddr) {
        self.outputs.retain(|is_at| (is_at.link, is_at.target) != (link, eip));
        if let Some(subject) = self.subjects.remove(&(link, eip)) {
            self.due.remove(&(subject.next_at, link, eip));
        }
    }

    /// Announces nothing any more.
    pub(crate) fn handle_silence_all(&mut self) {
        self.subjects.clear();
        self.due.clear();
        self.outputs.clear();
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while now >= self.free_at
            && let Some(&(due_at, link, eip)) = self.due.first()
            && due_at <= now
        {
            self.due.pop_first();
            let subject = self.subjects.get_mut(&(link, eip)).expect("what is due is a subject");
            subject.made += 1;
            subject.next_at = match BURST.get(subject.made) {
                Some(&after) => (subject.changed_at + after).max(now),
                None => now + self.random.about(REFRESH_EVERY),
            };
            self.due.insert((subject.next_at, link, eip));
            self.free_at = now + PACE;
            let mac = subject.mac;
            let via = MacAddr::broadcast();
            self.outputs.push_back(IsAt { link, target: eip, mac, to: None, via });
        }
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<IsAt> {
        self.outputs.pop_front()
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|&(due_at, ..)| due_at.max(self.free_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);

    fn link() -> LinkName {
        LinkName::new("eth0").unwrap()
    }

    fn eip(last: u8) -> IpAddr {
        [172, 22, 0, last].into()
    }

    /// The announcements up to `until`, as milliseconds and EIP.
    fn heard(announcer: &mut Announcer, until: Instant) -> Vec<(u128, IpAddr)> {
        let mut heard = Vec::new();
        let mut now = Instant::ZERO;
        loop {
            while let Some(is_at) = announcer.poll_output() {
                heard.push((now.since(Instant::ZERO).as_millis(), is_at.target));
            }
            match announcer.poll_timeout() {
                Some(at) if at <= until => now = at,
                Some(_) | None => return heard,
            }
            announcer.handle_timeout(now);
        }
    }

    #[test]
    fn a_change_is_announced_five_times_and_then_refreshed() {
        let mut announcer = Announcer::new(1);
        announcer.handle_change(link(), eip(188), MAC, Instant::ZERO);
        let times: Vec<_> = heard(&mut announcer, Instant::from_millis(110_000))
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(times[..5], [0, 100, 1_100, 2_200, 4_400]);
        assert_eq!(times.len(), 6, "one refresh in the first 110 seconds: {times:?}");
    }

    #[test]
    fn many_changes_are_paced_and_none_is_lost() {
        let mut announcer = Announcer::new(1);
        for last in 0..50 {
            announcer.handle_change(link(), eip(last), MAC, Instant::ZERO);
        }
        let heard = heard(&mut announcer, Instant::from_millis(99));
        assert!(heard.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 2), "{heard:?}");
        let eips: BTreeSet<_> = heard.iter().map(|&(_, eip)| eip).collect();
        assert_eq!(eips.len(), 50);
    }

    #[test]
    fn what_is_silenced_is_announced_no_more() {
        let mut announcer = Announcer::new(1);
        announcer.handle_change(link(), eip(188), MAC, Instant::ZERO);
        assert!(announcer.poll_output().is_some());
        announcer.handle_silence(link(), eip(188));
        assert_eq!(announcer.poll_timeout(), None);
    }
}

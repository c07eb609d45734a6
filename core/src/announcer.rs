//! When the LAN is told where an EIP is, without having asked.
//!
//! After every change each announcement is repeated: hosts may miss the first, and old Linux kernels
//! lock an entry for a second after it changed. Then it is refreshed slowly, so that switches do not
//! forget the port and routers need not ask.
//!
//! Many EIPs may change at once, and the LAN is not to be flooded. What has not been told at all goes
//! before what is repeated, and of that first what was asked for last: somebody is waiting for it.
//!
//! One EIP may change again and again: a link flaps, or two people pin it to different nodes. Each
//! EIP has a budget of its own, which a change does not renew. What it has no budget for is put off,
//! and what is announced then is the newest.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use pnet::util::MacAddr;

use crate::{Instant, IsAt, LinkName, Size, random::Random};

/// When, after the first announcement of a change, it is repeated: soon, in case that was lost, and
/// then in steps of more than the one second for which hosts may ignore a second change.
const REPEAT_AFTER: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(1_100),
    Duration::from_millis(2_200),
    Duration::from_millis(4_400),
];
/// How often an EIP is announced in quiet times, before jitter: a third of the 300 s after which
/// switches forget a port.
const REFRESH_EVERY: Duration = Duration::from_secs(90);
/// EIPs are refreshed together that are due within so many milliseconds: nobody is woken for each.
const REFRESHED_WITHIN: u64 = 100;
/// The time between two announcements, each of two frames: a change of a thousand EIPs takes a second,
/// and must not be a storm.
const PACE: Duration = Duration::from_millis(1);
/// How far behind its pace an announcer may be and catch up: timers are late, and hosts busy.
const BEHIND_MAX: Duration = Duration::from_millis(20);
/// How often an EIP may be announced in a row. Ten changes a minute, of five announcements each, stay
/// below, however they are spread.
const BUDGET: u32 = 60;
/// How long it takes until there is budget for one more: no minute has more than 120.
const BUDGET_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whose budget is whole, so that nothing has to be known of it.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// An EIP on a link.
type Place = (LinkName, IpAddr);

/// The announcements that are still to be made.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    random: Random,
    subjects: BTreeMap<Place, Subject>,
    /// What has not been announced since it changed, by when it was asked for.
    fresh: BTreeSet<(Reverse<Instant>, Place)>,
    /// What is to be repeated when.
    due: BTreeSet<(Instant, Place)>,
    /// When each EIP was last asked for, of those that were.
    asked: BTreeMap<Place, Instant>,
    /// When the budget of an EIP is whole again, of those that were announced lately: of EIPs that are
    /// gone, too, since they may come back.
    whole_at: BTreeMap<Place, Instant>,
    sweep_at: Instant,
    free_at: Instant,
    outputs: VecDeque<IsAt>,
}

/// Something that is announced.
#[derive(Clone, Copy, Debug)]
struct Subject {
    mac: MacAddr,
    /// When it is due, as in `due`; `None` as long as it is in `fresh`.
    due_at: Option<Instant>,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    first_at: Instant,
    n_repeated: usize,
}

impl Announcer {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            subjects: BTreeMap::new(),
            fresh: BTreeSet::new(),
            due: BTreeSet::new(),
            asked: BTreeMap::new(),
            whole_at: BTreeMap::new(),
            sweep_at: Instant::ZERO,
            free_at: Instant::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in that somebody has asked for an EIP.
    pub(crate) fn handle_asked(&mut self, link: LinkName, eip: IpAddr, asked_at: Instant) {
        let place = (link, eip);
        let before = self.asked_at(&place);
        if before >= asked_at {
            return; // Another link's responder, or an earlier report, knew better.
        }
        self.asked.insert(place, asked_at);
        if self.fresh.remove(&(Reverse(before), place)) {
            self.fresh.insert((Reverse(asked_at), place));
        }
    }

    /// Starts to announce that an EIP is at `mac`, from the beginning.
    pub(crate) fn handle_change(&mut self, link: LinkName, eip: IpAddr, mac: MacAddr) {
        self.handle_silence(link, eip);
        let place = (link, eip);
        self.subjects.insert(place, Subject { mac, due_at: None, told: None });
        self.fresh.insert((Reverse(self.asked_at(&place)), place));
    }

    /// Announces an EIP once more, since somebody else has claimed it. What has just changed is repeated
    /// soon anyway.
    pub(crate) fn handle_claimed(&mut self, link: LinkName, eip: IpAddr, now: Instant) {
        let place = (link, eip);
        let Some(subject) = self.subjects.get_mut(&place) else { return };
        let (Some(due_at), Some(told)) = (subject.due_at, subject.told) else { return };
        if told.n_repeated < REPEAT_AFTER.len() || due_at <= now {
            return;
        }
        subject.due_at = Some(now);
        self.due.remove(&(due_at, place));
        self.due.insert((now, place));
    }

    /// Announces an EIP no more.
    pub(crate) fn handle_silence(&mut self, link: LinkName, eip: IpAddr) {
        let place = (link, eip);
        self.outputs.retain(|is_at| (is_at.link, is_at.target) != place);
        match self.subjects.remove(&place) {
            Some(Subject { due_at: None, .. }) => {
                self.fresh.remove(&(Reverse(self.asked_at(&place)), place));
            }
            Some(Subject { due_at: Some(due_at), .. }) => {
                self.due.remove(&(due_at, place));
            }
            None => {}
        }
    }

    /// Forgets an address that is no EIP any more.
    pub(crate) fn handle_gone(&mut self, link: LinkName, eip: IpAddr) {
        self.handle_silence(link, eip);
        self.asked.remove(&(link, eip));
    }

    /// Announces nothing any more.
    pub(crate) fn handle_silence_all(&mut self) {
        self.subjects.clear();
        self.fresh.clear();
        self.due.clear();
        self.asked.clear();
        self.outputs.clear();
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while now >= self.free_at
            && let Some(place) = self.take_due(now)
        {
            let budget = self.spend(place, now);
            let subject = self.subjects.get_mut(&place).expect("what is due is a subject");
            let due_at = match budget {
                Ok(()) => subject.tell(&mut self.random, now),
                Err(put_off) => put_off,
            };
            subject.due_at = Some(due_at);
            self.due.insert((due_at, place));
            if budget.is_ok() {
                self.free_at = self.free_at.max(now - BEHIND_MAX) + PACE;
                let ((link, target), mac) = (place, subject.mac);
                let via = MacAddr::broadcast();
                self.outputs.push_back(IsAt { link, target, mac, to: None, via });
            }
        }
    }

    /// Takes one announcement from the budget of an EIP, or says when there will be one.
    fn spend(&mut self, place: Place, now: Instant) -> Result<(), Instant> {
        if now >= self.sweep_at {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.sweep_at = now + SWEEP_EVERY;
        }
        let whole_at = self.whole_at.entry(place).or_insert(now);
        let spent = whole_at.since(now);
        if spent + BUDGET_EVERY > BUDGET_EVERY * BUDGET {
            return Err(now + (spent + BUDGET_EVERY - BUDGET_EVERY * BUDGET));
        }
        *whole_at = now + spent + BUDGET_EVERY;
        Ok(())
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<IsAt> {
        self.outputs.pop_front()
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let fresh = (!self.fresh.is_empty()).then_some(self.free_at);
        let due = self.due.first().map(|&(due_at, _)| due_at.max(self.free_at));
        fresh.into_iter().chain(due).min()
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How many budgets are remembered: no more than can be spent of until they are swept.
    pub(crate) fn size_of_budgets(&self) -> Size {
        let most = 2 * SWEEP_EVERY.as_nanos() / PACE.as_nanos().max(1);
        let most = usize::try_from(most).expect("it is a constant");
        Size::new("budgets of announcements", self.whole_at.len(), most)
    }

    /// How much is remembered, where something is said of so many EIPs, or was until the responders
    /// have heard that it is over.
    pub(crate) fn sizes(&self, eips: usize) -> [Size; 4] {
        [
            Size::new("EIPs announced", self.subjects.len(), eips),
            Size::new("first announcements", self.fresh.len(), eips),
            Size::new("announcements due", self.due.len(), eips),
            Size::new("EIPs asked for", self.asked.len(), eips),
        ]
    }

    /// What is to be announced next.
    fn take_due(&mut self, now: Instant) -> Option<Place> {
        if let Some((_, place)) = self.fresh.pop_first() {
            return Some(place);
        }
        self.due.first().filter(|(due_at, _)| *due_at <= now)?;
        self.due.pop_first().map(|(_, place)| place)
    }

    /// When an EIP was last asked for; at the very beginning if nobody did.
    fn asked_at(&self, place: &Place) -> Instant {
        self.asked.get(place).copied().unwrap_or_default()
    }
}

/// The next instant at which EIPs are refreshed.
fn together(due_at: Instant) -> Instant {
    let step = Instant::from_millis(REFRESHED_WITHIN).as_nanos();
    Instant::from_nanos(due_at.as_nanos().next_multiple_of(step))
}

impl Subject {
    /// Takes down that it is announced. Returns when it is to be announced again.
    fn tell(&mut self, random: &mut Random, now: Instant) -> Instant {
        let (told, due_at) = match self.told {
            None => (Told { first_at: now, n_repeated: 0 }, now + REPEAT_AFTER[0]),
            Some(Told { first_at, n_repeated }) => {
                let n_repeated = n_repeated + 1;
                let due_at = match REPEAT_AFTER.get(n_repeated) {
                    Some(&after) => (first_at + after).max(now),
                    None => together(now + random.about(REFRESH_EVERY)),
                };
                (Told { first_at, n_repeated }, due_at)
            }
        };
        self.told = Some(told);
        due_at
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

    fn changed(lasts: impl Iterator<Item = u8>) -> Announcer {
        let mut announcer = Announcer::new(1);
        lasts.for_each(|last| announcer.handle_change(link(), eip(last), MAC));
        announcer
    }

    /// The announcements from `now` up to `until`, as milliseconds and EIP.
    fn heard(announcer: &mut Announcer, mut now: Instant, until: u64) -> Vec<(u128, IpAddr)> {
        let until = Instant::from_millis(until);
        let mut heard = Vec::new();
        loop {
            announcer.handle_timeout(now);
            while let Some(is_at) = announcer.poll_output() {
                heard.push((now.since(Instant::ZERO).as_millis(), is_at.target));
            }
            match announcer.poll_timeout() {
                Some(at) if at <= until => now = now.max(at),
                Some(_) | None => return heard,
            }
        }
    }

    #[test]
    fn a_change_is_announced_five_times_and_then_refreshed() {
        let heard = heard(&mut changed([188].into_iter()), Instant::ZERO, 110_000);
        let times: Vec<_> = heard.into_iter().map(|(at, _)| at).collect();
        assert_eq!(times[..5], [0, 100, 1_100, 2_200, 4_400]);
        assert_eq!(times.len(), 6, "one refresh in the first 110 seconds: {times:?}");
    }

    #[test]
    fn many_changes_are_paced_and_none_is_lost() {
        let heard = heard(&mut changed(0..50), Instant::ZERO, 99);
        assert!(heard.windows(2).all(|pair| pair[1].0 > pair[0].0), "{heard:?}");
        let eips: BTreeSet<_> = heard.iter().map(|&(_, eip)| eip).collect();
        assert_eq!(eips.len(), 50);
    }

    #[test]
    fn whoever_is_woken_late_catches_up_and_no_further_than_that() {
        let mut announcer = changed(0..100);
        let told = |announcer: &mut Announcer, at| {
            announcer.handle_timeout(Instant::from_millis(at));
            std::iter::from_fn(|| announcer.poll_output()).count()
        };
        assert_eq!(told(&mut announcer, 0), 1);
        assert_eq!(told(&mut announcer, 4), 4, "one for each millisecond");
        assert_eq!(told(&mut announcer, 80), 21, "it was away for too long");
        assert_eq!(told(&mut announcer, 81), 1);
    }

    #[test]
    fn what_was_asked_for_last_is_announced_first_whenever_that_is_heard_of() {
        let mut announcer = Announcer::new(1);
        announcer.handle_asked(link(), eip(2), Instant::from_millis(20));
        (1..=4).for_each(|last| announcer.handle_change(link(), eip(last), MAC));
        announcer.handle_asked(link(), eip(3), Instant::from_millis(30));
        announcer.handle_asked(link(), eip(4), Instant::from_millis(25));
        announcer.handle_asked(link(), eip(3), Instant::from_millis(10));
        let heard = heard(&mut announcer, Instant::from_millis(40), 47);
        assert_eq!(heard, [3, 4, 2, 1].map(|last| (40, eip(last))));
    }

    #[test]
    fn a_first_announcement_goes_before_any_repetition() {
        let mut announcer = changed(0..200);
        let before = heard(&mut announcer, Instant::ZERO, 150);
        let firsts: BTreeSet<_> = before.iter().map(|&(_, eip)| eip).collect();
        assert_eq!(firsts.len(), before.len(), "one was repeated: {before:?}");
        announcer.handle_change(link(), eip(200), MAC);
        let after = heard(&mut announcer, Instant::from_millis(152), 205);
        let (rest, repeated) = after.split_at(200 + 1 - before.len());
        assert!(rest.iter().all(|(_, eip)| !firsts.contains(eip)), "{rest:?}");
        assert_eq!(repeated.first(), Some(&(201, eip(0))), "the oldest comes first");
    }

    #[test]
    fn each_burst_has_its_own_time_however_long_it_had_to_wait() {
        let all = heard(&mut changed(0..200), Instant::ZERO, 30_000);
        for last in 0..200 {
            let times: Vec<_> = all.iter().filter(|told| told.1 == eip(last)).collect();
            assert_eq!(times.len(), 5, "of {last}");
            let spans: Vec<_> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
            assert!(spans[1] >= 600 && spans[2] >= 600 && spans[3] >= 1_600, "{last}: {spans:?}");
        }
    }

    #[test]
    fn what_is_silenced_is_announced_no_more() {
        let mut announcer = changed([188, 189].into_iter());
        announcer.handle_timeout(Instant::ZERO);
        assert!(announcer.poll_output().is_some());
        announcer.handle_silence(link(), eip(188));
        announcer.handle_silence(link(), eip(189));
        assert_eq!(announcer.poll_timeout(), None);
    }

    #[test]
    fn what_is_gone_leaves_nothing_behind() {
        let mut announcer = changed([188].into_iter());
        announcer.handle_asked(link(), eip(188), Instant::from_millis(1));
        announcer.handle_gone(link(), eip(188));
        assert_eq!(announcer.poll_timeout(), None);
        assert!(announcer.asked.is_empty());
    }

    /// The announcements of one EIP that changes every so many milliseconds, goes each third time, and
    /// comes to rest after ten minutes.
    fn flapping(every: u64) -> (Vec<u128>, MacAddr) {
        let (mut announcer, mut times, mut last) = (Announcer::new(1), Vec::new(), MAC);
        let mut change_at = 0;
        let mut now = Instant::ZERO;
        while now < Instant::from_millis(700_000) {
            if now >= Instant::from_millis(change_at) && change_at < 600_000 {
                last = MacAddr(2, 0, 0, 0, 0, u8::try_from(change_at / every % 200).unwrap());
                match change_at / every % 3 {
                    0 => announcer.handle_gone(link(), eip(188)),
                    1 => announcer.handle_silence(link(), eip(188)),
                    _ => {}
                }
                announcer.handle_change(link(), eip(188), last);
                change_at += every;
            }
            announcer.handle_timeout(now);
            while let Some(is_at) = announcer.poll_output() {
                assert_eq!(is_at.mac, last, "an old word at {now}");
                times.push(now.since(Instant::ZERO).as_millis());
            }
            let next = announcer.poll_timeout().into_iter();
            let next = next.chain((change_at < 600_000).then(|| Instant::from_millis(change_at)));
            now = next.min().unwrap().max(now);
        }
        (times, last)
    }

    #[test]
    fn an_eip_that_flaps_has_a_budget_in_any_minute_and_the_last_word_is_told() {
        for every in [1, 40, 700] {
            let (times, _) = flapping(every);
            for (first, from) in times.iter().enumerate() {
                let in_minute = times[first..].iter().take_while(|at| **at < from + 60_000);
                assert!(in_minute.count() <= 120, "from {from}, changed each {every} ms");
            }
            let after: Vec<_> = times.iter().filter(|at| **at >= 600_000 - 1_000).collect();
            assert!(after.len() >= 5, "the last change, each {every} ms: {after:?}");
        }
    }

    #[test]
    fn ten_changes_a_minute_are_announced_in_full() {
        let (times, _) = flapping(6_000);
        assert!(times.len() >= 100 * 5, "{}", times.len());
        let firsts: Vec<_> = times.iter().filter(|at| *at % 6_000 == 0).collect();
        assert_eq!(firsts.len(), 100);
    }

    #[test]
    fn one_eip_that_flaps_takes_nothing_from_another_and_is_forgotten() {
        let mut announcer = changed([188].into_iter());
        for at in 0..1_000 {
            announcer.handle_change(link(), eip(189), MAC);
            announcer.handle_timeout(Instant::from_millis(at * 10));
        }
        announcer.handle_gone(link(), eip(189));
        let of_other = std::iter::from_fn(|| announcer.poll_output());
        assert_eq!(of_other.filter(|is_at| is_at.target == eip(188)).count(), 5);
        heard(&mut announcer, Instant::from_millis(10_000), 300_000);
        assert!(!announcer.whole_at.contains_key(&(link(), eip(189))));
    }
}

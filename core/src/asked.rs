//! Who asked for what, and when: what a responder remembers of the questions that it heard.
//!
//! A host that gets no answer asks three times, a second apart, and gives up after the third second.
//! Whoever begins to answer therefore owes an answer to those who asked shortly before, and whoever
//! announces a thousand EIPs begins with those that somebody is waiting for. Every replica
//! remembers, also one that may say nothing.
//!
//! Questions come from anybody, as many and as fast as they like. So the table has a fixed size, and
//! the older question makes way.

use std::{net::IpAddr, time::Duration};

use crate::{Answers, Instant, IsAt, WhoHas, table};

/// How many questions are remembered: several for each of a thousand EIPs.
const QUESTIONS_MAX: usize = 4096;
/// In how many places a question may be kept, so that two do not displace each other while there is
/// room.
const PLACES: usize = 4;
/// For how long a host waits for an answer: `mcast_solicit` times `retrans_time_ms` of Linux.
const WAITS: Duration = Duration::from_secs(3);
/// The least time between two overdue answers.
const PACE: Duration = Duration::from_millis(1);

/// The last questions that were heard on one link, at most one of each asker for each address.
///
/// Nothing allocates but [`Self::new`] and [`Self::take_news`].
#[derive(Clone, Debug)]
pub struct Asked {
    questions: Box<[Option<Question>]>,
    /// From where on those who wait are still to be looked for.
    cursor: usize,
    /// Until when something may be said, as of the last look.
    until: Instant,
    free_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    who_has: WhoHas,
    asked_at: Instant,
    /// Whether it has no answer.
    waits: bool,
    /// Whether [`Asked::take_news`] has still to tell of it.
    is_news: bool,
}

impl Asked {
    /// A table with no questions.
    pub fn new() -> Self {
        Self {
            questions: vec![None; QUESTIONS_MAX].into(),
            cursor: QUESTIONS_MAX,
            until: Instant::ZERO,
            free_at: Instant::ZERO,
        }
    }

    /// Takes in that a question was heard, and whether it was answered. Who asks without an address of
    /// its own wants to have that one, and waits for nobody.
    pub fn handle_question(&mut self, who_has: &WhoHas, answered: bool, now: Instant) {
        if who_has.asker.0.is_unspecified() {
            return;
        }
        let first = place(who_has);
        let places = &mut self.questions[first..first + PLACES];
        let same = |known: &Question| {
            (known.who_has.target, known.who_has.asker) == (who_has.target, who_has.asker)
        };
        // The same question has its place; another takes a free one, or that of the oldest.
        let slot = match places.iter().position(|slot| slot.as_ref().is_some_and(same)) {
            Some(at) => &mut places[at],
            None => {
                let oldest = places.iter_mut().min_by_key(|slot| slot.map(|known| known.asked_at));
                oldest.expect("a question has several places")
            }
        };
        *slot =
            Some(Question { who_has: *who_has, asked_at: now, waits: !answered, is_news: true });
    }

    /// Takes in that other answers may be given from now on: those who wait are looked at again.
    pub fn handle_answers(&mut self) {
        self.cursor = 0;
    }

    /// The next answer to somebody who asked shortly before it could be given, if there is one and
    /// its time has come. Each question is answered once.
    ///
    /// To be called after [`Self::handle_answers`], after `until` has become later, and whenever
    /// [`Self::poll_timeout`] says.
    #[must_use]
    pub fn poll_answer(&mut self, answers: &Answers, now: Instant, until: Instant) -> Option<IsAt> {
        if self.until <= now {
            self.cursor = 0; // What was asked meanwhile was not answered.
        }
        self.until = until;
        if now >= until {
            self.cursor = QUESTIONS_MAX;
        }
        if now < self.free_at {
            return None;
        }
        while let Some(slot) = self.questions.get_mut(self.cursor) {
            self.cursor += 1;
            let waits =
                |question: &&mut Question| question.waits && now.since(question.asked_at) <= WAITS;
            let Some(question) = slot.as_mut().filter(waits) else { continue };
            if let Ok(is_at) = answers.answer(&question.who_has, now, until) {
                question.waits = false;
                self.free_at = now + PACE;
                return Some(is_at);
            }
        }
        None
    }

    /// When to call [`Self::poll_answer`] again, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.cursor < QUESTIONS_MAX).then_some(self.free_at)
    }

    /// Which EIPs of a snapshot were asked for, and when, as far as that has not been told: for
    /// [`Input::Asked`](crate::Input::Asked). One EIP may be named several times.
    pub fn take_news(&mut self, answers: &Answers) -> Vec<(IpAddr, Instant)> {
        let known = self.questions.iter_mut().flatten();
        if answers.iter().next().is_none() {
            // Who begins anew has forgotten what it was told.
            known.for_each(|question| question.is_news = true);
            return Vec::new();
        }
        let news = known.filter(|question| {
            let WhoHas { link, target, .. } = question.who_has;
            question.is_news && answers.entry(link, target).is_some()
        });
        let told = news.map(|question| {
            question.is_news = false;
            (question.who_has.target, question.asked_at)
        });
        told.collect()
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self::new()
    }
}

/// The first of the places of a question.
fn place(who_has: &WhoHas) -> usize {
    table::place(who_has.asker.1, who_has.target, QUESTIONS_MAX / PLACES) * PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use pnet::util::MacAddr;
    use proptest::prelude::*;

    use super::*;
    use crate::{LinkName, Silence};

    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
    const UNTIL: Instant = Instant::from_millis(100_000);

    fn link() -> LinkName {
        LinkName::new("eth0").unwrap()
    }

    fn eip(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        [172, 22, high, low].into()
    }

    fn who_has(last: u16, asker: u8) -> WhoHas {
        let mac = MacAddr(2, 0, 0, 0, 1, asker);
        WhoHas { link: link(), target: eip(last), asker: ([10, 0, 0, asker].into(), mac), via: mac }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn answers(lasts: impl IntoIterator<Item = u16>) -> Answers {
        lasts.into_iter().map(|last| (link(), eip(last), Ok(NODE))).collect()
    }

    /// Everything that is answered from `now` on, as milliseconds, address and asker.
    fn told(asked: &mut Asked, answers: &Answers, mut now: Instant) -> Vec<(u64, IpAddr, u8)> {
        let mut told = Vec::new();
        loop {
            while let Some(is_at) = asked.poll_answer(answers, now, UNTIL) {
                assert_eq!(is_at.mac, NODE);
                let asker = is_at.to.unwrap().1.octets()[5];
                told.push((now.as_nanos() / 1_000_000, is_at.target, asker));
            }
            match asked.poll_timeout() {
                Some(next_at) => now = now.max(next_at),
                None => return told,
            }
        }
    }

    #[test]
    fn who_asked_before_there_was_an_answer_is_answered_once() {
        let mut asked = Asked::new();
        asked.handle_question(&who_has(188, 1), false, at(1_000));
        asked.handle_question(&who_has(188, 1), false, at(2_000));
        asked.handle_question(&who_has(188, 2), false, at(2_000));
        asked.handle_question(&who_has(189, 2), false, at(2_000));
        assert_eq!(told(&mut asked, &answers([]), at(2_100)), []);
        asked.handle_answers();
        let mut caught_up = told(&mut asked, &answers([188]), at(2_100));
        caught_up.sort_by_key(|(_, _, asker)| *asker);
        let whom: Vec<_> = caught_up.iter().map(|&(_, eip, asker)| (eip, asker)).collect();
        assert_eq!(whom, [(eip(188), 1), (eip(188), 2)]);
        asked.handle_answers();
        assert_eq!(told(&mut asked, &answers([188]), at(2_200)), []);
    }

    #[test]
    fn a_question_waits_for_three_seconds() {
        for (asked_at, n_told) in [(1_000, 1), (999, 0)] {
            let mut asked = Asked::new();
            asked.handle_question(&who_has(188, 1), false, at(asked_at));
            asked.handle_answers();
            assert_eq!(told(&mut asked, &answers([188]), at(4_000)).len(), n_told);
        }
    }

    #[test]
    fn what_was_answered_and_who_is_the_target_is_not_caught_up_with() {
        let mut asked = Asked::new();
        asked.handle_question(&who_has(188, 1), true, at(0));
        let target = WhoHas { asker: (eip(9), NODE), via: NODE, ..who_has(188, 2) };
        asked.handle_question(&target, false, at(0));
        asked.handle_answers();
        assert_eq!(told(&mut asked, &answers([188]), at(1)), []);
    }

    #[test]
    fn overdue_answers_are_paced() {
        let mut asked = Asked::new();
        (0..20).for_each(|last| asked.handle_question(&who_has(last, 1), false, at(0)));
        asked.handle_answers();
        let told = told(&mut asked, &answers(0..20), at(1));
        let times: Vec<_> = told.iter().map(|&(at, ..)| at).collect();
        assert_eq!(times, (1..=20).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_caught_up_with_at_or_after_the_deadline() {
        let mut asked = Asked::new();
        asked.handle_question(&who_has(188, 1), false, at(0));
        asked.handle_answers();
        for until in [at(0), at(1_000)] {
            assert_eq!(asked.poll_answer(&answers([188]), at(1_000), until), None);
            assert_eq!(asked.poll_timeout(), None, "there is nothing to wait for");
        }
        assert!(asked.poll_answer(&answers([188]), at(1_000), at(1_001)).is_some());
    }

    #[test]
    fn what_was_asked_while_a_permission_had_lapsed_is_caught_up_with() {
        let mut asked = Asked::new();
        assert_eq!(asked.poll_answer(&answers([188]), at(900), at(1_000)), None);
        asked.handle_question(&who_has(188, 1), false, at(1_050));
        assert!(asked.poll_answer(&answers([188]), at(1_100), UNTIL).is_some());
    }

    #[test]
    fn an_eip_that_was_asked_for_is_news_once_and_again_after_everything_was_taken_back() {
        let mut asked = Asked::new();
        asked.handle_question(&who_has(188, 1), true, at(5));
        asked.handle_question(&who_has(7, 1), false, at(6));
        assert_eq!(asked.take_news(&answers([188])), [(eip(188), at(5))]);
        assert_eq!(asked.take_news(&answers([188])), []);
        assert_eq!(asked.take_news(&answers([188, 7])), [(eip(7), at(6))]);
        assert_eq!(asked.take_news(&answers([])), []);
        assert_eq!(asked.take_news(&answers([188])), [(eip(188), at(5))]);
    }

    #[test]
    fn a_silent_eip_that_was_asked_for_is_news_too() {
        let mut asked = Asked::new();
        asked.handle_question(&who_has(188, 1), false, at(5));
        let silent = [(link(), eip(188), Err(Silence::NoNode))].into_iter().collect();
        assert_eq!(asked.take_news(&silent), [(eip(188), at(5))]);
    }

    #[test]
    fn a_thousand_eips_find_room_and_no_flood_makes_more() {
        let mut asked = Asked::new();
        (0..1_000).for_each(|last| asked.handle_question(&who_has(last, 1), false, at(10)));
        let kept = asked.take_news(&answers(0..1_000)).len();
        assert!(kept > 970, "{kept} of 1000 are remembered");
        for last in 0..u16::MAX {
            asked.handle_question(&who_has(last, 2), false, at(20));
        }
        assert_eq!(asked.questions.len(), QUESTIONS_MAX);
        let news = asked.take_news(&answers(0..u16::MAX));
        assert!(news.len() <= QUESTIONS_MAX);
        assert!(news.iter().all(|(_, asked_at)| *asked_at == at(20)), "an old one has stayed");
    }

    proptest! {
        /// Whatever is asked: of each question the last time counts, what is told was asked, and one is
        /// forgotten only for as many later ones as have their places where it has.
        #[test]
        fn the_last_questions_are_remembered(
            heard in prop::collection::vec((0_u16..400, 0_u8..4, any::<bool>()), 0..1_500),
        ) {
            let mut asked = Asked::new();
            let mut last = BTreeMap::new();
            for (now, &(target, asker, answered)) in (1..).zip(&heard) {
                asked.handle_question(&who_has(target, asker), answered, at(now));
                last.insert((target, asker), (now, answered));
            }
            let known: BTreeMap<_, _> = asked.questions.iter().flatten()
                .map(|known| ((known.who_has.target, known.who_has.asker), known))
                .collect();
            prop_assert_eq!(known.len(), asked.questions.iter().flatten().count(), "one is kept twice");
            for (&(target, asker), &(asked_at, answered)) in &last {
                let who_has = who_has(target, asker);
                match known.get(&(who_has.target, who_has.asker)) {
                    Some(question) => {
                        prop_assert_eq!(question.asked_at, at(asked_at));
                        prop_assert_eq!(question.waits, !answered);
                    }
                    None => {
                let later: BTreeSet<_> = last.iter()
                    .filter(|(_, (other_at, _))| *other_at > asked_at)
                    .map(|(&(target, asker), _)| self::who_has(target, asker))
                    .filter(|other| place(other) == place(&who_has))
                    .map(|other| (other.target, other.asker.0))
                    .collect();
                        prop_assert!(later.len() >= PLACES, "{:?} was forgotten", who_has);
                    }
                }
            }
        }
    }
}

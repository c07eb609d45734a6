//! Whether anybody has an address, or is about to take it, before it is given: RFC 5227 section 2.1.1, RFC
//! 4862 section 5.4.
//!
//! A trial is a few probes with pauses. It is over as soon as somebody answers, and clear if nobody has by
//! its end. Who hears another probe for the same address draws a lot: half give way, the other half wait
//! until the other would answer, and begin anew. Were it decided by anything that both know, such as their
//! MACs, a host that does not know of that would be trodden on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Conflicts, Contender, Place, Prober, take_due};
use crate::{Instant, Link, LinkName, Size};

/// The least time between two probes of what is tried out: somebody waits for it.
const TRIAL_PACE: Duration = Duration::from_millis(2);
/// For how long it counts that nobody had an address.
const CLEAR_FOR: Duration = Duration::from_secs(60);
/// How many addresses are tried out at a time. What goes beyond waits until there is room for half as many.
pub(crate) const TRIALS_MAX: usize = 4_096;
/// How long one waits who does not give way to another who tries the same address: by then that one has
/// it, if it is to have it (`ANNOUNCE_WAIT` and `PROBE_MAX` of RFC 5227 section 1.1 are 2 s).
const STAND_OFF: Duration = Duration::from_secs(3);
/// And any time up to this, in ms, so that two that wait do not begin at once.
const STAND_OFF_SPREAD: u64 = 1_000;
/// How often one does not give way.
pub(super) const STAND_OFFS_MAX: u8 = 3;
/// If this is called later than this, answers may be waiting still: whose trial should have ended by
/// then is asked for again.
const LATE_AFTER: Duration = Duration::from_millis(100);
/// How often it is asked again for that.
const LATE_MAX: u8 = 3;
/// After how long a trial on a link that may carry no frames begins anew.
const DOUBTED_FOR: Duration = Duration::from_millis(500);

/// An address that is tried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    due_at: Instant,
    stage: Stage,
    /// How often more it begins anew if somebody else tries the same.
    stand_offs: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// So many probes are still to be sent, and so many more if answers may be waiting.
    Asks { left: u8, late: u8 },
    /// Nobody answered.
    Clear,
}

impl Conflicts {
    /// Whether addresses are tried out at all.
    pub(crate) fn tries_out(&self) -> bool {
        self.probing.is_some()
    }

    /// Has an address tried out, unless that cannot be or was done. Says whether it may be given.
    pub(crate) fn try_out(
        &mut self,
        place: Place,
        links: &BTreeMap<LinkName, Link>,
        now: Instant,
    ) -> bool {
        let Some(probing) = self.probing.filter(|_| self.can_ask(place, links).is_some()) else {
            return true;
        };
        if let Some(trial) = self.trials.get(&place) {
            return trial.stage == Stage::Clear;
        }
        if self.trials.len() >= TRIALS_MAX {
            self.crowded = true;
            return false;
        }
        let due_at = now + probing.wait(&mut self.random);
        let stage = Stage::Asks { left: probing.count(), late: LATE_MAX };
        self.trials.insert(place, Trial { due_at, stage, stand_offs: STAND_OFFS_MAX });
        self.tries.insert((due_at, place));
        self.moved.insert(place);
        false
    }

    /// Whether an address may be given by what was found out of it. `None`: it is to be tried out, and
    /// there is room.
    pub(crate) fn is_clear(&self, place: Place, links: &BTreeMap<LinkName, Link>) -> Option<bool> {
        if self.probing.is_none() || self.can_ask(place, links).is_none() {
            return Some(true);
        }
        match self.trials.get(&place) {
            Some(trial) => Some(trial.stage == Stage::Clear),
            None => (self.trials.len() >= TRIALS_MAX).then_some(false),
        }
    }

    /// Whether there is room again for those that had to wait for their trial. Says so once.
    pub(crate) fn take_room(&mut self) -> bool {
        let has_room = self.crowded && self.trials.len() <= TRIALS_MAX / 2;
        self.crowded &= !has_room;
        has_room
    }

    /// Takes in that a link is gone, is another one or lost its carrier: what was found out there may not
    /// hold where it leads next.
    pub(crate) fn handle_lost(&mut self, link: LinkName) {
        let on_link = self.trials.keys().filter(|(of, _)| *of == link);
        for place in on_link.copied().collect::<Vec<_>>() {
            self.end_trial(place);
            self.changes.insert(place);
        }
    }

    /// Whether a trial goes on now.
    pub(crate) fn is_trial_due(&self, now: Instant) -> bool {
        self.tries.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Takes in which links may carry no frames now; it matters if a trial goes on.
    pub(crate) fn handle_doubted(&mut self, links: BTreeSet<LinkName>) {
        self.doubted = links;
    }

    /// An address that is tried out from now on, or not any more.
    #[must_use]
    pub(crate) fn poll_moved(&mut self) -> Option<(Place, bool)> {
        let place = self.moved.pop_first()?;
        Some((place, self.trials.contains_key(&place)))
    }

    /// How many addresses are tried out, or were shortly ago.
    pub(crate) fn size_of_trials(&self) -> Size {
        Size::new("addresses tried out", self.trials.len().max(self.tries.len()), TRIALS_MAX)
    }

    /// Sends the probes that are due, and ends what has lasted long enough.
    pub(super) fn run_trials(&mut self, links: &BTreeMap<LinkName, Link>, now: Instant) {
        // What waits for its turn is not late.
        let next = self.tries.first().map(|(at, _)| (*at).max(self.trial_free_at));
        if next.is_some_and(|next| now > next + LATE_AFTER) {
            self.late_at = Some(now);
        }
        while now >= self.trial_free_at
            && let Some(place) = take_due(&mut self.tries, now)
        {
            self.go_on(place, links, now);
        }
    }

    /// Gives way to somebody who tries out the same, or tries it out anew later.
    pub(super) fn contend(&mut self, place: Place, prober: Prober, now: Instant) {
        let (Some(trial), Some(probing)) = (self.trials.get(&place), self.probing) else { return };
        let stand_offs = trial.stand_offs.checked_sub(1);
        self.end_trial(place);
        let Some(stand_offs) = stand_offs.filter(|_| self.random.next().is_multiple_of(2)) else {
            self.found.push_back((place, Contender::Tries(prober)));
            return;
        };
        let spread = Duration::from_millis(self.random.next() % STAND_OFF_SPREAD);
        let due_at = now + STAND_OFF + spread;
        let stage = Stage::Asks { left: probing.count(), late: LATE_MAX };
        self.trials.insert(place, Trial { due_at, stage, stand_offs });
        self.tries.insert((due_at, place));
    }

    /// Ends a trial, whatever came of it.
    pub(super) fn end_trial(&mut self, place: Place) {
        if let Some(trial) = self.trials.remove(&place) {
            self.tries.remove(&(trial.due_at, place));
            self.moved.insert(place);
        }
    }

    /// Sends the next probe of a trial, or ends it.
    fn go_on(&mut self, place: Place, links: &BTreeMap<LinkName, Link>, now: Instant) {
        let Some(Trial { due_at, stage, stand_offs }) = self.trials.remove(&place) else { return };
        let own = self.can_ask(place, links);
        let (stage, span) = match (stage, self.probing, own) {
            (Stage::Clear, _, _) => {
                self.changes.insert(place);
                self.moved.insert(place);
                return;
            }
            (Stage::Asks { .. }, Some(probing), Some(_)) if self.doubted.contains(&place.0) => {
                (Stage::Asks { left: probing.count(), late: LATE_MAX }, DOUBTED_FOR)
            }
            (Stage::Asks { left: 0, late }, Some(probing), Some(_))
                if late > 0 && self.late_at.is_some_and(|late_at| due_at <= late_at) =>
            {
                self.put(place, own);
                self.trial_free_at = now + TRIAL_PACE;
                (Stage::Asks { left: 0, late: late - 1 }, probing.settle())
            }
            (Stage::Asks { left, late }, Some(probing), Some(_)) if left > 0 => {
                self.put(place, own);
                self.trial_free_at = now + TRIAL_PACE;
                let span = match left {
                    1 => probing.settle(),
                    _ => probing.gap(&mut self.random),
                };
                (Stage::Asks { left: left - 1, late }, span)
            }
            // Nobody answered; or nobody can be asked any more, and the watch will tell.
            (Stage::Asks { .. }, _, _) => {
                self.changes.insert(place);
                (Stage::Clear, CLEAR_FOR)
            }
        };
        let due_at = now + span;
        self.trials.insert(place, Trial { due_at, stage, stand_offs });
        self.tries.insert((due_at, place));
    }
}

//! What the Lease shows, what that proves, and from when on another's claim has ended.
//!
//! - *A claim ends* by its own duration or by a release marker of its holder, that is: a Lease
//!   without holder that names as `released-by` the holder last seen. A Lease that was emptied or
//!   rewritten by anyone else is waited out in full from when this was seen.
//! - *A sighting in the watch proves nothing for us*, since it may be old; it can only silence us.
//!   Verdicts and consistent reads prove, unless another sighting came while they were under way:
//!   nothing tells which of the two is newer, so that the Lease is read once more.
//! - *What a proved claim of ours replaced is no news.* A write takes effect only upon the version it
//!   was decided on, and no version comes twice. So every version that one of our proved claims was
//!   written upon is older than that claim, and a watch that still shows it lags. This needs no
//!   order of versions, and covers every claim of ours but the last, since only we could have
//!   replaced it by another of ours. An old claim that somebody wrote again by hand has a version of
//!   its own and is foreign. The same holds for the version under which a claim was proved before
//!   another added a wish to it: it is older than the one that a read has shown since.

use std::time::Duration;

use super::{Election, Request, Role};
use crate::{Instant, LeaseRecord, Timestamp, Version};

/// How many attempts of its own a replica remembers. Those before the last one that was proved can
/// no longer take effect, and between two proofs there is time for a few only.
pub(super) const ATTEMPTS_MAX: usize = 32;

/// How many versions that its claims replaced a replica remembers: at the default pace those of
/// the last 48 s, which is longer than a watch lags that is not broken.
pub(super) const REPLACED_MAX: usize = 32;

/// The Lease as last seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Sight {
    /// Not seen yet.
    Unseen,
    /// There is none.
    Missing,
    /// This.
    Present(Version, LeaseRecord),
}

/// A write of ours that is, or may come to be, in the Lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) stamp: Timestamp,
    pub(super) sent_at: Instant,
    /// The version that it replaces.
    pub(super) expected: Option<Version>,
}

impl Election {
    /// The attempt of ours that a record stems from.
    pub(super) fn attempt(&self, record: &LeaseRecord) -> Option<Attempt> {
        self.attempts.iter().find(|attempt| self.is_by(record, **attempt)).copied()
    }

    /// Whether a record stems from this attempt of ours.
    fn is_by(&self, record: &LeaseRecord, attempt: Attempt) -> bool {
        record.holder.as_ref() == Some(&self.me) && record.renewed == attempt.stamp
    }

    /// Whether a claim of ours that has lapsed is in the Lease though others may have held it since:
    /// somebody wrote it again by hand. What was seen last tells: the claim itself, or what it replaced,
    /// if nothing came between.
    pub(super) fn is_restored(&self, attempt: Attempt, version: Version, now: Instant) -> bool {
        let seen = match &self.lease {
            Sight::Unseen | Sight::Missing => None,
            Sight::Present(seen, _) => Some(*seen),
        };
        let lapsed = now >= attempt.sent_at + self.timing.speak_for();
        lapsed && seen != Some(version) && seen != attempt.expected
    }

    /// Counts the claim from the sending of `attempt`, which the API server has shown to be in the
    /// Lease.
    pub(super) fn prove(
        &mut self,
        attempt: Attempt,
        version: Version,
        record: LeaseRecord,
        now: Instant,
    ) {
        let beside = match &self.lease {
            Sight::Present(known, old) if self.is_by(old, attempt) => Some(*known),
            Sight::Unseen | Sight::Missing | Sight::Present(..) => None,
        };
        let older = [attempt.expected, beside].into_iter().flatten();
        for older in older.filter(|older| *older != version) {
            if !self.replaced.contains(&older) {
                self.replaced.push_back(older);
            }
        }
        while self.replaced.len() > REPLACED_MAX {
            self.replaced.pop_front();
        }
        self.lease = Sight::Present(version, record);
        self.attempts.retain(|other| other.stamp >= attempt.stamp);
        // Nobody else has a claim, and a lapsed one of ours may be renewed while its version stands.
        self.free_at = now;
        let until = attempt.sent_at + self.timing.speak_for();
        let renew_at = attempt.sent_at + self.random.about(self.timing.renew_every());
        self.role = match self.role {
            Role::Yield { release, .. } => Role::Yield { until, release },
            Role::Lead { .. } => Role::Lead { until, renew_at },
            Role::Follow if now >= until => Role::Follow,
            // A claim that is not wanted any more is given back.
            Role::Follow if !self.campaigns => Role::Yield { until, release: true },
            Role::Follow => {
                self.term += 1;
                Role::Lead { until, renew_at }
            }
        };
    }

    /// Takes in a Lease that is not as we wrote it.
    pub(super) fn see_foreign(&mut self, lease: Option<(Version, LeaseRecord)>, now: Instant) {
        let sight = match lease {
            Some((version, record)) => Sight::Present(version, record),
            None => Sight::Missing,
        };
        let unchanged = match (&self.lease, &sight) {
            (Sight::Missing, Sight::Missing) => true,
            (Sight::Present(known, _), Sight::Present(version, _)) => known == version,
            (Sight::Unseen | Sight::Missing | Sight::Present(..), _) => false,
        };
        if unchanged {
            return; // An unchanged record is no sign of life.
        }
        if let Request::Read { overtaken } | Request::Write { overtaken, .. } = &mut self.request {
            *overtaken = true;
        }
        if self.role != Role::Follow {
            // Ours no more; or the sighting is older than our claim, which a read will show.
            self.role = Role::Follow;
            self.read_at = Some(now);
        }
        let holds_on = match (&self.lease, &sight) {
            (Sight::Present(_, old), Sight::Present(_, new)) => {
                new.holder.is_some() && new.holder == old.holder
            }
            (Sight::Unseen | Sight::Missing | Sight::Present(..), _) => false,
        };
        if !holds_on {
            self.fitter_since = None;
        }
        let wished = matches!(&sight, Sight::Present(_, new) if new.wanted_by.is_some());
        self.renewed = holds_on && !wished;
        let released = match (&self.lease, &sight) {
            (Sight::Present(_, old), Sight::Present(_, new)) => {
                new.holder.is_none() && old.holder.is_some() && new.released_by == old.holder
            }
            (Sight::Unseen | Sight::Missing | Sight::Present(..), _) => false,
        };
        if released {
            self.free_at = now;
        } else {
            let seen = match &sight {
                Sight::Present(_, record) => record.duration,
                Sight::Unseen | Sight::Missing => Duration::ZERO,
            };
            let longest = seen.max(self.longest);
            self.free_at = self.free_at.max(now + self.timing.wait_for(longest));
            self.longest = seen.max(self.timing.duration());
        }
        self.lease = sight;
    }
}

//! How fit a replica is to lead, and how one that is fitter comes to.
//!
//! - *Fit, deaf, unfit, cut off.* Fitness is the number of layer2 Eips that this host's links can serve.
//!   Who hears nobody there waits one duration longer for a Lease that is free. A leader that hears
//!   nobody any more gives up at once, and waits one duration more than that, so that everybody else
//!   comes first: it may be the others that are gone. Who could serve none for certain, since its links
//!   are down or were never there, comes last: it leads if nobody else does, so that somebody can say
//!   why nothing works. Who takes the Lease although it could serve nothing does not give it up for
//!   that: there was nobody else.
//! - *On record.* A holder writes its fitness into the Lease with every claim. A standby that has been
//!   fitter for 5 s writes its identity beside it, as a *wish*, when it sees a renewal: what it knows
//!   is fresh then, and a holder that dies is waited for no longer than if nobody had wished. A
//!   renewal drops the wish; who still has it repeats it 5 s later.
//! - *Fitter* is who can serve more Eips, and who hears nobody rather than who can serve none for
//!   certain, since it may be the last one on the LAN, and then serves them. Waits alone do not see to
//!   that: whoever has to come first may be kept from it at that moment.
//! - *A wish is no claim.* It leaves the holder, its `renewTime` and the duration as they are, on
//!   condition of the very version that it was decided on. So it neither makes, ends nor lengthens a
//!   claim: the holder counts from the sending of the attempt that it finds, and nothing changes that
//!   attempt by being written beside it; everybody else counts from the newer version, that is, later.
//!   A wish that comes late finds another version, and has no effect.
//! - *The holder goes on speaking* when it sees its own attempt in a version that is not its own. The
//!   sighting may be old and proves nothing; it makes the holder read, and the read is proof of the
//!   claim under the version that its next write expects. If it is not seen, the next renewal conflicts,
//!   which makes the holder read as well.
//! - *Handing over.* A holder that has read a wish, and has not become fitter than it said, falls
//!   silent and releases the Lease in the name of who wished; for one time between renewals all others
//!   leave it to that one. Both count this, but for one that gets it though it hears nobody: neither
//!   hands over again for 60 s.

use std::{fmt, time::Duration};

use super::{Election, Request, Role, Sight};
use crate::{Identity, Instant, LeaseRecord, Version};

/// For how long a standby has to have been fitter than the holder before it says so, and says so again.
const WISH_AFTER: Duration = Duration::from_secs(5);
/// How often, at most, the Lease is handed over because another is fitter.
const HAND_OVER_EVERY: Duration = Duration::from_secs(60);

/// What a replica could do if it led.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fitness {
    /// Serve so many layer2 Eips: their links exist here, have carrier and an address of the Eip's family,
    /// and are not suspect. None, if there is none to serve.
    Fit(u32),
    /// Serve none of those that there are: their links are not here, or have no address of their family.
    Unfit,
    /// Serve none any more, as it seems: its links have carrier, and nobody is heard there.
    Deaf,
    /// Serve none any more: its links are down or gone.
    CutOff,
}

impl Fitness {
    /// What the Lease says of it, read back; `None` if those are none of its words.
    pub fn parse(text: &str) -> Option<Self> {
        let named = [Self::Unfit, Self::Deaf, Self::CutOff];
        let named = named.into_iter().find(|fitness| fitness.to_string() == text);
        named.or_else(|| text.parse().ok().map(Self::Fit))
    }

    /// Whether who can do this is to lead rather than who can do that.
    fn exceeds(self, other: Self) -> bool {
        self.could_serve() > other.could_serve()
    }

    /// How many Eips could be served; `None`: none, for certain.
    fn could_serve(self) -> Option<u32> {
        match self {
            Self::Fit(served) => Some(served),
            Self::Deaf => Some(0),
            Self::Unfit | Self::CutOff => None,
        }
    }
}

/// As the Lease says it.
impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fit(served) => served.fmt(f),
            Self::Unfit => f.write_str("no-link"),
            Self::Deaf => f.write_str("hears-nobody"),
            Self::CutOff => f.write_str("link-down"),
        }
    }
}

impl Election {
    /// Takes in what this replica could do if it led.
    pub fn handle_fitness(&mut self, fitness: Fitness, now: Instant) {
        if self.fitness == fitness {
            return;
        }
        self.fitness = fitness;
        if !self.has_failed() {
            self.endures = false;
            self.gave_up = false;
        }
        self.act(now);
    }

    /// From when on this replica may try for the Lease, as far as it was seen.
    pub(super) fn turn_at(&self) -> Instant {
        let duration = self.timing.duration();
        let later = match self.fitness {
            Fitness::Unfit | Fitness::CutOff => duration * 3,
            Fitness::Deaf if self.heir() == Some(&self.me) => Duration::ZERO,
            Fitness::Deaf if self.gave_up => duration * 2,
            Fitness::Deaf => duration,
            Fitness::Fit(_) if self.is_promised() => self.timing.renew_every(),
            Fitness::Fit(_) => Duration::ZERO,
        };
        self.free_at + later
    }

    /// Whether the links failed on which this replica could serve.
    fn has_failed(&self) -> bool {
        matches!(self.fitness, Fitness::Deaf | Fitness::CutOff)
    }

    /// Whether the Lease was released in another's name.
    fn is_promised(&self) -> bool {
        self.heir().is_some_and(|heir| *heir != self.me)
    }

    /// In whose name the Lease was released.
    fn heir(&self) -> Option<&Identity> {
        let Sight::Present(_, record) = &self.lease else { return None };
        let released = record.holder.is_none() && record.released_by.is_some();
        record.wanted_by.as_ref().filter(|_| released)
    }

    /// Remembers how this replica comes to claim the Lease.
    pub(super) fn prepare_term(&mut self, now: Instant) {
        self.endures = self.has_failed();
        if self.heir() == Some(&self.me) && !self.has_failed() {
            self.handed_over_at = Some(now);
        }
    }

    /// Falls silent if this replica is cut off, or is to hand over to one that is fitter.
    pub(super) fn step_back(&mut self, now: Instant) {
        let Role::Lead { until, .. } = self.role else { return };
        let cut_off = self.has_failed() && !self.endures;
        let rested = self.handed_over_at.is_none_or(|at| now >= at + HAND_OVER_EVERY);
        let idle = matches!(self.request, Request::None);
        let hands_over = rested && idle && self.is_outdone();
        if cut_off {
            self.gave_up = true;
        }
        if hands_over {
            self.handed_over_at = Some(now);
        }
        if cut_off || hands_over {
            self.role = Role::Yield { until, release: false };
        }
    }

    /// Whether another wishes for the Lease, and this replica is no fitter than when it did.
    fn is_outdone(&self) -> bool {
        let Sight::Present(_, record) = &self.lease else { return false };
        let wished = record.wanted_by.as_ref().is_some_and(|other| *other != self.me);
        wished && record.fitness.is_some_and(|known| !self.fitness.exceeds(known))
    }

    /// Counts for how long this replica has been fitter than the holder.
    pub(super) fn compare(&mut self, now: Instant) {
        let fitter = match (&self.lease, self.role) {
            (Sight::Present(_, record), Role::Follow) => {
                let holds = record.holder.as_ref().is_some_and(|holder| *holder != self.me);
                let theirs = record.fitness.filter(|_| holds);
                theirs.is_some_and(|theirs| self.fitness.exceeds(theirs))
            }
            _ => false,
        };
        self.fitter_since = fitter.then(|| self.fitter_since.unwrap_or(now));
    }

    /// The Lease as it is, with our wish, if this is the moment for it.
    pub(super) fn wish(&mut self, now: Instant) -> Option<(Version, LeaseRecord)> {
        let renewed = std::mem::take(&mut self.renewed);
        let due = self.fitter_since.is_some_and(|since| now >= since + WISH_AFTER);
        let Sight::Present(version, record) = &self.lease else { return None };
        if !(renewed && due && self.campaigns) {
            return None;
        }
        self.fitter_since = Some(now);
        Some((*version, LeaseRecord { wanted_by: Some(self.me.clone()), ..record.clone() }))
    }
}

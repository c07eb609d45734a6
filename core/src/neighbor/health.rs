//! Whether a link of this host still carries frames.
//!
//! A link is suspected when nodes behind it that had answered are all silent in one window and no
//! other station's frame arrived in it: then it is more likely the link than all of them. Any frame
//! clears it. Who is made leader while it suspects a link takes the silent nodes for dead: the others
//! may have given up for the same silence, and somebody has to decide.

use std::time::Duration;

use crate::Instant;

/// What is known of a link by what arrives on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    heard_at: Option<Instant>,
    /// Since when it has been heard without a gap.
    carries_since: Instant,
    suspect: bool,
    presumes_death: bool,
}

impl Health {
    /// Takes in that another station's frame arrived: after a `gap`, if it was that long. Says whether the
    /// link was suspected.
    pub(super) fn handle_heard(&mut self, gap: Duration, now: Instant) -> bool {
        let goes_on = !self.suspect && self.heard_at.is_some_and(|at| now < at + gap);
        let carries_since = if goes_on { self.carries_since } else { now };
        let heard = Self { heard_at: Some(now), carries_since, ..Self::default() };
        std::mem::replace(self, heard).suspect
    }

    /// Takes in that this replica begins to lead.
    pub(super) fn handle_term(&mut self) {
        // By the term before, too, as long as nobody was heard.
        self.presumes_death |= self.suspect;
        self.suspect = false;
    }

    /// Takes in that everybody behind the link is silent. Says whether that is new.
    pub(super) fn suspect(&mut self) -> bool {
        !std::mem::replace(&mut self.suspect, true)
    }

    /// Whether another station was ever heard.
    pub(super) fn was_heard(&self) -> bool {
        self.heard_at.is_some()
    }

    /// Whether another station was heard at `since` or later, and the link carried frames already when
    /// something was sent.
    pub(super) fn carried(&self, since: Instant, sent_at: Instant) -> bool {
        self.heard_at.is_some_and(|at| at >= since) && self.carries_since <= sent_at
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether who is silent is dead, although nothing proves that the link carries frames.
    pub(super) fn presumes_death(&self) -> bool {
        self.presumes_death
    }
}

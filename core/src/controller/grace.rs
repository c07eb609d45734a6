//! Bad news that may pass.
//!
//! Between two steps of a rolling update a Service has no endpoint for a moment, and what is applied
//! in one go arrives one by one. A condition says `False` only of what has lasted for a while, so that
//! such moments cost no write and frighten nobody. Good news is never held back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{Instant, Size, ledger::Object};

/// For how long something has to be wrong before it is said.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What is wrong, and not said yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Grace {
    ends_at: BTreeMap<Object, Instant>,
    timers: BTreeSet<(Instant, Object)>,
}

impl Grace {
    /// Takes in that something is wrong with `object`. Says whether it has lasted.
    pub(super) fn lasts(&mut self, object: Object, now: Instant) -> bool {
        let ends_at = *self.ends_at.entry(object.clone()).or_insert(now + GRACE);
        if now < ends_at {
            self.timers.insert((ends_at, object));
        }
        now >= ends_at
    }

    /// Takes in that nothing is wrong, or nothing that is not said.
    pub(super) fn end(&mut self, object: &Object) {
        if let Some(ends_at) = self.ends_at.remove(object) {
            self.timers.remove(&(ends_at, object.clone()));
        }
    }

    /// The objects of which something may have to be said now. Each is named once.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Object> {
        let mut due = Vec::new();
        while self.timers.first().is_some_and(|(at, _)| now >= *at) {
            due.extend(self.timers.pop_first().map(|(_, object)| object));
        }
        due
    }

    /// How much is remembered of so many objects.
    pub(super) fn sizes(&self, objects: usize) -> [Size; 2] {
        [
            Size::new("objects with something wrong", self.ends_at.len(), objects),
            Size::new("objects of which it is to be said", self.timers.len(), objects),
        ]
    }

    /// When something may have to be said next.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}

//! What changed, in order: one revision for the whole store, a bounded memory of the last changes, and
//! watches that read from it.
//!
//! A watch holds no queue. It remembers the revision up to which it has told everything and reads on
//! from the history, so a slow reader costs nothing and, once the history no longer reaches back to
//! where it is, learns that its revision expired.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::resource::{Kind, Resource};
use super::selector::Selectors;
use super::status::Status;
use super::store::Store;

/// How many changes are remembered: those of minutes, as a real server keeps, even with thousands of objects.
const REMEMBERED: usize = 65_536;

/// What happened to an object, as a watch sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// The object is new, or newly selected.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, or no longer selected.
    Deleted,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object afterwards; for a deletion, as it was last, with the revision of its deletion.
    pub object: Arc<Value>,
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) resource: Resource,
    pub(crate) old: Option<Arc<Value>>,
    pub(crate) new: Option<Arc<Value>>,
}

/// The last changes of the store.
#[derive(Debug)]
pub(crate) struct History {
    changes: VecDeque<Change>,
    /// The newest revision that is no longer remembered.
    forgotten: u64,
    /// Told the revision of every change; watches wait on it.
    newest: watch::Sender<u64>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { changes: VecDeque::new(), forgotten: 0, newest: watch::Sender::new(0) }
    }

    pub(crate) fn revision(&self) -> u64 {
        *self.newest.borrow()
    }

    pub(crate) fn push(&mut self, change: Change) {
        let revision = change.revision;
        if self.changes.len() == REMEMBERED {
            self.forgotten =
                self.changes.pop_front().map_or(self.forgotten, |oldest| oldest.revision);
        }
        self.changes.push_back(change);
        self.newest.send_replace(revision);
    }

    /// Forgets every change, as a compaction does.
    pub(crate) fn forget(&mut self) {
        self.changes.clear();
        self.forgotten = self.revision();
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Whether everything after `revision` is still remembered.
    pub(crate) fn reaches(&self, revision: u64) -> Result<(), Status> {
        if revision < self.forgotten {
            return Err(Status::expired(format!(
                "too old resource version: {revision} ({})",
                self.forgotten
            )));
        }
        if revision > self.revision() {
            return Err(Status::too_large_revision(revision, self.revision()));
        }
        Ok(())
    }

    fn after(&self, revision: u64) -> impl Iterator<Item = &Change> {
        self.changes.range(self.changes.partition_point(|change| change.revision <= revision)..)
    }
}

/// A watch on a collection.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    kind: Arc<Kind>,
    namespace: Option<String>,
    selectors: Selectors,
    /// What was there at the start and is told first.
    initial: VecDeque<Event>,
    /// Every change up to this revision is told.
    told: u64,
    newest: watch::Receiver<u64>,
}

impl Watch {
    pub(crate) fn new(
        store: Store,
        newest: watch::Receiver<u64>,
        kind: Arc<Kind>,
        namespace: Option<&str>,
        selectors: &Selectors,
        told: u64,
        initial: VecDeque<Event>,
    ) -> Self {
        let namespace = namespace.map(str::to_owned);
        Self { store, kind, namespace, selectors: selectors.clone(), initial, told, newest }
    }

    /// The revision up to which everything was told; what a bookmark carries.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.told
    }

    /// Whether there is more to tell of what was there at the start.
    pub(crate) fn has_initial(&self) -> bool {
        !self.initial.is_empty()
    }

    /// Waits for the next event. May be cancelled without losing one.
    ///
    /// # Errors
    /// A 410 `Expired` if the watch was so slow that changes it had not told were forgotten. It is over then.
    pub async fn next(&mut self) -> Result<Event, Status> {
        loop {
            self.newest.mark_unchanged();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            self.newest.changed().await.expect("the watch keeps the store alive");
        }
    }

    /// The next event, if it has already happened.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<Event>, Status> {
        if let Some(event) = self.initial.pop_front() {
            return Ok(Some(event));
        }
        let state = self.store.lock();
        state.history.reaches(self.told)?;
        for change in state.history.after(self.told) {
            self.told = change.revision;
            if let Some(event) = self.event(change) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn event(&self, change: &Change) -> Option<Event> {
        if change.resource != *self.kind.collection() {
            return None;
        }
        let seen = |object: &&Arc<Value>| {
            let namespace = object["metadata"]["namespace"].as_str();
            self.namespace.as_deref().is_none_or(|wanted| namespace == Some(wanted))
                && self.selectors.select(object)
        };
        let old = change.old.as_ref().filter(seen);
        let new = change.new.as_ref().filter(seen);
        let (kind, object) = match (old, new) {
            (None, None) => return None,
            (None, Some(new)) => (EventKind::Added, new.clone()),
            (Some(_), Some(new)) => (EventKind::Modified, new.clone()),
            (Some(old), None) => {
                let mut last = Value::clone(old);
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                (EventKind::Deleted, Arc::new(last))
            }
        };
        Some(Event { kind, object: self.kind.of_stored(object) })
    }
}

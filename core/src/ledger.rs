//! Writes without a verdict, and writes that have to wait.
//!
//! Every object has at most one write outstanding. After a write that failed, or changed nothing
//! because something at the API server undid it, the object rests for a while, longer each time, so
//! that an API server in trouble is not stormed. After one that succeeded it rests if whoever asked
//! for the write wants that.
//!
//! A node that dies may take a thousand EIPs with it. They move side by side, but so many at a time
//! that an API server can bear it and its other clients are not kept waiting. The Lease is none of
//! these objects: no number of them delays a renewal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{EipName, Instant, ServiceName, Size, Version, WriteId};

/// How many writes may be under way at once: a thousand moves take a second at 64 ms each.
pub(crate) const WRITES_MAX: usize = 64;
/// How long an object rests after its first failed write.
const REST: Duration = Duration::from_millis(250);
/// How many times that doubles.
const DOUBLINGS_MAX: u32 = 5;

/// An object that is written.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Object {
    Eip(EipName),
    Service(ServiceName),
}

/// The outstanding writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pending: BTreeMap<WriteId, Pending>,
    busy: BTreeSet<Object>,
    /// How many writes in a row have failed, and until when the object rests.
    failures: BTreeMap<Object, (u32, Instant)>,
    resting: BTreeSet<(Instant, Object)>,
}

/// A write without a verdict.
#[derive(Clone, Debug)]
struct Pending {
    object: Object,
    version: Version,
    /// How long the object rests if it succeeds.
    rest: Duration,
}

impl Ledger {
    /// Whether one more object may be written.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < WRITES_MAX
    }

    /// Whether `object` may be written at `now`.
    pub(crate) fn is_free(&self, object: &Object, now: Instant) -> bool {
        let rested = self.failures.get(object).is_none_or(|&(_, rests_until)| now >= rests_until);
        rested && !self.busy.contains(object)
    }

    /// Takes down that a write of `object`, as it was at `version`, is on its way. Once it has
    /// succeeded the object rests for `rest`, so that what comes up meanwhile goes into one write.
    pub(crate) fn begin(&mut self, id: WriteId, object: Object, version: Version, rest: Duration) {
        self.busy.insert(object.clone());
        self.pending.insert(id, Pending { object, version, rest });
    }

    /// Takes down the verdict: the version that the write has left, if it succeeded. Returns what was
    /// written, and the version it was expected to have; `None` if it is no write of this ledger.
    pub(crate) fn end(
        &mut self,
        id: WriteId,
        written: Option<Version>,
        now: Instant,
    ) -> Option<(Object, Version)> {
        let Pending { object, version, rest } = self.pending.remove(&id)?;
        self.busy.remove(&object);
        if written.is_some_and(|written| written != version) {
            self.failures.remove(&object);
            if !rest.is_zero() {
                self.failures.insert(object.clone(), (0, now + rest));
                self.resting.insert((now + rest, object.clone()));
            }
        } else {
            let failures = self.failures.get(&object).map_or(0, |&(failures, _)| failures);
            let rest = REST * 2u32.pow(failures.min(DOUBLINGS_MAX));
            self.failures.insert(object.clone(), (failures.saturating_add(1), now + rest));
            self.resting.insert((now + rest, object.clone()));
        }
        Some((object, version))
    }

    /// Lets an object rest at least until then.
    pub(crate) fn rest(&mut self, object: &Object, until: Instant) {
        let (_, rests_until) = self.failures.entry(object.clone()).or_insert((0, until));
        self.resting.remove(&(*rests_until, object.clone()));
        *rests_until = until.max(*rests_until);
        self.resting.insert((*rests_until, object.clone()));
    }

    /// Forgets what became of the writes of an object that is gone.
    pub(crate) fn forget(&mut self, object: &Object) {
        if let Some((_, rests_until)) = self.failures.remove(object) {
            self.resting.remove(&(rests_until, object.clone()));
        }
    }

    /// The next object that has rested, once.
    pub(crate) fn poll_rested(&mut self, now: Instant) -> Option<Object> {
        self.resting.first().filter(|(rests_until, _)| now >= *rests_until)?;
        self.resting.pop_first().map(|(_, object)| object)
    }

    /// When the next object has rested.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.resting.first().map(|&(rests_until, _)| rests_until)
    }

    /// How much is remembered that has a limit.
    pub(crate) fn sizes(&self) -> [Size; 2] {
        [
            Size::new("writes under way", self.pending.len(), WRITES_MAX),
            Size::new("objects being written", self.busy.len(), WRITES_MAX),
        ]
    }

    /// How much is remembered of so many objects.
    pub(crate) fn sizes_by_objects(&self, objects: usize) -> [Size; 2] {
        [
            Size::new("objects whose writes failed or rest", self.failures.len(), objects),
            Size::new("rests", self.resting.len(), objects),
        ]
    }
}

/// What a write is for. What a client of an EIP waits for goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Urgency {
    /// Another node is to be answered: until it is on record, nobody reaches the Service.
    Move,
    /// Something is to be put on record, or taken off it.
    Record,
    /// People are told.
    Status,
}

/// The objects that wait for room: the most urgent first, and of those in the order in which they
/// came, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    order: BTreeMap<(Urgency, u64), Object>,
    places: BTreeMap<Object, (Urgency, u64)>,
    n_pushed: u64,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes in an object, or that one has become more urgent.
    pub(crate) fn push(&mut self, object: Object, urgency: Urgency) {
        let place = (urgency, self.n_pushed);
        self.n_pushed += 1;
        match self.places.get_mut(&object) {
            Some((waits_as, _)) if *waits_as <= urgency => return,
            Some(waits_at) => drop(self.order.remove(&std::mem::replace(waits_at, place))),
            None => drop(self.places.insert(object.clone(), place)),
        }
        self.order.insert(place, object);
    }

    pub(crate) fn pop(&mut self) -> Option<Object> {
        let (_, object) = self.order.pop_first()?;
        self.places.remove(&object);
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_room_waits_once_and_comes_first_in_first_out() {
        let [a, b] = ["b", "a"].map(|name| Object::Eip(EipName::from(name)));
        let mut queue = Queue::default();
        for object in [&a, &b, &a] {
            queue.push(object.clone(), Urgency::Record);
        }
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(a.clone()), Some(b), None]);
        queue.push(a.clone(), Urgency::Record);
        assert_eq!(queue.pop(), Some(a));
        assert!(queue.is_empty());
    }

    #[test]
    fn who_is_more_urgent_overtakes_also_if_it_waits_already() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Object::Eip(EipName::from(name)));
        let mut queue = Queue::default();
        queue.push(a.clone(), Urgency::Status);
        queue.push(b.clone(), Urgency::Record);
        queue.push(c.clone(), Urgency::Status);
        queue.push(c.clone(), Urgency::Move);
        queue.push(c.clone(), Urgency::Status);
        assert_eq!(queue.len(), 3);
        let order = [queue.pop(), queue.pop(), queue.pop(), queue.pop()];
        assert_eq!(order, [Some(c), Some(b), Some(a), None]);
    }

    #[test]
    fn a_write_without_room_has_to_wait_for_a_verdict() {
        let mut ledger = Ledger::default();
        for id in 0..64 {
            assert!(ledger.has_room(), "{id} are under way");
            let object = Object::Eip(EipName::from(id.to_string().as_str()));
            ledger.begin(WriteId(id), object, Version(1), Duration::ZERO);
        }
        assert!(!ledger.has_room());
        ledger.end(WriteId(7), None, Instant::ZERO);
        assert!(ledger.has_room());
    }

    #[test]
    fn an_object_that_has_to_wait_waits_and_does_not_wake_before() {
        let mut ledger = Ledger::default();
        let object = Object::Eip(EipName::from("pool"));
        ledger.begin(WriteId(1), object.clone(), Version(1), Duration::ZERO);
        ledger.end(WriteId(1), None, Instant::ZERO);
        let until = Instant::from_millis(3_000);
        ledger.rest(&object, until);
        assert!(!ledger.is_free(&object, Instant::from_millis(2_999)));
        assert!(ledger.is_free(&object, until));
        assert_eq!(ledger.poll_rested(until), Some(object));
    }

    #[test]
    fn an_object_has_one_write_outstanding_and_rests_longer_after_each_failure() {
        let mut ledger = Ledger::default();
        let object = Object::Eip(EipName::from("pool"));
        let mut now = Instant::ZERO;
        for (id, rest) in [(1, 250), (2, 500), (3, 1_000)] {
            assert!(ledger.is_free(&object, now));
            ledger.begin(WriteId(id), object.clone(), Version(1), Duration::ZERO);
            assert!(!ledger.is_free(&object, now));
            let unchanged = Version(1);
            ledger.end(WriteId(id), (id == 2).then_some(unchanged), now);
            let rested_at = now + Duration::from_millis(rest);
            assert_eq!(ledger.poll_timeout(), Some(rested_at));
            assert!(!ledger.is_free(&object, rested_at - Duration::from_nanos(1)));
            now = rested_at;
            assert_eq!(ledger.poll_rested(now), Some(object.clone()));
            assert_eq!(ledger.poll_rested(now), None);
        }
        ledger.begin(WriteId(4), object.clone(), Version(1), REST);
        ledger.end(WriteId(4), Some(Version(2)), now);
        assert!(!ledger.is_free(&object, now));
        assert!(ledger.is_free(&object, now + REST));
        ledger.begin(WriteId(5), object.clone(), Version(2), Duration::ZERO);
        ledger.end(WriteId(5), Some(Version(3)), now);
        assert!(ledger.is_free(&object, now));
    }
}

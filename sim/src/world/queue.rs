//! What is still to happen, in the order in which it will.

use std::collections::BTreeMap;

use super::clock::Moment;

/// Events by moment; those of one moment in the order in which they were scheduled.
#[derive(Clone, Debug)]
pub(crate) struct Queue<E> {
    events: BTreeMap<(Moment, u64), E>,
    scheduled: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { events: BTreeMap::new(), scheduled: 0 }
    }

    pub(crate) fn push(&mut self, at: Moment, event: E) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    /// The next event that happens no later than `until`.
    pub(crate) fn pop(&mut self, until: Moment) -> Option<(Moment, E)> {
        let first = self.events.first_entry()?;
        let at = first.key().0;
        (at <= until).then(|| (at, first.remove()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_of_one_moment_happen_in_the_order_of_their_scheduling() {
        let soon = Moment::ZERO + Duration::from_secs(1);
        let mut queue = Queue::new();
        queue.push(soon, 'b');
        queue.push(Moment::ZERO, 'a');
        queue.push(soon, 'c');
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(soon)).map(|(_, e)| e).collect();
        assert_eq!(order, ['a', 'b', 'c']);
    }

    #[test]
    fn what_happens_later_stays() {
        let mut queue = Queue::new();
        queue.push(Moment::ZERO + Duration::from_secs(1), ());
        assert_eq!(queue.pop(Moment::ZERO), None);
    }
}

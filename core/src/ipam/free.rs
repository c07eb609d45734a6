//! Which addresses of a pool are free, as runs of consecutive numbers.
//!
//! A pool may have 2^128 addresses, and of ten thousand that are held most lie side by side: runs
//! cost memory and time by the number of gaps, not by the number of addresses. Every operation costs
//! O(log n) in the number of runs.

use std::collections::BTreeMap;

/// A set of numbers, kept as disjoint runs with a gap between any two.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Free {
    /// The last number of each run, by its first.
    runs: BTreeMap<u128, u128>,
}

impl Free {
    /// All numbers from `first` to `last`, both included.
    pub(super) fn between(first: u128, last: u128) -> Self {
        debug_assert!(first <= last, "a range runs forwards");
        Self { runs: BTreeMap::from([(first, last)]) }
    }

    /// The lowest number.
    pub(super) fn lowest(&self) -> Option<u128> {
        self.runs.keys().next().copied()
    }

    /// Whether `number` is in the set.
    pub(super) fn contains(&self, number: u128) -> bool {
        self.run_of(number).is_some()
    }

    /// Removes `number`. Says whether it was there.
    pub(super) fn take(&mut self, number: u128) -> bool {
        let Some((first, last)) = self.run_of(number) else { return false };
        self.runs.remove(&first);
        if first < number {
            self.runs.insert(first, number - 1);
        }
        if number < last {
            self.runs.insert(number + 1, last);
        }
        true
    }

    /// Adds `number`. Says whether it was missing.
    pub(super) fn give_back(&mut self, number: u128) -> bool {
        if self.contains(number) {
            return false;
        }
        let before = number.checked_sub(1).and_then(|before| self.run_of(before));
        let after = number.checked_add(1).and_then(|after| self.runs.remove(&after));
        let first = before.map_or(number, |(first, _)| first);
        self.runs.insert(first, after.unwrap_or(number));
        true
    }

    /// The run that `number` is in.
    fn run_of(&self, number: u128) -> Option<(u128, u128)> {
        let (&first, &last) = self.runs.range(..=number).next_back()?;
        (number <= last).then_some((first, last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take(u8),
        TakeLowest,
        GiveBack(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..=20_u8).prop_map(Step::Take),
            Just(Step::TakeLowest),
            (0..=20_u8).prop_map(Step::GiveBack),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Runs hold what a plain set of numbers holds, at either end of what can be counted too,
        /// and are never more than the gaps need.
        #[test]
        fn runs_are_a_set(steps in steps(), base in prop_oneof![Just(0), Just(u128::MAX - 20)]) {
            let mut free = Free::between(base, base + 20);
            let mut model: BTreeSet<u128> = (0..=20).map(|n| base + n).collect();
            for step in steps {
                match step {
                    Step::Take(n) => {
                        let number = base + u128::from(n);
                        prop_assert_eq!(free.take(number), model.remove(&number));
                    }
                    Step::TakeLowest => {
                        prop_assert_eq!(free.lowest(), model.first().copied());
                        if let Some(lowest) = model.pop_first() {
                            prop_assert!(free.take(lowest));
                        }
                    }
                    Step::GiveBack(n) => {
                        let number = base + u128::from(n);
                        prop_assert_eq!(free.give_back(number), model.insert(number));
                    }
                }
                for n in 0..=20 {
                    prop_assert_eq!(free.contains(base + n), model.contains(&(base + n)));
                }
                let starts = |n: &&u128| **n == base || !model.contains(&(**n - 1));
                prop_assert_eq!(free.runs.len(), model.iter().filter(starts).count());
            }
        }
    }

    #[test]
    fn the_whole_number_line_is_a_set_like_any_other() {
        let mut free = Free::between(0, u128::MAX);
        assert!(free.take(0) && free.take(u128::MAX));
        assert_eq!(free.lowest(), Some(1));
        assert!(free.give_back(u128::MAX) && free.give_back(0));
        assert_eq!(free, Free::between(0, u128::MAX));
    }

    #[test]
    fn ten_thousand_taken_from_below_leave_one_run() {
        let mut free = Free::between(0, u128::MAX);
        for number in 0..10_000 {
            assert_eq!(free.lowest(), Some(number));
            free.take(number);
        }
        assert_eq!(free, Free::between(10_000, u128::MAX));
    }
}

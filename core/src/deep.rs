//! Every state of a model, depth first, for scopes whose states do not fit into memory.
//!
//! Breadth first, most of the memory holds whole states that wait for their turn; depth first, those
//! of a way that may be millions of steps long. So only a fingerprint is kept of what was visited, and
//! of the way which action was taken at each step; of its states one in many, from which the others
//! are made again when the search comes back to them. What this cannot do is find a short way to a
//! failure.

#![expect(clippy::disallowed_types, reason = "nothing depends on the order of fingerprints")]

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

use stateright::{Expectation, Model, Property};

/// Of so many states on the way one is kept.
const STRETCH: usize = 256;

/// The way to where the search is.
struct Way<'a, M: Model> {
    model: &'a M,
    /// Which of a state's actions is to be tried next, from the beginning.
    next: Vec<u8>,
    /// The first state of every stretch.
    kept: Vec<M::State>,
    /// The states of the last stretch, with what may happen to them.
    stretch: Vec<(M::State, Vec<M::Action>)>,
}

impl<M: Model> Way<'_, M>
where
    M::State: Clone,
    M::Action: Clone,
{
    fn push(&mut self, state: M::State) {
        if self.next.len().is_multiple_of(STRETCH) {
            self.kept.push(state.clone());
            self.stretch.clear();
        }
        self.next.push(0);
        let mut actions = Vec::new();
        self.model.actions(&state, &mut actions);
        self.stretch.push((state, actions));
    }

    /// The next state that is a step away; goes back where there is no other step.
    fn step(&mut self) -> Option<M::State> {
        loop {
            let next = self.next.last_mut()?;
            let (state, actions) = self.stretch.last().expect("the way has a last stretch");
            if let Some(action) = actions.get(usize::from(*next)) {
                *next += 1;
                let state = self.model.next_state(state, action.clone());
                return Some(state.expect("every action that is offered can be taken"));
            }
            self.next.pop();
            self.stretch.pop();
            if self.stretch.is_empty() {
                self.kept.pop();
                self.restore();
            }
        }
    }

    /// Makes the states of what is the last stretch now.
    fn restore(&mut self) {
        let Some(first) = self.kept.last() else { return };
        let taken = self.next.split_off((self.kept.len() - 1) * STRETCH);
        let mut state = first.clone();
        for next in taken {
            let mut actions = Vec::new();
            self.model.actions(&state, &mut actions);
            let taken = actions[usize::from(next) - 1].clone();
            let after = self.model.next_state(&state, taken);
            self.stretch.push((state, actions));
            self.next.push(next);
            state = after.expect("it was taken before");
        }
    }

    /// What has happened.
    fn actions(&self) -> Vec<M::Action> {
        let mut state = self.kept[0].clone();
        let taken = self.next.iter().map(|next| usize::from(*next) - 1);
        let mut way = Vec::new();
        for taken in taken {
            let mut actions = Vec::new();
            self.model.actions(&state, &mut actions);
            let action = actions.swap_remove(taken);
            state = self.model.next_state(&state, action.clone()).expect("it was taken before");
            way.push(action);
        }
        way
    }
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are numbers")
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Visits every state, and says how many there are. The properties of the model are held to as any
/// checker of `stateright` does, but that none may have to hold at last.
pub(crate) fn explore<M: Model>(model: &M) -> usize
where
    M::State: Clone + Hash,
    M::Action: Clone + Debug,
{
    let properties = model.properties();
    let mut unmet: Vec<&Property<M>> = properties.iter().collect();
    let mut visited = HashSet::<u64, BuildHasherDefault<Itself>>::default();
    for state in model.init_states() {
        let mut way = Way { model, next: Vec::new(), kept: Vec::new(), stretch: Vec::new() };
        let mut next = Some(state);
        while let Some(state) = next {
            if visited.insert(fingerprint(&state)) {
                for property in &properties {
                    let breaks = property.expectation == Expectation::Always
                        && !(property.condition)(model, &state);
                    assert!(!breaks, "not {}: {:?}", property.name, way.actions());
                }
                unmet.retain(|property| !(property.condition)(model, &state));
                way.push(state);
            }
            next = way.step();
        }
    }
    let unmet: Vec<_> = unmet.iter().map(|property| property.name).collect();
    assert!(unmet.is_empty(), "never: {unmet:?}");
    visited.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two dials of so many numbers, each of which goes round.
    struct Dials(u8);

    impl Model for Dials {
        type State = [u8; 2];
        type Action = usize;

        fn init_states(&self) -> Vec<[u8; 2]> {
            vec![[0, 0]]
        }

        fn actions(&self, _: &[u8; 2], actions: &mut Vec<usize>) {
            actions.extend([0, 1]);
        }

        fn next_state(&self, dials: &[u8; 2], turned: usize) -> Option<[u8; 2]> {
            let mut dials = *dials;
            dials[turned] = (dials[turned] + 1) % self.0;
            Some(dials)
        }

        fn properties(&self) -> Vec<Property<Self>> {
            let is_low = |_: &Self, dials: &[u8; 2]| dials.iter().all(|dial| *dial < 50);
            vec![Property::always("low", is_low)]
        }
    }

    #[test]
    fn every_state_is_visited_by_ways_of_many_stretches() {
        assert_eq!(explore(&Dials(50)), 2_500);
    }

    #[test]
    #[should_panic(expected = "not low: [")]
    fn a_state_that_must_not_be_is_found() {
        explore(&Dials(51));
    }
}

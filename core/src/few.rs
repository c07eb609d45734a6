//! A set of few: most Services have one port, and most addresses one holder.
//!
//! A `BTreeSet` of one takes the room of eleven, and there are tens of thousands of them.

use smallvec::SmallVec;

/// A set that is small for most, in the order of its members. Up to one takes no allocation, and each
/// step costs O(n).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Few<T>(SmallVec<[T; 1]>);

impl<T: Ord> Few<T> {
    /// The empty set.
    pub fn new() -> Self {
        Self(SmallVec::new())
    }

    /// Adds a member. Says whether it was none before.
    pub fn insert(&mut self, member: T) -> bool {
        match self.0.binary_search(&member) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, member);
                true
            }
        }
    }

    /// Removes a member. Says whether it was one.
    pub fn remove(&mut self, member: &T) -> bool {
        let found = self.0.binary_search(member);
        found.map(|place| self.0.remove(place)).is_ok()
    }

    /// Whether it has this member.
    pub fn contains(&self, member: &T) -> bool {
        self.0.binary_search(member).is_ok()
    }

    /// Keeps those members of which this holds.
    pub fn retain(&mut self, mut holds: impl FnMut(&T) -> bool) {
        self.0.retain(|member| holds(member));
    }

    /// Whether it has no member in common with another.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).next().is_none()
    }

    /// The members that it has in common with another.
    pub fn intersection<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|member| other.contains(member))
    }

    /// The smallest member.
    pub fn first(&self) -> Option<&T> {
        self.0.first()
    }

    /// The members in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Ord> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Ord> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        for member in members {
            self.insert(member);
        }
    }
}

impl<T: Ord> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let mut few = Self::new();
        few.extend(members);
        few
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for Few<T> {
    fn from(members: [T; N]) -> Self {
        members.into_iter().collect()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = smallvec::IntoIter<[T; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_that_the_standard_library_would_make(
            steps in prop::collection::vec((any::<bool>(), 0_u8..6), 0..24),
            other in prop::collection::btree_set(0_u8..6, 0..6),
        ) {
            let (mut few, mut set) = (Few::new(), BTreeSet::new());
            for (inserts, member) in steps {
                match inserts {
                    true => prop_assert_eq!(few.insert(member), set.insert(member)),
                    false => prop_assert_eq!(few.remove(&member), set.remove(&member)),
                }
                prop_assert!(few.iter().eq(&set));
                prop_assert_eq!((few.len(), few.first()), (set.len(), set.first()));
            }
            let few_other: Few<_> = other.iter().copied().collect();
            prop_assert!(few.intersection(&few_other).eq(set.intersection(&other)));
            prop_assert_eq!(few.is_disjoint(&few_other), set.is_disjoint(&other));
            few.retain(|member| other.contains(member));
            set.retain(|member| other.contains(member));
            prop_assert!(few.iter().eq(&set));
        }
    }
}

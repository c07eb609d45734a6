//! The newest known state of every object of one kind, whatever the order in which it was heard of.
//!
//! A watch, a list and the verdict on a write are three ways to learn of one object, and nothing
//! orders them among each other: the watch may still deliver what a verdict has overtaken. An older
//! version therefore never replaces a newer one, and an object that a verdict has shown to be gone
//! stays gone until the watch has come as far. A write that conflicted shows that what is known is
//! not what the API server has; then the next list counts whatever its versions ([`Store::doubt`]),
//! which also heals a server that was restored from a backup.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    iter,
};

use crate::Version;

/// How many objects are remembered that the watch, or a verdict, said are gone.
pub(crate) const ENDED_MAX: usize = 1024;

/// All objects of one kind, at one version of the world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing<K: Ord, T> {
    /// The `resourceVersion` of the list.
    pub version: Version,
    /// The objects, each at its own version.
    pub objects: BTreeMap<K, (Version, T)>,
}

impl<K: Ord, T> Default for Listing<K, T> {
    fn default() -> Self {
        Self { version: Version::default(), objects: BTreeMap::new() }
    }
}

/// The objects of one kind as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct Store<K: Ord, T> {
    /// Boxed, since the nodes of a map are half empty, and objects are large.
    objects: BTreeMap<K, (Version, Box<T>)>,
    /// Objects that the API server has shown to be at another version than the known one.
    doubted: BTreeSet<K>,
    /// Objects that a verdict said are gone, and the watch did not yet.
    gone: BTreeMap<K, Version>,
    /// Objects that the watch said are gone after what the last list shows: neither a watch that repeats
    /// itself nor an older list brings them back.
    ended: BTreeMap<K, Version>,
    /// The version of the last list: what is older than it and not in it is gone.
    floor: Version,
    /// Whether a list was ever taken in.
    listed: bool,
}

impl<K: Ord + Clone, T: PartialEq> Store<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            doubted: BTreeSet::new(),
            gone: BTreeMap::new(),
            ended: BTreeMap::new(),
            floor: Version::default(),
            listed: false,
        }
    }

    /// Takes in one sighting. Says whether it changed anything that decisions are made of.
    pub(crate) fn apply(&mut self, key: K, version: Version, object: Option<T>) -> bool {
        self.exchange(key, version, object).is_some()
    }

    /// Takes in one sighting. Returns what was known before, if it changed anything that decisions are
    /// made of.
    pub(crate) fn exchange(
        &mut self,
        key: K,
        version: Version,
        object: Option<T>,
    ) -> Option<Option<T>> {
        let known = self.objects.get_mut(&key);
        let ends = [self.gone.get(&key), self.ended.get(&key)];
        let floor = ends.into_iter().flatten().max().copied().unwrap_or(self.floor);
        if version < known.as_ref().map_or(floor, |(version, _)| *version) {
            return None;
        }
        if known.as_ref().is_none_or(|(known, _)| version > *known) {
            self.doubted.remove(&key);
        }
        let had_ended = self.gone.remove(&key).is_some() | self.ended.remove(&key).is_some();
        match (object, known) {
            (Some(object), Some((at, known))) => {
                *at = version;
                let changed = **known != object;
                changed.then(|| Some(std::mem::replace(&mut **known, object)))
            }
            (Some(object), None) => {
                self.objects.insert(key, (version, Box::new(object)));
                Some(None)
            }
            (None, _) => {
                let old = self.objects.remove(&key);
                self.doubted.remove(&key);
                // Of what was never known there is no end of ends: it is nothing to us.
                if old.is_some() || had_ended {
                    remember(&mut self.ended, key, version);
                }
                old.map(|(_, old)| Some(*old))
            }
        }
    }

    /// Takes in an object as a write has left it. Says what [`Self::apply`] says.
    pub(crate) fn apply_written(&mut self, key: K, version: Version, object: Option<T>) -> bool {
        self.exchange_written(key, version, object).is_some()
    }

    /// Takes in an object as a write has left it. Returns what [`Self::exchange`] returns.
    pub(crate) fn exchange_written(
        &mut self,
        key: K,
        version: Version,
        object: Option<T>,
    ) -> Option<Option<T>> {
        // Only what was known is written: if it is not known any more, its end came after the write.
        if !self.objects.contains_key(&key) {
            return None;
        }
        let ends = object.is_none();
        let before = self.exchange(key.clone(), version, object)?;
        if ends {
            remember(&mut self.gone, key, version);
        }
        Some(before)
    }

    /// Takes in a list of the whole kind. Returns the keys of the objects that changed.
    pub(crate) fn replace(&mut self, listing: Listing<K, T>) -> BTreeSet<K> {
        let Listing { version: floor, objects } = listing;
        let doubted = std::mem::take(&mut self.doubted);
        self.gone.retain(|_, gone| floor < *gone);
        self.ended.retain(|_, ended| floor < *ended);
        let ends = [&self.gone, &self.ended];
        let is_news = |(key, (version, _)): &(K, (Version, T))| {
            ends.iter().all(|ends| ends.get(key).is_none_or(|end| version > end))
        };
        let mut listed = objects.into_iter().filter(is_news).peekable();
        let (mut come, mut changed) = (BTreeMap::new(), BTreeSet::new());
        let boxed = |(key, (version, object))| (key, (version, Box::new(object)));
        // Both are in the order of their keys.
        self.objects.retain(|key, (version, object)| {
            come.extend(iter::from_fn(|| listed.next_if(|(other, _)| other < key)).map(boxed));
            let listed = listed.next_if(|(other, _)| other == key).map(|(_, listed)| listed);
            if *version > listed.as_ref().map_or(floor, |(version, _)| *version)
                && !doubted.contains(key)
            {
                return true; // The list was made before what is known already.
            }
            let Some((at, listed)) = listed else {
                changed.insert(key.clone());
                return false;
            };
            *version = at;
            if **object != listed {
                **object = listed;
                changed.insert(key.clone());
            }
            true
        });
        come.append(&mut listed.map(boxed).collect());
        changed.extend(come.keys().cloned());
        self.objects.append(&mut come);
        self.floor = floor;
        self.listed = true;
        changed
    }

    /// Takes in that the API server has shown that an object is no longer at `expected`: if nothing
    /// newer is known, the next list counts, whatever it says.
    pub(crate) fn doubt(&mut self, key: &K, expected: Version) {
        if self.objects.get(key).is_some_and(|(version, _)| *version == expected) {
            self.doubted.insert(key.clone());
        }
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.objects.get(key).map(|(_, object)| &**object)
    }

    /// The object with its name.
    pub(crate) fn entry(&self, key: &K) -> Option<(&K, &T)> {
        self.objects.get_key_value(key).map(|(key, (_, object))| (key, &**object))
    }

    /// The object with the version that a write to it must name.
    pub(crate) fn versioned(&self, key: &K) -> Option<(Version, &T)> {
        self.objects.get(key).map(|(version, object)| (*version, &**object))
    }

    /// Whether the next list counts, whatever it says of an object.
    #[cfg(test)]
    pub(crate) fn doubts(&self, key: &K) -> bool {
        self.doubted.contains(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &T)> + Clone {
        self.objects.iter().map(|(key, (_, object))| (key, &**object))
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// How many are remembered that are gone: by a verdict, and by the watch.
    pub(crate) fn n_gone(&self) -> [usize; 2] {
        [self.gone.len(), self.ended.len()]
    }

    pub(crate) fn n_doubted(&self) -> usize {
        self.doubted.len()
    }

    /// Whether the kind was ever listed: before that, an object that is not here may well exist.
    pub(crate) fn listed(&self) -> bool {
        self.listed
    }
}

/// Remembers that an object is gone; and if there are too many, only the younger half of them.
fn remember<K: Ord>(gone: &mut BTreeMap<K, Version>, key: K, version: Version) {
    gone.insert(key, version);
    if gone.len() > ENDED_MAX {
        let mut versions: Vec<_> = gone.values().copied().collect();
        let (_, middle, _) = versions.select_nth_unstable(ENDED_MAX / 2);
        let middle = *middle;
        gone.retain(|_, version| *version > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(version: u64, objects: &[(&'static str, u64, char)]) -> Listing<&'static str, char> {
        let objects = objects.iter().map(|&(key, v, object)| (key, (Version(v), object))).collect();
        Listing { version: Version(version), objects }
    }

    #[test]
    fn what_a_verdict_has_overtaken_is_dropped() {
        let mut store = Store::new();
        assert!(store.apply("a", Version(7), Some('y')));
        assert!(!store.apply("a", Version(6), Some('x')));
        assert!(!store.apply("a", Version(6), None));
        assert_eq!(store.get(&"a"), Some(&'y'));
    }

    #[test]
    fn what_the_watch_said_is_gone_does_not_come_back_when_it_repeats_itself() {
        let mut store = Store::new();
        store.apply("a", Version(7), Some('y'));
        assert!(store.apply("a", Version(9), None));
        assert!(!store.apply("a", Version(7), Some('y')));
        assert!(!store.apply("a", Version(9), None));
        assert_eq!(store.get(&"a"), None);
        assert!(store.apply("a", Version(10), Some('z')), "it was created again");
    }

    #[test]
    fn what_is_remembered_of_the_gone_has_a_bound() {
        let mut store = Store::new();
        for version in 1..=5_000 {
            store.apply(version, Version(version), Some('x'));
            store.apply(version, Version(version), None);
        }
        assert!(store.ended.len() <= ENDED_MAX);
        assert!(!store.apply(5_000, Version(4_999), Some('x')));
    }

    #[test]
    fn the_end_of_what_was_never_known_is_not_remembered() {
        let mut store = Store::new();
        assert!(!store.apply("a", Version(7), None::<char>));
        assert_eq!(store.n_gone(), [0, 0]);
        store.apply("a", Version(8), Some('x'));
        store.apply("a", Version(9), None);
        assert!(!store.apply("a", Version(10), None), "it is told again");
        assert!(!store.apply("a", Version(9), Some('x')));
    }

    #[test]
    fn a_list_made_before_what_is_known_does_not_take_it_back() {
        let mut store = Store::new();
        store.apply("a", Version(7), Some('y'));
        store.apply("b", Version(8), Some('b'));
        let changed = store.replace(listing(6, &[("a", 5, 'x'), ("c", 6, 'c')]));
        assert_eq!(changed, BTreeSet::from(["c"]));
        assert_eq!(store.get(&"a"), Some(&'y'));
        assert_eq!(store.get(&"b"), Some(&'b'));
    }

    #[test]
    fn an_old_list_does_not_bring_back_what_the_watch_said_is_gone() {
        let mut store = Store::new();
        store.replace(listing(6, &[("a", 5, 'x'), ("b", 6, 'b')]));
        store.apply("a", Version(8), Some('y'));
        assert!(store.apply("a", Version(9), None));
        assert!(store.replace(listing(7, &[("a", 5, 'x'), ("b", 6, 'b')])).is_empty());
        assert!(!store.apply("a", Version(8), Some('y')), "as the watch tells from there");
        assert!(!store.apply("a", Version(9), None));
        assert_eq!(store.get(&"a"), None);
        assert!(store.apply("a", Version(11), Some('z')), "it was created again");
        assert!(store.apply("c", Version(8), Some('c')), "of others any news counts");
    }

    #[test]
    fn what_a_newer_list_leaves_out_is_gone_and_stays_gone() {
        let mut store = Store::new();
        store.apply("a", Version(3), Some('x'));
        assert_eq!(store.replace(listing(9, &[])), BTreeSet::from(["a"]));
        assert!(!store.apply("a", Version(4), Some('x')));
        assert_eq!(store.get(&"a"), None);
    }

    #[test]
    fn an_unchanged_relist_changes_nothing() {
        let mut store = Store::new();
        store.replace(listing(9, &[("a", 3, 'x'), ("b", 4, 'y')]));
        assert!(store.replace(listing(12, &[("a", 3, 'x'), ("b", 4, 'y')])).is_empty());
    }

    #[test]
    fn a_doubted_object_is_taken_from_any_list_and_not_from_old_news() {
        let mut store = Store::new();
        store.apply("a", Version(90), Some('y'));
        store.doubt(&"a", Version(89));
        assert!(store.replace(listing(12, &[("a", 12, 'x')])).is_empty());
        store.doubt(&"a", Version(90));
        assert!(!store.apply("a", Version(12), Some('x')));
        assert_eq!(store.replace(listing(12, &[("a", 12, 'x')])), BTreeSet::from(["a"]));
    }

    #[test]
    fn what_a_verdict_has_ended_does_not_come_back_with_older_news() {
        let mut store = Store::new();
        store.apply("a", Version(7), Some('x'));
        assert!(store.apply_written("a", Version(9), None));
        assert!(!store.apply("a", Version(8), Some('y')));
        assert!(store.replace(listing(8, &[("a", 8, 'y')])).is_empty());
        assert!(!store.apply("a", Version(9), None));
        assert!(store.apply("a", Version(10), Some('z')));
    }

    #[test]
    fn a_verdict_on_what_has_ended_since_brings_nothing_back() {
        let mut store = Store::new();
        store.apply("a", Version(7), Some('x'));
        assert!(store.apply("a", Version(9), None));
        assert!(!store.apply_written("a", Version(8), Some('y')));
        assert_eq!(store.get(&"a"), None);
    }
}

//! The newest known state of every object of one kind, whatever the order in which it was heard of.
//!
//! A watch, a list and the verdict on a write are three ways to learn of one object, and nothing
//! orders them among each other: the watch may still deliver what a verdict has overtaken. An older
//! version therefore never replaces a newer one. A write that conflicted shows that what is known
//! is not what the API server has; then the next sighting counts whatever its version
//! ([`Store::doubt`]), which also heals a server that was restored from a backup.

use std::collections::{BTreeMap, BTreeSet};

use crate::Version;

/// The version of an object of which only a new sighting can tell the version: older than any.
const DOUBTED: Version = Version(0);

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
    objects: BTreeMap<K, (Version, T)>,
    /// The version of the last list: what is older than it and not in it is gone.
    floor: Version,
    /// Whether a list was ever taken in.
    listed: bool,
}

impl<K: Ord + Clone, T: PartialEq> Store<K, T> {
    pub(crate) fn new() -> Self {
        Self { objects: BTreeMap::new(), floor: Version::default(), listed: false }
    }

    /// Takes in one sighting. Says whether it changed anything that decisions are made of.
    pub(crate) fn apply(&mut self, key: K, version: Version, object: Option<T>) -> bool {
        let known = self.objects.get(&key);
        if version < known.map_or(self.floor, |(version, _)| *version) {
            return false;
        }
        match object {
            Some(object) => {
                let changed = known.is_none_or(|(known, old)| *known == DOUBTED || *old != object);
                self.objects.insert(key, (version, object));
                changed
            }
            None => self.objects.remove(&key).is_some(),
        }
    }

    /// Takes in a list of the whole kind. Returns the keys of the objects that changed.
    pub(crate) fn replace(&mut self, listing: Listing<K, T>) -> BTreeSet<K> {
        let Listing { version, mut objects } = listing;
        let mut changed = BTreeSet::new();
        for (key, (known_version, known)) in &self.objects {
            match objects.get(key) {
                Some((version, object)) if version >= known_version => {
                    if object != known || *known_version == DOUBTED {
                        changed.insert(key.clone());
                    }
                }
                // The list was made before what is known already.
                Some(_) => {}
                None if version < *known_version => {}
                None => {
                    changed.insert(key.clone());
                }
            }
        }
        let overtaken = std::mem::take(&mut self.objects);
        changed.extend(objects.keys().filter(|key| !overtaken.contains_key(key)).cloned());
        for (key, known) in overtaken {
            let listed = objects.get(&key).map_or(version, |(version, _)| *version);
            if listed < known.0 {
                objects.insert(key, known);
            }
        }
        self.objects = objects;
        self.floor = version;
        self.listed = true;
        changed
    }

    /// Forgets how new an object is, since the API server has shown that it is no longer at
    /// `expected`: if nothing newer is known, the next sighting counts, whatever it says.
    pub(crate) fn doubt(&mut self, key: &K, expected: Version) {
        if let Some((version, _)) = self.objects.get_mut(key)
            && *version == expected
        {
            *version = DOUBTED;
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        self.objects.get(key).map(|(_, object)| object)
    }

    /// The object with the version that a write to it must name; `None` if that is in doubt.
    pub(crate) fn versioned(&self, key: &K) -> Option<(Version, &T)> {
        let (version, object) = self.objects.get(key)?;
        (*version != DOUBTED).then_some((*version, object))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.objects.iter().map(|(key, (_, object))| (key, object))
    }

    /// Whether the kind was ever listed: before that, an object that is not here may well exist.
    pub(crate) fn listed(&self) -> bool {
        self.listed
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
    fn a_doubted_object_is_taken_from_any_version() {
        let mut store = Store::new();
        store.apply("a", Version(90), Some('x'));
        store.doubt(&"a", Version(89));
        assert!(store.versioned(&"a").is_some());
        store.doubt(&"a", Version(90));
        assert!(store.versioned(&"a").is_none());
        assert!(store.apply("a", Version(12), Some('x')));
    }
}

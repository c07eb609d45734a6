//! The object store: every verb of the API, on JSON objects, with one lock around all of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::history::{Event, EventKind, Watch};
use super::patch::Patch;
use super::resource::{Kind, Resource};
use super::selector::Selectors;
use super::state::{Key, State};
use super::status::Status;
use super::{apply, managed_fields, write};

/// What a list returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The objects, by namespace and name.
    pub items: Vec<Arc<Value>>,
    /// The revision of the store that the list shows; a watch goes on from here.
    pub revision: u64,
}

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subresource {
    /// Everything but the status, if that is a subresource.
    Object,
    /// The status alone.
    Status,
}

/// What must hold for a deletion to go ahead.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Preconditions {
    /// The object must have this UID.
    pub uid: Option<String>,
    /// The object must be at this version.
    pub resource_version: Option<String>,
}

/// What happens to the objects that name the deleted one as their owner.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Propagation {
    /// They are deleted with it.
    #[default]
    Background,
    /// They stay and lose the reference.
    Orphan,
}

/// A handle on the store; clones share the objects.
#[derive(Clone, Debug)]
pub struct Store {
    state: Arc<Mutex<State>>,
    options: Options,
}

/// How a handle writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Options {
    /// Whether writes are only tried.
    pub(crate) dry_run: bool,
    /// Whether an unknown field is an error rather than dropped.
    pub(crate) strict: bool,
    /// Who writes, for `managedFields`; empty for nobody in particular.
    pub(crate) manager: String,
    /// The subresource through which the object is written; empty for none. The status is noted without it.
    pub(crate) facet: &'static str,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// A store with the built-in kinds and the namespaces `default`, `kube-system` and `porter-system`.
    #[must_use]
    pub fn new() -> Self {
        let store = Self { state: Arc::new(Mutex::new(State::new())), options: Options::default() };
        for name in ["default", "kube-system", "porter-system"] {
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            store.create(namespace).expect("a new store has room for its namespaces");
        }
        store
    }

    /// The same store, written to in another way.
    pub(crate) fn with(&self, options: Options) -> Self {
        Self { state: self.state.clone(), options }
    }

    pub(crate) fn kind(&self, resource: &Resource) -> Result<Arc<Kind>, Status> {
        self.lock().kind(resource)
    }

    pub(crate) fn kinds(&self) -> Vec<Arc<Kind>> {
        self.lock().kinds().cloned().collect()
    }

    /// Whether a watch could start at the revision.
    pub(crate) fn remembers(&self, revision: u64) -> Result<(), Status> {
        self.lock().history.reaches(revision)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of a write is a bug that its test shows; readers may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an object; `apiVersion`, `kind` and `metadata` say what and where.
    ///
    /// # Errors
    /// 404 for an unknown kind or namespace, 409 if the name is taken, 422 if the object breaks the rules of its kind.
    pub fn create(&self, object: Value) -> Result<Arc<Value>, Status> {
        let mut state = self.lock();
        let kind = state.kind_of(&object)?;
        let asked = object.clone();
        let mut object = write::created(&state, &kind, object, &self.options)?;
        managed_fields::record(
            &kind,
            None,
            &asked,
            &mut object,
            Subresource::Object,
            &self.options,
        );
        let key = Key::of(kind.collection(), &object);
        if state.get(&key).is_some() {
            return Err(Status::already_exists(&kind.resource, &key.name));
        }
        Ok(self.put(&mut state, &kind, key, object))
    }

    /// One object.
    ///
    /// # Errors
    /// 404 if it is not there.
    pub fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Arc<Value>, Status> {
        let state = self.lock();
        let kind = state.kind(resource)?;
        let found = state.get(&key(&kind, namespace, name)).cloned();
        let found = found.ok_or_else(|| Status::not_found(resource, name))?;
        Ok(kind.of_stored(found))
    }

    /// The selected objects of one kind, in one namespace or in all.
    ///
    /// # Errors
    /// 404 for an unknown kind.
    pub fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selectors: &Selectors,
    ) -> Result<Listing, Status> {
        let state = self.lock();
        let kind = state.kind(resource)?;
        let items = state
            .list(kind.collection(), namespace)
            .filter(|object| selectors.select(object))
            .map(|object| kind.of_stored(object.clone()))
            .collect();
        Ok(Listing { items, revision: state.history.revision() })
    }

    /// Replaces an object by one of the same name, leaving the status alone if that is a subresource. With
    /// `metadata.resourceVersion` in it, only that version is replaced.
    ///
    /// # Errors
    /// 404 if it is not there, 409 if it has changed, 422 if the new one breaks the rules of its kind.
    pub fn replace(&self, object: Value) -> Result<Arc<Value>, Status> {
        self.replace_part(object, Subresource::Object)
    }

    /// Replaces the status of an object, and nothing else. Otherwise as [`Store::replace`].
    ///
    /// # Errors
    /// As [`Store::replace`].
    pub fn replace_status(&self, object: Value) -> Result<Arc<Value>, Status> {
        self.replace_part(object, Subresource::Status)
    }

    fn replace_part(&self, object: Value, part: Subresource) -> Result<Arc<Value>, Status> {
        let mut state = self.lock();
        let kind = state.kind_of(&object)?;
        let text = |field: &str| object["metadata"][field].as_str();
        let key = key(&kind, text("namespace"), text("name").unwrap_or_default());
        self.update(&mut state, &kind, key, part, |_| Ok(object))
    }

    /// Changes an object, or its status, as the patch says.
    ///
    /// # Errors
    /// As [`Store::replace`]; also 400, 415 or 422 for a patch that cannot be applied.
    pub fn patch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        part: Subresource,
        patch: &Patch,
    ) -> Result<Arc<Value>, Status> {
        let mut state = self.lock();
        let kind = state.kind(resource)?;
        let key = key(&kind, namespace, name);
        self.update(&mut state, &kind, key, part, |old| {
            let patched = patch.apply(&kind, old)?;
            write::demand_same(&kind, old, &patched)?;
            Ok(patched)
        })
    }

    fn update(
        &self,
        state: &mut State,
        kind: &Kind,
        key: Key,
        part: Subresource,
        change: impl FnOnce(&Value) -> Result<Value, Status>,
    ) -> Result<Arc<Value>, Status> {
        let old =
            state.get(&key).cloned().ok_or_else(|| Status::not_found(&key.resource, &key.name))?;
        let old = kind.of_stored(old);
        let asked = change(&old)?;
        let mut new = write::updated(state, kind, &old, asked.clone(), part, &self.options)?;
        managed_fields::record(kind, Some(&old), &asked, &mut new, part, &self.options);
        Ok(self.put_changed(state, kind, key, old, new))
    }

    fn put_changed(
        &self,
        state: &mut State,
        kind: &Kind,
        key: Key,
        old: Arc<Value>,
        new: Value,
    ) -> Arc<Value> {
        if managed_fields::is_same_but_times(&new, &old) {
            return old; // A write that changes nothing is no change: no revision, no event.
        }
        self.put(state, kind, key, new)
    }

    fn put(&self, state: &mut State, kind: &Kind, key: Key, object: Value) -> Arc<Value> {
        if self.options.dry_run {
            return Arc::new(object);
        }
        let stored = state.put(key, kind.to_stored(object));
        kind.of_stored(stored)
    }

    /// Applies what one manager wants of an object, or of its status, and says whether that made the object. With
    /// `force`, what other managers want is overruled.
    ///
    /// # Errors
    /// 409 if others want it otherwise; else as [`Store::create`] and [`Store::replace`].
    pub(crate) fn apply(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        part: Subresource,
        config: &Value,
        force: bool,
    ) -> Result<(Arc<Value>, bool), Status> {
        let mut state = self.lock();
        let kind = state.kind(resource)?;
        let key = key(&kind, namespace, name);
        let old = state.get(&key).cloned().map(|old| kind.of_stored(old));
        if old.is_none() && part == Subresource::Status {
            return Err(Status::not_found(resource, name));
        }
        let (object, entries) =
            apply::applied(&kind, old.as_deref(), config, part, &self.options, force)?;
        if let Some(old) = old {
            let mut new = write::updated(&state, &kind, &old, object, part, &self.options)?;
            managed_fields::set(&mut new, entries);
            return Ok((self.put_changed(&mut state, &kind, key, old, new), false));
        }
        let mut object = write::created(&state, &kind, object, &self.options)?;
        managed_fields::set(&mut object, entries);
        Ok((self.put(&mut state, &kind, key, object), true))
    }

    /// Deletes an object. While it has finalizers, or is a namespace or a CustomResourceDefinition that still has
    /// objects, it only gets a `deletionTimestamp`; its last finalizer takes it away. There are no grace
    /// periods: whoever runs a pod holds it with a finalizer.
    ///
    /// # Errors
    /// 404 if it is not there, 409 if a precondition does not hold.
    pub fn delete(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        preconditions: &Preconditions,
        propagation: Propagation,
    ) -> Result<Arc<Value>, Status> {
        let mut state = self.lock();
        let kind = state.kind(resource)?;
        let key = key(&kind, namespace, name);
        let old = state.get(&key).cloned().ok_or_else(|| Status::not_found(resource, name))?;
        preconditions.check(resource, name, &old)?;
        if self.options.dry_run {
            return Ok(kind.of_stored(old));
        }
        let last = state.delete(&key, propagation).unwrap_or(old);
        Ok(kind.of_stored(last))
    }

    /// Watches a collection: what changes after `from`, or, without `from`, what is there and then what changes.
    ///
    /// # Errors
    /// 404 for an unknown kind, 410 if `from` is no longer remembered, 504 if it lies in the future.
    pub fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selectors: &Selectors,
        from: Option<u64>,
    ) -> Result<Watch, Status> {
        let state = self.lock();
        let kind = state.kind(resource)?;
        let mut initial = VecDeque::new();
        match from {
            Some(from) => state.history.reaches(from)?,
            None => initial.extend(
                state
                    .list(kind.collection(), namespace)
                    .filter(|object| selectors.select(object))
                    .map(|object| kind.of_stored(object.clone()))
                    .map(|object| Event { kind: EventKind::Added, object }),
            ),
        }
        let told = from.unwrap_or_else(|| state.history.revision());
        Ok(Watch::new(
            self.clone(),
            state.history.subscribe(),
            kind,
            namespace,
            selectors,
            told,
            initial,
        ))
    }

    /// The revision of the newest change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().history.revision()
    }

    /// Told the revision of every change, of whatever kind.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.lock().history.subscribe()
    }

    /// Forgets the past, as etcd's compaction does: watches that have not told all of it end with 410.
    pub fn compact(&self) {
        self.lock().history.forget();
    }
}

/// Where an object is; the namespace counts only for kinds that have one.
fn key(kind: &Kind, namespace: Option<&str>, name: &str) -> Key {
    let namespace = if kind.namespaced { namespace.unwrap_or("default") } else { "" };
    Key {
        resource: kind.collection().clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

impl Preconditions {
    fn check(&self, resource: &Resource, name: &str, object: &Value) -> Result<(), Status> {
        let (recreated, modified) = ("deleted and then recreated", "modified");
        for (what, field, wanted, happened) in [
            ("UID", "uid", &self.uid, recreated),
            ("ResourceVersion", "resourceVersion", &self.resource_version, modified),
        ] {
            let found = object["metadata"][field].as_str().unwrap_or_default();
            if let Some(wanted) = wanted.as_deref().filter(|&wanted| wanted != found) {
                let why = format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The \
                     object might have been {happened}"
                );
                // It names the kind where others name the resource.
                let kind = object["kind"].as_str().unwrap_or_default();
                let named = Resource::new(resource.group(), kind);
                return Err(Status::conflict(&named, name, why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

//! What is behind the lock: the objects, the kinds, and the one way in which objects come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::authorization::Reviews;
use super::crd;
use super::history::{Change, History};
use super::resource::{Kind, Resource, builtin_kinds};
use super::rules::Allocations;
use super::status::Status;
use super::store::Propagation;
use super::write::now;

/// Where an object is. The namespace is empty for cluster-wide kinds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) resource: Resource,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn of(resource: &Resource, object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { resource: resource.clone(), namespace: text("namespace"), name: text("name") }
    }
}

/// Everything the server knows.
#[derive(Debug)]
pub(crate) struct State {
    kinds: BTreeMap<Resource, Arc<Kind>>,
    objects: BTreeMap<Key, Arc<Value>>,
    pub(crate) history: History,
    pub(crate) allocations: Allocations,
    pub(crate) reviews: Reviews,
}

impl State {
    pub(crate) fn new() -> Self {
        let kinds = builtin_kinds()
            .into_iter()
            .map(|kind| (kind.resource.clone(), Arc::new(kind)))
            .collect();
        Self {
            kinds,
            objects: BTreeMap::new(),
            history: History::new(),
            allocations: Allocations::default(),
            reviews: Reviews::default(),
        }
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }

    pub(crate) fn kind(&self, resource: &Resource) -> Result<Arc<Kind>, Status> {
        self.kinds.get(resource).cloned().ok_or_else(Status::no_such_resource)
    }

    /// The kind that an object says it is of.
    pub(crate) fn kind_of(&self, object: &Value) -> Result<Arc<Kind>, Status> {
        let (api_version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            return Err(Status::bad_request("Object 'Kind' or 'apiVersion' is missing"));
        };
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let known = self.kinds.values().find(|known| {
            known.resource.group() == group
                && known.kind == kind
                && known.version(version).is_some()
        });
        known.cloned().ok_or_else(|| {
            Status::bad_request(format!(
                "no kind {kind:?} is registered for version {api_version:?}"
            ))
        })
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub(crate) fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &Arc<Value>> {
        let start = Key {
            resource: resource.clone(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        self.objects
            .range(start..)
            .take_while(move |(key, _)| {
                key.resource == *resource
                    && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .map(|(_, object)| object)
    }

    /// Stores an object under a new revision; one that was only waiting for its last finalizer goes instead.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        if !object["metadata"]["deletionTimestamp"].is_null() && !self.is_held(&key, &object) {
            self.remove(&key);
            return Arc::new(object);
        }
        let revision = self.history.revision() + 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), new.clone());
        if key.resource == Resource::CRDS {
            self.learn(&new);
        } else if key.resource == Resource::SERVICES {
            self.allocations.handle(old.as_deref(), Some(&new));
        }
        self.history.push(Change { revision, resource: key.resource, old, new: Some(new.clone()) });
        new
    }

    fn learn(&mut self, definition: &Value) {
        let kind = crd::kind(definition);
        self.kinds.insert(kind.resource.clone(), Arc::new(kind));
    }

    /// Deletes an object, or marks it if something holds it. Returns it if it is still there.
    pub(crate) fn delete(&mut self, key: &Key, propagation: Propagation) -> Option<Arc<Value>> {
        let old = self.objects.get(key)?.clone();
        if propagation == Propagation::Orphan {
            self.orphan(&old);
        }
        if old["metadata"]["deletionTimestamp"].is_null() && self.is_held(key, &old) {
            let mut marked = Value::clone(&old);
            marked["metadata"]["deletionTimestamp"] = json!(now());
            marked["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            if let Some(generation) = marked["metadata"]["generation"].as_u64() {
                marked["metadata"]["generation"] = json!(generation + 1);
            }
            if key.resource == Resource::NAMESPACES {
                marked["status"]["phase"] = json!("Terminating");
            }
            self.put(key.clone(), marked);
            for content in self.contents(key, &old) {
                self.delete(&content, Propagation::Background);
            }
            return self.objects.get(key).cloned();
        }
        if self.is_held(key, &old) {
            return Some(old);
        }
        self.remove(key);
        None
    }

    /// Whether an object has to wait before it can go.
    fn is_held(&self, key: &Key, object: &Value) -> bool {
        object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
            || !self.contents(key, object).is_empty()
    }

    /// The objects that cannot be without this one: those in a namespace, those of a defined kind.
    fn contents(&self, key: &Key, object: &Value) -> Vec<Key> {
        if key.resource == Resource::NAMESPACES {
            self.objects.keys().filter(|content| content.namespace == key.name).cloned().collect()
        } else if key.resource == Resource::CRDS {
            let defined = crd::kind(object).resource;
            self.objects.keys().filter(|content| content.resource == defined).cloned().collect()
        } else {
            Vec::new()
        }
    }

    fn remove(&mut self, key: &Key) {
        let Some(old) = self.objects.remove(key) else { return };
        if key.resource == Resource::CRDS {
            self.kinds.remove(&crd::kind(&old).resource);
        } else if key.resource == Resource::SERVICES {
            self.allocations.handle(Some(&old), None);
        }
        let revision = self.history.revision() + 1;
        self.history.push(Change {
            revision,
            resource: key.resource.clone(),
            old: Some(old.clone()),
            new: None,
        });
        self.collect(&old);
        self.release(key);
    }

    /// Deletes what was owned by an object that is gone and by nothing else.
    fn collect(&mut self, owner: &Value) {
        for (key, mut object) in self.owned(owner) {
            if drop_owner(&mut object, owner) {
                self.put(key, object);
            } else {
                self.delete(&key, Propagation::Background);
            }
        }
    }

    /// Takes the owner's name off what it owns.
    fn orphan(&mut self, owner: &Value) {
        for (key, mut object) in self.owned(owner) {
            drop_owner(&mut object, owner);
            self.put(key, object);
        }
    }

    fn owned(&self, owner: &Value) -> Vec<(Key, Value)> {
        let uid = &owner["metadata"]["uid"];
        let is_owned = |object: &Value| owners(object).any(|reference| reference["uid"] == *uid);
        self.objects
            .iter()
            .filter(|(_, object)| is_owned(object))
            .map(|(key, object)| (key.clone(), Value::clone(object)))
            .collect()
    }

    /// Lets go of the namespace or definition that was only waiting for this object to go.
    fn release(&mut self, gone: &Key) {
        let holder = |resource, name| Key { resource, namespace: String::new(), name };
        // A definition is named after what it defines.
        let namespace = holder(Resource::NAMESPACES, gone.namespace.clone());
        let definition = holder(Resource::CRDS, gone.resource.to_string());
        for key in [namespace, definition] {
            let waits = self.objects.get(&key).is_some_and(|object| {
                !object["metadata"]["deletionTimestamp"].is_null() && !self.is_held(&key, object)
            });
            if waits {
                self.remove(&key);
            }
        }
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

/// Takes an owner off an object; says whether it has other owners.
fn drop_owner(object: &mut Value, owner: &Value) -> bool {
    let others: Vec<_> = owners(object)
        .filter(|reference| reference["uid"] != owner["metadata"]["uid"])
        .cloned()
        .collect();
    let any = !others.is_empty();
    if any {
        object["metadata"]["ownerReferences"] = Value::Array(others);
    } else if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
    }
    any
}

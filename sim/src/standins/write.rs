//! What a stand-in wants changed, and how it reaches the store.

use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use crate::apiserver::{Preconditions, Propagation, Resource, Status, Store};

/// One change to one object. The resourceVersion in an object is the change's precondition: what
/// was decided on the past fails, and is decided again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    Create(Value),
    Delete {
        resource: Resource,
        namespace: Option<String>,
        name: String,
        uid: Option<String>,
    },
    /// Replaces everything but the status.
    Replace(Value),
    ReplaceStatus(Value),
}

impl Write {
    pub(super) fn create<K: Serialize>(object: &K) -> Self {
        Self::Create(json(object))
    }

    pub(super) fn delete<K: kube::Resource<DynamicType = ()>>(object: &K) -> Self {
        Self::Delete {
            resource: resource::<K>(),
            namespace: object.namespace(),
            name: object.name_any(),
            uid: object.uid(),
        }
    }

    pub(super) fn replace<K: Serialize>(object: &K) -> Self {
        Self::Replace(json(object))
    }

    pub(super) fn replace_status<K: Serialize>(object: &K) -> Self {
        Self::ReplaceStatus(json(object))
    }

    pub(super) fn apply(self, store: &Store) -> Result<(), Status> {
        match self {
            Self::Create(object) => store.create(object).map(drop),
            Self::Delete { resource, namespace, name, uid } => {
                let preconditions = Preconditions { uid, ..Preconditions::default() };
                let namespace = namespace.as_deref();
                let propagation = Propagation::Background;
                store.delete(&resource, namespace, &name, &preconditions, propagation).map(drop)
            }
            Self::Replace(object) => store.replace(object).map(drop),
            Self::ReplaceStatus(object) => store.replace_status(object).map(drop),
        }
    }
}

/// The collection in which the store keeps objects of type `K`.
pub(super) fn resource<K: kube::Resource<DynamicType = ()>>() -> Resource {
    Resource::new(K::group(&()), K::plural(&()))
}

fn json<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).expect("API objects are plain data")
}

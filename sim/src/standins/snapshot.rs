//! Everything the stand-ins look at, as the store holds it at one moment.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::write::resource;
use crate::apiserver::{Selectors, Store};

pub(super) struct Snapshot {
    pub(super) deployments: Vec<Deployment>,
    pub(super) replica_sets: Vec<ReplicaSet>,
    pub(super) pods: Vec<Pod>,
    pub(super) nodes: Vec<Node>,
    pub(super) services: Vec<Service>,
    pub(super) slices: Vec<EndpointSlice>,
}

impl Snapshot {
    pub(super) fn of(store: &Store) -> Self {
        Self {
            deployments: all(store),
            replica_sets: all(store),
            pods: all(store),
            nodes: all(store),
            services: all(store),
            slices: all(store),
        }
    }

    /// The pods that `owner` controls and that still count: neither leaving nor finished.
    pub(super) fn pods_of<'a, K: Resource>(
        &'a self,
        owner: &'a K,
    ) -> impl Iterator<Item = &'a Pod> {
        let uid = owner.meta().uid.as_deref();
        let counts = |pod: &&Pod| !super::pod::terminating(pod) && !super::pod::finished(pod);
        self.pods.iter().filter(move |pod| super::pod::controller_uid(*pod) == uid).filter(counts)
    }
}

fn all<K>(store: &Store) -> Vec<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let listing = store.list(&resource::<K>(), None, &Selectors::default());
    let items = listing.expect("the store knows the built-in kinds").items;
    items.iter().filter_map(|object| read(object)).collect()
}

/// The object, unless it does not fit its type: then the stand-ins do as if it were not there, and
/// say so.
fn read<K: DeserializeOwned>(object: &Value) -> Option<K> {
    let read = K::deserialize(object);
    let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
    let warn = |error: &serde_json::Error| {
        tracing::warn!(%kind, %name, %error, "object not understood");
    };
    read.inspect_err(warn).ok()
}

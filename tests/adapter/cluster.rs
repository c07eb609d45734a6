//! A cluster in memory, an adapter connected to it, and a gate between them.

use std::{collections::BTreeSet, time::Duration};

use kube::{Config, CustomResourceExt};
use porter_backends::{
    Error,
    kube::{ApiServer, Eip, Timeouts},
    port::Cluster as _,
};
use porter_core::{
    Got, Input, Kind, Namespaced, Read, ReadId, Write, WriteError, WriteId, Written,
};
use porter_sim::apiserver::{Faults, Preconditions, Propagation, Resource, Store, serve_with};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use crate::gate::Gate;

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) gate: Gate,
    server: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Cluster {
    /// One that knows Eips.
    pub(crate) async fn new() -> Self {
        let cluster = Self::bare().await;
        cluster.create(serde_json::to_value(Eip::crd()).expect("a definition is JSON"));
        cluster
    }

    /// One that knows nothing of us.
    pub(crate) async fn bare() -> Self {
        let store = Store::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let faults = Faults::default();
        let server = tokio::spawn(serve_with(store.clone(), faults.clone(), listener));
        Self { store, faults, gate: Gate::before(address).await, server }
    }

    /// An adapter that has told nothing yet, if it can be.
    pub(crate) async fn connect(&self, timeouts: Timeouts) -> Result<ApiServer, Error> {
        let address = format!("http://{}", self.gate.address);
        let config = Config::new(address.parse().expect("it is a URL"));
        let lease = Namespaced::new("porter-system", "porter-speaker");
        ApiServer::connect(config, lease, timeouts).await
    }

    /// An adapter that has told everything there is.
    pub(crate) async fn synced(&self) -> Adapter {
        let mut adapter = self.connected(Timeouts::default()).await;
        adapter.sync().await;
        adapter
    }

    /// An adapter that has told nothing yet.
    pub(crate) async fn connected(&self, timeouts: Timeouts) -> Adapter {
        Adapter { api: self.connect(timeouts).await.expect("the kind Eip is known") }
    }

    /// Creates an object and returns its version.
    pub(crate) fn create(&self, object: Value) -> u64 {
        version(&self.store.create(object).expect("it is a valid object"))
    }

    pub(crate) fn service(&self, name: &str) -> u64 {
        self.create(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] }
        }))
    }

    pub(crate) fn delete(&self, resource: &Resource, namespace: Option<&str>, name: &str) {
        let any = Preconditions::default();
        let deleted = self.store.delete(resource, namespace, name, &any, Propagation::Background);
        deleted.expect("it is there");
    }
}

pub(crate) fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|version| version.parse().ok()).expect("the store numbers its versions")
}

pub(crate) struct Adapter {
    api: ApiServer,
}

impl Adapter {
    /// The next input.
    pub(crate) async fn next(&mut self) -> Input {
        timeout(PATIENCE, self.api.next()).await.expect("something is told in time")
    }

    /// The first input in which something is found; those before it are passed over.
    pub(crate) async fn until<T>(&mut self, mut find: impl FnMut(Input) -> Option<T>) -> T {
        loop {
            if let Some(found) = find(self.next().await) {
                return found;
            }
        }
    }

    /// Waits until every kind was listed.
    pub(crate) async fn sync(&mut self) {
        let mut kinds = BTreeSet::new();
        self.until(|input| {
            kinds.extend(listed(&input));
            (kinds.len() == 6).then_some(())
        })
        .await;
    }

    /// Begins a write.
    pub(crate) fn send(&mut self, write: Write) {
        self.api.write(WriteId(7), write);
    }

    /// The verdict on a write.
    pub(crate) async fn write(&mut self, write: Write) -> Result<Written, WriteError> {
        self.send(write);
        self.until(|input| {
            let Input::Written(WriteId(7), verdict) = input else { return None };
            Some(verdict)
        })
        .await
    }

    /// What a read brings.
    pub(crate) async fn read(&mut self, read: Read) -> Got {
        self.api.read(ReadId(7), read);
        self.until(|input| {
            let Input::Got(ReadId(7), got) = input else { return None };
            Some(got.expect("the API server answers"))
        })
        .await
    }
}

/// The kind that an input tells all objects of.
pub(crate) fn listed(input: &Input) -> Option<Kind> {
    let kinds = [
        (matches!(input, Input::Eips(_)), Kind::Eip),
        (matches!(input, Input::Lease(_)), Kind::Lease),
        (matches!(input, Input::Namespaces(_)), Kind::Namespace),
        (matches!(input, Input::Nodes(_)), Kind::Node),
        (matches!(input, Input::Services(_)), Kind::Service),
        (matches!(input, Input::Slices(_)), Kind::Slice),
    ];
    kinds.into_iter().find_map(|(is, kind)| is.then_some(kind))
}

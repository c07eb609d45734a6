//! A cluster, in memory or real, an adapter connected to it, and a gate between them.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use kube::{
    Api, Client, Config, CustomResourceExt,
    api::{ApiResource, DynamicObject, PostParams},
};
use porter_backends::{
    Error,
    kube::{ApiServer, Eip, Timeouts},
    port::Cluster as _,
};
use porter_core::{
    Event, Got, Input, Kind, Namespaced, Read, ReadError, ReadId, Write, WriteError, WriteId,
    Written,
};
use porter_sim::apiserver::{Faults, Resource, Store, serve_with};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use crate::{envtest::ControlPlane, gate::Gate};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, with a gate that adapters pass on their way to it.
pub(crate) struct Cluster {
    pub(crate) gate: Gate,
    /// Reaches the API server without passing the gate.
    pub(crate) client: Client,
    server: Server,
    /// For whom adapters act, if not for whoever may do everything.
    account: Option<&'static str>,
}

/// Who serves the cluster's API.
enum Server {
    Lab { store: Store, faults: Faults, serving: JoinHandle<()> },
    Real(Box<ControlPlane>),
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Lab { serving, .. } = self {
            serving.abort();
        }
    }
}

impl Cluster {
    /// One that knows Eips; a real one where there is one.
    pub(crate) async fn new() -> Self {
        Self::knowing_eips(Self::bare().await).await
    }

    /// One that knows Eips and can be made to fail.
    pub(crate) async fn of_the_lab() -> Self {
        Self::knowing_eips(Self::lab().await).await
    }

    /// One that knows nothing of us; a real one where there is one.
    pub(crate) async fn bare() -> Self {
        match ControlPlane::start().await {
            Some(plane) => Self {
                gate: Gate::before(plane.address).await,
                client: plane.client(),
                server: Server::Real(Box::new(plane)),
                account: None,
            },
            None => Self::lab().await,
        }
    }

    async fn lab() -> Self {
        let store = Store::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let faults = Faults::default();
        let serving = tokio::spawn(serve_with(store.clone(), faults.clone(), listener));
        Self {
            gate: Gate::before(address).await,
            client: Client::try_from(plain(address)).expect("a client"),
            server: Server::Lab { store, faults, serving },
            account: None,
        }
    }

    async fn knowing_eips(self) -> Self {
        let definition = Eip::crd();
        match &self.server {
            Server::Lab { .. } => {
                self.create(serde_json::to_value(definition).expect("a definition is JSON")).await;
            }
            Server::Real(plane) => plane.define(&definition).await,
        }
        self
    }

    /// The same, with what is in these manifests; adapters may do what that grants an account.
    pub(crate) async fn confined_to(mut self, account: &'static str, manifests: &[&str]) -> Self {
        for manifest in manifests {
            let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).expect("it is YAML");
            for object in objects {
                self.create(object).await;
            }
        }
        self.account = Some(account);
        self
    }

    /// What goes wrong with it.
    pub(crate) fn faults(&self) -> &Faults {
        let Server::Lab { faults, .. } = &self.server else { panic!("a real one works") };
        faults
    }

    /// What it keeps.
    pub(crate) fn store(&self) -> &Store {
        let Server::Lab { store, .. } = &self.server else { panic!("a real one keeps it in etcd") };
        store
    }

    /// Forgets the past.
    pub(crate) fn compact(&self) {
        let Server::Lab { store, .. } = &self.server else { panic!("a real one does so in time") };
        store.compact();
    }

    /// An adapter that has told nothing yet, if it can be.
    pub(crate) async fn connect(&self, timeouts: Timeouts) -> Result<ApiServer, Error> {
        ApiServer::connect(self.config(), lease(), 10_256, "porter-1", timeouts).await
    }

    /// How its API server is reached.
    pub(crate) fn config(&self) -> Config {
        let mut config = match &self.server {
            Server::Lab { .. } => plain(self.gate.address),
            Server::Real(plane) => plane.config(self.gate.address),
        };
        config.auth_info.impersonate = self.account.map(str::to_owned);
        config
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
    pub(crate) async fn create(&self, object: Value) -> u64 {
        let object: DynamicObject = serde_json::from_value(object).expect("it is an object");
        let kind = object.types.as_ref().expect("it says what it is");
        let kind = ApiResource::from_gvk(&kind.try_into().expect("it has a group and a version"));
        let api = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let created = api.create(&PostParams::default(), &object).await;
        let created: DynamicObject = created.expect("it is a valid object");
        number(created.metadata.resource_version.as_deref())
    }

    pub(crate) async fn service(&self, name: &str) -> u64 {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] }
        });
        self.create(service).await
    }

    /// An object of a built-in kind, if it is there.
    pub(crate) async fn find(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let request = http::Request::get(path(resource, namespace, name)).body(Vec::new());
        match self.client.request(request.expect("a request")).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Deletes an object of a built-in kind.
    pub(crate) async fn delete(&self, resource: &Resource, namespace: &str, name: &str) {
        let request = http::Request::delete(path(resource, namespace, name)).body(Vec::new());
        let deleted = self.client.request::<Value>(request.expect("a request")).await;
        deleted.expect("it is there");
    }
}

/// How a client reaches the lab's API server.
fn plain(at: SocketAddr) -> Config {
    Config::new(format!("http://{at}").parse().expect("it is a URL"))
}

fn path(resource: &Resource, namespace: &str, name: &str) -> String {
    let group = match resource.group() {
        "" => "/api/v1".to_owned(),
        group => format!("/apis/{group}/v1"),
    };
    format!("{group}/namespaces/{namespace}/{}/{name}", resource.plural())
}

pub(crate) fn version(object: &Value) -> u64 {
    number(object["metadata"]["resourceVersion"].as_str())
}

fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).expect("versions are numbers")
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

    /// Tells of something that happened.
    pub(crate) fn publish(&mut self, event: Event) {
        self.api.publish(event);
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
        self.try_read(read).await.expect("the API server answers")
    }

    /// Reads what may not be answered.
    pub(crate) async fn try_read(&mut self, read: Read) -> Result<Got, ReadError> {
        self.api.read(ReadId(7), read);
        self.until(|input| {
            let Input::Got(ReadId(7), got) = input else { return None };
            Some(got)
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

/// The Lease that replicas compete for.
pub(crate) fn lease() -> Namespaced {
    Namespaced::new("porter-system", "porter-speaker")
}

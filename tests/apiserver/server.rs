//! A server of its own for each test, on a port of 127.0.0.1 that the kernel picks.

use std::time::Duration;

use kube::{Client, Config};
use porter_sim::apiserver::{Faults, Resource, Store, serve_with};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::envtest::ControlPlane;

/// Longer than anything here takes on the slowest machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The manifest of an Eip.
pub(crate) const EIP: &str = "
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: pool
spec:
  address: 192.0.2.0/28
  interface: eth0
";

/// A store, served until this is dropped.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let store = Store::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let faults = Faults::default();
        let serving = tokio::spawn(serve_with(store.clone(), faults.clone(), listener));
        Self { store, faults, url, serving }
    }

    /// A server that knows the `Eip` kind.
    pub(crate) async fn with_eips() -> Self {
        let server = Self::start().await;
        let definition = <porter_backends::kube::Eip as kube::CustomResourceExt>::crd();
        server.store.create(value(&definition)).expect("the definition is accepted");
        server
    }

    /// The Service `default/web`.
    pub(crate) fn web(&self) -> Value {
        let found = self.store.get(&Resource::SERVICES, Some("default"), "web").expect("there");
        Value::clone(&found)
    }

    pub(crate) fn client(&self) -> Client {
        let url = self.url.parse().expect("a URL");
        Client::try_from(Config::new(url)).expect("a client")
    }

    /// Ends the server, as its owner does by dropping the future.
    pub(crate) async fn stop(mut self) {
        self.serving.abort();
        let ended = (&mut self.serving).await;
        assert!(ended.is_err_and(|ended| ended.is_cancelled()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A server of which nothing is asked but what any does: the lab's, or a real one where there is one.
pub(crate) enum AnyServer {
    Lab(Server),
    Real(Box<ControlPlane>),
}

impl AnyServer {
    pub(crate) async fn start() -> Self {
        match ControlPlane::start().await {
            Some(plane) => Self::Real(Box::new(plane)),
            None => Self::Lab(Server::start().await),
        }
    }

    /// A server that knows the `Eip` kind.
    pub(crate) async fn with_eips() -> Self {
        match ControlPlane::start().await {
            Some(plane) => {
                plane.define(&<porter_backends::kube::Eip as kube::CustomResourceExt>::crd()).await;
                Self::Real(Box::new(plane))
            }
            None => Self::Lab(Server::with_eips().await),
        }
    }

    pub(crate) fn client(&self) -> Client {
        match self {
            Self::Lab(server) => server.client(),
            Self::Real(plane) => plane.client(),
        }
    }
}

pub(crate) fn value<T: kube::core::ResourceExt + serde::Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("an object is JSON")
}

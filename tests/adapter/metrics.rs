//! What a replica tells over HTTP of what it does with an API server.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use porter_backends::{
    http::{Http, LogLevel, Sources},
    link::Responders,
};
use porter_core::{Identity, Namespaced};
use porter_sim::apiserver::{Preconditions, Propagation, Resource};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    agent::{Replica, eventually, objects},
    cluster::Cluster,
};

/// A level that cannot be changed.
#[derive(Debug)]
struct Unchanged;

impl LogLevel for Unchanged {
    fn get(&self) -> String {
        "info".to_owned()
    }

    fn set(&self, _directives: &str) -> Result<(), String> {
        Err("it cannot be changed here".to_owned())
    }
}

/// A replica's page of metrics.
struct Page {
    address: SocketAddr,
    _served: JoinSet<Infallible>,
}

impl Page {
    async fn of(replica: &Replica) -> Self {
        let http = Http::bind("127.0.0.1:0".parse().expect("an address")).await;
        let http = http.expect("loopback has a free port");
        let address = http.address().expect("it is bound");
        let reporter = replica.reporter.clone();
        // Its links are made up, and have no threads.
        let sources = Sources {
            identity: Identity::from("porter-1_0"),
            lease: Namespaced::new("porter-system", "porter-speaker"),
            log_level: Arc::new(Unchanged),
            reporter,
            responders: Responders::none(),
            outcomes: Arc::default(),
        };
        let mut served = JoinSet::new();
        served.spawn(http.serve(sources));
        Self { address, _served: served }
    }

    async fn fetch(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(self.address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("it answers, and closes");
        answer
    }

    /// The value of a series; with labels, as they are written.
    async fn value(&self, series: &str) -> Option<u64> {
        let page = self.fetch("/metrics").await;
        let mut values =
            page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        values.next()?.parse().ok()
    }

    /// Waits until a series has a value.
    async fn comes_to(&self, series: &str, value: u64) {
        eventually(async || (self.value(series).await == Some(value)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_replica_tells_who_leads_what_it_wrote_and_how_full_its_eips_are() {
    let cluster = Cluster::of_the_lab().await;
    for object in objects() {
        cluster.create(object).await;
    }
    let replica = Replica::start(&cluster, "porter-1").await;
    let page = Page::of(&replica).await;
    let used = "porter_eip_addresses_used{eip=\"eip-sample-layer2\"}";

    page.comes_to("porter_leader", 1).await;
    page.comes_to("porter_leader_transitions_total{to=\"leading\"}", 1).await;
    page.comes_to(used, 1).await;
    page.comes_to("porter_eip_addresses{eip=\"eip-sample-layer2\"}", 13).await;
    // Its finalizer, its node, its status.
    let written = "porter_writes_total{kind=\"Service\",verdict=\"Written\"}";
    page.comes_to(written, 3).await;
    let renewed = "porter_lease_margin_seconds_count";
    eventually(async || page.value(renewed).await.filter(|count| *count > 0)).await;
    assert!(page.fetch("/livez").await.ends_with("\r\n\r\nok\n"));
    let ready = page.fetch("/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 503 ") && ready.contains("nothing answers on eth0"),
        "{ready}"
    );

    let delete = |resource: &Resource, namespace, name| {
        let (any, propagation) = (Preconditions::default(), Propagation::Background);
        let deleted = cluster.store().delete(resource, namespace, name, &any, propagation);
        deleted.expect("it is there");
    };
    delete(&Resource::SERVICES, Some("default"), "web");
    page.comes_to(used, 0).await;
    delete(&Resource::new("network.kubesphere.io", "eips"), None, "eip-sample-layer2");
    page.comes_to("porter_eips", 0).await;
    assert_eq!(page.value(used).await, None, "the series goes with the Eip");

    replica.leave().await;
    assert!(page.fetch("/livez").await.contains("this replica has handed over and stops"));
}

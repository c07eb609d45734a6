//! What a whole replica costs the API server: the writes that reach it, Events and the Lease apart.
//! Counted in the lab's API server.
//!
//! | what happens | writes |
//! |---|---|
//! | a Service is created, its endpoints are ready | 3 of the Service, and its share of an Eip write |
//! | its endpoints come later than its reasons are held back | 4 |
//! | its node changes | 2 of the Service |
//! | another replica leads | none |
//! | every kind is listed again | none |

use std::{env, net::IpAddr, time::Duration};

use porter_sim::apiserver::{
    EventKind, Patch, Preconditions, Propagation, Resource, Selectors, Subresource, Watch,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    agent::{EIP, NODE1, NODE3, Replica, eventually, objects},
    cluster::Cluster,
};

/// Longer than anything waits that is written late on purpose.
const SETTLED: Duration = Duration::from_secs(3);

/// Counts what becomes of the objects of a kind.
struct Counter(Watch);

impl Counter {
    fn new(cluster: &Cluster, resource: &Resource) -> Self {
        let from = Some(cluster.store().revision());
        let watch = cluster.store().watch(resource, None, &Selectors::default(), from);
        Self(watch.expect("the kind is known"))
    }

    /// The number of writes since the last call.
    fn count(&mut self) -> usize {
        let mut n_writes = 0;
        while let Some(event) = self.0.try_next().expect("nothing is forgotten yet") {
            n_writes += usize::from(event.kind != EventKind::Added);
        }
        n_writes
    }
}

fn eips() -> Resource {
    Resource::new("network.kubesphere.io", "eips")
}

fn announced(cluster: &Cluster, name: &str) -> Option<()> {
    let service = cluster.store().get(&Resource::SERVICES, Some("default"), name).ok()?;
    let conditions = service["status"]["conditions"].as_array()?.clone();
    let announced = conditions.iter().find(|it| it["type"] == "porter.kubesphere.io/Announced")?;
    (announced["status"] == "True").then_some(())
}

fn move_endpoint(cluster: &Cluster, node: &str) {
    let endpoints = json!({ "endpoints": [{ "addresses": ["10.0.0.1"], "nodeName": node }] });
    let slices = &Resource::ENDPOINTSLICES;
    let patch = Patch::Merge(endpoints);
    let patched =
        cluster.store().patch(slices, Some("default"), "web-1", Subresource::Object, &patch);
    patched.expect("the slice is there");
}

#[tokio::test]
async fn a_service_costs_three_writes_a_move_two_and_a_leader_change_none() {
    let cluster = Cluster::of_the_lab().await;
    let mut services = Counter::new(&cluster, &Resource::SERVICES);
    for object in objects() {
        cluster.create(object).await;
    }
    let mut written_eips = Counter::new(&cluster, &eips());
    let replica = Replica::start(&cluster, "porter-1").await;
    eventually(async || announced(&cluster, "web")).await;
    assert_eq!(services.count(), 3, "a new Service");
    // Its finalizer, and then one status for what it is and what it holds, or two.
    assert!(written_eips.count() <= 3, "a new Eip");

    move_endpoint(&cluster, "node1");
    eventually(async || (replica.answers(EIP) == Some(NODE1)).then_some(())).await;
    sleep(SETTLED).await;
    assert_eq!(services.count(), 2, "a move");

    replica.leave().await;
    let replica = Replica::start(&cluster, "porter-2").await;
    eventually(async || replica.answers(EIP)).await;
    sleep(SETTLED).await;
    assert_eq!((services.count(), written_eips.count()), (0, 0), "a new leader");
    cluster.compact();
    let mut services = Counter::new(&cluster, &Resource::SERVICES);
    let mut written_eips = Counter::new(&cluster, &eips());
    sleep(SETTLED).await;
    assert_eq!((services.count(), written_eips.count()), (0, 0), "lists");

    let any = Preconditions::default();
    let propagation = Propagation::Background;
    let web = (&Resource::SERVICES, Some("default"), "web");
    cluster.store().delete(web.0, web.1, web.2, &any, propagation).expect("it is there");
    eventually(async || cluster.store().get(web.0, web.1, web.2).is_err().then_some(())).await;
    // The deletion itself, the cleared status, and the finalizer.
    assert!(services.count() <= 4, "a deleted Service");
    assert!(replica.answers(EIP).is_none());
    replica.leave().await;
}

/// `PORTER_SERVICES` sets how many Services there are.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "what it counts is worth reading")]
async fn services_that_come_at_once_share_the_writes_of_their_eip() {
    let n_services = env::var("PORTER_SERVICES").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let cluster = Cluster::of_the_lab().await;
    let [node1, node3, mut eip, mut service, slice] = objects();
    // A cluster has 2,768 node ports.
    service["spec"]["allocateLoadBalancerNodePorts"] = json!(false);
    eip["spec"]["address"] = json!("172.22.0.0/16");
    for object in [node1, node3, eip] {
        cluster.create(object).await;
    }
    let named = |object: &Value, name: String| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(name);
        object
    };
    for i in 0..n_services {
        let mut slice = named(&slice, format!("web-{i}-1"));
        slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!(format!("web-{i}"));
        cluster.create(slice).await;
        cluster.create(named(&service, format!("web-{i}"))).await;
    }
    let mut services = Counter::new(&cluster, &Resource::SERVICES);
    let mut written_eips = Counter::new(&cluster, &eips());
    let replica = Replica::start(&cluster, "porter-1").await;
    let (mut n_services_written, mut n_eips_written) = (0, 0);
    // Thousands take their time; what counts is that there is progress.
    while n_services_written < 3 * n_services {
        let before = n_services_written;
        eventually(async || {
            // Counted as they come: the lab's API server remembers only so many changes.
            n_services_written += services.count();
            n_eips_written += written_eips.count();
            (n_services_written > before).then_some(())
        })
        .await;
    }
    for i in 0..n_services {
        eventually(async || announced(&cluster, &format!("web-{i}"))).await;
    }
    n_services_written += services.count();
    eprintln!(
        "{n_services} Services: {n_services_written} writes of them, {n_eips_written} of the Eip"
    );
    assert_eq!(n_services_written, 3 * n_services);
    assert!(n_eips_written * 10 <= n_services, "{n_eips_written} writes of one Eip");
    let first: IpAddr = [172, 22, 0, 0].into();
    // A replica that was kept from renewing by the load has to lead again first.
    assert_eq!(eventually(async || replica.answers(first)).await, NODE3);
    replica.leave().await;
}

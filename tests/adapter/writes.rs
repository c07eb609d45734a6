//! What a write says it did, and what it did.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use porter_backends::kube::Timeouts;
use porter_core::{
    Eip, EipChange, EipName, EipStatus, Few, Got, Identity, Ingress, Input, LeaseRecord,
    MetadataChange, Read, ReadId, Service, ServiceChange, ServiceName, ServiceStatus, Timestamp,
    Version, Write, WriteError, WriteId, Written,
};
use porter_sim::apiserver::{Fault, Requests, Resource, Verb};
use serde_json::{Value, json};

use crate::cluster::{Adapter, Cluster, version};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const FINALIZER: &str = "finalizer.lb.kubesphere.io/v1alpha1";

fn on_service(name: &str, version: u64, change: ServiceChange) -> Write {
    Write::Service(ServiceName::new("default", name), Version(version), change)
}

fn ingress() -> ServiceChange {
    let ingress = vec![Ingress::Address(ADDRESS)];
    ServiceChange::Status(ServiceStatus { ingress, ..ServiceStatus::default() })
}

fn finalizers(finalizers: &[&str]) -> ServiceChange {
    ServiceChange::Metadata(MetadataChange {
        finalizers: Some(finalizers.iter().map(ToString::to_string).collect()),
        ..MetadataChange::default()
    })
}

/// A write of a Service that goes through.
async fn written(adapter: &mut Adapter, write: Write) -> (u64, Option<Service>) {
    match adapter.write(write).await {
        Ok(Written::Service(Version(version), service)) => (version, service),
        other => panic!("{other:?}"),
    }
}

async fn stored(cluster: &Cluster, name: &str) -> Value {
    cluster.find(&Resource::SERVICES, "default", name).await.expect("it is there")
}

#[tokio::test]
async fn a_service_gets_its_metadata_and_its_address() {
    let cluster = Cluster::new().await;
    let created = cluster.service("web").await;
    let mut adapter = cluster.synced().await;

    let change = MetadataChange {
        annotations: vec![("layer2.porter.kubesphere.io/v1alpha1".into(), Some("node1".into()))],
        labels: vec![("eip.porter.kubesphere.io/v1alpha2".into(), Some("pool".into()))],
        finalizers: Some(vec![FINALIZER.into()]),
    };
    let write = on_service("web", created, ServiceChange::Metadata(change));
    let (kept, _) = written(&mut adapter, write).await;
    let write = on_service("web", kept, ingress());
    let (shown, service) = written(&mut adapter, write).await;

    let service = service.expect("it is there");
    assert_eq!(service.ingress, [Ingress::Address(ADDRESS)]);
    let object = stored(&cluster, "web").await;
    assert_eq!(version(&object), shown);
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(object["metadata"]["labels"]["eip.porter.kubesphere.io/v1alpha2"], "pool");
    let annotations = &object["metadata"]["annotations"];
    assert_eq!(annotations["layer2.porter.kubesphere.io/v1alpha1"], "node1");
    assert_eq!(object["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.7");
    assert_eq!(object["spec"]["type"], "LoadBalancer");

    let write = on_service("web", shown, ServiceChange::Status(ServiceStatus::default()));
    let (_, service) = written(&mut adapter, write).await;
    assert!(service.expect("it is there").ingress.is_empty());
}

#[tokio::test]
async fn a_write_based_on_the_past_conflicts_and_changes_nothing() {
    let cluster = Cluster::new().await;
    let created = cluster.service("web").await;
    let mut adapter = cluster.synced().await;
    written(&mut adapter, on_service("web", created, finalizers(&[FINALIZER]))).await;

    for change in [ingress(), finalizers(&[])] {
        let verdict = adapter.write(on_service("web", created, change)).await;
        assert_eq!(verdict.err(), Some(WriteError::Conflict));
    }
    let verdict = adapter.write(on_service("gone", created, ingress())).await;
    assert_eq!(verdict.err(), Some(WriteError::Conflict));

    let object = stored(&cluster, "web").await;
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(object["status"]["loadBalancer"]["ingress"], Value::Null);
}

#[tokio::test]
async fn a_deleted_service_is_gone_with_its_last_finalizer() {
    let cluster = Cluster::new().await;
    let created = cluster.service("web").await;
    let mut adapter = cluster.synced().await;
    written(&mut adapter, on_service("web", created, finalizers(&[FINALIZER]))).await;
    cluster.delete(&Resource::SERVICES, "default", "web").await;
    let deleted = version(&stored(&cluster, "web").await);

    let (_, service) = written(&mut adapter, on_service("web", deleted, finalizers(&[]))).await;

    assert_eq!(service, None);
    assert!(cluster.find(&Resource::SERVICES, "default", "web").await.is_none());
}

#[tokio::test]
async fn an_address_that_is_free_again_goes_from_the_status_of_its_eip() {
    let cluster = Cluster::new().await;
    let created = cluster
        .create(json!({
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "Eip",
            "metadata": { "name": "pool" },
            "spec": { "address": "192.0.2.0/28", "protocol": "layer2", "interface": "eth0" }
        }))
        .await;
    let mut adapter = cluster.synced().await;
    let status = |used: &[u8]| {
        let holder = Few::from([ServiceName::new("default", "web")]);
        let used = used.iter().map(|&last| (IpAddr::from([192, 0, 2, last]), holder.clone()));
        EipStatus { pool_size: 16, used: used.collect(), ..EipStatus::default() }
    };

    let mut at = Version(created);
    for status in [status(&[1, 2]), status(&[2])] {
        let write = Write::Eip(EipName::from("pool"), at, EipChange::Status(status.clone()));
        let Ok(Written::Eip(version, Some(Eip { status: read, address, .. }))) =
            adapter.write(write).await
        else {
            panic!("the status is written");
        };
        assert_eq!((read, address.as_str()), (status, "192.0.2.0/28"));
        at = version;
    }

    let stale = EipChange::Status(status(&[]));
    let verdict = adapter.write(Write::Eip(EipName::from("pool"), Version(created), stale)).await;
    assert_eq!(verdict.err(), Some(WriteError::Conflict));
}

fn record(holder: &str, renewed: i64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(Identity::from(holder)),
        duration: Duration::from_secs(5),
        acquired: Timestamp(1_000_000),
        renewed: Timestamp(renewed),
        transitions: 1,
        released_by: None,
        ..LeaseRecord::default()
    }
}

/// A write of the Lease that goes through.
async fn held(adapter: &mut Adapter, at: Option<Version>, record: &LeaseRecord) -> Version {
    match adapter.write(Write::Lease(at, record.clone())).await {
        Ok(Written::Lease(version, written)) => {
            assert_eq!(written, *record);
            version
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_lease_goes_to_whoever_writes_first() {
    let cluster = Cluster::new().await;
    let (mut a, mut b) = (cluster.synced().await, cluster.synced().await);

    let created = held(&mut a, None, &record("a", 1_000_001)).await;
    let refused = b.write(Write::Lease(None, record("b", 1_000_002))).await;
    assert_eq!(refused.err(), Some(WriteError::Conflict));

    let renewed = held(&mut a, Some(created), &record("a", 2_000_000)).await;
    let refused = b.write(Write::Lease(Some(created), record("b", 2_000_001))).await;
    assert_eq!(refused.err(), Some(WriteError::Conflict));

    let Got::Lease(read) = b.read(Read::Lease).await else { panic!("the Lease was read") };
    assert_eq!(read, Some((renewed, record("a", 2_000_000))));
}

#[tokio::test]
async fn a_lease_that_is_gone_is_not_brought_back_by_a_renewal() {
    let cluster = Cluster::new().await;
    let mut adapter = cluster.synced().await;
    let created = held(&mut adapter, None, &record("a", 1_000_001)).await;

    cluster.delete(&Resource::LEASES, "porter-system", "porter-speaker").await;

    let refused = adapter.write(Write::Lease(Some(created), record("a", 2_000_000))).await;
    assert_eq!(refused.err(), Some(WriteError::Conflict));
    let Got::Lease(read) = adapter.read(Read::Lease).await else { panic!("the Lease was read") };
    assert_eq!(read, None);
}

#[tokio::test]
async fn the_lease_is_watched_from_its_creation_to_its_end() {
    let cluster = Cluster::new().await;
    let (mut holder, mut other) = (cluster.synced().await, cluster.synced().await);

    let released = LeaseRecord {
        holder: None,
        released_by: Some(Identity::from("a")),
        ..record("a", 2_000_000)
    };
    let created = held(&mut holder, None, &record("a", 1_000_001)).await;
    let given_up = held(&mut holder, Some(created), &released).await;
    cluster.delete(&Resource::LEASES, "porter-system", "porter-speaker").await;

    let mut sightings =
        vec![None, Some((given_up, released)), Some((created, record("a", 1_000_001)))];
    other
        .until(|input| {
            let Input::Lease(lease) = input else { return None };
            assert_eq!(Some(lease), sightings.pop());
            sightings.is_empty().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_refusal_is_passed_on_in_the_servers_words() {
    let cluster = Cluster::of_the_lab().await;
    let created = cluster.service("web").await;
    let mut adapter = cluster.synced().await;
    cluster.faults().set(Requests::to(Verb::Patch, Resource::SERVICES), Fault::Forbidden);
    let verdict = adapter.write(on_service("web", created, ingress())).await;
    let words = "services \"web\" is forbidden: the test does not allow it";
    assert_eq!(verdict.err(), Some(WriteError::Forbidden(words.into())));
}

#[tokio::test]
async fn without_an_answer_nobody_knows_and_that_is_said_once() {
    let cluster = Cluster::of_the_lab().await;
    let created = cluster.service("web").await;
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { lease: second, call: second, ..Timeouts::default() };
    let mut adapter = cluster.connected(timeouts).await;
    adapter.sync().await;
    cluster.faults().set(Requests::default(), Fault::Hang);
    cluster.gate.tear();

    for write in [on_service("web", created, ingress()), Write::Lease(None, record("a", 1_000_001))]
    {
        assert_eq!(adapter.write(write).await.err(), Some(WriteError::Unknown));
    }
    cluster.faults().clear();
    adapter
        .until(|input| {
            assert!(!matches!(input, Input::Written(WriteId(_), _) | Input::Got(ReadId(_), _)));
            matches!(input, Input::Services(_)).then_some(())
        })
        .await;
}

//! What is told of the objects, whatever becomes of the connection.

use std::{collections::BTreeSet, time::Duration};

use porter_backends::kube::{Look, Timeouts};
use porter_core::{
    EipName, Got, Input, NamespaceName, NodeName, Read, ServiceName, SliceName, Version,
};
use porter_sim::apiserver::{Fault, Requests, Resource, Selectors, Verb};
use serde_json::json;

use crate::cluster::{Adapter, Cluster, lease, listed};

fn service(name: &str) -> ServiceName {
    ServiceName::new("default", name)
}

/// Waits for a Service, and fails if it is not told by itself.
async fn told_without_a_list(adapter: &mut Adapter, name: &str) -> Version {
    adapter
        .until(|input| {
            assert!(!matches!(input, Input::Lost(_) | Input::Services(_)), "{input:?}");
            let Input::Service(told, version, Some(_)) = input else { return None };
            (told == service(name)).then_some(version)
        })
        .await
}

#[tokio::test]
async fn everything_there_is_is_listed_whole() {
    let cluster = Cluster::new().await;
    let web = Version(cluster.service("web").await);
    cluster
        .create(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node1" } }))
        .await;
    cluster
        .create(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": "shop", "labels": { "tier": "front" } }
        }))
        .await;
    cluster
        .create(json!({
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "Eip",
            "metadata": { "name": "pool" },
            "spec": { "address": "192.0.2.0/28", "protocol": "layer2", "interface": "eth0" }
        }))
        .await;
    cluster
        .create(json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1",
                "namespace": "default",
                "labels": { "kubernetes.io/service-name": "web" }
            },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.0.0.1"] }]
        }))
        .await;

    let mut adapter = cluster.connected(Timeouts::default()).await;

    let mut kinds = BTreeSet::new();
    adapter
        .until(|input| {
            kinds.extend(listed(&input));
            if let Input::Services(services) = &input {
                assert_eq!(services.objects[&service("web")].0, web);
                assert!(services.version >= web);
            }
            if let Input::Namespaces(namespaces) = &input {
                let (_, namespace) = &namespaces.objects[&NamespaceName::from("shop")];
                assert_eq!(namespace.labels.get("tier").map(String::as_str), Some("front"));
            }
            if let Input::Nodes(nodes) = &input {
                assert!(nodes.objects.keys().eq([&NodeName::from("node1")]));
            }
            if let Input::Eips(eips) = &input {
                assert_eq!(eips.objects[&EipName::from("pool")].1.address, "192.0.2.0/28");
            }
            if let Input::Slices(slices) = &input {
                let (_, slice) = &slices.objects[&SliceName::new("default", "web-1")];
                assert_eq!((&slice.service, slice.endpoints.len()), (&service("web"), 1));
            }
            if let Input::Lease(lease) = &input {
                assert_eq!(*lease, None);
            }
            (kinds.len() == 6).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_long_list_is_read_in_parts_and_told_whole_or_not_at_all() {
    const MANY: usize = 501;
    let cluster = Cluster::of_the_lab().await;
    let before = cluster.store().list(&Resource::NAMESPACES, None, &Selectors::default());
    let before = before.expect("the kind is known").items.len();
    for number in 0..MANY {
        let metadata = json!({ "name": format!("team-{number}") });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
        cluster.store().create(namespace).expect("it is a valid object");
    }
    let lists = Requests::to(Verb::List, Resource::NAMESPACES);
    let second = Requests { which: 1..2, ..lists };
    let mut failed = cluster.faults().set(second, Fault::Unavailable);
    let mut adapter = cluster.connected(Timeouts::default()).await;

    let told = adapter.until(|input| {
        let Input::Namespaces(told) = input else { return None };
        Some(told)
    });
    assert_eq!(told.await.objects.len(), before + MANY);
    failed.times(1).await;
}

#[tokio::test]
async fn what_changes_is_told_with_its_version_until_it_is_gone() {
    let cluster = Cluster::new().await;
    let mut adapter = cluster.synced().await;

    let created = cluster.service("web").await;
    assert_eq!(told_without_a_list(&mut adapter, "web").await, Version(created));

    cluster.delete(&Resource::SERVICES, "default", "web").await;
    let gone = adapter
        .until(|input| {
            let Input::Service(_, version, None) = input else { return None };
            Some(version)
        })
        .await;
    assert!(gone > Version(created));
}

#[tokio::test]
async fn a_torn_watch_goes_on_where_it_stopped() {
    let cluster = Cluster::new().await;
    let mut adapter = cluster.synced().await;
    cluster.service("before").await;
    told_without_a_list(&mut adapter, "before").await;

    cluster.gate.freeze();
    cluster.service("meanwhile").await;
    cluster.gate.tear();

    told_without_a_list(&mut adapter, "meanwhile").await;
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_begun_anew() {
    let cluster = Cluster::new().await;
    let timeouts = Timeouts { watch: Duration::from_secs(2), ..Timeouts::default() };
    let mut adapter = cluster.connected(timeouts).await;
    adapter.sync().await;
    cluster.service("before").await;
    told_without_a_list(&mut adapter, "before").await;

    cluster.gate.freeze();
    cluster.service("meanwhile").await;

    told_without_a_list(&mut adapter, "meanwhile").await;
}

#[tokio::test]
async fn what_was_forgotten_meanwhile_is_listed() {
    let cluster = Cluster::of_the_lab().await;
    let mut adapter = cluster.synced().await;
    cluster.service("gone").await;
    told_without_a_list(&mut adapter, "gone").await;

    cluster.gate.freeze();
    cluster.delete(&Resource::SERVICES, "default", "gone").await;
    cluster.service("new").await;
    cluster.compact();
    cluster.gate.tear();

    let services = adapter
        .until(|input| {
            assert!(!matches!(input, Input::Lost(_)), "it could be listed at once");
            let Input::Services(services) = input else { return None };
            Some(services)
        })
        .await;
    assert!(services.objects.contains_key(&service("new")));
    assert!(!services.objects.contains_key(&service("gone")));
}

#[tokio::test]
async fn a_list_that_is_older_than_what_was_told_is_not_told_and_asked_for_again() {
    let cluster = Cluster::of_the_lab().await;
    let mut adapter = cluster.synced().await;
    cluster.service("web").await;
    told_without_a_list(&mut adapter, "web").await;

    let lists = Requests::to(Verb::List, Resource::SERVICES).first();
    let mut old = cluster.faults().set(lists, Fault::Old);
    cluster.gate.freeze();
    cluster.service("new").await;
    cluster.compact();
    cluster.gate.tear();
    old.times(1).await;

    let services = adapter
        .until(|input| {
            let Input::Services(services) = input else { return None };
            Some(services)
        })
        .await;
    for name in ["web", "new"] {
        assert!(services.objects.contains_key(&service(name)), "{services:?}");
    }
}

#[tokio::test]
async fn a_kind_that_cannot_be_watched_is_lost_once_until_it_is_listed_again() {
    let wait = Duration::from_secs(1);
    for outage in [Fault::Unavailable, Fault::TooManyRequests(wait), Fault::Hang] {
        let cluster = Cluster::of_the_lab().await;
        let second = Duration::from_secs(1);
        let timeouts = Timeouts { call: second, list: second, ..Timeouts::default() };
        let mut adapter = cluster.connected(timeouts).await;
        adapter.sync().await;

        let mut outages = cluster.faults().set(Requests::default(), outage);
        cluster.gate.tear();
        outages.times(20).await;

        let mut lost = Vec::new();
        adapter
            .until(|input| {
                let Input::Lost(kind) = input else { return None };
                lost.push(kind);
                (lost.len() == 6).then_some(())
            })
            .await;
        cluster.faults().clear();
        adapter
            .until(|input| {
                assert!(!matches!(input, Input::Lost(_)), "{input:?}");
                lost.retain(|kind| listed(&input) != Some(*kind));
                lost.is_empty().then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn a_read_of_the_services_is_newer_than_the_asking_and_nothing_older_follows() {
    let cluster = Cluster::new().await;
    let mut adapter = cluster.synced().await;
    for name in ["a", "b", "c"] {
        cluster.service(name).await;
    }
    let newest = Version(cluster.service("d").await);

    let Got::Services(services) = adapter.read(Read::Services).await else {
        panic!("Services were read");
    };
    for name in ["a", "b", "c", "d"] {
        assert!(services.objects.contains_key(&service(name)), "{name}");
    }
    assert!(services.version >= newest);

    let next = Version(cluster.service("e").await);
    adapter
        .until(|input| {
            let Input::Service(name, version, _) = input else { return None };
            assert_eq!((name, version), (service("e"), next));
            Some(())
        })
        .await;
}

#[tokio::test]
async fn an_api_server_that_is_away_at_first_is_waited_for() {
    let cluster = Cluster::of_the_lab().await;
    cluster.faults().set(Requests::default(), Fault::Unavailable);
    let mut adapter = cluster.connected(Timeouts::default()).await;
    cluster.faults().clear();
    adapter.sync().await;
}

#[tokio::test]
async fn a_cluster_that_knows_no_eips_is_refused_with_the_remedy() {
    let cluster = Cluster::bare().await;
    let refused = cluster.connect(Timeouts::default()).await.err().expect("there are no Eips");
    assert!(refused.to_string().contains("porter crd | kubectl apply -f -"), "{refused}");
    let looked = Look::at(cluster.config(), &lease()).await;
    let refused = looked.err().expect("there are no Eips");
    assert!(refused.to_string().contains("porter crd | kubectl apply -f -"), "{refused}");
}

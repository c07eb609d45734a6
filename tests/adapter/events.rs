//! What people are told of what happened.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::api::{Api, ListParams};
use porter_core::{About, EipName, ServiceName, Uid};
use porter_sim::apiserver::Resource;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::cluster::{Adapter, Cluster, PATIENCE};

/// How many Events may wait to be told.
const QUEUE_MAX: usize = 1024;

fn assigned(message: &str) -> porter_core::Event {
    let about = About::Service(ServiceName::new("shop", "web"), Some(Uid::from("0b0a7a9c")));
    porter_core::Event { about, warning: false, reason: "AssignIP", message: message.to_owned() }
}

/// A cluster with a namespace of this name, and an adapter.
async fn shop() -> (Cluster, Adapter) {
    let cluster = Cluster::new().await;
    let shop = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    cluster.create(shop).await;
    let adapter = cluster.synced().await;
    (cluster, adapter)
}

/// The Events of ours in a namespace, as soon as there are so many.
async fn told(cluster: &Cluster, namespace: &str, count: usize) -> Vec<Event> {
    let events = Api::namespaced(cluster.client.clone(), namespace);
    let found = async {
        loop {
            let mut events: Vec<Event> =
                events.list(&ListParams::default()).await.expect("they are listed").items;
            events.retain(|event| event.reporting_component.as_deref() == Some("porter-speaker"));
            if events.len() >= count {
                return events;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("they are told in time")
}

fn message(event: &Event) -> &str {
    event.message.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn a_service_is_told_about_in_its_namespace_and_an_eip_in_default() {
    let (cluster, mut adapter) = shop().await;

    adapter.publish(assigned("192.0.2.7 of the Eip pool"));
    adapter.publish(porter_core::Event {
        about: About::Eip(EipName::from("pool"), Some(Uid::from("5d3c"))),
        warning: true,
        reason: "Overlap",
        message: "the older Eip lan has these addresses".to_owned(),
    });

    let event = told(&cluster, "shop", 1).await.remove(0);
    let web = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Service".into()),
        namespace: Some("shop".into()),
        name: Some("web".into()),
        uid: Some("0b0a7a9c".into()),
        ..ObjectReference::default()
    };
    assert_eq!(event.involved_object, web);
    assert_eq!(message(&event), "192.0.2.7 of the Eip pool");
    assert_eq!(event.type_.as_deref(), Some("Normal"));
    assert_eq!(event.reason.as_deref(), Some("AssignIP"));
    assert_eq!(event.reporting_instance.as_deref(), Some("porter-1"));

    let event = told(&cluster, "default", 1).await.remove(0);
    let pool = ObjectReference {
        api_version: Some("network.kubesphere.io/v1alpha2".into()),
        kind: Some("Eip".into()),
        name: Some("pool".into()),
        uid: Some("5d3c".into()),
        ..ObjectReference::default()
    };
    assert_eq!(event.involved_object, pool);
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.reason.as_deref(), Some("Overlap"));
}

#[tokio::test]
async fn what_happens_again_is_counted_and_what_differs_is_told_anew() {
    let (cluster, mut adapter) = shop().await;

    for message in ["192.0.2.7", "192.0.2.8", "192.0.2.7", "192.0.2.7", "192.0.2.9"] {
        adapter.publish(assigned(message));
    }

    let events = told(&cluster, "shop", 3).await;
    let mut counted: Vec<_> = events
        .iter()
        .map(|event| (message(event), event.series.as_ref().and_then(|series| series.count)))
        .collect();
    counted.sort_unstable();
    assert_eq!(counted, [("192.0.2.7", Some(3)), ("192.0.2.8", None), ("192.0.2.9", None)]);
}

#[tokio::test]
async fn an_event_that_was_deleted_is_told_anew_when_it_happens_again() {
    let (cluster, mut adapter) = shop().await;
    adapter.publish(assigned("192.0.2.7"));
    let first = told(&cluster, "shop", 1).await.remove(0);
    let name = first.metadata.name.expect("it has a name");
    cluster.delete(&Resource::EVENTS, "shop", &name).await;

    // The first of these finds nothing to count on, and is lost.
    adapter.publish(assigned("192.0.2.7"));
    adapter.publish(assigned("192.0.2.7"));

    let again = told(&cluster, "shop", 1).await.remove(0);
    assert_eq!((message(&again), &again.series), ("192.0.2.7", &None));
}

#[tokio::test]
async fn more_events_than_may_wait_are_dropped_and_the_others_are_told() {
    let (cluster, mut adapter) = shop().await;

    // As nothing is awaited in between, none of them is taken from the queue.
    for number in 0..2 * QUEUE_MAX {
        adapter.publish(assigned(&number.to_string()));
    }
    told(&cluster, "shop", QUEUE_MAX).await;
    adapter.publish(assigned("the last"));

    let events = told(&cluster, "shop", QUEUE_MAX + 1).await;
    let is_told = |text: &str| events.iter().any(|event| message(event) == text);
    assert_eq!(events.len(), QUEUE_MAX + 1);
    assert!(is_told("0") && is_told("the last"));
    assert!(!is_told(&QUEUE_MAX.to_string()));
}

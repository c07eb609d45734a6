//! Events: written through `events.k8s.io` as kube-rs does, read there and as the core group's, with kubectl too.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{self as core, Node, Service};
use k8s_openapi::api::events::v1 as events;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Error, Resource as _, ResourceExt as _};
use porter_sim::apiserver::Resource;
use serde_json::{Value, json};

use crate::kubectl::{cells, kubectl};
use crate::server::{PATIENCE, Server};

fn recorder(server: &Server) -> Recorder {
    let reporter = Reporter {
        controller: "porter.kubesphere.io/agent".into(),
        instance: Some("porter-1".into()),
    };
    Recorder::new(server.client(), reporter)
}

fn assigned() -> Event {
    Event {
        type_: EventType::Normal,
        reason: "Assigned".into(),
        note: Some("172.22.0.188 of the Eip pool".into()),
        action: "Assign".into(),
        secondary: None,
    }
}

async fn service(server: &Server) -> Service {
    let services: Api<Service> = Api::namespaced(server.client(), "default");
    let service = json!({ "metadata": { "name": "web" }, "spec": { "ports": [{ "port": 80 }] } });
    let service = serde_json::from_value(service).expect("a Service");
    services.create(&PostParams::default(), &service).await.expect("creates")
}

async fn the_only<T>(events: &Api<T>) -> T
where
    T: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut listed = events.list(&ListParams::default()).await.expect("lists").items;
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

#[tokio::test]
async fn what_a_recorder_writes_is_one_event_in_both_groups() {
    let server = Server::start().await;
    let about = service(&server).await.object_ref(&());

    recorder(&server).publish(&assigned(), &about).await.expect("published");

    let newer: events::Event = the_only(&Api::namespaced(server.client(), "default")).await;
    let older: core::Event = the_only(&Api::namespaced(server.client(), "default")).await;
    assert_eq!(newer.metadata, older.metadata);
    assert_eq!(newer.regarding.as_ref(), Some(&older.involved_object));
    assert_eq!(older.involved_object, about);
    assert_eq!(newer.note, older.message);
    assert_eq!(older.message.as_deref(), Some("172.22.0.188 of the Eip pool"));
    assert_eq!(newer.reporting_controller, older.reporting_component);
    assert_eq!(older.reporting_component.as_deref(), Some("porter.kubesphere.io/agent"));
    assert_eq!(newer.reporting_instance, older.reporting_instance);
    assert_eq!(newer.event_time, older.event_time);
    assert!(older.event_time.is_some());
    assert_eq!((newer.type_, newer.action), (older.type_, older.action));
}

#[tokio::test]
async fn what_happens_again_becomes_a_series_of_the_same_event() {
    let server = Server::start().await;
    let about = service(&server).await.object_ref(&());
    let recorder = recorder(&server);

    for _ in 0..3 {
        recorder.publish(&assigned(), &about).await.expect("published");
    }

    let older: core::Event = the_only(&Api::namespaced(server.client(), "default")).await;
    assert_eq!(older.series.and_then(|series| series.count), Some(3));
}

#[tokio::test]
async fn what_is_about_no_namespace_is_found_in_default() {
    let server = Server::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    let node = serde_json::from_value(json!({ "metadata": { "name": "node1" } })).expect("a node");
    let node = nodes.create(&PostParams::default(), &node).await.expect("creates");

    recorder(&server).publish(&assigned(), &node.object_ref(&())).await.expect("published");

    let events: Api<core::Event> = Api::namespaced(server.client(), "default");
    assert_eq!(the_only(&events).await.involved_object.name.as_deref(), Some("node1"));
}

fn older(name: &str, about: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": "default" },
        "involvedObject": { "kind": "Pod", "namespace": "default", "name": about },
        "reason": "Started", "message": "it runs", "type": "Normal", "count": 2,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
        "source": { "component": "kubelet", "host": "node1" },
    })
}

#[tokio::test]
async fn an_older_event_keeps_its_times_and_its_source_under_their_new_names() {
    let server = Server::start().await;
    server.store.create(older("web-1.1", "web-1")).expect("creates");

    let shown =
        server.store.get(&Resource::EVENTS_V1, Some("default"), "web-1.1").expect("is there");

    assert_eq!(shown["apiVersion"], "events.k8s.io/v1");
    assert_eq!(shown["deprecatedCount"], 2);
    assert_eq!(shown["deprecatedFirstTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(shown["deprecatedLastTimestamp"], "2026-01-01T00:00:01Z");
    assert_eq!(shown["deprecatedSource"], json!({ "component": "kubelet", "host": "node1" }));
    let fields = shown.as_object().expect("an object");
    for gone in ["count", "firstTimestamp", "lastTimestamp", "source", "message", "involvedObject"]
    {
        assert!(!fields.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn events_are_selected_by_what_they_are_about_in_the_names_of_each_group() {
    let server = Server::start().await;
    for (name, about) in [("web-1.1", "web-1"), ("web-2.1", "web-2")] {
        server.store.create(older(name, about)).expect("creates");
    }
    let core_events: Api<core::Event> = Api::all(server.client());
    let newer_events: Api<events::Event> = Api::all(server.client());
    let fields = |fields: &str| ListParams::default().fields(fields);

    let selector = "involvedObject.kind=Pod,involvedObject.name=web-2,source=kubelet,type!=Warning";
    let found = core_events.list(&fields(selector)).await.expect("lists").items;
    assert_eq!(found.iter().map(|event| event.name_any()).collect::<Vec<_>>(), ["web-2.1"]);

    let selector = "regarding.kind=Pod,regarding.name=web-1,reason=Started";
    let found = newer_events.list(&fields(selector)).await.expect("lists").items;
    assert_eq!(found.iter().map(|event| event.name_any()).collect::<Vec<_>>(), ["web-1.1"]);

    for refused in [
        newer_events.list(&fields("involvedObject.name=web-1")).await.err(),
        core_events.list(&fields("regarding.name=web-1")).await.err(),
    ] {
        let Some(Error::Api(status)) = refused else { panic!("not refused: {refused:?}") };
        assert_eq!(status.code, 400);
        assert!(status.message.starts_with("field label not supported: "), "{}", status.message);
    }
}

#[tokio::test]
async fn each_group_is_watched_in_its_own_form() {
    let server = Server::start().await;
    let events: Api<events::Event> = Api::namespaced(server.client(), "default");
    let parameters = WatchParams::default().fields("regarding.name=web-2");
    let mut seen = events.watch(&parameters, "0").await.expect("a stream").boxed();
    for (name, about) in [("web-1.1", "web-1"), ("web-2.1", "web-2")] {
        server.store.create(older(name, about)).expect("creates");
    }

    let first = tokio::time::timeout(PATIENCE, seen.next()).await.expect("in time");
    let Some(Ok(WatchEvent::Added(event))) = first else { panic!("{first:?}") };
    assert_eq!(event.note.as_deref(), Some("it runs"));
}

#[tokio::test]
async fn the_newer_form_is_held_to_its_rules() {
    let server = Server::start().await;
    let about = service(&server).await.object_ref(&());
    let events: Api<events::Event> = Api::namespaced(server.client(), "default");
    recorder(&server).publish(&assigned(), &about).await.expect("published");
    let name = the_only(&events).await.name_any();
    let mut mistakes = Vec::new();
    for change in [
        json!({ "note": "something else" }),
        json!({ "regarding": { "name": "other" } }),
        json!({ "series": { "count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z" } }),
        json!({ "deprecatedCount": 1 }),
    ] {
        let change = Patch::Merge(change);
        let refused = events.patch(&name, &PatchParams::default(), &change).await;
        let Err(Error::Api(status)) = refused else { panic!("not refused: {refused:?}") };
        assert_eq!(status.code, 422);
        let causes = status.details.map(|details| details.causes).unwrap_or_default();
        mistakes.extend(causes.into_iter().map(|cause| cause.field));
    }
    assert_eq!(mistakes, ["message", "involvedObject", "series.count", "count"]);

    let mut bare = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "bare", "namespace": "default" },
        "eventTime": null,
    });
    let refused = server.store.create(bare.clone()).expect_err("it says nothing");
    for part in ["eventTime: Required value", "type: Invalid value: \"\": has invalid value: "] {
        assert!(refused.message.contains(part), "{part} in {}", refused.message);
    }
    bare["eventTime"] = json!("2026-01-01T00:00:00.000000Z");
    bare["type"] = json!("Normal");
    let refused = server.store.create(bare).expect_err("it does not say what happened");
    for part in ["reportingController", "reportingInstance", "action", "reason"] {
        let part = format!("{part}: Required value");
        assert!(refused.message.contains(&part), "{part} in {}", refused.message);
    }
}

#[tokio::test]
async fn kubectl_lists_and_describes_what_a_recorder_wrote() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "kubectl_lists_and_describes_what_a_recorder_wrote")
    else {
        return;
    };
    let about = service(&server).await.object_ref(&());
    let recorder = recorder(&server);
    for _ in 0..2 {
        recorder.publish(&assigned(), &about).await.expect("published");
    }

    for list in ["get events", "get events.events.k8s.io"] {
        let table = kubectl.says(list).await;
        let rows = cells(&table);
        assert_eq!(rows[0], ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
        assert_eq!(
            rows[1][1..],
            ["Normal", "Assigned", "service/web", "172.22.0.188 of the Eip pool"]
        );
        assert_eq!(rows.len(), 2, "{table}");
    }
    let events = kubectl.says("events --for service/web").await;
    assert!(events.contains("172.22.0.188 of the Eip pool"), "{events}");
    let described = kubectl.says("describe service web").await;
    let (_, events) = described.split_once("Events:").expect("a section about Events");
    assert!(events.contains("172.22.0.188 of the Eip pool"), "{described}");
    assert!(events.contains("porter.kubesphere.io/agent"), "{described}");
}

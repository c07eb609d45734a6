//! What lists and watches are narrowed to: field selectors of each kind, and objects that come and go for a
//! watcher because they start or cease to be selected.

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Error, Resource, ResourceExt as _};
use porter_backends::kube::Eip;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server};

fn service(name: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "default" },
        "spec": { "type": kind, "ports": [{ "port": 80 }] },
    })
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "nodeName": node, "containers": [{ "name": "a", "image": "b" }] },
    })
}

async fn names<K>(server: &Server, fields: &str) -> Vec<String>
where
    K: Clone + DeserializeOwned + std::fmt::Debug + Resource<DynamicType = ()>,
{
    let listed = Api::<K>::all(server.client()).list(&ListParams::default().fields(fields)).await;
    listed.expect("lists").iter().map(|object| object.name_any()).collect()
}

async fn refusal<K>(server: &Server, fields: &str) -> String
where
    K: Clone + DeserializeOwned + std::fmt::Debug + Resource<DynamicType = ()>,
{
    let list = Api::<K>::all(server.client()).list(&ListParams::default().fields(fields)).await;
    let Err(Error::Api(list)) = list else { panic!("not refused: {list:?}") };
    let watch = WatchParams::default().fields(fields);
    let watch = Api::<K>::all(server.client()).watch(&watch, "0").await;
    let Some(Error::Api(watch)) = watch.err() else { panic!("{fields} can be watched") };
    assert_eq!((list.code, &*list.reason, &list.message), (400, "BadRequest", &watch.message));
    list.message
}

#[tokio::test]
async fn services_are_selected_by_type_and_by_cluster_address() {
    let server = Server::start().await;
    for (name, kind) in [("inner", "ClusterIP"), ("outer", "LoadBalancer")] {
        server.store.create(service(name, kind)).expect("creates");
    }
    assert_eq!(names::<Service>(&server, "spec.type=LoadBalancer").await, ["outer"]);
    assert_eq!(names::<Service>(&server, "spec.type!=LoadBalancer").await, ["inner"]);
    let inner = Api::<Service>::namespaced(server.client(), "default").get("inner").await;
    let address =
        inner.expect("is there").spec.and_then(|spec| spec.cluster_ip).expect("allocated");
    assert_eq!(names::<Service>(&server, &format!("spec.clusterIP={address}")).await, ["inner"]);
    let both = "metadata.name=outer,metadata.namespace=default";
    assert_eq!(names::<Service>(&server, both).await, ["outer"]);
    assert_eq!(names::<Service>(&server, "metadata.namespace=elsewhere").await, [""; 0]);
}

#[tokio::test]
async fn pods_are_selected_by_node_and_by_phase() {
    let server = Server::start().await;
    for (name, node) in [("a", "node1"), ("b", "node3")] {
        server.store.create(pod(name, node)).expect("creates");
    }
    assert_eq!(names::<Pod>(&server, "spec.nodeName=node3").await, ["b"]);
    assert_eq!(names::<Pod>(&server, "spec.nodeName=node3,status.phase=Running").await, [""; 0]);
    assert_eq!(names::<Pod>(&server, "status.phase=Pending").await, ["a", "b"]);
}

#[tokio::test]
async fn a_field_that_a_kind_is_not_selected_by_is_refused_in_the_servers_words() {
    let server = Server::with_eips().await;
    let not_supported = "field label not supported: spec.colour";
    assert_eq!(refusal::<Service>(&server, "spec.colour=red").await, not_supported);
    assert_eq!(refusal::<Eip>(&server, "spec.colour=red").await, not_supported);
    // Neither a node nor an Eip is in a namespace.
    let nowhere = "field label not supported: metadata.namespace";
    assert_eq!(refusal::<Node>(&server, "metadata.namespace=default").await, nowhere);
    assert_eq!(refusal::<Namespace>(&server, "metadata.namespace=default").await, nowhere);
    assert_eq!(refusal::<Eip>(&server, "metadata.namespace=default").await, nowhere);
    let known = "\"spec.colour\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!(refusal::<Lease>(&server, "spec.colour=red").await, known);
}

#[tokio::test]
async fn custom_resources_are_selected_by_what_their_definition_names() {
    let server = Server::with_eips().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
    let name = "eips.network.kubesphere.io";
    let fields = json!([{ "op": "add", "path": "/spec/versions/0/selectableFields",
        "value": [{ "jsonPath": ".spec.interface" }] }]);
    let fields: Patch<Eip> = Patch::Json(serde_json::from_value(fields).expect("a patch"));
    definitions.patch(name, &PatchParams::default(), &fields).await.expect("is accepted");
    for (name, interface) in [("a", "eth0"), ("b", "eth1")] {
        let spec =
            json!({ "address": "192.0.2.0/28", "protocol": "layer2", "interface": interface });
        let eip = json!({
            "apiVersion": "network.kubesphere.io/v1alpha2", "kind": "Eip", "metadata": { "name": name }, "spec": spec,
        });
        server.store.create(eip).expect("creates");
    }
    assert_eq!(names::<Eip>(&server, "spec.interface=eth1").await, ["b"]);
}

#[tokio::test]
async fn what_ceases_to_be_selected_is_deleted_for_its_watcher_and_what_starts_is_added() {
    let server = Server::start().await;
    server.store.create(service("web", "ClusterIP")).expect("creates");
    let services: Api<Service> = Api::namespaced(server.client(), "default");
    let start = services.list(&ListParams::default()).await.expect("lists").metadata;
    let parameters = WatchParams::default().fields("spec.type=LoadBalancer");
    let start = start.resource_version.expect("a version");
    let mut seen = services.watch(&parameters, &start).await.expect("a stream").boxed();
    for change in [
        json!({ "spec": { "type": "LoadBalancer" } }),
        json!({ "metadata": { "labels": { "a": "b" } } }),
        json!({ "spec": { "type": "ClusterIP" } }),
        json!({ "metadata": { "labels": { "a": "c" } } }),
        json!({ "spec": { "type": "LoadBalancer" } }),
    ] {
        let change = Patch::Merge(change);
        services.patch("web", &PatchParams::default(), &change).await.expect("patches");
    }

    let mut told = Vec::new();
    while told.len() < 4 {
        let event = tokio::time::timeout(PATIENCE, seen.next()).await.expect("in time");
        match event.expect("goes on").expect("an event") {
            WatchEvent::Added(service) => told.push(("added", service)),
            WatchEvent::Modified(service) => told.push(("modified", service)),
            WatchEvent::Deleted(service) => told.push(("deleted", service)),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
    let kinds: Vec<_> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["added", "modified", "deleted", "added"]);
    let versions: Vec<u64> = told
        .iter()
        .map(|(_, service)| service.resource_version().expect("a version"))
        .map(|version| version.parse().expect("a number"))
        .collect();
    assert!(versions.is_sorted(), "{versions:?}");
}

//! Strategic merge patches of what Porter and its stand-ins write piece by piece.

use k8s_openapi::api::core::v1::{Node, Service};
use kube::Error;
use kube::api::{Api, Patch, PatchParams, PostParams};
use porter_backends::kube::Eip;
use serde_json::{Value, json};

use crate::server::{Server, value};

async fn with_status(server: &Server, status: Value) -> Api<Service> {
    let services: Api<Service> = Api::namespaced(server.client(), "default");
    let service = json!({
        "metadata": { "name": "web" },
        "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] },
    });
    let service = serde_json::from_value(service).expect("a Service");
    services.create(&PostParams::default(), &service).await.expect("creates");
    let patch = Patch::Merge(json!({ "status": status }));
    services.patch_status("web", &PatchParams::default(), &patch).await.expect("patches");
    services
}

async fn patched(services: &Api<Service>, patch: Value) -> Value {
    let patch = Patch::Strategic(patch);
    let written = services.patch_status("web", &PatchParams::default(), &patch).await;
    value(&written.expect("patches"))["status"].take()
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn conditions_of_a_service_are_merged_by_type_and_its_addresses_replaced() {
    let server = Server::start().await;
    let theirs = condition("example.com/Theirs", "True", "Kept");
    let services = with_status(
        &server,
        json!({
            "loadBalancer": { "ingress": [{ "ip": "192.0.2.1", "ipMode": "VIP" }, { "ip": "192.0.2.2" }] },
            "conditions": [theirs, condition("porter/Served", "False", "NoEndpoint")],
        }),
    )
    .await;

    let ours = condition("porter/Served", "True", "Elected");
    let status = patched(
        &services,
        json!({ "status": {
            "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] }, "conditions": [ours],
        } }),
    )
    .await;

    assert_eq!(status["conditions"], json!([theirs, ours]));
    assert_eq!(status["loadBalancer"], json!({ "ingress": [{ "ip": "192.0.2.1" }] }));
}

#[tokio::test]
async fn a_condition_is_added_changed_in_part_and_taken_away_without_the_others() {
    let server = Server::start().await;
    let theirs = condition("example.com/Theirs", "True", "Kept");
    let services = with_status(&server, json!({ "conditions": [theirs] })).await;

    let ours = condition("porter/Served", "False", "NoEndpoint");
    // What is new comes first, as on a real server.
    let added = patched(&services, json!({ "status": { "conditions": [ours] } })).await;
    assert_eq!(added["conditions"], json!([ours, theirs]));

    let part = json!({ "type": "porter/Served", "reason": "NoLink" });
    let changed = patched(&services, json!({ "status": { "conditions": [part] } })).await;
    let expected = condition("porter/Served", "False", "NoLink");
    assert_eq!(changed["conditions"], json!([expected, theirs]));

    let gone = json!({ "type": "porter/Served", "$patch": "delete" });
    let taken = patched(&services, json!({ "status": { "conditions": [gone] } })).await;
    assert_eq!(taken["conditions"], json!([theirs]));
}

#[tokio::test]
async fn a_patch_of_the_status_reaches_nothing_but_the_status() {
    let server = Server::start().await;
    let services = with_status(&server, json!({})).await;

    let patch = json!({
        "spec": { "type": "ClusterIP" },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } },
    });
    patched(&services, patch).await;

    let service = value(&services.get("web").await.expect("reads"));
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert_eq!(service["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
    let last =
        patched(&services, json!({ "status": { "loadBalancer": { "ingress": null } } })).await;
    assert_eq!(last["loadBalancer"].get("ingress"), None);
}

#[tokio::test]
async fn metadata_goes_with_the_status_of_a_service_but_not_of_an_eip() {
    let server = Server::with_eips().await;
    let services = with_status(&server, json!({})).await;
    let patch = Patch::Merge(json!({
        "metadata": { "annotations": { "a": "b" }, "uid": null }, "status": { "conditions": [] },
    }));
    let written = services.patch_status("web", &PatchParams::default(), &patch).await;
    let written = value(&written.expect("patches"));
    assert_eq!(written["metadata"]["annotations"], json!({ "a": "b" }));
    assert!(written["metadata"]["uid"].is_string());

    let eips: Api<Eip> = Api::all(server.client());
    let spec = json!({ "address": "192.0.2.0/28", "interface": "eth0" });
    let pool = json!({
        "apiVersion": "network.kubesphere.io/v1alpha2", "kind": "Eip",
        "metadata": { "name": "pool" }, "spec": spec,
    });
    server.store.create(pool).expect("creates");
    let written = eips.patch_status("pool", &PatchParams::default(), &patch).await;
    assert_eq!(value(&written.expect("patches"))["metadata"].get("annotations"), None);
}

#[tokio::test]
async fn a_patch_of_the_status_that_names_another_version_conflicts() {
    let server = Server::start().await;
    let services = with_status(&server, json!({})).await;
    let patch = json!({
        "metadata": { "resourceVersion": "1" },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } },
    });
    let refused =
        services.patch_status("web", &PatchParams::default(), &Patch::Strategic(patch)).await;
    match refused {
        Err(Error::Api(status)) => assert_eq!((status.code, &*status.reason), (409, "Conflict")),
        other => panic!("no conflict: {other:?}"),
    }
}

#[tokio::test]
async fn conditions_and_addresses_of_a_node_are_merged_by_type() {
    let server = Server::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status });
    let address = |type_: &str, address: &str| json!({ "type": type_, "address": address });
    let node = json!({ "metadata": { "name": "node1" }, "status": {
        "conditions": [condition("MemoryPressure", "False"), condition("Ready", "True")],
        "addresses": [address("InternalIP", "192.0.2.1"), address("Hostname", "node1")],
    } });
    let node = serde_json::from_value(node).expect("a Node");
    nodes.create(&PostParams::default(), &node).await.expect("creates");

    let patch = Patch::Strategic(json!({ "status": {
        "conditions": [condition("Ready", "Unknown")],
        "addresses": [address("InternalIP", "192.0.2.9")],
    } }));
    let written =
        nodes.patch_status("node1", &PatchParams::default(), &patch).await.expect("patches");

    let status = value(&written)["status"].take();
    let conditions = [condition("MemoryPressure", "False"), condition("Ready", "Unknown")];
    assert_eq!(status["conditions"], json!(conditions));
    let addresses = [address("InternalIP", "192.0.2.9"), address("Hostname", "node1")];
    assert_eq!(status["addresses"], json!(addresses));
}

#[tokio::test]
async fn a_custom_resource_has_no_strategic_merge_patch() {
    let server = Server::with_eips().await;
    let eips: Api<Eip> = Api::all(server.client());
    let patch = Patch::Strategic(json!({ "status": { "usage": 1 } }));
    match eips.patch_status("pool", &PatchParams::default(), &patch).await {
        Err(Error::Api(status)) => {
            assert_eq!((status.code, &*status.reason), (415, "UnsupportedMediaType"));
            assert!(status.message.contains("application/merge-patch+json"), "{}", status.message);
        }
        other => panic!("not refused: {other:?}"),
    }
}

//! Server-side apply, as kube-rs and kubectl do it.

use k8s_openapi::api::core::v1::Service;
use kube::Error;
use kube::api::{Api, Patch, PatchParams, PostParams};
use porter_backends::kube::Eip;
use serde_json::{Value, json};

use crate::kubectl::{kubectl, other_versions};
use crate::server::{EIP, Server, value};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: LoadBalancer
  selector: { app: web }
  ports:
    - { name: http, port: 80 }
";

/// The managers of an object, each with how it came to its fields.
fn managers(object: &Value) -> Vec<(String, String)> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut managers: Vec<_> =
        entries.map(|entry| (text(&entry["manager"]), text(&entry["operation"]))).collect();
    managers.sort();
    managers
}

fn pair(manager: &str, operation: &str) -> (String, String) {
    (manager.to_owned(), operation.to_owned())
}

#[tokio::test]
async fn a_custom_resource_is_applied_field_by_field() {
    let server = Server::with_eips().await;
    let eips: Api<Eip> = Api::all(server.client());
    let config = |spec: Value| {
        Patch::Apply(json!({
            "apiVersion": "network.kubesphere.io/v1alpha2", "kind": "Eip",
            "metadata": { "name": "pool" }, "spec": spec,
        }))
    };
    let apply = |manager: &str| PatchParams::apply(manager);
    let full = config(json!({ "address": "192.0.2.0/28", "interface": "eth0" }));
    eips.patch("pool", &apply("a"), &full).await.expect("creates");

    let disabled = config(json!({ "disable": true }));
    let both = eips.patch("pool", &apply("b"), &disabled).await.expect("no conflict");
    assert_eq!((both.spec.interface.as_deref(), both.spec.disable), (Some("eth0"), true));

    let moved = config(json!({ "interface": "eth1" }));
    match eips.patch("pool", &apply("b"), &moved).await {
        Err(Error::Api(status)) => {
            assert_eq!((status.code, &*status.reason), (409, "Conflict"));
            let message = "Apply failed with 1 conflict: conflict with \"a\": .spec.interface";
            assert_eq!(status.message, message);
        }
        other => panic!("no conflict: {other:?}"),
    }
    let forced = eips.patch("pool", &apply("b").force(), &moved).await.expect("overrules");
    assert_eq!((forced.spec.interface.as_deref(), forced.spec.disable), (Some("eth1"), false));

    let status = json!({
        "apiVersion": "network.kubesphere.io/v1alpha2", "kind": "Eip", "status": { "usage": 3 },
    });
    let written = eips.patch_status("pool", &apply("porter"), &Patch::Apply(status)).await;
    let written = value(&written.expect("applies"));
    assert_eq!(written["status"]["usage"], 3);
    let entries = written["metadata"]["managedFields"].as_array().expect("entries");
    let porter = entries.iter().find(|entry| entry["manager"] == "porter").expect("an entry");
    assert_eq!(porter["subresource"], "status");
    assert_eq!(porter["fieldsV1"], json!({ "f:status": { "f:usage": {} } }));
}

#[tokio::test]
async fn an_apply_says_who_applies_and_other_patches_cannot_force() {
    let server = Server::start().await;
    let http = kube::Config::new(server.url.parse().expect("a URL"));
    let client = kube::Client::try_from(http).expect("a client");
    let send = |query: &str, media: &str| {
        let request =
            http::Request::patch(format!("/api/v1/namespaces/default/services/web{query}"))
                .header("Content-Type", media)
                .body(b"{}".to_vec())
                .expect("a request");
        let client = client.clone();
        async move {
            match client.request::<Value>(request).await {
                Err(Error::Api(status)) => (status.code, status.message.clone()),
                other => panic!("not refused: {other:?}"),
            }
        }
    };

    let (code, message) = send("", "application/apply-patch+yaml").await;
    assert_eq!(code, 422);
    let expected = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
    assert_eq!(message, expected);

    let (code, message) = send("?force=true", "application/merge-patch+json").await;
    assert_eq!(code, 422);
    let expected = "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch";
    assert_eq!(message, expected);

    let (code, message) = send("?fieldManager=a", "application/apply-patch+yaml").await;
    assert_eq!((code, &*message), (400, "invalid object type: /, Kind="));
}

#[tokio::test]
async fn a_client_that_does_not_name_itself_is_known_by_its_user_agent() {
    let server = Server::start().await;
    let mut config = kube::Config::new(server.url.parse().expect("a URL"));
    config
        .headers
        .push((http::header::USER_AGENT, "porter/v0.1 (linux)".parse().expect("a header")));
    let services: Api<Service> =
        Api::namespaced(kube::Client::try_from(config).expect("a client"), "default");
    let service = json!({ "metadata": { "name": "web" }, "spec": { "ports": [{ "port": 80 }] } });
    let service = serde_json::from_value(service).expect("a Service");

    let created = services.create(&PostParams::default(), &service).await.expect("creates");
    assert_eq!(managers(&value(&created)), [pair("porter", "Update")]);

    let named = PatchParams { field_manager: Some("by-hand".to_owned()), ..PatchParams::default() };
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    let labelled = services.patch("web", &named, &label).await.expect("patches");
    let expected = [pair("by-hand", "Update"), pair("porter", "Update")];
    assert_eq!(managers(&value(&labelled)), expected);
}

#[tokio::test]
async fn kubectl_applies_on_the_server_and_is_told_of_conflicts() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "server-side apply") else { return };

    let created = kubectl.reads("apply --server-side -f -", SERVICE).await;
    assert_eq!(created, "service/web serverside-applied\n");
    assert_eq!(managers(&server.web()), [pair("kubectl", "Apply")]);
    let eip = kubectl.reads("apply --server-side -f -", EIP).await;
    assert_eq!(eip, "eip.network.kubesphere.io/pool serverside-applied\n");

    kubectl
        .says("patch svc web -p {\"spec\":{\"ports\":[{\"port\":80,\"name\":\"other\"}]}}")
        .await;
    let refused = kubectl.fails("apply --server-side -f -", SERVICE).await;
    let conflict = "Apply failed with 1 conflict: conflict with \"kubectl-patch\" using v1: .spec.ports[port=80,protocol=\"TCP\"].name";
    assert!(refused.contains(conflict), "{refused}");
    assert!(
        refused.contains("Please review the fields above--they currently have other managers."),
        "{refused}"
    );

    let forced = kubectl.reads("apply --server-side --force-conflicts -f -", SERVICE).await;
    assert_eq!(forced, "service/web serverside-applied\n");
    assert_eq!(server.web()["spec"]["ports"][0]["name"], "http");
    let misspelt =
        kubectl.fails("apply --server-side -f -", &SERVICE.replace("selector", "selectr")).await;
    assert!(misspelt.contains(".spec.selectr: field not declared in schema"), "{misspelt}");
}

#[tokio::test]
async fn a_dry_run_on_the_server_answers_as_if_and_stores_nothing() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "server-side dry run") else { return };

    let line = "apply --server-side --dry-run=server -o jsonpath={.spec.clusterIP} -f -";
    assert!(kubectl.reads(line, SERVICE).await.starts_with("10.233."));
    let line = "apply --dry-run=server -f -";
    assert_eq!(kubectl.reads(line, SERVICE).await, "service/web created (server dry run)\n");
    assert_eq!(kubectl.says("get svc -o name").await, "");

    kubectl.reads("apply --server-side -f -", SERVICE).await;
    let before = server.web();
    let changed = SERVICE.replace("app: web", "app: other");
    kubectl.reads("apply --server-side --dry-run=server -f -", &changed).await;
    assert_eq!(server.web(), before);
}

#[tokio::test]
async fn an_object_applied_by_the_client_moves_to_the_server() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "migration to server-side apply") else { return };
    kubectl.reads("apply -f -", SERVICE).await;
    assert_eq!(managers(&server.web()), [pair("kubectl-client-side-apply", "Update")]);

    let changed = SERVICE.replace("app: web", "app: other");
    let applied = kubectl.reads("apply --server-side -f -", &changed).await;

    assert_eq!(applied, "service/web serverside-applied\n");
    assert_eq!(server.web()["spec"]["selector"], json!({ "app": "other" }));
    // The annotation stays in step, so that the client can go back.
    assert_eq!(
        managers(&server.web()),
        [pair("kubectl", "Apply"), pair("kubectl-last-applied", "Apply")]
    );
    let back = kubectl.reads("apply -f -", SERVICE).await;
    assert_eq!(back, "service/web configured\n");
    assert_eq!(server.web()["spec"]["selector"], json!({ "app": "web" }));
}

#[tokio::test]
async fn who_manages_what_is_shown_to_those_who_ask() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "managed fields") else { return };
    kubectl.reads("apply --server-side --field-manager=deployer -f -", SERVICE).await;
    let hidden = kubectl.says("get svc web -o yaml").await;
    assert!(!hidden.contains("managedFields"), "{hidden}");
    let shown = kubectl.says("get svc web -o yaml --show-managed-fields").await;
    assert!(shown.contains("manager: deployer"), "{shown}");
    assert!(shown.contains("k:{\"port\":80,\"protocol\":\"TCP\"}:"), "{shown}");
}

#[tokio::test]
async fn every_kubectl_at_hand_applies_on_the_server_and_shows_the_difference() {
    let server = Server::with_eips().await;
    for kubectl in other_versions(&server) {
        let name = kubectl.name();
        let applied = kubectl.reads("apply --server-side -f -", SERVICE).await;
        assert_eq!(applied, "service/web serverside-applied\n", "{name}");
        let other = SERVICE.replace("name: http", "name: other");
        let refused = kubectl.fails("apply --server-side --field-manager=b -f -", &other).await;
        assert!(refused.contains("conflict with \"kubectl\""), "{name}: {refused}");
        let shown = kubectl.run_with("diff --server-side -f -", &other).await;
        assert!(shown.out.contains("-  - name: http\n+  - name: other"), "{name}: {shown:?}");
        kubectl.reads("delete -f -", SERVICE).await;
    }
}

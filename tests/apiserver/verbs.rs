//! kubectl's ways to change an object, to see what would change, and to wait until something has.

use porter_sim::apiserver::{Patch, Resource, Subresource};
use serde_json::{Value, json};

use crate::kubectl::{Kubectl, kubectl};
use crate::server::{EIP, PATIENCE, Server};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata:
  name: web
  labels: { app: web }
spec:
  type: LoadBalancer
  selector: { app: web }
  ports:
    - { name: http, port: 80 }
    - { name: https, port: 443 }
";

fn patch_status(server: &Server, status: Value) {
    let patch = Patch::Merge(json!({ "status": status }));
    server
        .store
        .patch(&Resource::SERVICES, Some("default"), "web", Subresource::Status, &patch)
        .expect("patches");
}

/// Runs kubectl with an editor that makes one substitution.
async fn edits(kubectl: &Kubectl, line: &str, substitution: &str) -> (bool, String) {
    let mut command = kubectl.command(line);
    command.env("KUBE_EDITOR", format!("sed -i '{substitution}'"));
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("kubectl ends within a minute").expect("kubectl's output");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("kubectl prints text"))
}

#[tokio::test]
async fn a_difference_is_shown_and_nothing_is_changed() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "diff") else { return };
    kubectl.reads("apply -f -", SERVICE).await;
    kubectl.reads("apply -f -", EIP).await;
    let before = server.web();

    assert_eq!(kubectl.reads("diff -f -", SERVICE).await, "");
    assert_eq!(kubectl.reads("diff -f -", EIP).await, "");
    let shown = kubectl.run_with("diff -f -", &SERVICE.replace("443", "8443")).await;
    assert!(!shown.succeeded, "{shown:?}");
    assert!(
        shown.out.contains("-    port: 443") && shown.out.contains("+    port: 8443"),
        "{shown:?}"
    );
    let shown = kubectl.run_with("diff -f -", &EIP.replace("eth0", "eth1")).await;
    assert!(shown.out.contains("-  interface: eth0\n+  interface: eth1"), "{shown:?}");
    let shown = kubectl
        .run_with("diff --server-side -f -", &SERVICE.replace("web }\n  ports", "x }\n  ports"))
        .await;
    assert!(shown.out.contains("-    app: web\n+    app: x"), "{shown:?}");
    let shown = kubectl.run_with("diff -f -", &EIP.replace("name: pool", "name: new")).await;
    assert!(shown.out.contains("+  name: new"), "{shown:?}");

    assert_eq!(server.web(), before);
}

#[tokio::test]
async fn an_edited_object_is_stored_and_a_wrong_edit_is_not() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "edit") else { return };
    kubectl.reads("create -f -", SERVICE).await;
    kubectl.reads("create -f -", EIP).await;

    let (edited, said) = edits(&kubectl, "edit svc web", "s/port: 443$/port: 8443/").await;
    assert!(edited && said == "service/web edited\n", "{said}");
    assert_eq!(server.web()["spec"]["ports"][1]["port"], 8443);
    assert_eq!(server.web()["spec"]["ports"][0]["port"], 80);
    let (edited, said) = edits(&kubectl, "edit eip pool", "s/eth0/eth1/").await;
    assert!(edited && said == "eip.network.kubesphere.io/pool edited\n", "{said}");
    let (edited, said) = edits(&kubectl, "edit svc web", "s/nothing/else/").await;
    assert!(edited && said == "Edit cancelled, no changes made.\n", "{said}");

    let before = server.web();
    let (edited, said) = edits(&kubectl, "edit svc web", "s/8443/99999/").await;
    assert!(!edited && said.contains("services \"web\" is invalid"), "{said}");
    assert_eq!(server.web(), before);
    let (edited, said) =
        edits(&kubectl, "edit eip pool --subresource=status", "$astatus:\\n  usage: 3").await;
    assert!(edited, "{said}");
    assert_eq!(kubectl.says("get eip pool -o jsonpath={.status.usage}").await, "3");
}

#[tokio::test]
async fn an_object_is_replaced_as_it_is_or_anew() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "replace") else { return };
    let missing = kubectl.fails("replace -f -", SERVICE).await;
    assert!(missing.contains("services \"web\" not found"), "{missing}");
    kubectl.reads("create -f -", SERVICE).await;
    patch_status(&server, json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } }));
    let before = server.web();

    let replaced = kubectl.reads("replace -f -", &SERVICE.replace("443", "8443")).await;
    assert_eq!(replaced, "service/web replaced\n");
    let after = server.web();
    assert_eq!(after["spec"]["ports"][1]["port"], 8443);
    for kept in ["/metadata/uid", "/spec/clusterIP", "/status"] {
        assert_eq!(after.pointer(kept), before.pointer(kept), "{kept}");
    }

    let stale = kubectl.says("get svc web -o json").await;
    kubectl.says("label svc web seen=yes").await;
    let refused = kubectl.fails("replace -f -", &stale).await;
    assert!(refused.contains("the object has been modified"), "{refused}");

    let forced = kubectl.reads("replace --force -f -", SERVICE).await;
    assert_eq!(forced, "service \"web\" deleted\nservice/web replaced\n");
    assert_ne!(server.web()["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(server.web()["status"]["loadBalancer"], json!({}));
}

#[tokio::test]
async fn kubectl_waits_for_a_condition_a_field_and_an_end() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "wait") else { return };
    kubectl.reads("create -f -", SERVICE).await;
    let line = "wait svc/web --for=condition=porter/Served --timeout=1s";
    let late = kubectl.fails(line, "").await;
    assert!(late.contains("timed out waiting for the condition on services/web"), "{late}");

    let waits = |line: &str| kubectl.command(line).output();
    let met = async |waiting| {
        let output: std::io::Result<std::process::Output> =
            tokio::time::timeout(PATIENCE, waiting).await.expect("an end within a minute");
        let output = output.expect("kubectl's output");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let condition = waits("wait svc/web --for=condition=porter/Served --timeout=50s");
    let field = waits(
        "wait svc/web --for=jsonpath={.status.loadBalancer.ingress[0].ip}=192.0.2.1 --timeout=50s",
    );
    let change = async {
        let condition = json!({
            "type": "porter/Served", "status": "True", "reason": "Elected", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let ingress = json!({ "ingress": [{ "ip": "192.0.2.1" }] });
        patch_status(&server, json!({ "loadBalancer": ingress, "conditions": [condition] }));
    };
    let (condition, field, ()) = tokio::join!(met(condition), met(field), change);
    assert_eq!(condition, "service/web condition met\n");
    assert_eq!(field, "service/web condition met\n");

    let gone = waits("wait svc/web --for=delete --timeout=50s");
    let deletion = async { kubectl.says("delete svc web --wait=false").await };
    let (gone, _) = tokio::join!(met(gone), deletion);
    assert!(gone.is_empty() || gone == "service/web condition met\n", "{gone}");
}

#[tokio::test]
async fn the_three_patches_reach_what_they_name() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "patch") else { return };
    kubectl.reads("create -f -", SERVICE).await;
    kubectl.reads("create -f -", EIP).await;
    let ports = || -> Vec<(u64, String)> {
        let service = server.web();
        let ports = service["spec"]["ports"].as_array().expect("ports").clone();
        let port = |port: &Value| {
            (
                port["port"].as_u64().expect("a number"),
                port["name"].as_str().expect("a name").to_owned(),
            )
        };
        ports.iter().map(port).collect()
    };
    let port = |number, name: &str| (number, name.to_owned());

    kubectl.says(r#"patch svc web -p {"spec":{"ports":[{"port":443,"name":"tls"}]}}"#).await;
    assert_eq!(ports(), [port(80, "http"), port(443, "tls")]);
    kubectl.says(r#"patch svc web --type json -p [{"op":"replace","path":"/spec/ports/0/name","value":"web"}]"#).await;
    assert_eq!(ports(), [port(80, "web"), port(443, "tls")]);
    kubectl
        .says(r#"patch svc web --type merge -p {"spec":{"ports":[{"port":8080,"name":"other"}]}}"#)
        .await;
    assert_eq!(ports(), [port(8080, "other")]);

    let refused =
        kubectl.fails(r#"patch eip pool --type strategic -p {"spec":{"disable":true}}"#, "").await;
    assert!(refused.contains("accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"), "{refused}");
    let unchanged =
        kubectl.says(r#"patch svc web --type merge -p {"spec":{"type":"LoadBalancer"}}"#).await;
    assert_eq!(unchanged, "service/web patched (no change)\n");
    let failed = kubectl
        .fails(
            r#"patch svc web --type json -p [{"op":"test","path":"/spec/type","value":"x"}]"#,
            "",
        )
        .await;
    assert!(
        failed.contains("The request is invalid") || failed.contains("error in our request"),
        "{failed}"
    );
}

#[tokio::test]
async fn labels_and_annotations_are_set_changed_and_taken_off() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "label and annotate") else { return };
    kubectl.reads("create -f -", SERVICE).await;

    assert_eq!(kubectl.says("label svc web rack=a").await, "service/web labeled\n");
    let refused = kubectl.fails("label svc web rack=b", "").await;
    assert!(
        refused.contains("'rack' already has a value (a), and --overwrite is false"),
        "{refused}"
    );
    kubectl.says("label svc web rack=b --overwrite").await;
    kubectl.says("label svc web app-").await;
    assert_eq!(server.web()["metadata"]["labels"], json!({ "rack": "b" }));

    let key = "lb.kubesphere.io/v1alpha1";
    assert_eq!(
        kubectl.says(&format!("annotate svc web {key}=porter")).await,
        "service/web annotated\n"
    );
    kubectl.says(&format!("annotate svc --all {key}=openelb --overwrite")).await;
    assert_eq!(server.web()["metadata"]["annotations"][key], "openelb");
    kubectl.says(&format!("annotate svc web {key}-")).await;
    assert_eq!(server.web()["metadata"].get("annotations"), None);
}

#[tokio::test]
async fn the_applied_configuration_is_shown_and_corrected() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "apply view-last-applied") else { return };
    kubectl.reads("apply -f -", SERVICE).await;
    let last = kubectl.says("apply view-last-applied svc web").await;
    assert!(last.contains("port: 443") && !last.contains("clusterIP"), "{last}");

    let fewer = SERVICE.replace("    - { name: https, port: 443 }\n", "");
    kubectl.reads("apply set-last-applied -f -", &fewer).await;
    // What is no longer known to have been applied is not taken away.
    kubectl.reads("apply -f -", &fewer).await;
    assert_eq!(server.web()["spec"]["ports"].as_array().map(Vec::len), Some(2));
    kubectl.reads("apply -f -", SERVICE).await;
    kubectl.reads("apply -f -", &fewer).await;
    assert_eq!(server.web()["spec"]["ports"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn fields_are_explained_down_to_the_last() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "explain") else { return };
    let explained = kubectl.says("explain svc.spec").await;
    assert!(explained.contains("KIND:       Service\nVERSION:    v1"), "{explained}");
    assert!(explained.contains("FIELD: spec <ServiceSpec>"), "{explained}");
    assert!(explained.contains("  loadBalancerClass\t<string>"), "{explained}");
    let explained = kubectl.says("explain eip.spec").await;
    assert!(
        explained
            .contains("GROUP:      network.kubesphere.io\nKIND:       Eip\nVERSION:    v1alpha2"),
        "{explained}"
    );
    assert!(explained.contains("FIELD: spec <Object>"), "{explained}");
    let explained = kubectl.says("explain eip.metadata.labels").await;
    assert!(explained.contains("FIELD: labels <map[string]string>"), "{explained}");
    let explained = kubectl.says("explain eip --recursive").await;
    assert!(
        explained.contains("  status\t<Object>") || explained.contains("  status\t<EipStatus>"),
        "{explained}"
    );
    assert!(explained.contains("finalizers\t<[]string>"), "{explained}");
    let unknown = kubectl.fails("explain svc.spec.prots", "").await;
    assert!(unknown.contains("field \"prots\" does not exist"), "{unknown}");
}

//! The guide's commands, pasted word for word into a shell.

use tempfile::TempDir;

use crate::lab::{self, Lab};

const EIP_YAML: &str = include_str!("../../deploy/examples/eip-sample-layer2.yaml");
const APP_YAML: &str = include_str!("../../deploy/examples/mylbapp.yaml");
/// What applying the Service and the Deployment says.
const APPLIED: &str = "service/mylbapp-svc-layer2 created\ndeployment.apps/mylbapp created\n";

#[test]
fn the_guides_commands_do_what_the_guide_shows() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");
    // The lab followed the guide already, and by the same steps.
    assert_eq!(shell(&lab, &apply(APP_YAML)), APPLIED.replace("created", "unchanged"));
    shell(&lab, "kubectl delete svc/mylbapp-svc-layer2 deployment/mylbapp eip/eip-sample-layer2");

    let eip = shell(&lab, &apply(EIP_YAML));
    let app = shell(&lab, &apply(APP_YAML));
    lab::until("the Service has its address", || {
        shell(&lab, "kubectl get svc mylbapp-svc-layer2").contains("172.22.0.188")
    });
    shell(&lab, "kubectl rollout status deployment/mylbapp --timeout=60s");

    assert_eq!(eip, "eip.network.kubesphere.io/eip-sample-layer2 created\n");
    assert_eq!(app, APPLIED);
    let service = shell(&lab, "kubectl get svc mylbapp-svc-layer2");
    let head = ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"];
    assert_eq!(columns(&service)[0], head, "{service}");
    assert_eq!(columns(&service)[1][1], "LoadBalancer", "{service}");
    assert_eq!(columns(&service)[1][3], "172.22.0.188", "{service}");
    assert!(columns(&service)[1][4].starts_with("8088:"), "{service}");
    let nodes = shell(&lab, "kubectl get nodes -o wide");
    for (line, node, address) in
        [(1, "node1", "172.22.0.3"), (2, "node3", "172.22.0.9"), (3, "node4", "172.22.0.10")]
    {
        let columns = &columns(&nodes)[line];
        assert_eq!((columns[0], columns[1], columns[5]), (node, "Ready", address), "{nodes}");
    }
    let page =
        "exec 3<>/dev/tcp/172.22.0.188/8088; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    lab::until("the client reaches a pod", || {
        let fetched = lab.run(lab::PORTER, &["lab", "exec", "client", "--", "bash", "-c", page]);
        String::from_utf8_lossy(&fetched.stdout).contains("Hello from pod mylbapp-")
    });
    assert!(lab.stop().success());
}

/// The guide's way to apply a manifest.
pub(crate) fn apply(yaml: &str) -> String {
    format!("kubectl apply -f - <<EOF\n{yaml}EOF\n")
}

/// What a shell with the lab's KUBECONFIG prints.
pub(crate) fn shell(lab: &Lab, script: &str) -> String {
    let ran = lab.run("bash", &["-c", script]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{script}\n{said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

fn columns(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

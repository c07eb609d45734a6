//! kubectl against the server: the commands of the user guide, and those that its readers will try next.

use std::time::Duration;

use porter_sim::apiserver::{Patch, Resource, Subresource};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::kubectl::{cells, kubectl, other_versions};
use crate::server::{PATIENCE, Server};

const EIP: &str = "
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: eip-sample-layer2
spec:
  address: 172.22.0.188-172.22.0.200
  interface: eth0
  protocol: layer2
";

const WORKLOAD: &str = "
kind: Service
apiVersion: v1
metadata:
  name:  mylbapp-svc-layer2
  annotations:
    lb.kubesphere.io/v1alpha1: porter
    protocol.porter.kubesphere.io/v1alpha1: layer2
spec:
  selector:
    app:  mylbapp
  type:  LoadBalancer
  ports:
    - name:  http
      port:  8088
      targetPort:  80
---
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    app: mylbapp
  name: mylbapp
spec:
  replicas: 2
  selector:
    matchLabels:
      app: mylbapp
  template:
    metadata:
      labels:
        app: mylbapp
    spec:
      containers:
        - image: nginx:alpine
          name: nginx
          ports:
            - containerPort: 80
";

const NODE: &str = "
apiVersion: v1
kind: Node
metadata:
  name: node1
  labels: { node-role.kubernetes.io/master: '', node-role.kubernetes.io/worker: '' }
status:
  conditions: [{ type: Ready, status: 'True' }]
  addresses: [{ type: InternalIP, address: 172.22.0.3 }]
  nodeInfo:
    kubeletVersion: v1.17.9
    osImage: Ubuntu 18.04.4 LTS
    kernelVersion: 4.15.0-109-generic
    containerRuntimeVersion: docker://19.3.6
    architecture: ''
    bootID: ''
    kubeProxyVersion: ''
    machineID: ''
    operatingSystem: ''
    systemUUID: ''
";

#[tokio::test]
async fn the_guides_manifests_apply_and_show_as_in_the_guide() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "the guide's apply") else { return };

    assert_eq!(
        kubectl.reads("apply -f -", EIP).await,
        "eip.network.kubesphere.io/eip-sample-layer2 created\n"
    );
    let applied = kubectl.reads("apply -f -", WORKLOAD).await;
    assert_eq!(applied, "service/mylbapp-svc-layer2 created\ndeployment.apps/mylbapp created\n");
    let again = kubectl.reads("apply -f -", WORKLOAD).await;
    assert_eq!(again, "service/mylbapp-svc-layer2 unchanged\ndeployment.apps/mylbapp unchanged\n");

    let ingress =
        json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "172.22.0.188" }] } } });
    let (name, patch) = ("mylbapp-svc-layer2", Patch::Merge(ingress));
    let written =
        server.store.patch(&Resource::SERVICES, Some("default"), name, Subresource::Status, &patch);
    let node_port = written.expect("patches")["spec"]["ports"][0]["nodePort"].to_string();
    let table = kubectl.says("get svc mylbapp-svc-layer2").await;
    assert_eq!(cells(&table)[0], ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    let row = &cells(&table)[1];
    assert_eq!(row[..2], [name, "LoadBalancer"]);
    assert!(row[2].starts_with("10.233."), "{row:?}");
    assert_eq!(row[3..5], ["172.22.0.188", &format!("8088:{node_port}/TCP")]);

    let eips = kubectl.says("get eip").await;
    let header = ["NAME", "CIDR", "USAGE", "TOTAL", "READY", "REASON", "AGE"];
    assert_eq!(cells(&eips)[0], header);
    assert_eq!(cells(&eips)[1][..2], ["eip-sample-layer2", "172.22.0.188-172.22.0.200"]);
    let described = kubectl.says("describe svc mylbapp-svc-layer2").await;
    assert!(described.contains("LoadBalancer Ingress:     172.22.0.188"), "{described}");
}

#[tokio::test]
async fn nodes_show_as_in_the_guide_and_can_be_cordoned() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "the guide's nodes") else { return };
    kubectl.reads("create -f -", NODE).await;

    let table = kubectl.says("get nodes -o wide").await;
    let header =
        ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE"];
    assert_eq!(cells(&table)[0][..8], header);
    assert_eq!(cells(&table)[0][8..], ["KERNEL-VERSION", "CONTAINER-RUNTIME"]);
    let row = &cells(&table)[1];
    assert_eq!(row[..3], ["node1", "Ready", "master,worker"]);
    assert_eq!(row[4..8], ["v1.17.9", "172.22.0.3", "<none>", "Ubuntu 18.04.4 LTS"]);
    assert_eq!(row[8..], ["4.15.0-109-generic", "docker://19.3.6"]);

    kubectl.says("cordon node1").await;
    assert_eq!(cells(&kubectl.says("get nodes").await)[1][1], "Ready,SchedulingDisabled");
    kubectl.says("uncordon node1").await;
    assert_eq!(cells(&kubectl.says("get nodes").await)[1][1], "Ready");
    kubectl.says("describe node node1").await;
}

#[tokio::test]
async fn a_drained_node_is_cordoned_and_loses_its_pods() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "drain") else { return };
    kubectl.reads("create -f -", NODE).await;
    for (name, node) in [("on-it", "node1"), ("elsewhere", "node3")] {
        let containers = json!([{ "name": "nginx", "image": "nginx:alpine" }]);
        let spec = json!({ "nodeName": node, "containers": containers });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec });
        server.store.create(pod).expect("creates");
    }

    kubectl.says("drain node1 --force").await;

    assert_eq!(kubectl.says("get pods -o name").await, "pod/elsewhere\n");
    assert_eq!(cells(&kubectl.says("get nodes").await)[1][1], "Ready,SchedulingDisabled");
}

#[tokio::test]
async fn a_misspelt_field_is_refused_before_anything_is_stored() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "strict validation") else { return };
    let eip = kubectl.fails("apply -f -", &EIP.replace("address", "adress")).await;
    assert!(eip.contains("Eip in version \"v1alpha2\" cannot be handled as a Eip: strict decoding error: unknown field \"spec.adress\""), "{eip}");
    let service = kubectl.fails("apply -f -", &WORKLOAD.replace("targetPort", "tagetPort")).await;
    assert!(service.contains("unknown field \"spec.ports[0].tagetPort\""), "{service}");
    let protocol = kubectl.fails("apply -f -", &EIP.replace("layer2\n", "layer3\n")).await;
    assert!(protocol.contains("spec.protocol: Unsupported value: \"layer3\""), "{protocol}");
    assert_eq!(kubectl.says("get eip,svc").await, "");
}

#[tokio::test]
async fn what_applies_again_changes_only_what_changed() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "changes by apply") else { return };
    kubectl.reads("apply -f -", WORKLOAD).await;
    kubectl.reads("apply -f -", EIP).await;
    let before = server
        .store
        .get(&Resource::SERVICES, Some("default"), "mylbapp-svc-layer2")
        .expect("applied");

    // A port replaced by another is a deletion and an addition in a list that is merged by port.
    let changed = WORKLOAD.replace("8088", "8089");
    assert!(
        kubectl
            .reads("apply -f -", &changed)
            .await
            .contains("service/mylbapp-svc-layer2 configured")
    );
    let after = server
        .store
        .get(&Resource::SERVICES, Some("default"), "mylbapp-svc-layer2")
        .expect("applied");
    assert_eq!(after["spec"]["ports"].as_array().map(Vec::len), Some(1));
    assert_eq!(after["spec"]["ports"][0]["port"], 8089);
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);

    let configured = kubectl.reads("apply -f -", &EIP.replace("0.200", "0.201")).await;
    assert_eq!(configured, "eip.network.kubesphere.io/eip-sample-layer2 configured\n");
    let tried = kubectl.reads("apply --dry-run=server -f -", EIP).await;
    assert_eq!(tried, "eip.network.kubesphere.io/eip-sample-layer2 configured (server dry run)\n");
    assert_eq!(
        kubectl.says("get eip -o jsonpath={.items[0].spec.address}").await,
        "172.22.0.188-172.22.0.201"
    );
}

#[tokio::test]
async fn small_changes_by_hand_reach_the_object() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "changes by hand") else { return };
    kubectl.reads("create -f -", WORKLOAD).await;
    kubectl.reads("create -f -", EIP).await;

    kubectl.says("scale deployment mylbapp --replicas 5").await;
    assert_eq!(cells(&kubectl.says("get deploy").await)[1][..2], ["mylbapp", "0/5"]);
    kubectl.says("label eip eip-sample-layer2 rack=a").await;
    assert_eq!(
        kubectl.says("get eip -l rack=a -o name").await,
        "eip.network.kubesphere.io/eip-sample-layer2\n"
    );
    kubectl
        .says("annotate svc mylbapp-svc-layer2 layer2.porter.kubesphere.io/v1alpha1=node3")
        .await;
    let path = "get svc -o jsonpath={.items[*].metadata.annotations.layer2\\.porter\\.kubesphere\\.io/v1alpha1}";
    assert_eq!(kubectl.says(path).await, "node3");
    kubectl.says("patch eip eip-sample-layer2 --type merge -p {\"spec\":{\"disable\":true}}").await;
    let remove =
        r#"patch eip eip-sample-layer2 --type json -p [{"op":"remove","path":"/spec/interface"}]"#;
    let refused = kubectl.fails(remove, "").await;
    assert!(refused.contains("spec.interface is needed by spec.protocol layer2"), "{refused}");
    let replace = r#"[{"op":"replace","path":"/spec/interface","value":"eth1"}]"#;
    kubectl.says(&format!("patch eip eip-sample-layer2 --type json -p {replace}")).await;
    kubectl.says("patch eip eip-sample-layer2 --subresource status --type merge -p {\"status\":{\"usage\":7}}").await;
    kubectl.says("patch deploy mylbapp -p {\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"nginx\",\"image\":\"nginx:1\"}]}}}}").await;
    let containers = kubectl
        .says("get deploy mylbapp -o jsonpath={.spec.template.spec.containers[*].image}")
        .await;
    assert_eq!(containers, "nginx:1");
    let eip = kubectl
        .says(
            "get eip eip-sample-layer2 -o jsonpath={.spec.disable}{.spec.interface}{.status.usage}",
        )
        .await;
    assert_eq!(eip, "trueeth17");
}

#[tokio::test]
async fn every_kubectl_at_hand_makes_and_deletes_a_namespace() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "namespaces") else { return };
    for kubectl in [kubectl].into_iter().chain(other_versions(&server)) {
        assert_eq!(kubectl.says("create namespace green").await, "namespace/green created\n");
        let shown = kubectl.says("get namespace green --show-labels --no-headers").await;
        assert!(
            shown.contains("Active") && shown.contains("kubernetes.io/metadata.name=green"),
            "{shown}"
        );
        kubectl.says("delete namespace green").await;
        let gone = kubectl.fails("get namespace green", "").await;
        assert!(gone.contains("NotFound"), "{gone}");
    }
}

#[tokio::test]
async fn a_deletion_waits_for_the_finalizer() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "deletion") else { return };
    kubectl.reads("apply -f -", EIP).await;
    kubectl.says("patch eip eip-sample-layer2 --type merge -p {\"metadata\":{\"finalizers\":[\"example.com/held\"]}}").await;

    let held = kubectl.fails("delete eip eip-sample-layer2 --timeout=1s", "").await;
    assert!(held.contains("timed out waiting for the condition"), "{held}");
    kubectl
        .says("patch eip eip-sample-layer2 --type merge -p {\"metadata\":{\"finalizers\":null}}")
        .await;
    let gone = kubectl.fails("get eip eip-sample-layer2", "").await;
    assert_eq!(
        gone,
        "Error from server (NotFound): eips.network.kubesphere.io \"eip-sample-layer2\" not found\n"
    );

    kubectl.reads("apply -f -", WORKLOAD).await;
    kubectl.reads("delete -f -", WORKLOAD).await;
    assert_eq!(kubectl.says("get svc,deploy -o name").await, "");
}

#[tokio::test]
async fn a_watched_table_shows_every_change_in_its_columns() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "get --watch") else { return };
    kubectl.reads("create -f -", NODE).await;
    let mut watching = kubectl.command("get nodes --watch").spawn().expect("kubectl starts");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    let mut line = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        line.expect("a line within a minute").expect("kubectl prints").expect("kubectl goes on")
    };

    assert!(line().await.starts_with("NAME"));
    assert!(line().await.contains("Ready "));
    kubectl.says("cordon node1").await;
    assert!(line().await.contains("Ready,SchedulingDisabled"));
    watching.kill().await.expect("kubectl ends");
}

#[tokio::test]
async fn the_fields_of_an_eip_are_explained() {
    let server = Server::with_eips().await;
    let Some(kubectl) = kubectl(&server, "explain") else { return };
    let explained = kubectl.says("explain eip.spec").await;
    assert!(explained.contains("address\t<string> -required-"), "{explained}");
    let explained = kubectl.says("explain service.spec.ports").await;
    assert!(explained.contains("targetPort\t<IntOrString>"), "{explained}");
}

#[tokio::test]
async fn every_kubectl_at_hand_applies_and_shows_the_guide() {
    let server = Server::with_eips().await;
    for kubectl in other_versions(&server) {
        let name = kubectl.name();
        assert!(kubectl.reads("apply -f -", EIP).await.contains("created"), "{name}");
        assert!(kubectl.reads("apply -f -", WORKLOAD).await.contains("created"), "{name}");
        assert!(
            kubectl
                .reads("apply -f -", &WORKLOAD.replace("8088", "8089"))
                .await
                .contains("configured"),
            "{name}"
        );
        let table = kubectl.says("get svc").await;
        assert!(cells(&table)[1][4].starts_with("8089:"), "{name}: {table}");
        assert!(
            kubectl
                .says("describe eip eip-sample-layer2")
                .await
                .contains("172.22.0.188-172.22.0.200"),
            "{name}"
        );
        kubectl.reads("delete -f -", WORKLOAD).await;
        kubectl.reads("delete -f -", EIP).await;
    }
}

#[tokio::test]
async fn a_definition_applied_by_kubectl_is_served_at_once() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "a new kind") else { return };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "pools.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "plural": "pools", "kind": "Pool" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": {
                    "type": "object", "properties": { "size": { "type": "integer", "default": 4 } },
                } } } },
            }],
        },
    });
    kubectl.reads("apply -f -", &definition.to_string()).await;
    kubectl.says("wait --for=condition=Established crd/pools.example.com --timeout=10s").await;
    let pool = json!({ "apiVersion": "example.com/v1", "kind": "Pool", "metadata": { "name": "one" }, "spec": {} });
    kubectl.reads("apply -f -", &pool.to_string()).await;
    assert_eq!(kubectl.says("get pool one -o jsonpath={.spec.size}").await, "4");
    kubectl.says("delete crd pools.example.com").await;
    let gone = tokio::time::timeout(Duration::from_secs(60), kubectl.fails("get pools", "")).await;
    assert!(gone.expect("an answer").contains("the server"));
}

//! What an applied Deployment and Service become, told over the store.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::apiserver::{Patch, Preconditions, Propagation, Resource, Selectors, Subresource};

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_ready_pods_on_different_nodes() {
    let lab = lab_with_the_guides_workload().await;

    assert_eq!(lab.nodes_of_pods(), ["node1", "node3"]);
    assert_eq!(lab.runtime().running.len(), 2);
    let pod = &lab.pods()[0];
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["hostIP"], "172.22.0.3");
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
    let hash = pod["metadata"]["labels"]["pod-template-hash"].as_str().expect("a hash");
    assert!(name(pod).starts_with(&format!("mylbapp-{hash}-")), "{}", name(pod));
    let status = &lab.deployment()["status"];
    for count in ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas"] {
        assert_eq!(status[count], 2, "{count}");
    }
    assert_eq!(status["conditions"][0]["reason"], "MinimumReplicasAvailable");
    assert_eq!(status["conditions"][1]["reason"], "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_slice_names_every_ready_pod_and_its_port() {
    let lab = lab_with_the_guides_workload().await;

    let slice = lab.slice();
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "mylbapp-svc-layer2");
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    assert_eq!(slice["ports"], json!([{ "name": "http", "port": 80, "protocol": "TCP" }]));
    let endpoints = slice["endpoints"].as_array().expect("endpoints");
    assert_eq!(endpoints.len(), 2);
    for (endpoint, pod) in endpoints.iter().zip(lab.pods()) {
        assert_eq!(endpoint["addresses"], json!([pod["status"]["podIP"]]));
        assert_eq!(endpoint["nodeName"], pod["spec"]["nodeName"]);
        assert_eq!(endpoint["targetRef"]["uid"], pod["metadata"]["uid"]);
        let ready = json!({ "ready": true, "serving": true, "terminating": false });
        assert_eq!(endpoint["conditions"], ready);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_and_pods_have_addresses_of_both_families_and_ipv4_comes_first() {
    let lab = lab_with_the_guides_workload().await;

    let node = &lab.all(&Resource::NODES)[2];
    let internal = ["172.22.0.10", "fd00:172:22::10"];
    for (address, wanted) in internal.iter().enumerate() {
        let found = &node["status"]["addresses"][address];
        assert_eq!(*found, json!({ "type": "InternalIP", "address": wanted }));
    }
    let status = &lab.pods()[0]["status"];
    assert_eq!(status["hostIPs"], json!([{ "ip": "172.22.0.3" }, { "ip": "fd00:172:22::3" }]));
    assert_eq!(status["podIPs"], json!([{ "ip": "10.0.0.1" }, { "ip": "fd00:10::1" }]));
    assert_eq!(status["podIP"], "10.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn a_service_has_an_endpoint_slice_for_each_family_that_it_has() {
    let lab = lab_with_the_guides_workload().await;
    let slices = || {
        let slices = lab.all(&Resource::ENDPOINTSLICES);
        let addresses = |slice: &Value| slice["endpoints"][0]["addresses"].clone();
        let mut slices: Vec<_> =
            slices.iter().map(|it| (it["addressType"].clone(), addresses(it))).collect();
        slices.sort_by_key(|(family, _)| family.to_string());
        slices
    };
    let ipv4 = (json!("IPv4"), json!(["10.0.0.1"]));
    assert_eq!(slices(), std::slice::from_ref(&ipv4));

    let policy = |policy: &str| {
        let change = json!({ "spec": { "ipFamilyPolicy": policy } });
        lab.patch(Resource::SERVICES, "mylbapp-svc-layer2", change);
    };
    policy("PreferDualStack");
    lab.settle().await;
    assert_eq!(slices(), [ipv4.clone(), (json!("IPv6"), json!(["fd00:10::1"]))]);
    policy("SingleStack");
    lab.settle().await;
    assert_eq!(slices(), [ipv4]);
}

#[tokio::test(start_paused = true)]
async fn a_terminating_pod_serves_until_it_is_gone() {
    let lab = lab_with_the_guides_workload().await;
    let leaving = name(&lab.pods()[0]);

    lab.delete(Resource::PODS, &leaving);
    lab.pass(NOTICE / 2).await;

    let conditions = lab.endpoint(&leaving).expect("still listed")["conditions"].clone();
    assert_eq!(conditions, json!({ "ready": false, "serving": true, "terminating": true }));
    assert!(lab.runtime().running.contains(&leaving));

    lab.settle().await;

    assert_eq!(lab.endpoint(&leaving), None);
    assert!(!lab.runtime().running.contains(&leaving));
    assert_eq!(lab.pods().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_from_a_cordoned_node_comes_back_elsewhere() {
    let lab = lab_with_the_guides_workload().await;
    let cordon = json!({ "spec": { "unschedulable": true } });
    lab.patch(Resource::NODES, "node1", cordon);

    lab.delete(Resource::PODS, &name(&lab.pod_on("node1")));
    lab.settle().await;

    assert_eq!(lab.nodes_of_pods(), ["node3", "node4"]);
}

#[tokio::test(start_paused = true)]
async fn scaling_fills_the_nodes_evenly_and_empties_the_fullest_first() {
    let lab = lab_with_the_guides_workload().await;

    lab.patch(Resource::DEPLOYMENTS, "mylbapp", json!({ "spec": { "replicas": 5 } }));
    lab.settle().await;
    assert_eq!(lab.nodes_of_pods(), ["node1", "node1", "node3", "node3", "node4"]);

    lab.patch(Resource::DEPLOYMENTS, "mylbapp", json!({ "spec": { "replicas": 3 } }));
    lab.settle().await;
    assert_eq!(lab.nodes_of_pods(), ["node1", "node3", "node4"]);
    assert_eq!(lab.deployment()["status"]["readyReplicas"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_changed_template_rolls_out_with_never_fewer_ready_pods_than_wanted() {
    let lab = lab_with_the_guides_workload().await;
    let before: BTreeSet<String> = lab.pods().iter().map(name).collect();
    let from = Some(lab.store.revision());
    let watch = lab.store.watch(&Resource::ENDPOINTSLICES, None, &Selectors::default(), from);

    lab.patch(Resource::DEPLOYMENTS, "mylbapp", new_image());
    lab.settle().await;
    let mut watch = watch.expect("watches");
    let mut fewest_ready = usize::MAX;
    while let Some(event) = watch.try_next().expect("the past is remembered") {
        fewest_ready = fewest_ready.min(ready_endpoints(&event.object));
    }

    assert_eq!(fewest_ready, 2);
    let after: BTreeSet<String> = lab.pods().iter().map(name).collect();
    assert_eq!((after.len(), before.intersection(&after).count()), (2, 0));
    let revision = &lab.deployment()["metadata"]["annotations"][deployment::REVISION];
    assert_eq!(revision, "2");
}

#[tokio::test(start_paused = true)]
async fn a_slice_carries_the_labels_of_its_service_and_its_own() {
    let lab = lab_with_the_guides_workload().await;
    let labels = |labels: Value| json!({ "metadata": { "labels": labels } });
    let own = json!({
        "kubernetes.io/service-name": "mylbapp-svc-layer2",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });

    let given = json!({
        "service.kubernetes.io/service-proxy-name": "other", "service.kubernetes.io/headless": "",
        "endpointslice.kubernetes.io/managed-by": "me",
    });
    lab.patch(Resource::SERVICES, "mylbapp-svc-layer2", labels(given));
    lab.settle().await;
    let mut expected = own.clone();
    expected["service.kubernetes.io/service-proxy-name"] = json!("other");
    assert_eq!(lab.slice()["metadata"]["labels"], expected);

    let gone = json!({ "service.kubernetes.io/service-proxy-name": null });
    lab.patch(Resource::SERVICES, "mylbapp-svc-layer2", labels(gone));
    lab.settle().await;
    assert_eq!(lab.slice()["metadata"]["labels"], own);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_deployment_stops_its_pods() {
    let lab = lab_with_the_guides_workload().await;

    lab.delete(Resource::DEPLOYMENTS, "mylbapp");
    lab.settle().await;

    assert_eq!(lab.pods(), Vec::<Value>::new());
    assert!(lab.runtime().running.is_empty());
    assert_eq!(lab.slice()["endpoints"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_be_started_says_why_and_is_tried_again() {
    let lab = Lab::start();
    lab.runtime().broken = Some("no such image".into());
    lab.apply_guide();
    lab.pass(BACK_OFF / 2).await;

    let waiting = &lab.pods()[0]["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], "no such image");
    assert_eq!(ready_endpoints(&lab.slice()), 0);

    lab.runtime().broken = None;
    lab.settle().await;
    assert_eq!(ready_endpoints(&lab.slice()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_waits_and_says_why() {
    let lab = Lab::start();
    lab.settle().await;
    for node in ["node1", "node3", "node4"] {
        lab.patch(Resource::NODES, node, json!({ "spec": { "unschedulable": true } }));
    }

    lab.apply_guide();
    lab.settle().await;

    let condition = &lab.pods()[0]["status"]["conditions"][0];
    assert_eq!(condition["reason"], "Unschedulable");
    assert_eq!(condition["message"], "0/3 nodes are available: 3 node(s) were unschedulable.");
    assert_eq!(lab.deployment()["status"]["conditions"][0]["reason"], "MinimumReplicasUnavailable");

    lab.patch(Resource::NODES, "node4", json!({ "spec": { "unschedulable": null } }));
    lab.settle().await;
    assert_eq!(lab.nodes_of_pods(), ["node4", "node4"]);
}

#[tokio::test(start_paused = true)]
async fn a_settled_cluster_is_left_alone() {
    let lab = lab_with_the_guides_workload().await;
    let before = lab.store.revision();

    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "porter-speaker", "namespace": "porter-system" },
    });
    lab.store.create(lease).expect("creates");
    lab.settle().await;

    assert_eq!(lab.store.revision(), before + 1);
    let much_later = Time("2100-01-01T00:00:00Z".parse().expect("a time"));
    assert_eq!(deployment::writes(&Snapshot::of(&lab.store), &much_later), []);
}

#[tokio::test(start_paused = true)]
async fn a_target_port_may_be_named() {
    let lab = lab_with_the_guides_workload().await;
    let ports = json!([{ "name": "web", "containerPort": 8000 }]);
    let container = json!({ "name": "nginx", "image": "nginx:alpine", "ports": ports });
    let named = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
    lab.patch(Resource::DEPLOYMENTS, "mylbapp", named);
    let target =
        json!({ "spec": { "ports": [{ "name": "http", "port": 8088, "targetPort": "web" }] } });
    lab.patch(Resource::SERVICES, "mylbapp-svc-layer2", target);
    lab.settle().await;

    assert_eq!(lab.slice()["ports"][0]["port"], 8000);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_power_is_missed_after_a_while_and_its_pods_serve_nobody() {
    let lab = lab_with_the_guides_workload().await;
    let pod = name(&lab.pod_on("node3"));
    let ready = |lab: &Lab| lab.endpoint(&pod).expect("listed")["conditions"]["ready"].clone();

    lab.power("node3", false);
    lab.pass(GRACE - Duration::from_secs(1)).await;
    assert_eq!((lab.readiness("node3"), ready(&lab)), ("True".into(), true.into()));

    lab.pass(Duration::from_secs(2)).await;
    assert_eq!((lab.readiness("node3"), ready(&lab)), ("Unknown".into(), false.into()));
    assert_eq!(lab.readiness("node1"), "True");

    lab.power("node3", true);
    lab.settle().await;
    assert_eq!((lab.readiness("node3"), ready(&lab)), ("True".into(), true.into()));
}

#[tokio::test(start_paused = true)]
async fn nobody_says_that_a_pod_ended_on_a_node_without_power() {
    let lab = lab_with_the_guides_workload().await;
    let pod = name(&lab.pod_on("node3"));

    lab.power("node3", false);
    lab.delete(Resource::PODS, &pod);
    lab.settle().await;
    assert!(lab.pods().iter().any(|it| name(it) == pod), "it stays, Terminating");

    lab.power("node3", true);
    lab.settle().await;
    assert!(lab.pods().iter().all(|it| name(it) != pod));
}

use kubelet::{BACK_OFF, NOTICE};

/// Longer than anything the stand-ins wait for.
const QUIET: Duration = Duration::from_secs(10);

/// The stand-ins at work on a store of their own.
struct Lab {
    store: Store,
    runtime: Arc<FakeRuntime>,
    silent: watch::Sender<Silent>,
    standins: tokio::task::JoinHandle<()>,
}

async fn lab_with_the_guides_workload() -> Lab {
    let lab = Lab::start();
    lab.apply_guide();
    lab.settle().await;
    lab
}

impl Lab {
    fn start() -> Self {
        let (store, runtime) = (Store::new(), Arc::<FakeRuntime>::default());
        let silent = watch::Sender::new(Silent::new());
        let standins = run(store.clone(), guide_nodes(), runtime.clone(), silent.subscribe());
        let standins = tokio::spawn(standins);
        Self { store, runtime, silent, standins }
    }

    fn power(&self, node: &str, on: bool) {
        self.silent.send_modify(|silent| match on {
            true => drop(silent.remove(node)),
            false => drop(silent.insert(node.into(), Instant::now())),
        });
    }

    /// The status of a node's condition `Ready`.
    fn readiness(&self, node: &str) -> String {
        let nodes = self.all(&Resource::NODES);
        let node = nodes.iter().find(|it| name(it) == node).expect("registered");
        node["status"]["conditions"][0]["status"].as_str().expect("a status").into()
    }

    fn apply_guide(&self) {
        let labels = json!({ "app": "mylbapp" });
        let container =
            json!({ "name": "nginx", "image": "nginx:alpine", "ports": [{ "containerPort": 80 }] });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "mylbapp-svc-layer2" },
            "spec": {
                "selector": labels, "type": "LoadBalancer",
                "ports": [{ "name": "http", "port": 8088, "targetPort": 80 }],
            },
        });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "mylbapp" },
            "spec": {
                "replicas": 2, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels }, "spec": { "containers": [container] },
                },
            },
        });
        for object in [service, deployment] {
            self.store.create(object).expect("creates");
        }
    }

    /// Lets simulated time pass.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets time pass until nothing has changed for longer than anything takes.
    async fn settle(&self) {
        let mut changes = self.store.changes();
        while tokio::time::timeout(QUIET, changes.changed()).await.is_ok() {}
    }

    fn runtime(&self) -> MutexGuard<'_, Pods> {
        self.runtime.0.lock().expect("no test panics while it looks")
    }

    fn all(&self, resource: &Resource) -> Vec<Value> {
        let listing = self.store.list(resource, None, &Selectors::default()).expect("a known kind");
        listing.items.iter().map(|object| Value::clone(object)).collect()
    }

    fn pods(&self) -> Vec<Value> {
        self.all(&Resource::PODS)
    }

    fn pod_on(&self, node: &str) -> Value {
        self.pods().into_iter().find(|pod| pod["spec"]["nodeName"] == node).expect("a pod there")
    }

    fn nodes_of_pods(&self) -> Vec<String> {
        let node = |pod: &Value| pod["spec"]["nodeName"].as_str().expect("a node").to_owned();
        let mut nodes: Vec<String> = self.pods().iter().map(node).collect();
        nodes.sort();
        nodes
    }

    fn deployment(&self) -> Value {
        self.all(&Resource::DEPLOYMENTS).remove(0)
    }

    fn slice(&self) -> Value {
        self.all(&Resource::ENDPOINTSLICES).remove(0)
    }

    fn endpoint(&self, pod: &str) -> Option<Value> {
        let slice = self.slice();
        let mut endpoints = slice["endpoints"].as_array().into_iter().flatten();
        endpoints.find(|endpoint| endpoint["targetRef"]["name"] == pod).cloned()
    }

    fn patch(&self, resource: Resource, name: &str, change: Value) {
        let change = Patch::Merge(change);
        self.store
            .patch(&resource, Some("default"), name, Subresource::Object, &change)
            .expect("patches");
    }

    fn delete(&self, resource: Resource, name: &str) {
        let background = Propagation::Background;
        self.store
            .delete(&resource, Some("default"), name, &Preconditions::default(), background)
            .expect("deletes");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.standins.abort();
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("a name").to_owned()
}

fn ready_endpoints(slice: &Value) -> usize {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
}

fn new_image() -> Value {
    let container =
        json!({ "name": "nginx", "image": "nginx:1.27", "ports": [{ "containerPort": 80 }] });
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

/// Pretends to run pods.
#[derive(Default)]
struct FakeRuntime(Mutex<Pods>);

#[derive(Default)]
struct Pods {
    /// Why no pod starts at present, if none does.
    broken: Option<String>,
    started: u8,
    /// Names of the pods that run.
    running: BTreeSet<String>,
}

impl PodRuntime for FakeRuntime {
    fn start(&self, pod: &PodFacts) -> Result<Vec<IpAddr>, String> {
        let mut pods = self.0.lock().expect("no test panics while it looks");
        if let Some(why) = &pods.broken {
            return Err(why.clone());
        }
        pods.started += 1;
        assert!(pods.running.insert(pod.name.clone()), "{} was started twice", pod.name);
        let last = pods.started;
        Ok(vec![
            IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, last.into())),
        ])
    }

    fn stop(&self, pod: &PodFacts) {
        let mut pods = self.0.lock().expect("no test panics while it looks");
        assert!(pods.running.remove(&pod.name), "{} did not run", pod.name);
    }
}

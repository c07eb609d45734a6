//! What `kubectl apply -k deploy/` installs: each object is of a kind of Kubernetes down to its last field, the API
//! server takes it without a word, and a pod may do no more than it has to.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, Namespace, PodSecurityContext, PodSpec, PodTemplateSpec,
    SeccompProfile, SecurityContext, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kubectl::{Kubectl, kubectl};
use crate::server::Server;

const PAGE: &str = include_str!("../../docs/installation.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const COMPONENTS: [&str; 6] = [
    "alerts",
    "dashboard",
    "deployment",
    "network-policy",
    "pod-disruption-budget",
    "service-monitor",
];
/// Those with objects of a kind that the lab's API server does not know.
const NOT_IN_THE_LAB: [&str; 3] = ["alerts", "dashboard", "service-monitor"];
/// What is in the base, in the order in which it is applied.
const BASE: [&str; 8] = [
    "namespace/porter-system",
    "customresourcedefinition.apiextensions.k8s.io/eips.network.kubesphere.io",
    "serviceaccount/porter-agent",
    "role.rbac.authorization.k8s.io/porter-agent",
    "clusterrole.rbac.authorization.k8s.io/porter-agent",
    "rolebinding.rbac.authorization.k8s.io/porter-agent",
    "clusterrolebinding.rbac.authorization.k8s.io/porter-agent",
    "daemonset.apps/porter-agent",
];

/// A folder beside a checkout called `porter`.
struct Beside(TempDir);

impl Beside {
    fn path(&self) -> PathBuf {
        self.0.path().join("mine")
    }
}

/// One with the base and some components.
fn overlay(components: &[&str]) -> Beside {
    let components: Vec<_> =
        components.iter().map(|name| format!("../porter/deploy/components/{name}")).collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../porter/deploy"],
        "components": components,
    });
    beside_a_checkout(&kustomization.to_string())
}

fn beside_a_checkout(kustomization: &str) -> Beside {
    let beside = Beside(tempfile::tempdir().expect("a folder"));
    std::os::unix::fs::symlink(ROOT, beside.0.path().join("porter")).expect("a link");
    fs::create_dir(beside.path()).expect("a folder");
    fs::write(beside.path().join("kustomization.yaml"), kustomization).expect("a file");
    beside
}

async fn rendered(kubectl: &Kubectl, folder: &Path) -> Vec<Value> {
    let yaml = kubectl.says(&format!("kustomize {}", folder.display())).await;
    serde_saphyr::from_multiple(&yaml).expect("it is YAML")
}

/// The object of a type, which must know each of its fields.
fn strict<T: DeserializeOwned>(object: &Value) -> T {
    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(object, |path| unknown.push(path.to_string()));
    let read = read.unwrap_or_else(|error| panic!("{error} in {object:#}"));
    assert_eq!(unknown, [""; 0], "unknown fields in {object:#}");
    read
}

/// What of the Prometheus operator's kind is used here: `ServiceMonitorSpec` of its API reference.
#[derive(Debug, Deserialize)]
struct ServiceMonitor {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata")]
    _metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    spec: ServiceMonitorSpec,
}

/// Likewise: `PrometheusRuleSpec`, whose groups tests/monitoring.rs gives to Prometheus.
#[derive(Debug, Deserialize)]
struct PrometheusRule {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata")]
    _metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    #[serde(rename = "spec")]
    _spec: Groups,
}

#[derive(Debug, Deserialize)]
struct Groups {
    #[serde(rename = "groups")]
    _groups: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct ServiceMonitorSpec {
    selector: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    port: String,
    #[serde(rename = "path")]
    _path: String,
}

fn check(object: &Value) {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            strict::<CustomResourceDefinition>(object);
        }
        ("apps/v1", "DaemonSet") => drop(strict::<DaemonSet>(object)),
        ("apps/v1", "Deployment") => drop(strict::<Deployment>(object)),
        ("monitoring.coreos.com/v1", "PrometheusRule") => drop(strict::<PrometheusRule>(object)),
        ("monitoring.coreos.com/v1", "ServiceMonitor") => drop(strict::<ServiceMonitor>(object)),
        ("networking.k8s.io/v1", "NetworkPolicy") => drop(strict::<NetworkPolicy>(object)),
        ("policy/v1", "PodDisruptionBudget") => drop(strict::<PodDisruptionBudget>(object)),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => drop(strict::<ClusterRole>(object)),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            drop(strict::<ClusterRoleBinding>(object));
        }
        ("rbac.authorization.k8s.io/v1", "Role") => drop(strict::<Role>(object)),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => drop(strict::<RoleBinding>(object)),
        ("v1", "ConfigMap") => drop(strict::<ConfigMap>(object)),
        ("v1", "Namespace") => drop(strict::<Namespace>(object)),
        ("v1", "Service") => drop(strict::<Service>(object)),
        ("v1", "ServiceAccount") => drop(strict::<ServiceAccount>(object)),
        other => panic!("{other:?} is checked by nobody"),
    }
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

fn pod(objects: &[Value]) -> PodTemplateSpec {
    let owner = of_kind(objects, "DaemonSet").or_else(|| of_kind(objects, "Deployment"));
    strict(&owner.expect("somebody makes pods")["spec"]["template"])
}

#[test]
#[should_panic(expected = "hostNetwrok\"]")]
fn a_misspelt_field_is_noticed() {
    let template = json!({ "spec": { "hostNetwrok": true, "containers": [] } });
    strict::<DaemonSet>(&json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {},
        "spec": { "selector": {}, "template": template },
    }));
}

#[tokio::test]
async fn every_object_is_of_its_kind_down_to_the_last_field() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "the strict look at what is installed") else { return };

    let base = rendered(&kubectl, &Path::new(ROOT).join("deploy")).await;
    base.iter().for_each(check);
    assert_eq!(base.len(), BASE.len());
    let image = pod(&base).spec.expect("a pod has a spec").containers.remove(0).image;
    assert_eq!(image, Some(format!("localhost/porter:{}", env!("CARGO_PKG_VERSION"))));
    for component in COMPONENTS {
        let objects = rendered(&kubectl, &overlay(&[component]).path()).await;
        objects.iter().for_each(check);
        assert_ne!(objects, base, "{component} changes nothing");
    }
    let mut orders = [COMPONENTS, COMPONENTS];
    orders[1].reverse();
    let [there, back] = orders.map(|order| overlay(&order));
    let mut there = rendered(&kubectl, &there.path()).await;
    let mut back = rendered(&kubectl, &back.path()).await;
    there.sort_by_key(ToString::to_string);
    back.sort_by_key(ToString::to_string);
    assert_eq!(there, back, "the order of components matters");
}

#[tokio::test]
async fn the_page_shows_how_to_have_it_otherwise() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "the kustomization on the page") else { return };
    let (_, shown) = PAGE.split_once("```yaml\n").expect("it shows one");
    let (shown, _) = shown.split_once("```").expect("it ends");

    let objects = rendered(&kubectl, &beside_a_checkout(shown).path()).await;

    assert!(of_kind(&objects, "DaemonSet").is_none() && of_kind(&objects, "Deployment").is_some());
    let pod = pod(&objects).spec.expect("a pod has a spec");
    let image = format!("registry.example.com/porter:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(pod.containers[0].image, Some(image));
    for component in COMPONENTS {
        assert!(PAGE.contains(&format!("\n| `{component}` | ")), "{component} is not on the page");
    }
}

#[tokio::test]
async fn kubectl_installs_it_without_a_warning_and_takes_it_away() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "installing the manifests") else { return };
    // A new cluster does not have it, and the lab's has.
    kubectl.says("delete namespace porter-system").await;
    let deploy = Path::new(ROOT).join("deploy");
    let apply = format!("apply -k {}", deploy.display());
    let told = |what: &str| BASE.map(|object| format!("{object} {what}\n")).concat();

    for (said, what) in [("apply", "created"), ("once more", "unchanged")] {
        let printed = kubectl.run_with(&apply, "").await;
        assert_eq!((printed.out, printed.err.as_str()), (told(what), ""), "{said}");
    }
    for component in COMPONENTS.into_iter().filter(|name| !NOT_IN_THE_LAB.contains(name)) {
        let overlay = overlay(&[component]);
        let apply = format!("apply -k {}", overlay.path().display());
        let printed = kubectl.run_with(&apply, "").await;
        assert_eq!((printed.succeeded, printed.err.as_str()), (true, ""), "{component}");
    }

    // What is in a namespace may be gone with it before its turn comes.
    kubectl.says(&format!("delete -k {} --ignore-not-found", deploy.display())).await;
    let left =
        "get sa,roles,rolebindings,clusterroles,clusterrolebindings,crd,ds,deploy,netpol,pdb";
    assert_eq!(kubectl.says(&format!("{left} --all-namespaces --output name")).await, "");
    let namespaces = kubectl.says("get namespaces --output name").await;
    assert_eq!(namespaces, "namespace/default\nnamespace/kube-system\n");
}

#[tokio::test]
async fn a_pod_has_the_hosts_network_and_packet_sockets_and_nothing_else() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "what a pod may do") else { return };
    let sealed = SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: Some(vec!["NET_RAW".to_owned()]),
            drop: Some(vec!["ALL".to_owned()]),
        }),
        read_only_root_filesystem: Some(true),
        run_as_user: Some(0),
        ..SecurityContext::default()
    };
    let profile = SeccompProfile { localhost_profile: None, type_: "RuntimeDefault".to_owned() };
    let of_pod =
        PodSecurityContext { seccomp_profile: Some(profile), ..PodSecurityContext::default() };

    for components in [vec![], vec!["deployment"], COMPONENTS.to_vec()] {
        let objects = rendered(&kubectl, &overlay(&components).path()).await;
        let pod = pod(&objects).spec.expect("a pod has a spec");
        assert_eq!(pod.security_context.as_ref(), Some(&of_pod));
        let [container] = &pod.containers[..] else { panic!("{components:?}") };
        assert_eq!(container.security_context.as_ref(), Some(&sealed));
        assert_eq!(container.volume_mounts, None);
        assert_eq!(container.env_from, None);
        let PodSpec { host_network, host_pid, host_ipc, volumes, init_containers, .. } = pod;
        assert_eq!((host_network, host_pid, host_ipc), (Some(true), None, None));
        assert_eq!((volumes, init_containers), (None, None));
    }
}

#[tokio::test]
async fn whoever_selects_agents_finds_them() {
    let server = Server::start().await;
    let Some(kubectl) = kubectl(&server, "what is selected") else { return };
    let objects = rendered(&kubectl, &overlay(&COMPONENTS).path()).await;
    let pod = pod(&objects);
    let labels =
        |object: Option<&Value>| object.expect("it is there")["metadata"]["labels"].clone();
    let labels_of_pods = serde_json::to_value(pod.metadata.expect("it has labels").labels);
    let of_pods = labels_of_pods.expect("labels are JSON");
    let selects = |selector: &Value, labels: &Value| {
        let wanted = selector.as_object().expect("labels are wanted");
        assert!(!wanted.is_empty());
        assert!(wanted.iter().all(|(key, value)| labels[key] == *value), "{selector} {labels}");
    };

    let budget = of_kind(&objects, "PodDisruptionBudget").expect("it is there");
    selects(&budget["spec"]["selector"]["matchLabels"], &of_pods);
    let deployment = of_kind(&objects, "Deployment").expect("it is there");
    selects(&deployment["spec"]["selector"]["matchLabels"], &of_pods);
    let apart = "/spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
    let apart = deployment.pointer(apart).expect("they are apart");
    selects(&apart["labelSelector"]["matchLabels"], &of_pods);
    let service = of_kind(&objects, "Service").expect("it is there");
    selects(&service["spec"]["selector"], &of_pods);
    let monitor = of_kind(&objects, "ServiceMonitor").expect("it is there");
    selects(&monitor["spec"]["selector"]["matchLabels"], &labels(Some(service)));

    let monitor: ServiceMonitor = strict(monitor);
    assert!(monitor.spec.selector.match_expressions.is_none());
    let port = &service["spec"]["ports"][0];
    assert_eq!(port["name"], monitor.spec.endpoints[0].port);
    let container = pod.spec.expect("a pod has a spec").containers.remove(0);
    let named = container.ports.expect("the port has a name").remove(0);
    assert_eq!(
        (&port["targetPort"], &port["port"]),
        (&json!(named.name), &json!(named.container_port))
    );
    let told_at = container.args.expect("it has some").pop().expect("it is the last");
    assert_eq!(told_at, format!("--http=0.0.0.0:{}", named.container_port));
}

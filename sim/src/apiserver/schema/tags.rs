//! What the Go types of the built-in kinds say in tags about merging, and no schema at hand does.

use serde_json::{Map, Value, json};

/// The lists whose elements have an identity: in which type, which field, and which field of an element is its
/// identity, for a strategic merge patch (the tag `patchMergeKey` of the Go type).
const MERGED_BY: [(&str, &str, &str); 26] = [
    ("ObjectMeta", "ownerReferences", "uid"),
    ("PodSpec", "containers", "name"),
    ("PodSpec", "initContainers", "name"),
    ("PodSpec", "ephemeralContainers", "name"),
    ("PodSpec", "volumes", "name"),
    ("PodSpec", "imagePullSecrets", "name"),
    ("PodSpec", "hostAliases", "ip"),
    ("PodSpec", "resourceClaims", "name"),
    ("PodSpec", "schedulingGates", "name"),
    ("PodSpec", "topologySpreadConstraints", "topologyKey"),
    ("PodStatus", "conditions", "type"),
    ("PodStatus", "podIPs", "ip"),
    ("Container", "env", "name"),
    ("Container", "ports", "containerPort"),
    ("Container", "volumeMounts", "mountPath"),
    ("Container", "volumeDevices", "devicePath"),
    ("ServiceSpec", "ports", "port"),
    ("ServiceStatus", "conditions", "type"),
    ("NamespaceStatus", "conditions", "type"),
    ("NodeStatus", "addresses", "type"),
    ("NodeStatus", "conditions", "type"),
    ("DeploymentStatus", "conditions", "type"),
    ("ReplicaSetStatus", "conditions", "type"),
    ("DaemonSetStatus", "conditions", "type"),
    ("PodDisruptionBudgetStatus", "conditions", "type"),
    ("ServiceAccount", "secrets", "name"),
];

/// The lists whose elements are told apart by more fields when they are applied, or only then (`+listMapKey`). A
/// field with a default counts as having it.
const APPLIED_BY: [(&str, &str, &[&str]); 4] = [
    ("Container", "ports", &["containerPort", "protocol"]),
    ("CustomResourceDefinitionStatus", "conditions", &["type"]),
    ("PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("ServiceSpec", "ports", &["port", "protocol"]),
];

/// The lists of plain values that are sets, and whether a strategic merge patch adds to them.
const SETS: [(&str, &str, bool); 3] = [
    ("ObjectMeta", "finalizers", true),
    ("NodeSpec", "podCIDRs", true),
    ("Endpoint", "addresses", false),
];

/// The fields that a list is told apart by and that may be left out.
const DEFAULTS: [(&str, &str, &str); 3] = [
    ("ContainerPort", "protocol", "TCP"),
    ("LocalObjectReference", "name", ""),
    ("ServicePort", "protocol", "TCP"),
];

/// The types, or maps in a type, that are applied in one piece (`+structType=atomic`, `+mapType=atomic`).
const ATOMIC: [(&str, Option<&str>); 12] = [
    ("ConfigMapKeySelector", None),
    ("LabelSelector", None),
    ("LocalObjectReference", None),
    ("NodeSelector", None),
    ("NodeSelectorTerm", None),
    ("ObjectFieldSelector", None),
    ("ObjectReference", None),
    ("OwnerReference", None),
    ("PodSpec", Some("nodeSelector")),
    ("ResourceFieldSelector", None),
    ("SecretKeySelector", None),
    ("ServiceSpec", Some("selector")),
];

/// The structs that are part of another rather than pointed to: there is no object without them.
const EMBEDDED: [(&str, &str); 46] = [
    ("Container", "resources"),
    ("ContainerStatus", "lastState"),
    ("ContainerStatus", "state"),
    ("CustomResourceDefinition", "metadata"),
    ("CustomResourceDefinition", "spec"),
    ("CustomResourceDefinition", "status"),
    ("CustomResourceDefinitionSpec", "names"),
    ("CustomResourceDefinitionStatus", "acceptedNames"),
    ("ClusterRoleBinding", "roleRef"),
    ("DaemonSet", "spec"),
    ("DaemonSet", "status"),
    ("DaemonSetSpec", "template"),
    ("DaemonSetSpec", "updateStrategy"),
    ("Deployment", "metadata"),
    ("Deployment", "spec"),
    ("Deployment", "status"),
    ("DeploymentSpec", "strategy"),
    ("DeploymentSpec", "template"),
    ("Endpoint", "conditions"),
    ("core.v1.Event", "involvedObject"),
    ("core.v1.Event", "source"),
    ("events.v1.Event", "deprecatedSource"),
    ("events.v1.Event", "regarding"),
    ("Lease", "spec"),
    ("Namespace", "spec"),
    ("Namespace", "status"),
    ("NetworkPolicy", "spec"),
    ("NetworkPolicySpec", "podSelector"),
    ("Node", "spec"),
    ("Node", "status"),
    ("NodeDaemonEndpoints", "kubeletEndpoint"),
    ("NodeStatus", "daemonEndpoints"),
    ("NodeStatus", "nodeInfo"),
    ("Pod", "spec"),
    ("Pod", "status"),
    ("PodDisruptionBudget", "spec"),
    ("PodDisruptionBudget", "status"),
    ("PodTemplateSpec", "metadata"),
    ("PodTemplateSpec", "spec"),
    ("ReplicaSet", "spec"),
    ("ReplicaSet", "status"),
    ("ReplicaSetSpec", "template"),
    ("RoleBinding", "roleRef"),
    ("Service", "spec"),
    ("Service", "status"),
    ("ServiceStatus", "loadBalancer"),
];

/// Marks the types with what their tags say, as the OpenAPI documents of a real server do.
pub(super) fn mark(definitions: &mut Map<String, Value>) {
    let definitions = &mut Definitions(definitions);
    for (kind, field, key) in MERGED_BY {
        definitions.annotate(kind, field, "patch-strategy", json!("merge"));
        definitions.annotate(kind, field, "patch-merge-key", json!(key));
        definitions.annotate(kind, field, "list-type", json!("map"));
        definitions.annotate(kind, field, "list-map-keys", json!([key]));
    }
    for (kind, field, keys) in APPLIED_BY {
        definitions.annotate(kind, field, "list-type", json!("map"));
        definitions.annotate(kind, field, "list-map-keys", json!(keys));
    }
    for (kind, field, strategic) in SETS {
        definitions.annotate(kind, field, "list-type", json!("set"));
        if strategic {
            definitions.annotate(kind, field, "patch-strategy", json!("merge"));
        }
    }
    // One of several members is set; a change of which takes the others away.
    definitions.annotate("DeploymentSpec", "strategy", "patch-strategy", json!("retainKeys"));
    definitions.annotate("PodSpec", "volumes", "patch-strategy", json!("merge,retainKeys"));
    for (kind, field) in ATOMIC {
        match field {
            Some(field) => definitions.annotate(kind, field, "map-type", json!("atomic")),
            None => definitions.of(kind, |schema| {
                schema["x-kubernetes-map-type"] = json!("atomic");
            }),
        }
    }
    for (kind, field, default) in DEFAULTS {
        definitions.field(kind, field, |schema| schema["default"] = json!(default));
    }
    for (kind, field) in EMBEDDED {
        definitions.field(kind, field, |schema| schema["default"] = json!({}));
    }
}

struct Definitions<'a>(&'a mut Map<String, Value>);

impl Definitions<'_> {
    fn of(&mut self, kind: &str, mark: impl Fn(&mut Value)) {
        let suffix = format!(".{kind}");
        self.0.iter_mut().filter(|(name, _)| name.ends_with(&suffix)).for_each(|(_, of)| mark(of));
    }

    fn field(&mut self, kind: &str, field: &str, mark: impl Fn(&mut Value)) {
        self.of(kind, |schema| {
            let schema = schema["properties"].get_mut(field);
            mark(schema.expect("the table names a field of the type"));
        });
    }

    fn annotate(&mut self, kind: &str, field: &str, mark: &str, value: Value) {
        self.field(kind, field, |schema| schema[format!("x-kubernetes-{mark}")] = value.clone());
    }
}

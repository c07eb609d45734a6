//! The kinds the server knows: the built-in ones, and those that CustomResourceDefinitions add.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::schema::Rules;

/// The name of a collection: a plural, in an API group.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Resource {
    group: Cow<'static, str>,
    plural: Cow<'static, str>,
}

impl Resource {
    /// The nodes of the cluster.
    pub const NODES: Self = Self::builtin("", "nodes");
    /// The namespaces.
    pub const NAMESPACES: Self = Self::builtin("", "namespaces");
    /// The Services.
    pub const SERVICES: Self = Self::builtin("", "services");
    /// The pods.
    pub const PODS: Self = Self::builtin("", "pods");
    /// The Events, of the core group.
    pub const EVENTS: Self = Self::builtin("", "events");
    /// The same Events in their newer form, of the group `events.k8s.io`.
    pub const EVENTS_V1: Self = Self::builtin("events.k8s.io", "events");
    /// The Deployments.
    pub const DEPLOYMENTS: Self = Self::builtin("apps", "deployments");
    /// The ReplicaSets.
    pub const REPLICASETS: Self = Self::builtin("apps", "replicasets");
    /// The DaemonSets.
    pub const DAEMONSETS: Self = Self::builtin("apps", "daemonsets");
    /// The Leases.
    pub const LEASES: Self = Self::builtin("coordination.k8s.io", "leases");
    /// The EndpointSlices.
    pub const ENDPOINTSLICES: Self = Self::builtin("discovery.k8s.io", "endpointslices");
    /// The CustomResourceDefinitions.
    pub const CRDS: Self = Self::builtin("apiextensions.k8s.io", "customresourcedefinitions");
    /// The accounts that pods act for.
    pub const SERVICEACCOUNTS: Self = Self::builtin("", "serviceaccounts");
    /// What may be done in all namespaces, and with what is in none.
    pub const CLUSTERROLES: Self = Self::builtin("rbac.authorization.k8s.io", "clusterroles");
    /// Who may do that.
    pub const CLUSTERROLEBINDINGS: Self =
        Self::builtin("rbac.authorization.k8s.io", "clusterrolebindings");
    /// What may be done in one namespace.
    pub const ROLES: Self = Self::builtin("rbac.authorization.k8s.io", "roles");
    /// Who may do that.
    pub const ROLEBINDINGS: Self = Self::builtin("rbac.authorization.k8s.io", "rolebindings");
    /// Which pods may be reached by whom.
    pub const NETWORKPOLICIES: Self = Self::builtin("networking.k8s.io", "networkpolicies");
    /// How many pods may be taken away at a time.
    pub const PODDISRUPTIONBUDGETS: Self = Self::builtin("policy", "poddisruptionbudgets");

    const fn builtin(group: &'static str, plural: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), plural: Cow::Borrowed(plural) }
    }

    /// The collection `plural` of the API group `group`; the core group is the empty string.
    pub fn new(group: impl Into<String>, plural: impl Into<String>) -> Self {
        Self { group: Cow::Owned(group.into()), plural: Cow::Owned(plural.into()) }
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The plural, as in a URL.
    #[must_use]
    pub fn plural(&self) -> &str {
        &self.plural
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.group {
            "" => f.write_str(&self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}

/// What the server knows about one kind.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) resource: Resource,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Whether `metadata.generation` counts the changes of what is asked for.
    pub(crate) counts_generations: bool,
    /// The version in which objects are stored.
    pub(crate) storage: String,
    /// Every version that is served, the preferred one first.
    pub(crate) versions: Vec<KindVersion>,
}

/// One served version of a kind.
#[derive(Clone, Debug)]
pub(crate) struct KindVersion {
    pub(crate) name: String,
    /// Whether `status` is a subresource of its own.
    pub(crate) status: bool,
    /// Where the `scale` subresource finds its numbers, if there is one.
    pub(crate) scale: Option<ScalePaths>,
    /// For custom resources: the structural schema.
    pub(crate) schema: Option<Value>,
    /// The rules in the schema, read when they are first needed.
    pub(crate) read_rules: Arc<OnceLock<Rules>>,
    /// For custom resources: the paths of `selectableFields`, without the dot that they start with.
    pub(crate) selectable_fields: Vec<String>,
    /// For custom resources: `additionalPrinterColumns`.
    pub(crate) columns: Vec<Value>,
}

impl KindVersion {
    /// The rules that objects are held to.
    pub(crate) fn rules(&self) -> &Rules {
        self.read_rules.get_or_init(|| self.schema.as_ref().map(Rules::of).unwrap_or_default())
    }
}

/// The JSON pointers behind a `scale` subresource.
#[derive(Clone, Debug)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    pub(crate) selector: Option<String>,
}

impl Kind {
    pub(crate) fn version(&self, name: &str) -> Option<&KindVersion> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// The version that objects are stored in. A definition always has one.
    pub(crate) fn stored(&self) -> &KindVersion {
        self.version(&self.storage)
            .or_else(|| self.versions.first())
            .expect("every kind has a version")
    }

    /// `apiVersion` for objects in one of the served versions.
    pub(crate) fn api_version(&self, version: &str) -> String {
        match self.resource.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Whether an object may be replaced by one that does not say which version it is based on.
    pub(crate) fn takes_any_version(&self) -> bool {
        !(self.is_custom() || [Resource::LEASES, Resource::CRDS].contains(&self.resource))
    }

    /// Whether the kind came with a CustomResourceDefinition.
    pub(crate) fn is_custom(&self) -> bool {
        self.versions.iter().any(|version| version.schema.is_some())
    }
}

/// The kinds that are there before any CustomResourceDefinition.
pub(crate) fn builtin_kinds() -> Vec<Kind> {
    vec![
        builtin(&Resource::NAMESPACES, "Namespace", &["ns"]).cluster_wide().status(),
        builtin(&Resource::NODES, "Node", &["no"]).cluster_wide().status(),
        builtin(&Resource::SERVICES, "Service", &["svc"]).in_all().status(),
        builtin(&Resource::PODS, "Pod", &["po"]).in_all().status(),
        builtin(&Resource::EVENTS, "Event", &["ev"]),
        builtin(&Resource::EVENTS_V1, "Event", &["ev"]),
        builtin(&Resource::DEPLOYMENTS, "Deployment", &["deploy"])
            .in_all()
            .status()
            .scaled()
            .generations(),
        builtin(&Resource::REPLICASETS, "ReplicaSet", &["rs"])
            .in_all()
            .status()
            .scaled()
            .generations(),
        builtin(&Resource::DAEMONSETS, "DaemonSet", &["ds"]).in_all().status().generations(),
        builtin(&Resource::LEASES, "Lease", &[]),
        builtin(&Resource::ENDPOINTSLICES, "EndpointSlice", &[]).generations(),
        builtin(&Resource::CRDS, "CustomResourceDefinition", &["crd", "crds"])
            .cluster_wide()
            .status()
            .generations(),
        builtin(&Resource::SERVICEACCOUNTS, "ServiceAccount", &["sa"]),
        builtin(&Resource::CLUSTERROLES, "ClusterRole", &[]).cluster_wide(),
        builtin(&Resource::CLUSTERROLEBINDINGS, "ClusterRoleBinding", &[]).cluster_wide(),
        builtin(&Resource::ROLES, "Role", &[]),
        builtin(&Resource::ROLEBINDINGS, "RoleBinding", &[]),
        builtin(&Resource::NETWORKPOLICIES, "NetworkPolicy", &["netpol"]).generations(),
        builtin(&Resource::PODDISRUPTIONBUDGETS, "PodDisruptionBudget", &["pdb"])
            .status()
            .generations(),
    ]
}

fn builtin(resource: &Resource, kind: &str, short_names: &[&str]) -> Kind {
    Kind {
        resource: resource.clone(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        counts_generations: false,
        storage: "v1".to_owned(),
        versions: vec![KindVersion {
            name: "v1".to_owned(),
            status: false,
            scale: None,
            schema: None,
            selectable_fields: Vec::new(),
            read_rules: Arc::default(),
            columns: Vec::new(),
        }],
    }
}

/// What distinguishes the built-in kinds from each other.
impl Kind {
    fn cluster_wide(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn in_all(mut self) -> Self {
        self.categories = vec!["all".to_owned()];
        self
    }

    fn generations(mut self) -> Self {
        self.counts_generations = true;
        self
    }

    fn status(mut self) -> Self {
        for version in &mut self.versions {
            version.status = true;
        }
        self
    }

    fn scaled(mut self) -> Self {
        for version in &mut self.versions {
            version.scale = Some(ScalePaths {
                spec_replicas: "/spec/replicas".to_owned(),
                status_replicas: "/status/replicas".to_owned(),
                selector: Some("/spec/selector".to_owned()),
            });
        }
        self
    }
}

//! The schemas of the built-in kinds, as the `k8s-openapi` types describe themselves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::schemars::JsonSchema;
use k8s_openapi::schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};

use super::super::resource::Resource;
use super::tags;

/// Every type that the built-in kinds are made of, by its OpenAPI name, and which of them the kinds are.
pub(crate) struct Builtin {
    pub(crate) definitions: Map<String, Value>,
    names: BTreeMap<Resource, String>,
}

impl Builtin {
    /// The OpenAPI name of the type of a kind's objects.
    pub(crate) fn name(&self, resource: &Resource) -> Option<&str> {
        self.names.get(resource).map(String::as_str)
    }
}

/// The schemas of the built-in kinds.
pub(crate) fn builtin() -> &'static Builtin {
    static BUILTIN: LazyLock<Builtin> = LazyLock::new(generate);
    &BUILTIN
}

fn generate() -> Builtin {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let names = BTreeMap::from([
        (Resource::NAMESPACES, register::<Namespace>(&mut generator)),
        (Resource::NODES, register::<Node>(&mut generator)),
        (Resource::SERVICES, register::<Service>(&mut generator)),
        (Resource::PODS, register::<Pod>(&mut generator)),
        (Resource::EVENTS, register::<Event>(&mut generator)),
        (Resource::EVENTS_V1, register::<events::v1::Event>(&mut generator)),
        (Resource::DEPLOYMENTS, register::<Deployment>(&mut generator)),
        (Resource::REPLICASETS, register::<ReplicaSet>(&mut generator)),
        (Resource::DAEMONSETS, register::<DaemonSet>(&mut generator)),
        (Resource::LEASES, register::<Lease>(&mut generator)),
        (Resource::ENDPOINTSLICES, register::<EndpointSlice>(&mut generator)),
        (Resource::CRDS, register::<CustomResourceDefinition>(&mut generator)),
        (Resource::SERVICEACCOUNTS, register::<ServiceAccount>(&mut generator)),
        (Resource::CLUSTERROLES, register::<ClusterRole>(&mut generator)),
        (Resource::CLUSTERROLEBINDINGS, register::<ClusterRoleBinding>(&mut generator)),
        (Resource::ROLES, register::<Role>(&mut generator)),
        (Resource::ROLEBINDINGS, register::<RoleBinding>(&mut generator)),
        (Resource::NETWORKPOLICIES, register::<NetworkPolicy>(&mut generator)),
        (Resource::PODDISRUPTIONBUDGETS, register::<PodDisruptionBudget>(&mut generator)),
    ]);
    let mut definitions = generator.take_definitions(true);
    tags::mark(&mut definitions);
    for (name, definition) in &mut definitions {
        // These are any JSON, or one of several types; `k8s-openapi` calls them objects.
        if name
            .rsplit('.')
            .next()
            .is_some_and(|kind| kind == "JSON" || kind.starts_with("JSONSchemaPropsOr"))
            && let Some(rules) = definition.as_object_mut()
        {
            rules.remove("type");
        }
    }
    Builtin { definitions, names }
}

fn register<T: JsonSchema>(generator: &mut SchemaGenerator) -> String {
    generator.subschema_for::<T>();
    T::schema_name().into_owned()
}

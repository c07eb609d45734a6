//! What `kubectl` would show and do, by the same requests; a person without kubectl sees the
//! guide's story too.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        coordination::v1::Lease,
        core::v1::{Node, Pod, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, TypeMeta},
    discovery::{self, Scope},
};
use porter_backends::kube::Eip;
use porter_core::keys;
use serde_json::{Value, json};

use super::{agent, wait::Unmet};

/// The guide's Eip.
pub(crate) const EIP_YAML: &str = include_str!("../../../deploy/examples/eip-sample-layer2.yaml");
/// An Eip like the guide's, for IPv6.
pub(crate) const IPV6_EIP_YAML: &str =
    include_str!("../../../deploy/examples/dual-stack/eip-sample-layer2-ipv6.yaml");
/// A Service like the guide's, for the same Deployment, with both families.
pub(crate) const DUAL_STACK_YAML: &str =
    include_str!("../../../deploy/examples/dual-stack/mylbapp-dual-stack.yaml");
/// The guide's Service and Deployment.
pub(crate) const APP_YAML: &str = include_str!("../../../deploy/examples/mylbapp.yaml");

/// The namespace of the guide's objects.
const NAMESPACE: &str = "default";
/// The name of the agents' Lease.
const LEASE: &str = "porter-speaker";
/// Where kubectl remembers what it applied, and compares with when it applies again.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The API server as a person sees it.
#[derive(Clone)]
pub(crate) struct Kubectl {
    client: Client,
}

impl Kubectl {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// `kubectl apply -f`, of objects that are not there yet.
    pub(crate) async fn apply(&self, yaml: &str) -> Result<String, Unmet> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(invalid)?;
        let mut said = String::new();
        for document in documents {
            said += &self.create(document).await?;
        }
        Ok(said)
    }

    /// Creates an object so that a later `kubectl apply` of the same finds nothing to do.
    async fn create(&self, mut document: Value) -> Result<String, Unmet> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let types =
            TypeMeta { api_version: text(&document["apiVersion"]), kind: text(&document["kind"]) };
        let kind = GroupVersionKind::try_from(&types).map_err(invalid)?;
        let (resource, capabilities) = discovery::pinned_kind(&self.client, &kind).await?;
        let metadata = &mut document["metadata"];
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                metadata["namespace"] = NAMESPACE.into();
                Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
            }
        };
        if metadata["annotations"].is_null() {
            metadata["annotations"] = json!({});
        }
        let applied = format!("{document}\n");
        document["metadata"]["annotations"][LAST_APPLIED] = Value::String(applied);
        let object = serde_json::from_value(document).map_err(invalid)?;
        let manager = Some("kubectl-client-side-apply".into());
        let params = PostParams { field_manager: manager, ..PostParams::default() };
        let created = api.create(&params, &object).await?;
        let group = if kind.group.is_empty() { "" } else { &format!(".{}", kind.group) };
        Ok(format!("{}{group}/{} created\n", kind.kind.to_lowercase(), created.name_any()))
    }

    /// `kubectl get`, with `path` for the collection or the object: the table that the API server
    /// makes.
    pub(crate) async fn table(&self, path: &str, wide: bool) -> Result<String, Unmet> {
        let request = http::Request::get(path)
            .header(http::header::ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .map_err(invalid)?;
        let table: Value = self.client.request(request).await?;
        Ok(render(&table, wide))
    }

    /// The guide's Eip.
    pub(crate) async fn eip(&self) -> Result<Eip, Unmet> {
        self.eip_called("eip-sample-layer2").await
    }

    pub(crate) async fn eip_called(&self, name: &str) -> Result<Eip, Unmet> {
        Ok(Api::all(self.client.clone()).get(name).await?)
    }

    /// The guide's Service, or `None` if there is none.
    pub(crate) async fn service(&self) -> Result<Option<Service>, Unmet> {
        self.service_called("mylbapp-svc-layer2").await
    }

    pub(crate) async fn service_called(&self, name: &str) -> Result<Option<Service>, Unmet> {
        Ok(self.api().get_opt(name).await?)
    }

    pub(crate) async fn delete_service(&self) -> Result<String, Unmet> {
        let api: Api<Service> = self.api();
        api.delete("mylbapp-svc-layer2", &DeleteParams::default()).await?;
        Ok("service \"mylbapp-svc-layer2\" deleted".into())
    }

    /// The pods of the guide's Deployment that are not being deleted.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>, Unmet> {
        let listed = self.api::<Pod>().list(&ListParams::default().labels("app=mylbapp")).await?;
        let current = listed.items.into_iter();
        Ok(current.filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    pub(crate) async fn delete_pod(&self, name: &str) -> Result<String, Unmet> {
        self.api::<Pod>().delete(name, &DeleteParams::default()).await?;
        Ok(format!("pod \"{name}\" deleted"))
    }

    /// The pods on a node, those that are being deleted too.
    pub(crate) async fn pods_on(&self, node: &str) -> Result<Vec<Pod>, Unmet> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let mut pods = pods.list(&ListParams::default()).await?.items;
        pods.retain(|pod| {
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
        });
        Ok(pods)
    }

    /// The EndpointSlices of a Service.
    pub(crate) async fn slices(&self, service: &str) -> Result<Vec<EndpointSlice>, Unmet> {
        let label = format!("kubernetes.io/service-name={service}");
        Ok(self.api().list(&ListParams::default().labels(&label)).await?.items)
    }

    /// The nodes with a ready endpoint of the guide's Service.
    pub(crate) async fn endpoint_nodes(&self) -> Result<Vec<String>, Unmet> {
        let slices = self.slices("mylbapp-svc-layer2").await?;
        let endpoints = slices.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
        let ready = endpoints.filter(|endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
        });
        Ok(ready.filter_map(|endpoint| endpoint.node_name).collect())
    }

    /// `kubectl cordon`, or `uncordon`.
    pub(crate) async fn cordon(&self, node: &str, cordoned: bool) -> Result<String, Unmet> {
        let patch = Patch::Merge(json!({ "spec": { "unschedulable": cordoned.then_some(true) } }));
        let api: Api<Node> = Api::all(self.client.clone());
        api.patch(node, &PatchParams::default(), &patch).await?;
        Ok(format!("node/{node} {}", if cordoned { "cordoned" } else { "uncordoned" }))
    }

    /// The Lease of the agents, if it exists.
    pub(crate) async fn lease(&self) -> Result<Option<Lease>, Unmet> {
        Ok(self.leases().get_opt(LEASE).await?)
    }

    /// Creates the Lease of the agents; says whether there was none.
    pub(crate) async fn create_lease(&self, lease: &Value) -> Result<bool, Unmet> {
        let lease = serde_json::from_value(lease.clone()).map_err(invalid)?;
        match self.leases().create(&PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the Lease of the agents.
    pub(crate) async fn patch_lease(&self, change: &Value) -> Result<(), Unmet> {
        let patch = Patch::Merge(change);
        self.leases().patch(LEASE, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), agent::NAMESPACE)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

fn invalid(error: impl ToString) -> Unmet {
    Unmet::new(error.to_string())
}

/// The external address of a Service, the first if it has several.
pub(crate) fn external_ip(service: &Service) -> Option<&str> {
    external_ips(service).next()
}

/// The external addresses of a Service.
pub(crate) fn external_ips(service: &Service) -> impl Iterator<Item = &str> {
    let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
    let ingress = balancer.flat_map(|balancer| balancer.ingress.iter().flatten());
    ingress.filter_map(|ingress| ingress.ip.as_deref())
}

/// The node that is recorded on a Service.
pub(crate) fn recorded_node(service: &Service) -> Option<&str> {
    let key = keys::LAYER2.spelled(keys::Spelling::Porter);
    service.annotations().get(key).map(String::as_str)
}

/// Columns as wide as their widest cell, three spaces apart, as kubectl prints them.
fn render(table: &Value, wide: bool) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let columns = list(&table["columnDefinitions"]);
    let shown: Vec<usize> = (0..columns.len())
        .filter(|&at| wide || columns[at]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let head = shown.iter().map(|&at| text(&columns[at]["name"]).to_uppercase()).collect();
    let mut lines: Vec<Vec<String>> = vec![head];
    for row in list(&table["rows"]) {
        lines.push(shown.iter().map(|&at| text(&row["cells"][at])).collect());
    }
    let width = |at: usize| lines.iter().map(|line| line[at].len()).max().unwrap_or(0) + 3;
    let widths: Vec<_> = (0..shown.len()).map(width).collect();
    let rendered = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<String>().trim_end().to_owned()
    });
    rendered.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_printed_as_kubectl_prints_it() {
        let table = json!({
            "columnDefinitions": [
                { "name": "Name", "priority": 0 },
                { "name": "Usage", "priority": 0 },
                { "name": "Selector", "priority": 1 },
            ],
            "rows": [{ "cells": ["eip-sample-layer2", 1, "<none>"] }],
        });
        let narrow = "NAME                USAGE\neip-sample-layer2   1";
        assert_eq!(render(&table, false), narrow);
        assert!(render(&table, true).contains("SELECTOR\n"));
    }
}

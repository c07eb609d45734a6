//! Says where each Service's pods can be reached: one EndpointSlice per Service and address family.
//!
//! A terminating pod stays listed, serving but not ready, until it is gone, so that whoever reads
//! the slice can let go of it before it stops.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource as _, ResourceExt as _};

use super::names::suffix;
use super::pod::{controller_uid, finished, node, ready, terminating};
use super::snapshot::Snapshot;
use super::write::Write;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Slices to create, to bring up to date and, where a Service gave up a family, to delete.
pub(super) fn writes(seen: &Snapshot) -> Vec<Write> {
    let alive = |it: &&Service| it.metadata.deletion_timestamp.is_none();
    seen.services.iter().filter(alive).flat_map(|it| writes_for(it, seen)).collect()
}

fn writes_for(service: &Service, seen: &Snapshot) -> Vec<Write> {
    let wanted = wanted(service, &seen.pods);
    let uid = service.metadata.uid.as_deref();
    let managed = |it: &&EndpointSlice| it.labels().get(MANAGED_BY).is_some_and(|by| by == MANAGER);
    let mine = |it: &&EndpointSlice| managed(it) && controller_uid(*it) == uid;
    let existing: BTreeMap<String, &EndpointSlice> =
        seen.slices.iter().filter(mine).map(|it| (it.name_any(), it)).collect();
    let stale = existing.iter().filter(|(name, _)| !wanted.contains_key(*name));
    let stale = stale.map(|(_, slice)| Write::delete(*slice));
    let missing = wanted.iter().filter_map(|(name, slice)| match existing.get(name) {
        None => Some(Write::create(slice)),
        Some(old) if same(old, slice) => None,
        Some(old) => {
            let mut changed = slice.clone();
            changed.metadata.resource_version = old.metadata.resource_version.clone();
            Some(Write::replace(&changed))
        }
    });
    stale.chain(missing).collect()
}

fn same(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    old.metadata.labels == new.metadata.labels
        && old.endpoints == new.endpoints
        && old.ports == new.ports
}

/// The slices the Service should have, by name. A Service without a selector has its slices from
/// somebody else.
fn wanted(service: &Service, pods: &[Pod]) -> BTreeMap<String, EndpointSlice> {
    let Some(spec) = service.spec.as_ref().filter(|spec| selects(spec)) else {
        return BTreeMap::new();
    };
    let backs = |pod: &&Pod| {
        let wanted = spec.selector.iter().flatten();
        pod.metadata.namespace == service.metadata.namespace
            && !finished(pod)
            && wanted.clone().all(|(key, value)| pod.labels().get(key) == Some(value))
    };
    let mut pods: Vec<&Pod> = pods.iter().filter(backs).collect();
    pods.sort_by_key(|pod| pod.name_any());
    let families = spec.ip_families.clone().unwrap_or_else(|| vec!["IPv4".into()]);
    let slices = families.iter().map(|family| slice(service, spec, family, &pods));
    slices.map(|slice| (slice.name_any(), slice)).collect()
}

fn selects(spec: &ServiceSpec) -> bool {
    let selector = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    selector && spec.type_.as_deref() != Some("ExternalName")
}

fn slice(service: &Service, spec: &ServiceSpec, family: &str, pods: &[&Pod]) -> EndpointSlice {
    let name = service.name_any();
    let seed = format!("{:?} {family}", service.metadata.uid);
    EndpointSlice {
        address_type: family.into(),
        endpoints: Some(pods.iter().filter_map(|pod| endpoint(pod, spec, family)).collect()),
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            labels: Some(labels(service, spec)),
            name: Some(format!("{name}-{}", suffix(&seed))),
            namespace: service.namespace(),
            owner_references: service.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ports: Some(spec.ports.iter().flatten().map(|port| port_of(port, pods)).collect()),
    }
}

/// The Service's labels, and those that say what the slice is.
fn labels(service: &Service, spec: &ServiceSpec) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    // What a Service says under these keys is not about its slices.
    labels.remove(HEADLESS);
    if matches!(spec.cluster_ip.as_deref(), None | Some("" | "None")) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.name_any());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

/// The pod as an endpoint of the family, once it has an address and a node.
fn endpoint(pod: &Pod, spec: &ServiceSpec, family: &str) -> Option<Endpoint> {
    let status = pod.status.as_ref()?;
    let addresses = status.pod_ips.iter().flatten().filter_map(|it| it.ip.parse::<IpAddr>().ok());
    let address = addresses.into_iter().find(|address| address.is_ipv6() == (family == "IPv6"))?;
    let serving = ready(pod) || spec.publish_not_ready_addresses == Some(true);
    let terminating = terminating(pod);
    Some(Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(serving && !terminating),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        node_name: Some(node(pod)?.into()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// The port that the pods listen on for a port of the Service. A named target no pod has a port for
/// stays without number.
fn port_of(port: &ServicePort, pods: &[&Pod]) -> EndpointPort {
    let number = match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => pods.iter().find_map(|pod| container_port(pod, name)),
    };
    EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: number,
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
    }
}

fn container_port(pod: &Pod, name: &str) -> Option<i32> {
    let containers = &pod.spec.as_ref()?.containers;
    let ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .into_iter()
        .find(|port| port.name.as_deref() == Some(name))
        .map(|port| port.container_port)
}

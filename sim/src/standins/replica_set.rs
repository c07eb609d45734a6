//! Keeps as many pods as a ReplicaSet asks for.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};

use super::names::suffix;
use super::pod::{node, ready};
use super::snapshot::Snapshot;
use super::write::Write;

/// What the ReplicaSets lack, or have too much of.
pub(super) fn writes(seen: &Snapshot) -> Vec<Write> {
    let alive = |it: &&ReplicaSet| it.metadata.deletion_timestamp.is_none();
    seen.replica_sets.iter().filter(alive).flat_map(|it| writes_for(it, seen)).collect()
}

fn writes_for(replica_set: &ReplicaSet, seen: &Snapshot) -> Vec<Write> {
    let pods: Vec<&Pod> = seen.pods_of(replica_set).collect();
    let wanted = replica_set.spec.replicas.unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let mut writes: Vec<Write> = match pods.len().checked_sub(wanted) {
        Some(surplus) => {
            dispensable_first(&pods).into_iter().take(surplus).map(Write::delete).collect()
        }
        None => new_pods(replica_set, wanted - pods.len(), seen),
    };
    let status = status(replica_set, &pods);
    if replica_set.status.as_ref() != Some(&status) {
        let replica_set = ReplicaSet { status: Some(status), ..replica_set.clone() };
        writes.push(Write::replace_status(&replica_set));
    }
    writes
}

/// The pods in the order in which they would be given up: those without a node, those not ready,
/// those that came to a node which had most of the set already, and the youngest.
fn dispensable_first<'a>(pods: &[&'a Pod]) -> Vec<&'a Pod> {
    let mut pods = pods.to_vec();
    pods.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.name_any()));
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = pods
        .into_iter()
        .map(|pod| {
            let neighbours = on_node.entry(node(pod).unwrap_or_default()).or_default();
            *neighbours += 1;
            ((node(pod).is_some(), ready(pod), Reverse(*neighbours)), pod)
        })
        .rev()
        .collect();
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

fn new_pods(replica_set: &ReplicaSet, count: usize, seen: &Snapshot) -> Vec<Write> {
    let taken = |name: &str| {
        let namespace = &replica_set.metadata.namespace;
        seen.pods.iter().any(|pod| &pod.metadata.namespace == namespace && pod.name_any() == name)
    };
    let names = (0_u32..).map(|n| name(replica_set, n)).filter(|name| !taken(name));
    names.take(count).map(|name| Write::create(&new_pod(replica_set, name))).collect()
}

/// The `n`th name for a pod of the set in its present version: a pod that follows a deleted one is
/// not called the same.
fn name(replica_set: &ReplicaSet, n: u32) -> String {
    let metadata = &replica_set.metadata;
    let seed = format!("{:?} {:?} {n}", metadata.uid, metadata.resource_version);
    format!("{}-{}", replica_set.name_any(), suffix(&seed))
}

fn new_pod(replica_set: &ReplicaSet, name: String) -> Pod {
    let template = replica_set.spec.template.clone().unwrap_or_default();
    let described = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            annotations: described.annotations,
            generate_name: Some(format!("{}-", replica_set.name_any())),
            labels: described.labels,
            name: Some(name),
            namespace: replica_set.namespace(),
            owner_references: replica_set.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

fn status(replica_set: &ReplicaSet, pods: &[&Pod]) -> ReplicaSetStatus {
    let count = |count: usize| i32::try_from(count).expect("pods fit in memory");
    let ready = count(pods.iter().filter(|pod| ready(pod)).count());
    let positive = |count: i32| (count > 0).then_some(count);
    ReplicaSetStatus {
        available_replicas: positive(ready),
        fully_labeled_replicas: positive(count(pods.len())),
        observed_generation: replica_set.metadata.generation,
        ready_replicas: positive(ready),
        replicas: count(pods.len()),
        ..ReplicaSetStatus::default()
    }
}

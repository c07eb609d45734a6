//! Gives every waiting pod a node, spreading the pods of one owner.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::pod::{controller_uid, finished, node, terminating};
use super::snapshot::Snapshot;
use super::write::Write;

/// Where the waiting pods go: to the node that fits with the fewest pods of the same owner, by name
/// where that ties.
///
/// A node fits if it is Ready, not cordoned, not being deleted, and has the labels of the pod's
/// `nodeSelector`.
pub(super) fn writes(seen: &Snapshot, now: &Time) -> Vec<Write> {
    let mut load = Load::of(seen);
    let waits = |pod: &&Pod| node(pod).is_none() && !terminating(pod) && !finished(pod);
    let place = |pod: &Pod| {
        let fits = |it: &&Node| obstacle(it, pod).is_none();
        let best = seen.nodes.iter().filter(fits).map(|it| it.name_any());
        match best.min_by_key(|name| (load.count(pod, name), name.clone())) {
            Some(name) => {
                load.add(pod, &name);
                Some(bound(pod, name))
            }
            None => unschedulable(pod, &seen.nodes, now),
        }
    };
    seen.pods.iter().filter(waits).filter_map(place).collect()
}

/// How many pods of each owner each node has.
#[derive(Default)]
struct Load {
    pods: BTreeMap<(Option<String>, String), usize>,
}

impl Load {
    fn of(seen: &Snapshot) -> Self {
        let mut load = Self::default();
        for pod in seen.pods.iter().filter(|pod| !terminating(pod) && !finished(pod)) {
            if let Some(node) = node(pod) {
                load.add(pod, node);
            }
        }
        load
    }

    fn add(&mut self, pod: &Pod, node: &str) {
        *self.pods.entry(Self::key(pod, node)).or_default() += 1;
    }

    fn count(&self, pod: &Pod, node: &str) -> usize {
        self.pods.get(&Self::key(pod, node)).copied().unwrap_or(0)
    }

    fn key(pod: &Pod, node: &str) -> (Option<String>, String) {
        (controller_uid(pod).map(Into::into), node.into())
    }
}

/// Why the pod cannot go to the node, in the words of `kubectl describe pod`.
fn obstacle(node: &Node, pod: &Pod) -> Option<&'static str> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    let is_ready =
        conditions.unwrap_or_default().iter().any(|it| it.type_ == "Ready" && it.status == "True");
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    let selected = selector
        .is_none_or(|it| it.iter().all(|(key, value)| node.labels().get(key) == Some(value)));
    if !is_ready || node.metadata.deletion_timestamp.is_some() {
        Some("node(s) were not ready")
    } else if cordoned {
        Some("node(s) were unschedulable")
    } else if !selected {
        Some("node(s) didn't match Pod's node affinity/selector")
    } else {
        None
    }
}

fn bound(pod: &Pod, node: String) -> Write {
    let spec = PodSpec { node_name: Some(node), ..pod.spec.clone().unwrap_or_default() };
    Write::replace(&Pod { spec: Some(spec), ..pod.clone() })
}

fn unschedulable(pod: &Pod, nodes: &[Node], now: &Time) -> Option<Write> {
    let message = obstacles(pod, nodes);
    let old = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    let old = old.unwrap_or_default().iter().find(|it| it.type_ == "PodScheduled");
    if old.is_some_and(|it| it.message.as_deref() == Some(&message)) {
        return None;
    }
    let since =
        old.filter(|it| it.status == "False").and_then(|it| it.last_transition_time.clone());
    let condition = PodCondition {
        last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
        message: Some(message),
        reason: Some("Unschedulable".into()),
        status: "False".into(),
        type_: "PodScheduled".into(),
        ..PodCondition::default()
    };
    let status = PodStatus {
        conditions: Some(vec![condition]),
        phase: Some("Pending".into()),
        ..pod.status.clone().unwrap_or_default()
    };
    Some(Write::replace_status(&Pod { status: Some(status), ..pod.clone() }))
}

fn obstacles(pod: &Pod, nodes: &[Node]) -> String {
    if nodes.is_empty() {
        return "no nodes available to schedule pods".into();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for obstacle in nodes.iter().filter_map(|node| obstacle(node, pod)) {
        *counts.entry(obstacle).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(obstacle, count)| format!("{count} {obstacle}")).collect();
    format!("0/{} nodes are available: {}.", nodes.len(), counts.join(", "))
}

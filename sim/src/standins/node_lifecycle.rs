//! Says of a node whose kubelet is silent that nobody knows how it is, and of its pods that they are
//! not ready, as the node lifecycle controller does. Nobody is evicted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::pod::{node, ready};
use super::snapshot::Snapshot;
use super::write::Write;
use super::{apply, today};
use crate::apiserver::Store;

/// For how long a kubelet may be silent: the `--node-monitor-grace-period` that was the default for
/// years.
pub const GRACE: Duration = Duration::from_secs(40);

/// How soon a refused write is decided anew.
const RETRY: Duration = Duration::from_secs(1);

/// Since when the kubelets are silent that are, by node.
pub type Silent = BTreeMap<String, Instant>;

/// Plays the node lifecycle controller until dropped, and the kubelet that comes back.
pub(super) async fn watch_nodes(store: Store, mut silent: watch::Receiver<Silent>) {
    let mut before = BTreeSet::new();
    loop {
        let now = Instant::now();
        let current = silent.borrow_and_update().clone();
        let seen = Snapshot::of(&store);
        let lost = |name: &str| current.get(name).is_some_and(|&since| now >= since + GRACE);
        let back = |name: &str| before.contains(name) && !current.contains_key(name);
        let nodes = seen.nodes.iter().filter_map(|it| match it.name_any() {
            name if lost(&name) => unknown(it),
            name if back(&name) => Some(posting(it)),
            _ => None,
        });
        let pods = seen.pods.iter().filter(|pod| node(pod).is_some_and(lost) && ready(pod));
        let refused = apply(&store, nodes.chain(pods.map(unready)).collect());
        let retry_at = refused.then(|| now + RETRY);
        let due_at = current.values().map(|&since| since + GRACE).filter(|&at| at > now);
        let deadline = due_at.chain(retry_at).min();
        if !refused {
            before = current.into_keys().collect();
        }
        tokio::select! {
            changed = silent.changed() => if changed.is_err() { return },
            () = sleep_until(deadline.unwrap_or(now)), if deadline.is_some() => {}
        }
    }
}

fn unknown(node: &Node) -> Option<Write> {
    let is_unknown = |it: &NodeCondition| it.type_ == "Ready" && it.status == "Unknown";
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let told = conditions.is_some_and(|conditions| conditions.iter().any(is_unknown));
    let message = "Kubelet stopped posting node status.";
    (!told).then(|| with_ready(node, "Unknown", "NodeStatusUnknown", message))
}

fn posting(node: &Node) -> Write {
    with_ready(node, "True", "KubeletReady", "kubelet is posting ready status")
}

fn with_ready(node: &Node, status: &str, reason: &str, message: &str) -> Write {
    let (mut node, now) = (node.clone(), today());
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    for condition in conditions.iter_mut().filter(|it| it.type_ == "Ready") {
        if condition.status != status {
            condition.last_transition_time = Some(now.clone());
        }
        if status == "True" {
            condition.last_heartbeat_time = Some(now.clone());
        }
        condition.status = status.into();
        condition.reason = Some(reason.into());
        condition.message = Some(message.into());
    }
    Write::replace_status(&node)
}

fn unready(pod: &Pod) -> Write {
    let (mut pod, now): (Pod, Time) = (pod.clone(), today());
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    for condition in conditions.iter_mut().filter(|it| it.type_ == "Ready") {
        condition.status = "False".into();
        condition.last_transition_time = Some(now.clone());
    }
    Write::replace_status(&pod)
}

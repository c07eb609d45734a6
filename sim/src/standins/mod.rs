//! Plays, small, the parts of a cluster that are not Porter's: without them an applied Deployment
//! stays a document.
//!
//! A Deployment becomes ReplicaSets, a ReplicaSet Pods, a Pod gets a node, the node starts it, and
//! the Service's EndpointSlice says where it can be reached. Each part looks at the whole of what
//! it needs and writes what is missing, so a change may be seen late, twice or not at all without
//! harm. They are as exact as `kubectl` and Porter can tell from outside, and no more: no probes,
//! no quotas, no affinities, no eviction.

mod deployment;
mod endpoint_slice;
mod kubelet;
mod names;
mod node;
mod node_lifecycle;
mod pod;
mod pod_status;
mod replica_set;
mod runtime;
mod scheduler;
mod snapshot;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub use node::{NodeFacts, guide_ipv6, guide_nodes};
pub use node_lifecycle::{GRACE, Silent};
pub use runtime::{PodFacts, PodRuntime};

use crate::apiserver::Store;
use kubelet::Kubelet;
use snapshot::Snapshot;
use write::Write;

/// How soon a refused write is decided anew. Most refusals come with a change that wakes the
/// stand-ins anyway.
const RETRY: Duration = Duration::from_secs(1);

/// Registers the nodes, then plays the rest of the cluster until dropped. Dropping it stops no pod.
///
/// On a node whose kubelet is silent no pod is started or stopped, and nobody reports.
pub async fn run(
    store: Store,
    nodes: Vec<NodeFacts>,
    runtime: impl PodRuntime,
    silent: watch::Receiver<Silent>,
) {
    let kubelets = Kubelet::new(runtime, silent.clone());
    let nodes_watched = node_lifecycle::watch_nodes(store.clone(), silent.clone());
    tokio::join!(play(store, nodes, kubelets, silent), nodes_watched);
}

async fn play(
    store: Store,
    nodes: Vec<NodeFacts>,
    mut kubelet: Kubelet<impl PodRuntime>,
    mut silent: watch::Receiver<Silent>,
) {
    let mut changes = store.changes();
    for node in nodes {
        apply(&store, vec![Write::create(&node.registration(&today()))]);
    }
    loop {
        changes.mark_unchanged();
        let retry_at = reconcile(&store, &mut kubelet).then(|| Instant::now() + RETRY);
        let deadline = kubelet.poll_timeout().into_iter().chain(retry_at).min();
        tokio::select! {
            changed = changes.changed() => changed.expect("the store outlives its stand-ins"),
            // Whoever can switch nodes off may go: they stay as they are.
            Ok(()) = silent.changed() => {}
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
    }
}

/// One round of every part, in the order in which a new Deployment needs them. Says whether a write
/// was refused.
fn reconcile(store: &Store, kubelet: &mut Kubelet<impl PodRuntime>) -> bool {
    let now = today();
    [
        apply(store, deployment::writes(&Snapshot::of(store), &now)),
        apply(store, replica_set::writes(&Snapshot::of(store))),
        apply(store, scheduler::writes(&Snapshot::of(store), &now)),
        apply(store, kubelet.writes(&Snapshot::of(store), Instant::now(), &now)),
        apply(store, endpoint_slice::writes(&Snapshot::of(store))),
    ]
    .contains(&true)
}

/// Writes; says whether a write was refused, which is no error: what it was decided on has changed.
fn apply(store: &Store, writes: Vec<Write>) -> bool {
    let mut refused = false;
    for write in writes {
        if let Err(status) = write.apply(store) {
            tracing::debug!(code = status.code, message = status.message, "a write was refused");
            refused = true;
        }
    }
    refused
}

/// Now, in whole seconds as the API has it: a finer time would differ from itself once stored.
fn today() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

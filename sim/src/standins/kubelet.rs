//! Runs the pods that were given a node, and reports how they are.
//!
//! One of these plays the kubelets of all nodes. The store deletes at once what nothing holds, and
//! a pod needs time to let go of its clients: so a pod is held by a finalizer for as long as it
//! runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::node_lifecycle::Silent;
use super::pod::{finished, node, terminating};
use super::pod_status;
use super::runtime::{PodFacts, PodRuntime};
use super::snapshot::Snapshot;
use super::write::Write;

const FINALIZER: &str = "porter.kubesphere.io/runs-in-the-lab";

/// How long a terminating pod goes on serving, so that whoever sends it traffic sees it terminate
/// before it is gone.
pub(super) const NOTICE: Duration = Duration::from_secs(1);

/// How long a pod that could not be started is left alone.
pub(super) const BACK_OFF: Duration = Duration::from_secs(1);

pub(super) struct Kubelet<R> {
    runtime: R,
    /// The kubelets that are silent because their nodes are.
    silent: watch::Receiver<Silent>,
    /// What is known of each pod, by UID.
    pods: BTreeMap<String, Known>,
}

struct Known {
    facts: PodFacts,
    state: State,
}

/// What became of a pod's start.
enum State {
    Failed {
        why: String,
        retry_at: Instant,
    },
    Runs {
        ips: Vec<IpAddr>,
        since: Time,
        /// Set once the pod was seen terminating.
        stop_at: Option<Instant>,
    },
}

impl<R: PodRuntime> Kubelet<R> {
    pub(super) fn new(runtime: R, silent: watch::Receiver<Silent>) -> Self {
        Self { runtime, silent, pods: BTreeMap::new() }
    }

    /// Starts and stops what has to be, and returns what the API must be told.
    pub(super) fn writes(&mut self, seen: &Snapshot, now: Instant, today: &Time) -> Vec<Write> {
        self.forget_vanished(seen);
        let silent = self.silent.borrow().clone();
        let tended = |pod: &&Pod| node(pod).is_some_and(|node| !silent.contains_key(node));
        let assigned = seen.pods.iter().filter(|pod| tended(pod) && !finished(pod));
        assigned.filter_map(|pod| self.tend(pod, seen, now, today)).collect()
    }

    /// When to look again, if nothing changes before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = |known: &Known| match known.state {
            State::Failed { retry_at, .. } => Some(retry_at),
            State::Runs { stop_at, .. } => stop_at,
        };
        let silent = self.silent.borrow();
        let tended = self.pods.values().filter(|known| !silent.contains_key(&known.facts.node));
        tended.filter_map(deadline).min()
    }

    fn forget_vanished(&mut self, seen: &Snapshot) {
        let present: BTreeSet<String> = seen.pods.iter().filter_map(|pod| pod.uid()).collect();
        let gone: Vec<String> =
            self.pods.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        for uid in gone {
            self.stop(&uid);
        }
    }

    fn stop(&mut self, uid: &str) {
        if let Some(Known { facts, state: State::Runs { .. } }) = self.pods.remove(uid) {
            self.runtime.stop(&facts);
        }
    }

    fn tend(&mut self, pod: &Pod, seen: &Snapshot, now: Instant, today: &Time) -> Option<Write> {
        if terminating(pod) {
            return self.see_off(pod, now);
        }
        if !pod.finalizers().iter().any(|it| it == FINALIZER) {
            return Some(held(pod));
        }
        let known = self.run(pod, now, today);
        let status = match &known.state {
            State::Failed { why, .. } => pod_status::failed(pod, why),
            State::Runs { ips, since, .. } => {
                pod_status::running(pod, &host_ips(pod, seen), ips, since)
            }
        };
        (pod.status.as_ref() != Some(&status))
            .then(|| Write::replace_status(&Pod { status: Some(status), ..pod.clone() }))
    }

    /// Starts the pod unless it runs or has only just failed to.
    fn run(&mut self, pod: &Pod, now: Instant, today: &Time) -> &Known {
        let facts = facts(pod);
        let uid = facts.uid.clone();
        let rest = match self.pods.get(&uid).map(|known| &known.state) {
            None => false,
            Some(State::Failed { retry_at, .. }) => now < *retry_at,
            Some(State::Runs { .. }) => true,
        };
        if !rest {
            let state = match self.runtime.start(&facts) {
                Ok(ips) => State::Runs { ips, since: today.clone(), stop_at: None },
                Err(why) => State::Failed { why, retry_at: now + BACK_OFF },
            };
            self.pods.insert(uid.clone(), Known { facts, state });
        }
        &self.pods[&uid]
    }

    /// Lets a terminating pod serve for as long as its notice runs, then stops it and lets it go.
    fn see_off(&mut self, pod: &Pod, now: Instant) -> Option<Write> {
        let uid = pod.uid().unwrap_or_default();
        if let Some(Known { state: State::Runs { stop_at, .. }, .. }) = self.pods.get_mut(&uid) {
            let stop_at = *stop_at.get_or_insert(now + NOTICE);
            if now < stop_at {
                return None;
            }
        }
        self.stop(&uid);
        pod.finalizers().iter().any(|it| it == FINALIZER).then(|| released(pod))
    }
}

fn held(pod: &Pod) -> Write {
    let mut held = pod.clone();
    held.finalizers_mut().push(FINALIZER.into());
    Write::replace(&held)
}

fn released(pod: &Pod) -> Write {
    let mut released = pod.clone();
    released.finalizers_mut().retain(|it| it != FINALIZER);
    Write::replace(&released)
}

fn facts(pod: &Pod) -> PodFacts {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let of = |protocol: &str| {
        let ports = ports.clone();
        let of = ports.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == protocol);
        of.filter_map(|port| u16::try_from(port.container_port).ok()).collect()
    };
    PodFacts {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        node: node(pod).unwrap_or_default().into(),
        ports: of("TCP"),
        udp_ports: of("UDP"),
    }
}

/// The `InternalIP`s of the pod's node.
fn host_ips<'a>(pod: &Pod, seen: &'a Snapshot) -> Vec<&'a str> {
    let node = seen.nodes.iter().find(|it| Some(&*it.name_any()) == node(pod));
    let status = node.and_then(|node| node.status.as_ref());
    let addresses = status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|it| it.type_ == "InternalIP");
    internal.map(|it| &*it.address).collect()
}

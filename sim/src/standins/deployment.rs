//! Turns a Deployment into ReplicaSets, one for each template it ever had, and sums them up in its
//! status.
//!
//! A changed template rolls out simply: the new ReplicaSet gets all its replicas at once, and the
//! older ones give up a pod for each new one that is available. There are never fewer pods than
//! asked for, and at most twice as many.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{Resource as _, ResourceExt as _};

use super::names::template_hash;
use super::pod::controller_uid;
use super::snapshot::Snapshot;
use super::write::Write;

const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";

/// What the Deployments lack.
pub(super) fn writes(seen: &Snapshot, now: &Time) -> Vec<Write> {
    let alive = |it: &&Deployment| it.metadata.deletion_timestamp.is_none();
    seen.deployments.iter().filter(alive).flat_map(|it| Rollout::of(it, seen).writes(now)).collect()
}

/// A Deployment and its ReplicaSets.
struct Rollout<'a> {
    deployment: &'a Deployment,
    /// Replicas asked for.
    wanted: i32,
    /// Name of the ReplicaSet that has the Deployment's template.
    current_name: String,
    current: Option<&'a ReplicaSet>,
    /// ReplicaSets of earlier templates, the youngest first.
    outdated: Vec<&'a ReplicaSet>,
}

impl<'a> Rollout<'a> {
    fn of(deployment: &'a Deployment, seen: &'a Snapshot) -> Self {
        let current_name = format!("{}-{}", deployment.name_any(), hash_of(deployment));
        let uid = deployment.metadata.uid.as_deref();
        let mut outdated: Vec<&ReplicaSet> =
            seen.replica_sets.iter().filter(|it| controller_uid(*it) == uid).collect();
        outdated.sort_by_key(|it| Reverse((revision(*it), it.name_any())));
        let current = outdated.iter().position(|it| it.name_any() == current_name);
        let current = current.map(|at| outdated.remove(at));
        let wanted = deployment.spec.replicas.unwrap_or(1);
        Self { deployment, wanted, current_name, current, outdated }
    }

    fn writes(&self, now: &Time) -> Vec<Write> {
        let paused = self.deployment.spec.paused == Some(true);
        let mut writes = Vec::new();
        if !paused {
            writes.extend(self.roll_forward());
            writes.extend(self.roll_off());
            writes.extend(self.note_revision());
        }
        let status = self.status(now);
        if self.deployment.status.as_ref() != Some(&status) {
            let deployment = Deployment { status: Some(status), ..self.deployment.clone() };
            writes.push(Write::replace_status(&deployment));
        }
        writes
    }

    /// The revision that the current template has, or gets.
    fn revision(&self) -> u64 {
        let newest_other = self.outdated.iter().map(|it| revision(*it)).max().unwrap_or(0);
        let own = self.current.map_or(0, revision);
        if own > newest_other { own } else { newest_other + 1 }
    }

    /// The current ReplicaSet exists, with all replicas.
    fn roll_forward(&self) -> Option<Write> {
        let Some(current) = self.current else { return Some(Write::create(&self.replica_set())) };
        let settled = replicas(current) == self.wanted && revision(current) == self.revision();
        (!settled).then(|| {
            let mut scaled = resized(current, self.wanted);
            scaled.annotations_mut().insert(REVISION.into(), self.revision().to_string());
            Write::replace(&scaled)
        })
    }

    /// The older ReplicaSets keep only what the current one cannot serve yet.
    fn roll_off(&self) -> Vec<Write> {
        let mut kept = self.wanted - self.current.map_or(0, available);
        let mut writes = Vec::new();
        for &outdated in &self.outdated {
            let replicas_kept = replicas(outdated).min(kept).max(0);
            kept -= replicas_kept;
            if replicas(outdated) != replicas_kept {
                writes.push(Write::replace(&resized(outdated, replicas_kept)));
            }
        }
        writes
    }

    fn note_revision(&self) -> Option<Write> {
        let noted = revision(self.deployment) == self.revision();
        (!noted).then(|| {
            let mut deployment = self.deployment.clone();
            deployment.annotations_mut().insert(REVISION.into(), self.revision().to_string());
            Write::replace(&deployment)
        })
    }

    fn replica_set(&self) -> ReplicaSet {
        let spec = self.deployment.spec.clone();
        let hash = (HASH_LABEL.to_owned(), hash_of(self.deployment));
        let mut template = spec.template;
        let labels = &mut template.metadata.get_or_insert_default().labels;
        labels.get_or_insert_default().extend([hash.clone()]);
        let mut selector = spec.selector;
        selector.match_labels.get_or_insert_default().extend([hash]);
        ReplicaSet {
            metadata: ObjectMeta {
                annotations: Some(BTreeMap::from([(REVISION.into(), self.revision().to_string())])),
                labels: template.metadata.as_ref().and_then(|it| it.labels.clone()),
                name: Some(self.current_name.clone()),
                namespace: self.deployment.namespace(),
                owner_references: self.deployment.controller_owner_ref(&()).map(|it| vec![it]),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(self.wanted),
                selector,
                template: Some(template),
                ..ReplicaSetSpec::default()
            },
            status: None,
        }
    }

    fn status(&self, now: &Time) -> DeploymentStatus {
        let all = || self.outdated.iter().copied().chain(self.current);
        let existing: i32 = all().map(pods).sum();
        let asked: i32 = all().map(replicas).sum();
        let updated = self.current.map_or(0, pods);
        let available: i32 = all().map(available).sum();
        let complete = [existing, updated, available].iter().all(|&count| count == self.wanted);
        DeploymentStatus {
            available_replicas: positive(available),
            conditions: Some(vec![
                self.condition("Available", availability(available >= self.wanted), now),
                self.condition("Progressing", self.progress(complete), now),
            ]),
            observed_generation: self.deployment.metadata.generation,
            ready_replicas: positive(all().map(ready).sum()),
            replicas: positive(existing),
            unavailable_replicas: positive(asked - available),
            updated_replicas: positive(updated),
            ..DeploymentStatus::default()
        }
    }

    fn progress(&self, complete: bool) -> (bool, &'static str, String) {
        let name = &self.current_name;
        match complete {
            true => {
                let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
                (true, "NewReplicaSetAvailable", message)
            }
            false => (true, "ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing.")),
        }
    }

    /// The condition `kind`, its times kept where nothing changed.
    fn condition(
        &self,
        kind: &str,
        (holds, reason, message): (bool, &str, String),
        now: &Time,
    ) -> DeploymentCondition {
        let status = if holds { "True" } else { "False" };
        let old = self.deployment.status.as_ref().and_then(|status| status.conditions.as_deref());
        let old = old.unwrap_or_default().iter().find(|it| it.type_.as_deref() == Some(kind));
        let same_status = old.filter(|it| it.status.as_deref() == Some(status));
        let same = same_status.filter(|it| it.message.as_deref() == Some(&message));
        let or_now = |time: Option<Time>| time.unwrap_or_else(|| now.clone());
        DeploymentCondition {
            last_transition_time: Some(or_now(
                same_status.and_then(|it| it.last_transition_time.clone()),
            )),
            last_update_time: Some(or_now(same.and_then(|it| it.last_update_time.clone()))),
            message: Some(message),
            reason: Some(reason.into()),
            status: Some(status.into()),
            type_: Some(kind.into()),
        }
    }
}

fn availability(available: bool) -> (bool, &'static str, String) {
    match available {
        true => {
            let message = "Deployment has minimum availability.".to_owned();
            (true, "MinimumReplicasAvailable", message)
        }
        false => {
            let message = "Deployment does not have minimum availability.".to_owned();
            (false, "MinimumReplicasUnavailable", message)
        }
    }
}

fn hash_of(deployment: &Deployment) -> String {
    template_hash(
        &serde_json::to_string(&deployment.spec.template).expect("a template is plain data"),
    )
}

fn resized(replica_set: &ReplicaSet, replicas: i32) -> ReplicaSet {
    let mut resized = replica_set.clone();
    resized.spec.replicas = Some(replicas);
    resized
}

fn revision(object: &impl kube::Resource) -> u64 {
    let annotations = object.meta().annotations.as_ref();
    annotations.and_then(|it| it.get(REVISION)?.parse().ok()).unwrap_or(0)
}

/// Kubernetes omits a count of zero.
fn positive(count: i32) -> Option<i32> {
    (count > 0).then_some(count)
}

fn replicas(replica_set: &ReplicaSet) -> i32 {
    replica_set.spec.replicas.unwrap_or(1)
}

fn pods(replica_set: &ReplicaSet) -> i32 {
    replica_set.status.as_ref().map_or(0, |status| status.replicas)
}

fn ready(replica_set: &ReplicaSet) -> i32 {
    replica_set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

fn available(replica_set: &ReplicaSet) -> i32 {
    replica_set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

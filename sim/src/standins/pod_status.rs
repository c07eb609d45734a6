//! A pod's status, as `kubectl get pods -o wide` and `kubectl describe pod` show it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateWaiting, ContainerStatus,
    HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

/// The status of a pod whose servers accept connections at each of `ips`.
pub(super) fn running(pod: &Pod, host_ips: &[&str], ips: &[IpAddr], since: &Time) -> PodStatus {
    let kinds =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let condition = |kind: &str| PodCondition {
        last_transition_time: Some(since.clone()),
        status: "True".into(),
        type_: kind.into(),
        ..PodCondition::default()
    };
    let started = |container: &Container| ContainerStatus {
        container_id: Some(format!("lab://{}/{}", pod.uid().unwrap_or_default(), container.name)),
        ready: true,
        started: Some(true),
        state: Some(ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(since.clone()) }),
            ..ContainerState::default()
        }),
        ..container_status(container)
    };
    PodStatus {
        conditions: Some(kinds.into_iter().map(condition).collect()),
        container_statuses: Some(containers(pod).iter().map(started).collect()),
        host_ip: host_ips.first().map(|&ip| ip.into()),
        host_ips: Some(host_ips.iter().map(|&ip| HostIP { ip: ip.into() }).collect()),
        phase: Some("Running".into()),
        pod_ip: ips.first().map(ToString::to_string),
        pod_ips: Some(ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        qos_class: Some("BestEffort".into()),
        start_time: Some(since.clone()),
        ..PodStatus::default()
    }
}

/// The status of a pod that could not be started.
pub(super) fn failed(pod: &Pod, why: &str) -> PodStatus {
    let waiting = |container: &Container| ContainerStatus {
        started: Some(false),
        state: Some(ContainerState {
            waiting: Some(ContainerStateWaiting {
                message: Some(why.into()),
                reason: Some("CreateContainerError".into()),
            }),
            ..ContainerState::default()
        }),
        ..container_status(container)
    };
    PodStatus {
        container_statuses: Some(containers(pod).iter().map(waiting).collect()),
        phase: Some("Pending".into()),
        qos_class: Some("BestEffort".into()),
        ..PodStatus::default()
    }
}

fn containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map_or(&[], |spec| &spec.containers)
}

fn container_status(container: &Container) -> ContainerStatus {
    let image = container.image.clone().unwrap_or_default();
    ContainerStatus {
        image: image.clone(),
        image_id: image,
        name: container.name.clone(),
        ..ContainerStatus::default()
    }
}

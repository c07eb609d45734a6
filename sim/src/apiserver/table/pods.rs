//! Pods.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, elements, text, text_or};
use super::cluster::created;
use super::{Column, View};

pub(super) fn pods() -> View {
    let mut columns = vec![Column::name()];
    columns.extend(["Ready", "Status", "Restarts", "Age"].map(Column::text));
    columns.extend(
        ["IP", "Node", "Nominated Node", "Readiness Gates"].map(|name| Column::text(name).wide()),
    );
    View::new(columns, |pod, now| {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let ready = elements(&status["containerStatuses"])
            .filter(|container| container["ready"] == true)
            .count();
        vec![
            pod["metadata"]["name"].clone(),
            json!(format!("{ready}/{}", elements(&spec["containers"]).count())),
            json!(pod_status(pod)),
            json!(restarts(status, now)),
            created(pod, now),
            json!(text_or(&status["podIP"], "<none>")),
            json!(text_or(&spec["nodeName"], "<none>")),
            json!(text_or(&status["nominatedNodeName"], "<none>")),
            json!(readiness_gates(pod)),
        ]
    })
}

/// The one word for how a pod is: what keeps a container from running, before the phase.
fn pod_status(pod: &Value) -> String {
    let status = &pod["status"];
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".to_owned();
    }
    let blocking = |container: &Value| {
        let state = &container["state"];
        let reason =
            text_or(&state["waiting"]["reason"], text(&state["terminated"]["reason"])).to_owned();
        match state["terminated"]["exitCode"].as_i64() {
            Some(code) if reason.is_empty() => Some(format!("ExitCode:{code}")),
            _ => Some(reason).filter(|reason| !reason.is_empty()),
        }
    };
    let blocked = elements(&status["containerStatuses"]).find_map(blocking);
    blocked.unwrap_or_else(|| {
        text_or(&status["reason"], text_or(&status["phase"], "Unknown")).to_owned()
    })
}

fn restarts(status: &Value, now: Timestamp) -> String {
    let count: u64 =
        elements(&status["containerStatuses"]).filter_map(|one| one["restartCount"].as_u64()).sum();
    let last = elements(&status["containerStatuses"])
        .map(|one| text(&one["lastState"]["terminated"]["finishedAt"]))
        .max();
    match last.filter(|last| count > 0 && !last.is_empty()) {
        Some(last) => format!("{count} ({} ago)", age(&json!(last), now)),
        None => count.to_string(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates: Vec<_> = elements(&pod["spec"]["readinessGates"]).collect();
    let passed = gates.iter().filter(|gate| {
        elements(&pod["status"]["conditions"]).any(|condition| {
            condition["type"] == gate["conditionType"] && condition["status"] == "True"
        })
    });
    if gates.is_empty() {
        "<none>".to_owned()
    } else {
        format!("{}/{}", passed.count(), gates.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_container_from_running_is_the_status() {
        let pod = |state: Value| json!({ "metadata": {}, "status": { "phase": "Pending", "containerStatuses": [{ "state": state }] } });
        assert_eq!(
            pod_status(&pod(json!({ "waiting": { "reason": "ContainerCreating" } }))),
            "ContainerCreating"
        );
        assert_eq!(pod_status(&pod(json!({ "terminated": { "exitCode": 3 } }))), "ExitCode:3");
        assert_eq!(pod_status(&pod(json!({ "running": {} }))), "Pending");
    }
}

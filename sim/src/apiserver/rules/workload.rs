//! Deployments and ReplicaSets.

use serde_json::{Value, json};

use super::super::status::Cause;
use super::{or_default, pod, unchanged};

pub(super) fn deployment(old: Option<&Value>, object: &mut Value) -> Vec<Cause> {
    or_default(object, "/spec/revisionHistoryLimit", 10);
    or_default(object, "/spec/progressDeadlineSeconds", 600);
    or_default(object, "/spec/strategy/type", "RollingUpdate");
    if object["spec"]["strategy"]["type"] == "RollingUpdate" {
        or_default(object, "/spec/strategy/rollingUpdate/maxSurge", "25%");
        or_default(object, "/spec/strategy/rollingUpdate/maxUnavailable", "25%");
    }
    replica_set(old, object)
}

pub(super) fn replica_set(old: Option<&Value>, object: &mut Value) -> Vec<Cause> {
    or_default(object, "/spec/replicas", 1);
    let template = &mut object["spec"]["template"];
    template["metadata"]["creationTimestamp"] = Value::Null;
    let mut causes = pod::spec(&mut template["spec"], "spec.template.spec");
    let spec = &object["spec"];
    if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
        causes.push(Cause::invalid(
            "spec.replicas",
            &spec["replicas"],
            "must be greater than or equal to 0",
        ));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let wanted = spec["selector"]["matchLabels"].as_object();
    if wanted.is_some_and(|wanted| wanted.iter().any(|(key, value)| labels[key] != *value)) {
        let shown = json!(labels.to_string());
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &shown,
            "`selector` does not match template `labels`",
        ));
    }
    causes.extend(unchanged(old, object, "/spec/selector"));
    causes
}

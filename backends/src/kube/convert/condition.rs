//! `status.conditions`, in which every kind says in the same words what is the matter (KEP-1623).

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff};
use porter_core::Timestamp;
use serde_json::{Value, json};

use super::metadata::timestamp;

/// The condition of a type, if there is one.
pub(super) fn fact(conditions: &[Condition], kind: &str) -> Option<porter_core::Condition> {
    let condition = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some(porter_core::Condition {
        met: condition.status == "True",
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        generation: condition.observed_generation.unwrap_or_default(),
        since: timestamp(condition.last_transition_time.0),
    })
}

/// The condition as it is written. Its times have no fractions: the API server keeps none.
pub(super) fn body(kind: &str, condition: &porter_core::Condition) -> Value {
    let porter_core::Condition { met, reason, message, generation, since } = condition;
    let mut body = json!({
        "type": kind,
        "status": if *met { "True" } else { "False" },
        "reason": reason,
        "message": message,
        "lastTransitionTime": text(*since),
    });
    if *generation != 0 {
        body["observedGeneration"] = json!(generation);
    }
    body
}

fn text(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1_000_000);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

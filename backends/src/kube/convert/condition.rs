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

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> porter_core::Condition {
        porter_core::Condition {
            met: true,
            reason: "Served".into(),
            message: "13 addresses on eth0".into(),
            generation: 4,
            since: Timestamp(1_596_628_800_000_000),
        }
    }

    fn read(conditions: Value) -> Option<porter_core::Condition> {
        let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap();
        fact(&conditions, "Ready")
    }

    #[test]
    fn a_condition_is_read_back_as_it_was_written_beside_those_of_other_types() {
        let unmet = porter_core::Condition { met: false, generation: 0, ..ready() };
        for condition in [ready(), unmet] {
            let mut other = body("Other", &condition);
            other["reason"] = json!("Elsewhere");
            assert_eq!(read(json!([other, body("Ready", &condition)])), Some(condition));
        }
    }

    #[test]
    fn a_condition_of_another_type_is_none() {
        assert_eq!(read(json!([])), None);
        assert_eq!(read(json!([body("Other", &ready())])), None);
    }

    #[test]
    fn what_nobody_knows_is_not_met() {
        let mut unknown = body("Ready", &ready());
        unknown["status"] = json!("Unknown");
        assert!(!read(json!([unknown])).unwrap().met);
    }

    #[test]
    fn times_are_written_in_whole_seconds_and_no_generation_is_left_out() {
        let since = Timestamp(1_596_628_801_999_999);
        let body = body("Ready", &porter_core::Condition { since, generation: 0, ..ready() });
        assert_eq!(body["lastTransitionTime"], "2020-08-05T12:00:01Z");
        assert_eq!(body.get("observedGeneration"), None);
    }
}

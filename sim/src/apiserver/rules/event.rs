//! What an Event has to say, in either of its two forms.
//!
//! Events with an `eventTime` have to be whole, and what is written through `events.k8s.io` has to keep to the
//! newer form and may change in nothing but its series. The fields are named as a real server names them in
//! both cases (`pkg/apis/core/validation/events.go`).

use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use super::super::resource::{Kind, Resource};
use super::super::status::Cause;
use super::unchanged;

/// The longest that a name of an instance, an action or a reason may be, in bytes.
const WORD_LIMIT: usize = 128;
/// The longest message, in bytes.
const MESSAGE_LIMIT: usize = 1024;

pub(super) fn check(kind: &Kind, old: Option<&Value>, object: &Value) -> Vec<Cause> {
    let old = old.map(|old| kind.to_stored(old.clone()));
    let event = kind.to_stored(object.clone());
    let mut causes = place(&event);
    if !event["eventTime"].is_null() {
        causes.extend(whole(&event));
    }
    if kind.resource == Resource::EVENTS_V1 {
        causes.extend(match old {
            None => newer(&event),
            Some(old) => newer_changed(&old, &event),
        });
    }
    causes
}

/// An Event lives where what it is about lives; about something without a namespace, in `default`.
fn place(event: &Value) -> Vec<Cause> {
    let about = text(&event["involvedObject"]["namespace"]);
    let at = text(&event["metadata"]["namespace"]);
    let fits = match (event["eventTime"].is_null(), about) {
        (true, "") => at == "default",
        (true, about) => at == about,
        (false, "") => matches!(at, "default" | "kube-system"),
        (false, _) => true,
    };
    if fits {
        return Vec::new();
    }
    let detail = "does not match event.namespace";
    vec![Cause::invalid("involvedObject.namespace", &json!(about), detail)]
}

fn whole(event: &Value) -> Vec<Cause> {
    static QUALIFIED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new("^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
            .expect("the pattern is valid")
    });
    let mut causes = Vec::new();
    let controller = text(&event["reportingComponent"]);
    if controller.is_empty() {
        causes.push(Cause::required("reportingController", ""));
    }
    if !QUALIFIED.is_match(controller) {
        let detail = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
                      an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                      validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        causes.push(Cause::invalid("reportingController", &json!(controller), detail));
    }
    for field in ["reportingInstance", "action", "reason"] {
        if text(&event[field]).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    let limits = ["reportingInstance", "action", "reason"].map(|field| (field, WORD_LIMIT));
    for (field, limit) in limits.into_iter().chain([("message", MESSAGE_LIMIT)]) {
        if text(&event[field]).len() > limit {
            let detail = format!("can have at most {limit} characters");
            causes.push(Cause::invalid(field, &json!(""), &detail));
        }
    }
    causes
}

fn newer(event: &Value) -> Vec<Cause> {
    let mut causes = series(event);
    if event["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
    }
    let kind = text(&event["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        let detail = format!("has invalid value: {kind}");
        causes.push(Cause::invalid("type", &json!(""), &detail));
    }
    let is_set = |field: &str| match &event[field] {
        Value::Null => false,
        Value::Number(count) => count.as_i64() != Some(0),
        Value::Object(source) => source.values().any(|part| !text(part).is_empty()),
        Value::Bool(_) | Value::String(_) | Value::Array(_) => true,
    };
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if is_set(field) {
            causes.push(Cause::invalid(field, &json!(""), "needs to be unset"));
        }
    }
    causes
}

fn newer_changed(old: &Value, event: &Value) -> Vec<Cause> {
    let mut causes = if old["series"] == event["series"] { Vec::new() } else { series(event) };
    for field in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "action",
        "related",
        "reportingInstance",
    ] {
        causes.extend(unchanged(Some(old), event, &format!("/{field}")));
    }
    if old["reportingComponent"] != event["reportingComponent"] {
        let now = &event["reportingComponent"];
        causes.push(Cause::invalid("reportingController", now, "field is immutable"));
    }
    if micros(&old["eventTime"]) != micros(&event["eventTime"]) {
        causes.push(Cause::invalid("eventTime", &event["eventTime"], "field is immutable"));
    }
    causes
}

fn series(event: &Value) -> Vec<Cause> {
    let series = &event["series"];
    let mut causes = Vec::new();
    if series.is_null() {
        return causes;
    }
    if series["count"].as_i64().unwrap_or(0) < 2 {
        causes.push(Cause::invalid("series.count", &json!(""), "should be at least 2"));
    }
    if series["lastObservedTime"].is_null() {
        causes.push(Cause::required("series.lastObservedTime", ""));
    }
    causes
}

/// A moment, to the microsecond: more than that is not kept by every client.
fn micros(time: &Value) -> Option<i64> {
    text(time).parse().ok().map(Timestamp::as_microsecond)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

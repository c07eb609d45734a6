//! What several tables have in common: ages, selectors, lists of names.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use porter_backends::view;
use serde_json::Value;

/// A text field, empty if it is not there.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text field, or what stands for nothing.
pub(super) fn text_or<'a>(value: &'a Value, nothing: &'a str) -> &'a str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(nothing)
}

/// The elements of a list, none if it is not there.
pub(super) fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// How long ago an RFC 3339 time was, `<unknown>` if there is none.
pub(super) fn age(since: &Value, now: Timestamp) -> String {
    match text(since).parse::<Timestamp>() {
        Ok(since) => match now.as_second() - since.as_second() {
            ..-1 => "<invalid>".to_owned(),
            // Clocks may differ by a second.
            seconds => view::age(Duration::from_secs(u64::try_from(seconds).unwrap_or_default())),
        },
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A label selector in its text form, `<none>` if it selects by nothing.
pub(crate) fn selector(selector: &Value) -> String {
    // A Service's selector is the labels themselves.
    let is_plain = selector["matchLabels"].is_null() && selector["matchExpressions"].is_null();
    let labels = if is_plain { selector } else { &selector["matchLabels"] };
    let mut terms: Vec<_> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    for expression in elements(&selector["matchExpressions"]) {
        let values = elements(&expression["values"]).map(text).collect::<Vec<_>>().join(",");
        let key = text(&expression["key"]);
        terms.push(match text(&expression["operator"]) {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({values})", operator.to_lowercase()),
        });
    }
    if terms.is_empty() { "<none>".to_owned() } else { terms.join(",") }
}

/// Names and images of a pod template's containers, each comma-separated.
pub(super) fn containers(template: &Value) -> (String, String) {
    let list = |field: &str| {
        elements(&template["spec"]["containers"])
            .map(|container| text(&container[field]))
            .collect::<Vec<_>>()
            .join(",")
    };
    (list("name"), list("image"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_read_as_they_are_typed() {
        assert_eq!(selector(&json!({ "app": "web" })), "app=web");
        assert_eq!(selector(&json!(null)), "<none>");
        let both = json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["a", "b"] }],
        });
        assert_eq!(selector(&both), "app=web,tier notin (a,b)");
    }
}

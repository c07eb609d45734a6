//! What several tables have in common: ages, selectors, lists of names.

use k8s_openapi::jiff::Timestamp;
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
        Ok(since) => lasting(now.as_second() - since.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A number of seconds as kubectl's users read it: two units at most, one where the second says little.
fn lasting(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, 'y', days % 365, 'd'),
        252_288_000.. => format!("{}y", days / 365),
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
    fn ages_get_coarser_as_they_grow() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (4 * 3600 + 120, "4h2m"),
            (47 * 3600, "47h"),
            (3 * 86_400 + 7200, "3d2h"),
            (10 * 86_400, "10d"),
            (800 * 86_400, "2y70d"),
            (4000 * 86_400, "10y"),
            (-5, "<invalid>"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(lasting(seconds), shown, "{seconds} s");
        }
    }

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

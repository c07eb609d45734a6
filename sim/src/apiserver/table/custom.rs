//! Custom resources: the columns that their definition prints, or name and age.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::resource::KindVersion;
use super::cells::age;
use super::cluster::created;
use super::{Column, View};

pub(super) fn view(version: Option<&KindVersion>) -> View {
    let printed = version.map(|version| version.columns.clone()).unwrap_or_default();
    let mut columns = vec![Column::name()];
    if printed.is_empty() {
        columns.push(Column::text("Age"));
        return View::new(columns, |object, now| {
            vec![object["metadata"]["name"].clone(), created(object, now)]
        });
    }
    columns.extend(printed.iter().map(column));
    View::new(columns, move |object, now| {
        let cells = printed.iter().map(|column| cell(column, object, now));
        std::iter::once(object["metadata"]["name"].clone()).chain(cells).collect()
    })
}

fn column(printed: &Value) -> Column {
    let text = |field: &str| printed[field].as_str().unwrap_or_default().to_owned();
    Column {
        kind: text("type"),
        priority: printed["priority"].as_i64().unwrap_or(0),
        description: text("description"),
        ..Column::text(&text("name"))
    }
}

fn cell(column: &Value, object: &Value, now: Timestamp) -> Value {
    let Some(found) = look_up(object, column["jsonPath"].as_str().unwrap_or_default()) else {
        return Value::Null;
    };
    match (column["type"].as_str().unwrap_or_default(), found) {
        ("date", since) => json!(age(since, now)),
        ("string", Value::String(_))
        | ("integer" | "number", Value::Number(_))
        | ("boolean", Value::Bool(_)) => found.clone(),
        ("string", other) => json!(other.to_string()),
        _ => Value::Null,
    }
}

/// Follows a JSON path such as `.spec.address`, `.status.pools[0].name` or `.metadata.labels['a.b/c']`; of
/// `[*]` the first element, and of `[?(@.type=="Ready")]` the first that fits.
fn look_up<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = object;
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']')?;
            at = element(at, &inner[..end])?;
            rest = &inner[end + 1..];
        } else {
            let field = rest.strip_prefix('.')?;
            let end = end_of_field(field);
            at = at.get(field[..end].replace('\\', ""))?;
            rest = &field[end..];
        }
    }
    Some(at).filter(|found| !found.is_null())
}

/// Where a field's name ends; a dot after a backslash is part of it.
fn end_of_field(field: &str) -> usize {
    let mut escaped = false;
    let ends = |(_, letter): &(usize, char)| {
        let here = !escaped && matches!(letter, '.' | '[');
        escaped = *letter == '\\';
        here
    };
    field.char_indices().find(ends).map_or(field.len(), |(at, _)| at)
}

fn element<'a>(list: &'a Value, index: &str) -> Option<&'a Value> {
    if let Some(name) = index.strip_prefix('\'').and_then(|index| index.strip_suffix('\'')) {
        return list.get(name);
    }
    if let Some(condition) = index.strip_prefix("?(@.").and_then(|index| index.strip_suffix(')')) {
        let (field, wanted) = condition.split_once("==")?;
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        return list.as_array()?.iter().find(|element| element[field.trim()] == wanted);
    }
    match index {
        "*" => list.get(0),
        number => list.get(number.parse::<usize>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_paths_of_printed_columns_are_followed() {
        let object = json!({
            "spec": { "address": "a-b", "pools": [{ "name": "p" }] },
            "metadata": { "labels": { "a.b/c": "label" } },
            "status": { "conditions": [{ "type": "Other" }, { "type": "Ready", "status": "True" }] },
        });
        let found = |path| look_up(&object, path).cloned().unwrap_or_default();
        assert_eq!(found(".spec.address"), "a-b");
        assert_eq!(found(".spec.pools[0].name"), "p");
        assert_eq!(found(".metadata.labels['a.b/c']"), "label");
        assert_eq!(found(".metadata.labels.a\\.b/c"), "label");
        assert_eq!(found(".status.conditions[?(@.type==\"Ready\")].status"), "True");
        assert_eq!(found(".spec.nothing.here"), Value::Null);
    }
}

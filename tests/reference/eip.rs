//! The page of the kind Eip.

use std::fmt::Write as _;

use serde_json::Value;

/// Its fields, with types, defaults and limits, and what the API server refuses.
pub(crate) fn page() -> String {
    let crd: Value = serde_saphyr::from_str(&super::porter(&["crd"])).expect("it is YAML");
    let (group, kind) = (text(&crd["spec"]["group"]), text(&crd["spec"]["names"]["kind"]));
    let versions = crd["spec"]["versions"].as_array().expect("it has versions");
    let served = versions.iter().find(|version| version["served"] == true).expect("one is served");
    let schema = &served["schema"]["openAPIV3Schema"];
    let mut page = format!(
        "# Eip\n\n{}\n\n\
         `apiVersion: {group}/{}`, `kind: {kind}`; it belongs to no namespace.\n\
         This page is made of the definition that `porter crd` prints; `{}` renews it.\n\
         What the conditions say is in [conditions.md](../conditions.md#eip-ready).\n",
        text(&schema["description"]),
        text(&served["name"]),
        super::RENEW
    );
    for part in ["spec", "status"] {
        let _ =
            write!(page, "\n## {part}\n\n{}\n\n", text(&schema["properties"][part]["description"]));
        page += "| field | type | default | limits | meaning |\n|---|---|---|---|---|\n";
        fields(&mut page, part, &schema["properties"][part]);
    }
    page += "\n## What the API server refuses\n\n\
             From Kubernetes 1.25 on it evaluates these rules (CEL), and answers with the message of each that \
             does not hold.\n\
             Older ones take the Eip, and its condition `Ready` says what is wrong.\n";
    rules(&mut page, "spec", &schema["properties"]["spec"]);
    page += "\n## What `kubectl get eip` shows\n\n\
             Those with a priority only with `-o wide`.\n\n\
             | column | field | priority |\n|---|---|---|\n";
    for column in served["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let priority = column["priority"].as_i64().unwrap_or_default();
        let (name, path) = (text(&column["name"]), text(&column["jsonPath"]));
        let _ = writeln!(page, "| {name} | `{}` | {priority} |", path.trim_start_matches('.'));
    }
    page
}

/// A row for each field below an object.
fn fields(page: &mut String, path: &str, object: &Value) {
    let required: Vec<_> = object["required"].as_array().into_iter().flatten().collect();
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let is_required = required.contains(&&Value::from(name.as_str()));
        let default = match field.get("default") {
            Some(default) => format!("`{default}`"),
            None => if is_required { "required" } else { "" }.to_owned(),
        };
        let (of, limits, meaning) = (type_of(field), limits(field), cell(&field["description"]));
        let _ = writeln!(page, "| `{path}` | {of} | {default} | {limits} | {meaning} |");
        fields(page, &format!("{path}[]"), &field["items"]);
    }
}

fn type_of(field: &Value) -> String {
    let of = text(&field["type"]);
    match (of, field["format"].as_str()) {
        ("array", _) => format!("array of {}", type_of(&field["items"])),
        ("object", _) if field["additionalProperties"].is_object() => {
            format!("map to {}", type_of(&field["additionalProperties"]))
        }
        (of, Some(format)) => format!("{of} ({format})"),
        (of, None) => of.to_owned(),
    }
}

fn limits(field: &Value) -> String {
    let mut limits = Vec::new();
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("`{}`", text(word))).collect();
        limits.push(format!("one of {}", words.join(", ")));
    }
    let numbers = [
        (field, "maxLength", "characters"),
        (field, "maxItems", "items"),
        (field, "maxProperties", "entries"),
        (&field["items"], "maxLength", "characters each"),
        (&field["additionalProperties"], "maxLength", "characters each value"),
    ];
    for (of, key, what) in numbers {
        limits.extend(of[key].as_u64().map(|most| format!("{most} {what} at most")));
    }
    limits.join("; ")
}

/// Each rule of an object and of its fields, below what it is about.
fn rules(page: &mut String, path: &str, object: &Value) {
    for rule in object["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let (message, expression) = (text(&rule["message"]), text(&rule["rule"]));
        let _ = write!(page, "\n`{path}`: {message}\n\n```text\n{expression}\n```\n");
    }
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        rules(page, &format!("{path}.{name}"), field);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text that stays in its cell.
fn cell(value: &Value) -> String {
    text(value).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

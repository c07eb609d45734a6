//! Random histories of applies and updates, and what structured-merge-diff 4.1.2, which a real server is built on,
//! makes of them: one history in each line of `histories.jsonl`.
//!
//! Only the order of lists is not compared; it has changed there since.

use serde_json::{Value, json};

use super::super::resource::Resource;
use super::super::store::{Options, Store, Subresource};

const HISTORIES: &str = include_str!("histories.jsonl");

/// A kind with a field of every sort that is merged in a way of its own.
fn definition() -> Value {
    let text = json!({ "type": "string" });
    let deep = json!({ "type": "object", "properties": { "e": text, "f": text } });
    let nested = json!({ "type": "object", "properties": { "c": text, "d": text, "deep": deep } });
    let map = |type_: &str| json!({ "type": "object", "additionalProperties": text, "x-kubernetes-map-type": type_ });
    let list =
        |type_: &str| json!({ "type": "array", "items": text, "x-kubernetes-list-type": type_ });
    let item = json!({ "type": "object", "required": ["id"], "properties": {
        "id": { "type": "integer" }, "proto": { "type": "string", "default": "TCP" }, "v": text, "sub": deep,
    } });
    let items = json!({
        "type": "array", "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "proto"],
    });
    let spec = json!({ "type": "object", "properties": {
        "a": text, "b": text, "nested": nested, "labels": map("granular"), "atomicMap": map("atomic"),
        "set": list("set"), "atomicList": list("atomic"), "items": items,
    } });
    let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "samples.example.com" },
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": { "plural": "samples", "kind": "Sample" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
        },
    })
}

/// Does what a step says and returns the conflicts.
fn play(store: &Store, step: &Value) -> Vec<String> {
    let manager = step["manager"].as_str().expect("a manager").to_owned();
    let writer = store.with(Options { manager, ..Options::default() });
    let mut object = json!({
        "apiVersion": "example.com/v1", "kind": "Sample", "metadata": { "name": "one" },
        "spec": step["spec"],
    });
    let (resource, force) = (Resource::new("example.com", "samples"), step["force"] == true);
    if step["op"] == "update" {
        let stored = writer.get(&resource, None, "one").expect("it is there");
        object["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        writer.replace(object).expect("replaces");
        return Vec::new();
    }
    let Err(refused) = writer.apply(&resource, None, "one", Subresource::Object, &object, force)
    else {
        return Vec::new();
    };
    let causes = refused.details["causes"].as_array().expect("causes").iter();
    let conflict = |cause: &Value| {
        let message = cause["message"].as_str().expect("a message");
        let with = message.split('"').nth(1).expect("a manager");
        format!("{with}{}", cause["field"].as_str().expect("a field"))
    };
    let mut conflicts: Vec<_> = causes.map(conflict).collect();
    conflicts.sort();
    conflicts
}

/// The spec of the object, and which of its fields each manager has.
fn state(store: &Store) -> (Value, Value) {
    let resource = Resource::new("example.com", "samples");
    let object = store.get(&resource, None, "one").expect("the first step makes it");
    let mut managers = json!({});
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let manager = entry["manager"].as_str().expect("a manager");
        managers[manager] = entry["fieldsV1"]["f:spec"].clone();
    }
    let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    (unordered(spec), managers)
}

/// The lists that are merged element by element, sorted.
fn unordered(mut spec: Value) -> Value {
    for list in ["items", "set"] {
        if let Some(list) = spec[list].as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
    }
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    spec
}

#[test]
fn random_histories_end_as_in_structured_merge_diff() {
    let mut steps = 0;
    for (line, history) in HISTORIES.lines().enumerate() {
        let history: Vec<Value> = serde_json::from_str(history).expect("a history");
        let store = Store::new();
        store.create(definition()).expect("a definition");
        for (number, step) in history.iter().enumerate() {
            let place = format!("line {}, step {}: {step}", line + 1, number + 1);
            let conflicts = play(&store, step);
            let (spec, managers) = state(&store);
            assert_eq!(json!(conflicts), step["conflicts"], "{place}");
            assert_eq!(spec, unordered(step["then"].clone()), "{place}");
            assert_eq!(managers, step["managers"], "{place}");
            steps += 1;
        }
    }
    assert!(steps > 100, "only {steps} steps were compared");
}

//! The three ways to say what should change: JSON merge patch (RFC 7386), JSON patch (RFC 6902) and
//! Kubernetes' strategic merge patch.
//!
//! The strategic one differs from the merge patch in lists: those whose elements have an identity are
//! merged element by element. Which field identifies an element is written in the kind's schema.

use serde_json::{Map, Value};

use super::resource::Kind;
use super::schema::Schema;
use super::status::Status;

/// A change to an object.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/merge-patch+json`.
    Merge(Value),
    /// `application/json-patch+json`.
    Json(Value),
    /// `application/strategic-merge-patch+json`; built-in kinds only.
    Strategic(Value),
}

impl Patch {
    /// The object after the change.
    pub(crate) fn apply(&self, kind: &Kind, object: &Value) -> Result<Value, Status> {
        let mut patched = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Json(patch) => {
                let steps: json_patch::Patch =
                    serde_json::from_value(patch.clone()).map_err(|error| {
                        Status::bad_request(format!("error decoding patch: {error}"))
                    })?;
                json_patch::patch(&mut patched, &steps).map_err(|error| {
                    Status::unprocessable(format!(
                        "the server rejected our request due to an error in our request: {error}"
                    ))
                })?;
            }
            Self::Strategic(_) if kind.is_custom() => return Err(unknown_format(kind)),
            Self::Strategic(patch) => merge_value(Some(Schema::of(kind)), &mut patched, patch),
        }
        if patched.is_object() {
            Ok(patched)
        } else {
            Err(Status::bad_request("the patch leaves no object"))
        }
    }
}

/// The patch is in a format that the kind does not take: a strategic one merges lists as the types in Go are
/// tagged, which custom resources do not have.
pub(crate) fn unknown_format(kind: &Kind) -> Status {
    let strategic = if kind.is_custom() { "" } else { "application/strategic-merge-patch+json, " };
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, {strategic}application/apply-patch+yaml"
    ))
}

fn merge_value(schema: Option<Schema<'_>>, target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        *target = Value::Object(without_directives(patch));
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    retain_keys(target, patch);
    for (field, change) in patch {
        let known = schema.and_then(|schema| schema.field(field));
        if let Some(field) = field.strip_prefix("$deleteFromPrimitiveList/") {
            remove_from_list(target.get_mut(field), change);
        } else if field.starts_with('$') {
            // The order of a list's elements and the remaining directives are handled with what they concern.
        } else if change.is_null() {
            target.remove(field);
        } else if let (Some(key), Value::Array(changes)) =
            (known.and_then(Schema::merge_key), change)
        {
            let list = target.entry(field.clone()).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(known.and_then(Schema::items), list, changes, key);
            reorder(list, patch.get(&format!("$setElementOrder/{field}")), key);
        } else if let (true, Value::Array(additions)) = (known.is_some_and(Schema::is_set), change)
        {
            let list = target.entry(field.clone()).or_insert_with(|| Value::Array(Vec::new()));
            add_to_set(list, additions);
        } else {
            merge_value(known, target.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
    // A patch may consist of nothing but the new order of a list.
    for (field, order) in patch {
        if let Some(field) =
            field.strip_prefix("$setElementOrder/").filter(|field| !patch.contains_key(*field))
        {
            let key = schema.and_then(|schema| schema.field(field)).and_then(Schema::merge_key);
            if let (Some(list), Some(key)) = (target.get_mut(field), key) {
                reorder(list, Some(order), key);
            }
        }
    }
}

/// `$retainKeys` names the only fields of an object that stay.
fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|field, _| kept.iter().any(|kept| kept == field));
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(field, _)| !field.starts_with('$'))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}

fn merge_list(schema: Option<Schema<'_>>, list: &mut Value, changes: &[Value], key: &str) {
    if changes.iter().any(|change| change["$patch"] == "replace") {
        let kept = changes.iter().filter(|change| change["$patch"] != "replace").cloned().collect();
        *list = Value::Array(kept);
        return;
    }
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else { return };
    for change in changes {
        let found = list.iter().position(|element| element[key] == change[key]);
        match (found, change["$patch"] == "delete") {
            (Some(at), true) => {
                list.remove(at);
            }
            (None, true) => {}
            (Some(at), false) => merge_value(schema, &mut list[at], change),
            (None, false) => {
                let mut element = Value::Null;
                merge_value(schema, &mut element, change);
                list.push(element);
            }
        }
    }
}

/// `$setElementOrder` names the elements in the wanted order; elements it does not name go last.
fn reorder(list: &mut Value, order: Option<&Value>, key: &str) {
    if let (Value::Array(list), Some(order)) = (list, order.and_then(Value::as_array)) {
        let place = |element: &Value| order.iter().position(|wanted| wanted[key] == element[key]);
        list.sort_by_key(|element| place(element).unwrap_or(usize::MAX));
    }
}

fn add_to_set(list: &mut Value, additions: &[Value]) {
    if let Value::Array(list) = list {
        for addition in additions {
            if !list.contains(addition) {
                list.push(addition.clone());
            }
        }
    }
}

fn remove_from_list(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
        list.retain(|element| !gone.contains(element));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resource::{Resource, builtin_kinds};
    use super::*;

    fn patched(resource: &Resource, object: Value, patch: Value) -> Value {
        let kind = builtin_kinds()
            .into_iter()
            .find(|kind| kind.resource == *resource)
            .expect("a built-in kind");
        Patch::Strategic(patch).apply(&kind, &object).expect("a patch that applies")
    }

    #[test]
    fn a_container_is_found_by_its_name() {
        let pod = json!({ "spec": { "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "y" }] } });
        let patch =
            json!({ "spec": { "containers": [{ "name": "b", "image": "z" }], "nodeName": "n" } });
        let expected = json!({ "spec": { "nodeName": "n", "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "z" }] } });
        assert_eq!(patched(&Resource::PODS, pod, patch), expected);
    }

    #[test]
    fn a_port_of_a_service_is_deleted_and_the_rest_reordered() {
        let service = json!({ "spec": { "ports": [{ "port": 80 }, { "port": 81 }] } });
        let patch = json!({ "spec": {
            "$setElementOrder/ports": [{ "port": 82 }, { "port": 81 }],
            "ports": [{ "port": 80, "$patch": "delete" }, { "port": 82 }],
        } });
        assert_eq!(
            patched(&Resource::SERVICES, service, patch),
            json!({ "spec": { "ports": [{ "port": 82 }, { "port": 81 }] } })
        );
    }

    #[test]
    fn finalizers_are_a_set() {
        let node = json!({ "metadata": { "finalizers": ["a", "b"] } });
        let patch = json!({ "metadata": { "finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"] } });
        let result = patched(&Resource::NODES, node, patch);
        let finalizers: Vec<_> =
            result["metadata"]["finalizers"].as_array().expect("a list").clone();
        assert!(
            finalizers.contains(&json!("a"))
                && finalizers.contains(&json!("c"))
                && !finalizers.contains(&json!("b"))
        );
    }

    #[test]
    fn retained_keys_are_the_only_ones_left() {
        let deployment =
            json!({ "spec": { "strategy": { "type": "RollingUpdate", "rollingUpdate": {} } } });
        let patch =
            json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } });
        let expected = json!({ "spec": { "strategy": { "type": "Recreate" } } });
        assert_eq!(patched(&Resource::DEPLOYMENTS, deployment, patch), expected);
    }

    #[test]
    fn taints_have_no_identity_and_are_replaced() {
        let node = json!({ "spec": { "taints": [{ "key": "a" }] } });
        let result =
            patched(&Resource::NODES, node, json!({ "spec": { "taints": [{ "key": "b" }] } }));
        assert_eq!(result, json!({ "spec": { "taints": [{ "key": "b" }] } }));
    }
}

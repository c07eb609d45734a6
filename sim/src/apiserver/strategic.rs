//! Kubernetes' strategic merge patch: a merge patch that knows which lists have elements with an identity.
//!
//! Which field identifies an element is in the kind's schema. Fields of the patch that begin with `$` direct the
//! merge: `$patch` replaces or deletes a whole, `$retainKeys` names the only fields that stay, `$setElementOrder/list`
//! orders a list and `$deleteFromPrimitiveList/list` takes plain values out of one.
//!
//! Heads up: what is new in a list comes before what only the object has, unless the patch orders it otherwise. So
//! does a real server.

use serde_json::{Map, Value};

use super::resource::Kind;
use super::schema::Schema;
use super::status::Status;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

type Fields = Map<String, Value>;

/// The object after the patch.
pub(crate) fn patched(kind: &Kind, object: &Value, patch: &Value) -> Result<Value, Status> {
    match (object, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            merged(Some(Schema::of(kind)), fields.clone(), patch).map(Value::Object)
        }
        _ => Err(Status::bad_request("Invalid JSON document")),
    }
}

fn merged(
    schema: Option<Schema<'_>>,
    mut fields: Fields,
    patch: &Fields,
) -> Result<Fields, Status> {
    match patch.get(PATCH).map(|directive| (directive, directive.as_str())) {
        None => {}
        Some((_, Some("replace"))) => return Ok(undirected(patch)),
        Some((_, Some("delete"))) => return Ok(Fields::new()),
        Some((other, _)) => {
            let patch = Value::Object(patch.clone());
            return Err(Status::failed(format!("unknown patch type: {other} in map: {patch}")));
        }
    }
    retain_keys(&mut fields, patch)?;
    for (name, change) in patch {
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            remove_from_list(fields.get_mut(name), change);
        } else if let Some(name) = name.strip_prefix(SET_ORDER) {
            if !patch.contains_key(name) {
                let known = schema.and_then(|schema| schema.field(name));
                order_list(known, &mut fields, name, change);
            }
        } else if name.starts_with('$') {
            // Seen to where it belongs.
        } else if change.is_null() {
            fields.remove(name);
        } else {
            let known = schema.and_then(|schema| schema.field(name));
            let order = patch.get(&format!("{SET_ORDER}{name}"));
            let value = merged_value(known, fields.remove(name), change, order)?;
            fields.insert(name.clone(), value);
        }
    }
    Ok(fields)
}

fn merged_value(
    schema: Option<Schema<'_>>,
    old: Option<Value>,
    change: &Value,
    order: Option<&Value>,
) -> Result<Value, Status> {
    match (old, change) {
        (Some(Value::Object(old)), Value::Object(change)) => {
            merged(schema, old, change).map(Value::Object)
        }
        (_, Value::Object(change)) => merged(schema, Fields::new(), change).map(Value::Object),
        (old, Value::Array(change)) if schema.is_some_and(Schema::merges) => {
            let old = match old {
                Some(Value::Array(old)) => old,
                _ => Vec::new(),
            };
            merged_list(schema, old, change, order).map(Value::Array)
        }
        _ => Ok(change.clone()),
    }
}

/// `$retainKeys` names the only fields of an object that stay.
fn retain_keys(fields: &mut Fields, patch: &Fields) -> Result<(), Status> {
    let Some(kept) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || Status::bad_request("invalid patch format of retainKeys");
    let kept = kept.as_array().ok_or_else(malformed)?;
    let is_kept = |name: &String| kept.iter().any(|kept| kept == name);
    let sets = patch.iter().filter(|(name, value)| !(name.starts_with('$') || value.is_null()));
    if !sets.map(|(name, _)| name).all(is_kept) {
        return Err(malformed());
    }
    fields.retain(|name, _| is_kept(name));
    Ok(())
}

fn merged_list(
    schema: Option<Schema<'_>>,
    mut old: Vec<Value>,
    change: &[Value],
    order: Option<&Value>,
) -> Result<Vec<Value>, Status> {
    let key = schema.and_then(Schema::merge_key);
    let (directed, plain): (Vec<_>, Vec<_>) =
        change.iter().partition(|element| element.get(PATCH).is_some());
    let plain: Vec<_> = plain.into_iter().cloned().collect();
    let order = order.and_then(Value::as_array);
    if let Some(order) = order {
        follows(&plain, order, key)?;
    }
    if directed.iter().any(|element| element[PATCH] == "replace") {
        return Ok(plain);
    }
    for element in directed {
        if element[PATCH] != "delete" {
            return Err(Status::failed(format!(
                "unknown patch type: {} in map: {element}",
                element[PATCH]
            )));
        }
        let gone = identity(element, key)?;
        old.retain(|element| identity(element, key) != Ok(gone));
    }
    let mut list = old.clone();
    for change in &plain {
        let wanted = identity(change, key)?;
        let at = list.iter().position(|element| identity(element, key) == Ok(wanted));
        let known = at.map(|at| list[at].take());
        let value = merged_value(schema.and_then(Schema::items), known, change, None)?;
        match at {
            Some(at) => list[at] = value,
            None => list.push(value),
        }
    }
    let list = in_order(list, &plain, &old, key);
    Ok(match order {
        Some(order) => in_order(list, order, &old, key),
        None => list,
    })
}

/// What tells an element of a list apart.
fn identity<'v>(element: &'v Value, key: Option<&str>) -> Result<&'v Value, Status> {
    let Some(key) = key else { return Ok(element) };
    element.get(key).ok_or_else(|| {
        Status::failed(format!("map: {element} does not contain declared merge key: {key}"))
    })
}

/// Refuses a patch whose list and order of the list contradict each other.
fn follows(plain: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Status> {
    let mut ahead = order.iter();
    for element in plain {
        let wanted = identity(element, key)?;
        if !order.is_empty() && !ahead.any(|next| identity(next, key) == Ok(wanted)) {
            let (plain, order) = (Value::from(plain), Value::from(order));
            return Err(Status::failed(format!(
                "The order in patch list:\n{plain}\n doesn't match $setElementOrder list:\n{order}\n"
            )));
        }
    }
    Ok(())
}

/// A list with the elements named by `wanted` in that order, and the others before the next that they stood before.
fn in_order(list: Vec<Value>, wanted: &[Value], before: &[Value], key: Option<&str>) -> Vec<Value> {
    let place = |order: &[Value], element: &Value| {
        let element = identity(element, key).ok()?;
        order.iter().position(|one| identity(one, key) == Ok(element))
    };
    let (mut named, mut others): (Vec<_>, Vec<_>) =
        list.into_iter().partition(|element| place(wanted, element).is_some());
    named.sort_by_key(|element| place(wanted, element));
    others.sort_by_key(|element| place(before, element).unwrap_or(usize::MAX));
    let mut others = others.into_iter().peekable();
    let mut ordered = Vec::new();
    for element in named {
        if let Some(limit) = place(before, &element) {
            let is_earlier = |other: &Value| place(before, other).is_some_and(|at| at < limit);
            while let Some(earlier) = others.next_if(is_earlier) {
                ordered.push(earlier);
            }
        }
        ordered.push(element);
    }
    ordered.extend(others);
    ordered
}

/// A patch may consist of nothing but the new order of a list.
fn order_list(schema: Option<Schema<'_>>, fields: &mut Fields, name: &str, order: &Value) {
    if let (Some(Value::Array(list)), Some(order)) = (fields.get_mut(name), order.as_array()) {
        let before = list.clone();
        *list = in_order(std::mem::take(list), order, &before, schema.and_then(Schema::merge_key));
    }
}

fn remove_from_list(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
        list.retain(|element| !gone.contains(element));
    }
}

fn undirected(patch: &Fields) -> Fields {
    let fields = patch.iter().filter(|(name, _)| !name.starts_with('$'));
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests;

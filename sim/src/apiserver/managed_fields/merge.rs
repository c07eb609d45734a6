//! Puts a configuration into an object, and takes fields out of one.

use serde_json::{Map, Value};

use super::set::{Element, FieldSet};
use super::structure::{Part, Place};

/// The object with what the configuration says.
pub(crate) fn merged(place: Place<'_>, live: &Value, config: &Value) -> Value {
    match (place.parts(live), place.parts(config)) {
        // To say nothing about a composite is not to empty it.
        (Some(_), None) if config.is_null() => live.clone(),
        (Some(old), Some(new)) if live.is_object() && config.is_object() => {
            let mut fields: Map<String, Value> = live.as_object().cloned().unwrap_or_default();
            for (step, below, config) in new {
                let Element::Field(name) = &step else { continue };
                let live = old.iter().find(|(known, ..)| *known == step).map(|(.., live)| *live);
                fields.insert(
                    name.clone(),
                    live.map_or_else(|| config.clone(), |live| merged(below, live, config)),
                );
            }
            Value::Object(fields)
        }
        (Some(old), Some(new)) if live.is_array() && config.is_array() => {
            Value::Array(merged_list(&old, &new))
        }
        _ => config.clone(),
    }
}

/// Elements that only the object has stay between their neighbours; those of the configuration come in its order.
fn merged_list(old: &[Part<'_, '_>], new: &[Part<'_, '_>]) -> Vec<Value> {
    let is_in = |parts: &[Part<'_, '_>], step: &Element| parts.iter().any(|(one, ..)| one == step);
    let mut list = Vec::new();
    let mut left = old;
    for (index, (step, below, config)) in new.iter().enumerate() {
        let common = new[index..].iter().map(|(step, ..)| step).find(|step| is_in(old, step));
        while let [(next, _, value), rest @ ..] = left
            && Some(next) != common
        {
            if !is_in(new, next) {
                list.push(Value::clone(value));
            }
            left = rest;
        }
        let live = old.iter().find(|(known, ..)| known == step);
        list.push(match live {
            Some((.., live)) => merged(*below, live, config),
            None => Value::clone(config),
        });
    }
    let rest = left.iter().filter(|(step, ..)| !is_in(new, step));
    list.extend(rest.map(|(.., value)| Value::clone(value)));
    list
}

/// What becomes of a composite that loses all that it has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Emptied {
    /// It is null, which is still something that what it is in has.
    Null,
    /// It goes, too.
    Gone,
}

/// The object without the fields of a set.
pub(crate) fn without(
    whole: Place<'_>,
    object: &Value,
    gone: &FieldSet,
    emptied: Emptied,
) -> Value {
    let left = taken_out(whole, object, gone, emptied, &mut Vec::new());
    left.unwrap_or_else(|| Value::Object(Map::new()))
}

fn taken_out(
    place: Place<'_>,
    value: &Value,
    gone: &FieldSet,
    emptied: Emptied,
    path: &mut Vec<Element>,
) -> Option<Value> {
    let Some(parts) = place.parts(value).filter(|parts| !parts.is_empty()) else {
        return Some(value.clone());
    };
    let (mut kept, mut any_left) = (Vec::new(), false);
    for (step, below, value) in parts {
        path.push(step);
        let is_gone = gone.contains(path);
        let left = if is_gone { None } else { taken_out(below, value, gone, emptied, path) };
        let step = path.pop().expect("the step just made");
        any_left |= !is_gone;
        kept.extend(match (left, emptied) {
            (Some(left), _) => Some((step, left)),
            (None, Emptied::Null) if !is_gone => Some((step, Value::Null)),
            (None, Emptied::Null | Emptied::Gone) => None,
        });
    }
    if !any_left {
        return None;
    }
    Some(if value.is_array() {
        Value::Array(kept.into_iter().map(|(_, value)| value).collect())
    } else {
        let field = |(step, value)| match step {
            Element::Field(name) => Some((name, value)),
            Element::Key(_) | Element::Value(_) | Element::Index(_) => None,
        };
        Value::Object(kept.into_iter().filter_map(field).collect())
    })
}

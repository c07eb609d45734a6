//! What a kind's objects get when a client leaves it out.

use serde_json::{Value, json};

use super::resource::{Kind, Resource};
use super::state::State;
use super::status::Status;

/// Completes an object that is about to be stored, in place of `old` if there was one.
pub(crate) fn complete(
    state: &State,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<(), Status> {
    let _ = (state, old);
    if kind.resource == Resource::NAMESPACES {
        or_default(object, "/status/phase", json!("Active"));
    }
    Ok(())
}

/// Sets what a JSON pointer points at, unless it is there; makes the objects on the way.
pub(crate) fn or_default(object: &mut Value, pointer: &str, default: Value) {
    let mut at = object;
    for field in pointer.split('/').skip(1) {
        at = &mut at[field];
    }
    if at.is_null() {
        *at = default;
    }
}

//! What a built-in kind adds to its schema: defaults, allocated values, and rules between fields.
//!
//! Only what Porter, its guide and their tests can run into is here; a real server checks far more.

mod allocation;
mod cluster;
mod event;
mod families;
mod pod;
mod service;
mod workload;

pub(crate) use allocation::Allocations;

use serde_json::{Value, json};

use super::crd;
use super::resource::{Kind, Resource};
use super::state::State;
use super::status::{Cause, Status};

/// Completes and checks an object that is about to be stored, in place of `old` if there was one.
pub(crate) fn complete(
    state: &State,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<(), Status> {
    let causes = match &kind.resource {
        resource if *resource == Resource::NAMESPACES => cluster::namespace(object),
        resource if *resource == Resource::LEASES => cluster::lease(object),
        _ if *kind.collection() == Resource::EVENTS => event::check(kind, old, object),
        resource if *resource == Resource::ENDPOINTSLICES => cluster::endpoint_slice(old, object),
        resource if *resource == Resource::CRDS => crd::complete(object),
        resource if *resource == Resource::SERVICES => service::complete(state, old, object),
        resource if *resource == Resource::PODS => pod::complete(object),
        resource if *resource == Resource::DEPLOYMENTS => workload::deployment(old, object),
        resource if *resource == Resource::REPLICASETS => workload::replica_set(old, object),
        _ => Vec::new(),
    };
    if causes.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(&kind.resource, &kind.kind, name, &causes))
}

/// Sets what a JSON pointer points at, unless it is there; makes the objects on the way.
fn or_default(object: &mut Value, pointer: &str, default: impl Into<Value>) {
    let mut at = object;
    for field in pointer.split('/').skip(1) {
        at = &mut at[field];
    }
    if at.is_null() {
        *at = default.into();
    }
}

/// Removes a field of an object.
fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

/// The elements of a list, none if it is not there.
fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn elements_mut(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

/// A field that must stay what it was once it is set.
fn unchanged(old: Option<&Value>, new: &Value, pointer: &str) -> Vec<Cause> {
    let field = pointer.trim_start_matches('/').replace('/', ".");
    let at = |object: &Value| object.pointer(pointer).cloned().unwrap_or_default();
    match old.map(at) {
        Some(before) if before != at(new) => {
            vec![Cause::invalid(field, &at(new), "field is immutable")]
        }
        _ => Vec::new(),
    }
}

/// A field with one of few texts in it.
fn one_of(field: &str, value: &Value, supported: &[&str]) -> Vec<Cause> {
    if value.as_str().is_some_and(|text| supported.contains(&text)) {
        return Vec::new();
    }
    let supported: Vec<_> = supported.iter().map(|text| json!(text).to_string()).collect();
    vec![Cause::unsupported(field, value, &supported)]
}

/// A TCP or UDP port.
fn port_number(field: String, value: &Value) -> Vec<Cause> {
    match value.as_i64() {
        Some(1..=65535) => Vec::new(),
        _ => vec![Cause::invalid(field, value, "must be between 1 and 65535, inclusive")],
    }
}

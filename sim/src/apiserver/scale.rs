//! The `scale` subresource: a number of replicas, wherever a kind keeps it.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::http::{Call, reply};
use super::patch::Patch;
use super::request::Target;
use super::resource::{Kind, ScalePaths};
use super::status::Status;
use super::store::{Options, Subresource};
use super::table;
use super::writes::{json, options, patch_of};

pub(crate) fn get(
    call: &Call,
    kind: &Kind,
    target: &Target,
    name: &str,
) -> Result<Response, Status> {
    let object = call.store.get(&target.resource, target.namespace.as_deref(), name)?;
    Ok(reply(StatusCode::OK, &scale_of(scale_paths(kind, target)?, &object)))
}

pub(crate) fn replace(
    call: &Call,
    kind: &Kind,
    target: &Target,
    name: &str,
) -> Result<Response, Status> {
    let scale = json(call)?;
    write_scale(call, scale_paths(kind, target)?, target, name, &scale)
}

pub(crate) fn patch(
    call: &Call,
    kind: &Kind,
    target: &Target,
    name: &str,
) -> Result<Response, Status> {
    let paths = scale_paths(kind, target)?;
    let object = call.store.get(&target.resource, target.namespace.as_deref(), name)?;
    let mut now = scale_of(paths, &object);
    // What the patch does not mention is no precondition.
    now["metadata"]["resourceVersion"] = Value::Null;
    let scale = patch_of(call, kind)?.apply(kind, &now)?;
    write_scale(call, paths, target, name, &scale)
}

fn write_scale(
    call: &Call,
    paths: &ScalePaths,
    target: &Target,
    name: &str,
    scale: &Value,
) -> Result<Response, Status> {
    let replicas = scale["spec"]["replicas"].as_u64().unwrap_or(0);
    let mut change = nested(&paths.spec_replicas, json!(replicas));
    if let Some(version) =
        scale["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty())
    {
        change["metadata"]["resourceVersion"] = json!(version);
    }
    let change = Patch::Merge(change);
    let namespace = target.namespace.as_deref();
    let options = Options { facet: "scale", ..options(call)? };
    let store = call.store.with(options);
    let written = store.patch(&target.resource, namespace, name, Subresource::Object, &change)?;
    Ok(reply(StatusCode::OK, &scale_of(paths, &written)))
}

/// The object that has `value` where the pointer points, and nothing else.
fn nested(pointer: &str, value: Value) -> Value {
    pointer
        .split('/')
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(value, |inner, field| json!({ field: inner }))
}

fn scale_paths<'a>(kind: &'a Kind, target: &Target) -> Result<&'a ScalePaths, Status> {
    kind.version(&target.version)
        .and_then(|version| version.scale.as_ref())
        .ok_or_else(Status::no_such_resource)
}

/// The `Scale` that stands for an object.
fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let at = |path: &str| object.pointer(path).cloned().unwrap_or(Value::Null);
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": at(&paths.spec_replicas) },
        "status": { "replicas": at(&paths.status_replicas).as_u64().unwrap_or(0) },
    });
    if let Some(selector) = paths.selector.as_deref().map(at) {
        let text = selector.as_str().map_or_else(|| table::selector(&selector), str::to_owned);
        scale["status"]["selector"] = json!(text);
    }
    scale
}

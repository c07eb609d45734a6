//! Writing over HTTP: create, replace, patch and delete.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::http::{Call, reply};
use super::patch::{Patch, unknown_format};
use super::protobuf;
use super::request::{Form, Target, content_type};
use super::resource::{Kind, Resource};
use super::shape::Shape;
use super::status::{Cause, Status};
use super::store::{Options, Preconditions, Propagation, Store, Subresource};

/// The media type of a configuration that is applied.
const APPLY: &str = "application/apply-patch+yaml";

pub(crate) fn create(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    form: Form,
) -> Result<Response, Status> {
    let object = body(call, kind, target)?;
    let created = store(call)?.create(object)?;
    Ok(reply(StatusCode::CREATED, &Shape::new(call, kind, target, form).one(&created)))
}

pub(crate) fn replace(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    name: &str,
    form: Form,
) -> Result<Response, Status> {
    let mut object = body(call, kind, target)?;
    named(&mut object, name)?;
    let store = store(call)?;
    let written = match part(target) {
        Subresource::Object => store.replace(object)?,
        Subresource::Status => store.replace_status(object)?,
    };
    Ok(reply(StatusCode::OK, &Shape::new(call, kind, target, form).one(&written)))
}

pub(crate) fn patch(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    name: &str,
    form: Form,
) -> Result<Response, Status> {
    if content_type(&call.headers) == APPLY {
        return apply(call, kind, target, name, form);
    }
    if call.query.text("force").is_some() {
        let why = "may not be specified for non-apply patch";
        return Err(misused(Cause::forbidden("force", why)));
    }
    let patch = patch_of(call, kind)?;
    let written = store(call)?.patch(
        &target.resource,
        target.namespace.as_deref(),
        name,
        part(target),
        &patch,
    )?;
    Ok(reply(StatusCode::OK, &Shape::new(call, kind, target, form).one(&written)))
}

fn apply(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    name: &str,
    form: Form,
) -> Result<Response, Status> {
    if call.query.text("fieldManager").is_none() {
        return Err(misused(Cause::required("fieldManager", "is required for apply patch")));
    }
    let config = configuration(call, kind, target, name)?;
    let (resource, namespace) = (&target.resource, target.namespace.as_deref());
    let force = call.query.flag("force");
    let (applied, is_new) =
        store(call)?.apply(resource, namespace, name, part(target), &config, force)?;
    let code = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply(code, &Shape::new(call, kind, target, form).one(&applied)))
}

/// The body of an apply: YAML, of which JSON is a part, with the kind and the place that the path says.
fn configuration(call: &Call, kind: &Kind, target: &Target, name: &str) -> Result<Value, Status> {
    let no_yaml = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = str::from_utf8(&call.body).map_err(|error| no_yaml(error.to_string()))?;
    let mut config: Value = match serde_json::from_str(text) {
        Ok(config) => config,
        Err(_) => serde_saphyr::from_str(text).map_err(|error| no_yaml(error.to_string()))?,
    };
    if !config.is_object() {
        return Err(no_yaml("it is no object".to_owned()));
    }
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    let (version, given) = (text("apiVersion"), text("kind"));
    if version != kind.api_version(&target.version) || given != kind.kind {
        let version =
            if version.contains('/') { version.to_owned() } else { format!("/{version}") };
        return Err(Status::bad_request(format!("invalid object type: {version}, Kind={given}")));
    }
    place(&mut config, kind, target)?;
    named(&mut config, name)?;
    Ok(config)
}

/// The parameters of a patch are wrong, whatever the object.
fn misused(cause: Cause) -> Status {
    Status::invalid(&Resource::new("meta.k8s.io", ""), "PatchOptions", "", &[cause])
}

pub(crate) fn delete(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    name: &str,
    form: Form,
) -> Result<Response, Status> {
    let (store, preconditions, propagation) = deletion(call)?;
    let namespace = target.namespace.as_deref();
    let last = store.delete(&target.resource, namespace, name, &preconditions, propagation)?;
    if !last["metadata"]["deletionTimestamp"].is_null() {
        return Ok(reply(StatusCode::OK, &Shape::new(call, kind, target, form).one(&last)));
    }
    let details = json!({
        "name": name, "group": target.resource.group(), "kind": target.resource.plural(), "uid": last["metadata"]["uid"],
    });
    let success = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
    Ok(reply(StatusCode::OK, &success))
}

pub(crate) fn delete_collection(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
) -> Result<Response, Status> {
    let (store, _, propagation) = deletion(call)?;
    let selectors = call.query.selectors(kind, &target.version)?;
    let listing = store.list(&target.resource, target.namespace.as_deref(), &selectors)?;
    for object in &listing.items {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        store.delete(
            &target.resource,
            Some(text("namespace")),
            text("name"),
            &Preconditions::default(),
            propagation,
        )?;
    }
    let metadata = json!({ "resourceVersion": listing.revision.to_string() });
    let shape = Shape::new(call, kind, target, Form::Object);
    Ok(reply(StatusCode::OK, &shape.many(listing.items.iter().map(|object| &**object), metadata)))
}

/// The store, written to as the query says.
fn store(call: &Call) -> Result<Store, Status> {
    Ok(call.store.with(options(call)?))
}

/// How the query says to write, and who the client says it is.
pub(crate) fn options(call: &Call) -> Result<Options, Status> {
    let agent = call.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let program = agent.and_then(|agent| agent.split('/').next()).unwrap_or_default();
    let manager = call.query.text("fieldManager").unwrap_or(program).to_owned();
    Ok(Options { manager, ..call.query.options()? })
}

fn part(target: &Target) -> Subresource {
    match target.facet.as_deref() {
        Some("status") => Subresource::Status,
        _ => Subresource::Object,
    }
}

/// The body, as JSON.
pub(crate) fn json(call: &Call) -> Result<Value, Status> {
    if content_type(&call.headers) == protobuf::MEDIA_TYPE
        && let Some(namespace) = protobuf::namespace(&call.body)
    {
        return Ok(namespace);
    }
    if content_type(&call.headers) != "application/json" {
        return Err(Status::unsupported_media_type(
            "the lab's API server reads objects in JSON only; kubectl sends it with apply, run, expose and create -f",
        ));
    }
    serde_json::from_slice(&call.body).map_err(|error| {
        Status::bad_request(format!("the object provided is unrecognized: {error}"))
    })
}

/// The object in the body, which has to fit the path.
fn body(call: &Call, kind: &Kind, target: &Target) -> Result<Value, Status> {
    let mut object = json(call)?;
    if !object.is_object() {
        return Err(Status::bad_request(
            "the object provided is unrecognized: it is no JSON object",
        ));
    }
    let api_version = kind.api_version(&target.version);
    if kind.is_custom() {
        demand_kind(&object, kind, &api_version)?;
    }
    for (field, expected) in [("apiVersion", &api_version), ("kind", &kind.kind)] {
        match object[field].as_str() {
            None | Some("") => object[field] = json!(expected),
            Some(given) if given != expected => {
                return Err(Status::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({expected})"
                )));
            }
            Some(_) => {}
        }
    }
    place(&mut object, kind, target)?;
    Ok(object)
}

/// A custom resource has to say what it is: there is no type that would tell.
fn demand_kind(object: &Value, kind: &Kind, api_version: &str) -> Result<(), Status> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (given, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let version = text(&object["apiVersion"]);
    if version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({api_version})"
        )));
    }
    if given != kind.kind {
        let why = format!("must be {}", kind.kind);
        let cause = Cause::invalid("kind", &json!(given), &why);
        return Err(Status::invalid(&kind.resource, &given, &name, &[cause]));
    }
    Ok(())
}

/// The namespace in an object has to be the one in the path.
fn place(object: &mut Value, kind: &Kind, target: &Target) -> Result<(), Status> {
    if !(object["metadata"].is_object() || object["metadata"].is_null()) {
        return Err(Status::bad_request("metadata is not a JSON object"));
    }
    if let Some(namespace) = target.namespace.as_deref().filter(|_| kind.namespaced) {
        match object["metadata"]["namespace"].as_str() {
            None | Some("") => object["metadata"]["namespace"] = json!(namespace),
            Some(given) if given != namespace => {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The name in an object, whose place is known, has to be the one in the path.
fn named(object: &mut Value, name: &str) -> Result<(), Status> {
    match object["metadata"]["name"].as_str() {
        None => object["metadata"]["name"] = json!(name),
        Some(given) if given != name => {
            return Err(Status::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        Some(_) => {}
    }
    Ok(())
}

/// The body, as a patch of objects of a kind.
pub(crate) fn patch_of(call: &Call, kind: &Kind) -> Result<Patch, Status> {
    let form = match content_type(&call.headers) {
        "application/merge-patch+json" => Patch::Merge,
        "application/json-patch+json" => Patch::Json,
        "application/strategic-merge-patch+json" if !kind.is_custom() => Patch::Strategic,
        _ => return Err(unknown_format(kind)),
    };
    let body = serde_json::from_slice(&call.body)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    Ok(form(body))
}

/// `DeleteOptions`, from the body or the query.
fn deletion(call: &Call) -> Result<(Store, Preconditions, Propagation), Status> {
    let body = match content_type(&call.headers) {
        _ if call.body.is_empty() => Value::Null,
        protobuf::MEDIA_TYPE => protobuf::delete_options(&call.body).ok_or_else(|| {
            Status::bad_request("the body of the deletion is not DeleteOptions in protobuf")
        })?,
        _ => json(call)?,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut options = call.query.options()?;
    options.dry_run |= body["dryRun"].as_array().is_some_and(|stages| !stages.is_empty());
    let policy = text(&body["propagationPolicy"])
        .or_else(|| call.query.text("propagationPolicy").map(str::to_owned));
    let propagation = match policy.as_deref() {
        Some("Orphan") => Propagation::Orphan,
        _ if body["orphanDependents"] == true => Propagation::Orphan,
        // What is owned goes in the same step, so the foreground has nothing to wait for.
        None | Some("Background" | "Foreground") => Propagation::Background,
        Some(other) => {
            return Err(Status::bad_request(format!("invalid propagationPolicy {other:?}")));
        }
    };
    let preconditions = Preconditions {
        uid: text(&body["preconditions"]["uid"]),
        resource_version: text(&body["preconditions"]["resourceVersion"]),
    };
    Ok((call.store.with(options), preconditions, propagation))
}

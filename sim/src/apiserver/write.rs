//! What every write does to an object, whatever its kind: metadata that only the server sets, versions as
//! preconditions, and which part of the object a write can reach.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::managed_fields::status_has_metadata;
use super::resource::{Kind, Resource};
use super::state::{Key, State};
use super::status::{Cause, Status};
use super::store::{Options, Subresource};
use super::{rules, schema};

/// Metadata that a client cannot change.
const SERVER_SET: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
];

/// Metadata that is left out where there is nothing in it.
const OMITTED_EMPTY: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// Now, as Kubernetes writes points in time: whole seconds, UTC.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The object as it would be stored for the first time.
pub(crate) fn created(
    state: &State,
    kind: &Kind,
    mut object: Value,
    options: &Options,
) -> Result<Value, Status> {
    require_metadata(&mut object)?;
    let misnamed = name(kind, &mut object);
    if !kind.is_custom() {
        refuse(kind, &object, &misnamed)?;
    }
    place(state, kind, &mut object)?;
    let metadata = &mut object["metadata"];
    if metadata["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
        return Err(Status::failed("resourceVersion should not be set on objects to be created"));
    }
    for field in SERVER_SET.into_iter().chain(["managedFields"]) {
        remove(metadata, field);
    }
    metadata["uid"] = json!(Uuid::new_v4().to_string());
    metadata["creationTimestamp"] = json!(now());
    if kind.counts_generations || kind.is_custom() {
        metadata["generation"] = json!(1);
    }
    // A node brings its status along when it registers; every other status is earned.
    if kind.stored().status && kind.resource != Resource::NODES {
        remove(&mut object, "status");
    }
    object["apiVersion"] = json!(kind.api_version(&kind.storage));
    complete(state, kind, None, object, misnamed, options)
}

/// The object as it would be stored in place of `old`.
pub(crate) fn updated(
    state: &State,
    kind: &Kind,
    old: &Value,
    mut new: Value,
    part: Subresource,
    options: &Options,
) -> Result<Value, Status> {
    require_metadata(&mut new)?;
    precondition(kind, old, &new)?;
    let mut next = match part {
        Subresource::Status if kind.stored().status => with_new_status(kind, old, new),
        Subresource::Status => return Err(Status::no_such_resource()),
        Subresource::Object if kind.stored().status => with_status_of(new, old),
        Subresource::Object => new,
    };
    for field in SERVER_SET.into_iter().chain(["name", "namespace"]) {
        set(&mut next["metadata"], field, &old["metadata"][field]);
    }
    remove(&mut next["metadata"], "managedFields");
    next["apiVersion"] = json!(kind.api_version(&kind.storage));
    next["kind"] = json!(kind.kind);
    forbid_new_finalizers(kind, old, &next)?;
    let mut next = complete(state, kind, Some(old), next, Vec::new(), options)?;
    if let Some(generation) =
        old["metadata"]["generation"].as_u64().filter(|_| asks_otherwise(kind, old, &next))
    {
        next["metadata"]["generation"] = json!(generation + 1);
    }
    Ok(next)
}

/// What depends on the kind: schema, defaults, allocation and validation.
fn complete(
    state: &State,
    kind: &Kind,
    old: Option<&Value>,
    mut object: Value,
    causes: Vec<Cause>,
    options: &Options,
) -> Result<Value, Status> {
    schema::admit(kind, old, &mut object, causes, options.strict)?;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, value| {
            let is_empty = *value == json!({}) || *value == json!([]);
            !(is_empty && OMITTED_EMPTY.contains(&field.as_str()))
        });
    }
    rules::complete(state, kind, old, &mut object)?;
    Ok(object)
}

fn require_metadata(object: &mut Value) -> Result<(), Status> {
    if !object.is_object() {
        return Err(Status::bad_request("the object provided is not a JSON object"));
    }
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    if object["metadata"].is_object() {
        Ok(())
    } else {
        Err(Status::bad_request("metadata is not a JSON object"))
    }
}

/// Refuses an object if anything is wrong with it.
fn refuse(kind: &Kind, object: &Value, causes: &[Cause]) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(&kind.resource, &kind.kind, name, causes))
}

/// Makes up a name if only a prefix is given, and says what is wrong with it.
fn name(kind: &Kind, object: &mut Value) -> Vec<Cause> {
    let metadata = &mut object["metadata"];
    let given = metadata["name"].as_str().unwrap_or_default().to_owned();
    let prefix = metadata["generateName"].as_str().unwrap_or_default().to_owned();
    if given.is_empty() && !prefix.is_empty() {
        let random = Uuid::new_v4().simple().to_string();
        metadata["name"] = json!(format!("{prefix}{}", &random[..5]));
        return Vec::new();
    }
    if given.is_empty() {
        return vec![Cause::required("metadata.name", "name or generateName is required")];
    }
    let rule = name_rule(kind, &given);
    rule.map(|rule| Cause::invalid("metadata.name", &json!(given), rule)).into_iter().collect()
}

/// The rule that a name breaks, if any.
fn name_rule(kind: &Kind, name: &str) -> Option<&'static str> {
    let label = |label: &str| {
        label
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
            && label.starts_with(|first: char| first.is_ascii_alphanumeric())
            && label.ends_with(|last: char| last.is_ascii_alphanumeric())
    };
    if kind.resource == Resource::SERVICES {
        let fits = label(name)
            && name.len() <= 63
            && name.starts_with(|first: char| first.is_ascii_lowercase());
        return (!fits).then_some(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        );
    }
    let fits = name.len() <= 253 && name.split('.').all(label);
    (!fits).then_some(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    )
}

/// Puts the object into a namespace that exists, or into none.
fn place(state: &State, kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let metadata = &mut object["metadata"];
    if !kind.namespaced {
        remove(metadata, "namespace");
        return Ok(());
    }
    let namespace = metadata["namespace"]
        .as_str()
        .filter(|given| !given.is_empty())
        .unwrap_or("default")
        .to_owned();
    metadata["namespace"] = json!(namespace);
    let home =
        Key { resource: Resource::NAMESPACES, namespace: String::new(), name: namespace.clone() };
    let found =
        state.get(&home).ok_or_else(|| Status::not_found(&Resource::NAMESPACES, &namespace))?;
    if !found["metadata"]["deletionTimestamp"].is_null() {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        return Err(Status::forbidden(&kind.resource, name, why));
    }
    Ok(())
}

/// The version and the UID in a write, where given, must be those of the object.
fn precondition(kind: &Kind, old: &Value, new: &Value) -> Result<(), Status> {
    let (old, new) = (&old["metadata"], &new["metadata"]);
    let name = old["name"].as_str().unwrap_or_default();
    let given = |field: &str| new[field].as_str().filter(|given| !given.is_empty());
    let found = |field: &str| old[field].as_str().unwrap_or_default();
    if let Some(uid) = given("uid").filter(|&uid| uid != found("uid")) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            found("uid")
        );
        return Err(Status::conflict(&kind.resource, name, why));
    }
    if given("resourceVersion").is_none() && !kind.takes_any_version() {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        return Err(Status::invalid(&kind.resource, kind.resource.plural(), name, &[cause]));
    }
    if given("resourceVersion").is_some_and(|version| version != found("resourceVersion")) {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Status::conflict(&kind.resource, name, why));
    }
    Ok(())
}

/// A patch cannot make an object another one.
pub(crate) fn demand_same(kind: &Kind, old: &Value, new: &Value) -> Result<(), Status> {
    let (was, is) = (&old["metadata"], &new["metadata"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if is["name"] != was["name"] {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            text(&is["name"]),
            text(&was["name"])
        )));
    }
    if !is["uid"].is_null() && is["uid"] != was["uid"] {
        let cause = Cause::invalid("metadata.uid", &is["uid"], "field is immutable");
        return refuse(kind, old, &[cause]);
    }
    Ok(())
}

fn forbid_new_finalizers(kind: &Kind, old: &Value, new: &Value) -> Result<(), Status> {
    let finalizers =
        |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let before = finalizers(old);
    let mut added = finalizers(new);
    added.retain(|one| !before.contains(one));
    if old["metadata"]["deletionTimestamp"].is_null() || added.is_empty() {
        return Ok(());
    }
    let added: Vec<_> = added.iter().map(Value::to_string).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    refuse(kind, old, &[Cause::forbidden("metadata.finalizers", &why)])
}

/// Whether two states of an object ask for different things: anything but metadata and status.
fn asks_otherwise(kind: &Kind, old: &Value, new: &Value) -> bool {
    let asked = |object: &Value| {
        let mut fields = object.as_object().cloned().unwrap_or_default();
        fields.remove("metadata");
        if kind.stored().status {
            fields.remove("status");
        }
        fields
    };
    asked(old) != asked(new)
}

/// The object after a write to its status.
fn with_new_status(kind: &Kind, old: &Value, new: Value) -> Value {
    let mut next = with_status_of(old.clone(), &new);
    if !status_has_metadata(kind) {
        return next;
    }
    let mut metadata = new["metadata"].clone();
    if kind.resource == Resource::DEPLOYMENTS {
        set(&mut metadata, "labels", &old["metadata"]["labels"]);
    } else if kind.resource == Resource::PODS {
        set(&mut metadata, "ownerReferences", &old["metadata"]["ownerReferences"]);
    }
    next["metadata"] = metadata;
    next
}

fn with_status_of(mut object: Value, other: &Value) -> Value {
    set(&mut object, "status", &other["status"]);
    object
}

/// Sets a field, or removes it for null.
fn set(object: &mut Value, field: &str, value: &Value) {
    if value.is_null() {
        remove(object, field);
    } else {
        object[field] = value.clone();
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

//! Field selectors: by which fields a kind's objects can be selected, and what is compared.
//!
//! Each built-in kind has its own few fields; the lists are Kubernetes' own (`AddFieldLabelConversionFunc` in
//! `pkg/apis/core/v1/conversion.go`). Custom resources are selected by the `selectableFields` of their version.

use serde_json::Value;

use super::super::resource::{Kind, Resource};
use super::super::status::Status;
use super::super::views;

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";
const EVENT: [&str; 11] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    SOURCE,
    "type",
];
/// Who reported an Event, whichever of the two fields says it.
const SOURCE: &str = "source";

/// One comparison of a field selector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FieldTerm {
    /// Where the field is in stored objects.
    path: String,
    value: String,
    equal: bool,
}

impl FieldTerm {
    /// Reads a term such as `spec.nodeName!=node1`.
    pub(super) fn parse(kind: &Kind, version: &str, term: &str) -> Result<Self, Status> {
        let unequal = term.split_once("!=").map(|(path, value)| (path, value, false));
        let equal = || term.split_once("==").or_else(|| term.split_once('='));
        let parts = unequal.or_else(|| equal().map(|(path, value)| (path, value, true)));
        let (label, value, equal) = parts.ok_or_else(|| {
            Status::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'"))
        })?;
        let path = path(kind, version, label.trim())?;
        Ok(Self { path, value: value.trim().to_owned(), equal })
    }

    /// Whether a stored object is selected.
    pub(super) fn holds(&self, object: &Value) -> bool {
        (found(object, &self.path) == self.value) == self.equal
    }
}

/// Where in stored objects a kind has the field of this label, if it can be selected by.
fn path(kind: &Kind, version: &str, label: &str) -> Result<String, Status> {
    let is = |resource: &Resource| kind.resource == *resource;
    let own: &[&str] = if is(&Resource::PODS) {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ]
    } else if is(&Resource::SERVICES) {
        &["spec.clusterIP", "spec.type"]
    } else if is(&Resource::NODES) {
        &["spec.unschedulable"]
    } else if is(&Resource::NAMESPACES) {
        &["status.phase"]
    } else if is(&Resource::EVENTS) {
        &EVENT
    } else if is(&Resource::EVENTS_V1) {
        // In the newer form's names; what is compared is the stored form.
        let path = views::stored_path(label);
        let renamed = path != label || matches!(label, "reason" | "type");
        if renamed && path != SOURCE && EVENT.contains(&&*path) {
            return Ok(path);
        }
        &[]
    } else if kind.is_custom() {
        let fields = kind.version(version).map(|version| &version.selectable_fields);
        if let Some(field) = fields.into_iter().flatten().find(|field| *field == label) {
            return Ok(field.clone());
        }
        &[]
    } else {
        // The other kinds have the two fields that every object has, and say so.
        if [NAME, NAMESPACE].contains(&label) {
            return Ok(label.to_owned());
        }
        return Err(Status::bad_request(format!(
            "{label:?} is not a known field selector: only {NAME:?}, {NAMESPACE:?}"
        )));
    };
    if label == NAME || label == NAMESPACE && kind.namespaced || own.contains(&label) {
        return Ok(label.to_owned());
    }
    Err(Status::bad_request(format!("field label not supported: {label}")))
}

/// The text at a path of a stored object, as it is compared.
fn found(object: &Value, path: &str) -> String {
    if path == SOURCE {
        let component = &object["source"]["component"];
        let reporter =
            if component.is_string() { component } else { &object["reportingComponent"] };
        return text(reporter);
    }
    let found = path.split('.').fold(object, |value, key| &value[key]);
    // A flag that is not set is not left out of the comparison.
    if found.is_null() && matches!(path, "spec.hostNetwork" | "spec.unschedulable") {
        return false.to_string();
    }
    text(found)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

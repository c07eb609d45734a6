//! The answer of an API server that refuses: `kind: Status`, in the words kubectl's users know.

use std::fmt::Display;
use std::time::Duration;

use serde_json::{Value, json};

use super::resource::Resource;

/// Why a request was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound` or `Conflict`.
    pub reason: &'static str,
    /// The sentence a person reads.
    pub message: String,
    /// What the refusal is about, and every single cause of an `Invalid`.
    pub details: Value,
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cause {
    /// The path of the field, such as `spec.ports[0].port`.
    pub(crate) field: String,
    /// The machine-readable reason, such as `FieldValueRequired`.
    pub(crate) reason: &'static str,
    /// What is wrong, without the field.
    pub(crate) message: String,
}

impl Cause {
    /// A field that must be there is not.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self { field: field.into(), reason: "FieldValueRequired", message }
    }

    /// A field has a value that it cannot have.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self { field: field.into(), reason: "FieldValueInvalid", message }
    }

    /// A field breaks a rule, which is told without the value: that of an object or a list says too little.
    pub(crate) fn broken(field: impl Into<String>, detail: &str) -> Self {
        let message = format!("Invalid value: {detail}");
        Self { field: field.into(), reason: "FieldValueInvalid", message }
    }

    /// A text is longer than it may be.
    pub(crate) fn too_long(field: impl Into<String>, most: u64) -> Self {
        let unit = if most == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {most} {unit}");
        Self { field: field.into(), reason: "FieldValueTooLong", message }
    }

    /// A list or a map has more in it than it may have.
    pub(crate) fn too_many(field: impl Into<String>, found: u64, most: u64) -> Self {
        let unit = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {found}: must have at most {most} {unit}");
        Self { field: field.into(), reason: "FieldValueTooMany", message }
    }

    /// A field has a value outside of a fixed set.
    pub(crate) fn unsupported(
        field: impl Into<String>,
        value: &Value,
        supported: &[String],
    ) -> Self {
        let message =
            format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        Self { field: field.into(), reason: "FieldValueNotSupported", message }
    }

    /// A field has a value that only one can have. That of an object or a list is not told.
    pub(crate) fn duplicate(field: impl Into<String>, value: Option<&Value>) -> Self {
        let value = value.map(|value| format!(": {value}")).unwrap_or_default();
        let message = format!("Duplicate value{value}");
        Self { field: field.into(), reason: "FieldValueDuplicate", message }
    }

    /// A field must not be there, or not be changed.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {detail}"),
        }
    }
}

fn listed(causes: &[Cause]) -> Vec<Value> {
    let listed = |cause: &Cause| json!({ "field": cause.field, "reason": cause.reason, "message": cause.message });
    causes.iter().map(listed).collect()
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details =
            json!({ "name": name, "group": resource.group(), "kind": resource.plural() });
        self
    }

    /// There is no such object.
    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} {name:?} not found")).about(resource, name)
    }

    /// There is no such path, kind or version.
    pub(crate) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// The name is taken.
    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} {name:?} already exists"))
            .about(resource, name)
    }

    /// The write was based on another state of the object.
    pub(crate) fn conflict(resource: &Resource, name: &str, why: impl Display) -> Self {
        Self::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"),
        )
        .about(resource, name)
    }

    /// Others want the fields of an applied configuration to be different.
    pub(crate) fn apply_conflict(causes: &[Cause], message: impl Into<String>) -> Self {
        let mut status = Self::new(409, "Conflict", message);
        status.details = json!({ "causes": listed(causes) });
        status
    }

    /// The request failed in the middle, for a reason that has no name.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// The object breaks the rules of its kind.
    pub(crate) fn invalid(resource: &Resource, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let qualified = if resource.group().is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{}", resource.group())
        };
        let mut told: Vec<_> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let told = if told.len() == 1 { told.remove(0) } else { format!("[{}]", told.join(", ")) };
        let causes = listed(causes);
        let mut status =
            Self::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {told}"));
        status.details = json!({ "group": resource.group(), "kind": kind, "causes": causes });
        if !name.is_empty() {
            status.details["name"] = json!(name);
        }
        status
    }

    /// The request itself makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The request is understood and not allowed now.
    pub(crate) fn forbidden(resource: &Resource, name: &str, why: impl Display) -> Self {
        let what = match name {
            "" => resource.to_string(),
            name => format!("{resource} {name:?}"),
        };
        Self::new(403, "Forbidden", format!("{what} is forbidden: {why}")).about(resource, name)
    }

    /// The revision asked for is no longer kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// The revision asked for lies in the future.
    pub(crate) fn too_large_revision(asked: u64, current: u64) -> Self {
        Self::new(
            504,
            "Timeout",
            format!("Too large resource version: {asked}, current: {current}"),
        )
    }

    /// The verb does not apply to the resource.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// The server, being the lab's, lacks what was asked for.
    pub(crate) fn not_supported(message: impl Into<String>) -> Self {
        Self::new(404, "NotFound", message)
    }

    /// The client accepts no form of answer that is spoken here.
    pub(crate) fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }

    /// The body is larger than an object can be.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// The body is in a format that is not read.
    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The client should ask again after so long, in whole seconds.
    pub(crate) fn too_many_requests(after: Duration) -> Self {
        let message = "Too many requests, please try again later.";
        let mut status = Self::new(429, "TooManyRequests", message);
        status.details = json!({ "retryAfterSeconds": after.as_secs() });
        status
    }

    /// Something went wrong here.
    pub(crate) fn internal_error(why: impl Display) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {why}"))
    }

    /// There is nobody who could answer now.
    pub(crate) fn unavailable() -> Self {
        let message = "the server is currently unable to handle the request";
        Self::new(503, "ServiceUnavailable", message)
    }

    /// The request is well-formed and cannot be carried out.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// The object as it goes over the wire.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            value["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            value["details"] = self.details.clone();
        }
        value
    }
}

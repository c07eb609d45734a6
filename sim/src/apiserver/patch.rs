//! The three ways to say what should change: JSON merge patch (RFC 7386), JSON patch (RFC 6902) and
//! Kubernetes' strategic merge patch.
//!
//! The strategic one differs from the merge patch in lists: those whose elements have an identity are merged element
//! by element. What an applier wants is no patch of this kind: see `apply`.

use serde_json::Value;

use super::resource::Kind;
use super::status::Status;
use super::strategic;

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
                json_patch::patch(&mut patched, &steps).map_err(|_| {
                    Status::unprocessable(
                        "the server rejected our request due to an error in our request",
                    )
                })?;
            }
            Self::Strategic(_) if kind.is_custom() => return Err(unknown_format(kind)),
            Self::Strategic(patch) => patched = strategic::patched(kind, object, patch)?,
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

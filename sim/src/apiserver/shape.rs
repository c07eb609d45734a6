//! The forms in which an object, or several, go back to a client.

use std::sync::Arc;

use serde_json::{Value, json};

use super::history::{Event, EventKind};
use super::http::Call;
use super::request::{Form, Target};
use super::resource::Kind;
use super::table;

/// The form that one request asked for.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    kind: Arc<Kind>,
    version: String,
    form: Form,
    /// How much of the object comes with a table's row.
    include: String,
}

impl Shape {
    pub(crate) fn new(call: &Call, kind: &Arc<Kind>, target: &Target, form: Form) -> Self {
        let include = call.query.text("includeObject").unwrap_or("Metadata").to_owned();
        Self { kind: kind.clone(), version: target.version.clone(), form, include }
    }

    pub(crate) fn one(&self, object: &Value) -> Value {
        match self.form {
            Form::Object => self.versioned(object),
            Form::Metadata => partial(object),
            Form::Table => {
                let revision = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                self.table(&[object], revision)
            }
        }
    }

    pub(crate) fn many<'a>(
        &self,
        objects: impl Iterator<Item = &'a Value>,
        metadata: Value,
    ) -> Value {
        match self.form {
            Form::Object => {
                let items: Vec<_> = objects.map(|object| self.versioned(object)).collect();
                let api_version = self.kind.api_version(&self.version);
                json!({ "kind": self.kind.list_kind, "apiVersion": api_version, "metadata": metadata, "items": items })
            }
            Form::Metadata => {
                let items: Vec<_> = objects.map(partial).collect();
                json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata, "items": items,
                })
            }
            Form::Table => {
                let mut table = self.table(&objects.collect::<Vec<_>>(), "");
                table["metadata"] = metadata;
                table
            }
        }
    }

    fn table(&self, objects: &[&Value], revision: &str) -> Value {
        let row = |object: &&Value| match self.include.as_str() {
            "Object" => self.versioned(object),
            "None" => Value::Null,
            _ => partial(object),
        };
        table::render(&self.kind, &self.version, objects, revision, row)
    }

    /// The object in the version asked for; versions differ in nothing but their name.
    fn versioned(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if self.version != self.kind.storage {
            object["apiVersion"] = json!(self.kind.api_version(&self.version));
        }
        object
    }

    /// The line of a watch that tells an event.
    pub(crate) fn event(&self, event: &Event) -> Value {
        let kind = match event.kind {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        };
        json!({ "type": kind, "object": self.one(&event.object) })
    }

    /// The line of a watch that tells how far it is.
    pub(crate) fn bookmark(&self, revision: u64, list_ends: bool) -> Value {
        let mut object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(&self.version),
            "metadata": { "resourceVersion": revision.to_string(), "creationTimestamp": null },
        });
        if list_ends {
            object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        json!({ "type": "BOOKMARK", "object": object })
    }
}

fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

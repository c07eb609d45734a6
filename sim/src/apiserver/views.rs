//! A kind that is another kind's objects in another form: the Events of `events.k8s.io`, stored as those of the
//! core group.
//!
//! What the newer form renamed is renamed on the way in and out; nothing is lost either way. Kubernetes
//! converts the same fields (`pkg/apis/events/v1/conversion.go`).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::resource::{Kind, Resource};

/// The fields of an Event that have two names: in `events.k8s.io/v1`, and in `v1`.
const RENAMED: [(&str, &str); 7] = [
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
];

impl Kind {
    /// The collection that the kind's objects are stored in.
    pub(crate) fn collection(&self) -> &Resource {
        static EVENTS: Resource = Resource::EVENTS;
        if self.is_view() { &EVENTS } else { &self.resource }
    }

    fn is_view(&self) -> bool {
        self.resource == Resource::EVENTS_V1
    }

    /// An object of the kind in the form in which it is stored.
    pub(crate) fn to_stored(&self, mut object: Value) -> Value {
        if let (true, Some(fields)) = (self.is_view(), object.as_object_mut()) {
            for (shown, stored) in RENAMED {
                rename(fields, shown, stored);
            }
            fields.insert("apiVersion".to_owned(), json!("v1"));
        }
        object
    }

    /// A stored object in the kind's own form.
    pub(crate) fn of_stored(&self, object: Arc<Value>) -> Arc<Value> {
        if !self.is_view() {
            return object;
        }
        let mut object = Arc::unwrap_or_clone(object);
        if let Some(fields) = object.as_object_mut() {
            for (shown, stored) in RENAMED {
                rename(fields, stored, shown);
            }
            fields.insert("apiVersion".to_owned(), json!(self.api_version(&self.storage)));
        }
        Arc::new(object)
    }
}

/// The path in stored objects of a field by which Events in their newer form are selected.
pub(crate) fn stored_path(path: &str) -> String {
    let (first, rest) = path.split_at(path.find('.').unwrap_or(path.len()));
    let renamed = RENAMED.iter().find(|(shown, _)| *shown == first);
    format!("{}{rest}", renamed.map_or(first, |(_, stored)| stored))
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

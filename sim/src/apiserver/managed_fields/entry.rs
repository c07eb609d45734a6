//! One entry of `managedFields`: the fields of one writer.

use std::fmt;

use serde_json::{Value, json};

use super::super::resource::Kind;
use super::super::store::{Options, Subresource};
use super::super::write::now;
use super::set::FieldSet;

/// How a writer came to its fields.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Operation {
    /// It applied a configuration with them, and keeps them in it.
    Apply,
    /// It changed them, once.
    Update,
}

/// The fields of one writer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    /// When the writer last took a field; RFC 3339, in seconds.
    pub(crate) time: Option<String>,
    pub(crate) fields: FieldSet,
}

impl Entry {
    /// The entry of whoever writes now.
    pub(crate) fn new(
        operation: Operation,
        kind: &Kind,
        part: Subresource,
        options: &Options,
        fields: FieldSet,
    ) -> Self {
        let manager = if options.manager.is_empty() { "unknown" } else { &options.manager };
        let subresource = match part {
            Subresource::Status => "status",
            Subresource::Object => options.facet,
        };
        Self {
            manager: manager.to_owned(),
            operation,
            api_version: kind.api_version(&kind.storage),
            subresource: subresource.to_owned(),
            time: Some(now()),
            fields,
        }
    }

    /// Whether both are entries of one writer. An applier stays the same across versions of the API.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The place among other entries.
    pub(crate) fn rank(&self) -> (Operation, Option<&str>, &str, &str, &str) {
        (self.operation, self.time.as_deref(), &self.manager, &self.api_version, &self.subresource)
    }

    /// Takes an older entry's fields in; nobody can tell whose they were.
    pub(crate) fn absorb(&mut self, older: &Self) {
        self.manager = "ancient-changes".to_owned();
        self.subresource = String::new();
        self.fields = self.fields.union(&older.fields);
    }

    pub(crate) fn decode(entry: &Value) -> Option<Self> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let operation = match entry["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let fields = match entry.get("fieldsV1") {
            None => FieldSet::default(),
            Some(fields) => FieldSet::decode(fields)?,
        };
        let is_read = entry["fieldsType"] == "FieldsV1" && !text("apiVersion").is_empty();
        is_read.then(|| Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: entry["time"].as_str().map(str::to_owned),
            fields,
        })
    }

    pub(crate) fn encode(&self) -> Value {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = json!({
            "manager": self.manager, "operation": operation, "apiVersion": self.api_version,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.encode(),
        });
        if let Some(time) = &self.time {
            entry["time"] = json!(time);
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }
}

/// The writer, as a conflict names it.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Update => write!(f, " using {}", self.api_version),
            Operation::Apply => Ok(()),
        }
    }
}

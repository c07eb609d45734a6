//! What the fields of a kind may be: the built-in types as they are, custom resources as their definition says.

mod admission;
mod builtin;
mod cel;
mod scope;
mod structural;
mod tags;

use serde_json::{Map, Value};

use super::resource::Kind;
pub(crate) use admission::admit;
pub(crate) use builtin::builtin;
pub(crate) use cel::Rules;
pub(crate) use structural::check as check_structure;

/// How a list is merged when it is applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Merging<'a> {
    /// In one piece.
    Whole,
    /// Element by element, each being what tells it apart.
    BySelf,
    /// Element by element, told apart by the values of these fields.
    ByKeys(&'a [Value]),
}

/// A place in a schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema<'a> {
    /// The schema as it is written where it is used.
    written: &'a Value,
    /// The type it refers to, or itself.
    node: &'a Value,
    /// Whether it belongs to a built-in kind, whose schemas are complete types rather than structural schemas.
    builtin: bool,
}

impl<'a> Schema<'a> {
    /// The schema of a kind's stored objects.
    pub(crate) fn of(kind: &'a Kind) -> Self {
        match builtin().name(&kind.resource) {
            Some(name) => Self::builtin(name),
            None => {
                let schema = kind.stored().schema.as_ref().unwrap_or(&Value::Null);
                Self { written: schema, node: schema, builtin: false }
            }
        }
    }

    fn builtin(name: &str) -> Self {
        let node = builtin().definitions.get(name).unwrap_or(&Value::Null);
        Self { written: node, node, builtin: true }
    }

    /// The schema of every object's metadata.
    pub(crate) fn metadata() -> Self {
        Self::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    }

    /// The schema at another place of the same document.
    fn at(self, written: &'a Value) -> Self {
        let reference = if self.builtin {
            written["$ref"].as_str().or_else(|| written["allOf"][0]["$ref"].as_str())
        } else {
            None
        };
        match reference.and_then(|path| path.rsplit('/').next()) {
            Some(name) => Self { written, ..Self::builtin(name) },
            None => Self { written, node: written, builtin: self.builtin },
        }
    }

    /// The schema of a field of an object.
    pub(crate) fn field(self, name: &str) -> Option<Self> {
        let named = self.node["properties"].get(name);
        named.or_else(|| self.node.get("additionalProperties")).map(|schema| self.at(schema))
    }

    /// The schema of the elements of a list.
    pub(crate) fn items(self) -> Option<Self> {
        self.node.get("items").map(|schema| self.at(schema))
    }

    /// Whether a field is one of the type's own, rather than a key of a map.
    pub(crate) fn declares(self, name: &str) -> bool {
        self.node["properties"].get(name).is_some()
    }

    /// Whether there may be fields that the schema does not name.
    pub(crate) fn is_open(self) -> bool {
        self.node["x-kubernetes-preserve-unknown-fields"] == true
            || self.builtin
                && self.node["properties"].is_null()
                && self.node["additionalProperties"].is_null()
    }

    /// What a field is if nothing is said about it.
    pub(crate) fn default_of(self, name: &str) -> Option<&'a Value> {
        let default = self.node["properties"].get(name)?.get("default")?;
        (!self.embeds(name)).then_some(default)
    }

    /// Whether a field of a built-in type is a struct that is always there, if only empty: its default is `{}`.
    pub(crate) fn embeds(self, name: &str) -> bool {
        let default = self.node["properties"].get(name).and_then(|field| field.get("default"));
        self.builtin && default.and_then(Value::as_object).is_some_and(Map::is_empty)
    }

    /// Whether the fields of an object are merged in one piece.
    pub(crate) fn is_atomic_map(self) -> bool {
        [self.written, self.node].iter().any(|schema| schema["x-kubernetes-map-type"] == "atomic")
    }

    /// How a list is merged when it is applied.
    pub(crate) fn merging(self) -> Merging<'a> {
        match self.node["x-kubernetes-list-type"].as_str() {
            Some("set") => Merging::BySelf,
            Some("map") => {
                let keys = self.node["x-kubernetes-list-map-keys"].as_array();
                keys.map_or(Merging::Whole, |keys| Merging::ByKeys(keys))
            }
            _ => Merging::Whole,
        }
    }

    /// The field that tells a list's elements apart, if a strategic merge patch merges them.
    pub(crate) fn merge_key(self) -> Option<&'a str> {
        self.written["x-kubernetes-patch-merge-key"].as_str()
    }

    /// Whether a strategic merge patch merges a list instead of replacing it.
    pub(crate) fn merges(self) -> bool {
        let strategies = self.written["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
        strategies.split(',').any(|strategy| strategy == "merge")
    }
}

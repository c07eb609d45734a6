//! What the fields of a kind may be: the built-in types as they are, custom resources as their definition says.

mod admission;
mod builtin;
mod cel;
mod scope;
mod structural;

use serde_json::Value;

use super::resource::Kind;
pub(crate) use admission::admit;
pub(crate) use builtin::builtin;
pub(crate) use cel::Rules;
pub(crate) use structural::check as check_structure;

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

    fn metadata() -> Self {
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

    /// The field that tells a list's elements apart, if a strategic merge patch merges them.
    pub(crate) fn merge_key(self) -> Option<&'a str> {
        self.written["x-kubernetes-patch-merge-key"].as_str()
    }

    /// Whether a strategic merge patch adds to a list of plain values instead of replacing it.
    pub(crate) fn is_set(self) -> bool {
        self.merge_key().is_none() && self.written["x-kubernetes-patch-strategy"] == "merge"
    }
}

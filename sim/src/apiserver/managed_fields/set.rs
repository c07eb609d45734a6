//! A set of fields, and how `managedFields` writes it down.
//!
//! Heads up: FieldsV1, as structured-merge-diff defines it: `f:` is a field or a map's key, `k:` an element of a list
//! by its keys, `v:` one by its value, `i:` one by its place, and `.` the thing itself beside what is in it.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// One step into an object. Keys and values are JSON in its one canonical form, so that equal ones are equal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Element {
    /// A field of an object, or a key of a map.
    Field(String),
    /// The element of a list that has these values in the fields that tell elements apart.
    Key(String),
    /// The element of a set that has this value.
    Value(String),
    /// The element of a list at this place.
    Index(u64),
}

impl Element {
    pub(crate) fn key(fields: Map<String, Value>) -> Self {
        Self::Key(Value::Object(fields).to_string())
    }

    fn decode(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(':')?;
        let json = || serde_json::from_str::<Value>(rest).ok();
        match form {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => json().filter(Value::is_object).map(|keys| Self::Key(keys.to_string())),
            "v" => json().map(|value| Self::Value(value.to_string())),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(place) => format!("i:{place}"),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<_> =
                    keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(place) => write!(f, "[{place}]"),
        }
    }
}

/// The way to a field, as people write it: `.spec.ports[port=80,protocol="TCP"].name`.
pub(crate) fn shown(path: &[Element]) -> String {
    path.iter().map(Element::to_string).collect()
}

/// A set of fields, each by the way to it. What is in a field does not belong to the set with it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct FieldSet(BTreeSet<Vec<Element>>);

impl FieldSet {
    pub(crate) fn insert(&mut self, path: &[Element]) {
        self.0.insert(path.to_vec());
    }

    pub(crate) fn contains(&self, path: &[Element]) -> bool {
        self.0.contains(path)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Element]> {
        self.0.iter().map(Vec::as_slice)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[Element]) -> bool) {
        self.0.retain(|path| keep(path));
    }

    #[must_use]
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    #[must_use]
    pub(crate) fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    #[must_use]
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The set as FieldsV1.
    pub(crate) fn encode(&self) -> Value {
        let mut root = Map::new();
        for path in &self.0 {
            let mut at = &mut root;
            // A field that is there only as a leaf is written as `{}`; once something in it is there, too, as `.`.
            for (depth, element) in path.iter().enumerate() {
                let is_leaf = at
                    .get(&element.encode())
                    .is_some_and(|inner| inner == &Value::Object(Map::new()));
                let inner = at.entry(element.encode()).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(inner) = inner else { break };
                if is_leaf && depth + 1 < path.len() {
                    inner.insert(".".to_owned(), Value::Object(Map::new()));
                }
                at = inner;
            }
        }
        Value::Object(root)
    }

    /// Reads FieldsV1; `None` if it is something else.
    pub(crate) fn decode(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        set.decode_into(fields, &mut Vec::new())?;
        Some(set)
    }

    fn decode_into(&mut self, fields: &Value, path: &mut Vec<Element>) -> Option<()> {
        for (text, inner) in fields.as_object()? {
            if text == "." {
                self.insert(path);
                continue;
            }
            path.push(Element::decode(text)?);
            if inner.as_object()?.is_empty() {
                self.insert(path);
            } else {
                self.decode_into(inner, path)?;
            }
            path.pop();
        }
        Some(())
    }
}

impl FromIterator<Vec<Element>> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Vec<Element>>>(paths: T) -> Self {
        Self(paths.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_written_as_kubernetes_writes_it_and_read_back() {
        let fields = json!({
            "f:metadata": { "f:annotations": { ".": {}, "f:a/b": {} }, "f:finalizers": { "v:\"x\"": {} } },
            "f:spec": {
                "f:ports": {
                    ".": {},
                    "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:port": {} },
                },
                "f:type": {},
            },
            "f:other": { "i:3": {} },
        });
        let set = FieldSet::decode(&fields).expect("FieldsV1");
        assert_eq!(set.encode(), fields);
        let shown: Vec<_> = set.iter().map(shown).collect();
        assert_eq!(
            shown,
            [
                ".metadata.annotations",
                ".metadata.annotations.a/b",
                ".metadata.finalizers[=\"x\"]",
                ".other[3]",
                ".spec.ports",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port",
                ".spec.type",
            ]
        );
    }

    #[test]
    fn the_order_of_keys_in_an_element_does_not_matter() {
        let one = json!({ "k:{\"a\":1,\"b\":2}": {} });
        let other = json!({ "k:{ \"b\": 2, \"a\": 1 }": {} });
        assert_eq!(FieldSet::decode(&one), FieldSet::decode(&other));
    }

    #[test]
    fn what_is_no_set_is_not_read() {
        for fields in [json!([]), json!({ "spec": {} }), json!({ "f:a": 1 }), json!({ "k:[": {} })]
        {
            assert_eq!(FieldSet::decode(&fields), None, "{fields}");
        }
    }
}

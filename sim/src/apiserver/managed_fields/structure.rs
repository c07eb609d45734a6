//! What an object is made of, for merging: which values are one piece, and how the parts of the others are told apart.
//!
//! The schema says so: `x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` (KEP-555).
//! Where there is no schema, objects have fields and everything else is one piece.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::resource::Kind;
use super::super::schema::{Merging, Schema};
use super::set::{Element, FieldSet, shown};

/// A place in objects of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    schema: Option<Schema<'a>>,
    /// Whether it is the whole object, whose metadata need not be in the schema.
    whole: bool,
}

/// A part of a value, under the step that leads to it.
pub(crate) type Part<'a, 'v> = (Element, Place<'a>, &'v Value);

impl<'a> Place<'a> {
    pub(crate) fn whole(kind: &'a Kind) -> Self {
        Self { schema: Some(Schema::of(kind)), whole: true }
    }

    fn field(self, name: &str) -> Self {
        let schema = match name {
            "metadata" if self.whole => Some(Schema::metadata()),
            _ => self.schema.and_then(|schema| schema.field(name)),
        };
        Self { schema, whole: false }
    }

    fn items(self) -> Self {
        Self { schema: self.schema.and_then(Schema::items), whole: false }
    }

    /// Whether a field is one of a type's, rather than a key of a map.
    fn declares(self, name: &str) -> bool {
        self.whole && matches!(name, "apiVersion" | "kind" | "metadata")
            || self.schema.is_some_and(|schema| schema.declares(name))
    }

    /// Whether a field of a type is there even if nothing was ever said about it.
    pub(crate) fn embeds(self, name: &str) -> bool {
        self.schema.is_some_and(|schema| schema.embeds(name))
    }

    /// The place one step further.
    pub(crate) fn step(self, element: &Element) -> Self {
        match element {
            Element::Field(name) => self.field(name),
            Element::Key(_) | Element::Value(_) | Element::Index(_) => self.items(),
        }
    }

    /// The parts of a value; `None` if it is one piece.
    pub(crate) fn parts<'v>(self, value: &'v Value) -> Option<Vec<Part<'a, 'v>>> {
        match value {
            Value::Object(fields) if !self.schema.is_some_and(Schema::is_atomic_map) => {
                let part = |(name, value): (&String, &'v Value)| {
                    (Element::Field(name.clone()), self.field(name), value)
                };
                Some(fields.iter().map(|(name, value)| part((name, value))).collect())
            }
            Value::Array(elements) => {
                let merging = self.schema.map(Schema::merging)?;
                let part = |element| {
                    // An element without its keys was refused before, or stored by a client that may do so.
                    let step = self.element(merging, element).ok()?;
                    Some((step, self.items(), element))
                };
                (merging != Merging::Whole).then(|| elements.iter().filter_map(part).collect())
            }
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => None,
        }
    }

    /// The step to an element of a list, or what is wrong with the element.
    fn element(self, merging: Merging<'a>, element: &Value) -> Result<Element, String> {
        let Merging::ByKeys(keys) = merging else {
            return Ok(Element::Value(element.to_string()));
        };
        let items = self.items();
        let mut found = Map::new();
        for key in keys.iter().filter_map(Value::as_str) {
            let default = || items.schema.and_then(|schema| schema.default_of(key));
            let value = element.get(key).or_else(default).ok_or_else(|| {
                format!(
                    "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                )
            })?;
            found.insert(key.to_owned(), value.clone());
        }
        Ok(Element::key(found))
    }
}

/// The fields that a value asks for: its leaves, and every key and element by itself.
pub(crate) fn fields(place: Place<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(place, value, &mut Vec::new(), &mut set);
    set
}

fn collect(place: Place<'_>, value: &Value, path: &mut Vec<Element>, set: &mut FieldSet) {
    let Some(parts) = place.parts(value) else {
        set.insert(path);
        return;
    };
    for (step, below, value) in parts {
        let by_itself = match &step {
            Element::Field(name) => {
                !place.declares(name) || value.as_object().is_some_and(Map::is_empty)
            }
            Element::Key(_) | Element::Value(_) | Element::Index(_) => true,
        };
        path.push(step);
        collect(below, value, path, set);
        if by_itself {
            set.insert(path);
        }
        path.pop();
    }
}

/// Adds the fields of types on the way to those of the set: to ask for something in one is to ask for it.
pub(crate) fn with_parents(whole: Place<'_>, set: &FieldSet) -> FieldSet {
    let mut full = set.clone();
    for path in set.iter() {
        let mut place = whole;
        for (depth, step) in path.iter().enumerate() {
            if matches!(step, Element::Field(name) if place.declares(name)) {
                full.insert(&path[..=depth]);
            }
            place = place.step(step);
        }
    }
    full
}

/// What keeps a configuration from being merged: fields that the kind does not have, elements that cannot be told
/// apart. In the words of a real server.
pub(crate) fn faults(whole: Place<'_>, config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find_faults(whole, config, &mut Vec::new(), &mut found);
    found
}

fn find_faults(place: Place<'_>, value: &Value, path: &mut Vec<Element>, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(Element::Field(name.clone()));
                let below = place.field(name);
                let is_open = place.schema.is_none_or(Schema::is_open);
                if below.schema.is_none() && !is_open && !place.declares(name) {
                    found.push(format!("{}: field not declared in schema", shown(path)));
                } else {
                    find_faults(below, value, path, found);
                }
                path.pop();
            }
        }
        Value::Array(elements) => {
            let merging = place.schema.map_or(Merging::Whole, Schema::merging);
            let mut seen = BTreeSet::new();
            for (index, element) in elements.iter().enumerate() {
                let step = match merging {
                    Merging::Whole => Ok(Element::Index(index as u64)),
                    Merging::BySelf | Merging::ByKeys(_) => place.element(merging, element),
                };
                match step {
                    Err(why) => found.push(format!("{}: element {index}: {why}", shown(path))),
                    Ok(step) if !seen.insert(step.clone()) => {
                        found.push(format!("{}: duplicate entries for key {step}", shown(path)));
                    }
                    Ok(step) => {
                        path.push(step);
                        find_faults(place.items(), element, path, found);
                        path.pop();
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

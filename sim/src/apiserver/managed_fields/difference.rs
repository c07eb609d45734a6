//! Which fields differ between two states of an object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::set::{Element, FieldSet};
use super::structure::{Part, Place};

/// The fields that differ.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Difference {
    pub(crate) added: FieldSet,
    pub(crate) changed: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Difference {
    /// From one state of an object of a kind to the next.
    pub(crate) fn between(whole: Place<'_>, old: &Value, new: &Value) -> Self {
        let mut difference = Self::default();
        difference.visit(whole, Some(old), Some(new), &mut Vec::new());
        difference
    }

    /// The fields that have a new value.
    pub(crate) fn set(&self) -> FieldSet {
        self.added.union(&self.changed)
    }

    fn visit(
        &mut self,
        place: Place<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
        path: &mut Vec<Element>,
    ) {
        let Some(parts) = common_parts(place, old, new) else {
            match (old, new) {
                (None, Some(_)) => self.added.insert(path),
                (Some(_), None) => self.removed.insert(path),
                (Some(old), Some(new)) if old != new => self.changed.insert(path),
                (Some(_), Some(_)) | (None, None) => {}
            }
            return;
        };
        for (step, (below, old, new)) in parts {
            let embedded = matches!(&step, Element::Field(name) if place.embeds(name));
            path.push(step);
            self.visit(below, old, new, path);
            // A field of its own right comes and goes with what is in it; an embedded one was always there.
            let is_composite = common_parts(below, old, new).is_some();
            match (old, new) {
                (None, Some(_)) if is_composite && !embedded => self.added.insert(path),
                (Some(_), None) if is_composite && !embedded => self.removed.insert(path),
                _ => {}
            }
            path.pop();
        }
    }
}

type Both<'a, 'v> = BTreeMap<Element, (Place<'a>, Option<&'v Value>, Option<&'v Value>)>;

/// The parts of either state; `None` if the two are compared in one piece.
fn common_parts<'a, 'v>(
    place: Place<'a>,
    old: Option<&'v Value>,
    new: Option<&'v Value>,
) -> Option<Both<'a, 'v>> {
    let parts = |value: Option<&'v Value>| match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => place.parts(value),
    };
    let (old, new): (Vec<Part<'_, '_>>, Vec<Part<'_, '_>>) = (parts(old)?, parts(new)?);
    if old.is_empty() && new.is_empty() {
        return None; // Empty, null and absent are told apart as leaves.
    }
    let mut both = Both::new();
    for (step, below, value) in old {
        both.entry(step).or_insert((below, None, None)).1.get_or_insert(value);
    }
    for (step, below, value) in new {
        both.entry(step).or_insert((below, None, None)).2.get_or_insert(value);
    }
    Some(both)
}

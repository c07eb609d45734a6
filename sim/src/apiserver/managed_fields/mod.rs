//! `metadata.managedFields`: who set which field last, so that appliers notice each other.
//!
//! Heads up: Kubernetes' "Server-Side Apply" describes the behaviour; KEP-555 and structured-merge-diff, the algorithm.
//! A write that is not an apply takes every field that it changes away from whoever had it. Only an apply can be
//! refused, which is the affair of `apply`.

mod difference;
mod entry;
mod merge;
mod set;
mod structure;

use serde_json::{Value, json};

use super::resource::{Kind, Resource};
use super::store::{Options, Subresource};
pub(crate) use difference::Difference;
pub(crate) use entry::{Entry, Operation};
pub(crate) use merge::{Emptied, merged, without};
pub(crate) use set::{Element, FieldSet, shown};
pub(crate) use structure::{Place, faults, fields, with_parents};

/// How many entries of writers that do not apply are kept; the oldest share one after that.
const MOST_UPDATERS: usize = 10;

/// What the server fills in by itself, which is nobody's unless somebody asked for it. Any element counts for `*`.
const ALLOCATED: [(&Resource, &[&str]); 6] = [
    (&Resource::SERVICES, &["spec", "clusterIP"]),
    (&Resource::SERVICES, &["spec", "clusterIPs"]),
    (&Resource::SERVICES, &["spec", "healthCheckNodePort"]),
    (&Resource::SERVICES, &["spec", "ipFamilies"]),
    (&Resource::SERVICES, &["spec", "ipFamilyPolicy"]),
    (&Resource::SERVICES, &["spec", "ports", "*", "nodePort"]),
];

/// The entries that an object carries; none if they cannot be read.
pub(crate) fn of(object: &Value) -> Vec<Entry> {
    let listed = object["metadata"]["managedFields"].as_array();
    let entries = listed.map(|listed| listed.iter().map(Entry::decode).collect::<Option<Vec<_>>>());
    entries.flatten().unwrap_or_default()
}

/// Writes the entries into an object.
pub(crate) fn set(object: &mut Value, mut entries: Vec<Entry>) {
    entries.sort_by(|one, other| one.rank().cmp(&other.rank()));
    if entries.is_empty() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    } else {
        let entries: Vec<_> = entries.iter().map(Entry::encode).collect();
        object["metadata"]["managedFields"] = json!(entries);
    }
}

/// Notes in `new`, which is about to be stored in place of `old`, who changed what. `asked` is what the writer sent.
pub(crate) fn record(
    kind: &Kind,
    old: Option<&Value>,
    asked: &Value,
    new: &mut Value,
    part: Subresource,
    options: &Options,
) {
    let mut entries = before(old, asked, part);
    if old.is_some() && entries.is_empty() {
        set(new, entries); // Nobody ever applied it, and its first fields are nobody's.
        return;
    }
    let whole = Place::whole(kind);
    let nothing = json!({});
    let difference =
        Difference::between(whole, &unmanaged(old.unwrap_or(&nothing)), &unmanaged(new));
    let mut taken = difference.set();
    let wanted = fields(whole, asked);
    taken.retain(|path| {
        can_be_had(kind, part, path) && (wanted.contains(path) || !is_allocated(kind, path))
    });
    give_up(&mut entries, &difference);
    let me = Entry::new(Operation::Update, kind, part, options, taken);
    take(&mut entries, me);
    share_the_oldest(&mut entries);
    set(new, entries);
}

/// The entries that a write starts from: those it brings, if it says anything about them, else those of the object.
fn before(old: Option<&Value>, asked: &Value, part: Subresource) -> Vec<Entry> {
    let there = || old.map(of).unwrap_or_default();
    let brought = &asked["metadata"]["managedFields"];
    let is_reset = brought.as_array().is_some_and(|list| match &list[..] {
        [] => true,
        [only] => *only == json!({}),
        _ => false,
    });
    match part {
        Subresource::Status => there(),
        Subresource::Object if is_reset => Vec::new(),
        Subresource::Object => {
            Some(of(asked)).filter(|brought| !brought.is_empty()).unwrap_or_else(there)
        }
    }
}

/// Takes from every entry what now has another value, or none.
pub(crate) fn give_up(entries: &mut Vec<Entry>, difference: &Difference) {
    let lost = difference.set().union(&difference.removed);
    for entry in &mut *entries {
        entry.fields = entry.fields.difference(&lost);
    }
    entries.retain(|entry| !entry.fields.is_empty());
}

/// Adds an entry to those there are, if it has anything.
pub(crate) fn take(entries: &mut Vec<Entry>, entry: Entry) {
    if entry.fields.is_empty() {
        return;
    }
    match entries.iter_mut().find(|known| known.is_same(&entry)) {
        Some(known) => {
            known.fields = known.fields.union(&entry.fields);
            known.time = entry.time;
        }
        None => entries.push(entry),
    }
}

/// Whether a writer of this part of an object can have the field: what identifies the object, and what the server
/// keeps about it, is nobody's.
pub(crate) fn can_be_had(kind: &Kind, part: Subresource, path: &[Element]) -> bool {
    const NOBODYS: [&str; 8] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let is_somebodys = match path {
        [Element::Field(field)] => !matches!(field.as_str(), "apiVersion" | "kind" | "metadata"),
        [Element::Field(first), Element::Field(field)] => {
            first != "metadata" || !NOBODYS.contains(&field.as_str())
        }
        _ => true,
    };
    is_somebodys && is_in_reach(kind, part, path)
}

/// Whether a write to this part of an object can change the field.
pub(crate) fn is_in_reach(kind: &Kind, part: Subresource, path: &[Element]) -> bool {
    let starts_with =
        |name: &str| matches!(path.first(), Some(Element::Field(first)) if first == name);
    let is_status = starts_with("status");
    match part {
        Subresource::Status => is_status || starts_with("metadata") && status_has_metadata(kind),
        Subresource::Object => !(is_status && kind.stored().status),
    }
}

/// Whether a write to the status reaches the metadata, too: custom resources and definitions keep them apart.
pub(crate) fn status_has_metadata(kind: &Kind) -> bool {
    !(kind.is_custom() || kind.resource == Resource::CRDS)
}

fn is_allocated(kind: &Kind, path: &[Element]) -> bool {
    let is_step = |(step, name): (&Element, &&str)| match step {
        Element::Field(field) => field == name,
        Element::Key(_) | Element::Value(_) | Element::Index(_) => *name == "*",
    };
    ALLOCATED.iter().any(|(resource, names)| {
        **resource == kind.resource
            && names.len() == path.len()
            && path.iter().zip(*names).all(is_step)
    })
}

/// Puts the oldest entries of writers together until there are few enough.
fn share_the_oldest(entries: &mut Vec<Entry>) {
    let is_update = |entry: &Entry| entry.operation == Operation::Update;
    entries.sort_by(|one, other| one.rank().cmp(&other.rank()));
    while entries.iter().filter(|entry| is_update(entry)).count() > MOST_UPDATERS {
        let Some(first) = entries.iter().position(is_update) else { return };
        let oldest = entries.remove(first);
        let next = entries.iter_mut().find(|entry| {
            entry.operation == Operation::Update && entry.api_version == oldest.api_version
        });
        let Some(next) = next else { return };
        next.absorb(&oldest);
    }
}

/// Whether two states of an object differ in nothing but when somebody had a field last.
pub(crate) fn is_same_but_times(one: &Value, other: &Value) -> bool {
    let untimed = |object: &Value| {
        let mut entries = of(object);
        entries.iter_mut().for_each(|entry| entry.time = None);
        let mut object = unmanaged(object);
        set(&mut object, entries);
        object
    };
    one == other || untimed(one) == untimed(other)
}

/// The object without what is noted about it.
pub(crate) fn unmanaged(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

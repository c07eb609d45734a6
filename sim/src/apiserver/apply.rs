//! Server-side apply: merges what one applier wants into an object, and finds who wants it otherwise.
//!
//! Heads up: read Kubernetes' "Server-Side Apply" first. What an applier wanted before and no longer mentions goes,
//! unless another applier wants it, too, or others put it there.

use serde_json::{Value, json};

use super::managed_fields::{
    self, Difference, Emptied, Entry, FieldSet, Operation, Place, can_be_had, faults, fields,
    give_up, is_in_reach, merged, shown, take, unmanaged, with_parents, without,
};
use super::resource::Kind;
use super::status::{Cause, Status};
use super::store::{Options, Subresource};

/// The annotation in which client-side apply keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields of one other writer that an apply would change.
struct Conflict {
    with: Entry,
    fields: FieldSet,
}

/// The object with the configuration in it, and whose its fields are then.
pub(crate) fn applied(
    kind: &Kind,
    live: Option<&Value>,
    config: &Value,
    part: Subresource,
    options: &Options,
    force: bool,
) -> Result<(Value, Vec<Entry>), Status> {
    check(kind, config)?;
    let apply = Apply { kind, live, config, part, options };
    let upgrades = options.manager == "kubectl";
    let result = apply.run(force).or_else(|conflicts| {
        let allowed = if upgrades { apply.own_last_applied() } else { FieldSet::default() };
        let conflicts = less(conflicts, &allowed);
        if conflicts.is_empty() { apply.run(true) } else { Err(conflicts) }
    });
    let (mut object, entries) = result.map_err(|conflicts| refusal(&conflicts))?;
    if upgrades && object["metadata"]["annotations"][LAST_APPLIED].is_string() {
        object["metadata"]["annotations"][LAST_APPLIED] = json!(last_applied(config));
    }
    Ok((object, entries))
}

/// Refuses a configuration that cannot be merged.
fn check(kind: &Kind, config: &Value) -> Result<(), Status> {
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let mut faults = faults(Place::whole(kind), config);
    let faults = match faults.len() {
        0 => return Ok(()),
        1 => faults.remove(0),
        _ => format!("errors:\n  {}", faults.join("\n  ")),
    };
    let text = |field: &str| config["metadata"][field].as_str().unwrap_or_default();
    let version = config["apiVersion"].as_str().unwrap_or_default();
    let version = if version.contains('/') { version.to_owned() } else { format!("/{version}") };
    Err(Status::failed(format!(
        "failed to create typed patch object ({}/{}; {version}, Kind={}): {faults}",
        text("namespace"),
        text("name"),
        kind.kind
    )))
}

/// One configuration, about to be applied to one object.
struct Apply<'a> {
    kind: &'a Kind,
    live: Option<&'a Value>,
    config: &'a Value,
    part: Subresource,
    options: &'a Options,
}

impl Apply<'_> {
    fn run(&self, force: bool) -> Result<(Value, Vec<Entry>), Vec<Conflict>> {
        let whole = Place::whole(self.kind);
        let live = self.live.map(unmanaged).unwrap_or_default();
        let live = if live.is_null() { self.unborn() } else { live };
        let mut wanted = fields(whole, self.config);
        wanted.retain(|path| can_be_had(self.kind, self.part, path));
        let me = Entry::new(Operation::Apply, self.kind, self.part, self.options, wanted);
        let (mine, mut others): (Vec<_>, Vec<_>) =
            self.entries(&live).into_iter().partition(|entry| entry.is_same(&me));

        let merged = merged(whole, &live, self.config);
        let gone = mine.first().map(|before| self.given_up(&merged, before, &me, &others));
        let gone = gone.unwrap_or_default();
        let object = without(whole, &merged, &gone, Emptied::Gone);

        // Whoever has a composite keeps it, although all that was in it goes.
        let compared = without(whole, &merged, &gone, Emptied::Null);
        let mut difference = Difference::between(whole, &live, &compared);
        for set in [&mut difference.added, &mut difference.changed, &mut difference.removed] {
            set.retain(|path| is_in_reach(self.kind, self.part, path));
        }
        let conflicts = conflicts(&others, &difference);
        if !(force || conflicts.is_empty()) {
            return Err(conflicts);
        }
        give_up(&mut others, &difference);
        take(&mut others, me);
        Ok((object, others))
    }

    /// An object that is not there yet.
    fn unborn(&self) -> Value {
        json!({ "apiVersion": self.config["apiVersion"], "kind": self.config["kind"], "metadata": {} })
    }

    /// Whose the fields are before. What was there before anybody was noted is one writer's.
    fn entries(&self, live: &Value) -> Vec<Entry> {
        let mut entries = self.live.map(managed_fields::of).unwrap_or_default();
        if entries.is_empty() && self.live.is_some() {
            let whole = Place::whole(self.kind);
            let mut there = Difference::between(whole, &self.unborn(), live).set();
            there.retain(|path| can_be_had(self.kind, Subresource::Object, path));
            let options =
                Options { manager: "before-first-apply".to_owned(), ..Options::default() };
            let entry =
                Entry::new(Operation::Update, self.kind, Subresource::Object, &options, there);
            take(&mut entries, entry);
        }
        entries
    }

    /// What was wanted before, is not any more, and nobody else has.
    fn given_up(&self, merged: &Value, before: &Entry, me: &Entry, others: &[Entry]) -> FieldSet {
        let whole = Place::whole(self.kind);
        let all = |object: &Value| with_parents(whole, &fields(whole, object));
        let wanted = others.iter().fold(me.fields.clone(), |all, entry| all.union(&entry.fields));
        let there = all(merged);
        let last = with_parents(whole, &before.fields);

        let bare = without(whole, merged, &last, Emptied::Null);
        let kept = all(&bare).union(&with_parents(whole, &wanted));
        let with_wanted = without(whole, merged, &there.difference(&kept), Emptied::Null);
        there.difference(&all(&with_wanted)).intersection(&last)
    }

    /// The fields that the object still has as client-side apply left them: kubectl may take those over from itself.
    fn own_last_applied(&self) -> FieldSet {
        let whole = Place::whole(self.kind);
        let live = self.live.map(unmanaged).unwrap_or_default();
        let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
        let last: Option<Value> = last.and_then(|last| serde_json::from_str(last).ok());
        let Some(last) = last.filter(|last| last["apiVersion"] == self.config["apiVersion"]) else {
            return FieldSet::default();
        };
        let difference = Difference::between(whole, &last, &live);
        fields(whole, &last).difference(&difference.set()).difference(&difference.removed)
    }
}

fn conflicts(others: &[Entry], difference: &Difference) -> Vec<Conflict> {
    let changed = difference.set();
    let conflict = |entry: &Entry| Conflict {
        with: entry.clone(),
        fields: entry.fields.intersection(&changed),
    };
    others.iter().map(conflict).filter(|conflict| !conflict.fields.is_empty()).collect()
}

fn less(conflicts: Vec<Conflict>, allowed: &FieldSet) -> Vec<Conflict> {
    let less =
        |conflict: Conflict| Conflict { fields: conflict.fields.difference(allowed), ..conflict };
    conflicts.into_iter().map(less).filter(|conflict| !conflict.fields.is_empty()).collect()
}

/// The refusal, in the form in which kubectl looks for it.
fn refusal(conflicts: &[Conflict]) -> Status {
    let causes = |conflict: &Conflict| -> Vec<_> {
        let cause = |path| Cause {
            field: shown(path),
            reason: "FieldManagerConflict",
            message: format!("conflict with {}", conflict.with),
        };
        conflict.fields.iter().map(cause).collect()
    };
    let causes: Vec<_> = conflicts.iter().flat_map(causes).collect();
    let told = match &causes[..] {
        [only] => format!("1 conflict: {}: {}", only.message, only.field),
        _ => {
            let mut told: Vec<_> = conflicts
                .iter()
                .map(|conflict| {
                    let fields = conflict.fields.iter().map(|path| format!("\n- {}", shown(path)));
                    format!("conflicts with {}:{}", conflict.with, fields.collect::<String>())
                })
                .collect();
            told.sort();
            format!("{} conflicts: {}", causes.len(), told.join("\n"))
        }
    };
    Status::apply_conflict(&causes, format!("Apply failed with {told}"))
}

fn last_applied(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) =
        config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    format!("{config}\n")
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

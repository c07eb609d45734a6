//! The tables that kubectl prints: for every kind the columns that a real server has.

mod cells;
mod cluster;
mod custom;
mod network;
mod pods;
mod workloads;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::{Kind, Resource};
pub(crate) use cells::selector;

/// One column: its title, the type and format of its cells, and 0 if it is always shown or 1 for `-o wide`.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: &'static str,
    priority: i64,
    description: String,
}

impl Column {
    fn text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: "string".to_owned(),
            format: "",
            priority: 0,
            description: String::new(),
        }
    }

    fn number(name: &str) -> Self {
        Self { kind: "integer".to_owned(), ..Self::text(name) }
    }

    /// The column with the object's name, which `-o name` and deletions look for.
    fn name() -> Self {
        Self { format: "name", ..Self::text("Name") }
    }

    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

/// The cells of an object's row, at a moment.
type Cells = dyn Fn(&Value, Timestamp) -> Vec<Value>;

/// How one kind is shown.
struct View {
    columns: Vec<Column>,
    cells: Box<Cells>,
}

impl View {
    fn new(
        columns: Vec<Column>,
        cells: impl Fn(&Value, Timestamp) -> Vec<Value> + 'static,
    ) -> Self {
        Self { columns, cells: Box::new(cells) }
    }

    fn of(kind: &Kind, version: &str) -> Self {
        match &kind.resource {
            resource if *resource == Resource::NAMESPACES => cluster::namespaces(),
            resource if *resource == Resource::NODES => cluster::nodes(),
            resource if *resource == Resource::EVENTS => cluster::events(),
            resource if *resource == Resource::EVENTS_V1 => {
                let Self { columns, cells } = cluster::events();
                let kind = kind.clone();
                Self::new(columns, move |event, now| cells(&kind.to_stored(event.clone()), now))
            }
            resource if *resource == Resource::LEASES => cluster::leases(),
            resource if *resource == Resource::CRDS => cluster::definitions(),
            resource if *resource == Resource::SERVICES => network::services(),
            resource if *resource == Resource::ENDPOINTSLICES => network::endpoint_slices(),
            resource if *resource == Resource::PODS => pods::pods(),
            resource if *resource == Resource::DEPLOYMENTS => workloads::deployments(),
            resource if *resource == Resource::REPLICASETS => workloads::replica_sets(),
            _ => custom::view(kind.version(version)),
        }
    }
}

/// The objects as a `meta.k8s.io/v1 Table`; `row` says how much of an object comes with its row.
pub(crate) fn render(
    kind: &Kind,
    version: &str,
    objects: &[&Value],
    revision: &str,
    row: impl Fn(&&Value) -> Value,
) -> Value {
    let view = View::of(kind, version);
    let now = Timestamp::now();
    let columns: Vec<_> = view
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format, "priority": column.priority,
                "description": column.description,
            })
        })
        .collect();
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let mut shown = json!({ "cells": (view.cells)(object, now) });
            let along = row(object);
            if !along.is_null() {
                shown["object"] = along;
            }
            shown
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": { "resourceVersion": revision },
        "columnDefinitions": columns, "rows": rows,
    })
}

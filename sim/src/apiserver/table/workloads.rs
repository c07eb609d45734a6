//! Deployments and ReplicaSets.

use serde_json::{Value, json};

use super::cells::{containers, selector};
use super::cluster::created;
use super::{Column, View};

pub(super) fn deployments() -> View {
    let mut columns = vec![Column::name(), Column::text("Ready")];
    columns.extend([
        Column::number("Up-to-date"),
        Column::number("Available"),
        Column::text("Age"),
    ]);
    columns.extend(template_columns());
    View::new(columns, |deployment, now| {
        let status = &deployment["status"];
        let ready = format!(
            "{}/{}",
            count(&status["readyReplicas"]),
            count(&deployment["spec"]["replicas"])
        );
        let mut cells = vec![
            deployment["metadata"]["name"].clone(),
            json!(ready),
            json!(count(&status["updatedReplicas"])),
            json!(count(&status["availableReplicas"])),
            created(deployment, now),
        ];
        cells.extend(template_cells(deployment));
        cells
    })
}

pub(super) fn replica_sets() -> View {
    let mut columns = vec![Column::name()];
    columns.extend(["Desired", "Current", "Ready"].map(Column::number));
    columns.push(Column::text("Age"));
    columns.extend(template_columns());
    View::new(columns, |set, now| {
        let mut cells = vec![
            set["metadata"]["name"].clone(),
            json!(count(&set["spec"]["replicas"])),
            json!(count(&set["status"]["replicas"])),
            json!(count(&set["status"]["readyReplicas"])),
            created(set, now),
        ];
        cells.extend(template_cells(set));
        cells
    })
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn template_columns() -> [Column; 3] {
    ["Containers", "Images", "Selector"].map(|name| Column::text(name).wide())
}

fn template_cells(object: &Value) -> [Value; 3] {
    let (names, images) = containers(&object["spec"]["template"]);
    [json!(names), json!(images), json!(selector(&object["spec"]["selector"]))]
}

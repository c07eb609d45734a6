//! Namespaces, nodes, Events, Leases and CustomResourceDefinitions.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, elements, text, text_or};
use super::{Column, View};

pub(super) fn namespaces() -> View {
    View::new(vec![Column::name(), Column::text("Status"), Column::text("Age")], |object, now| {
        vec![
            object["metadata"]["name"].clone(),
            object["status"]["phase"].clone(),
            created(object, now),
        ]
    })
}

pub(super) fn nodes() -> View {
    let mut columns = vec![Column::name()];
    columns.extend(["Status", "Roles", "Age", "Version"].map(Column::text));
    let wide = ["Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"];
    columns.extend(wide.map(|name| Column::text(name).wide()));
    View::new(columns, |node, now| {
        let info = &node["status"]["nodeInfo"];
        let address = |kind: &str| {
            let found =
                elements(&node["status"]["addresses"]).find(|address| address["type"] == kind);
            found.map_or("<none>", |address| text_or(&address["address"], "<none>")).to_owned()
        };
        vec![
            node["metadata"]["name"].clone(),
            json!(node_status(node)),
            json!(roles(node)),
            created(node, now),
            json!(text(&info["kubeletVersion"])),
            json!(address("InternalIP")),
            json!(address("ExternalIP")),
            json!(text_or(&info["osImage"], "<unknown>")),
            json!(text_or(&info["kernelVersion"], "<unknown>")),
            json!(text_or(&info["containerRuntimeVersion"], "<unknown>")),
        ]
    })
}

fn node_status(node: &Value) -> String {
    let ready =
        elements(&node["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|condition| text(&condition["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

/// The roles that a node's labels give it, in either of their two spellings.
fn roles(node: &Value) -> String {
    let mut roles: Vec<_> = node["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
            Some("") | None => (label == "kubernetes.io/role").then(|| text(value)),
            role => role,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

pub(super) fn events() -> View {
    let mut columns: Vec<_> = ["Last Seen", "Type", "Reason", "Object"].map(Column::text).into();
    columns.extend(["Subobject", "Source"].map(|name| Column::text(name).wide()));
    columns.push(Column::text("Message"));
    columns.extend([
        Column::text("First Seen").wide(),
        Column::number("Count").wide(),
        Column::name().wide(),
    ]);
    View::new(columns, |event, now| {
        let about = &event["involvedObject"];
        let first = first_time(&[&event["firstTimestamp"], &event["eventTime"]]);
        let last =
            first_time(&[&event["series"]["lastObservedTime"], &event["lastTimestamp"], first]);
        let count =
            event["series"]["count"].as_u64().or_else(|| event["count"].as_u64()).unwrap_or(1);
        let source = [&event["source"]["component"], &event["source"]["host"]].map(text);
        let source =
            source.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ");
        vec![
            json!(age(last, now)),
            event["type"].clone(),
            event["reason"].clone(),
            json!(format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"]))),
            json!(text(&about["fieldPath"])),
            json!(if source.is_empty() { text(&event["reportingComponent"]) } else { &source }),
            json!(text(&event["message"]).trim()),
            json!(age(first, now)),
            json!(count),
            event["metadata"]["name"].clone(),
        ]
    })
}

fn first_time<'a>(times: &[&'a Value]) -> &'a Value {
    times.iter().find(|time| time.is_string()).copied().unwrap_or(&Value::Null)
}

pub(super) fn leases() -> View {
    View::new(vec![Column::name(), Column::text("Holder"), Column::text("Age")], |lease, now| {
        let holder = text(&lease["spec"]["holderIdentity"]);
        vec![lease["metadata"]["name"].clone(), json!(holder), created(lease, now)]
    })
}

pub(super) fn definitions() -> View {
    View::new(
        vec![Column::name(), Column { format: "", ..Column::text("Created At") }],
        |definition, _| {
            vec![
                definition["metadata"]["name"].clone(),
                definition["metadata"]["creationTimestamp"].clone(),
            ]
        },
    )
}

/// The age of an object itself.
pub(super) fn created(object: &Value, now: Timestamp) -> Value {
    json!(age(&object["metadata"]["creationTimestamp"], now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cordoned_node_says_so_and_names_its_roles() {
        let node = json!({
            "metadata": { "name": "node1", "labels": {
                "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/master": "", "kubernetes.io/hostname": "node1",
            } },
            "spec": { "unschedulable": true },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        assert_eq!(node_status(&node), "Ready,SchedulingDisabled");
        assert_eq!(roles(&node), "master,worker");
    }
}

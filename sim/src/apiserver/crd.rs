//! CustomResourceDefinitions: the kinds that are added while the server runs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::resource::{Kind, KindVersion, Resource, ScalePaths};
use super::schema;
use super::status::Cause;
use super::write::now;

/// The kind that a CustomResourceDefinition defines.
pub(crate) fn kind(definition: &Value) -> Kind {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
    let all = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = all.iter().find(|version| version["storage"] == true);
    let mut versions: Vec<_> =
        all.iter().filter(|version| version["served"] == true).map(version).collect();
    versions.sort_by_key(|version| {
        Some(version.name.as_str()) != stored.and_then(|stored| stored["name"].as_str())
    });
    Kind {
        resource: Resource::new(text(&spec["group"]), text(&names["plural"])),
        kind: text(&names["kind"]),
        list_kind: names["listKind"]
            .as_str()
            .map_or_else(|| format!("{}List", text(&names["kind"])), str::to_owned),
        singular: names["singular"]
            .as_str()
            .map_or_else(|| text(&names["kind"]).to_lowercase(), str::to_owned),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        counts_generations: true,
        storage: stored.map(|version| text(&version["name"])).unwrap_or_default(),
        versions,
    }
}

fn version(version: &Value) -> KindVersion {
    let subresources = &version["subresources"];
    // The definition writes `.spec.replicas`, the store looks for `/spec/replicas`.
    let pointer = |value: &Value| value.as_str().map(|path| path.replace('.', "/"));
    let scale = &subresources["scale"];
    KindVersion {
        name: version["name"].as_str().unwrap_or_default().to_owned(),
        schema: Some(version["schema"]["openAPIV3Schema"].clone()),
        read_rules: Arc::default(),
        status: subresources["status"].is_object(),
        scale: pointer(&scale["specReplicasPath"]).zip(pointer(&scale["statusReplicasPath"])).map(
            |(spec_replicas, status_replicas)| ScalePaths {
                spec_replicas,
                status_replicas,
                selector: pointer(&scale["labelSelectorPath"]),
            },
        ),
        selectable_fields: version["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|field| field["jsonPath"].as_str()?.strip_prefix('.'))
            .map(str::to_owned)
            .collect(),
        columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
    }
}

/// Fills in what a definition may leave out, and says that it is in force: it is, as soon as it is stored.
pub(crate) fn complete(definition: &mut Value) -> Vec<Cause> {
    let causes = check(definition);
    if !causes.is_empty() {
        return causes;
    }
    let kind = kind(definition);
    let names = &mut definition["spec"]["names"];
    names["singular"] = json!(kind.singular);
    names["listKind"] = json!(kind.list_kind);
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({ "strategy": "None" });
    }
    let names = definition["spec"]["names"].clone();
    let since = match definition["status"]["conditions"][0]["lastTransitionTime"].as_str() {
        Some(since) => since.to_owned(),
        None => now(),
    };
    let condition = |type_: &str, reason: &str, message: &str| json!({ "type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since });
    definition["status"] = json!({
        "acceptedNames": names,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": [kind.storage],
    });
    Vec::new()
}

fn check(definition: &Value) -> Vec<Cause> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut causes = Vec::new();
    let name = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if definition["metadata"]["name"] != name {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &definition["metadata"]["name"], detail));
    }
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &spec["versions"], detail));
    }
    let conversion = &spec["conversion"]["strategy"];
    if !conversion.is_null() && conversion != "None" {
        let supported = ["\"None\"".to_owned()];
        causes.push(Cause::unsupported("spec.conversion.strategy", conversion, &supported));
    }
    for (index, version) in versions.iter().enumerate() {
        let schema = &version["schema"]["openAPIV3Schema"];
        // A schema that all versions share is told of once, under its older name.
        let shared = versions.iter().all(|other| other["schema"] == version["schema"]);
        if !schema.is_object() {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            causes.push(Cause::required(field, "schemas are required"));
        } else if !shared {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            causes.extend(schema::check_structure(schema, &field));
        } else if index == 0 {
            causes.extend(schema::check_structure(schema, "spec.validation.openAPIV3Schema"));
        }
    }
    causes
}

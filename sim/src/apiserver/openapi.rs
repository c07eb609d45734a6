//! The OpenAPI v3 documents: as much as `kubectl apply` needs to trust the server with validation, and `kubectl
//! explain` to describe the fields.
//!
//! kubectl leaves validation to the server where the PATCH of a kind has a parameter named `fieldValidation`.

use serde_json::{Map, Value, json};

use super::resource::{Kind, Resource};
use super::schema::builtin;
use super::selector::Selectors;
use super::status::Status;
use super::store::Store;

/// Which documents there are, and where.
pub(crate) fn index(store: &Store) -> Value {
    let mut paths = Map::new();
    // The documents change only with the definitions; clients may keep what they read under one hash.
    let definitions =
        store.list(&Resource::CRDS, None, &Selectors::default()).map(|listing| listing.items);
    let newest = definitions.into_iter().flatten().filter_map(|object| {
        object["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|version| version.parse::<u64>().ok())
    });
    let hash = newest.max().unwrap_or(0);
    for kind in store.kinds() {
        for version in &kind.versions {
            let path = path(&kind, &version.name);
            paths.insert(
                path.clone(),
                json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }),
            );
        }
    }
    json!({ "paths": paths })
}

fn path(kind: &Kind, version: &str) -> String {
    match kind.resource.group() {
        "" => format!("api/{version}"),
        group => format!("apis/{group}/{version}"),
    }
}

/// The document of one group and version.
pub(crate) fn document(store: &Store, wanted: &str) -> Result<Value, Status> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in store.kinds() {
        for version in kind.versions.iter().filter(|version| path(&kind, &version.name) == wanted) {
            let name = schema(&kind, &version.name, &mut schemas);
            let place = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
            let url = format!("/{wanted}/{place}{}/{{name}}", kind.resource.plural());
            paths.insert(url, json!({ "patch": operation(&kind, &version.name, &name) }));
        }
    }
    if paths.is_empty() {
        return Err(Status::no_such_resource());
    }
    Ok(json!({
        "openapi": "3.0.0", "info": { "title": "Porter's lab", "version": "v1.32.0" },
        "paths": paths, "components": { "schemas": schemas },
    }))
}

/// Adds the schema of a kind, and what it refers to, and returns its name.
fn schema(kind: &Kind, version: &str, schemas: &mut Map<String, Value>) -> String {
    let group_version_kind = group_version_kind(kind, version);
    let (name, mut schema) = match builtin().name(&kind.resource) {
        Some(name) => {
            add_referred(&builtin().definitions[name], schemas);
            (name.to_owned(), builtin().definitions[name].clone())
        }
        None => {
            let reversed = kind.resource.group().rsplit('.').collect::<Vec<_>>().join(".");
            let mut schema = kind
                .version(version)
                .and_then(|version| version.schema.clone())
                .unwrap_or_default();
            add_common(&mut schema, schemas);
            (format!("{reversed}.{version}.{}", kind.kind), schema)
        }
    };
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind]);
    schemas.insert(name.clone(), schema);
    name
}

/// Adds what every object has and no definition says.
fn add_common(schema: &mut Value, schemas: &mut Map<String, Value>) {
    let Some(schema) = schema.as_object_mut() else { return };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object_mut() else { return };
    // Whatever the definition says of them, every kind has the same.
    let like = builtin().name(&Resource::NAMESPACES).expect("namespaces are built in");
    let like = &builtin().definitions[like]["properties"];
    for field in ["apiVersion", "kind", "metadata"] {
        properties.insert(field.to_owned(), like[field].clone());
    }
    add_referred(&properties["metadata"], schemas);
}

fn add_referred(schema: &Value, schemas: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            let name =
                fields.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            if let Some(name) = name.filter(|&name| !schemas.contains_key(name)) {
                let referred = &builtin().definitions[name];
                schemas.insert(name.to_owned(), referred.clone());
                add_referred(referred, schemas);
            }
            fields.values().for_each(|field| add_referred(field, schemas));
        }
        Value::Array(parts) => parts.iter().for_each(|part| add_referred(part, schemas)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn operation(kind: &Kind, version: &str, schema: &str) -> Value {
    let content = json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } });
    let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"]
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    json!({
        "operationId": format!("patch{}", kind.kind),
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": group_version_kind(kind, version),
        "parameters": parameters,
        "responses": { "200": { "description": "OK", "content": { "application/json": content } } },
    })
}

fn group_version_kind(kind: &Kind, version: &str) -> Value {
    json!({ "group": kind.resource.group(), "version": version, "kind": kind.kind })
}

//! Whatever a client sends is stored or refused: no field of any kind can be given a value that panics.

use serde_json::{Value, json};

use super::*;
use crate::apiserver::table;

/// One object of every built-in kind, with the fields that the server itself looks at.
fn samples() -> Vec<Value> {
    let container =
        json!({ "name": "a", "image": "b", "ports": [{ "containerPort": 1 }], "resources": {} });
    let template =
        json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [container] } });
    let workload = json!({
        "replicas": 1, "selector": { "matchLabels": { "a": "b" } }, "template": template,
    });
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } });
    let mut deployed = workload.clone();
    deployed["strategy"] = strategy;
    let object = |api_version: &str, kind: &str, rest: Value| {
        let labels = json!({ "a": "b" });
        let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" });
        let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": {
            "name": "sample", "labels": labels, "finalizers": ["x"], "ownerReferences": [owner],
        } });
        for (field, value) in rest.as_object().expect("fields") {
            object[field] = value.clone();
        }
        object
    };
    vec![
        object("v1", "Namespace", json!({ "spec": { "finalizers": ["a"] }, "status": {} })),
        object(
            "v1",
            "Node",
            json!({ "spec": { "unschedulable": true }, "status": { "conditions": [
            { "type": "Ready", "status": "True" },
        ] } }),
        ),
        object(
            "v1",
            "Service",
            json!({ "spec": {
            "type": "LoadBalancer", "clusterIP": "10.233.9.9", "clusterIPs": ["10.233.9.9"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": {} }, "externalTrafficPolicy": "Local",
            "ports": [{ "port": 80, "nodePort": 30001, "targetPort": 1, "protocol": "TCP" }],
        } }),
        ),
        object("v1", "Pod", json!({ "spec": template["spec"], "status": { "phase": "Running" } })),
        object("v1", "Event", json!({ "involvedObject": { "namespace": "default" } })),
        object("apps/v1", "Deployment", json!({ "spec": deployed })),
        object("apps/v1", "ReplicaSet", json!({ "spec": workload })),
        object("coordination.k8s.io/v1", "Lease", json!({ "spec": { "leaseDurationSeconds": 5 } })),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({
                "addressType": "IPv4", "ports": [{ "port": 80 }],
                "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": true } }],
            }),
        ),
        definition(),
    ]
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "samples.example.com" },
        "spec": {
            "group": "example.com", "scope": "Cluster", "conversion": { "strategy": "None" },
            "names": { "plural": "samples", "kind": "Sample", "shortNames": ["s"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size",
                } },
                "additionalPrinterColumns": [{ "name": "a", "type": "date", "jsonPath": ".a" }],
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "required": ["a"], "properties": {
                        "a": { "type": "string", "pattern": "^a", "enum": ["a"], "default": "a" },
                    } },
                } } },
            }],
        },
        "status": { "conditions": [{ "type": "a", "lastTransitionTime": "b" }] },
    })
}

/// The JSON pointers of a value and of everything inside of it.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(field, value)| pointers(value, &format!("{at}/{field}"), found));
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every variant of an object in which one value is something else.
fn variants(object: &Value) -> impl Iterator<Item = Value> {
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(""),
        json!("ü"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!([{}]),
        json!({}),
        json!({ "": null }),
    ];
    let mut places = Vec::new();
    pointers(object, "", &mut places);
    places.into_iter().flat_map(move |place| {
        let object = object.clone();
        others.clone().into_iter().map(move |other| {
            let mut variant = object.clone();
            *variant.pointer_mut(&place).expect("a pointer into the same object") = other;
            variant
        })
    })
}

/// Prints an object as `kubectl get` would.
fn show(store: &Store, object: &Value) {
    let kind = store.lock().kind_of(object).expect("the kind of a stored object");
    let table = table::render(&kind, &kind.storage, &[object], "1", |_| Value::Null);
    assert_eq!(table["rows"].as_array().map(Vec::len), Some(1));
}

#[test]
fn any_value_in_any_field_is_stored_or_refused() {
    for sample in samples() {
        let kind = sample["kind"].as_str().expect("a kind").to_owned();
        let store = Store::new();
        let first = store.create(sample.clone());
        let first = first.unwrap_or_else(|refused| panic!("{kind}: {refused}"));
        let resource = store.lock().kind_of(&first).expect("a kind").resource.clone();
        let namespace = first["metadata"]["namespace"].as_str();
        let patch = |store: &Store, patch: Patch| {
            store.patch(&resource, namespace, "sample", Subresource::Object, &patch)
        };
        let mut refused = 0;
        for variant in variants(&sample) {
            // On its own, and in place of the good one.
            let written = [
                Store::new().create(variant.clone()),
                store.replace(variant.clone()),
                store.replace_status(variant.clone()),
                patch(&store, Patch::Strategic(variant.clone())),
                patch(&store, Patch::Merge(variant)),
            ];
            refused += written.iter().filter(|written| written.is_err()).count();
            written.into_iter().flatten().for_each(|object| show(&store, &object));
        }
        assert!(refused > 0, "{kind}: nothing was ever refused");
    }
}

#[test]
fn a_kind_with_any_definition_takes_any_object() {
    let sample = json!({
        "apiVersion": "example.com/v1", "kind": "Sample", "metadata": { "name": "one" }, "spec": { "a": "a" },
    });
    let mut defined = 0;
    for definition in variants(&definition()) {
        let store = Store::new();
        if store.create(definition).is_ok() {
            defined += 1;
            for variant in variants(&sample) {
                if let Ok(object) = store.create(variant) {
                    show(&store, &object);
                }
            }
        }
    }
    assert!(defined > 0, "no definition was ever accepted");
}

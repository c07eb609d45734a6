//! What a strategic merge patch makes of objects of the built-in kinds.

use serde_json::json;

use super::super::resource::{Resource, builtin_kinds};
use super::*;

fn attempt(resource: &Resource, object: Value, patch: Value) -> Result<Value, Status> {
    let kinds = builtin_kinds();
    let kind = kinds.iter().find(|kind| kind.resource == *resource).expect("a built-in kind");
    patched(kind, &object, &patch)
}

fn result(resource: &Resource, object: Value, patch: Value) -> Value {
    attempt(resource, object, patch).expect("a patch that applies")
}

fn ports(service: &Value) -> Vec<u64> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port["port"].as_u64()).collect()
}

fn with_ports(ports: &[u64]) -> Value {
    let ports: Vec<_> = ports.iter().map(|port| json!({ "port": port, "name": "old" })).collect();
    json!({ "spec": { "type": "LoadBalancer", "ports": ports } })
}

#[test]
fn a_container_is_found_by_its_name() {
    let pod = json!({ "spec": { "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "y" }] } });
    let patch =
        json!({ "spec": { "containers": [{ "name": "b", "image": "z" }], "nodeName": "n" } });
    let expected = json!({ "spec": { "nodeName": "n", "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "z" }] } });
    assert_eq!(result(&Resource::PODS, pod, patch), expected);
}

#[test]
fn a_new_element_comes_before_what_only_the_object_has() {
    let patch = json!({ "spec": { "ports": [{ "port": 82 }, { "port": 81, "name": "new" }] } });
    let service = result(&Resource::SERVICES, with_ports(&[80, 81, 83]), patch);
    assert_eq!(ports(&service), [82, 80, 81, 83]);
    assert_eq!(service["spec"]["ports"][2], json!({ "port": 81, "name": "new" }));
}

#[test]
fn a_port_of_a_service_is_deleted_and_the_rest_reordered() {
    let patch = json!({ "spec": {
        "$setElementOrder/ports": [{ "port": 82 }, { "port": 81 }],
        "ports": [{ "port": 80, "$patch": "delete" }, { "port": 82 }],
    } });
    let service = result(&Resource::SERVICES, with_ports(&[80, 81]), patch);
    assert_eq!(ports(&service), [82, 81]);
}

#[test]
fn an_order_beside_the_list_is_the_order_of_all_that_it_names() {
    let patch = json!({ "spec": {
        "$setElementOrder/ports": [{ "port": 83 }, { "port": 81 }, { "port": 80 }],
        "ports": [{ "port": 81, "name": "new" }],
    } });
    let service = result(&Resource::SERVICES, with_ports(&[80, 81, 83]), patch);
    assert_eq!(ports(&service), [83, 81, 80]);
}

#[test]
fn an_order_alone_moves_what_it_names_and_keeps_the_others_between_their_neighbours() {
    let patch = json!({ "spec": { "$setElementOrder/ports": [{ "port": 83 }, { "port": 80 }] } });
    let service = result(&Resource::SERVICES, with_ports(&[80, 81, 83, 84]), patch);
    assert_eq!(ports(&service), [81, 83, 80, 84]);
}

#[test]
fn an_order_that_contradicts_the_list_is_refused() {
    let patch = json!({ "spec": {
        "$setElementOrder/ports": [{ "port": 81 }, { "port": 80 }],
        "ports": [{ "port": 80 }, { "port": 81 }],
    } });
    let refused = attempt(&Resource::SERVICES, with_ports(&[80]), patch).expect_err("refused");
    assert!(refused.message.contains("doesn't match $setElementOrder list"), "{refused}");
}

#[test]
fn a_list_is_replaced_where_the_patch_says_so() {
    let patch = json!({ "spec": { "ports": [{ "$patch": "replace" }, { "port": 90 }] } });
    let service = result(&Resource::SERVICES, with_ports(&[80, 81]), patch);
    assert_eq!(service["spec"]["ports"], json!([{ "port": 90 }]));
}

#[test]
fn an_object_is_replaced_or_emptied_where_the_patch_says_so() {
    let node =
        json!({ "metadata": { "labels": { "a": "1", "b": "2" }, "annotations": { "c": "3" } } });
    let patch = json!({ "metadata": {
        "labels": { "$patch": "replace", "d": "4" }, "annotations": { "$patch": "delete" },
    } });
    let expected = json!({ "metadata": { "labels": { "d": "4" }, "annotations": {} } });
    assert_eq!(result(&Resource::NODES, node.clone(), patch), expected);

    let unknown = json!({ "metadata": { "labels": { "$patch": "forget" } } });
    let refused = attempt(&Resource::NODES, node, unknown).expect_err("refused");
    assert!(refused.message.starts_with("unknown patch type: \"forget\""), "{refused}");
}

#[test]
fn an_element_without_its_key_is_refused() {
    let patch = json!({ "spec": { "ports": [{ "name": "a" }] } });
    let refused = attempt(&Resource::SERVICES, with_ports(&[80]), patch).expect_err("refused");
    let expected = "map: {\"name\":\"a\"} does not contain declared merge key: port";
    assert_eq!(refused.message, expected);
}

#[test]
fn finalizers_are_a_set() {
    let node = json!({ "metadata": { "finalizers": ["a", "b"] } });
    let patch = json!({ "metadata": {
        "finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"],
    } });
    let result = result(&Resource::NODES, node, patch);
    assert_eq!(result["metadata"]["finalizers"], json!(["c", "a"]));
}

#[test]
fn owners_are_found_by_their_uid() {
    let owner = |uid: &str, name: &str| json!({ "uid": uid, "name": name });
    let node = json!({ "metadata": { "ownerReferences": [owner("1", "a"), owner("2", "b")] } });
    let patch = json!({ "metadata": { "ownerReferences": [
        { "uid": "2", "$patch": "delete" }, owner("1", "c"),
    ] } });
    let result = result(&Resource::NODES, node, patch);
    assert_eq!(result["metadata"]["ownerReferences"], json!([owner("1", "c")]));
}

#[test]
fn retained_keys_are_the_only_ones_left() {
    let deployment =
        json!({ "spec": { "strategy": { "type": "RollingUpdate", "rollingUpdate": {} } } });
    let patch = json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } });
    let expected = json!({ "spec": { "strategy": { "type": "Recreate" } } });
    assert_eq!(result(&Resource::DEPLOYMENTS, deployment.clone(), patch), expected);

    let more = json!({ "spec": { "strategy": { "$retainKeys": ["type"], "other": 1 } } });
    let refused = attempt(&Resource::DEPLOYMENTS, deployment, more).expect_err("refused");
    assert_eq!((refused.code, &*refused.message), (400, "invalid patch format of retainKeys"));
}

#[test]
fn lists_without_an_identity_are_replaced() {
    let taints = |key: &str| json!({ "spec": { "taints": [{ "key": key }] } });
    assert_eq!(result(&Resource::NODES, taints("a"), taints("b")), taints("b"));
    let tolerations = |key: &str| json!({ "spec": { "tolerations": [{ "key": key }] } });
    assert_eq!(result(&Resource::PODS, tolerations("a"), tolerations("b")), tolerations("b"));
    let ingress = |ips: Value| json!({ "status": { "loadBalancer": { "ingress": ips } } });
    let (old, new) =
        (ingress(json!([{ "ip": "a" }, { "ip": "b" }])), ingress(json!([{ "ip": "c" }])));
    assert_eq!(result(&Resource::SERVICES, old, new.clone()), new);
}

#[test]
fn null_removes_a_field_and_is_never_stored() {
    let node = json!({ "metadata": { "labels": { "a": "1" } } });
    let patch =
        json!({ "metadata": { "labels": { "a": null, "b": null } }, "spec": { "x": null } });
    let expected = json!({ "metadata": { "labels": {} }, "spec": {} });
    assert_eq!(result(&Resource::NODES, node, patch), expected);
}

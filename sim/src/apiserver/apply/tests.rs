//! What becomes of an object, and of who manages it, when several apply and update it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::patch::Patch;
use super::super::resource::Resource;
use super::super::status::Status;
use super::super::store::{Options, Store, Subresource};

use super::LAST_APPLIED;

const NOW: &str = "now";

fn as_manager(store: &Store, manager: &str) -> Store {
    store.with(Options { manager: manager.to_owned(), ..Options::default() })
}

fn service(spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "default" }, "spec": spec })
}

fn apply_part(
    store: &Store,
    manager: &str,
    config: &Value,
    part: Subresource,
    force: bool,
) -> Result<Arc<Value>, Status> {
    let store = as_manager(store, manager);
    let applied = store.apply(&Resource::SERVICES, Some("default"), "web", part, config, force);
    applied.map(|(object, _)| object)
}

fn apply(store: &Store, manager: &str, config: &Value) -> Result<Arc<Value>, Status> {
    apply_part(store, manager, config, Subresource::Object, false)
}

fn force(store: &Store, manager: &str, config: &Value) -> Arc<Value> {
    apply_part(store, manager, config, Subresource::Object, true).expect("applies")
}

fn merge(store: &Store, manager: &str, part: Subresource, patch: Value) -> Arc<Value> {
    let store = as_manager(store, manager);
    let patch = Patch::Merge(patch);
    store.patch(&Resource::SERVICES, Some("default"), "web", part, &patch).expect("patches")
}

/// The entry of a manager, with a time that does not depend on when the test runs.
fn entry(object: &Value, manager: &str, operation: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry["manager"] == manager && entry["operation"] == operation)
        .cloned()
        .collect();
    assert!(found.len() <= 1, "{manager} has more than one entry: {found:?}");
    let mut found = found.pop().unwrap_or_default();
    if found["time"].is_string() {
        found["time"] = json!(NOW);
    }
    found
}

fn owned(object: &Value, manager: &str, operation: &str) -> Value {
    entry(object, manager, operation)["fieldsV1"].take()
}

fn ports(object: &Value) -> Vec<u64> {
    let ports = object["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port["port"].as_u64()).collect()
}

#[test]
fn who_creates_an_object_has_what_it_asked_for_and_the_defaults_but_nothing_allocated() {
    let store = as_manager(&Store::new(), "kubectl-create");
    let mut object = service(json!({
        "type": "LoadBalancer", "selector": { "app": "web" },
        "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
    }));
    object["metadata"]["annotations"] = json!({ "a/b": "c" });
    let created = store.create(object).expect("creates");

    assert_eq!(
        entry(&created, "kubectl-create", "Update"),
        json!({
            "manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": NOW,
            "fieldsType": "FieldsV1", "fieldsV1": {
                "f:metadata": { "f:annotations": { ".": {}, "f:a/b": {} } },
                "f:spec": {
                    "f:allocateLoadBalancerNodePorts": {}, "f:externalTrafficPolicy": {},
                    "f:internalTrafficPolicy": {},
                    "f:ports": { ".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {},
                    } },
                    "f:selector": {}, "f:sessionAffinity": {}, "f:type": {},
                },
            },
        })
    );
}

#[test]
fn an_applier_has_exactly_what_is_in_its_configuration() {
    let store = Store::new();
    let mut config = service(json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }] }));
    config["metadata"]["labels"] = json!({ "a": "b" });
    let applied = apply(&store, "deployer", &config).expect("applies");

    assert_eq!(applied["spec"]["type"], "ClusterIP");
    assert_eq!(applied["metadata"]["managedFields"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        owned(&applied, "deployer", "Apply"),
        json!({
            "f:metadata": { "f:labels": { "f:a": {} } },
            "f:spec": {
                "f:ports": { "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:port": {} } },
                "f:selector": {},
            },
        })
    );
}

#[test]
fn a_field_that_an_applier_no_longer_mentions_goes_and_what_others_put_there_stays() {
    let store = Store::new();
    let mut config =
        service(json!({ "ports": [{ "name": "a", "port": 80 }, { "name": "b", "port": 81 }] }));
    config["metadata"]["labels"] = json!({ "mine": "1", "gone": "2" });
    apply(&store, "deployer", &config).expect("applies");
    let by_hand = json!({ "metadata": { "labels": { "theirs": "3" } }, "spec": { "externalIPs": ["192.0.2.1"] } });
    merge(&store, "kubectl-edit", Subresource::Object, by_hand);

    let mut config = service(json!({ "ports": [{ "name": "b", "port": 81 }] }));
    config["metadata"]["labels"] = json!({ "mine": "1" });
    let applied = apply(&store, "deployer", &config).expect("applies");

    assert_eq!(applied["metadata"]["labels"], json!({ "mine": "1", "theirs": "3" }));
    assert_eq!(ports(&applied), [81]);
    assert_eq!(applied["spec"]["externalIPs"], json!(["192.0.2.1"]));
    assert_eq!(
        owned(&applied, "deployer", "Apply")["f:metadata"],
        json!({ "f:labels": { "f:mine": {} } })
    );
}

#[test]
fn what_somebody_wrote_too_stays_when_the_applier_gives_it_up() {
    let store = Store::new();
    let mut config = service(json!({ "ports": [{ "port": 80 }] }));
    config["metadata"]["labels"] = json!({ "both": "1", "mine": "2" });
    apply(&store, "deployer", &config).expect("applies");
    // A writer has what it makes something of, not what it leaves as it is.
    let gone = json!({ "metadata": { "labels": { "both": null } } });
    merge(&store, "kubectl-edit", Subresource::Object, gone);
    let back = json!({ "metadata": { "labels": { "both": "1" } } });
    merge(&store, "kubectl-edit", Subresource::Object, back);
    apply(&store, "deployer", &config).expect("says the same");

    let bare = service(json!({ "ports": [{ "port": 80 }] }));
    let applied = apply(&store, "deployer", &bare).expect("applies");

    assert_eq!(applied["metadata"]["labels"], json!({ "both": "1" }));
    let noted = owned(&applied, "kubectl-edit", "Update");
    assert_eq!(noted, json!({ "f:metadata": { "f:labels": { "f:both": {} } } }));
}

#[test]
fn whoever_has_a_composite_keeps_it_although_what_was_in_it_goes() {
    let store = Store::new();
    let part = |config: Value| {
        service(
            json!({ "ports": [{ "port": 80 }], "sessionAffinityConfig": config, "sessionAffinity": "ClientIP" }),
        )
    };
    apply(&store, "a", &part(json!({ "clientIP": { "timeoutSeconds": 5 } }))).expect("applies");
    apply(&store, "b", &part(json!({ "clientIP": {} }))).expect("is no conflict");

    let left = apply(&store, "a", &service(json!({ "ports": [{ "port": 80 }] }))).expect("applies");

    let theirs = &owned(&left, "b", "Apply")["f:spec"]["f:sessionAffinityConfig"];
    assert_eq!(*theirs, json!({ "f:clientIP": {} }));
    // The server fills in what it needs again.
    assert_eq!(left["spec"]["sessionAffinity"], "ClientIP");
}

#[test]
fn a_list_that_is_emptied_of_what_an_applier_had_is_not_there_any_more() {
    let store = Store::new();
    let mut config = service(json!({ "ports": [{ "port": 80 }] }));
    config["metadata"]["labels"] = json!({ "a": "b" });
    config["metadata"]["finalizers"] = json!(["example.com/a"]);
    apply(&store, "deployer", &config).expect("applies");
    let bare = service(json!({ "ports": [{ "port": 80 }] }));
    let applied = apply(&store, "deployer", &bare).expect("applies");
    let metadata = applied["metadata"].as_object().expect("metadata");
    assert_eq!((metadata.get("labels"), metadata.get("finalizers")), (None, None));
}

#[test]
fn a_field_that_somebody_else_has_is_refused_with_who_and_which() {
    let store = Store::new();
    let config = |policy: &str| {
        service(
            json!({ "ports": [{ "port": 80 }], "externalTrafficPolicy": policy, "type": "LoadBalancer" }),
        )
    };
    apply(&store, "a", &config("Local")).expect("applies");

    let refused = apply(&store, "b", &config("Cluster")).expect_err("a wants it otherwise");

    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
    let message = "Apply failed with 1 conflict: conflict with \"a\": .spec.externalTrafficPolicy";
    assert_eq!(refused.message, message);
    assert_eq!(
        refused.details,
        json!({ "causes": [{
            "reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".spec.externalTrafficPolicy",
        }] })
    );
}

#[test]
fn several_conflicts_are_told_manager_by_manager() {
    let store = Store::new();
    let first = service(
        json!({ "type": "LoadBalancer", "ports": [{ "port": 80, "name": "a" }], "externalTrafficPolicy": "Local" }),
    );
    apply(&store, "a", &first).expect("applies");
    merge(
        &store,
        "porter/v1",
        Subresource::Object,
        json!({ "spec": { "sessionAffinity": "ClientIP" } }),
    );

    let other = service(json!({
        "type": "LoadBalancer", "ports": [{ "port": 80, "name": "b" }], "externalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
    }));
    let refused = apply(&store, "b", &other).expect_err("three conflicts");

    let message = "Apply failed with 3 conflicts: conflicts with \"a\":\n\
                   - .spec.externalTrafficPolicy\n\
                   - .spec.ports[port=80,protocol=\"TCP\"].name\n\
                   conflicts with \"porter/v1\" using v1:\n\
                   - .spec.sessionAffinity";
    assert_eq!(refused.message, message);
    assert_eq!(refused.details["causes"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_refused_apply_changes_nothing() {
    let store = Store::new();
    let config = |policy: &str| {
        service(
            json!({ "ports": [{ "port": 80 }], "externalTrafficPolicy": policy, "type": "LoadBalancer" }),
        )
    };
    let before = apply(&store, "a", &config("Local")).expect("applies");
    let revision = store.revision();
    apply(&store, "b", &config("Cluster")).expect_err("a conflict");
    assert_eq!(store.revision(), revision);
    let after = store.get(&Resource::SERVICES, Some("default"), "web").expect("there");
    assert_eq!(after, before);
}

#[test]
fn force_takes_the_field_away() {
    let store = Store::new();
    let config = |policy: &str| {
        service(
            json!({ "ports": [{ "port": 80 }], "externalTrafficPolicy": policy, "type": "LoadBalancer" }),
        )
    };
    apply(&store, "a", &config("Local")).expect("applies");

    let forced = force(&store, "b", &config("Cluster"));

    assert_eq!(forced["spec"]["externalTrafficPolicy"], "Cluster");
    assert_eq!(owned(&forced, "a", "Apply")["f:spec"].get("f:externalTrafficPolicy"), None);
    let theirs = &owned(&forced, "b", "Apply")["f:spec"]["f:externalTrafficPolicy"];
    assert_eq!(theirs, &json!({}));
}

#[test]
fn two_who_want_the_same_both_have_it_until_neither_wants_it() {
    let store = Store::new();
    let both = service(json!({ "ports": [{ "port": 80 }], "sessionAffinity": "ClientIP" }));
    let less = service(json!({ "ports": [{ "port": 80 }] }));
    apply(&store, "a", &both).expect("applies");
    apply(&store, "b", &both).expect("is no conflict");

    let still = apply(&store, "a", &less).expect("applies");
    assert_eq!(still["spec"]["sessionAffinity"], "ClientIP");
    assert_eq!(owned(&still, "a", "Apply")["f:spec"].get("f:sessionAffinity"), None);

    let gone = apply(&store, "b", &less).expect("applies");
    assert_eq!(gone["spec"]["sessionAffinity"], "None");
}

#[test]
fn elements_of_a_list_map_are_one_appliers_each() {
    let store = Store::new();
    apply(&store, "a", &service(json!({ "ports": [{ "name": "a", "port": 80 }] })))
        .expect("applies");

    let both = apply(&store, "b", &service(json!({ "ports": [{ "name": "b", "port": 81 }] })));
    assert_eq!(ports(&both.expect("is no conflict")), [80, 81]);

    let udp = service(
        json!({ "ports": [{ "name": "b", "port": 81 }, { "name": "udp", "port": 80, "protocol": "UDP" }] }),
    );
    assert_eq!(
        ports(&apply(&store, "b", &udp).expect("another protocol, another port")),
        [80, 81, 80]
    );

    let fewer = service(json!({ "ports": [{ "name": "udp", "port": 80, "protocol": "UDP" }] }));
    let left = apply(&store, "b", &fewer).expect("applies");
    let names: Vec<_> =
        left["spec"]["ports"].as_array().expect("ports").iter().map(|port| &port["name"]).collect();
    assert_eq!(names, ["a", "udp"]);
}

#[test]
fn an_applier_orders_what_is_its_own() {
    let store = Store::new();
    let port = |port: u64| json!({ "name": format!("p{port}"), "port": port });
    apply(&store, "a", &service(json!({ "ports": [port(1), port(2), port(3)] }))).expect("applies");
    apply(&store, "b", &service(json!({ "ports": [port(9)] }))).expect("applies");
    let moved = apply(&store, "a", &service(json!({ "ports": [port(3), port(4), port(1)] })));
    assert_eq!(ports(&moved.expect("applies")), [3, 9, 4, 1]);
}

#[test]
fn an_atomic_map_is_one_field() {
    let store = Store::new();
    let config =
        |selector: Value| service(json!({ "ports": [{ "port": 80 }], "selector": selector }));
    apply(&store, "a", &config(json!({ "app": "web" }))).expect("applies");
    let refused = apply(&store, "b", &config(json!({ "tier": "front" }))).expect_err("one field");
    assert!(
        refused.message.ends_with("conflict with \"a\": .spec.selector"),
        "{}",
        refused.message
    );
    let forced = force(&store, "b", &config(json!({ "tier": "front" })));
    assert_eq!(forced["spec"]["selector"], json!({ "tier": "front" }));
}

#[test]
fn a_set_is_shared_value_by_value() {
    let store = Store::new();
    let config = |finalizers: Value| {
        let mut config = service(json!({ "ports": [{ "port": 80 }] }));
        config["metadata"]["finalizers"] = finalizers;
        config
    };
    apply(&store, "a", &config(json!(["x/a", "x/both"]))).expect("applies");
    let both = apply(&store, "b", &config(json!(["x/b", "x/both"]))).expect("is no conflict");
    assert_eq!(both["metadata"]["finalizers"], json!(["x/a", "x/b", "x/both"]));
    let left = apply(&store, "a", &config(json!([]))).expect("applies");
    assert_eq!(left["metadata"]["finalizers"], json!(["x/b", "x/both"]));
    assert_eq!(
        owned(&left, "b", "Apply")["f:metadata"],
        json!({ "f:finalizers": { "v:\"x/b\"": {}, "v:\"x/both\"": {} } })
    );
}

#[test]
fn a_write_takes_its_fields_from_an_applier_which_then_conflicts() {
    let store = Store::new();
    let config = service(json!({ "ports": [{ "port": 80 }], "sessionAffinity": "ClientIP" }));
    apply(&store, "a", &config).expect("applies");

    let edited = merge(
        &store,
        "kubectl-edit",
        Subresource::Object,
        json!({ "spec": { "sessionAffinity": "None" } }),
    );

    assert_eq!(owned(&edited, "a", "Apply")["f:spec"].get("f:sessionAffinity"), None);
    let theirs = owned(&edited, "kubectl-edit", "Update");
    assert_eq!(theirs["f:spec"]["f:sessionAffinity"], json!({}));
    let refused = apply(&store, "a", &config).expect_err("a conflict");
    let message = "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .spec.sessionAffinity";
    assert_eq!(refused.message, message);
}

#[test]
fn what_is_written_through_the_status_is_noted_apart() {
    let store = Store::new();
    apply(&store, "a", &service(json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] })))
        .expect("applies");
    let status = |ip: &str| json!({ "status": { "loadBalancer": { "ingress": [{ "ip": ip }] } } });

    let written = merge(&store, "porter", Subresource::Status, status("192.0.2.1"));

    let noted = entry(&written, "porter", "Update");
    assert_eq!(noted["subresource"], "status");
    assert_eq!(noted["fieldsV1"], json!({ "f:status": { "f:loadBalancer": { "f:ingress": {} } } }));
    let mut config = service(json!({}));
    config["status"] = status("192.0.2.2")["status"].clone();
    config.as_object_mut().expect("an object").remove("spec");
    let refused =
        apply_part(&store, "b", &config, Subresource::Status, false).expect_err("a conflict");
    let message = "Apply failed with 1 conflict: conflict with \"porter\" with subresource \"status\" using v1: \
                   .status.loadBalancer.ingress";
    assert_eq!(refused.message, message);
    let forced = apply_part(&store, "b", &config, Subresource::Status, true).expect("applies");
    assert_eq!(forced["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.2");
    assert_eq!(entry(&forced, "b", "Apply")["subresource"], "status");
}

#[test]
fn an_apply_of_the_object_does_not_reach_the_status() {
    let store = Store::new();
    let mut config = service(json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }));
    config["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } });
    let applied = apply(&store, "a", &config).expect("applies");
    assert_eq!(applied["status"]["loadBalancer"].get("ingress"), None);
    assert_eq!(owned(&applied, "a", "Apply").get("f:status"), None);
}

#[test]
fn a_status_in_an_applied_object_is_no_conflict() {
    let store = Store::new();
    let mut config = service(json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }));
    apply(&store, "a", &config).expect("applies");
    let status = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } });
    merge(&store, "porter", Subresource::Status, json!({ "status": status }));

    config["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.9" }] } });
    let applied = apply(&store, "a", &config).expect("no conflict");

    assert_eq!(applied["status"], status);
    let noted = owned(&applied, "porter", "Update");
    assert_eq!(noted["f:status"], json!({ "f:loadBalancer": { "f:ingress": {} } }));
}

#[test]
fn a_struct_that_an_applier_no_longer_mentions_goes_with_what_was_filled_in() {
    let store = Store::new();
    let labels = json!({ "app": "web" });
    let apply = |strategy: Value| {
        let template = json!({ "metadata": { "labels": labels }, "spec": {
            "containers": [{ "name": "a", "image": "b" }],
        } });
        let config = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": "default" }, "spec": {
                "selector": { "matchLabels": labels }, "template": template, "strategy": strategy,
            },
        });
        let (part, namespace) = (Subresource::Object, Some("default"));
        as_manager(&store, "a")
            .apply(&Resource::DEPLOYMENTS, namespace, "web", part, &config, false)
            .expect("applies")
            .0
    };
    let rolling = apply(json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 2 } }));
    assert_eq!(rolling["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], "25%");

    let recreated = apply(json!({ "type": "Recreate" }));
    assert_eq!(recreated["spec"]["strategy"], json!({ "type": "Recreate" }));
}

#[test]
fn to_say_null_of_what_others_filled_takes_nothing_from_them() {
    let store = Store::new();
    let mut config = service(json!({ "ports": [{ "port": 80 }] }));
    apply(&store, "a", &config).expect("applies");
    merge(&store, "b", Subresource::Object, json!({ "metadata": { "labels": { "b": "" } } }));
    config["metadata"]["labels"] = Value::Null;
    let applied = apply(&store, "a", &config).expect("applies");
    assert_eq!(applied["metadata"]["labels"], json!({ "b": "" }));
}

#[test]
fn an_entry_tells_when_its_fields_last_changed_not_when_they_were_last_said() {
    let long_ago = "2020-01-01T00:00:00Z";
    let store = Store::new();
    let mut config = service(json!({ "ports": [{ "port": 80 }] }));
    apply(&store, "a", &config).expect("applies");
    let applied = apply(&store, "b", &config).expect("applies");
    let mut entries = applied["metadata"]["managedFields"].clone();
    for entry in entries.as_array_mut().expect("entries") {
        entry["time"] = json!(long_ago);
    }
    // Times alone would be no change.
    let aged = json!({ "metadata": { "managedFields": entries, "labels": { "by": "hand" } } });
    let aged = merge(&store, "by-hand", Subresource::Object, aged);

    // As generators write it; only the server sets it.
    config["metadata"]["creationTimestamp"] = Value::Null;
    assert_eq!(apply(&store, "a", &config), Ok(aged));

    config["spec"]["sessionAffinity"] = json!("ClientIP");
    let changed = apply(&store, "a", &config).expect("applies");
    let entries = changed["metadata"]["managedFields"].as_array().expect("entries");
    let is_old = |manager: &str| {
        let entry = entries.iter().find(|entry| entry["manager"] == manager);
        entry.expect("an entry")["time"] == long_ago
    };
    assert_eq!((is_old("a"), is_old("b")), (false, true));
}

#[test]
fn what_was_edited_since_is_not_kubectls_to_take_over() {
    let store = Store::new();
    let mut config = service(json!({ "ports": [{ "name": "a", "port": 80 }] }));
    let mut client_side = config.clone();
    client_side["metadata"]["annotations"] = json!({ LAST_APPLIED: format!("{config}\n") });
    as_manager(&store, "kubectl-client-side-apply").create(client_side).expect("creates");
    let ports = json!([{ "name": "edited", "port": 80, "protocol": "TCP" }]);
    merge(&store, "kubectl-edit", Subresource::Object, json!({ "spec": { "ports": ports } }));

    config["spec"]["ports"][0]["name"] = json!("b");
    let refused = apply(&store, "kubectl", &config).expect_err("edited since");
    assert!(
        refused.message.contains("conflict with \"kubectl-edit\" using v1"),
        "{}",
        refused.message
    );
}

#[test]
fn what_is_applied_again_is_no_change() {
    let store = Store::new();
    let config = service(json!({ "ports": [{ "port": 80 }], "selector": { "app": "web" } }));
    let before = apply(&store, "a", &config).expect("applies");
    let revision = store.revision();
    assert_eq!(apply(&store, "a", &config), Ok(before));
    assert_eq!(store.revision(), revision);
}

#[test]
fn an_object_that_nobody_managed_becomes_managed_with_its_first_apply() {
    let store = Store::new();
    store.create(service(json!({ "ports": [{ "port": 80 }] }))).expect("creates");
    let reset =
        merge(&store, "", Subresource::Object, json!({ "metadata": { "managedFields": [{}] } }));
    assert_eq!(reset["metadata"].get("managedFields"), None);
    let edited = merge(
        &store,
        "x",
        Subresource::Object,
        json!({ "spec": { "sessionAffinity": "ClientIP" } }),
    );
    assert_eq!(edited["metadata"].get("managedFields"), None);

    let config = service(json!({ "ports": [{ "port": 80 }], "sessionAffinity": "None" }));
    let refused = apply(&store, "a", &config).expect_err("it was there before");
    let message = "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .spec.sessionAffinity";
    assert_eq!(refused.message, message);
}

#[test]
fn kubectl_takes_over_what_it_applied_itself_on_the_client() {
    let store = Store::new();
    let mut config =
        service(json!({ "ports": [{ "name": "a", "port": 80 }], "sessionAffinity": "None" }));
    let mut client_side = config.clone();
    client_side["metadata"]["annotations"] = json!({ LAST_APPLIED: format!("{config}\n") });
    as_manager(&store, "kubectl-client-side-apply").create(client_side).expect("creates");

    config["spec"]["ports"][0]["name"] = json!("b");
    let applied = apply(&store, "kubectl", &config).expect("takes over");

    assert_eq!(applied["spec"]["ports"][0]["name"], "b");
    let kept = applied["metadata"]["annotations"][LAST_APPLIED].as_str().expect("kept");
    assert_eq!(serde_json::from_str::<Value>(kept).expect("JSON"), config);
    let other = apply(&store, "other", &service(json!({ "sessionAffinity": "ClientIP" })));
    assert_eq!(other.expect_err("not kubectl's").code, 409);
}

#[test]
fn a_configuration_that_cannot_be_merged_is_refused_in_words() {
    let store = Store::new();
    let refusal = |spec: Value| apply(&store, "a", &service(spec)).expect_err("refused").message;
    assert_eq!(
        refusal(json!({ "prots": [], "ports": [{ "port": 80, "nam": "a" }] })),
        "failed to create typed patch object (default/web; /v1, Kind=Service): errors:\n  \
         .spec.ports[port=80,protocol=\"TCP\"].nam: field not declared in schema\n  \
         .spec.prots: field not declared in schema"
    );
    assert!(refusal(json!({ "ports": [{ "name": "a" }] })).ends_with(
        ".spec.ports: element 0: associative list with keys has an element that omits key field \"port\" (and doesn't have default value)"
    ));
    assert!(
        refusal(json!({ "ports": [{ "port": 80 }, { "port": 80, "protocol": "TCP" }] }))
            .ends_with(".spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]")
    );
    let mut managed = service(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    assert_eq!(
        apply(&store, "a", &managed).expect_err("refused").message,
        "metadata.managedFields must be nil"
    );
}

#[test]
fn an_apply_may_insist_on_a_version() {
    let store = Store::new();
    let mut config = service(json!({ "ports": [{ "port": 80 }] }));
    apply(&store, "a", &config).expect("applies");
    config["metadata"]["resourceVersion"] = json!("1");
    let refused = apply(&store, "a", &config).expect_err("it has moved on");
    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
}

#[test]
fn only_the_last_ten_writers_are_told_apart() {
    let store = Store::new();
    store.create(service(json!({ "ports": [{ "port": 80 }] }))).expect("creates");
    for index in 0..15 {
        let label = json!({ "metadata": { "labels": { format!("l{index}"): "" } } });
        merge(&store, &format!("writer-{index:02}"), Subresource::Object, label);
    }
    let object = store.get(&Resource::SERVICES, Some("default"), "web").expect("there");
    let entries = object["metadata"]["managedFields"].as_array().expect("entries");
    assert_eq!(entries.len(), 10);
    assert!(
        owned(&object, "ancient-changes", "Update")["f:metadata"]["f:labels"]["f:l0"].is_object()
    );
    assert!(owned(&object, "writer-14", "Update")["f:metadata"]["f:labels"]["f:l14"].is_object());
}

//! The store's promises, told on small objects.

use serde_json::{Value, json};

use super::*;

const EVERYTHING: fn() -> Selectors = Selectors::default;

fn lease(name: &str, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "namespace": "porter-system" }, "spec": { "holderIdentity": holder },
    })
}

fn node(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } })
}

fn delete(store: &Store, resource: &Resource, namespace: Option<&str>, name: &str) -> Arc<Value> {
    store
        .delete(resource, namespace, name, &Preconditions::default(), Propagation::Background)
        .expect("deletes")
}

#[test]
fn of_two_writers_that_read_the_same_version_one_wins() {
    let store = Store::new();
    let read = store.create(lease("porter-speaker", "a")).expect("creates");
    let mut mine = Value::clone(&read);
    mine["spec"]["holderIdentity"] = json!("b");

    store.replace(mine.clone()).expect("the first write goes through");
    let refused = store.replace(mine).expect_err("the second is based on the past");

    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
    assert!(refused.message.starts_with(
        "Operation cannot be fulfilled on leases.coordination.k8s.io \"porter-speaker\": the object has been modified"
    ));
}

#[test]
fn a_write_that_changes_nothing_is_no_event() {
    let store = Store::new();
    let read = store.create(node("node1")).expect("creates");
    let before = store.revision();
    store.replace(Value::clone(&read)).expect("replaces");
    assert_eq!(store.revision(), before);
}

#[test]
fn status_and_the_rest_are_written_apart() {
    let store = Store::new();
    store.create(node("node1")).expect("creates");
    let change = |phase: &str| {
        Patch::Merge(json!({ "status": { "phase": phase }, "spec": { "unschedulable": true } }))
    };

    let status = store
        .patch(&Resource::NODES, None, "node1", Subresource::Status, &change("a"))
        .expect("patches");
    assert_eq!(
        (&status["status"]["phase"], &status["spec"]["unschedulable"]),
        (&json!("a"), &Value::Null)
    );

    let object = store
        .patch(&Resource::NODES, None, "node1", Subresource::Object, &change("b"))
        .expect("patches");
    assert_eq!(
        (&object["status"]["phase"], &object["spec"]["unschedulable"]),
        (&json!("a"), &json!(true))
    );
}

#[test]
fn a_finalizer_holds_a_deleted_object_until_it_is_taken_off() {
    let store = Store::new();
    let mut held = node("node1");
    held["metadata"]["finalizers"] = json!(["porter/test"]);
    store.create(held).expect("creates");

    delete(&store, &Resource::NODES, None, "node1");
    let marked = store.get(&Resource::NODES, None, "node1").expect("still there");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());

    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    store.patch(&Resource::NODES, None, "node1", Subresource::Object, &free).expect("patches");
    assert_eq!(store.get(&Resource::NODES, None, "node1").expect_err("gone").code, 404);
}

#[test]
fn a_watch_tells_every_change_after_its_revision_in_order() {
    let store = Store::new();
    store.create(node("before")).expect("creates");
    let mut watch = store
        .watch(&Resource::NODES, None, &EVERYTHING(), Some(store.revision()))
        .expect("watches");

    store.create(node("node1")).expect("creates");
    store.create(lease("other", "kind")).expect("creates");
    let cordon = Patch::Merge(json!({ "spec": { "unschedulable": true } }));
    store.patch(&Resource::NODES, None, "node1", Subresource::Object, &cordon).expect("patches");
    delete(&store, &Resource::NODES, None, "node1");

    let mut told = Vec::new();
    while let Some(event) = watch.try_next().expect("not expired") {
        told.push((
            event.kind,
            event.object["metadata"]["name"].as_str().expect("a name").to_owned(),
        ));
    }
    let node1 = |kind| (kind, "node1".to_owned());
    assert_eq!(
        told,
        [node1(EventKind::Added), node1(EventKind::Modified), node1(EventKind::Deleted)]
    );
}

#[test]
fn an_object_that_is_no_longer_selected_is_told_as_deleted() {
    let store = Store::new();
    let mut labelled = node("node1");
    labelled["metadata"]["labels"] = json!({ "rack": "a" });
    store.create(labelled).expect("creates");
    let selectors = Selectors::labelled(&[("rack", "a")]);
    let mut watch = store.watch(&Resource::NODES, None, &selectors, None).expect("watches");
    assert_eq!(
        watch.try_next().expect("not expired").expect("what is there").kind,
        EventKind::Added
    );

    let moved = Patch::Merge(json!({ "metadata": { "labels": { "rack": "b" } } }));
    store.patch(&Resource::NODES, None, "node1", Subresource::Object, &moved).expect("patches");

    let event = watch.try_next().expect("not expired").expect("an event");
    assert_eq!(
        (event.kind, &event.object["metadata"]["labels"]["rack"]),
        (EventKind::Deleted, &json!("a"))
    );
}

#[test]
fn a_watch_that_fell_behind_a_compaction_expires() {
    let store = Store::new();
    let from = store.revision();
    let mut watch =
        store.watch(&Resource::NODES, None, &EVERYTHING(), Some(from)).expect("watches");
    store.create(node("node1")).expect("creates");
    store.compact();

    assert_eq!(watch.try_next().expect_err("expired").code, 410);
    assert_eq!(
        store.watch(&Resource::NODES, None, &EVERYTHING(), Some(from)).expect_err("expired").code,
        410
    );
}

#[test]
fn what_is_owned_goes_with_its_last_owner() {
    let store = Store::new();
    let (a, b) =
        (store.create(node("a")).expect("creates"), store.create(node("b")).expect("creates"));
    let owner = |node: &Value| json!({ "apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"] });
    let mut owned = lease("owned", "x");
    owned["metadata"]["ownerReferences"] = json!([owner(&a), owner(&b)]);
    store.create(owned).expect("creates");

    delete(&store, &Resource::NODES, None, "a");
    store.get(&Resource::LEASES, Some("porter-system"), "owned").expect("b still owns it");
    delete(&store, &Resource::NODES, None, "b");
    store.get(&Resource::LEASES, Some("porter-system"), "owned").expect_err("nobody owns it");
}

#[test]
fn a_namespace_takes_its_objects_along_and_waits_for_the_held_ones() {
    let store = Store::new();
    let mut held = lease("held", "x");
    held["metadata"]["finalizers"] = json!(["porter/test"]);
    store.create(held).expect("creates");
    store.create(lease("free", "x")).expect("creates");

    delete(&store, &Resource::NAMESPACES, None, "porter-system");
    store.get(&Resource::LEASES, Some("porter-system"), "free").expect_err("gone");
    let waiting = store.get(&Resource::NAMESPACES, None, "porter-system").expect("still there");
    assert_eq!(waiting["status"]["phase"], "Terminating");
    assert_eq!(store.create(lease("late", "x")).expect_err("too late").code, 403);

    let free = Patch::Json(json!([{ "op": "remove", "path": "/metadata/finalizers" }]));
    store
        .patch(&Resource::LEASES, Some("porter-system"), "held", Subresource::Object, &free)
        .expect("patches");
    store.get(&Resource::NAMESPACES, None, "porter-system").expect_err("gone with the last one");
}

#[test]
fn a_dry_run_answers_as_if_and_stores_nothing() {
    let store = Store::new();
    let tried = store.with(Options { dry_run: true, ..Options::default() });
    let (before, answer) = (store.revision(), tried.create(node("node1")).expect("would create"));
    assert!(answer["metadata"]["uid"].is_string());
    assert_eq!(store.revision(), before);
}

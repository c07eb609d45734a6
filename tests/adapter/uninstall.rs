//! What becomes of Eips and Services when Porter is taken out of a cluster, in the right order and in another.

use porter_sim::apiserver::{Patch, Preconditions, Propagation, Resource, Store, Subresource};
use serde_json::{Value, json};

use crate::{
    agent::{EIP, NODE3, Replica, eventually, objects},
    cluster::Cluster,
};

const POOL: &str = "eip-sample-layer2";
const DEFINITION: &str = "eips.network.kubesphere.io";

fn eips() -> Resource {
    Resource::new("network.kubesphere.io", "eips")
}

fn delete(store: &Store, resource: &Resource, name: &str) {
    let unconditional = Preconditions::default();
    let deleted = store.delete(resource, None, name, &unconditional, Propagation::Background);
    deleted.expect("it is there");
}

/// The Service asks for Porter no longer, as `kubectl annotate service web lb.kubesphere.io/v1alpha1-` has it.
fn ask_no_longer(store: &Store) {
    let patch = json!({ "metadata": { "annotations": { "lb.kubesphere.io/v1alpha1": null } } });
    let (services, namespace) = (Resource::SERVICES, Some("default"));
    let patch = Patch::Merge(patch);
    let patched = store.patch(&services, namespace, "web", Subresource::Object, &patch);
    patched.expect("it is there");
}

/// Whether an object is waiting to go.
fn is_held(store: &Store, resource: &Resource, name: &str) -> bool {
    let object = store.get(resource, None, name).expect("it is there");
    object["metadata"]["deletionTimestamp"].is_string()
}

async fn gone(store: &Store, resource: &Resource, name: &str) {
    eventually(async || store.get(resource, None, name).is_err().then_some(())).await;
}

/// Nothing of ours is left on the Service, which is still there.
fn is_as_before(store: &Store) {
    let service = store.get(&Resource::SERVICES, Some("default"), "web").expect("it is there");
    assert_eq!(service["metadata"]["finalizers"], Value::Null);
    assert_eq!(service["metadata"]["labels"], Value::Null);
    assert_eq!(service["status"]["loadBalancer"], json!({}));
}

#[tokio::test]
async fn an_eip_that_is_deleted_waits_for_its_services_and_then_nothing_is_left() {
    let cluster = Cluster::of_the_lab().await;
    for object in objects() {
        cluster.create(object).await;
    }
    let store = cluster.store();
    let replica = Replica::start(&cluster, "porter-1").await;
    assert_eq!(eventually(async || replica.answers(EIP)).await, NODE3);

    delete(store, &eips(), POOL);
    assert!(is_held(store, &eips(), POOL));
    assert_eq!(replica.answers(EIP), Some(NODE3));
    ask_no_longer(store);
    gone(store, &eips(), POOL).await;

    replica.leave().await;
    delete(store, &Resource::CRDS, DEFINITION);
    is_as_before(store);
    assert!(store.get(&Resource::CRDS, None, DEFINITION).is_err());
}

#[tokio::test]
async fn an_agent_that_comes_back_lets_go_of_what_was_left_behind() {
    let cluster = Cluster::of_the_lab().await;
    for object in objects() {
        cluster.create(object).await;
    }
    let store = cluster.store();
    let replica = Replica::start(&cluster, "porter-1").await;
    assert_eq!(eventually(async || replica.answers(EIP)).await, NODE3);
    // The agents are gone, and with the definition everything is to go.
    replica.leave().await;
    delete(store, &Resource::CRDS, DEFINITION);
    ask_no_longer(store);
    assert!(is_held(store, &Resource::CRDS, DEFINITION) && is_held(store, &eips(), POOL));

    let replica = Replica::start(&cluster, "porter-2").await;

    gone(store, &Resource::CRDS, DEFINITION).await;
    is_as_before(store);
    replica.leave().await;
}

//! kube-rs against the server: the behaviour that Porter's own client is built on.
//!
//! What is asked of [`AnyServer`] holds of a real one, too; a [`Server`] is the lab's, which does at once what a real one
//! does in its own time, or is asked for what only it can do.

use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::watcher;
use kube::{Error, ResourceExt};
use porter_backends::kube::{Eip, EipSpec, EipStatus};
use serde_json::json;

use crate::server::{AnyServer, PATIENCE, Server};

fn eip(name: &str) -> Eip {
    let spec = EipSpec {
        address: "192.0.2.0/28".to_owned(),
        interface: Some("eth0".to_owned()),
        ..EipSpec::default()
    };
    Eip::new(name, spec)
}

fn node(name: &str) -> Node {
    serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a node")
}

fn refusal(error: Error) -> (u16, String) {
    let Error::Api(status) = error else { panic!("no refusal by the server: {error}") };
    (status.code, status.reason)
}

async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    let next = tokio::time::timeout(PATIENCE, stream.next()).await;
    next.expect("an event within a minute").expect("the watch goes on")
}

#[tokio::test]
async fn a_watcher_lists_and_then_follows() {
    let server = AnyServer::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    nodes.create(&PostParams::default(), &node("node1")).await.expect("creates");
    let mut events = Box::pin(watcher(nodes.clone(), watcher::Config::default()));

    assert!(matches!(next(&mut events).await, Ok(watcher::Event::Init)));
    assert!(
        matches!(next(&mut events).await, Ok(watcher::Event::InitApply(node)) if node.name_any() == "node1")
    );
    assert!(matches!(next(&mut events).await, Ok(watcher::Event::InitDone)));

    nodes.create(&PostParams::default(), &node("node3")).await.expect("creates");
    assert!(
        matches!(next(&mut events).await, Ok(watcher::Event::Apply(node)) if node.name_any() == "node3")
    );
    nodes.delete("node1", &DeleteParams::default()).await.expect("deletes");
    assert!(
        matches!(next(&mut events).await, Ok(watcher::Event::Delete(node)) if node.name_any() == "node1")
    );
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark() {
    let server = AnyServer::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    nodes.create(&PostParams::default(), &node("node1")).await.expect("creates");
    let mut events = Box::pin(watcher(nodes, watcher::Config::default().streaming_lists()));

    assert!(matches!(next(&mut events).await, Ok(watcher::Event::Init)));
    assert!(matches!(next(&mut events).await, Ok(watcher::Event::InitApply(_))));
    assert!(matches!(next(&mut events).await, Ok(watcher::Event::InitDone)));
}

#[tokio::test]
async fn a_list_in_parts_is_the_whole_list_at_one_version() {
    let server = AnyServer::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    for name in ["a", "b", "c"] {
        nodes.create(&PostParams::default(), &node(name)).await.expect("creates");
    }

    let first = nodes.list(&ListParams::default().limit(2)).await.expect("lists");
    nodes.create(&PostParams::default(), &node("d")).await.expect("creates");
    let token = first.metadata.continue_.clone().expect("more to come");
    let second =
        nodes.list(&ListParams::default().limit(2).continue_token(&token)).await.expect("lists");

    assert_eq!(
        first.iter().chain(&second).map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version);
    assert_eq!(second.metadata.continue_.filter(|token| !token.is_empty()), None);
}

#[tokio::test]
async fn of_two_replicas_that_write_one_lease_one_conflicts() {
    let server = AnyServer::start().await;
    let leases: Api<Lease> = Api::namespaced(server.client(), "porter-system");
    let lease =
        serde_json::from_value(json!({ "metadata": { "name": "porter-speaker" }, "spec": {} }));
    let seen =
        leases.create(&PostParams::default(), &lease.expect("a lease")).await.expect("creates");
    let claim = |holder: &str| {
        let mut lease = seen.clone();
        lease.spec.get_or_insert_default().holder_identity = Some(holder.to_owned());
        lease
    };
    let (a, b) = (claim("a"), claim("b"));
    let parameters = PostParams::default();

    let (a, b) = tokio::join!(
        leases.replace("porter-speaker", &parameters, &a),
        leases.replace("porter-speaker", &parameters, &b)
    );

    let (winner, loser) = match (a, b) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("exactly one should win: {both:?}"),
    };
    assert_eq!(refusal(loser), (409, "Conflict".to_owned()));
    let held = leases.get("porter-speaker").await.expect("reads");
    assert_eq!(held.spec, winner.spec);
}

#[tokio::test]
async fn the_status_is_written_apart_from_the_rest() {
    let server = AnyServer::with_eips().await;
    let eips: Api<Eip> = Api::all(server.client());
    let parameters = PostParams::default();
    let mut pool = eips.create(&parameters, &eip("pool")).await.expect("creates");
    assert_eq!(pool.status, None);

    pool.status = Some(EipStatus { usage: 3, ..EipStatus::default() });
    pool.spec.disable = true;
    let status_written = eips.replace_status("pool", &parameters, &pool).await.expect("replaces");
    assert_eq!(status_written.status.as_ref().map(|status| status.usage), Some(3));
    assert!(!status_written.spec.disable);
    assert_eq!(status_written.metadata.generation, Some(1));

    let mut pool = status_written;
    pool.status = None;
    pool.spec.disable = true;
    let spec_written = eips.replace("pool", &parameters, &pool).await.expect("replaces");
    assert_eq!(spec_written.status.map(|status| status.usage), Some(3));
    assert!(spec_written.spec.disable);
    assert_eq!(spec_written.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_finalizer_holds_an_eip_until_it_is_taken_off() {
    let server = AnyServer::with_eips().await;
    let eips: Api<Eip> = Api::all(server.client());
    let mut held = eip("pool");
    held.finalizers_mut().push("finalizer.ipam.kubesphere.io/v1alpha1".to_owned());
    eips.create(&PostParams::default(), &held).await.expect("creates");

    let answer = eips.delete("pool", &DeleteParams::default()).await.expect("deletes");
    let marked = answer.left().expect("it is still there");
    assert!(marked.metadata.deletion_timestamp.is_some());

    let other = json!({ "metadata": { "finalizers": ["finalizer.ipam.kubesphere.io/v1alpha1", "example.com/new"] } });
    let refused = eips
        .patch("pool", &PatchParams::default(), &Patch::Merge(other))
        .await
        .expect_err("too late");
    assert_eq!(refusal(refused), (422, "Invalid".to_owned()));

    let free = json!({ "metadata": { "finalizers": null } });
    eips.patch("pool", &PatchParams::default(), &Patch::Merge(free)).await.expect("takes it off");
    assert_eq!(refusal(eips.get("pool").await.expect_err("gone")), (404, "NotFound".to_owned()));
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_ends_with_410() {
    let server = Server::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    let start = nodes
        .list(&ListParams::default())
        .await
        .expect("lists")
        .metadata
        .resource_version
        .expect("a version");
    nodes.create(&PostParams::default(), &node("node1")).await.expect("creates");
    server.store.compact();

    let mut events = nodes.watch(&WatchParams::default(), &start).await.expect("a stream").boxed();
    match next(&mut events).await {
        Ok(WatchEvent::Error(status)) => {
            assert_eq!((status.code, &*status.reason), (410, "Expired"))
        }
        other => panic!("not expired: {other:?}"),
    }
    assert!(matches!(events.try_next().await, Ok(None)));
}

#[tokio::test]
async fn bookmarks_tell_how_far_a_quiet_watch_is() {
    let server = Server::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    let leases: Api<Lease> = Api::namespaced(server.client(), "default");
    let start = nodes
        .list(&ListParams::default())
        .await
        .expect("lists")
        .metadata
        .resource_version
        .expect("a version");
    let lease = serde_json::from_value(json!({ "metadata": { "name": "other" }, "spec": {} }))
        .expect("a lease");
    let lease: Lease = leases.create(&PostParams::default(), &lease).await.expect("creates");

    // A watch that ends says before how far it came, although no node changed.
    let parameters = WatchParams::default().timeout(1);
    let mut events = nodes.watch(&parameters, &start).await.expect("a stream").boxed();
    match next(&mut events).await {
        Ok(WatchEvent::Bookmark(bookmark)) => {
            assert_eq!(Some(bookmark.metadata.resource_version), lease.metadata.resource_version);
        }
        other => panic!("no bookmark: {other:?}"),
    }
    assert!(tokio::time::timeout(PATIENCE, events.next()).await.expect("an end").is_none());
}

#[tokio::test]
async fn a_field_selector_narrows_a_watch_to_one_object() {
    let server = AnyServer::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    let parameters = WatchParams::default().fields("metadata.name=node3");
    let mut events = nodes.watch(&parameters, "0").await.expect("a stream").boxed();
    for name in ["node1", "node3"] {
        nodes.create(&PostParams::default(), &node(name)).await.expect("creates");
    }
    assert!(
        matches!(next(&mut events).await, Ok(WatchEvent::Added(node)) if node.name_any() == "node3")
    );
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_words() {
    let server = Server::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let refused = maps.list(&ListParams::default()).await.expect_err("no such kind");
    assert_eq!(refusal(refused), (404, "NotFound".to_owned()));
}

#[tokio::test]
async fn a_stopped_server_ends_its_watches() {
    let server = Server::start().await;
    let nodes: Api<Node> = Api::all(server.client());
    let mut events = nodes.watch(&WatchParams::default(), "0").await.expect("a stream").boxed();
    let elsewhere = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
    assert!(elsewhere.is_err(), "nothing happened yet: {elsewhere:?}");

    server.stop().await;

    let end = tokio::time::timeout(PATIENCE, events.next()).await.expect("an end");
    assert!(end.is_none_or(|event| event.is_err()));
}

#[tokio::test]
async fn one_store_on_two_listeners_is_one_cluster() {
    let server = Server::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound port"));
    let serving = tokio::spawn(porter_sim::apiserver::serve(server.store.clone(), listener));
    let elsewhere = kube::Config::new(url.parse().expect("a URL"));
    let elsewhere: Api<Node> = Api::all(kube::Client::try_from(elsewhere).expect("a client"));

    let here: Api<Node> = Api::all(server.client());
    here.create(&PostParams::default(), &node("node1")).await.expect("creates");
    elsewhere.get("node1").await.expect("the other listener knows it");
    serving.abort();
}

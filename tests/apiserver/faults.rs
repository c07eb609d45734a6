//! The faults that a test can set: each does what it says, to the requests it is set for and to no others.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Config, Error, ResourceExt as _};
use porter_sim::apiserver::{Fault, Requests, Resource, Verb};
use serde_json::json;

use crate::server::{PATIENCE, Server};

/// The nodes, asked for by a client that repeats nothing by itself.
fn nodes(server: &Server) -> Api<Node> {
    let mut config = Config::new(server.url.parse().expect("a URL"));
    config.default_retry = false;
    Api::all(kube::Client::try_from(config).expect("a client"))
}

async fn create(nodes: &Api<Node>, name: &str) -> Result<Node, Error> {
    let node = serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a node");
    let created = tokio::time::timeout(PATIENCE, nodes.create(&PostParams::default(), &node)).await;
    created.expect("an answer in time")
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.reason),
        other => panic!("no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_has_its_code_and_its_reason_and_no_effect() {
    for (fault, code, reason) in [
        (Fault::Forbidden, 403, "Forbidden"),
        (Fault::Conflict, 409, "Conflict"),
        (Fault::Expired, 410, "Expired"),
        (Fault::TooManyRequests(Duration::from_secs(3)), 429, "TooManyRequests"),
        (Fault::InternalError, 500, "InternalError"),
        (Fault::Unavailable, 503, "ServiceUnavailable"),
    ] {
        let server = Server::start().await;
        let nodes = nodes(&server);
        server.faults.set(Requests::to(Verb::Create, Resource::NODES).first(), fault);
        assert_eq!(refusal(create(&nodes, "node1").await), (code, reason.to_owned()));
        assert!(server.store.get(&Resource::NODES, None, "node1").is_err(), "{fault:?}");
        create(&nodes, "node1").await.expect("only the first was refused");
    }
}

#[tokio::test]
async fn a_client_that_should_wait_is_told_how_long_in_both_places() {
    let server = Server::start().await;
    server.faults.set(Requests::default(), Fault::TooManyRequests(Duration::from_secs(3)));
    let request = http::Request::get("/api/v1/nodes").body(kube::client::Body::empty());
    let client = nodes(&server).into_client();
    let answer = client.send(request.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "3");
    match nodes(&server).list(&ListParams::default()).await {
        Err(Error::Api(status)) => {
            assert_eq!(status.details.map(|details| details.retry_after_seconds), Some(3));
        }
        other => panic!("no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_watch_is_told_within_its_stream_that_its_version_is_forgotten() {
    let server = Server::start().await;
    server.faults.set(Requests::to(Verb::Watch, Resource::NODES), Fault::Expired);
    let events = nodes(&server).watch(&WatchParams::default(), "1").await.expect("a stream");
    let told: Vec<_> = events.collect().await;
    assert!(matches!(&told[..], [Ok(WatchEvent::Error(status))] if status.code == 410), "{told:?}");
}

#[tokio::test]
async fn a_cut_before_the_effect_and_one_after_it_look_the_same_and_are_not() {
    let server = Server::start().await;
    let nodes = nodes(&server);
    for (fault, name, is_there) in
        [(Fault::CutBefore, "before", false), (Fault::CutAfter, "after", true)]
    {
        server.faults.set(Requests::to(Verb::Create, Resource::NODES), fault);
        let cut = create(&nodes, name).await.expect_err("no answer");
        assert!(!matches!(cut, Error::Api(_)), "{cut:?}");
        assert_eq!(server.store.get(&Resource::NODES, None, name).is_ok(), is_there);
        server.faults.clear();
    }
}

#[tokio::test]
async fn a_request_that_hangs_holds_up_no_other() {
    let server = Server::start().await;
    let nodes = nodes(&server);
    let mut hung =
        server.faults.set(Requests::to(Verb::Create, Resource::NODES).first(), Fault::Hang);
    let mut waiting = Box::pin(create(&nodes, "hung"));
    let met = tokio::time::timeout(
        PATIENCE,
        futures::future::select(&mut waiting, Box::pin(hung.times(1))),
    );
    met.await.expect("it reaches the server");

    create(&nodes, "other").await.expect("creates");

    assert!((&mut waiting).now_or_never().is_none(), "it is answered");
    assert!(server.store.get(&Resource::NODES, None, "hung").is_err());
}

#[tokio::test]
async fn a_torn_watch_tells_so_many_events_and_breaks_off_within_the_next() {
    let server = Server::start().await;
    let nodes = nodes(&server);
    for name in ["a", "b", "c"] {
        create(&nodes, name).await.expect("creates");
    }
    server.faults.set(Requests::to(Verb::Watch, Resource::NODES), Fault::Torn(2));

    let told =
        nodes.watch(&WatchParams::default(), "0").await.expect("a stream").collect::<Vec<_>>();
    let told = tokio::time::timeout(PATIENCE, told).await.expect("it ends");

    // The client takes the half line for the end of the watch, or for a mistake, as the end comes.
    let [Ok(WatchEvent::Added(a)), Ok(WatchEvent::Added(b)), rest @ ..] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((&*a.name_any(), &*b.name_any()), ("a", "b"));
    assert!(rest.iter().all(Result::is_err), "{told:?}");
}

#[tokio::test]
async fn a_fault_is_for_the_requests_it_is_set_for() {
    let server = Server::start().await;
    let nodes = nodes(&server);
    let second = Requests { which: 1..2, ..Requests::to(Verb::Get, Resource::NODES) };
    server.faults.set(second, Fault::Unavailable);
    for (verb, fault) in [
        (Verb::Update, Fault::Forbidden),
        (Verb::Patch, Fault::Conflict),
        (Verb::Delete, Fault::InternalError),
        (Verb::List, Fault::Expired),
    ] {
        server.faults.set(Requests::to(verb, Resource::NODES), fault);
        // Another kind's requests are not meant.
        server.faults.set(Requests::to(Verb::Create, Resource::SERVICES), fault);
    }

    let node = create(&nodes, "node1").await.expect("creates");
    nodes.get("node1").await.expect("the first read");
    assert_eq!(refusal(nodes.get("node1").await).0, 503);
    nodes.get("node1").await.expect("the third read");
    assert_eq!(refusal(nodes.replace("node1", &PostParams::default(), &node).await).0, 403);
    let change = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    assert_eq!(refusal(nodes.patch("node1", &PatchParams::default(), &change).await).0, 409);
    assert_eq!(refusal(nodes.list(&ListParams::default()).await).0, 410);
    assert_eq!(refusal(nodes.delete("node1", &DeleteParams::default()).await).0, 500);
    server.faults.clear();
    nodes.delete("node1", &DeleteParams::default()).await.expect("nothing fails any more");
}

//! Requests to the API server of the lab.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::{Body, to_bytes},
    response::Response,
};
use futures::StreamExt as _;
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use kube::CustomResourceExt as _;
use porter_backends::kube::Eip;
use porter_sim::apiserver::{self, Resource, Selectors, Store};
use serde_json::{Value, json};
use tokio::runtime::Builder;

/// The most requests that are read from one input.
const REQUESTS_MAX: usize = 32;
/// How large an answer may be: the OpenAPI documents are the largest.
const ANSWER_MAX: usize = 16 << 20;
/// How many lines of a watch are read.
const LINES_MAX: usize = 64;

/// Sends requests to an API server that knows Eips, one after the other.
///
/// They are written as in an `.http` file: a line with method and target, headers, an empty line and
/// the body, and between two requests a line that begins with `###`. Nothing panics, every refusal is a
/// `Status` with a reason, nothing goes wrong inside, and only what was taken in has changed anything.
/// Returns the status codes of the answers.
pub fn request(bytes: &[u8]) -> Vec<u16> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime needs nothing but memory").block_on(async {
        let store = Store::new();
        store.create(json!(Eip::crd())).expect("the kind of Eips is defined rightly");
        let mut codes = Vec::new();
        for request in requests(bytes).take(REQUESTS_MAX) {
            codes.push(send(&store, request).await.as_u16());
        }
        codes
    })
}

fn requests(bytes: &[u8]) -> impl Iterator<Item = Request<Body>> + '_ {
    let mut parts = Vec::from([Vec::new()]);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"###") {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.extend_from_slice(line);
        }
    }
    parts.into_iter().filter_map(|part| parse(&part))
}

/// One request; `None` if no client could have sent it.
fn parse(part: &[u8]) -> Option<Request<Body>> {
    let mut rest = part;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        str::from_utf8(line).ok()
    };
    let (method, target) = line()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    while let Some((name, value)) = line().and_then(|header| header.split_once(": ")) {
        request = request.header(name, value);
    }
    request.body(Body::from(rest.trim_ascii().to_vec())).ok()
}

async fn send(store: &Store, request: Request<Body>) -> StatusCode {
    let asked = format!("{} {}", request.method(), request.uri());
    let query = request.uri().query().unwrap_or_default();
    let tries = query.split('&').any(|parameter| parameter == "dryRun=All");
    let watches = query.contains("watch");
    let method = request.method().clone();
    let before = store.revision();

    let answer = apiserver::answer(store.clone(), request).await;

    let code = answer.status();
    let after = store.revision();
    let changes = !(code.is_client_error() || code.is_server_error() || tries);
    match method {
        // Many objects may be deleted before one cannot be.
        Method::DELETE => assert!(after >= before, "{asked} went back to {after}"),
        Method::POST | Method::PUT | Method::PATCH if changes => {
            assert!(after >= before, "{asked} went back to {after}");
        }
        _ => assert_eq!(after, before, "{asked}, {code}, has changed something"),
    }
    let is_json = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("application/json")));
    if watches && code.is_success() {
        watch(&asked, answer).await;
    } else if is_json {
        let body = to_bytes(answer.into_body(), ANSWER_MAX).await.expect("an answer ends");
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{asked}: {error}"));
        answered(&asked, code, &body);
    } else {
        assert!(code.is_success(), "{asked} was refused with {code} and no reason");
    }
    stored(store, &asked);
    code
}

fn answered(asked: &str, code: StatusCode, body: &Value) {
    if code.is_success() {
        assert!(body.is_object(), "{asked} was answered with {body}");
        return;
    }
    let is_status = body["kind"] == "Status" && body["code"] == code.as_u16();
    let has_reason = body["message"].as_str().is_some_and(|message| !message.is_empty());
    assert!(is_status && has_reason, "{asked} was refused with {code} and no reason: {body}");
    // A real server, too, has refusals that it calls its own failure; these have no `reason`.
    let is_failure = code == StatusCode::INTERNAL_SERVER_ERROR && !body["reason"].is_null();
    assert!(!is_failure, "{asked} broke something: {body}");
}

/// Reads what a watch tells at first.
async fn watch(asked: &str, answer: Response) {
    let mut lines = answer.into_body().into_data_stream().take(LINES_MAX);
    while let Ok(Some(line)) = tokio::time::timeout(Duration::from_secs(5), lines.next()).await {
        let line = line.expect("a watch is never cut off");
        let event: Value =
            serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{asked}: {error}"));
        assert!(event.is_object(), "{asked} told {event}");
    }
}

/// Looks whether the store is in order.
fn stored(store: &Store, asked: &str) {
    let kinds = [
        Resource::NODES,
        Resource::NAMESPACES,
        Resource::SERVICES,
        Resource::PODS,
        Resource::EVENTS,
        Resource::DEPLOYMENTS,
        Resource::REPLICASETS,
        Resource::LEASES,
        Resource::ENDPOINTSLICES,
        Resource::CRDS,
        Resource::new("network.kubesphere.io", "eips"),
    ];
    let revision = store.revision();
    let mut uids = BTreeSet::new();
    for kind in kinds {
        // The kind of Eips may have been deleted.
        let Ok(listing) = store.list(&kind, None, &Selectors::default()) else { continue };
        for object in listing.items {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            let version: Option<u64> = text("resourceVersion").parse().ok();
            let is_version = version.is_some_and(|version| 0 < version && version <= revision);
            assert!(is_version, "{asked} left a version beyond {revision}: {object}");
            assert!(!text("name").is_empty(), "{asked} left an object without a name: {object}");
            assert!(!text("creationTimestamp").is_empty(), "{asked} left no time: {object}");
            assert!(uids.insert(text("uid").to_owned()), "{asked} left a UID twice: {object}");
        }
    }
}

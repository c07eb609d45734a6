//! The store's verbs over HTTP/1.1, without TLS and for whoever can connect.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::faults::Faults;
use super::request::{Form, Query, Target};
use super::status::Status;
use super::store::Store;
use super::{authorization, discovery, follow, openapi, reads, scale, writes};

/// How large a request may be; etcd's own limit on an object is half of it.
const BODY_LIMIT: usize = 3 << 20;

/// Serves the store on a listener, until the future is dropped; then its connections end, too.
///
/// The same store may be served on several listeners at once.
pub async fn serve(store: Store, listener: TcpListener) {
    serve_with(store, Faults::default(), listener).await;
}

/// Serves the store as [`serve`] does, but for what should go wrong.
pub async fn serve_with(store: Store, faults: Faults, listener: TcpListener) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (store, faults) = (store.clone(), faults.clone());
        async move { faults.answer(request.map(Body::new), |request| answer(store, request)).await }
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                    connections.spawn(connection);
                }
                // Out of descriptors, or a client that left at once: neither ends the server.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request, taken apart.
pub(crate) struct Call {
    pub(crate) store: Store,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
}

/// Answers one request from the store, without any network.
///
/// The body of the answer to a watch goes on for as long as the watch does.
pub async fn answer(store: Store, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let query = match Query::of(&parts.uri) {
        Ok(query) => query,
        Err(refused) => return refused.into_response(),
    };
    let body = match axum::body::to_bytes(body, BODY_LIMIT).await {
        Ok(body) => body,
        Err(error) => {
            return Status::too_large(format!("reading the request failed: {error}"))
                .into_response();
        }
    };
    let call = Call { store, method: parts.method, headers: parts.headers, query, body };
    dispatch(&call, parts.uri.path()).unwrap_or_else(Status::into_response)
}

fn dispatch(call: &Call, path: &str) -> Result<Response, Status> {
    match path.trim_end_matches('/') {
        "/version" => Ok(reply(StatusCode::OK, &version())),
        "/healthz" | "/livez" | "/readyz" => Ok((StatusCode::OK, "ok").into_response()),
        "/openapi/v3" => Ok(reply(StatusCode::OK, &openapi::index(&call.store))),
        path => {
            if let Some(document) = path.strip_prefix("/openapi/v3/") {
                return Ok(reply(StatusCode::OK, &openapi::document(&call.store, document)?));
            }
            if let Some(found) = discovery::answer(&call.store, path, &call.headers)? {
                return Ok(found);
            }
            if path == authorization::REVIEWS && call.method == Method::POST {
                return Ok(reply(StatusCode::CREATED, &authorization::answer(call)?));
            }
            let target = Target::parse(path).ok_or_else(Status::no_such_resource)?;
            authorization::review(call, &target)?;
            on_object(call, &target)
        }
    }
}

fn on_object(call: &Call, target: &Target) -> Result<Response, Status> {
    let kind = call.store.kind(&target.resource)?;
    if kind.version(&target.version).is_none() {
        return Err(Status::no_such_resource());
    }
    let misplaced = match &target.namespace {
        Some(_) => !kind.namespaced,
        None => kind.namespaced && target.name.is_some(),
    };
    if misplaced {
        return Err(Status::no_such_resource());
    }
    let form = Form::accepted(&call.headers)?;
    let address = (target.name.as_deref(), target.facet.as_deref());
    match (&call.method, address) {
        (&Method::GET, (None, _)) if call.query.flag("watch") => {
            follow::watch(call, &kind, target, form)
        }
        (&Method::GET, (None, _)) => reads::list(call, &kind, target, form),
        (&Method::GET, (Some(name), None | Some("status"))) => {
            reads::get(call, &kind, target, name, form)
        }
        (&Method::GET, (Some(name), Some("scale"))) => scale::get(call, &kind, target, name),
        (&Method::POST, (None, _)) => writes::create(call, &kind, target, form),
        (&Method::PUT, (Some(name), None | Some("status"))) => {
            writes::replace(call, &kind, target, name, form)
        }
        (&Method::PUT, (Some(name), Some("scale"))) => scale::replace(call, &kind, target, name),
        (&Method::PATCH, (Some(name), None | Some("status"))) => {
            writes::patch(call, &kind, target, name, form)
        }
        (&Method::PATCH, (Some(name), Some("scale"))) => scale::patch(call, &kind, target, name),
        (&Method::DELETE, (Some(name), None)) => writes::delete(call, &kind, target, name, form),
        (&Method::DELETE, (None, _)) => writes::delete_collection(call, &kind, target),
        (_, (_, Some(facet))) if !matches!(facet, "status" | "scale") => {
            Err(Status::not_supported(format!(
                "the lab's API server has no {}/{facet}",
                target.resource
            )))
        }
        _ => Err(Status::method_not_allowed()),
    }
}

/// What the server says it is: the version whose behaviour it follows.
fn version() -> Value {
    json!({
        "major": "1", "minor": "32", "gitVersion": "v1.32.0+porter-lab", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// A JSON answer.
pub(crate) fn reply(code: StatusCode, value: &Value) -> Response {
    reply_as(code, "application/json", value)
}

/// A JSON answer under a more precise media type.
pub(crate) fn reply_as(code: StatusCode, media_type: &'static str, value: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, media_type)], Body::from(value.to_string())).into_response()
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply(code, &self.to_value())
    }
}

//! Watching over HTTP: a line of JSON for every event, and bookmarks in quiet times.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::history::Watch;
use super::http::Call;
use super::request::{Form, Target};
use super::resource::Kind;
use super::shape::Shape;
use super::status::Status;

/// How long a watch lasts that does not say how long it wants to.
const WATCH_LASTS: Duration = Duration::from_secs(1800);
/// How often a watch tells how far it is, if nothing else does.
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn watch(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    form: Form,
) -> Result<Response, Status> {
    let query = &call.query;
    let selectors = query.selectors(kind, &target.version)?;
    let streams_list = query.flag("sendInitialEvents");
    let from = query.number("resourceVersion")?.filter(|&revision| revision > 0 && !streams_list);
    let lasts = query.number("timeoutSeconds")?.map_or(WATCH_LASTS, Duration::from_secs);
    let watch = call.store.watch(&target.resource, target.namespace.as_deref(), &selectors, from);
    let telling = match watch {
        Ok(watch) => Telling {
            told: watch.revision(),
            watch: Some(watch),
            shape: Shape::new(call, kind, target, form),
            bookmarks: query.flag("allowWatchBookmarks"),
            list_ends: streams_list,
            until: Instant::now() + lasts,
        },
        // A watch that comes too late is answered within the stream, as a real server does.
        Err(refused) if refused.code == 410 => return Ok(refusal(&refused)),
        Err(refused) => return Err(refused),
    };
    let lines = futures::stream::unfold(telling, |mut telling| async move {
        let line = telling.next_line().await?;
        Some((Ok::<_, Infallible>(format!("{line}\n")), telling))
    });
    Ok(stream(Body::from_stream(lines)))
}

/// A watch that says nothing but why it ends.
pub(crate) fn refusal(refused: &Status) -> Response {
    stream(Body::from(format!("{}\n", error(refused))))
}

fn stream(body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn error(status: &Status) -> Value {
    json!({ "type": "ERROR", "object": status.to_value() })
}

/// A watch on its way to a client.
struct Telling {
    /// `None` once it is over.
    watch: Option<Watch>,
    shape: Shape,
    bookmarks: bool,
    /// Whether the end of the initial events is still to be told.
    list_ends: bool,
    /// The revision that the client has heard of.
    told: u64,
    until: Instant,
}

impl Telling {
    async fn next_line(&mut self) -> Option<Value> {
        loop {
            let watch = self.watch.as_mut()?;
            if self.list_ends && !watch.has_initial() {
                let revision = watch.revision();
                self.list_ends = false;
                return Some(self.shape.bookmark(revision, true));
            }
            let bookmark_at = Instant::now() + BOOKMARK_EVERY;
            match tokio::time::timeout_at(bookmark_at.min(self.until), watch.next()).await {
                Ok(Ok(event)) => {
                    self.told = watch.revision();
                    return Some(self.shape.event(&event));
                }
                Ok(Err(refused)) => {
                    self.watch = None;
                    return Some(error(&refused));
                }
                Err(_) => {
                    let revision = watch.revision();
                    let over = Instant::now() >= self.until;
                    if over {
                        self.watch = None;
                    }
                    if self.bookmarks && revision > self.told {
                        self.told = revision;
                        return Some(self.shape.bookmark(revision, false));
                    }
                    if over {
                        return None;
                    }
                }
            }
        }
    }
}

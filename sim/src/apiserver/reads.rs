//! Reading over HTTP: one object, a list, a watch, a scale; each in the form the client accepts.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::history::{Event, EventKind, Watch};
use super::http::{Call, reply};
use super::request::{Form, Target};
use super::resource::{Kind, ScalePaths};
use super::status::Status;
use super::table;

/// How long a watch lasts that does not say how long it wants to.
const WATCH_LASTS: Duration = Duration::from_secs(1800);
/// How often a watch tells how far it is, if nothing else does.
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);

/// Forms one object the way the client wants it.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    kind: Arc<Kind>,
    version: String,
    form: Form,
    /// How much of the object comes with a table's row.
    include: String,
}

impl Shape {
    pub(crate) fn new(call: &Call, kind: &Arc<Kind>, target: &Target, form: Form) -> Self {
        let include = call.query.text("includeObject").unwrap_or("Metadata").to_owned();
        Self { kind: kind.clone(), version: target.version.clone(), form, include }
    }

    pub(crate) fn one(&self, object: &Value) -> Value {
        match self.form {
            Form::Object => self.versioned(object),
            Form::Metadata => partial(object),
            Form::Table => {
                let revision = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                self.table(&[object], revision)
            }
        }
    }

    pub(crate) fn many<'a>(
        &self,
        objects: impl Iterator<Item = &'a Value>,
        metadata: Value,
    ) -> Value {
        match self.form {
            Form::Object => {
                let items: Vec<_> = objects.map(|object| self.versioned(object)).collect();
                let api_version = self.kind.api_version(&self.version);
                json!({ "kind": self.kind.list_kind, "apiVersion": api_version, "metadata": metadata, "items": items })
            }
            Form::Metadata => {
                let items: Vec<_> = objects.map(partial).collect();
                json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata, "items": items,
                })
            }
            Form::Table => {
                let mut table = self.table(&objects.collect::<Vec<_>>(), "");
                table["metadata"] = metadata;
                table
            }
        }
    }

    fn table(&self, objects: &[&Value], revision: &str) -> Value {
        let row = |object: &&Value| match self.include.as_str() {
            "Object" => self.versioned(object),
            "None" => Value::Null,
            _ => partial(object),
        };
        table::render(&self.kind, &self.version, objects, revision, row)
    }

    /// The object in the version asked for; versions differ in nothing but their name.
    fn versioned(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if self.version != self.kind.storage {
            object["apiVersion"] = json!(self.kind.api_version(&self.version));
        }
        object
    }
}

fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

pub(crate) fn get(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    name: &str,
    form: Form,
) -> Result<Response, Status> {
    let object = call.store.get(&target.resource, target.namespace.as_deref(), name)?;
    Ok(reply(StatusCode::OK, &Shape::new(call, kind, target, form).one(&object)))
}

pub(crate) fn list(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    form: Form,
) -> Result<Response, Status> {
    let query = &call.query;
    let selectors = query.selectors(&target.resource)?;
    let listing = call.store.list(&target.resource, target.namespace.as_deref(), &selectors)?;
    let asked = query.number("resourceVersion")?.unwrap_or(0);
    if asked > listing.revision {
        return Err(Status::too_large_revision(asked, listing.revision));
    }
    if query.text("resourceVersionMatch") == Some("Exact") && asked != listing.revision {
        return Err(Status::expired("The resourceVersion for the provided list is too old."));
    }
    let page = Page::of(query.text("continue"), listing.revision)?;
    call.store.remembers(page.revision)?;
    let limit = query.number("limit")?.filter(|&limit| limit > 0).unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rest: Vec<_> = listing.items.iter().skip_while(|object| !page.follows(object)).collect();
    let (shown, left) = rest.split_at(limit.min(rest.len()));

    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if let (Some(last), false) = (shown.last(), left.is_empty()) {
        metadata["continue"] = json!(Page::after(page.revision, last).to_string());
        metadata["remainingItemCount"] = json!(left.len());
    }
    let shape = Shape::new(call, kind, target, form);
    Ok(reply(StatusCode::OK, &shape.many(shown.iter().map(|object| &***object), metadata)))
}

/// Where the next part of a list starts. All parts carry the revision of the first: a watch from there tells
/// what changed in between, so nothing is missed although the parts are read at different times.
struct Page {
    revision: u64,
    namespace: String,
    name: String,
}

impl Page {
    fn of(token: Option<&str>, revision: u64) -> Result<Self, Status> {
        let Some(token) = token else {
            return Ok(Self { revision, namespace: String::new(), name: String::new() });
        };
        let mut parts = token.splitn(3, '/');
        let revision = parts.next().and_then(|revision| revision.parse().ok());
        let (Some(revision), Some(namespace), Some(name)) = (revision, parts.next(), parts.next())
        else {
            return Err(Status::bad_request(format!("continue key is not valid: {token:?}")));
        };
        Ok(Self { revision, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    fn after(revision: u64, last: &Value) -> Self {
        let text = |field: &str| last["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { revision, namespace: text("namespace"), name: text("name") }
    }

    fn follows(&self, object: &Value) -> bool {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        (text("namespace"), text("name")) > (&*self.namespace, &*self.name)
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.revision, self.namespace, self.name)
    }
}

pub(crate) fn watch(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    form: Form,
) -> Result<Response, Status> {
    let query = &call.query;
    let selectors = query.selectors(&target.resource)?;
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
        Err(refused) if refused.code == 410 => {
            let line = format!("{}\n", error(&refused));
            return Ok(stream(Body::from(line)));
        }
        Err(refused) => return Err(refused),
    };
    let lines = futures::stream::unfold(telling, |mut telling| async move {
        let line = telling.next_line().await?;
        Some((Ok::<_, std::convert::Infallible>(format!("{line}\n")), telling))
    });
    Ok(stream(Body::from_stream(lines)))
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
                self.list_ends = false;
                return Some(self.bookmark(watch_revision(self.watch.as_ref()), true));
            }
            let bookmark_at = Instant::now() + BOOKMARK_EVERY;
            match tokio::time::timeout_at(bookmark_at.min(self.until), watch.next()).await {
                Ok(Ok(event)) => {
                    self.told = watch.revision();
                    return Some(self.event(&event));
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
                        return Some(self.bookmark(revision, false));
                    }
                    if over {
                        return None;
                    }
                }
            }
        }
    }

    fn event(&self, event: &Event) -> Value {
        let kind = match event.kind {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        };
        json!({ "type": kind, "object": self.shape.one(&event.object) })
    }

    fn bookmark(&self, revision: u64, list_ends: bool) -> Value {
        let mut object = json!({
            "kind": self.shape.kind.kind, "apiVersion": self.shape.kind.api_version(&self.shape.version),
            "metadata": { "resourceVersion": revision.to_string(), "creationTimestamp": null },
        });
        if list_ends {
            object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        json!({ "type": "BOOKMARK", "object": object })
    }
}

fn watch_revision(watch: Option<&Watch>) -> u64 {
    watch.map_or(0, Watch::revision)
}

pub(crate) fn scale(
    call: &Call,
    kind: &Arc<Kind>,
    target: &Target,
    name: &str,
) -> Result<Response, Status> {
    let object = call.store.get(&target.resource, target.namespace.as_deref(), name)?;
    Ok(reply(StatusCode::OK, &scale_of(scale_paths(kind, target)?, &object)))
}

pub(crate) fn scale_paths<'a>(kind: &'a Kind, target: &Target) -> Result<&'a ScalePaths, Status> {
    kind.version(&target.version)
        .and_then(|version| version.scale.as_ref())
        .ok_or_else(Status::no_such_resource)
}

/// The `Scale` that stands for an object.
pub(crate) fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let at = |path: &str| object.pointer(path).cloned().unwrap_or(Value::Null);
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": at(&paths.spec_replicas) },
        "status": { "replicas": at(&paths.status_replicas).as_u64().unwrap_or(0) },
    });
    if let Some(selector) = paths.selector.as_deref().map(at) {
        let text = selector.as_str().map_or_else(|| table::selector(&selector), str::to_owned);
        scale["status"]["selector"] = json!(text);
    }
    scale
}

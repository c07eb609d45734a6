//! Reading over HTTP: one object, or a list, whole or in parts.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::http::{Call, reply};
use super::request::{Form, Target};
use super::resource::Kind;
use super::shape::Shape;
use super::status::Status;

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
    let selectors = query.selectors(kind, &target.version)?;
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

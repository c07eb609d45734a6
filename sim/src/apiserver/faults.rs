//! What goes wrong on purpose: a test tells the server which requests to fail, and how.
//!
//! A fault meets whole requests, as a client sees them: refused without effect, never answered, or cut off before
//! or after they had their effect. What happens to the bytes in between is for a proxy to do.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use tokio::sync::watch;

use super::follow;
use super::request::{Query, Target};
use super::resource::Resource;
use super::status::Status;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// 403: the client may not do this.
    Forbidden,
    /// 409 `Conflict`, without effect.
    Conflict,
    /// 410 `Expired`: the version that a list or a watch starts from is forgotten. A watch is told so in its stream.
    Expired,
    /// 429: the client should ask again after so long, in whole seconds. Without effect.
    TooManyRequests(Duration),
    /// 500, without effect.
    InternalError,
    /// 503, without effect.
    Unavailable,
    /// There is no answer as long as the client waits, and no effect.
    Hang,
    /// The connection ends without an answer, and without effect.
    CutBefore,
    /// The request has its effect; then the connection ends without an answer.
    CutAfter,
    /// A list from a cache that lags: it is of a time when there was nothing yet.
    Old,
    /// The answer is cut in the middle of the line behind so many whole lines: a watch tells that many events.
    Torn(usize),
}

/// What a client does with a resource, as RBAC calls it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads the objects of a collection.
    List,
    /// Follows the changes of a collection.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces an object or its status.
    Update,
    /// Changes an object or its status.
    Patch,
    /// Deletes an object.
    Delete,
    /// Deletes the objects of a collection.
    DeleteCollection,
}

impl Verb {
    /// What a request of this method does; `watches`: whether it asks for changes.
    pub(crate) fn of(method: &Method, target: &Target, watches: bool) -> Option<Self> {
        match (method, target.name.is_some()) {
            (&Method::GET, true) => Some(Self::Get),
            (&Method::GET, false) if watches => Some(Self::Watch),
            (&Method::GET, false) => Some(Self::List),
            (&Method::POST, _) => Some(Self::Create),
            (&Method::PUT, _) => Some(Self::Update),
            (&Method::PATCH, _) => Some(Self::Patch),
            (&Method::DELETE, true) => Some(Self::Delete),
            (&Method::DELETE, false) => Some(Self::DeleteCollection),
            _ => None,
        }
    }

    /// As a rule of RBAC has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// Some of the requests that reach the server; the default is all of them.
#[derive(Clone, Debug)]
pub struct Requests {
    /// What they do; `None`: anything.
    pub verb: Option<Verb>,
    /// With what; `None`: anything, also what is no object.
    pub resource: Option<Resource>,
    /// Which of those, counted from 0 since the fault was set.
    pub which: Range<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { verb: None, resource: None, which: 0..u64::MAX }
    }
}

impl Requests {
    /// Every request that does this with objects of this kind.
    #[must_use]
    pub fn to(verb: Verb, resource: Resource) -> Self {
        Self { verb: Some(verb), resource: Some(resource), ..Self::default() }
    }

    /// The first of them, and no other.
    #[must_use]
    pub fn first(self) -> Self {
        Self { which: 0..1, ..self }
    }
}

/// The faults of a server; clones share them. Without any, it works.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Set>>>);

/// A fault that is set.
#[derive(Debug)]
struct Set {
    requests: Requests,
    fault: Fault,
    /// How many of the requests there were, whichever of them should fail.
    seen: u64,
    met: watch::Sender<u64>,
}

/// Tells how often a fault was met.
#[derive(Clone, Debug)]
pub struct Met(watch::Receiver<u64>);

impl Met {
    /// Waits until the fault was met so many times, or was taken back.
    pub async fn times(&mut self, count: u64) {
        // Nothing more is to come of a fault that was taken back.
        let _ = self.0.wait_for(|met| *met >= count).await;
    }
}

impl Faults {
    /// From now on these requests fail in this way. Of several faults for one request, the first that was set counts.
    pub fn set(&self, requests: Requests, fault: Fault) -> Met {
        let (met, told) = watch::channel(0);
        self.lock().push(Set { requests, fault, seen: 0, met });
        Met(told)
    }

    /// From now on nothing fails. Requests that hang go on hanging.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Set>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that a request meets.
    fn meet(&self, verb: Option<Verb>, resource: Option<&Resource>) -> Option<Fault> {
        let mut found = None;
        for set in &mut *self.lock() {
            let requests = &set.requests;
            if requests.verb.is_some_and(|wanted| verb != Some(wanted))
                || requests.resource.as_ref().is_some_and(|wanted| resource != Some(wanted))
            {
                continue;
            }
            let is_meant = requests.which.contains(&set.seen);
            set.seen += 1;
            if is_meant && found.is_none() {
                set.met.send_modify(|met| *met += 1);
                found = Some(set.fault);
            }
        }
        found
    }

    /// Lets a request be answered, unless it meets a fault.
    pub(crate) async fn answer<F>(
        &self,
        request: Request,
        answer: impl FnOnce(Request) -> F,
    ) -> Result<Response, Cut>
    where
        F: Future<Output = Response>,
    {
        let target = Target::parse(request.uri().path());
        let verb = target.as_ref().and_then(|target| {
            let watches = Query::of(request.uri()).is_ok_and(|query| query.flag("watch"));
            Verb::of(request.method(), target, watches)
        });
        let fault = self.meet(verb, target.as_ref().map(|target| &target.resource));
        let Some(fault) = fault else { return Ok(answer(request).await) };
        let name = target.as_ref().and_then(|target| target.name.as_deref()).unwrap_or_default();
        let resource =
            target.as_ref().map_or(Resource::NAMESPACES, |target| target.resource.clone());
        Ok(match fault {
            Fault::Forbidden => {
                Status::forbidden(&resource, name, "the test does not allow it").into_response()
            }
            Fault::Conflict => {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                Status::conflict(&resource, name, why).into_response()
            }
            Fault::Expired => {
                let expired = Status::expired("too old resource version");
                if verb == Some(Verb::Watch) {
                    follow::refusal(&expired)
                } else {
                    expired.into_response()
                }
            }
            Fault::Old => old_list(),
            Fault::TooManyRequests(after) => too_many_requests(after),
            Fault::InternalError => {
                Status::internal_error("it is broken on purpose").into_response()
            }
            Fault::Unavailable => Status::unavailable().into_response(),
            Fault::Hang => std::future::pending().await,
            Fault::CutBefore => return Err(Cut),
            Fault::CutAfter => {
                // The effect is there with the head of the answer.
                answer(request).await;
                return Err(Cut);
            }
            Fault::Torn(lines) => answer(request).await.map(|body| torn(body, lines)),
        })
    }
}

/// A connection ends without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

fn old_list() -> Response {
    let list = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"1"},"items":[]}"#;
    ([(header::CONTENT_TYPE, "application/json")], list).into_response()
}

fn too_many_requests(after: Duration) -> Response {
    let mut response = Status::too_many_requests(after).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
    response
}

/// The body, which breaks off in the middle of the line behind so many whole ones.
fn torn(body: Body, lines: usize) -> Body {
    Body::from_stream(broken(body.into_data_stream(), lines))
}

fn broken(
    body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
    lines: usize,
) -> impl Stream<Item = Result<Bytes, Cut>> {
    futures::stream::unfold((body, Some(lines)), |(mut body, left)| async move {
        let mut left = left?;
        let piece = body.next().await?.ok()?;
        if left == 0 {
            // Half of what is not to be told goes out, then nothing does.
            return Some((Ok(piece.slice(..piece.len() / 2)), (body, None)));
        }
        left = left.saturating_sub(piece.iter().filter(|letter| **letter == b'\n').count());
        Some((Ok(piece), (body, Some(left))))
    })
    .chain(futures::stream::once(async {
        // Lets go out what was told: an error at once would take it along.
        tokio::task::yield_now().await;
        Err(Cut)
    }))
}

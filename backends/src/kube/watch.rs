//! One kind, listed once and watched from there on.
//!
//! Watches end all the time: the API server ends each after a while, connections tear or fall
//! silent, history is forgotten (410). A watch that ended goes on where it stopped; only if that
//! fails at the first attempt is the kind reported as lost, until it could be listed again.

use std::{convert::Infallible, future, marker::PhantomData, pin::pin, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::{
    Client,
    api::{ListParams, WatchParams},
    core::{Request, Status},
};
use porter_core::{Input, Listing, ReadError, Version};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    select,
    sync::mpsc,
    time::{self, Instant},
};
use tracing::{debug, warn};

use super::{
    Timeouts,
    convert::{Watched, read, version_of},
    verdict,
};

/// How much longer than asked for a watch may last before it is taken for dead.
const GRACE: Duration = Duration::from_secs(2);
/// A watch that ended sooner than this, and brought nothing, has failed.
const USEFUL: Duration = Duration::from_secs(1);

/// How many objects of a list are asked for at a time: however many there are, no more of them are in
/// memory as they were sent.
const PAGE: u32 = 500;

/// For how long a list that is older than what was told is taken for one from a cache that lags. An API
/// server that was restored from a backup has nothing newer then either, and counts.
const LAGS_MAX: Duration = Duration::from_secs(30);

/// All objects of a kind.
pub(super) type Objects<T> = Listing<<T as Watched>::Name, <T as Watched>::Fact>;

/// Wants a list that is newer than the order, and says as what to report it.
pub(super) type Order<T> = Box<dyn FnOnce(Result<Objects<T>, ReadError>) -> Input + Send>;

/// The watch of one kind.
pub(super) struct Watch<T: Watched> {
    client: Client,
    collection: Request,
    /// A field selector: which objects of the kind.
    fields: Option<String>,
    timeouts: Timeouts,
    facts: mpsc::Sender<Input>,
    /// What was told so far; `None`: to be listed.
    position: Option<Version>,
    /// The newest that was ever told: what lists have to be held against.
    newest: Newest,
    /// Whether what was told is known to grow old, or nothing was told yet.
    lost: bool,
    /// The delays before the next attempts; `None`: nothing has failed since a watch last worked.
    backoff: Option<ExponentialBackoff>,
    /// What was warned of last: said once, however often it is tried again.
    complaint: String,
    of: PhantomData<fn() -> T>,
}

/// Why a step did not succeed.
struct Failure {
    reason: String,
    /// As what to report it to whoever ordered a list.
    error: ReadError,
    /// The version to go on from is forgotten.
    expired: bool,
    retry_after: Duration,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self {
            reason: verdict::told(&error),
            error: verdict::read_error(&error),
            expired: verdict::is_expired(&error),
            retry_after: verdict::retry_after(&error),
        }
    }
}

impl Failure {
    fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let error = ReadError::Failed(reason.clone());
        Self { reason, error, expired: false, retry_after: Duration::ZERO }
    }
}

/// A part of a list, each of whose objects is read by itself: one that cannot be read hides no other.
#[derive(Deserialize)]
struct Page {
    metadata: ListMeta,
    items: Option<Vec<Box<RawValue>>>,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: LineKind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum LineKind {
    Added,
    Bookmark,
    Deleted,
    Error,
    Modified,
}

/// What a bookmark says.
#[derive(Deserialize)]
struct Bookmark {
    metadata: ListMeta,
}

impl<T: Watched> Watch<T> {
    pub(super) fn new(
        client: Client,
        namespace: Option<&str>,
        fields: Option<String>,
        timeouts: Timeouts,
        facts: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            client,
            collection: Request::new(T::url_path(&(), namespace)),
            fields,
            timeouts,
            facts,
            position: None,
            newest: Newest::default(),
            lost: true,
            backoff: None,
            complaint: String::new(),
            of: PhantomData,
        }
    }

    /// Tells what there is and what becomes of it, for ever, and lists when it is ordered to.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order<T>>) -> Infallible {
        loop {
            let order = select! {
                never = self.keep_up() => match never {},
                Some(order) = orders.recv() => order,
            };
            self.deliver(order).await;
        }
    }

    /// Lists afresh, and goes on from there: nothing older is told after it.
    async fn deliver(&mut self, order: Order<T>) {
        let listing = self.list().await;
        if let Ok(listing) = &listing {
            // It is as good as any list: what was lost is found again.
            self.position = Some(listing.version);
            self.lost = false;
        }
        self.tell(order(listing.map_err(|failure| failure.error))).await;
    }

    /// Cancel safe: the position moves only when what leads to it was told.
    async fn keep_up(&mut self) -> Infallible {
        loop {
            let step = match self.position {
                None => self.relist().await,
                Some(version) => self.follow(version).await,
            };
            let Err(failure) = step else { continue };
            debug!(kind = ?T::KIND, reason = failure.reason, "the watch is interrupted");
            if failure.expired {
                self.position = None;
            }
            let delay = match &mut self.backoff {
                Some(backoff) => backoff.next().unwrap_or(self.timeouts.call),
                // Whatever worked until now is tried again at once.
                None => {
                    self.backoff = Some(backoff());
                    Duration::ZERO
                }
            };
            let delay = delay.max(failure.retry_after);
            // From history that is forgotten, a list is all that it takes to go on.
            if !delay.is_zero() && !failure.expired {
                self.lose(&failure).await;
            }
            time::sleep(delay).await;
        }
    }

    async fn lose(&mut self, failure: &Failure) {
        self.position = None;
        if self.complaint != failure.reason {
            warn!(kind = ?T::KIND, reason = failure.reason, "cannot be watched");
            self.complaint.clone_from(&failure.reason);
        }
        if !self.lost {
            self.tell(Input::Lost(T::KIND)).await;
            self.lost = true;
        }
    }

    async fn relist(&mut self) -> Result<(), Failure> {
        let listing = self.list().await?;
        let version = listing.version;
        debug!(kind = ?T::KIND, objects = listing.objects.len(), %version, "listed");
        self.tell(T::listed(listing)).await;
        self.position = Some(version);
        self.lost = false;
        Ok(())
    }

    /// The newest list: without a `resourceVersion` the API server must not answer from a cache
    /// that lags. One that is older than what was told does, and is no answer.
    async fn list(&mut self) -> Result<Objects<T>, Failure> {
        let mut params =
            ListParams { field_selector: self.fields.clone(), ..ListParams::default() };
        params = params.limit(PAGE);
        // Collected at the end: a map that grows in order is half empty.
        let (mut listed, mut objects) = (None, Vec::new());
        loop {
            let Page { metadata, items } = self.page(&params).await?;
            if listed.is_none() {
                // All pages are of this version: the API server remembers it for as long as they take.
                listed = metadata.resource_version.as_deref().and_then(version_of);
                let version =
                    listed.ok_or_else(|| Failure::new("the list has no version in numbers"))?;
                if !self.newest.admits(version, Instant::now()) {
                    let why = "the list is older than what the API server said before";
                    return Err(Failure::new(why));
                }
            }
            for item in items.into_iter().flatten() {
                match read::<T>(&*item) {
                    Ok((name, version, Some(fact))) => objects.push((name, (version, fact))),
                    Ok((_, _, None)) => {}
                    Err(unreadable) => warn!(%unreadable, "passed over"),
                }
            }
            match metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        let version = listed.unwrap_or_default();
        Ok(Listing { version, objects: objects.into_iter().collect() })
    }

    async fn page(&self, params: &ListParams) -> Result<Page, Failure> {
        let request = self.collection.list(params).expect("the parameters are valid");
        let answer = time::timeout(self.timeouts.list, self.client.request::<Page>(request)).await;
        Ok(answer.map_err(|_| Failure::new("the API server did not answer a list in time"))??)
    }

    /// Watches until the API server ends it.
    async fn follow(&mut self, version: Version) -> Result<(), Failure> {
        let lasts = self.timeouts.watch;
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(u32::try_from(lasts.as_secs()).unwrap_or(u32::MAX)),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = self.collection.watch(&params, &version.0.to_string());
        let request = request.expect("the parameters are valid");
        let began = Instant::now();
        let opened = time::timeout(self.timeouts.call, self.client.request_stream(request)).await;
        let lines = opened.map_err(|_| Failure::new("the API server did not open a watch"))??;
        let ended = self.relay(lines, began + lasts + GRACE).await;
        if self.position != Some(version) || began.elapsed() >= USEFUL.min(lasts) {
            self.backoff = None;
            self.complaint.clear();
            return ended;
        }
        ended.and_then(|()| Err(Failure::new("the watch ended as soon as it began")))
    }

    /// Tells what a watch says until it ends.
    async fn relay(&mut self, lines: impl AsyncBufRead, dead_at: Instant) -> Result<(), Failure> {
        let mut lines = pin!(lines);
        let mut line = String::new();
        loop {
            line.clear();
            let read = time::timeout_at(dead_at, lines.read_line(&mut line)).await;
            let read = read.map_err(|_| Failure::new("the connection of a watch fell silent"))?;
            read.map_err(|error| Failure::new(format!("the connection of a watch tore: {error}")))?;
            // What ends within a line says nothing with it.
            if !line.ends_with('\n') {
                return Ok(());
            }
            self.pass_on(&line).await?;
        }
    }

    async fn pass_on(&mut self, line: &str) -> Result<(), Failure> {
        let Ok(Line { kind, object }) = serde_json::from_str(line) else {
            // A proxy, or the API server itself, may break in with an error.
            let status = serde_json::from_str::<Status>(line);
            return Err(status.map_or_else(
                |_| Failure::new("the API server says in a watch what makes no sense"),
                |status| kube::Error::Api(status.boxed()).into(),
            ));
        };
        let gone = match kind {
            LineKind::Added | LineKind::Modified => false,
            LineKind::Deleted => true,
            LineKind::Bookmark => {
                let bookmark: Option<Bookmark> = serde_json::from_str(object.get()).ok();
                let version = bookmark.and_then(|it| version_of(&it.metadata.resource_version?));
                self.position = version.or(self.position);
                self.newest.handle_told(self.position);
                return Ok(());
            }
            LineKind::Error => {
                let status = serde_json::from_str::<Status>(object.get()).unwrap_or_default();
                return Err(kube::Error::Api(status.boxed()).into());
            }
        };
        match read::<T>(object) {
            Ok((name, version, fact)) => {
                self.tell(T::seen(name, version, fact.filter(|_| !gone))).await;
                self.position = Some(version);
                self.newest.handle_told(self.position);
            }
            Err(unreadable) => warn!(%unreadable, "passed over"),
        }
        Ok(())
    }

    async fn tell(&self, fact: Input) {
        if self.facts.send(fact).await.is_err() {
            // Nobody listens any more: whoever did is about to abort this task.
            future::pending().await
        }
    }
}

/// The newest version that was told of a kind.
#[derive(Debug, Default)]
struct Newest {
    version: Version,
    /// Since when every list was older.
    older_since: Option<Instant>,
}

impl Newest {
    fn handle_told(&mut self, version: Option<Version>) {
        self.version = version.map_or(self.version, |version| version.max(self.version));
    }

    /// Whether a list of this version counts.
    fn admits(&mut self, listed: Version, now: Instant) -> bool {
        if listed < self.version
            && now.duration_since(*self.older_since.get_or_insert(now)) < LAGS_MAX
        {
            return false;
        }
        *self = Self { version: listed, older_since: None };
        true
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_older_than_what_was_told_counts_only_if_none_is_newer_for_long() {
        let began = Instant::now();
        let after = |secs| began + Duration::from_secs(secs);
        let mut newest = Newest::default();
        assert!(newest.admits(Version(7), after(0)));
        newest.handle_told(Some(Version(9)));
        assert!(!newest.admits(Version(8), after(100)));
        assert!(!newest.admits(Version(8), after(129)));
        assert!(newest.admits(Version(9), after(129)), "as new as what was told");
        assert!(!newest.admits(Version(8), after(200)), "the time begins anew");
        assert!(newest.admits(Version(8), after(230)), "the API server was restored");
        assert!(newest.admits(Version(8), after(231)));
    }
}

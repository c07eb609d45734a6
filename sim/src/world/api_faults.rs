//! What an API server does wrong while it is there: it refuses, stands still, forgets its history, and
//! shows an old list.

use std::time::Duration;

use porter_core::{Kind, ReadError, WriteError};

use super::{Moment, Subject, World, replica::ReplicaId};

/// How long a server that has too many requests asks to be left alone (`Retry-After`).
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the API server refuses what a replica asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// It has too many requests (429).
    Busy,
    /// It fails itself (500 and above). What was asked for may be done nevertheless.
    Failing,
    /// It does not know the replica (401), or gives it no right (403).
    Forbidden,
}

impl Refusal {
    /// What the writer learns, as an adapter tells it.
    pub(super) fn of_write(self) -> WriteError {
        match self {
            Self::Busy => WriteError::Busy(RETRY_AFTER),
            Self::Failing => WriteError::Unknown,
            Self::Forbidden => WriteError::Forbidden(self.as_str().to_owned()),
        }
    }

    /// What the reader learns.
    pub(super) fn of_read(self) -> ReadError {
        match self {
            Self::Busy => ReadError::Busy(RETRY_AFTER),
            Self::Failing => ReadError::Failed(self.as_str().to_owned()),
            Self::Forbidden => ReadError::Forbidden(self.as_str().to_owned()),
        }
    }

    /// After how long at least a list is asked for again.
    pub(super) fn retry_after(self) -> Duration {
        match self {
            Self::Busy => RETRY_AFTER,
            Self::Failing | Self::Forbidden => Duration::ZERO,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "too many requests",
            Self::Failing => "internal error",
            Self::Forbidden => "forbidden",
        }
    }
}

impl World {
    /// Has the API server refuse everything that a replica asks for, for a while. Its watches go on.
    pub(super) fn refuse(&mut self, id: ReplicaId, refusal: Refusal, span: Duration) {
        let what = format!("is refused by the API for {span:?}: {}", refusal.as_str());
        self.fails(self.replica(id), what);
        self.replicas[id].refused = Some((refusal, self.now + span));
    }

    /// Why a replica is refused now, if it is.
    pub(super) fn refusal(&self, id: ReplicaId) -> Option<Refusal> {
        let refused = self.replicas[id].refused;
        refused.filter(|(_, until)| self.now < *until).map(|(refusal, _)| refusal)
    }

    /// Has the API server stand still: requests, and what watches say, wait until it goes on.
    pub fn stall_api(&mut self, span: Duration) {
        self.fails(Subject::World, format!("has an API server that stands still for {span:?}"));
        self.api_stalled_until = self.api_stalled_until.max(self.now + span);
    }

    /// Has the API server forget the history that a watch reads (410): it is begun anew with a list.
    pub fn expire_watch(&mut self, id: ReplicaId, kind: Kind) {
        let process = self.replicas[id].process.as_ref();
        let watch = process.and_then(|process| process.watches.get(&kind));
        if watch.is_some_and(|watch| watch.is_live()) {
            self.fails(self.replica(id), format!("has its watch of each {kind:?} expire"));
            self.watch_anew(id, kind, Duration::ZERO);
        }
    }

    /// The same, and that list is from a cache that lacks the last changes of its kind. The watch that
    /// follows tells of them.
    pub fn list_stale(&mut self, id: ReplicaId, kind: Kind, n_changes: u8) {
        self.fails(self.replica(id), format!("is to see an old list of each {kind:?}"));
        self.replicas[id].stale.insert(kind, usize::from(n_changes));
        self.expire_watch(id, kind);
    }

    /// Ends everything that this module does, but for what stands still: it goes on in time.
    pub(super) fn relent(&mut self) {
        for replica in &mut self.replicas {
            replica.refused = None;
            replica.stale.clear();
        }
    }

    /// From when on the API server does something, if it stands still.
    pub(super) fn api_goes_on_at(&self) -> Moment {
        self.api_stalled_until.max(self.now)
    }
}

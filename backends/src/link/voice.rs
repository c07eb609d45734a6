//! What all responders say, and until when they may.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use porter_core::{Answers, Generation, Instant, wire::Frame};
use rustix::net::SendFlags;
use socket2::Socket;

use super::outcome::{Outcome, Outcomes};
use crate::clock;

/// How long sending a frame takes where nothing is in its way.
const SWIFT: Duration = Duration::from_millis(1);

/// What was published last.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) answers: Arc<Answers>,
    pub(crate) generation: Generation,
}

/// The one voice of this replica: shared by everything that speaks for an EIP.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    snapshot: ArcSwap<Snapshot>,
    /// Nanoseconds of boot time, kept beside the snapshot so that a renewal publishes nothing.
    until: AtomicU64,
}

impl Voice {
    /// Replaces what is answered. Returns what was answered before.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.snapshot.swap(Arc::new(snapshot))
    }

    /// What is answered now. Never older than what the same thread was told before.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn permit(&self, until: Instant) {
        self.until.store(until.as_nanos(), Ordering::SeqCst);
    }

    /// The instant before which this replica may speak.
    pub(crate) fn until(&self) -> Instant {
        Instant::from_nanos(self.until.load(Ordering::SeqCst))
    }

    /// Sends something that speaks for an EIP, if that is still permitted. There is no other way to
    /// send it, and nothing between the check and the sending. Sending that took longer than
    /// [`SWIFT`] is counted: that much of the margin was used.
    pub(crate) fn say(
        &self,
        send: impl FnOnce() -> io::Result<()>,
        outcomes: &Outcomes,
    ) -> Result<(), Outcome> {
        let until = self.until();
        let checked_at = clock::now();
        if checked_at >= until {
            return Err(Outcome::Late);
        }
        let sent = send().map_err(|_| Outcome::Unsent);
        if clock::now().since(checked_at) > SWIFT {
            outcomes.add(Outcome::Slow);
        }
        sent
    }
}

/// Sends a frame without waiting for room in the link's queue.
pub(crate) fn send(frame: &Frame, socket: &Socket) -> io::Result<()> {
    rustix::net::send(socket, frame.bytes(), SendFlags::DONTWAIT)?;
    Ok(())
}

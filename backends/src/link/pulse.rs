//! Whether the threads that answer go round: asked of themselves, and not of a clock.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use porter_core::LinkName;
use rustix::event::EventfdFlags;
use tokio::sync::watch;

/// What [`Pulse::turns`] says once there is no turn to come.
const OVER: u64 = u64::MAX;

/// A responder's turns, which it counts, and what makes it take one.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Readable when there is something to look at besides frames.
    pub(crate) wake: OwnedFd,
    turns: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { wake, turns: AtomicU64::new(0) })
    }

    /// Has the responder take its next turn without waiting for a frame.
    pub(crate) fn wake(&self) {
        // It fails only if it has been woken 2^64 times already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Takes note that a turn begins. Whoever counted before it was woken sees that it went round.
    pub(crate) fn beat(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note that there is no turn to come.
    pub(crate) fn end(&self) {
        self.turns.store(OVER, Ordering::Relaxed);
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// The responders of a [`Lan`](super::Lan), to be asked from outside how they are.
#[derive(Clone, Debug)]
pub struct Responders(pub(crate) watch::Receiver<Roster>);

/// Per link that is wanted and here: its responder, or why it has none.
pub(crate) type Roster = BTreeMap<LinkName, Result<Arc<Pulse>, String>>;

/// How far the responders had come when they were asked to go round.
#[derive(Debug)]
pub struct Round(BTreeMap<LinkName, (Arc<Pulse>, u64)>);

impl Responders {
    /// Responders of which there are none.
    pub fn none() -> Self {
        Self(watch::channel(Roster::new()).1)
    }

    /// Asks every responder to go round.
    pub fn ask(&self) -> Round {
        let roster = self.0.borrow();
        let pulses = roster.iter().filter_map(|(&link, pulse)| Some((link, pulse.as_ref().ok()?)));
        let asked = pulses.map(|(link, pulse)| {
            let turns = pulse.turns();
            pulse.wake();
            (link, (Arc::clone(pulse), turns))
        });
        Round(asked.collect())
    }

    /// Why nothing answers on a link, or nothing if something does.
    pub fn lack(&self, link: LinkName) -> Option<String> {
        match self.0.borrow().get(&link) {
            Some(Ok(pulse)) if pulse.turns() != OVER => None,
            Some(Ok(_)) => Some("its responder has ended and is to be started again".to_owned()),
            Some(Err(reason)) => Some(reason.clone()),
            None => Some("it has no responder yet".to_owned()),
        }
    }
}

impl Round {
    /// The links whose responders have not gone round since they were asked. One that has ended is not
    /// stuck: it is started again.
    pub fn stuck(&self) -> impl Iterator<Item = LinkName> + '_ {
        let stuck = self.0.iter().filter(|(_, (pulse, turns))| pulse.turns() == *turns);
        stuck.map(|(&link, _)| link)
    }
}

//! One replica of the load balancer, composed of its parts.

use std::sync::Arc;

use crate::{Answers, Config, Identity, Input, Instant, Output};

/// One replica's share of the load balancer.
#[derive(Debug)]
pub struct Speaker {
    config: Config,
    answers: Arc<Answers>,
}

impl Speaker {
    /// A speaker that knows nothing yet and therefore says nothing yet.
    pub fn new(config: Config, seed: u64) -> Self {
        let _ = seed;
        Self { config, answers: Arc::default() }
    }

    /// Takes in one fact about the world.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        let _ = (input, now, &self.config);
    }

    /// Takes in the passage of time. Calling too early, or too often, is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The next thing to do, if any. Drain after every `handle_*`.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When to call `handle_timeout`, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Whether this replica may speak at `now`.
    pub fn leads(&self, now: Instant) -> bool {
        let _ = now;
        false
    }

    /// The holder of the Lease as last seen, whether its claim still runs or not.
    pub fn holder(&self) -> Option<&Identity> {
        None
    }

    /// The snapshot that was published last.
    pub fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }
}

//! What stops a replica.

use std::error;

/// What was being done, and why it failed: "receiving on eth0 failed: Network is down".
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed: {source}")]
pub struct Error {
    /// What was being done, as in "opening a packet socket".
    pub doing: String,
    /// Why it failed.
    pub source: Box<dyn error::Error + Send + Sync>,
}

impl Error {
    /// `doing` failed because of `source`.
    pub fn new(
        doing: impl Into<String>,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }
}

//! What the lab was doing when the world said no.

use std::error;

/// Something outside the lab refused; reads as "creating a network namespace failed: ...".
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed: {source}")]
pub struct Error {
    doing: String,
    source: Box<dyn error::Error + Send + Sync>,
}

impl Error {
    pub(crate) fn new(
        doing: impl Into<String>,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }

    /// What failed and why, to be told to another process.
    pub(crate) fn into_parts(self) -> (String, String) {
        (self.doing, self.source.to_string())
    }
}

/// Says what was being done, once it has failed.
pub(crate) trait Doing<T> {
    /// `doing` is a phrase that "failed" can follow: "opening /dev/null".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn error::Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::new(doing(), source))
    }
}

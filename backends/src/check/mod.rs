//! What keeps Porter from working, looked for before somebody misses it: in a cluster, and on one of its
//! nodes.

mod cluster;
#[cfg(target_os = "linux")]
mod host;

use std::fmt;

use serde::Serialize;

pub use cluster::{Rights, cluster};
#[cfg(target_os = "linux")]
pub use host::host;

/// What was found out about one thing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// What it is about: one or two words.
    pub about: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what to do about it if it is not as it should be.
    pub told: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It could not be found out.
    Unknown,
    /// It may do harm.
    Doubtful,
    /// It keeps something from working.
    Wrong,
}

impl Finding {
    fn new(about: &str, verdict: Verdict, told: impl Into<String>) -> Self {
        Self { about: about.to_owned(), verdict, told: told.into() }
    }

    /// It is as it should be.
    pub fn fine(about: &str, told: impl Into<String>) -> Self {
        Self::new(about, Verdict::Fine, told)
    }

    /// It could not be found out.
    pub fn unknown(about: &str, told: impl Into<String>) -> Self {
        Self::new(about, Verdict::Unknown, told)
    }

    /// It may do harm.
    pub fn doubtful(about: &str, told: impl Into<String>) -> Self {
        Self::new(about, Verdict::Doubtful, told)
    }

    /// It keeps something from working.
    pub fn wrong(about: &str, told: impl Into<String>) -> Self {
        Self::new(about, Verdict::Wrong, told)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fine => "ok",
            Self::Unknown => "?",
            Self::Doubtful => "doubtful",
            Self::Wrong => "WRONG",
        })
    }
}

impl fmt::Display for Finding {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { about, verdict, told } = self;
        write!(f, "{verdict:<9} {about:<13} {told}")
    }
}

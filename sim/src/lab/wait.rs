//! Waits for what the world owes, within a bound, and tells a person who has to wait as well.

use std::{fmt, time::Duration};

use tokio::time::{Instant, sleep};

use super::{error::Error, show};

/// How long anything may take that has no bound of its own; generous, because a slow machine is no
/// failure.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// How long nobody is told anything.
const SILENT: Duration = Duration::from_secs(2);
/// How often is looked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a statement does not hold.
#[derive(Debug)]
pub(crate) struct Unmet(String);

impl Unmet {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Unmet {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<kube::Error> for Unmet {
    fn from(error: kube::Error) -> Self {
        Self(format!("asking the API server failed: {error}"))
    }
}

/// Looks again and again until there is something to see. `what` completes "waiting for".
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Unmet>,
) -> Result<T, Unmet> {
    let started_at = Instant::now();
    let mut told = false;
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        let waited = started_at.elapsed();
        if waited > limit {
            return Err(Unmet(format!("waited {} s in vain for {what}", limit.as_secs_f32())));
        }
        if waited > SILENT && !told {
            show::line(format_args!("  … waiting for {what}"));
            told = true;
        }
        sleep(LOOK_EVERY).await;
    }
}

//! A Lease that passes from hand to hand at a word, for models of what is done by it.
//!
//! Who holds it when is explored in `model.rs`. Here nothing is asked of the API server: an election
//! that has not seen the Lease asks for nothing, and a claim without end is not renewed.

use super::{Election, Role};
use crate::Instant;

/// Later than any test goes on.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Election {
    /// Begins a term.
    pub(crate) fn take(&mut self) {
        self.term += 1;
        self.role = Role::Lead { until: NEVER, renew_at: NEVER };
    }

    /// Lets the claim end, if there is one. Nobody is woken for it.
    pub(crate) fn lapse(&mut self, now: Instant) {
        if self.until().is_some() {
            self.role = Role::Lead { until: now, renew_at: NEVER };
        }
    }
}

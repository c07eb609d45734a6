//! L3: the leader is killed. When its Lease has ended another answers for everything.

use std::time::Duration;

use super::{SUCCESSION_MAX, World, owed};
use crate::world::{DRIFT_PPM, replica::RESTART_DELAY};

impl World {
    pub(super) fn attempt_successor(&mut self) -> Result<(), String> {
        let Some(leader) = self.leader() else { return Ok(()) };
        // Who is alone has to start before it can begin to wait.
        let starts = if self.has_heir(leader) { None } else { Some(RESTART_DELAY) };
        // All by which clocks may be off is waited for, by a clock that may be off by that, too.
        let longer = |span: Duration| span * (1_000_000 + DRIFT_PPM) / 1_000_000;
        let wait = longer(longer(self.lease_duration()));
        let limit = starts.unwrap_or_default() + wait + SUCCESSION_MAX;
        self.crash(leader);
        let answered = self.run_until(limit, Self::all_answered);
        owed(answered, || format!("all is answered again {limit:?} after the leader was killed"))
    }
}

//! L3: the leader is killed. When its Lease has ended another answers for everything.

use std::time::Duration;

use super::{SUCCESSION_MAX, World, owed};
use crate::world::{DRIFT_PPM, replica::RESTART_DELAY};

impl World {
    pub(super) fn attempt_successor(&mut self) -> Result<(), String> {
        let Some(leader) = self.leader() else { return Ok(()) };
        // Who is alone has to start before it can begin to wait, and waits for those that are fitter if
        // it hears nobody.
        let alone = !self.has_heir(leader);
        // All by which clocks may be off is waited for, by a clock that may be off by that, too.
        let longer = |span: Duration| span * (1_000_000 + DRIFT_PPM) / 1_000_000;
        let wait = longer(longer(self.lease_duration()));
        let more = if alone { RESTART_DELAY + self.lease_duration() } else { Duration::ZERO };
        let limit = wait + SUCCESSION_MAX + longer(more);
        self.crash(leader);
        let answered = self.run_until(limit, Self::all_answered);
        owed(answered, || format!("all is answered again {limit:?} after the leader was killed"))
    }
}

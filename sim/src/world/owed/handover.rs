//! L4: the leader is asked to leave. Another answers for everything as soon as it does not.

use super::{HANDOVER_MAX, SUCCESSION_MAX, World, owed};

impl World {
    pub(super) fn attempt_handover(&mut self) -> Result<(), String> {
        let Some(leader) = self.leader() else { return Ok(()) };
        if !self.has_heir(leader) {
            return self.attempt_successor();
        }
        self.leave(leader);
        let silent = self.run_until(SUCCESSION_MAX, |world| !world.leads(leader));
        owed(silent, || "who is asked to leave falls silent".to_owned())?;
        let answered = self.run_until(HANDOVER_MAX, Self::all_answered);
        owed(answered, || format!("all is answered again within {HANDOVER_MAX:?}"))?;
        self.reaches_all()
    }
}

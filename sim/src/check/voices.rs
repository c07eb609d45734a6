//! One voice (S3): no two replicas that would speak for EIPs at one moment of true time, and no frame
//! that leaves while another replica would.
//!
//! A replica would speak while its clock is before its deadline, whether it is stalled or not: only
//! the arithmetic of the Lease keeps two of them apart, so this is where it is tested.

use porter_core::Instant;

use super::Violation;
use crate::world::{Frame, Process, World};

#[derive(Clone, Debug, Default)]
pub(super) struct Voices {
    /// Whether overlaps are counted and no violation, since clocks are off by more than is bounded.
    counts: bool,
    n_overlaps: u64,
    overlapping: bool,
}

impl Voices {
    pub(super) fn after_event(&mut self, world: &World) -> Result<(), Violation> {
        let may = |id: &usize, speaks: fn(&Process, Instant) -> bool| {
            let local = world.local(*id);
            world.replicas[*id].process.as_ref().is_some_and(|process| speaks(process, local))
        };
        let ids = || 0..world.replicas.len();
        let voices = ids().filter(|id| may(id, would_answer)).count();
        let leaders = ids().filter(|id| may(id, |p, local| p.speaker.leads(local))).count();
        let overlaps = voices > 1 || leaders > 1;
        let begins = overlaps && !std::mem::replace(&mut self.overlapping, overlaps);
        if begins && !self.counts {
            let what = if voices > 1 { "answer" } else { "lead" };
            let names = ids().filter(|id| match voices > 1 {
                true => may(id, would_answer),
                false => may(id, |process, local| process.speaker.leads(local)),
            });
            let names: Vec<_> = names.map(|id| world.replicas[id].name.as_str()).collect();
            return Err(Violation(format!("two voices: {} would {what} now", names.join(" and "))));
        }
        self.n_overlaps += u64::from(begins);
        Ok(())
    }

    pub(super) fn spoken(&self, world: &World, id: usize, frame: &Frame) -> Result<(), Violation> {
        let other = (0..world.replicas.len()).filter(|other| *other != id).find(|other| {
            let process = world.replicas[*other].process.as_ref();
            process.is_some_and(|process| would_answer(process, world.local(*other)))
        });
        match other {
            Some(other) if !self.counts => {
                let other = &world.replicas[other].name;
                Err(Violation(format!("two voices: {frame} leaves while {other} would answer")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn count(&mut self) {
        self.counts = true;
    }

    /// Whether clocks are off by more than is bounded.
    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    pub(super) fn n_overlaps(&self) -> u64 {
        self.n_overlaps
    }
}

fn would_answer(process: &Process, local: Instant) -> bool {
    local < process.until && process.answers.iter().any(|(_, _, answer)| answer.is_ok())
}

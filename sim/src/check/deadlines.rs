//! No frame leaves at or after the end of the claim under which it was allowed (S2): the duration of
//! the Lease, less all by which a clock may be off, from when the write that made the claim was sent.
//!
//! This is worked out here from requests and answers alone. What a replica thinks of its own deadline,
//! margin included, is not asked.

use std::{collections::BTreeMap, time::Duration};

use porter_core::{Got, Identity, Input, Instant, Output, Timestamp, Write, Written};

use super::Violation;
use crate::world::{DRIFT_PPM, Frame, World};

/// What tells one attempt to hold the Lease from all others.
type Attempt = (Identity, Timestamp);

#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    replicas: BTreeMap<usize, Claims>,
}

#[derive(Clone, Debug, Default)]
struct Claims {
    /// When each attempt of the process was sent.
    sent: BTreeMap<Attempt, Instant>,
    /// When the latest one was sent that the API server has confirmed.
    proved: Option<Instant>,
    /// The same of the process before: what it had handed to the card may still leave.
    before: Option<Instant>,
}

impl Deadlines {
    pub(super) fn started(&mut self, id: usize) {
        let claims = self.replicas.entry(id).or_default();
        *claims = Claims { before: claims.proved, ..Claims::default() };
    }

    pub(super) fn wanted(&mut self, id: usize, output: &Output, local: Instant) {
        // Who wishes for the Lease repeats another's claim, and makes none.
        if let Output::Write(_, Write::Lease(_, record)) = output
            && record.wanted_by.is_none()
            && let Some(holder) = &record.holder
        {
            let claims = self.replicas.entry(id).or_default();
            claims.sent.insert((holder.clone(), record.renewed), local);
        }
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        if let Input::Written(_, Ok(Written::Lease(_, record)))
        | Input::Got(_, Ok(Got::Lease(Some((_, record))))) = input
            && let Some(holder) = &record.holder
            && let Some(claims) = self.replicas.get_mut(&id)
            && let Some(sent) = claims.sent.get(&(holder.clone(), record.renewed))
        {
            claims.proved = claims.proved.max(Some(*sent));
        }
    }

    /// A frame leaves the process `from`.
    pub(super) fn spoken(
        &self,
        world: &World,
        id: usize,
        from: u32,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let claims = self.replicas.get(&id);
        let current = world.replicas[id].incarnation == from;
        let proved = claims.and_then(|claims| if current { claims.proved } else { claims.before });
        let now = world.local(id);
        match proved.map(|sent| sent + lasts(world.lease_duration())) {
            Some(end) if now < end => Ok(()),
            Some(end) => {
                Err(Violation(format!("{frame} leaves at {now}, its claim ended at {end}")))
            }
            None => Err(Violation(format!("{frame} leaves without a claim"))),
        }
    }
}

/// How long a claim lasts by the clock of its holder, which may be slow.
fn lasts(duration: Duration) -> Duration {
    duration * (1_000_000 - DRIFT_PPM) / 1_000_000
}

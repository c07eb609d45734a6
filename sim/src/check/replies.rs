//! Every reply is to a question (S8): no replica says more to a host about an EIP than it was asked by it.
//!
//! A process that answers one question twice, now and once more when it leads again, would let anybody
//! have more sent than they send.

use std::{collections::BTreeMap, net::IpAddr};

use porter_core::{MacAddr, WhoHas};

use super::Violation;
use crate::world::{Frame, Says};

/// Who asks, and about which EIP: the asker by both addresses that it gives.
type Question = ((IpAddr, MacAddr), IpAddr);

#[derive(Clone, Debug, Default)]
pub(super) struct Replies {
    /// How many questions each process has heard that it has not replied to.
    open: BTreeMap<(usize, Question), u32>,
}

impl Replies {
    pub(super) fn started(&mut self, id: usize) {
        self.open.retain(|(other, _), _| *other != id);
    }

    pub(super) fn asked(&mut self, id: usize, question: &WhoHas) {
        *self.open.entry((id, (question.asker, question.target))).or_default() += 1;
    }

    /// A frame leaves a responder.
    pub(super) fn spoken(&mut self, name: &str, id: usize, frame: &Frame) -> Result<(), Violation> {
        let Says::IsAt { target, to, .. } = frame.says else { return Ok(()) };
        if frame.is_gratuitous() {
            return Ok(());
        }
        match self.open.get_mut(&(id, (to, target))) {
            Some(n_open) if *n_open > 0 => {
                *n_open -= 1;
                Ok(())
            }
            Some(_) | None => Err(Violation(format!("{name} says {frame}, which nobody asked"))),
        }
    }
}

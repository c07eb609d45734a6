//! No two frames say that an EIP is at different MACs (S1), unless a move was committed in between, or
//! the node has another MAC since: then whoever says so has heard it from the node later than the one
//! who said the other.

use std::{collections::BTreeMap, net::IpAddr};

use porter_core::MacAddr;

use super::Violation;
use crate::world::{Frame, Moment};

#[derive(Clone, Debug, Default)]
pub(super) struct Divergence {
    last: BTreeMap<IpAddr, Word>,
}

/// What was said of an EIP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) mac: MacAddr,
    /// How far in the order of commits it was.
    pub(super) commit: usize,
    /// When the node proved the MAC to whoever said so.
    pub(super) proved_at: Moment,
    /// Whether other nodes have or had that MAC, so that nothing tells of which commit this is.
    pub(super) copied: bool,
}

impl Divergence {
    pub(super) fn spoken(
        &mut self,
        eip: IpAddr,
        word: Word,
        frame: &Frame,
    ) -> Result<(), Violation> {
        match self.last.insert(eip, word) {
            Some(last)
                if last.mac != word.mac
                    && !(last.copied || word.copied)
                    && last.commit == word.commit
                    && word.proved_at <= last.proved_at =>
            {
                Err(Violation(format!(
                    "{frame}, though {eip} was said to be at {} by a later proof, and nothing was \
                     committed since",
                    last.mac
                )))
            }
            Some(_) | None => Ok(()),
        }
    }
}

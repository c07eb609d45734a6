//! Which node has, or had, which MAC: to tell a node from a stranger.
//!
//! A node that is not probed, since it may not be answered, can claim an EIP like any other. And one
//! whose network card was replaced may be heard of by its old MAC. So this remembers more than what
//! [`Neighbors`](crate::neighbor::Neighbors) goes by, and is no proof of anything.

use std::{collections::BTreeMap, net::IpAddr};

use pnet::util::MacAddr;

use crate::{IsAt, LinkName, Size, neighbor::Target};

/// How many MACs of one node are remembered: the one it has, and the one before.
const MACS_MAX: usize = 2;

/// The MACs of nodes, the last one first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll {
    macs: BTreeMap<Target, Vec<MacAddr>>,
}

impl Roll {
    /// Takes in an answer for a node's address.
    pub(crate) fn handle_answer(&mut self, claim: &IsAt) {
        if claim.via != claim.mac || claim.to.is_none() {
            return;
        }
        let macs = self.macs.entry((claim.link, claim.target)).or_default();
        macs.retain(|mac| *mac != claim.mac);
        macs.insert(0, claim.mac);
        macs.truncate(MACS_MAX);
    }

    /// Forgets who was where no node is looked for any more.
    pub(crate) fn retain(&mut self, has_node: impl Fn(&Target) -> bool) {
        self.macs.retain(|target, _| has_node(target));
    }

    /// Whether any MAC is known at an address.
    pub(crate) fn knows(&self, target: Target) -> bool {
        self.macs.contains_key(&target)
    }

    /// The address of a node that has, or had, a MAC: of who has it now, if there are several.
    pub(crate) fn at(&self, link: LinkName, mac: MacAddr) -> Option<IpAddr> {
        let on_link = self.macs.iter().filter(|((of, _), _)| *of == link);
        let places = on_link.filter_map(|((_, address), macs)| {
            let place = macs.iter().position(|known| *known == mac)?;
            Some((place, *address))
        });
        places.min().map(|(_, address)| address)
    }

    /// How much is remembered, where nodes have so many addresses behind so many links.
    pub(crate) fn size(&self, addresses: usize, links: usize) -> Size {
        Size::new("nodes whose MAC was heard", self.macs.len(), addresses * links)
    }
}

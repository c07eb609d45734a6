//! Every MAC that is spoken was proved to the speaker by the node itself, in reply to a probe.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use porter_core::{Input, MacAddr};

use super::Violation;
use crate::world::World;

#[derive(Debug, Default)]
pub(super) struct Proofs {
    heard: BTreeMap<usize, BTreeSet<(IpAddr, MacAddr)>>,
}

impl Proofs {
    pub(super) fn started(&mut self, id: usize) {
        self.heard.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        // Nothing but a reply that is addressed to somebody proves anything.
        if let Input::Heard(is_at) = input
            && is_at.to.is_some()
            && is_at.via == is_at.mac
        {
            self.heard.entry(id).or_default().insert((is_at.target, is_at.mac));
        }
    }

    pub(super) fn spoken(&self, world: &World, id: usize, mac: MacAddr) -> Result<(), Violation> {
        let own = world.nodes[id].macs.contains(&mac);
        let proved = |node: &crate::world::NodeHost| {
            let heard = self.heard.get(&id);
            let proved = |address: &IpAddr| heard.is_some_and(|it| it.contains(&(*address, mac)));
            node.addresses.iter().any(proved)
        };
        match own || world.nodes.iter().any(proved) {
            true => Ok(()),
            false => {
                let name = &world.replicas[id].name;
                Err(Violation(format!("{name} speaks of {mac}, which no node has proved to it")))
            }
        }
    }
}

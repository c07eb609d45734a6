//! Every MAC that is spoken of was proved to the speaker by the node itself, in reply to a probe (S4),
//! and not long ago.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use porter_core::{Input, MacAddr};

use super::Violation;
use crate::world::{Moment, NodeHost, World};

/// How old a proof may be. A standby asks every 10 s, a tenth sooner or later, and may miss two answers.
const AGE_MAX: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, Default)]
pub(super) struct Proofs {
    /// For each replica: when it last heard each MAC from where it asked.
    heard: BTreeMap<usize, BTreeMap<(IpAddr, MacAddr), Moment>>,
}

impl Proofs {
    pub(super) fn started(&mut self, id: usize) {
        self.heard.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input, now: Moment) {
        // Nothing but a reply that is addressed to somebody proves anything.
        if let Input::Heard(is_at) = input
            && is_at.to.is_some()
            && is_at.via == is_at.mac
        {
            self.heard.entry(id).or_default().insert((is_at.target, is_at.mac), now);
        }
    }

    /// When a MAC was proved that a replica speaks of.
    pub(super) fn spoken(
        &self,
        world: &World,
        id: usize,
        mac: MacAddr,
    ) -> Result<Moment, Violation> {
        let own = &world.nodes[id];
        if own.mac == mac {
            return Ok(world.now());
        }
        if own.macs.contains(&mac) {
            // Its own until another card was put in, of which it may not have been told.
            return Ok(world.now().just_before());
        }
        let heard = self.heard.get(&id);
        let proved = |node: &NodeHost| {
            let at = |address: &IpAddr| heard.and_then(|it| it.get(&(*address, mac)));
            node.addresses.iter().filter_map(at).max().copied()
        };
        let name = &world.replicas[id].name;
        match world.nodes.iter().filter_map(proved).max() {
            Some(at) if world.now().since(at) <= AGE_MAX => Ok(at),
            Some(at) => {
                let age = world.now().since(at);
                Err(Violation(format!("{name} speaks of {mac}, last proved to it {age:?} ago")))
            }
            None => {
                Err(Violation(format!("{name} speaks of {mac}, which no node has proved to it")))
            }
        }
    }
}

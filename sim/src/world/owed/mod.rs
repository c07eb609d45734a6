//! What is owed once faults have stopped, each with the time within which it is.
//!
//! Faults stop for a core: nodes and replicas that were left outside stay as broken as they are, and
//! the others owe all that they would without them.
//!
//! | | what is owed | within | file |
//! |---|---|---|---|
//! | L1 | one replica leads, and every Service is at a node that serves it | [`AGREEMENT_MAX`], and [`REFRESH_MAX`] more if announcements were lost | `agreement` |
//! | L2 | a node that dies is left, and the LAN told | its probes and [`MOVE_MAX`], [`PACE`] more for each EIP | `target` |
//! | L3 | a leader that dies is replaced, and all is answered again | its Lease and [`SUCCESSION_MAX`] | `successor` |
//! | L4 | a leader that leaves is replaced likewise | [`HANDOVER_MAX`] | `handover` |
//! | L5 | every kind of client reaches every EIP where it is | what its kind takes ([`Client::notices_within`]) | `clients` |
//! | L6 | nothing moves for a node that comes, and little for one whose link is marginal | [`MOVES_MAX`] moves of an EIP in [`WATCHED_FOR`], one more for each node if it is the leader's, twice that under `Local` if that one has no pod | `steadiness` |
//! | L7 | new Services go to the nodes that have least | a difference of [`DIFFERENCE_MAX`] | `balance` |
//!
//! [`Client::notices_within`]: super::Client::notices_within

mod agreement;
mod balance;
mod clients;
mod handover;
mod steadiness;
mod successor;
mod target;

use std::{net::IpAddr, time::Duration};

use porter_core::{MacAddr, NodeName, ServiceName};
use serde::{Deserialize, Serialize};

use super::{World, replica::ReplicaId};

/// Twice the longest lease that a world may have, for those who have to wait one out and start, and
/// then some for writes.
const AGREEMENT_MAX: Duration = Duration::from_secs(45);
/// The longest between two announcements of an EIP of which there is no news: who was misled hears the
/// truth then.
const REFRESH_MAX: Duration = Duration::from_secs(110);
/// How long a host that asks waits for an answer: it asks three times, a second apart.
const ASKED_FOR: Duration = Duration::from_secs(3);
/// How long a move takes on a quiet day, once it is decided: a write, a snapshot, a frame.
const MOVE_MAX: Duration = Duration::from_millis(100);
/// What each EIP of many adds to that: announcements are a millisecond apart, and at most 64 are
/// written at once.
const PACE: Duration = Duration::from_millis(4);
/// What there is to do when a Lease has ended: to claim it, to read the Services, to ask the nodes.
const SUCCESSION_MAX: Duration = Duration::from_millis(500);
/// For how long nobody may answer while the Lease is handed over.
const HANDOVER_MAX: Duration = Duration::from_millis(50);
/// For how long moves are counted.
const WATCHED_FOR: Duration = Duration::from_secs(120);
/// How often an EIP may move meanwhile, since its node is hard to reach.
const MOVES_MAX: usize = 2;
/// By how many EIPs a node that was given one may have more than one that was not.
const DIFFERENCE_MAX: usize = 1;

/// How long a node that has power again takes to be known as one that answers.
const RETURN_MAX: Duration = Duration::from_secs(15);

/// What is tried out on a cluster whose replicas agree.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trial {
    /// Services are created.
    Balance,
    /// The leader is asked to leave.
    Handover,
    /// Nothing.
    #[default]
    None,
    /// A node comes, and another loses frames.
    Steadiness,
    /// The leader is killed.
    Successor,
    /// A node that is answered loses its power.
    Target,
}

impl Trial {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Balance,
        Self::Handover,
        Self::None,
        Self::Steadiness,
        Self::Successor,
        Self::Target,
    ];
}

impl World {
    /// Leaves nodes, and the replicas there, as broken as they are when all else is mended. One at
    /// least is mended.
    pub fn leave_outside(&mut self, nodes: impl IntoIterator<Item = usize>) {
        let n_nodes = self.nodes.len();
        self.outside = nodes.into_iter().map(|node| node % n_nodes).collect();
        if (0..self.replicas.len()).all(|id| self.outside.contains(&id)) {
            self.outside.remove(&0);
        }
    }

    /// Tries something out, and says what of that which is owed does not come.
    pub fn attempt(&mut self, trial: Trial) -> Result<(), String> {
        match trial {
            Trial::Balance => self.attempt_balance(),
            Trial::Handover => self.attempt_handover(),
            Trial::None => Ok(()),
            Trial::Steadiness => self.attempt_steadiness(),
            Trial::Successor => self.attempt_successor(),
            Trial::Target => self.attempt_target(),
        }
    }

    /// Whether a node was not left outside.
    pub(super) fn is_core(&self, node: usize) -> bool {
        !self.outside.contains(&node)
    }

    /// The number of a node.
    fn number(&self, name: &NodeName) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == *name)
    }

    /// The node that is on record for a Service, and its MAC, if it can serve.
    fn owed_node(&self, service: &ServiceName) -> Result<(NodeName, MacAddr), String> {
        let node = self.recorded_node(service);
        node.zip(self.owed_mac(service))
            .ok_or_else(|| format!("a node with a pod is recorded on {service}"))
    }

    /// Whether a replica may speak now and answers for every EIP with the node on record.
    fn all_answered(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        self.services().iter().all(|service| {
            let mac = self.owed_mac(service);
            self.external_ip(service).into_iter().all(|eip| self.answers(leader, eip) == mac)
        })
    }

    /// With which MAC the responder of a replica would answer for an EIP now.
    fn answers(&self, id: ReplicaId, eip: IpAddr) -> Option<MacAddr> {
        let process = self.replicas[id].process.as_ref()?;
        let answer = process.answers.entry(super::eth0(), eip)?.ok();
        answer.filter(|_| self.local(id) < process.until)
    }

    /// Whether another replica than this one could lead, and serve what there is.
    fn has_heir(&self, leader: ReplicaId) -> bool {
        let mut others = (0..self.replicas.len()).filter(|id| *id != leader && self.is_core(*id));
        others.any(|id| self.replicas[id].process.is_some() && self.carries(id))
    }
}

fn owed(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    holds.then_some(()).ok_or_else(what)
}

//! Why Services move from one node to another, and how often.

use super::{Controller, Past, Spot, Surroundings};
use crate::{Family, NodeName, Service, ServiceName, load::Placed, placement::Obstacle};

/// Why a Service moves to another node.
///
/// Each cause is a metric label.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MoveCause {
    /// Another node can be answered for more of its addresses.
    Better,
    /// The node has no endpoint any more that could take traffic.
    NoEndpoint,
    /// The node does not answer on the LAN, or several MACs claim to be it.
    NodeSilent,
    /// The API server has something against the node: it is not Ready, tainted, deleted, gone.
    NodeUnusable,
    /// Another node was put on record by somebody else.
    Pinned,
    /// kube-proxy on the node does not work.
    ProxyFailed,
}

impl MoveCause {
    /// All causes, in their order: `ALL[cause as usize]` is `cause`.
    pub const ALL: [Self; 6] = [
        Self::Better,
        Self::NoEndpoint,
        Self::NodeSilent,
        Self::NodeUnusable,
        Self::Pinned,
        Self::ProxyFailed,
    ];

    /// The name, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "Better",
            Self::NoEndpoint => "NoEndpoint",
            Self::NodeSilent => "NodeSilent",
            Self::NodeUnusable => "NodeUnusable",
            Self::Pinned => "Pinned",
            Self::ProxyFailed => "ProxyFailed",
        }
    }
}

/// How often Services moved for each cause.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moves([u64; MoveCause::ALL.len()]);

impl Moves {
    /// How often for one cause.
    pub fn count(&self, cause: MoveCause) -> u64 {
        self.0[cause as usize]
    }

    /// Adds what others have counted.
    pub(crate) fn add(&mut self, more: Self) {
        for (count, more) in self.0.iter_mut().zip(more.0) {
            *count += more;
        }
    }
}

impl Controller {
    /// Decides as [`Self::decide`] does, and counts the move if it is one. Whoever changes its mind
    /// before the move is on record has moved once.
    pub(super) fn decide_and_count(
        &mut self,
        past: Past<'_>,
        sharers: &[(&ServiceName, &Service)],
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> (Option<Placed>, bool) {
        let (placed, searches) = self.decide(past, sharers, spots, around);
        let is_under_way = past.placed.is_some_and(|before| !before.committed);
        let from = past.incumbent().filter(|_| !is_under_way);
        if let (Some(from), Some(to)) = (from, &placed)
            && *from != to.node
        {
            // What is committed at once is on record already, and not by this replica.
            let cause = if to.committed { MoveCause::Pinned } else { cause(from, spots, around) };
            self.moves.0[cause as usize] += 1;
        }
        (placed, searches)
    }
}

/// What there is against a node that Services leave.
fn cause(from: &NodeName, spots: &[Spot<'_>], around: &Surroundings<'_>) -> MoveCause {
    let cluster = around.cluster;
    if cluster.nodes.get(from).is_none() {
        return MoveCause::NodeUnusable;
    }
    let flaw = |spot: &Spot<'_>| match spot.address_of(from, false, spots) {
        Some(at) => (!spot.is_there(at, around)).then_some(MoveCause::NodeSilent),
        None => match cluster.obstacle(from, spot.link, Family::of(spot.address)) {
            Some(Obstacle::AmbiguousMac | Obstacle::Dead) => Some(MoveCause::NodeSilent),
            Some(
                Obstacle::Deleting
                | Obstacle::Excluded
                | Obstacle::NetworkUnavailable
                | Obstacle::NoAddress
                | Obstacle::NotReady
                | Obstacle::OutOfService,
            ) => Some(MoveCause::NodeUnusable),
            None => Some(MoveCause::NoEndpoint),
        },
    };
    let fails = || around.proxies.fails(from).then_some(MoveCause::ProxyFailed);
    let flaw = spots.iter().filter(|spot| spot.has_endpoint()).find_map(flaw).or_else(fails);
    flaw.unwrap_or(MoveCause::Better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_causes_are_listed_at_their_own_place() {
        for (place, cause) in MoveCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{}", cause.as_str());
        }
    }
}

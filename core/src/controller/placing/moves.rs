//! Why Services move from one node to another, and how long that takes.

use std::time::Duration;

use super::{Controller, Past, Spot, Surroundings};
use crate::{Family, Instant, NodeName, Service, ServiceName, load::Placed, placement::Obstacle};

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

/// A Service is answered with another node than before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Move {
    /// The Service; if it shares its address, the oldest of those that do.
    pub service: ServiceName,
    /// The node that was answered for it.
    pub from: NodeName,
    /// The node that is, from now on.
    pub to: NodeName,
    /// Why.
    pub cause: MoveCause,
    /// How long it took: from the first question that the node left without an answer, if it fell
    /// silent, otherwise from the news that made it move, until the other node was on record.
    pub took: Duration,
}

/// A move that is decided, and not on record yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Departure {
    cause: MoveCause,
    since: Instant,
}

impl Controller {
    /// Decides as [`Self::decide`] does, and tells of the move once it is on record. Whoever changes its
    /// mind before has moved once.
    pub(super) fn decide_and_tell(
        &mut self,
        name: &ServiceName,
        past: Past<'_>,
        sharers: &[(&ServiceName, &Service)],
        spots: &[Spot<'_>],
        around: &Surroundings<'_>,
    ) -> (Option<Placed>, bool) {
        let (mut placed, searches) = self.decide(past, sharers, spots, around);
        if let Some(placed) = &mut placed
            && let Some(from) = past.incumbent().filter(|from| **from != placed.node)
        {
            let begun = past.placed.and_then(|before| before.departure);
            // What is committed at once is on record already, and not by this replica.
            let pinned = Departure { cause: MoveCause::Pinned, since: around.now };
            let departure = match (begun, placed.committed) {
                (Some(departure), _) => departure,
                (None, true) => pinned,
                (None, false) => departure(from, spots, around),
            };
            placed.departure = Some(departure).filter(|_| !placed.committed);
            if placed.committed {
                let Departure { cause, since } = departure;
                let (service, from, to) = (name.clone(), from.clone(), placed.node.clone());
                let took = around.now.since(since);
                self.moves.push(Move { service, from, to, cause, took });
            }
        }
        (placed, searches)
    }
}

/// Why a node is left, and since when it should have been.
fn departure(from: &NodeName, spots: &[Spot<'_>], around: &Surroundings<'_>) -> Departure {
    let cause = cause(from, spots, around);
    let silent_since = |spot: &Spot<'_>| {
        let at = around.cluster.asked_at(from, spot.link, Family::of(spot.address))?.ok()?;
        around.neighbors.silent_since((spot.link, at))
    };
    let since = match cause {
        MoveCause::NodeSilent => spots.iter().filter_map(silent_since).min(),
        MoveCause::Better
        | MoveCause::NoEndpoint
        | MoveCause::NodeUnusable
        | MoveCause::Pinned
        | MoveCause::ProxyFailed => None,
    };
    Departure { cause, since: since.unwrap_or(around.now) }
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

//! What is broken, and where the leader is while it is.

use std::{fmt, str::FromStr, time::Duration};

/// A fault, and the client that looks on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Case {
    /// The node that is answered loses its power.
    NodePowerLoss,
    /// The cable of the node that is answered is pulled.
    NodeLinkDown,
    /// The only pod is replaced by one on another node, the new one ready before the old one goes.
    EndpointMoved,
    /// The leader is killed; the client has the address in its cache.
    LeaderCrashCached,
    /// The leader is killed; every packet is of a client that has to ask.
    LeaderCrashFresh,
    /// The leader is asked to leave; every packet is of a client that has to ask.
    LeaderSigterm,
    /// No node reaches the API server for 30 s; the client has the address in its cache.
    ApiGoneCached,
    /// The same; every packet is of a client that has to ask.
    ApiGoneFresh,
}

impl Case {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 8] = [
        Self::NodePowerLoss,
        Self::NodeLinkDown,
        Self::EndpointMoved,
        Self::LeaderCrashCached,
        Self::LeaderCrashFresh,
        Self::LeaderSigterm,
        Self::ApiGoneCached,
        Self::ApiGoneFresh,
    ];

    /// How it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodePowerLoss => "node-power-loss",
            Self::NodeLinkDown => "node-link-down",
            Self::EndpointMoved => "endpoint-moved",
            Self::LeaderCrashCached => "leader-crash-cached",
            Self::LeaderCrashFresh => "leader-crash-fresh",
            Self::LeaderSigterm => "leader-sigterm",
            Self::ApiGoneCached => "api-gone-cached",
            Self::ApiGoneFresh => "api-gone-fresh",
        }
    }

    /// How it is called in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NodePowerLoss => "target node loses power",
            Self::NodeLinkDown => "target node's link down",
            Self::EndpointMoved => "endpoint moved",
            Self::LeaderCrashCached => "leader crash, cached client",
            Self::LeaderCrashFresh => "leader crash, fresh clients",
            Self::LeaderSigterm => "leader SIGTERM, fresh clients",
            Self::ApiGoneCached => "API gone 30 s, cached client",
            Self::ApiGoneFresh => "API gone 30 s, fresh clients",
        }
    }

    /// Whether the client forgets where the EIP is before each packet.
    pub(crate) fn is_fresh(self) -> bool {
        match self {
            Self::LeaderCrashFresh | Self::LeaderSigterm | Self::ApiGoneFresh => true,
            Self::NodePowerLoss
            | Self::NodeLinkDown
            | Self::EndpointMoved
            | Self::LeaderCrashCached
            | Self::ApiGoneCached => false,
        }
    }

    /// How long the client is watched at least once the fault is there: an outage may come late.
    pub(crate) fn watched_for(self) -> Duration {
        Duration::from_secs(match self {
            Self::NodePowerLoss | Self::NodeLinkDown | Self::LeaderCrashFresh => 2,
            Self::EndpointMoved | Self::LeaderSigterm => 3,
            // Beyond the lease, when another leader is there.
            Self::LeaderCrashCached => 8,
            // Beyond the end of the fault, as the leader needs its lease.
            Self::ApiGoneCached | Self::ApiGoneFresh => 32,
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|case| case.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|case| case.name()).collect();
            format!("there are {}", names.join(", "))
        })
    }
}

/// Where the leader is, seen from the node that is answered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Placement {
    /// On another node.
    Apart,
    /// On the same node.
    Together,
}

impl Placement {
    pub(crate) const BOTH: [Self; 2] = [Self::Apart, Self::Together];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apart => "apart",
            Self::Together => "on one node",
        }
    }
}

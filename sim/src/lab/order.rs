//! What a second terminal can ask of a running lab.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A fault to make, or to undo. Stations are named as `porter lab exec` names them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Order {
    /// Take a wire away: of one station, or of every node.
    Cut(Wire, Option<String>),
    /// Let nobody new on a node, and ask its pods to leave.
    Drain(String),
    /// Undo what was done, of one kind or all, on one station or everywhere.
    Heal(Option<Mendable>, Option<String>),
    /// End it from one instant to the next.
    Kill(Part, String),
    /// Stop it where it stands, for some time or until it is healed.
    Pause(Part, String, Option<Duration>),
    /// End it in good order, as far as it has one, and start it again.
    Restart(Part, String),
}

/// What can be killed, paused and restarted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Part {
    /// The Porter process of a node.
    Agent,
    /// The whole host.
    Node,
}

/// What can be cut.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Wire {
    /// What a node reaches the API server by.
    Api,
    /// The cable to the LAN.
    Lan,
}

/// What can be healed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Mendable {
    /// An agent that was paused.
    Agent,
    /// What a node reaches the API server by.
    Api,
    /// The cable to the LAN.
    Lan,
    /// A node without power, or drained.
    Node,
}

impl fmt::Display for Order {
    /// As a phrase that "failed" can follow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Part| match part {
            Part::Agent => "the agent on ",
            Part::Node => "",
        };
        match self {
            Self::Cut(wire, station) => {
                let from = match wire {
                    Wire::Api => "the API server",
                    Wire::Lan => "the LAN",
                };
                let station = station.as_deref().unwrap_or("every node");
                write!(f, "cutting {station} off {from}")
            }
            Self::Drain(node) => write!(f, "draining {node}"),
            Self::Heal(_, station) => {
                write!(f, "healing {}", station.as_deref().unwrap_or("the lab"))
            }
            Self::Kill(what, node) => write!(f, "killing {}{node}", part(what)),
            Self::Pause(what, node, _) => write!(f, "pausing {}{node}", part(what)),
            Self::Restart(what, node) => write!(f, "restarting {}{node}", part(what)),
        }
    }
}

//! What is wrong with the interface that an Eip names, and what to do about it.
//!
//! | reason | what it means |
//! |---|---|
//! | `InterfaceMissing` | the interface does not exist where the leader runs, or is down |
//! | `InterfaceUnusable` | it exists, and no LAN is heard on it: it is a port of a bridge, for example |
//! | `NoRoute` | the address that it is to lead to is reached by no interface there, or is the host's own |

use std::net::IpAddr;

use crate::{LinkName, Unroutable, Unusable, cluster::Cluster};

/// Why nothing is answered for an Eip, whatever its Services and nodes are like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Lack {
    /// One word.
    pub(super) reason: &'static str,
    /// What stands in the way and what to do.
    pub(super) message: String,
}

impl Lack {
    /// What is wrong with a link, if anything is.
    pub(super) fn of_link(link: LinkName, cluster: &Cluster) -> Option<Self> {
        let (reason, message) = match cluster.link(link) {
            Ok(facts) if facts.carrier => return None,
            Ok(_) => (
                "InterfaceMissing",
                format!("the interface {link} is down or has no carrier where Porter leads"),
            ),
            Err(why) => unusable(link, why),
        };
        Some(Self { reason, message })
    }

    /// Why no link is known by which an address is reached, or `None` if it is to be told yet.
    pub(super) fn of_route(address: IpAddr, cluster: &Cluster) -> Option<Self> {
        let message = match cluster.route(address)?.err()? {
            Unroutable::NoRoute => format!(
                "no route of the node that leads goes to {address}; correct spec.interface of the Eip, \
                 or give the node a route"
            ),
            Unroutable::Own => format!(
                "{address} is an address of the node that leads; set spec.interface of the Eip to \
                 can_reach: and an address that every node reaches by its LAN, such as a gateway's"
            ),
        };
        Some(Self { reason: "NoRoute", message })
    }
}

fn unusable(link: LinkName, why: Unusable) -> (&'static str, String) {
    let message = match why {
        Unusable::Missing => {
            let message = format!(
                "the node that leads has no interface {link}; correct spec.interface of the Eip, or \
                 run Porter only where it exists"
            );
            return ("InterfaceMissing", message);
        }
        Unusable::Loopback => format!(
            "{link} is the loopback interface of the node that leads; set spec.interface of the Eip \
             to the interface on the LAN"
        ),
        Unusable::NoArp => format!(
            "{link} of the node that leads has ARP and NDP switched off (NOARP); switch them on with \
             ip link set {link} arp on, or set spec.interface of the Eip to another interface"
        ),
        Unusable::NoEthernet => format!(
            "{link} of the node that leads carries no Ethernet frames; set spec.interface of the Eip \
             to the interface on the LAN"
        ),
        Unusable::Port { of } => format!(
            "{link} of the node that leads is a port of {of}; set spec.interface of the Eip to {of}"
        ),
        Unusable::SwitchPort => format!(
            "{link} of the node that leads is a port of Open vSwitch; set spec.interface of the Eip \
             to the interface of its bridge, such as br-ex"
        ),
    };
    ("InterfaceUnusable", message)
}

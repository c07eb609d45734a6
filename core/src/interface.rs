//! Why an interface of this host may be of no use.

use crate::LinkName;

/// Why an interface of this host is no [`Link`](crate::Link).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unusable {
    /// It is the loopback interface: nobody else is on it.
    Loopback,
    /// There is none of this name.
    Missing,
    /// Neither ARP nor NDP is spoken on it (`IFF_NOARP`).
    NoArp,
    /// It carries no Ethernet frames, or has no Ethernet address: a tunnel, for example.
    NoEthernet,
    /// It is a port of another, which gets to hear what arrives.
    Port {
        /// The bridge, bond or team.
        of: LinkName,
    },
    /// It is a port of Open vSwitch, whose bridges have interfaces of their own.
    SwitchPort,
}

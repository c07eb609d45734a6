//! What `spec.interface` of an Eip names, and why an interface of this host may be of no use.

use std::{fmt, net::IpAddr};

use crate::{Eip, LinkName};

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

impl fmt::Display for Unusable {
    /// A clause that follows the name of the interface.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("is the loopback interface"),
            Self::Missing => f.write_str("does not exist"),
            Self::NoArp => f.write_str("has ARP switched off"),
            Self::NoEthernet => f.write_str("carries no Ethernet"),
            Self::Port { of } => write!(f, "is a port of {of}"),
            Self::SwitchPort => f.write_str("is a port of Open vSwitch"),
        }
    }
}

/// Why an address is reached by no link of this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unroutable {
    /// No route leads there.
    NoRoute,
    /// It is this host's own.
    Own,
}

/// What stands before the address that an interface is to lead to.
const CAN_REACH: &str = "can_reach:";

/// What `spec.interface` names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interface {
    /// The interface of this name.
    Named(LinkName),
    /// The interface by which this address is reached.
    Reaching(IpAddr),
}

impl Interface {
    /// What an Eip names, or `None` if that can be no interface.
    pub(crate) fn of(eip: &Eip) -> Option<Self> {
        Self::parse(eip.interface.as_deref()?)
    }

    /// Reads `spec.interface`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix(CAN_REACH) {
            Some(address) => address.parse().ok().map(Self::Reaching),
            None => LinkName::new(text).map(Self::Named),
        }
    }

    /// Whether text is meant to say which address is to be reached.
    pub(crate) fn is_reaching(text: &str) -> bool {
        text.trim().starts_with(CAN_REACH)
    }
}

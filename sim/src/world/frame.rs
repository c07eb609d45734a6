//! What hosts say to each other on the LAN: ARP, neighbor discovery and ping, as values instead of
//! bytes. A solicitation is a [`Says::WhoHas`], and an advertisement a [`Says::IsAt`].
//!
//! The bytes have tests of their own; here it matters who says what to whom, and when.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use porter_core::{IsAt, MacAddr, NodeName};

use super::family::{ALL_NODES, ALL_ROUTERS, asked_in};

/// An Ethernet frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Frame {
    /// Ethernet source: the switch learns from it.
    pub(crate) src: MacAddr,
    /// Ethernet destination.
    pub(crate) dst: MacAddr,
    pub(crate) says: Says,
}

/// The content of a frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Says {
    /// Bytes that nobody but a replica looks at, from the Ethernet header on.
    Bytes(Vec<u8>),
    /// An ARP reply, or an advertisement. In the announcement of it, `to` is what `target` and `mac` are.
    IsAt { target: IpAddr, mac: MacAddr, to: (IpAddr, MacAddr) },
    /// An ICMP echo request.
    Ping { from: IpAddr, target: IpAddr, number: u32 },
    /// An ICMP echo reply, and which node was at work behind the address.
    Pong { to: IpAddr, number: u32, by: NodeName },
    /// An ARP request, or a solicitation. An announcement asks for the asker's own address.
    WhoHas { target: IpAddr, asker: (IpAddr, MacAddr) },
}

impl Frame {
    /// A question of the host `asker` to everybody who may have `target`.
    pub(crate) fn who_has(target: IpAddr, asker: (IpAddr, MacAddr)) -> Self {
        Self { src: asker.1, dst: asked_in(target), says: Says::WhoHas { target, asker } }
    }

    /// The question of a host that is about to take an address of IPv6, and has none to ask from
    /// (RFC 4862 section 5.4.2).
    pub(crate) fn is_free(src: MacAddr, target: IpAddr) -> Self {
        Self::who_has(target, (Ipv6Addr::UNSPECIFIED.into(), src))
    }

    /// The answer of the host that has the address asked for. To one that has no address of IPv6 yet
    /// it goes to everybody (RFC 4861 section 7.2.4).
    pub(crate) fn own_answer(src: MacAddr, target: IpAddr, asker: (IpAddr, MacAddr)) -> Self {
        let to_all = asker.0.is_unspecified() && target.is_ipv6();
        let (dst, to) = match to_all {
            true => (ALL_NODES, (asker.0, MacAddr::zero())),
            false => (asker.1, asker),
        };
        Self { src, dst, says: Says::IsAt { target, mac: src, to } }
    }

    /// The answer to a question.
    ///
    /// # Panics
    ///
    /// If it is addressed to nobody.
    pub(crate) fn answer(src: MacAddr, is_at: &IsAt) -> Self {
        let to = is_at.to.expect("an answer goes to the asker");
        Self { src, dst: is_at.via, says: Says::IsAt { target: is_at.target, mac: is_at.mac, to } }
    }

    /// Both forms of an announcement, since hosts listen to one or the other: for IPv4 a request for
    /// its own sender (RFC 5227 section 2.3), and a reply to it (RFC 5944 section 4.6); for IPv6 an
    /// advertisement to all nodes (RFC 4861 section 7.2.6), and one to all routers (RFC 9131).
    pub(crate) fn announcement(src: MacAddr, target: IpAddr, mac: MacAddr) -> [Self; 2] {
        let dst = MacAddr::broadcast();
        let asker = (target, mac);
        if target.is_ipv6() {
            let says = Says::IsAt { target, mac, to: asker };
            return [ALL_NODES, ALL_ROUTERS].map(|dst| Self { src, dst, says: says.clone() });
        }
        [
            Self { src, dst, says: Says::WhoHas { target, asker } },
            Self { src, dst, says: Says::IsAt { target, mac, to: asker } },
        ]
    }

    /// What a message says of its sender, which is what other hosts take in.
    pub(crate) fn claim(&self) -> Option<(IpAddr, MacAddr)> {
        match self.says {
            Says::IsAt { target, mac, .. } => Some((target, mac)),
            Says::WhoHas { asker, .. } => Some(asker),
            Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => None,
        }
    }

    /// Whether it asks who has an address, and says nothing of the asker (RFC 5227 section 2.1.1, RFC
    /// 4862 section 5.4.2).
    pub(crate) fn is_conflict_probe(&self) -> bool {
        matches!(self.says, Says::WhoHas { asker, .. } if asker.0.is_unspecified())
    }

    /// Whether an advertisement replaces what others know (the override flag of RFC 4861 section
    /// 4.4). One to all routers is for those who know nothing.
    pub(crate) fn overrides(&self) -> bool {
        self.dst != ALL_ROUTERS
    }

    /// Whether it is an announcement in the eyes of Linux (`arp_is_garp`): a host speaks of itself
    /// to everybody. Of IPv6, whether nobody has solicited it.
    pub(crate) fn is_gratuitous(&self) -> bool {
        match self.says {
            Says::IsAt { target, mac, to } => to == (target, mac),
            Says::WhoHas { target, asker } => asker.0 == target,
            Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => false,
        }
    }

    /// Whether an answer is to somebody, who can go by it. Who asked from nowhere is answered with
    /// everybody else.
    pub(crate) fn is_addressed(&self) -> bool {
        let nowhere = matches!(&self.says, Says::IsAt { to, .. } if to.0.is_unspecified());
        !self.is_gratuitous() && !nowhere
    }
}

impl fmt::Display for Frame {
    /// In the words of tcpdump.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Bytes(bytes) => write!(f, "{} bytes of anything", bytes.len()),
            Says::IsAt { target, mac, .. } if self.dst == ALL_ROUTERS => {
                write!(f, "{target} is-at {mac}, all routers")
            }
            Says::IsAt { target, mac, .. } if self.is_gratuitous() => {
                write!(f, "{target} is-at {mac}, everybody")
            }
            Says::IsAt { target, mac, to: (to, _) } => write!(f, "{target} is-at {mac}, {to}"),
            Says::Ping { from, target, number } => write!(f, "ping {target} from {from} #{number}"),
            Says::Pong { to, number, by } => write!(f, "pong {to} #{number} by {by}"),
            Says::WhoHas { target, asker } if self.is_gratuitous() => {
                write!(f, "who-has {target} tell {target} (it is at {})", asker.1)
            }
            Says::WhoHas { target, asker: (from, _) } if self.dst == asked_in(*target) => {
                write!(f, "who-has {target} tell {from}")
            }
            Says::WhoHas { target, asker: (from, _) } => {
                write!(f, "who-has {target} tell {from} (asking {})", self.dst)
            }
        }
    }
}

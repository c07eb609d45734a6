//! Why a frame from the LAN is not listened to.

use std::{error, fmt};

/// Why a frame says nothing to us. Most are strangers' business, some are broken or hostile.
///
/// Each reason is a metric label and a test assertion.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dropped {
    /// An option of neighbor discovery has no length, or a wrong one, or contradicts another (RFC
    /// 4861 sections 4.6 and 7.1).
    BrokenOption,
    /// The checksum of ICMPv6 is wrong.
    Checksum,
    /// Neighbor discovery whose hop limit is not 255: a router has passed it on, so that it comes
    /// from another link (RFC 4861 section 7.1).
    HopLimit,
    /// A neighbor advertisement without the MAC of its target.
    NoMac,
    /// The Ethernet destination is neither the link's own MAC nor everybody's, which is broadcast for
    /// ARP and a group for IPv6: a promiscuous or flooded port delivers such frames.
    NotToUs,
    /// ARP about something else than IPv4 addresses on Ethernet (RFC 826 `ar$hrd`, `ar$pro`,
    /// `ar$hln`, `ar$pln`). Or an IPv6 frame with another version in it.
    OtherAddressing,
    /// ARP, but neither request nor reply: reverse and inverse ARP live there. Or ICMPv6 that is
    /// neither a neighbor solicitation nor an advertisement.
    OtherOperation,
    /// Neither ARP nor ICMPv6. Nor ICMPv6 behind extension headers, which neighbor discovery does
    /// without.
    OtherProtocol,
    /// Neighbor discovery that this link sent itself: its kernel listens in groups that it speaks to, and
    /// some LANs send back what is for all.
    Own,
    /// The sender speaks for an address that no host has: broadcast, multicast, loopback, or, in a
    /// reply or an advertisement, none at all. Or it has none, and does not ask as duplicate address
    /// detection does (RFC 4861 section 7.1.1).
    SenderAddress,
    /// The sender's hardware address is no MAC of a host: a group's, or zero.
    SenderMac,
    /// A neighbor advertisement to a group that says that it was solicited (RFC 4861 section 7.1.2).
    Solicited,
    /// The Ethernet source is no MAC of a host: a group's, or zero.
    SourceMac,
    /// It belongs to a VLAN. Only a priority tag (VLAN 0, IEEE 802.1Q section 6.9) is no VLAN.
    Tagged,
    /// Neighbor discovery about an address that no host has: multicast, loopback, or none.
    Target,
    /// It ends before what it announces.
    TooShort,
}

impl Dropped {
    /// All reasons, in their order: `ALL[reason as usize]` is `reason`.
    pub const ALL: [Self; 16] = [
        Self::BrokenOption,
        Self::Checksum,
        Self::HopLimit,
        Self::NoMac,
        Self::NotToUs,
        Self::OtherAddressing,
        Self::OtherOperation,
        Self::OtherProtocol,
        Self::Own,
        Self::SenderAddress,
        Self::SenderMac,
        Self::Solicited,
        Self::SourceMac,
        Self::Tagged,
        Self::Target,
        Self::TooShort,
    ];

    /// The name, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BrokenOption => "BrokenOption",
            Self::Checksum => "Checksum",
            Self::HopLimit => "HopLimit",
            Self::NoMac => "NoMac",
            Self::NotToUs => "NotToUs",
            Self::OtherAddressing => "OtherAddressing",
            Self::OtherOperation => "OtherOperation",
            Self::OtherProtocol => "OtherProtocol",
            Self::Own => "Own",
            Self::SenderAddress => "SenderAddress",
            Self::SenderMac => "SenderMac",
            Self::Solicited => "Solicited",
            Self::SourceMac => "SourceMac",
            Self::Tagged => "Tagged",
            Self::Target => "Target",
            Self::TooShort => "TooShort",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl error::Error for Dropped {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_listed_at_their_own_place() {
        for (place, reason) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason}");
        }
    }
}

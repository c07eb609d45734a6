//! Why a frame from the LAN is not listened to.

use std::{error, fmt};

/// Why a frame says nothing to us. Most are strangers' business, some are broken or hostile.
///
/// Each reason is a metric label and a test assertion.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dropped {
    /// The Ethernet destination is neither broadcast nor the link's own MAC: a promiscuous or
    /// flooded port delivers such frames.
    NotToUs,
    /// ARP about something else than IPv4 addresses on Ethernet (RFC 826 `ar$hrd`, `ar$pro`,
    /// `ar$hln`, `ar$pln`).
    OtherAddressing,
    /// ARP, but neither request nor reply: reverse and inverse ARP live there.
    OtherOperation,
    /// Neither ARP nor neighbor discovery.
    OtherProtocol,
    /// The sender speaks for an address that no host has: broadcast, multicast, loopback, or, in a
    /// reply, none at all.
    SenderAddress,
    /// The sender's hardware address is no MAC of a host: a group's, or zero.
    SenderMac,
    /// The Ethernet source is no MAC of a host: a group's, or zero.
    SourceMac,
    /// It belongs to a VLAN. Only a priority tag (VLAN 0, IEEE 802.1Q section 6.9) is no VLAN.
    Tagged,
    /// It ends before what it announces.
    TooShort,
}

impl Dropped {
    /// All reasons, in their order: `ALL[reason as usize]` is `reason`.
    pub const ALL: [Self; 9] = [
        Self::NotToUs,
        Self::OtherAddressing,
        Self::OtherOperation,
        Self::OtherProtocol,
        Self::SenderAddress,
        Self::SenderMac,
        Self::SourceMac,
        Self::Tagged,
        Self::TooShort,
    ];

    /// The name, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotToUs => "NotToUs",
            Self::OtherAddressing => "OtherAddressing",
            Self::OtherOperation => "OtherOperation",
            Self::OtherProtocol => "OtherProtocol",
            Self::SenderAddress => "SenderAddress",
            Self::SenderMac => "SenderMac",
            Self::SourceMac => "SourceMac",
            Self::Tagged => "Tagged",
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

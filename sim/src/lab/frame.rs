//! What a captured frame says: by ARP or by Neighbor Discovery, who is where.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU8,
    ops::Range,
};

use pnet::{
    packet::{
        Packet as _,
        arp::ArpPacket,
        ethernet::{EtherTypes, EthernetPacket},
        ip::IpNextHeaderProtocols,
        ipv6::Ipv6Packet,
    },
    util::MacAddr,
};

/// Neighbor solicitation and advertisement, and the options with a link-layer address that they
/// have: of the source, of the target (RFC 4861, sections 4.3, 4.4 and 4.6.1).
const SOLICITATION: (u8, u8) = (135, 1);
const ADVERTISEMENT: (u8, u8) = (136, 2);
/// Where the target stands in either, and where their options begin.
const TARGET: Range<usize> = 8..24;

/// A frame that came into the bridge and asks or says where somebody is.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The port, named like the station at the other end of the cable.
    pub(crate) port: String,
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    /// Who is said to have which address, by a question or an answer. A question whose asker is
    /// nobody yet, or keeps to himself where he is, says nothing.
    pub(crate) fn sender(&self) -> Option<(IpAddr, MacAddr)> {
        let ethernet = EthernetPacket::new(&self.bytes)?;
        if ethernet.get_ethertype() == EtherTypes::Arp {
            let arp = ArpPacket::new(ethernet.payload())?;
            let address: Ipv4Addr = arp.get_sender_proto_addr();
            return Some((address.into(), arp.get_sender_hw_addr()));
        }
        let ip = Ipv6Packet::new(ethernet.payload())?;
        let message = ip.payload();
        let kind = *message.first()?;
        let mac = |option: u8| link_layer_address(message.get(TARGET.end..)?, option);
        if kind == SOLICITATION.0 {
            return Some((ip.get_source().into(), mac(SOLICITATION.1)?));
        }
        let target = <[u8; 16]>::try_from(message.get(TARGET)?).ok()?;
        Some((Ipv6Addr::from(target).into(), mac(ADVERTISEMENT.1)?))
    }
}

/// Whether a frame is ARP, or a solicitation or an advertisement of Neighbor Discovery.
pub(crate) fn is_about_neighbours(bytes: &[u8]) -> bool {
    let Some(ethernet) = EthernetPacket::new(bytes) else { return false };
    if ethernet.get_ethertype() != EtherTypes::Ipv6 {
        return ethernet.get_ethertype() == EtherTypes::Arp;
    }
    Ipv6Packet::new(ethernet.payload()).is_some_and(|ip| {
        ip.get_next_header() == IpNextHeaderProtocols::Icmpv6
            && ip
                .payload()
                .first()
                .is_some_and(|&kind| kind == SOLICITATION.0 || kind == ADVERTISEMENT.0)
    })
}

/// The Ethernet address in the first option of a type; lengths are in units of eight bytes.
fn link_layer_address(mut options: &[u8], wanted: u8) -> Option<MacAddr> {
    while let [kind, len, ..] = *options {
        // No option is shorter than a unit; one that says so would never end.
        let len = NonZeroU8::new(len)?;
        let (option, rest) = options.split_at_checked(usize::from(len.get()) * 8)?;
        if kind == wanted {
            let mac: [u8; 6] = option.get(2..8)?.try_into().ok()?;
            return Some(mac.into());
        }
        options = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 172, 22, 0, 9];

    /// A message of Neighbor Discovery from `fd00::9` about `fd00::188`, with these options.
    fn ndp(kind: u8, options: &[u8]) -> Frame {
        let address = |last: u16| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).octets();
        let len = u8::try_from(24 + options.len()).unwrap();
        let mut bytes = vec![0x33, 0x33, 0xff, 0, 1, 0x88, 0x52, 0x54, 172, 22, 0, 9, 0x86, 0xdd];
        bytes.extend([0x60, 0, 0, 0, 0, len, 58, 255]);
        bytes.extend([address(9), address(0x188)].concat());
        bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(address(0x188));
        bytes.extend(options);
        Frame { port: "node3".into(), bytes }
    }

    fn option(kind: u8) -> Vec<u8> {
        [&[kind, 1][..], &MAC].concat()
    }

    #[test]
    fn a_solicitation_says_where_its_asker_is_and_an_advertisement_where_its_target_is() {
        let nonce = [14, 1, 0, 0, 0, 0, 0, 0];
        let asked = ndp(135, &[&nonce[..], &option(1)].concat());
        let answered = ndp(136, &option(2));
        let at = |address: &str| Some((address.parse().unwrap(), MAC.into()));
        assert_eq!(asked.sender(), at("fd00::9"));
        assert_eq!(answered.sender(), at("fd00::188"));
        assert!(is_about_neighbours(&asked.bytes) && is_about_neighbours(&answered.bytes));
    }

    #[test]
    fn what_says_nothing_of_neighbours_is_nothing() {
        assert_eq!(ndp(135, &[]).sender(), None);
        assert_eq!(ndp(136, &option(1)).sender(), None);
        for broken in [&[2][..], &[2, 0, 1, 2, 3, 4, 5, 6], &[2, 2, 1, 2, 3, 4, 5, 6]] {
            assert_eq!(ndp(136, broken).sender(), None, "{broken:?}");
        }
        assert!(!is_about_neighbours(&ndp(128, &[]).bytes), "an echo request");
        assert!(!is_about_neighbours(&[]));
    }
}

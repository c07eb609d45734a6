//! The IPv6 header (RFC 8200 section 3), and the groups that neighbor discovery speaks to.

use std::net::Ipv6Addr;

use pnet::{
    packet::{
        ethernet::EtherTypes,
        icmpv6::{self, Icmpv6Packet},
        ip::IpNextHeaderProtocols,
        ipv6::{Ipv6Packet, MutableIpv6Packet},
    },
    util::MacAddr,
};

use super::{
    Dropped, Frame,
    ethernet::{self, HEADER_LEN},
};

/// Everybody on the link (RFC 4291 section 2.7.1).
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Every router on the link (RFC 4291 section 2.7.1).
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The hop limit of neighbor discovery: who sees it knows that no router passed the message on
/// (RFC 4861 section 3.1).
pub(crate) const HOP_LIMIT: u8 = 255;

const IPV6_HEADER_LEN: usize = 40;
/// Where the checksum of an ICMPv6 message is (RFC 4443 section 2.1).
const CHECKSUM: std::ops::Range<usize> = 2..4;

/// What is known of an ICMPv6 message besides its own bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// The IPv6 source.
    pub source: Ipv6Addr,
    /// The IPv6 destination.
    pub destination: Ipv6Addr,
    /// The hop limit as it arrived.
    pub hop_limit: u8,
}

/// The group in which everybody listens who may have `address` (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

/// The MAC of a group (RFC 2464 section 7).
pub(crate) fn group_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr(0x33, 0x33, a, b, c, d)
}

/// Whether a host can have this address, or, if it is unspecified, have none yet.
pub(crate) fn is_sender(address: Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_loopback()
}

/// Splits a packet of ICMPv6 into what its header says and its message, whose checksum is right.
///
/// One with extension headers is of no interest: neighbor discovery must not be fragmented
/// (RFC 6980 section 5), and needs no other.
pub(crate) fn parse(packet: &[u8]) -> Result<(Delivery, &[u8]), Dropped> {
    let header = Ipv6Packet::new(packet).ok_or(Dropped::TooShort)?;
    if header.get_version() != 6 {
        return Err(Dropped::OtherAddressing);
    }
    if header.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
        return Err(Dropped::OtherProtocol);
    }
    let end = IPV6_HEADER_LEN + usize::from(header.get_payload_length());
    let message = packet.get(IPV6_HEADER_LEN..end).ok_or(Dropped::TooShort)?;
    let (source, destination) = (header.get_source(), header.get_destination());
    let icmpv6 = Icmpv6Packet::new(message).ok_or(Dropped::TooShort)?;
    if icmpv6::checksum(&icmpv6, &source, &destination) != icmpv6.get_checksum() {
        return Err(Dropped::Checksum);
    }
    let delivery = Delivery {
        source: source.octets().into(),
        destination: destination.octets().into(),
        hop_limit: header.get_hop_limit(),
    };
    Ok((delivery, message))
}

/// A frame that carries an ICMPv6 message, with its checksum.
pub(crate) fn emit(from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr), message: &[u8]) -> Frame {
    let len = u16::try_from(message.len()).expect("no message of ours is longer than a frame");
    let mut frame = ethernet::emit(from.0, to.0, EtherTypes::Ipv6, IPV6_HEADER_LEN + message.len());
    let packet = &mut frame.bytes_mut()[HEADER_LEN..];
    let mut header =
        MutableIpv6Packet::new(packet).expect("the frame was made with room for the packet");
    // By way of their octets, since pnet's address type is another one with and without `std`.
    let (source, destination) = (from.1.octets().into(), to.1.octets().into());
    header.set_version(6);
    header.set_payload_length(len);
    header.set_next_header(IpNextHeaderProtocols::Icmpv6);
    header.set_hop_limit(HOP_LIMIT);
    header.set_source(source);
    header.set_destination(destination);
    let written = &mut packet[IPV6_HEADER_LEN..][..message.len()];
    written.copy_from_slice(message);
    let icmpv6 = Icmpv6Packet::new(written).expect("a message is longer than its header");
    let checksum = icmpv6::checksum(&icmpv6, &source, &destination);
    drop(icmpv6);
    written[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    frame
}

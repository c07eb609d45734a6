//! The Ethernet header, with or without a priority tag.

use pnet::{
    packet::{
        ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket},
        vlan::VlanPacket,
    },
    util::MacAddr,
};

use super::{Dropped, Frame};

/// The length of an Ethernet header without a tag.
pub(crate) const HEADER_LEN: usize = 14;
const TAG_LEN: usize = 4;

/// What is left to know of a header that was addressed to us.
pub(crate) struct Ethernet {
    pub(crate) source: MacAddr,
    pub(crate) ethertype: EtherType,
}

/// Splits a frame that is meant for us into its header and its packet.
pub(crate) fn parse(own: MacAddr, frame: &[u8]) -> Result<(Ethernet, &[u8]), Dropped> {
    let header = EthernetPacket::new(frame).ok_or(Dropped::TooShort)?;
    let (destination, source) = (header.get_destination(), header.get_source());
    let to_group = matches!(destination, MacAddr(0x33, 0x33, ..));
    if destination != own && !destination.is_broadcast() && !to_group {
        return Err(Dropped::NotToUs);
    }
    if !is_host(source) {
        return Err(Dropped::SourceMac);
    }
    let behind = &frame[HEADER_LEN..];
    let (ethertype, packet) = match header.get_ethertype() {
        EtherTypes::Vlan => {
            let tag = VlanPacket::new(behind).ok_or(Dropped::TooShort)?;
            if tag.get_vlan_identifier() != 0 {
                return Err(Dropped::Tagged);
            }
            (tag.get_ethertype(), &behind[TAG_LEN..])
        }
        ethertype => (ethertype, behind),
    };
    match ethertype {
        EtherTypes::Vlan | EtherTypes::PBridge | EtherTypes::QinQ => Err(Dropped::Tagged),
        // Groups of these MACs are those of IPv6 (RFC 2464 section 7).
        EtherTypes::Ipv6 if destination.is_broadcast() => Err(Dropped::NotToUs),
        other if to_group && other != EtherTypes::Ipv6 => Err(Dropped::NotToUs),
        _ => Ok((Ethernet { source, ethertype }, packet)),
    }
}

/// A frame with its header written, and its packet of `len` bytes still zeros.
pub(crate) fn emit(
    source: MacAddr,
    destination: MacAddr,
    ethertype: EtherType,
    len: usize,
) -> Frame {
    let mut frame = Frame::zeroed(HEADER_LEN + len);
    let mut header =
        MutableEthernetPacket::new(frame.bytes_mut()).expect("a frame is longer than its header");
    header.set_source(source);
    header.set_destination(destination);
    header.set_ethertype(ethertype);
    frame
}

/// Whether one host can have this MAC.
pub(crate) fn is_host(mac: MacAddr) -> bool {
    mac.is_unicast() && !mac.is_zero()
}

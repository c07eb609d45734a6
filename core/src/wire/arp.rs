//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use std::net::{IpAddr, Ipv4Addr};

use pnet::{
    packet::{
        arp::{ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket},
        ethernet::EtherTypes,
    },
    util::MacAddr,
};

use super::{
    Dropped, Frame, Heard,
    ethernet::{self, HEADER_LEN},
};
use crate::{IsAt, LinkName, Probe, WhoHas};

/// The length of a packet.
const LEN: usize = 28;

/// Reads a packet whose Ethernet source was `via`.
///
/// A request whose sender is not `via` is heard all the same: relays and proxies ask like that. A
/// packet about the sender itself (sender address = target address) is a claim in both operations.
pub(crate) fn parse(link: LinkName, via: MacAddr, packet: &[u8]) -> Result<Heard, Dropped> {
    let arp = ArpPacket::new(packet).ok_or(Dropped::TooShort)?;
    if arp.get_hardware_type() != ArpHardwareTypes::Ethernet
        || arp.get_protocol_type() != EtherTypes::Ipv4
        || arp.get_hw_addr_len() != 6
        || arp.get_proto_addr_len() != 4
    {
        return Err(Dropped::OtherAddressing);
    }
    let asks = match arp.get_operation() {
        ArpOperations::Request => true,
        ArpOperations::Reply => false,
        _ => return Err(Dropped::OtherOperation),
    };
    let mac = arp.get_sender_hw_addr();
    // By way of their octets, since pnet's address type is another one with and without `std`.
    let address = Ipv4Addr::from(arp.get_sender_proto_addr().octets());
    let target = Ipv4Addr::from(arp.get_target_proto_addr().octets());
    if !ethernet::is_host(mac) {
        return Err(Dropped::SenderMac);
    }
    // Without an address of its own a sender can only probe for one (RFC 5227 section 2.1.1).
    let probes = asks && !target.is_unspecified();
    if address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback()
        || (address.is_unspecified() && !probes)
    {
        return Err(Dropped::SenderAddress);
    }
    if asks && address != target {
        let asker = (address.into(), mac);
        return Ok(Heard::WhoHas(WhoHas { link, target: target.into(), asker, via }));
    }
    let to = (address != target).then(|| (target.into(), arp.get_target_hw_addr()));
    Ok(Heard::IsAt(IsAt { link, target: address.into(), mac, to, via }))
}

/// The reply to who asked.
pub(crate) fn answer(own: MacAddr, is_at: &IsAt) -> Option<Frame> {
    let (to, to_mac) = is_at.to?;
    let sender = (is_at.mac, v4(is_at.target)?);
    Some(emit(own, is_at.via, ArpOperations::Reply, sender, (to_mac, v4(to)?)))
}

/// The request form, which RFC 5227 section 3 prefers, and the reply form. The latter names the
/// sender as its target too: Linux takes that, and only that, for gratuitous, and lets it replace
/// an entry that is younger than a second.
pub(crate) fn announcements(own: MacAddr, is_at: &IsAt) -> Option<[Frame; 2]> {
    let address = v4(is_at.target)?;
    let form = |operation, target_mac| {
        emit(own, is_at.via, operation, (is_at.mac, address), (target_mac, address))
    };
    Some([form(ArpOperations::Request, MacAddr::zero()), form(ArpOperations::Reply, is_at.mac)])
}

/// The request for a node's MAC.
pub(crate) fn probe(probe: &Probe) -> Option<Frame> {
    let (address, own) = probe.sender;
    let destination = probe.to.unwrap_or_else(MacAddr::broadcast);
    let target = (MacAddr::zero(), v4(probe.target)?);
    Some(emit(own, destination, ArpOperations::Request, (own, v4(address)?), target))
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn emit(
    source: MacAddr,
    destination: MacAddr,
    operation: ArpOperation,
    sender: (MacAddr, Ipv4Addr),
    target: (MacAddr, Ipv4Addr),
) -> Frame {
    let mut frame = ethernet::emit(source, destination, EtherTypes::Arp, LEN);
    let mut arp = MutableArpPacket::new(&mut frame.bytes_mut()[HEADER_LEN..])
        .expect("the frame was made with room for the packet");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(operation);
    arp.set_sender_hw_addr(sender.0);
    arp.set_sender_proto_addr(sender.1.octets().into());
    arp.set_target_hw_addr(target.0);
    arp.set_target_proto_addr(target.1.octets().into());
    frame
}

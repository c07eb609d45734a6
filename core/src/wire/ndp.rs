//! Neighbor discovery for IPv6 over Ethernet (RFC 4861, RFC 2464).
//!
//! An advertisement of ours names the MAC of a node, and overrides what its reader knows, though RFC
//! 4861 section 7.2.8 has a proxy refrain from that: it would give way to the owner of the address,
//! and here nobody else answers. Without, Linux keeps a MAC that is wrong by now.

use std::net::{IpAddr, Ipv6Addr};

use pnet::{
    packet::icmpv6::{
        Icmpv6Types,
        ndp::{
            Icmpv6Codes, MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOptionType,
            NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket, NeighborSolicitPacket,
        },
    },
    util::MacAddr,
};

use super::{
    Dropped, Frame, Heard, Own, ethernet,
    ipv6::{self, ALL_NODES, ALL_ROUTERS, Delivery, HOP_LIMIT, group_mac, solicited_node},
};
use crate::{IsAt, LinkName, Probe, WhoHas};

/// The length of a solicitation and of an advertisement without options.
const LEN: usize = 24;
/// The length of an option with a MAC. Options come in units of it.
const OPTION_LEN: usize = 8;
/// The option that tells one solicitation from another (RFC 3971 section 5.3.2).
const NONCE: u8 = 14;
/// A message of ours with its one option.
pub(crate) type Message = [u8; LEN + OPTION_LEN];

/// Reads a message of ICMPv6 whose checksum is right.
///
/// What RFC 4861 sections 7.1.1 and 7.1.2 say must be discarded is dropped. Besides, an advertisement
/// that names no MAC says nothing.
pub(crate) fn parse(
    link: LinkName,
    own: MacAddr,
    delivery: &Delivery,
    message: &[u8],
) -> Result<Heard, Dropped> {
    let [kind, code, ..] = *message else { return Err(Dropped::TooShort) };
    let solicits = match Icmpv6Types::NeighborSolicit.0 {
        solicits if kind == solicits => true,
        _ if kind == Icmpv6Types::NeighborAdvert.0 => false,
        _ => return Err(Dropped::OtherOperation),
    };
    if delivery.hop_limit != HOP_LIMIT {
        return Err(Dropped::HopLimit);
    }
    if code != Icmpv6Codes::NoCode.0 {
        return Err(Dropped::OtherOperation);
    }
    if solicits {
        solicitation(link, own, delivery, message)
    } else {
        advertisement(link, own, delivery, message)
    }
}

fn solicitation(
    link: LinkName,
    own: MacAddr,
    delivery: &Delivery,
    message: &[u8],
) -> Result<Heard, Dropped> {
    let packet = NeighborSolicitPacket::new(message).ok_or(Dropped::TooShort)?;
    let target = target(packet.get_target_addr().octets().into())?;
    let mac = link_layer_address(&message[LEN..], NdpOptionTypes::SourceLLAddr)?;
    let Delivery { source, destination, .. } = *delivery;
    if !ipv6::is_sender(source) {
        return Err(Dropped::SenderAddress);
    }
    let detects_duplicates = source.is_unspecified();
    if detects_duplicates && (destination != solicited_node(target) || mac.is_some()) {
        return Err(Dropped::SenderAddress);
    }
    let nonce = if detects_duplicates { nonce(&message[LEN..]) } else { None };
    if mac == Some(own) || nonce == Some(own) {
        return Err(Dropped::Own);
    }
    let asker = mac.unwrap_or_default();
    // Who has no address yet is told with everybody else (RFC 4861 section 7.2.4).
    let via = if detects_duplicates { group_mac(ALL_NODES) } else { asker };
    Ok(Heard::WhoHas(WhoHas { link, target: target.into(), asker: (source.into(), asker), via }))
}

fn advertisement(
    link: LinkName,
    own: MacAddr,
    delivery: &Delivery,
    message: &[u8],
) -> Result<Heard, Dropped> {
    let packet = NeighborAdvertPacket::new(message).ok_or(Dropped::TooShort)?;
    let target = target(packet.get_target_addr().octets().into())?;
    let solicited = packet.get_flags() & NeighborAdvertFlags::Solicited != 0;
    let mac = link_layer_address(&message[LEN..], NdpOptionTypes::TargetLLAddr)?;
    let Delivery { source, destination, .. } = *delivery;
    if !ipv6::is_sender(source) || source.is_unspecified() {
        return Err(Dropped::SenderAddress);
    }
    if solicited && destination.is_multicast() {
        return Err(Dropped::Solicited);
    }
    let mac = mac.ok_or(Dropped::NoMac)?;
    let to = solicited.then_some((destination.into(), own));
    // A kernel speaks for an address of its own with that address.
    let via = if source == target { mac } else { MacAddr::zero() };
    Ok(Heard::IsAt(IsAt { link, target: target.into(), mac, to, via }))
}

/// A target that a host can have.
fn target(target: Ipv6Addr) -> Result<Ipv6Addr, Dropped> {
    match target.is_multicast() || target.is_loopback() || target.is_unspecified() {
        true => Err(Dropped::Target),
        false => Ok(target),
    }
}

/// What tells one question about an address from another, if it is told.
fn nonce(options: &[u8]) -> Option<MacAddr> {
    let [NONCE, 1, rest @ ..] = options else { return None };
    let &[a, b, c, d, e, f, ..] = rest else { return None };
    Some(MacAddr(a, b, c, d, e, f))
}

/// The MAC in the options of this kind, if there is one. Other options are passed over, but have to
/// be whole; of several of the kind, all have to say the same.
fn link_layer_address(mut options: &[u8], kind: NdpOptionType) -> Result<Option<MacAddr>, Dropped> {
    let mut found = None;
    while let [of, n_units, ..] = *options {
        let len = usize::from(n_units) * OPTION_LEN;
        if len == 0 {
            return Err(Dropped::BrokenOption);
        }
        let (option, rest) = options.split_at_checked(len).ok_or(Dropped::BrokenOption)?;
        options = rest;
        if of != kind.0 {
            continue;
        }
        let &[_, _, a, b, c, d, e, f] = option else { return Err(Dropped::BrokenOption) };
        let mac = MacAddr(a, b, c, d, e, f);
        if !ethernet::is_host(mac) {
            return Err(Dropped::SenderMac);
        }
        if found.replace(mac).is_some_and(|other| other != mac) {
            return Err(Dropped::BrokenOption);
        }
    }
    match options {
        [] => Ok(found),
        _ => Err(Dropped::BrokenOption),
    }
}

/// The advertisement to who asked, or to all nodes if that one has no address yet.
pub(crate) fn answer(own: &Own, is_at: &IsAt) -> Option<Frame> {
    let (to, _) = is_at.to?;
    let (target, to) = (v6(is_at.target)?, v6(to)?);
    let to = match to.is_unspecified() {
        true => (group_mac(ALL_NODES), ALL_NODES),
        false => (is_at.via, to),
    };
    Some(advertise(own, to, &advertised(is_at)?, target))
}

/// The message of [`answer`], its checksum zero.
pub(crate) fn advertised(is_at: &IsAt) -> Option<Message> {
    let (to, _) = is_at.to?;
    // Without an address nobody can be meant (RFC 4861 section 7.2.4).
    let solicited = if to.is_unspecified() { 0 } else { NeighborAdvertFlags::Solicited };
    Some(message(v6(is_at.target)?, is_at.mac, NeighborAdvertFlags::Override | solicited))
}

/// To all nodes, which forget what they knew (RFC 4861 section 7.2.6), and to all routers, which
/// begin to know it (RFC 9131 section 6.1).
pub(crate) fn announcements(own: &Own, is_at: &IsAt) -> Option<[Frame; 2]> {
    let target = v6(is_at.target)?;
    let to = |group, flags| {
        let message = message(target, is_at.mac, flags);
        advertise(own, (group_mac(group), group), &message, target)
    };
    Some([to(ALL_NODES, NeighborAdvertFlags::Override), to(ALL_ROUTERS, 0)])
}

/// The solicitation for a node's MAC, or, from nowhere, to learn whether anybody has an address
/// (RFC 4862 section 5.4.2).
///
/// It always goes to the group, whose members name their MAC, which they need not in an answer to a
/// solicitation of their address (RFC 4861 section 7.2.4). Whom it is for alone is told by the
/// Ethernet destination (RFC 6085).
///
/// From nowhere it tells no MAC, so that a nonce tells it from those of others, should the LAN send it
/// back (RFC 7527 section 4). The MAC will do for one: nobody else has it.
pub(crate) fn probe(probe: &Probe) -> Option<Frame> {
    let (sender, own) = probe.sender;
    let (target, source) = (v6(probe.target)?, v6(sender)?);
    let group = solicited_node(target);
    let mut message = [0; LEN + OPTION_LEN];
    let mut packet = MutableNeighborSolicitPacket::new(&mut message)
        .expect("a message was made with room for a solicitation");
    packet.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
    packet.set_icmpv6_code(Icmpv6Codes::NoCode);
    packet.set_target_addr(target.octets().into());
    let option = match source.is_unspecified() {
        true => NdpOptionType(NONCE),
        false => NdpOptionTypes::SourceLLAddr,
    };
    write_option(&mut message, option, own);
    let destination = (probe.to.unwrap_or_else(|| group_mac(group)), group);
    Some(ipv6::emit((own, source), destination, &message))
}

fn message(target: Ipv6Addr, mac: MacAddr, flags: u8) -> Message {
    let mut message = [0; LEN + OPTION_LEN];
    let mut packet = MutableNeighborAdvertPacket::new(&mut message)
        .expect("a message was made with room for an advertisement");
    packet.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
    packet.set_icmpv6_code(Icmpv6Codes::NoCode);
    packet.set_flags(flags);
    packet.set_target_addr(target.octets().into());
    write_option(&mut message, NdpOptionTypes::TargetLLAddr, mac);
    message
}

/// Writes the only option of a message (RFC 4861 section 4.6.1; RFC 7527 section 4.1).
fn write_option(message: &mut Message, kind: NdpOptionType, mac: MacAddr) {
    let option = &mut message[LEN..];
    (option[0], option[1]) = (kind.0, 1);
    option[2..].copy_from_slice(&mac.octets());
}

/// Sends a message about a target: to one host from the target itself, since some take it from nobody
/// else (`ndisc6`), and to a group from the link, so that others can tell who spoke for whom.
fn advertise(own: &Own, to: (MacAddr, Ipv6Addr), message: &Message, target: Ipv6Addr) -> Frame {
    let source = if to.1.is_multicast() { own.source(target) } else { target };
    ipv6::emit((own.mac, source), to, message)
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

#[cfg(test)]
mod tests;

//! What is said and heard on the LAN, as bytes: from a frame to a question or a claim, and back.
//!
//! Frames arrive from anybody, so everything about them is checked here and every reason for
//! dropping one has a name ([`Dropped`]). What is sent always carries the link's own MAC as Ethernet
//! source, also when it speaks for another node: a switch that saw that node's MAC behind this
//! port would send the node's traffic here.

mod arp;
mod dropped;
mod ethernet;
mod frame;
mod ipv6;
mod ndp;

use std::net::{IpAddr, Ipv6Addr};

pub use dropped::Dropped;
pub use frame::Frame;
pub use ipv6::{Delivery, solicited_node};

use ipnet::Ipv6Net;
use pnet::{packet::ethernet::EtherTypes, util::MacAddr};

use crate::{IsAt, LinkName, Probe, WhoHas};

/// What a frame from the LAN says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// Somebody claims to know where an address is, asked or unasked.
    IsAt(IsAt),
    /// Somebody asks for an address.
    WhoHas(WhoHas),
}

/// As whom a link speaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Own {
    /// Its MAC: the Ethernet source of every frame.
    pub mac: MacAddr,
    /// Its addresses of IPv6.
    pub addresses: Vec<Ipv6Net>,
}

impl Own {
    /// The IPv6 source of what is said to everybody of `target`: an address of the link (RFC 4861 section
    /// 4.4), of the same subnet if it has one, else a link-local one. A link that has neither speaks from
    /// the target itself.
    fn source(&self, target: Ipv6Addr) -> Ipv6Addr {
        let beside = self.addresses.iter().find(|net| net.contains(&target));
        let link_local = || self.addresses.iter().find(|net| net.addr().is_unicast_link_local());
        beside.or_else(link_local).map_or(target, Ipv6Net::addr)
    }
}

impl From<MacAddr> for Own {
    /// A link without addresses of IPv6.
    fn from(mac: MacAddr) -> Self {
        Self { mac, addresses: Vec::new() }
    }
}

/// Reads a frame that arrived on `link`, whose MAC is `own`, from its Ethernet header on. Bytes
/// behind the packet are padding, whatever they are.
pub fn parse(link: LinkName, own: MacAddr, frame: &[u8]) -> Result<Heard, Dropped> {
    let (ethernet, packet) = ethernet::parse(own, frame)?;
    match ethernet.ethertype {
        EtherTypes::Arp => arp::parse(link, ethernet.source, packet),
        EtherTypes::Ipv6 => {
            let (delivery, message) = ipv6::parse(packet)?;
            ndp::parse(link, own, &delivery, message)
        }
        _ => Err(Dropped::OtherProtocol),
    }
}

/// Reads a message of ICMPv6 that arrived on `link`, by a socket that has taken the headers off and has
/// found the checksum to be right. What comes from an address of the link was sent by it, and some LANs
/// send back what is for all.
pub fn parse_icmpv6(
    link: LinkName,
    own: &Own,
    delivery: &Delivery,
    message: &[u8],
) -> Result<Heard, Dropped> {
    if own.addresses.iter().any(|net| net.addr() == delivery.source) {
        return Err(Dropped::Own);
    }
    ndp::parse(link, own.mac, delivery, message)
}

/// The answer to who asked: to `is_at.via`, which is not zero, or to all nodes if that one has no
/// address yet.
///
/// `None` if it is addressed to nobody, or its addresses are of two families.
pub fn answer(own: &Own, is_at: &IsAt) -> Option<Frame> {
    match is_at.target {
        IpAddr::V4(_) => arp::answer(own.mac, is_at),
        IpAddr::V6(_) => ndp::answer(own, is_at),
    }
}

/// The same as a message of ICMPv6 for a socket that puts the headers on and the checksum in, and
/// knows the MAC of who asked: for one that did not tell its own. `None` as for [`answer`], and for
/// IPv4.
pub fn answer_icmpv6(is_at: &IsAt) -> Option<[u8; 32]> {
    ndp::advertised(is_at)
}

/// One claim to everybody, in the two forms that hosts listen to. `None` as for [`answer`].
///
/// Of ARP, some hosts learn from requests only, some from replies only. Of neighbor discovery, all
/// nodes take the first for news of what they know, and routers the second for something to know.
pub fn announcements(own: &Own, is_at: &IsAt) -> Option<[Frame; 2]> {
    match is_at.target {
        IpAddr::V4(_) => arp::announcements(own.mac, is_at),
        IpAddr::V6(_) => ndp::announcements(own, is_at),
    }
}

/// The question for a node's MAC. `None` as for [`answer`].
///
/// It carries the sender's own addresses, hence moves no entry of an EIP in anybody's cache.
pub fn probe(probe: &Probe) -> Option<Frame> {
    match probe.target {
        IpAddr::V4(_) => arp::probe(probe),
        IpAddr::V6(_) => ndp::probe(probe),
    }
}

#[cfg(test)]
mod tests;

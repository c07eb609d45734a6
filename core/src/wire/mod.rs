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

pub use dropped::Dropped;
pub use frame::Frame;

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

/// Reads a frame that arrived on `link`, whose MAC is `own`, from its Ethernet header on. Bytes
/// behind the packet are padding, whatever they are.
pub fn parse(link: LinkName, own: MacAddr, frame: &[u8]) -> Result<Heard, Dropped> {
    let (ethernet, packet) = ethernet::parse(own, frame)?;
    match ethernet.ethertype {
        EtherTypes::Arp => arp::parse(link, ethernet.source, packet),
        _ => Err(Dropped::OtherProtocol),
    }
}

/// The answer to who asked: unicast to `is_at.via`.
///
/// `None` if it is addressed to nobody, or its addresses are of no family spoken here.
pub fn answer(own: MacAddr, is_at: &IsAt) -> Option<Frame> {
    arp::answer(own, is_at)
}

/// One claim to everybody, in the two forms that hosts listen to: some learn from requests only,
/// some from replies only. `None` as for [`answer`].
pub fn announcements(own: MacAddr, is_at: &IsAt) -> Option<[Frame; 2]> {
    arp::announcements(own, is_at)
}

/// The question for a node's MAC. `None` as for [`answer`].
///
/// It carries the sender's own addresses, hence moves no entry of an EIP in anybody's cache.
pub fn probe(probe: &Probe) -> Option<Frame> {
    arp::probe(probe)
}

#[cfg(test)]
mod tests;

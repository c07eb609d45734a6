//! What an agent may put on the LAN: the ARP frames of RFC 826 and RFC 5227, byte for byte.

use std::net::Ipv4Addr;

use pnet::{
    packet::{
        Packet as _,
        arp::{ArpOperation, ArpOperations, ArpPacket},
        ethernet::{EtherTypes, EthernetPacket},
    },
    util::MacAddr,
};

use crate::pcapng;

/// The shortest frame that Ethernet carries, without its checksum.
const FRAME_LEN_MIN: usize = 60;
const CLIENT: (Ipv4Addr, MacAddr) =
    (Ipv4Addr::new(172, 22, 0, 100), MacAddr(0x52, 0x54, 172, 22, 0, 100));

/// What a frame about an EIP is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Tells everyone, as a request that nobody has to answer.
    GratuitousRequest,
    /// Tells everyone, as a reply that nobody asked for.
    GratuitousReply,
    /// Answers the host that asked.
    Reply,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::GratuitousRequest, Self::GratuitousReply, Self::Reply];
}

/// A frame that said at which node an EIP is.
#[derive(Clone, Debug)]
pub(crate) struct EipFrame {
    pub(crate) kind: Kind,
    pub(crate) node: &'static str,
}

/// Checks every ARP frame that came from a node, and returns those about EIPs.
///
/// What speaks for an EIP is an agent's word, and so is a padded frame with the node's own address,
/// or with none: a probe. The kernel speaks for the node alone, and does not pad on these links.
pub(crate) fn check(capture: &[pcapng::Frame]) -> Result<Vec<EipFrame>, String> {
    let mut about_eips = Vec::new();
    let (mut probes, mut conflict_probes) = (0, 0);
    for frame in capture {
        let Some(node) = node(&frame.port) else { continue };
        let ethernet = EthernetPacket::new(&frame.bytes).ok_or("a frame without a header")?;
        if ethernet.get_ethertype() == EtherTypes::Ipv6 {
            continue;
        }
        let arp = ArpPacket::new(ethernet.payload()).ok_or("a frame without ARP in it")?;
        let shown = format!("from {}: {ethernet:?} {arp:?}", frame.port);
        let right = ethernet.get_source() == node.mac
            && ethernet.get_ethertype().0 == 0x0806
            && arp.get_hardware_type().0 == 1
            && arp.get_protocol_type().0 == 0x0800
            && (arp.get_hw_addr_len(), arp.get_proto_addr_len()) == (6, 4);
        if !right {
            return Err(format!("wrong headers, or another's Ethernet source: {shown}"));
        }
        if is_eip(arp.get_sender_proto_addr()) {
            let kind =
                kind(&ethernet, &arp).ok_or_else(|| format!("no frame for an EIP: {shown}"))?;
            let target = NODES.iter().find(|known| known.mac == arp.get_sender_hw_addr());
            let target = target.ok_or_else(|| format!("names no node: {shown}"))?;
            if frame.bytes.len() != FRAME_LEN_MIN {
                return Err(format!("{} bytes long: {shown}", frame.bytes.len()));
            }
            about_eips.push(EipFrame { kind, node: target.name });
        } else if frame.bytes.len() >= FRAME_LEN_MIN {
            let probes_conflicts = is_conflict_probe(node, &ethernet, &arp);
            if !probes_conflicts && !is_probe(node, &ethernet, &arp)
                || frame.bytes.len() != FRAME_LEN_MIN
            {
                return Err(format!("no probe: {shown}"));
            }
            probes += 1;
            conflict_probes += u32::from(probes_conflicts);
        } else if sender(&arp) != (node.address, node.mac) {
            return Err(format!("the kernel of a node speaks for another: {shown}"));
        }
    }
    match (probes, conflict_probes) {
        (0, _) => Err("no agent probed a node".into()),
        (_, 0) => Err("an address was given that nobody was asked for".into()),
        _ => Ok(about_eips),
    }
}

/// The nodes at which the EIP was said to be, one after the other.
pub(crate) fn nodes_in_order(frames: &[EipFrame]) -> Vec<&'static str> {
    let mut nodes: Vec<_> = frames.iter().map(|frame| frame.node).collect();
    nodes.dedup();
    nodes
}

/// Which of the three frames it is, if the rest of it fits.
fn kind(ethernet: &EthernetPacket<'_>, arp: &ArpPacket<'_>) -> Option<Kind> {
    let (eip, node) = sender(arp);
    let asked = (arp.get_target_proto_addr(), arp.get_target_hw_addr());
    let fits = |operation: ArpOperation, to: MacAddr, target: (Ipv4Addr, MacAddr)| {
        arp.get_operation() == operation && ethernet.get_destination() == to && asked == target
    };
    let (everyone, nobody) = (MacAddr::broadcast(), MacAddr::zero());
    if fits(ArpOperations::Request, everyone, (eip, nobody)) {
        Some(Kind::GratuitousRequest)
    } else if fits(ArpOperations::Reply, everyone, (eip, node)) {
        Some(Kind::GratuitousReply)
    } else if fits(ArpOperations::Reply, CLIENT.1, CLIENT) {
        Some(Kind::Reply)
    } else {
        None
    }
}

/// Whether it asks, with the node's own addresses, for another host of the LAN.
fn is_probe(node: &Node, ethernet: &EthernetPacket<'_>, arp: &ArpPacket<'_>) -> bool {
    let asked = arp.get_target_proto_addr();
    let known = NODES.iter().find(|known| known.address == asked).map(|known| known.mac);
    let to = ethernet.get_destination();
    arp.get_operation() == ArpOperations::Request
        && sender(arp) == (node.address, node.mac)
        && arp.get_target_hw_addr() == MacAddr::zero()
        && known.is_some_and(|mac| to == mac || to == MacAddr::broadcast())
}

/// Whether it asks who has an EIP, and says nothing of the sender but its MAC (RFC 5227 section 2.1.1).
fn is_conflict_probe(node: &Node, ethernet: &EthernetPacket<'_>, arp: &ArpPacket<'_>) -> bool {
    arp.get_operation() == ArpOperations::Request
        && ethernet.get_destination() == MacAddr::broadcast()
        && sender(arp) == (Ipv4Addr::UNSPECIFIED, node.mac)
        && arp.get_target_hw_addr() == MacAddr::zero()
        && is_eip(arp.get_target_proto_addr())
}

fn sender(arp: &ArpPacket<'_>) -> (Ipv4Addr, MacAddr) {
    (arp.get_sender_proto_addr(), arp.get_sender_hw_addr())
}

/// The guide's pool.
fn is_eip(address: Ipv4Addr) -> bool {
    (Ipv4Addr::new(172, 22, 0, 188)..=Ipv4Addr::new(172, 22, 0, 200)).contains(&address)
}

struct Node {
    name: &'static str,
    address: Ipv4Addr,
    mac: MacAddr,
}

const fn guide_node(name: &'static str, host: u8) -> Node {
    Node {
        name,
        address: Ipv4Addr::new(172, 22, 0, host),
        mac: MacAddr(0x52, 0x54, 172, 22, 0, host),
    }
}

const NODES: [Node; 3] = [guide_node("node1", 3), guide_node("node3", 9), guide_node("node4", 10)];

fn node(port: &str) -> Option<&'static Node> {
    NODES.iter().find(|node| node.name == port)
}

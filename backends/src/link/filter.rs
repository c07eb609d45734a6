//! Which frames wake a responder, decided in the kernel.
//!
//! By their kind, and not by the addresses that they are about: that anybody is heard proves that the
//! link carries frames while a node is silent, so that the node is dead and not the link.

use socket2::SockFilter;

// linux/bpf_common.h and linux/filter.h.
const LOAD_WORD_AT: u16 = 0x20;
const LOAD_HALF_AT: u16 = 0x28;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// Where the kernel keeps what it knows of a frame apart from its bytes: `SKF_AD_OFF` and
/// `SKF_AD_PKTTYPE`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// `PACKET_MULTICAST`. Smaller ones are to this host or to all; larger ones are strangers', which a
/// promiscuous port delivers, frames of a VLAN that no device here belongs to, and our own.
const TO_A_GROUP: u32 = 2;

/// Where an ARP packet has its operation, counted from the Ethernet header on. A tag has been taken
/// off before the filter runs.
const ARP_OPERATION: u32 = 14 + 6;
const ALL_BYTES: u32 = u32::MAX;
const NONE: u32 = 0;

/// Passes ARP requests and replies that are not somebody else's. Where a frame is too short to be
/// looked into, the kernel drops it.
pub(crate) const ARP: [SockFilter; 7] = [
    SockFilter::new(LOAD_WORD_AT, 0, 0, PACKET_TYPE),
    SockFilter::new(JUMP_IF_GREATER, 4, 0, TO_A_GROUP),
    SockFilter::new(LOAD_HALF_AT, 0, 0, ARP_OPERATION),
    SockFilter::new(JUMP_IF_EQUAL, 1, 0, 1),
    SockFilter::new(JUMP_IF_EQUAL, 0, 1, 2),
    SockFilter::new(RETURN, 0, 0, ALL_BYTES),
    SockFilter::new(RETURN, 0, 0, NONE),
];

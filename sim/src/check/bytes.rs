//! What is put on the wire is right to the last byte (S8), and what arrives from there is read as what
//! it is, whatever it is (S10): an Ethernet frame of ARP for IPv4, laid out here once more by the
//! offsets of RFC 826, or of neighbor discovery for IPv6 (`ndp`). A parser that panics ends the run by
//! itself.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv6Net;
use porter_core::{
    IsAt, MacAddr, Probe,
    wire::{self, Dropped, Heard, Own},
};

use super::{Violation, ndp};
use crate::world::{Frame, Says, eth0};

/// The shortest Ethernet frame, its checksum not counted.
const LEN: usize = 60;

/// A frame that speaks for an EIP is about to leave, by a link with an address of IPv6, or without.
pub(super) fn spoken(frame: &Frame, own: Option<IpAddr>) -> Result<(), Violation> {
    let expected = match frame.claim() {
        Some((IpAddr::V6(_), _)) => ndp::spoken(frame, own),
        Some((IpAddr::V4(_), _)) | None => expected(frame),
    };
    compare(frame, written(frame, own), expected)
}

/// A question for a node is about to leave.
pub(super) fn probed(probe: &Probe) -> Result<(), Violation> {
    let written = wire::probe(probe).map(|frame| frame.bytes().to_vec());
    let expected = match probe.target {
        IpAddr::V4(_) => {
            let dst = probe.to.unwrap_or_else(MacAddr::broadcast);
            arp((probe.sender.1, dst), 1, probe.sender, (probe.target, MacAddr::zero()))
        }
        IpAddr::V6(_) => ndp::probed(probe),
    };
    compare(format_args!("{probe:?}"), written, expected)
}

fn compare(
    what: impl fmt::Display,
    written: Option<Vec<u8>>,
    expected: Option<Vec<u8>>,
) -> Result<(), Violation> {
    match written.is_some() && written == expected {
        true => Ok(()),
        false => Err(Violation(format!(
            "{what} is {}, and should be {}",
            hex(written.as_deref().unwrap_or_default()),
            hex(expected.as_deref().unwrap_or_default())
        ))),
    }
}

/// Bytes have arrived and were read.
pub(super) fn read(bytes: &[u8], read: Result<&Heard, &Dropped>) -> Result<(), Violation> {
    let Ok(heard) = read else { return Ok(()) };
    // A tag of VLAN 0 gives a priority and nothing else (IEEE 802.1Q).
    let tagged = bytes.get(12..14) == Some(&[0x81, 0x00]);
    let from = if tagged { 16 } else { 12 };
    let of_no_vlan = !tagged || bytes[14] & 0x0f == 0 && bytes[15] == 0;
    let arp = bytes.get(from..from + 30).unwrap_or_default();
    let is_arp = arp.get(..8) == Some(&[0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4]);
    let is_ndp = || ndp::is_right(bytes.get(from..).unwrap_or_default(), heard);
    let right = of_no_vlan && is_arp && {
        let (operation, mac, address) = (arp[9], &arp[10..16], &arp[16..20]);
        let target = &arp[26..30];
        let (says_mac, says_address, asks) = match heard {
            Heard::IsAt(claim) => (claim.mac, claim.target, address == target),
            Heard::WhoHas(question) => (question.asker.1, question.asker.0, address != target),
        };
        let operations: &[u8] = match heard {
            Heard::WhoHas(_) => &[1],
            Heard::IsAt(_) if asks => &[1, 2],
            Heard::IsAt(_) => &[2],
        };
        arp[8] == 0
            && operations.contains(&operation)
            && mac[0] & 1 == 0
            && mac.iter().any(|byte| *byte != 0)
            && octets(says_mac) == mac
            && v4(says_address).is_some_and(|it| it.octets() == address)
    };
    match right || of_no_vlan && is_ndp() {
        true => Ok(()),
        false => Err(Violation(format!("{} is read as {heard:?}", hex(bytes)))),
    }
}

/// What production code makes of it.
fn written(frame: &Frame, own: Option<IpAddr>) -> Option<Vec<u8>> {
    let (target, mac) = frame.claim()?;
    let net = |own| match own {
        IpAddr::V4(_) => None,
        IpAddr::V6(own) => Ipv6Net::new(own, 64).ok(),
    };
    let own = Own { mac: frame.src, addresses: own.and_then(net).into_iter().collect() };
    let is_at = |to| IsAt { link: eth0(), target, mac, to, via: frame.dst };
    let written = match frame.says {
        Says::IsAt { to, .. } if !frame.is_gratuitous() => wire::answer(&own, &is_at(Some(to)))?,
        Says::IsAt { .. } if target.is_ipv6() && frame.overrides() => {
            wire::announcements(&own, &is_at(None))?[0]
        }
        Says::IsAt { .. } => wire::announcements(&own, &is_at(None))?[1],
        Says::WhoHas { target, asker } if frame.is_conflict_probe() => {
            wire::probe(&Probe { link: eth0(), target, to: None, sender: asker })?
        }
        Says::WhoHas { .. } => wire::announcements(&own, &is_at(None))?[0],
        Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => return None,
    };
    Some(written.bytes().to_vec())
}

/// What it should be.
fn expected(frame: &Frame) -> Option<Vec<u8>> {
    let (operation, sender, target) = match frame.says {
        Says::IsAt { target, mac, to } => (2, (target, mac), to),
        // Nobody looks at the MAC that is asked for; RFC 5227 section 2.3 has it as zeros.
        Says::WhoHas { target, asker } => (1, asker, (target, MacAddr::zero())),
        Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => return None,
    };
    arp((frame.src, frame.dst), operation, sender, target)
}

fn arp(
    (src, dst): (MacAddr, MacAddr),
    operation: u8,
    sender: (IpAddr, MacAddr),
    target: (IpAddr, MacAddr),
) -> Option<Vec<u8>> {
    let mut bytes = [octets(dst), octets(src)].concat();
    bytes.extend([0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4, 0, operation]);
    for (address, mac) in [sender, target] {
        bytes.extend(octets(mac));
        bytes.extend(v4(address)?.octets());
    }
    bytes.resize(LEN, 0);
    Some(bytes)
}

pub(super) fn octets(MacAddr(a, b, c, d, e, f): MacAddr) -> [u8; 6] {
    [a, b, c, d, e, f]
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
    const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));

    fn answer() -> Frame {
        let to = (IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100)), MacAddr(2, 0, 0, 0, 0, 100));
        Frame { src: OWN, dst: to.1, says: Says::IsAt { target: EIP, mac: NODE, to } }
    }

    #[test]
    fn answers_and_both_forms_of_an_announcement_are_right_to_the_last_byte() {
        let [request, reply] = Frame::announcement(OWN, EIP, NODE);
        for frame in [answer(), request, reply] {
            assert_eq!(spoken(&frame, None), Ok(()));
            assert_eq!(expected(&frame).map(|bytes| bytes.len()), Some(LEN));
        }
        let astray = Frame { dst: OWN, ..Frame::announcement(OWN, EIP, NODE)[0].clone() };
        assert_eq!(
            spoken(&astray, None),
            Ok(()),
            "whom it is sent to is not the business of bytes"
        );
    }

    #[test]
    fn what_is_read_otherwise_than_it_was_sent_is_found() {
        let bytes = expected(&answer()).expect("it is ARP for IPv4");
        let heard = |bytes: &[u8]| wire::parse(eth0(), answer().dst, bytes);
        let right = heard(&bytes).expect("an answer is understood");
        assert_eq!(read(&bytes, Ok(&right)), Ok(()));
        for at in [13, 15, 21, 22, 27, 31] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(read(&other, Ok(&right)).is_err(), "byte {at}");
            assert_eq!(read(&other, heard(&other).as_ref()), Ok(()), "byte {at}");
        }
        assert!(read(&bytes[..41], Ok(&right)).is_err());
    }
}

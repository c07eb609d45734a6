//! What is put on the wire is right to the last byte (S8), and what arrives from there is read as what
//! it is, whatever it is (S10): an Ethernet frame of ARP for IPv4, laid out here once more by the
//! offsets of RFC 826. A parser that panics ends the run by itself.

use std::net::{IpAddr, Ipv4Addr};

use porter_core::{
    IsAt, MacAddr, Probe,
    wire::{self, Dropped, Heard},
};

use super::Violation;
use crate::world::{Frame, Says, eth0};

/// The shortest Ethernet frame, its checksum not counted.
const LEN: usize = 60;

/// A frame that speaks for an EIP is about to leave.
pub(super) fn spoken(frame: &Frame) -> Result<(), Violation> {
    let written = written(frame);
    let expected = expected(frame);
    match written.is_some() && written == expected {
        true => Ok(()),
        false => Err(Violation(format!(
            "{frame} is {}, and should be {}",
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
    let arp = bytes.get(from..from + 30).unwrap_or_default();
    let is_arp = arp.get(..8) == Some(&[0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4]);
    let right = is_arp && (!tagged || bytes[14] & 0x0f == 0 && bytes[15] == 0) && {
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
    match right {
        true => Ok(()),
        false => Err(Violation(format!("{} is read as {heard:?}", hex(bytes)))),
    }
}

/// What production code makes of it.
fn written(frame: &Frame) -> Option<Vec<u8>> {
    let (target, mac) = frame.claim()?;
    let is_at = |to| IsAt { link: eth0(), target, mac, to, via: frame.dst };
    let written = match frame.says {
        Says::IsAt { to, .. } if !frame.is_gratuitous() => {
            wire::answer(&frame.src.into(), &is_at(Some(to)))?
        }
        Says::IsAt { .. } => wire::announcements(&frame.src.into(), &is_at(None))?[1],
        Says::WhoHas { target, asker } if frame.is_conflict_probe() => {
            wire::probe(&Probe { link: eth0(), target, to: None, sender: asker })?
        }
        Says::WhoHas { .. } => wire::announcements(&frame.src.into(), &is_at(None))?[0],
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
    let mut bytes = [octets(frame.dst), octets(frame.src)].concat();
    bytes.extend([0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4, 0, operation]);
    for (address, mac) in [sender, target] {
        bytes.extend(octets(mac));
        bytes.extend(v4(address)?.octets());
    }
    bytes.resize(LEN, 0);
    Some(bytes)
}

fn octets(MacAddr(a, b, c, d, e, f): MacAddr) -> [u8; 6] {
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
            assert_eq!(spoken(&frame), Ok(()));
            assert_eq!(expected(&frame).map(|bytes| bytes.len()), Some(LEN));
        }
        let astray = Frame { dst: OWN, ..Frame::announcement(OWN, EIP, NODE)[0].clone() };
        assert_eq!(spoken(&astray), Ok(()), "whom it is sent to is not the business of bytes");
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

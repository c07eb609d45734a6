//! Neighbor discovery to the last byte, laid out once more by the offsets of RFC 8200 section 3, RFC
//! 4861 sections 4.3, 4.4 and 4.6.1, and RFC 2464: what `bytes` is for ARP.

use std::net::{IpAddr, Ipv6Addr};

use porter_core::{MacAddr, Probe, wire::Heard};

use super::bytes::octets;
use crate::world::{ALL_NODES, ALL_ROUTERS, Frame, Says, asked_in, eth0};

/// The EtherType, and the lengths of the Ethernet and the IPv6 header.
const IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERNET_LEN: usize = 14;
const HEADER_LEN: usize = 40;

/// Types of ICMPv6, and of options.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const NONCE: u8 = 14;

/// The flags of an advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// What a frame that speaks for an EIP should be, from a replica whose link has the address `own`.
pub(super) fn spoken(frame: &Frame, own: Option<IpAddr>) -> Option<Vec<u8>> {
    let (target, mac, to) = match &frame.says {
        Says::IsAt { target, mac, to } => (target, mac, to),
        Says::WhoHas { target, asker } => {
            let probe = Probe { link: eth0(), target: *target, to: None, sender: *asker };
            return probed(&probe);
        }
        Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => return None,
    };
    let (target, own) = (v6(*target)?, v6(own?)?);
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let (dst, from, to, flags) = match frame.is_addressed() {
        true => (frame.dst, target, v6(to.0)?, SOLICITED | OVERRIDE),
        false if frame.dst == ALL_ROUTERS => (ALL_ROUTERS, own, all_routers, 0),
        false => (ALL_NODES, own, all_nodes, OVERRIDE),
    };
    let option = Some((TARGET_MAC, *mac));
    let message = message(ADVERTISEMENT, flags, target, option);
    Some(packet((frame.src, from), (dst, to), &message))
}

/// What a question of a replica's should be. It always goes to the group, and to whom it is for alone is
/// told by its Ethernet destination (RFC 6085).
pub(super) fn probed(probe: &Probe) -> Option<Vec<u8>> {
    let (target, (source, mac)) = (v6(probe.target)?, probe.sender);
    let [.., a, b, c] = target.octets();
    let [low, high] = [u16::from_be_bytes([b, c]), u16::from_be_bytes([0xff, a])];
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low);
    let dst = probe.to.unwrap_or_else(|| asked_in(probe.target));
    // Who has no address tells no MAC (RFC 4861 section 4.3), but a nonce (RFC 7527).
    let option = if source.is_unspecified() { NONCE } else { SOURCE_MAC };
    let option = Some((option, mac));
    let message = message(SOLICITATION, 0, target, option);
    Some(packet((mac, v6(source)?), (dst, group), &message))
}

/// Whether a packet, from its EtherType on, is what it was read as.
pub(super) fn is_right(packet: &[u8], heard: &Heard) -> bool {
    let (Some(header), Some(rest)) = (packet.get(2..2 + HEADER_LEN), packet.get(2 + HEADER_LEN..))
    else {
        return false;
    };
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let Some(message) = rest.get(..len).filter(|_| packet[..2] == IPV6 && len >= 24) else {
        return false;
    };
    let [from, to] = [&header[8..24], &header[24..40]];
    let whole = header[0] >> 4 == 6
        && (header[6], header[7]) == (58, 255)
        && message[1] == 0
        && sum([from, to, message].into_iter(), message.len()) == 0xffff;
    let says_mac = |of: u8, mac: MacAddr| option(&message[24..], of) == Some(octets(mac));
    let target = |target| v6(target).is_some_and(|it| it.octets() == message[8..24]);
    let is = |address, of: &[u8]| v6(address).is_some_and(|it| it.octets() == of);
    whole
        && match heard {
            Heard::IsAt(claim) => {
                let solicited = message[4] & SOLICITED > 0;
                let to_whom = claim.to.is_none_or(|(whom, _)| solicited && is(whom, to));
                let own =
                    claim.via == if from == &message[8..24] { claim.mac } else { MacAddr::zero() };
                message[0] == ADVERTISEMENT
                    && target(claim.target)
                    && says_mac(TARGET_MAC, claim.mac)
                    && solicited == claim.to.is_some()
                    && to_whom
                    && own
            }
            Heard::WhoHas(question) => {
                let (asker, mac) = question.asker;
                let told = mac == MacAddr::zero() || says_mac(SOURCE_MAC, mac);
                let via = if asker.is_unspecified() { ALL_NODES } else { mac };
                message[0] == SOLICITATION
                    && target(question.target)
                    && is(asker, from)
                    && told
                    && question.via == via
            }
        }
}

/// Makes the checksum of a frame right, if it is long enough to have one.
pub(crate) fn mend_checksum(frame: &mut [u8]) {
    let Some((header, message)) = frame
        .get_mut(ETHERNET_LEN..)
        .and_then(|packet| packet.split_at_mut_checked(HEADER_LEN))
        .filter(|(_, message)| message.len() >= 4)
    else {
        return;
    };
    let len = usize::from(u16::from_be_bytes([header[4], header[5]])).min(message.len());
    if len >= 4 {
        write_checksum(&header[8..24], &header[24..40], &mut message[..len]);
    }
}

fn message(kind: u8, flags: u8, target: Ipv6Addr, option: Option<(u8, MacAddr)>) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    if let Some((of, mac)) = option {
        message.extend([of, 1]);
        message.extend(octets(mac));
    }
    message
}

fn packet(from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr), message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).expect("a message is short").to_be_bytes();
    let mut message = message.to_vec();
    write_checksum(&from.1.octets(), &to.1.octets(), &mut message);
    let mut bytes = [octets(to.0), octets(from.0)].concat();
    bytes.extend(IPV6);
    bytes.extend([0x60, 0, 0, 0, len[0], len[1], 58, 255]);
    bytes.extend(from.1.octets());
    bytes.extend(to.1.octets());
    bytes.extend(message);
    bytes
}

fn write_checksum(from: &[u8], to: &[u8], message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = !sum([from, to, &*message].into_iter(), message.len());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// The sum of RFC 1071 over the pseudo-header of RFC 8200 section 8.1, and a message of that length.
fn sum<'a>(parts: impl Iterator<Item = &'a [u8]>, len: usize) -> u16 {
    let words = parts.flat_map(|part| part.chunks(2));
    let words =
        words.map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)])));
    let len = u32::try_from(len).expect("a message is short");
    let mut sum = words.sum::<u32>() + len + 58;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("its upper half is zero")
}

/// The MAC in the first option of a kind.
fn option(mut options: &[u8], of: u8) -> Option<[u8; 6]> {
    while let [kind, n_units, ..] = *options {
        let whole = options.get(..usize::from(n_units) * 8).filter(|whole| !whole.is_empty())?;
        if kind == of {
            return whole[2..].try_into().ok();
        }
        options = &options[whole.len()..];
    }
    None
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use porter_core::wire;

    use super::*;
    use crate::check::bytes;

    const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
    const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 100);

    fn six(last: u16) -> IpAddr {
        Ipv6Addr::new(0xfd22, 0, 0, 0, 0, 0, 0, last).into()
    }

    fn answer(dst: MacAddr, to: (IpAddr, MacAddr)) -> Frame {
        Frame { src: OWN, dst, says: Says::IsAt { target: six(0xbc), mac: NODE, to } }
    }

    #[test]
    fn advertisements_and_solicitations_are_right_to_the_last_byte() {
        let nobody = (Ipv6Addr::UNSPECIFIED.into(), MacAddr::zero());
        let [to_nodes, to_routers] = Frame::announcement(OWN, six(0xbc), NODE);
        let answers = [answer(CLIENT, (six(100), CLIENT)), answer(ALL_NODES, nobody)];
        for frame in answers.into_iter().chain([to_nodes, to_routers]) {
            assert_eq!(bytes::spoken(&frame, Some(six(3))), Ok(()));
        }
        assert_eq!(bytes::spoken(&Frame::is_free(OWN, six(0xbc)), Some(six(3))), Ok(()));
        for to in [None, Some(NODE)] {
            let probe = Probe { link: eth0(), target: six(9), to, sender: (six(3), OWN) };
            assert_eq!(bytes::probed(&probe), Ok(()));
        }
    }

    #[test]
    fn a_frame_with_one_wrong_byte_is_another() {
        let [frame, _] = Frame::announcement(OWN, six(0xbc), NODE);
        let right = spoken(&frame, Some(six(3)));
        assert_ne!(right, spoken(&frame, Some(six(4))), "it comes from the link's own address");
        assert!(right.is_some_and(|bytes| bytes.len() == ETHERNET_LEN + HEADER_LEN + 32));
        assert!(bytes::spoken(&frame, None).is_err());
    }

    #[test]
    fn what_is_read_of_bytes_is_what_they_say() {
        let probe = Probe { link: eth0(), target: six(9), to: None, sender: (six(3), CLIENT) };
        let mut asked = probed(&probe).expect("it is of IPv6");
        let heard = wire::parse(eth0(), OWN, &asked).expect("it is a solicitation");
        assert!(is_right(&asked[12..], &heard));
        // Another target, and a checksum that is right nevertheless.
        asked[77] ^= 1;
        assert!(!is_right(&asked[12..], &heard));
        mend_checksum(&mut asked);
        assert!(wire::parse(eth0(), OWN, &asked).is_ok(), "its checksum is right");
        assert!(!is_right(&asked[12..], &heard));
    }
}

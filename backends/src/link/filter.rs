//! Which frames wake a responder, decided in the kernel.
//!
//! Programs of the classic packet filter, which is put in place of another between two frames. Where a
//! frame is too short to be looked into, the kernel drops it.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use porter_core::Heed;
use socket2::{SockFilter, Socket};

// linux/bpf_common.h and linux/filter.h.
const LOAD_WORD_AT: u16 = 0x20;
const LOAD_HALF_AT: u16 = 0x28;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_EQUAL_TO_OTHER: u16 = 0x1d;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;
const STORE_AS_OTHER: u16 = 0x07;

/// Where the kernel keeps what it knows of a frame apart from its bytes: `SKF_AD_OFF` and
/// `SKF_AD_PKTTYPE`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// `PACKET_MULTICAST`. Smaller ones are to this host or to all; larger ones are strangers', which a
/// promiscuous port delivers, frames of a VLAN that no device here belongs to, and our own.
const TO_A_GROUP: u32 = 2;

/// Where an ARP packet has its operation, its sender's address and its target's, counted from the
/// Ethernet header on. A tag has been taken off before the filter runs.
const OPERATION: u32 = 14 + 6;
const SENDER: u32 = 14 + 14;
const TARGET: u32 = 14 + 24;
const REQUEST: u32 = 1;
const REPLY: u32 = 2;

const PASS: SockFilter = SockFilter::new(RETURN, 0, 0, u32::MAX);
const DROP: SockFilter = SockFilter::new(RETURN, 0, 0, 0);

/// How many ranges are told apart. Two programs for so many, one of which takes the other's place, are
/// well below 20 KiB, to which `net.core.optmem_max` limits a socket by default.
const RANGES_MAX: usize = 128;

/// Passes ARP requests and replies that are not somebody else's.
pub(crate) const ARP: [SockFilter; 7] = [
    SockFilter::new(LOAD_WORD_AT, 0, 0, PACKET_TYPE),
    SockFilter::new(JUMP_IF_GREATER, 4, 0, TO_A_GROUP),
    SockFilter::new(LOAD_HALF_AT, 0, 0, OPERATION),
    SockFilter::new(JUMP_IF_EQUAL, 1, 0, REPLY),
    SockFilter::new(JUMP_IF_EQUAL, 0, 1, REQUEST),
    PASS,
    DROP,
];

/// Has a socket hear no more than what is to be heeded, as far as the kernel can tell it.
pub(crate) fn attach(socket: &Socket, heed: &Heed) {
    let narrow = match heed {
        Heed::Everything => None,
        Heed::Only(ranges) => requests_for(ranges),
    };
    // A filter that has no room must not leave one behind that keeps away what is to be heard.
    let narrow = narrow.is_some_and(|filter| socket.attach_filter(&filter).is_ok());
    if !narrow && socket.attach_filter(&ARP).is_err() {
        // It fails if there is none. Without one, whoever reads looks at every frame.
        let _ = socket.detach_filter();
    }
}

/// Passes what [`ARP`] passes, without requests for other addresses, unless they are claims: of who asks
/// for its own. `None` if there are too many ranges.
fn requests_for(ranges: &[RangeInclusive<Ipv4Addr>]) -> Option<Vec<SockFilter>> {
    if ranges.len() > RANGES_MAX {
        return None;
    }
    let mut filter = vec![
        SockFilter::new(LOAD_WORD_AT, 0, 0, PACKET_TYPE),
        SockFilter::new(JUMP_IF_GREATER, 8, 0, TO_A_GROUP),
        SockFilter::new(LOAD_HALF_AT, 0, 0, OPERATION),
        SockFilter::new(JUMP_IF_EQUAL, 5, 0, REPLY),
        SockFilter::new(JUMP_IF_EQUAL, 0, 5, REQUEST),
        SockFilter::new(LOAD_WORD_AT, 0, 0, SENDER),
        SockFilter::new(STORE_AS_OTHER, 0, 0, 0),
        SockFilter::new(LOAD_WORD_AT, 0, 0, TARGET),
        SockFilter::new(JUMP_IF_EQUAL_TO_OTHER, 0, 2, 0),
        PASS,
        DROP,
    ];
    search(ranges, &mut filter);
    Some(filter)
}

/// Passes a frame if the number that was loaded last is in one of these ranges, which are in order. Each
/// step leaves half of them.
fn search(ranges: &[RangeInclusive<Ipv4Addr>], filter: &mut Vec<SockFilter>) {
    match ranges {
        [] => filter.push(DROP),
        [range] => filter.extend([
            SockFilter::new(JUMP_IF_NOT_LESS, 0, 2, range.start().to_bits()),
            SockFilter::new(JUMP_IF_GREATER, 1, 0, range.end().to_bits()),
            PASS,
            DROP,
        ]),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            filter.push(SockFilter::new(JUMP_IF_NOT_LESS, 0, 1, high[0].start().to_bits()));
            let jump = filter.len();
            filter.push(DROP);
            search(low, filter);
            let over = u32::try_from(filter.len() - jump - 1).expect("there are few ranges");
            filter[jump] = SockFilter::new(JUMP, 0, 0, over);
            search(high, filter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use porter_core::{LinkName, MacAddr, Probe, wire};
    use socket2::{Domain, Type};

    use super::*;

    /// A socket that hears what is put into the other.
    fn pair() -> (Socket, Socket) {
        let (near, far) =
            Socket::pair(Domain::UNIX, Type::DGRAM, None).expect("sockets can be made");
        near.set_nonblocking(true).expect("a socket can be asked");
        (near, far)
    }

    fn only(ranges: &[(u32, u32)]) -> Heed {
        let ranges = ranges.iter().map(|&(first, last)| first.into()..=last.into());
        Heed::Only(ranges.collect())
    }

    /// A request of somebody with this address for another.
    fn request(sender: u32, target: u32) -> Vec<u8> {
        let link = LinkName::new("eth0").expect("a good name");
        let sender = (Ipv4Addr::from(sender).into(), MacAddr(2, 0, 0, 0, 0, 9));
        let probe = Probe { link, target: Ipv4Addr::from(target).into(), to: None, sender };
        wire::probe(&probe).expect("it is of one family").bytes().to_vec()
    }

    fn reply(sender: u32, target: u32) -> Vec<u8> {
        let mut frame = request(sender, target);
        frame[OPERATION as usize + 1] = 2;
        frame
    }

    /// Whether a frame is heard.
    fn passes((near, far): &(Socket, Socket), frame: &[u8]) -> bool {
        far.send(frame).expect("the other is there");
        match rustix::io::read(near, &mut [0; 64]) {
            Ok(len) => len == frame.len(),
            Err(error) => {
                assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WouldBlock);
                false
            }
        }
    }

    /// So many ranges of two addresses each, four apart.
    fn many(n: usize) -> Vec<(u32, u32)> {
        (0..u32::try_from(n).expect("few")).map(|i| (1_000 + 4 * i, 1_001 + 4 * i)).collect()
    }

    #[test]
    fn a_question_passes_exactly_if_its_target_is_in_a_range() {
        for n in [0, 1, 2, 3, 5, 64, RANGES_MAX] {
            let (ranges, pair) = (many(n), pair());
            let heed = only(&ranges);
            attach(&pair.0, &heed);
            let end = 1_000 + 4 * u32::try_from(n).expect("few");
            for target in (990..end + 10).chain([0, u32::MAX]) {
                let passes = passes(&pair, &request(1, target));
                assert_eq!(passes, heed.covers(target.into()), "{target} with {n} ranges");
            }
        }
    }

    #[test]
    fn both_ends_of_all_addresses_can_be_heeded() {
        let pair = pair();
        attach(&pair.0, &only(&[(0, 9), (u32::MAX - 9, u32::MAX)]));
        for (target, heard) in
            [(0, true), (9, true), (10, false), (u32::MAX - 10, false), (u32::MAX, true)]
        {
            assert_eq!(passes(&pair, &request(1, target)), heard, "{target}");
        }
    }

    #[test]
    fn claims_pass_whatever_they_are_about_and_what_is_neither_does_not() {
        let pair = pair();
        attach(&pair.0, &only(&[(1_000, 1_001)]));
        assert!(passes(&pair, &reply(7, 8)));
        assert!(passes(&pair, &reply(7, 7)));
        assert!(passes(&pair, &request(7, 7)), "who asks for its own address announces it");
        assert!(!passes(&pair, &request(7, 8)));
        let mut other = request(7, 1_000);
        assert!(passes(&pair, &other));
        other[OPERATION as usize + 1] = 3;
        assert!(!passes(&pair, &other));
        assert!(!passes(&pair, &request(7, 1_000)[..TARGET as usize]));
    }

    #[test]
    fn a_filter_takes_the_place_of_another_and_what_waits_stays() {
        let pair = pair();
        attach(&pair.0, &only(&[(1_000, 1_001)]));
        pair.1.send(&request(7, 1_001)).expect("the other is there");
        attach(&pair.0, &only(&[(2_000, 2_001)]));
        assert!(rustix::io::read(&pair.0, &mut [0; 64]).is_ok());
        assert!(passes(&pair, &request(7, 2_000)) && !passes(&pair, &request(7, 1_000)));
        attach(&pair.0, &Heed::Everything);
        assert!(passes(&pair, &request(7, 1_000)));
        attach(&pair.0, &Heed::Only(Arc::default()));
        assert!(!passes(&pair, &request(7, 2_000)));
    }

    #[test]
    fn more_ranges_than_can_be_told_apart_are_not() {
        let pair = pair();
        attach(&pair.0, &only(&[(1_000, 1_001)]));
        attach(&pair.0, &only(&many(RANGES_MAX + 1)));
        assert!(passes(&pair, &request(7, 8)));
        let mut other = request(7, 8);
        other[OPERATION as usize + 1] = 3;
        assert!(!passes(&pair, &other));
    }
}

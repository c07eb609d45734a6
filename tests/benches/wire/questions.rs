//! What is asked, as frames made beforehand, and which frame is a right answer.

use std::{
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use clap::ValueEnum;
use porter_core::{LinkName, MacAddr, Probe, wire};

/// The longest frame of a question.
pub(crate) const FRAME_LEN_MAX: usize = wire::Frame::LEN_MAX;
/// Of how many questions one has an answer where most have none. By that one it is known that those
/// before it were met.
pub(crate) const MISSES_PER_HIT: usize = 31;
/// A responder may answer one host only so often for one EIP. With so many pairs of both, each of them
/// asks less often than that.
const PAIRS: usize = 4_096;
/// Hosts by their addresses: fewer than a kernel has room for in its neighbour cache.
const ASKERS: usize = 200;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Family {
    #[value(name = "ipv4")]
    V4,
    #[value(name = "ipv6")]
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The protocol in the Ethernet header of a question and its answer.
    pub(crate) fn ethertype(self) -> u16 {
        match self {
            Self::V4 => 0x0806,
            Self::V6 => 0x86dd,
        }
    }

    /// An address for each number, from the one to ask for in vain or from the other subnet. Two with the
    /// same number have the same solicited-node group.
    fn address(self, missing: bool, number: usize) -> IpAddr {
        let [.., high, low] = number.to_be_bytes();
        let second = 1 + u8::from(missing);
        match self {
            Self::V4 => Ipv4Addr::new(10, second, high, low).into(),
            Self::V6 => {
                let low = u16::from_be_bytes([high, low]);
                Ipv6Addr::new(0xfd00, second.into(), 0, 0, 0, 0, 0, low).into()
            }
        }
    }

    /// The addresses to answer for.
    pub(crate) fn eips(self, numbers: impl IntoIterator<Item = usize>) -> Vec<IpAddr> {
        numbers.into_iter().map(|number| self.address(false, number)).collect()
    }

    fn asker(self, number: usize) -> (IpAddr, MacAddr) {
        let low = u8::try_from(number % ASKERS).expect("there are not so many");
        let mac = MacAddr(0x02, 0xaa, 0, 0, 0, low);
        match self {
            Self::V4 => (Ipv4Addr::new(172, 22, 0, low).into(), mac),
            Self::V6 => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xaa, low.into()).into(), mac),
        }
    }
}

/// So many EIPs of IPv4.
pub(crate) fn range(n_eips: usize) -> RangeInclusive<Ipv4Addr> {
    let last = u16::try_from(n_eips - 1).expect("they have one subnet");
    let first = Ipv4Addr::new(10, 1, 0, 0);
    first..=Ipv4Addr::from_bits(first.to_bits() + u32::from(last))
}

/// Frames to be sent over and over, and what is told of their answers.
pub(crate) struct Questions {
    pub(crate) family: Family,
    pub(crate) frames: Vec<Vec<u8>>,
    /// How many questions are met when an answer arrives: itself, and those before it that have none.
    pub(crate) per_answer: usize,
    n_eips: usize,
    /// Where the addresses are said to be.
    mac: MacAddr,
}

impl Questions {
    /// Questions for so many EIPs that are answered with `mac`: for these only, or, as a rule, for
    /// addresses next to them that nobody has.
    pub(crate) fn new(family: Family, n_eips: usize, misses: bool, mac: MacAddr) -> Self {
        let n_askers = PAIRS.div_ceil(n_eips);
        let pairs = (0..n_askers).flat_map(|asker| (0..n_eips).map(move |eip| (asker, eip)));
        let per_answer = if misses { 1 + MISSES_PER_HIT } else { 1 };
        let frames = pairs.flat_map(|(asker, eip)| {
            let missing = iter::repeat_n(true, per_answer - 1);
            missing.chain([false]).map(move |missing| question(family, missing, eip, asker))
        });
        Self { family, frames: frames.collect(), per_answer, n_eips, mac }
    }

    /// Whether a frame answers one of these questions as it should be.
    pub(crate) fn is_answer(&self, frame: &[u8]) -> bool {
        let field = |at: usize| frame.get(at..at + 6).and_then(|it| <[u8; 6]>::try_from(it).ok());
        let is_eip = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low])) < self.n_eips;
        match self.family {
            Family::V4 => {
                let [_, _, 10, 1, high, low] = frame.get(26..32).unwrap_or_default() else {
                    return false;
                };
                let [172, 22, 0, asker] = *frame.get(38..42).unwrap_or_default() else {
                    return false;
                };
                frame[20..22] == [0, 2]
                    && field(22) == Some(self.mac.octets())
                    && is_eip(*high, *low)
                    && field(32) == Some([0x02, 0xaa, 0, 0, 0, asker])
            }
            Family::V6 => {
                let [0xfd, 0, 0, 1, .., high, low] = *frame.get(62..78).unwrap_or_default() else {
                    return false;
                };
                let [kind, ..] = frame[54..] else { return false };
                let solicited = frame[58] & 0x40 != 0;
                kind == 136
                    && solicited
                    && is_eip(high, low)
                    && frame.get(78..80) == Some(&[2, 1])
                    && field(80) == Some(self.mac.octets())
            }
        }
    }
}

/// One frame. Every asker has an Ethernet address of its own, and some share what they say inside: as
/// hosts behind relays do. Of neighbor discovery only what is said inside counts.
fn question(family: Family, missing: bool, eip: usize, asker: usize) -> Vec<u8> {
    let link = LinkName::new("eth0").expect("a good name");
    let mut sender = family.asker(asker);
    let [.., high, low] = asker.to_be_bytes();
    let source = [0x02, 0xbb, 0, 0, high, low];
    if family == Family::V6 {
        sender.1 = source.into();
    }
    let target = family.address(missing, eip);
    let question = Probe { link, target, to: None, sender };
    let frame = wire::probe(&question).expect("both addresses are of one family");
    let mut frame = frame.bytes().to_vec();
    frame[6..12].copy_from_slice(&source);
    frame
}

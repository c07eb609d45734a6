//! Which questions of ARP a replica has to hear.
//!
//! Hosts ask everybody for everything, and where only questions about EIPs are heard, the rest of a
//! broadcast storm wakes nobody. But that anybody is heard proves that a link carries frames, so that a
//! node that is silent is dead, and not the link. So everything is heard where such a proof would mean
//! something: until anybody was heard at all, and while some node is silent.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    sync::Arc,
};

use crate::{AddressRange, Eip, EipName, LinkName, Output, Size, ipam};

type Range = RangeInclusive<Ipv4Addr>;

/// What has to be heard on a link of what is asked there by ARP, so that the rest may be kept away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Heed {
    /// All of it.
    #[default]
    Everything,
    /// Questions about these addresses, whoever asks. The ranges are in order and apart.
    Only(Arc<[RangeInclusive<Ipv4Addr>]>),
}

impl Heed {
    /// Whether a question about an address has to be heard.
    pub fn covers(&self, target: Ipv4Addr) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(ranges) => ranges.iter().any(|range| range.contains(&target)),
        }
    }
}

/// What is heeded on every link that is listened on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attention {
    /// The addresses of each Eip, and the link on which it is served.
    eips: BTreeMap<EipName, (LinkName, Vec<Range>)>,
    /// The same, by link.
    ranges: BTreeMap<LinkName, Arc<[Range]>>,
    told: BTreeMap<LinkName, Heed>,
    outputs: VecDeque<Output>,
}

impl Attention {
    /// Takes in an Eip as it is, with the link that it is served on, or that it is gone.
    pub(crate) fn handle_eip(&mut self, name: &EipName, eip: Option<&Eip>, on: Option<LinkName>) {
        let eip = eip.filter(|eip| ipam::is_layer2(eip)).zip(on);
        let has = eip.map(|(eip, link)| (link, ranges(eip)));
        let has = has.filter(|(_, ranges)| !ranges.is_empty());
        if self.eips.get(name) == has.as_ref() {
            return;
        }
        let is_on = has.as_ref().map(|(link, _)| *link);
        let had = match has {
            Some(has) => self.eips.insert(name.clone(), has),
            None => self.eips.remove(name),
        };
        let was_on = had.map(|(link, _)| link);
        for link in BTreeSet::from_iter(was_on.into_iter().chain(is_on)) {
            let on_it = self.eips.values().filter(|(of, _)| *of == link);
            let ranges = merge(on_it.flat_map(|(_, ranges)| ranges).cloned().collect());
            match ranges.is_empty() {
                true => self.ranges.remove(&link),
                false => self.ranges.insert(link, ranges.into()),
            };
        }
    }

    /// Has questions heard on these links: all of them where everything is to be.
    pub(crate) fn attend(
        &mut self,
        listening: &BTreeSet<LinkName>,
        everything: impl Fn(LinkName) -> bool,
    ) {
        self.told.retain(|link, _| listening.contains(link));
        for &link in listening {
            let heed = match everything(link) {
                true => Heed::Everything,
                false => Heed::Only(self.ranges.get(&link).cloned().unwrap_or_default()),
            };
            let told = self.told.entry(link).or_default();
            if *told != heed {
                told.clone_from(&heed);
                self.outputs.push_back(Output::Heed(link, heed));
            }
        }
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How much is remembered, where there are so many Eips and so many links are listened on.
    pub(crate) fn sizes(&self, eips: usize, listening: usize) -> [Size; 3] {
        [
            Size::new("Eips that are heeded", self.eips.len(), eips),
            Size::new("links with Eips that are heeded", self.ranges.len(), eips),
            Size::new("links that are heeded", self.told.len(), listening),
        ]
    }
}

/// The addresses of IPv4 that an Eip has, and those that it gave before it was given others.
fn ranges(eip: &Eip) -> Vec<Range> {
    let range = AddressRange::parse(&eip.address).ok();
    let range = range.and_then(|range| match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Some(first..=last),
        _ => None,
    });
    let used = || {
        eip.status.used.keys().filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    };
    // They are in order: those before the range, and those behind it.
    let is_outside = |address: &Ipv4Addr| range.as_ref().is_none_or(|it| !it.contains(address));
    let outside = used().take_while(is_outside).chain(used().rev().take_while(is_outside));
    let outside: BTreeSet<_> = outside.collect();
    range.clone().into_iter().chain(outside.into_iter().map(|address| address..=address)).collect()
}

/// The same addresses in ranges that are in order and apart.
fn merge(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start().to_bits() <= last.end().to_bits().saturating_add(1) => {
                *last = *last.start()..=*range.end().max(last.end());
            }
            Some(_) | None => merged.push(range),
        }
    }
    merged
}

//! In which groups solicitations for EIPs of IPv6 are heard (RFC 4861 section 7.2.1).
//!
//! A host asks for an address of IPv6 in the group of its last 24 bits, and neither a network card nor
//! a switch that listens to MLD (RFC 4541) delivers that where nobody has joined. Every replica joins,
//! so that whoever takes over has been heard of before; and it joins by what is on record, since nothing
//! is answered that is not. Who tries an address out joins meanwhile, to hear of others who do (RFC 4862
//! section 5.4.2).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

use crate::{Eip, EipName, LinkName, Output, Size, ipam, wire::solicited_node};

/// A group on a link.
type Membership = (LinkName, Ipv6Addr);

/// The groups to be in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// Which groups each Eip needs, and for how many of its addresses.
    needed: BTreeMap<EipName, BTreeSet<Membership>>,
    /// The addresses that are tried out.
    tried: BTreeSet<(LinkName, Ipv6Addr)>,
    /// How many Eips, and addresses that are tried out, need a group.
    joined: BTreeMap<Membership, usize>,
    outputs: VecDeque<Output>,
}

impl Groups {
    /// Takes in an Eip as it is, with the link that it is served on, or that it is gone.
    pub(crate) fn handle_eip(&mut self, name: &EipName, eip: Option<&Eip>, on: Option<LinkName>) {
        let needs = eip.zip(on).map(|(eip, link)| needs(eip, link)).unwrap_or_default();
        let needed = self.needed.get(name);
        if needed.is_none_or(BTreeSet::is_empty) && needs.is_empty() || needed == Some(&needs) {
            return;
        }
        let needed = self.needed.remove(name).unwrap_or_default();
        needs.difference(&needed).for_each(|group| self.need(*group));
        needed.difference(&needs).for_each(|group| self.forgo(*group));
        if !needs.is_empty() {
            self.needed.insert(name.clone(), needs);
        }
    }

    /// Takes in that an address is tried out on a link, or is not any more.
    pub(crate) fn handle_trial(&mut self, link: LinkName, address: IpAddr, goes_on: bool) {
        let IpAddr::V6(address) = address else { return };
        let group = (link, solicited_node(address));
        match goes_on {
            true if self.tried.insert((link, address)) => self.need(group),
            false if self.tried.remove(&(link, address)) => self.forgo(group),
            true | false => {}
        }
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How much is remembered, where there are so many Eips and objects.
    pub(crate) fn sizes(&self, eips: usize, objects: usize) -> [Size; 2] {
        [
            Size::new("Eips with groups", self.needed.len(), eips),
            Size::new("groups joined", self.joined.len(), objects + self.tried.len()),
        ]
    }

    /// How many addresses are tried out whose groups are joined, where so many may be.
    pub(crate) fn size_of_tried(&self, trials: usize) -> Size {
        Size::new("groups of addresses tried out", self.tried.len(), trials)
    }

    fn need(&mut self, (link, group): Membership) {
        let needers = self.joined.entry((link, group)).or_default();
        *needers += 1;
        if *needers == 1 {
            self.outputs.push_back(Output::Join(link, group));
        }
    }

    fn forgo(&mut self, (link, group): Membership) {
        let needers = self.joined.get_mut(&(link, group)).expect("what is needed was joined");
        *needers -= 1;
        if *needers == 0 {
            self.joined.remove(&(link, group));
            self.outputs.push_back(Output::Quit(link, group));
        }
    }
}

/// The groups of all addresses that an Eip records.
fn needs(eip: &Eip, link: LinkName) -> BTreeSet<Membership> {
    if !ipam::is_layer2(eip) {
        return BTreeSet::new();
    }
    let groups = eip.status.used.keys().filter_map(|address| match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some((link, solicited_node(*address))),
    });
    groups.collect()
}

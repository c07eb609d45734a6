//! One Eip: what it says, which of its addresses are held, and which are free.

use std::{collections::BTreeSet, net::IpAddr};

use super::{capacity::Record, free::Free, standing::Standing};
use crate::{
    AddressRange, Eip, EipName, Family, Texts, Timestamp, Uid, Used, keys,
    range::{from_bits, to_bits},
};

/// An Eip and what is held of it. It outlives its Eip until the last address is given back.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    /// What the Eip says; `None` once it is gone.
    pub(super) terms: Option<Terms>,
    /// Its standing among all; `None` once it is gone.
    pub(super) standing: Option<Standing>,
    /// What is held, be it in the range or, after a change of it, outside.
    pub(super) used: Used,
    /// What `used` weighs in the Eip's status.
    pub(super) record: Record,
    /// The range that is served and what is free of it; `None` while the Eip is not served.
    pub(super) served: Option<Served>,
}

/// What decisions need of an Eip's `spec` and `metadata`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Terms {
    /// By which the older of two Eips is found: creation, then UID, then name.
    pub(super) age: (Timestamp, Option<Uid>, EipName),
    pub(super) protocol: Option<String>,
    pub(super) range: Option<AddressRange>,
    /// Its standing without a look at the others.
    pub(super) alone: Standing,
    pub(super) disabled: bool,
    pub(super) deleting: bool,
    is_default: bool,
    priority: i64,
    namespaces: BTreeSet<String>,
    selector: Texts,
}

/// A range that is handed out of. The ranges of no two pools overlap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Served {
    pub(super) range: AddressRange,
    free: Free,
}

/// How an Eip comes to serve a namespace that named none, the better the smaller; Eips of one rank
/// follow each other by priority, then by name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rank {
    /// It is bound to the namespace.
    Bound,
    /// It is bound to none, and the default.
    Default,
    /// It is bound to none.
    Unbound,
}

impl Pool {
    pub(super) fn range(&self) -> Option<AddressRange> {
        self.terms.as_ref()?.range
    }
}

impl Terms {
    pub(super) fn of(name: &EipName, eip: &Eip) -> Self {
        let default = keys::DEFAULT_EIP.find(&eip.metadata.annotations);
        Self {
            age: (eip.metadata.created, eip.metadata.uid.clone(), name.clone()),
            protocol: eip.protocol.clone(),
            range: AddressRange::parse(&eip.address).ok(),
            alone: Standing::alone(eip),
            disabled: eip.disable,
            deleting: eip.metadata.deleting,
            is_default: default.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")),
            priority: eip.priority,
            namespaces: eip.namespaces.clone(),
            selector: eip.namespace_selector.clone(),
        }
    }

    /// The place of the Eip among those that may serve a namespace which named none; `None`: it is
    /// bound to others. A selector that nothing is known of the namespace for does not select it.
    pub(super) fn rank(&self, namespace: &str, labels: Option<&Texts>) -> Option<(Rank, i64)> {
        let selects = |labels: &Texts| {
            self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let rank = if self.is_unbound() {
            if self.is_default { Rank::Default } else { Rank::Unbound }
        } else if self.namespaces.contains(namespace)
            || (!self.selector.is_empty() && labels.is_some_and(selects))
        {
            Rank::Bound
        } else {
            return None;
        };
        Some((rank, self.priority))
    }

    /// The place of the Eip among the default ones, if it is one that hands out addresses.
    pub(super) fn place_as_default(&self) -> Option<i64> {
        let counts = self.is_default && self.is_unbound() && !self.disabled && !self.deleting;
        counts.then_some(self.priority)
    }

    fn is_unbound(&self) -> bool {
        self.namespaces.is_empty() && self.selector.is_empty()
    }
}

impl Served {
    /// A range of which nothing is taken.
    pub(super) fn new(range: AddressRange) -> Self {
        Self { range, free: Free::between(to_bits(range.first()), to_bits(range.last())) }
    }

    pub(super) fn family(&self) -> Family {
        self.range.family()
    }

    /// The lowest free address.
    pub(super) fn lowest(&self) -> Option<IpAddr> {
        self.free.lowest().map(|bits| from_bits(self.family(), bits))
    }

    /// Whether an address of the range is free.
    pub(super) fn is_free(&self, address: IpAddr) -> bool {
        self.range.contains(address) && self.free.contains(to_bits(address))
    }

    /// Takes an address of the range, if it is still free.
    pub(super) fn take(&mut self, address: IpAddr) {
        self.free.take(to_bits(address));
    }

    /// Gives back an address of the range.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        self.free.give_back(to_bits(address));
    }
}

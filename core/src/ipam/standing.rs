//! Whether an Eip is served, by what it and its elders say.
//!
//! Two Eips must not hand out one address. Of any two that overlap the older one counts, whatever
//! its protocol and whether it is served itself: were it otherwise, an Eip that begins or ceases to
//! be served would turn the tables for a third one. Standing never takes an address from a holder;
//! it only decides where new ones come from.

use std::fmt;

use crate::{AddressRange, Eip, EipName, RangeError, interface::Interface, keys};

/// Whether an Eip is served, and what stands in the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It hands out addresses, unless it is disabled or being deleted.
    Served,
    /// It is of another protocol, and none of our business.
    NotLayer2,
    /// `spec.address` is no range of addresses.
    Malformed(RangeError),
    /// `spec.interface` is absent.
    NoInterface,
    /// `spec.interface` is no name of a link, and no address to be reached.
    BadInterface(String),
    /// An older Eip has some of its addresses.
    Overlaps {
        /// The older Eip: the oldest, if there are several.
        with: EipName,
        /// The range of that Eip.
        theirs: AddressRange,
        /// The own range.
        ours: AddressRange,
    },
}

impl Standing {
    /// What an Eip says of itself, without a look at others.
    pub(super) fn alone(eip: &Eip) -> Self {
        if !is_layer2(eip) {
            return Self::NotLayer2;
        }
        if let Err(error) = AddressRange::parse(&eip.address) {
            return Self::Malformed(error);
        }
        match eip.interface.as_deref().map(str::trim) {
            None | Some("") => Self::NoInterface,
            Some(interface) if Interface::parse(interface).is_none() => {
                Self::BadInterface(interface.to_owned())
            }
            Some(_) => Self::Served,
        }
    }

    /// The reason of the condition `Ready`, one word.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Served => "Served",
            Self::NotLayer2 => "NotLayer2",
            Self::Malformed(_) => "InvalidAddress",
            Self::NoInterface => "NoInterface",
            Self::BadInterface(_) => "InvalidInterface",
            Self::Overlaps { .. } => "Overlaps",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served => f.write_str("is served"),
            Self::NotLayer2 => f.write_str("is of another protocol than layer2"),
            Self::Malformed(error) => write!(f, "spec.address: {error}"),
            Self::NoInterface => f.write_str(
                "spec.interface is empty; set it to the name of the nodes' network interface on \
                 the LAN, such as eth0",
            ),
            Self::BadInterface(text) if Interface::is_reaching(text) => write!(
                f,
                "spec.interface {text:?} names no address; write one that every node reaches by its LAN, \
                 such as can_reach:192.0.2.1"
            ),
            Self::BadInterface(text) => write!(
                f,
                "spec.interface {text:?} is no name of a network interface; set it to one such as \
                 eth0"
            ),
            Self::Overlaps { with, theirs, ours } => write!(
                f,
                "spec.address {ours} overlaps the older Eip {with} ({theirs}); change the range of \
                 one of them"
            ),
        }
    }
}

/// Whether an Eip is one of those that this project serves.
pub(crate) fn is_layer2(eip: &Eip) -> bool {
    eip.protocol.as_deref() == Some(keys::LAYER2_PROTOCOL)
}

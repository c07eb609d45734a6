//! What can be seen of a replica from outside: for whoever watches over it, and for nobody who decides.

use super::Speaker;
use crate::{EipName, Kind, Link, LinkName, Unusable, ipam};

/// How full an Eip is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pool {
    /// How many addresses it has, saturated at `i64::MAX`; 0 as long as that is not on record.
    pub addresses: i64,
    /// How many of them are on record as held, however many Services share them.
    pub used: i64,
}

impl Speaker {
    /// The kinds of which nothing has been seen yet. Until there are none this replica can neither lead
    /// nor stand by.
    pub fn unlisted(&self) -> Vec<Kind> {
        let lease = (!self.election.has_seen()).then_some(Kind::Lease);
        self.cluster.unlisted().chain(lease).collect()
    }

    /// The kinds whose watch is broken: what is known of them grows old.
    pub fn broken(&self) -> impl Iterator<Item = Kind> + '_ {
        self.broken.keys().copied()
    }

    /// The links that Eips are on, as they are on this host, or why there is none to be used.
    pub fn links(&self) -> impl Iterator<Item = (LinkName, Result<&Link, Unusable>)> {
        self.listening.iter().map(|&name| (name, self.cluster.link(name)))
    }

    /// How full each layer2 Eip is, by name.
    pub fn pools(&self) -> impl Iterator<Item = (&EipName, Pool)> {
        let eips = self.cluster.eips.iter().filter(|(_, eip)| ipam::is_layer2(eip));
        eips.map(|(name, eip)| {
            let status = &eip.status;
            (name, Pool { addresses: status.pool_size, used: status.usage() })
        })
    }
}

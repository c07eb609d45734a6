//! What can be seen of a replica from outside: for whoever watches over it, and for nobody who decides.

use std::net::IpAddr;

use pnet::util::MacAddr;

use super::Speaker;
use crate::{
    EipName, Family, Instant, Kind, LeaseRecord, Link, LinkName, NodeName, Observer, Unusable, ipam,
};

/// How full an Eip is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pool {
    /// How many addresses it has, saturated at `i64::MAX`; 0 as long as that is not on record.
    pub addresses: i64,
    /// How many of them are on record as held, however many Services share them.
    pub used: i64,
}

/// A node of the cluster, as a replica sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Station {
    /// The node.
    pub node: NodeName,
    /// What the API server says against it: a clause that follows its name.
    pub bar: Option<&'static str>,
    /// Whether it takes no new EIPs, since it is cordoned.
    pub cordoned: bool,
    /// What is seen of it on each link where it is asked for.
    pub sights: Vec<Sight>,
}

/// What is seen of a node on a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sight {
    /// The link.
    pub link: LinkName,
    /// The address at which it is asked for.
    pub address: IpAddr,
    /// The MAC with which it answers.
    pub mac: Option<MacAddr>,
    /// What speaks against it: a clause that follows its name.
    pub obstacle: Option<&'static str>,
    /// Whether it came back from silence lately, and is chosen last.
    pub held_down: bool,
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

    /// The Lease, as last seen.
    pub fn lease(&self) -> Option<&LeaseRecord> {
        self.election.record()
    }

    /// What is on record, as this replica knows it.
    pub fn observe(&self) -> Observer<'_> {
        Observer::of(&self.cluster)
    }

    /// The nodes, by name, and what is seen of them on the links that Eips are on.
    pub fn stations(&self, now: Instant) -> impl Iterator<Item = Station> + '_ {
        self.cluster.nodes.iter().map(move |(node, facts)| {
            let spots = self.listening.iter().flat_map(|link| Family::ALL.map(|it| (*link, it)));
            Station {
                node: node.clone(),
                bar: self.cluster.bar(facts).map(|obstacle| obstacle.as_str()),
                cordoned: facts.cordoned,
                sights: spots.filter_map(|(link, it)| self.sight(node, link, it, now)).collect(),
            }
        })
    }

    fn sight(
        &self,
        node: &NodeName,
        link: LinkName,
        family: Family,
        now: Instant,
    ) -> Option<Sight> {
        let address = self.cluster.asked_at(node, link, family)?.ok()?;
        let own = self.cluster.links.get(&link).filter(|link| link.owns(address));
        let target = (link, address);
        Some(Sight {
            link,
            address,
            mac: own.map(|link| link.mac).or_else(|| self.neighbors.mac(target)),
            obstacle: self.cluster.obstacle(node, link, family).map(|it| it.as_str()),
            held_down: self.neighbors.is_held_down(target, now),
        })
    }
}

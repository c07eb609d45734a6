//! A world in the likeness of a real cluster: made of what is on record there.
//!
//! What a dump does not say is made up: MACs, and that the LAN is one and carries everything. Pods stay
//! where they are, and nobody makes new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use porter_core::{
    Eip, Input, Kind, LeaseTiming, LinkName, Node, NodeName, Observer, Version, keys,
};

use super::{Client, DRIFT_PPM, Dump, Event, Moment, Options, World, eth0, replica::ReplicaId};
use crate::check::Checks;

impl World {
    /// A world with what a dump has: nodes and objects as they are on record there, so many replicas on
    /// nodes that are Ready, and a router. The replica of the Lease's holder starts first, and leads
    /// before the others start.
    ///
    /// It is not looked for what must never be: a record may be at odds with itself from the beginning.
    pub(crate) fn like(dump: &Dump, n_replicas: usize, seed: u64) -> Self {
        let is_v6 = |node: &Node| node.addresses.iter().any(IpAddr::is_ipv6);
        let options = Options {
            nodes: Vec::new(),
            n_replicas: 0,
            timing: timing(dump),
            dual_stack: dump.nodes.values().any(is_v6),
            ..Options::guide()
        };
        let mut world =
            Self { is_flat: true, checks: Checks::none(), ..Self::empty(options, seed) };
        let sites = dump.sites(n_replicas);
        let others = dump.nodes.keys().filter(|name| !sites.contains(name));
        for name in sites.iter().chain(others) {
            world.place(name, &dump.nodes[name]);
        }
        world.add_host("router", 100, Client::Router, dump.free_addresses());
        world.take_over(dump);
        for id in 0..sites.len() {
            world.add_replica();
            world.queue.push(world.now, Event::Start(id));
            if id == 0 {
                world.run_until(world.options.timing.duration() * 2 + STEP, |it| {
                    it.leader().is_some()
                });
            }
        }
        world
    }

    /// Puts a node on the LAN, unless it has no address. One that is not Ready has no power.
    fn place(&mut self, name: &NodeName, node: &Node) {
        let addresses = addresses(node);
        let first = |v4: bool| addresses.iter().copied().find(|it| it.is_ipv4() == v4);
        let address6 = first(false);
        if let Some(address) = first(true).or(address6) {
            let address6 = address6.filter(|it| *it != address);
            let i = self.add_node(name.clone(), address, address6);
            let more = addresses.into_iter().filter(|it| *it != address && Some(*it) != address6);
            self.nodes[i].more = more.collect();
            self.nodes[i].powered = node.ready;
        }
        self.api.put_node(name.clone(), Some(node.clone()));
    }

    /// Has what the API server of the dump has.
    fn take_over(&mut self, dump: &Dump) {
        for (name, namespace) in &dump.namespaces {
            self.api.put_namespace(name.clone(), namespace.clone());
        }
        for (name, eip) in &dump.eips {
            self.api.put_eip(name.clone(), on_eth0(eip));
        }
        for (name, service) in &dump.services {
            self.api.put_service(name.clone(), service.clone());
        }
        self.cluster.fixed = dump.slices.clone();
        self.reconcile();
    }

    /// Lets the world go on until nothing is written any more but the Lease. Says whether that came.
    pub(crate) fn rest(&mut self) -> bool {
        let (mut n_changes, mut quiet) = (self.n_changes(), Duration::ZERO);
        let mut waited = Duration::ZERO;
        while quiet < QUIET && waited < REST_MAX {
            self.run(STEP);
            waited += STEP;
            let n_now = self.n_changes();
            let is_quiet = n_now == n_changes && self.leader().is_some();
            quiet = if is_quiet { quiet + STEP } else { Duration::ZERO };
            n_changes = n_now;
        }
        quiet >= QUIET
    }

    /// How often an object was changed.
    fn n_changes(&self) -> usize {
        self.api.log(0).iter().filter(|change| change.kind != Kind::Lease).count()
    }

    /// The node with whose MAC who asks for an EIP is answered now.
    pub(crate) fn told(&self, eip: IpAddr) -> Option<&NodeName> {
        let leader = self.leader()?;
        let process = self.replicas[leader].process.as_ref()?;
        let mac = process.answers.entry(eth0(), eip)?.ok()?;
        let speaks = self.local(leader) < process.until;
        self.nodes.iter().find(|node| speaks && node.mac == mac).map(|node| &node.name)
    }

    /// Since when an EIP is said to be where it is, if it was ever said.
    pub(crate) fn told_since(&self, eip: IpAddr) -> Option<Moment> {
        self.said.get(&eip).map(|(_, since)| *since)
    }

    /// Which node this is on the LAN.
    pub(crate) fn node_number(&self, name: &NodeName) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == *name)
    }

    /// The node on which a replica runs.
    pub(crate) fn site(&self, replica: ReplicaId) -> &NodeName {
        &self.nodes[replica].name
    }

    /// What is on record, for whoever explains it.
    pub(crate) fn observer(&self) -> Observer<'static> {
        let mut observer = Observer::new();
        for kind in [Kind::Eip, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice] {
            observer.handle_input(self.api.list(kind).1);
        }
        observer
    }

    /// The timing of the Lease.
    pub(crate) fn timing(&self) -> &LeaseTiming {
        &self.options.timing
    }
}

/// For how long nothing is written, for a world to be at rest.
const QUIET: Duration = Duration::from_secs(5);
/// For how long that is waited for.
const REST_MAX: Duration = Duration::from_secs(120);
/// How often it is looked.
const STEP: Duration = Duration::from_secs(1);

impl Dump {
    /// The nodes on which replicas run: that of the Lease's holder, then those of agents, then others, all
    /// of them Ready and with an address.
    pub(crate) fn sites(&self, n_replicas: usize) -> Vec<NodeName> {
        let holder = self.holder().and_then(|(_, node)| node);
        let all = holder.iter().chain(&self.agents).chain(self.nodes.keys());
        let fit = |name: &&NodeName| {
            self.nodes.get(*name).is_some_and(|node| node.ready && !addresses(node).is_empty())
        };
        let mut seen = BTreeSet::new();
        all.filter(fit).filter(|name| seen.insert(*name)).take(n_replicas).cloned().collect()
    }

    /// What is on record, for whoever explains it.
    pub(crate) fn observer(&self) -> Observer<'static> {
        fn at<K: Clone, T: Clone>(
            facts: &BTreeMap<K, T>,
            seen: fn(K, Version, Option<T>) -> Input,
        ) -> impl Iterator<Item = Input> {
            let facts = facts.iter();
            facts.map(move |(name, fact)| seen(name.clone(), Version(1), Some(fact.clone())))
        }
        let mut observer = Observer::new();
        at(&self.eips, Input::Eip)
            .chain(at(&self.namespaces, Input::Namespace))
            .chain(at(&self.nodes, Input::Node))
            .chain(at(&self.services, Input::Service))
            .chain(at(&self.slices, Input::Slice))
            .for_each(|input| observer.handle_input(input));
        observer
    }

    /// An address of each family that nobody has, for the router.
    fn free_addresses(&self) -> (IpAddr, Option<IpAddr>) {
        let taken: BTreeSet<_> = self.nodes.values().flat_map(addresses).collect();
        let is_free = |address: &IpAddr| {
            !taken.contains(address) && !self.eips.values().any(|eip| has(eip, *address))
        };
        // Networks for documentation (RFC 5737, RFC 3849), which no cluster should have.
        let mut v4 = (1..=254).map(|n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n)));
        let mut v6 =
            (1..=254).map(|n| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, n)));
        let v4 = v4.find(&is_free).unwrap_or_else(|| Ipv4Addr::new(198, 51, 100, 1).into());
        (v4, v6.find(&is_free))
    }
}

fn has(eip: &Eip, address: IpAddr) -> bool {
    porter_core::AddressRange::parse(&eip.address).is_ok_and(|range| range.contains(address))
}

/// The timing that goes with the Lease on record: the defaults, stretched to its duration.
fn timing(dump: &Dump) -> LeaseTiming {
    let known = dump.lease.as_ref().map(|lease| lease.duration);
    let of = |duration: Duration| {
        let (renew_every, timeout) = (duration * 3 / 10, duration / 5);
        LeaseTiming::new(duration, renew_every, timeout, Duration::from_millis(100), DRIFT_PPM).ok()
    };
    known.and_then(of).unwrap_or_default()
}

/// An Eip of the one link that there is in the world, unless it names none or what can be none.
fn on_eth0(eip: &Eip) -> Eip {
    let names_one = eip.interface.as_deref().map(str::trim).is_some_and(|text| {
        match text.strip_prefix("can_reach:") {
            Some(address) => address.parse::<IpAddr>().is_ok(),
            None => LinkName::new(text).is_some(),
        }
    });
    let interface = if names_one { Some(eth0().to_string()) } else { eip.interface.clone() };
    Eip { interface, ..eip.clone() }
}

/// The addresses of a node, that which its annotation names included.
fn addresses(node: &Node) -> Vec<IpAddr> {
    let mut addresses = node.addresses.clone();
    let spellings = [keys::Spelling::Porter, keys::Spelling::OpenElb];
    let named = spellings.map(|it| node.metadata.annotations.get(keys::LAYER2.spelled(it)));
    let named = named.into_iter().flatten().filter_map(|text| text.trim().parse::<IpAddr>().ok());
    addresses.extend(named);
    addresses
}

//! What can be seen from outside: what an operator would look at, and a person on the LAN.

use std::{collections::BTreeMap, error, fmt, net::IpAddr, time::Duration};

use porter_core::{Condition, MacAddr, NodeName, ServiceName, Texts, TrafficPolicy, keys};

use super::{Client, Manifest, Options, Step, World, host::Outcome, manifest, replica::ReplicaId};

/// Nobody answered a ping.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Destination Host Unreachable")
    }
}

impl error::Error for Unreachable {}

/// For how long a ping is waited for: a host asks for a MAC at 0, 1 and 2 s.
const PING_TIMEOUT: Duration = Duration::from_millis(3_500);

impl World {
    /// The guide's cluster with the guide's manifests applied.
    pub fn guide(seed: u64) -> Self {
        Self::with_guide(Options::guide(), seed)
    }

    /// A cluster with the guide's manifests applied.
    pub fn with_guide(options: Options, seed: u64) -> Self {
        let mut world = Self::new(options, seed);
        for manifest in world.manifests() {
            world.apply(&manifest);
        }
        world
    }

    /// The guide's manifests, for the families that there are.
    pub(super) fn manifests(&self) -> Vec<Manifest> {
        if self.is_dual_stack() { manifest::dual_stack() } else { manifest::guide() }
    }

    /// The replica that may speak now, by its own clock.
    pub fn leader(&self) -> Option<ReplicaId> {
        (0..self.replicas.len()).find(|id| self.leads(*id))
    }

    /// Whether a replica may speak now, by its own clock.
    pub fn leads(&self, id: ReplicaId) -> bool {
        let process = self.replicas[id].process.as_ref();
        process.is_some_and(|process| process.speaker.leads(self.local(id)))
    }

    /// How many replicas there are.
    pub fn n_replicas(&self) -> usize {
        self.replicas.len()
    }

    /// The name of the node on which a replica runs.
    pub fn replica_name(&self, id: ReplicaId) -> &str {
        &self.replicas[id].name
    }

    /// The identity in the Lease, if it is held.
    pub fn holder(&self) -> Option<String> {
        let (_, lease) = self.api.lease.as_ref()?;
        lease.holder.as_ref().map(ToString::to_string)
    }

    /// The identity of a replica's process, if it runs.
    pub fn identity(&self, id: ReplicaId) -> Option<String> {
        self.replicas[id].process.as_ref().map(|process| process.identity.to_string())
    }

    /// The addresses in a Service's status: its `EXTERNAL-IP`.
    pub fn external_ip(&self, service: &ServiceName) -> Vec<IpAddr> {
        self.api.services.get(service).into_iter().flat_map(|(_, svc)| svc.shown()).collect()
    }

    /// What is said of who else claims an address of a Service.
    pub fn conflict(&self, service: &ServiceName) -> Option<&Condition> {
        self.api.services.get(service)?.1.conflict.as_ref()
    }

    /// Whether a Service is there, deleted but not gone included.
    pub fn has_service(&self, service: &ServiceName) -> bool {
        self.api.services.contains_key(service)
    }

    /// The node recorded on a Service.
    pub fn recorded_node(&self, service: &ServiceName) -> Option<NodeName> {
        let (_, service) = self.api.services.get(service)?;
        crate::check::recorded(&service.metadata.annotations).map(NodeName::from)
    }

    /// The addresses that an Eip's status says are held, and by whom.
    pub fn used(&self) -> Vec<(IpAddr, ServiceName)> {
        let used = self.api.eips.values().flat_map(|(_, eip)| &eip.status.used);
        used.flat_map(|(ip, by)| by.iter().map(|name| (*ip, name.clone()))).collect()
    }

    /// The nodes with a ready endpoint of a Service.
    pub fn nodes_behind(&self, service: &ServiceName) -> Vec<NodeName> {
        let slices = self.api.slices.values().filter(|(_, slice)| slice.service == *service);
        let endpoints = slices.flat_map(|(_, slice)| &slice.endpoints);
        endpoints
            .filter(|endpoint| endpoint.ready)
            .filter_map(|endpoint| endpoint.node.clone())
            .collect()
    }

    /// The MAC of a node.
    pub fn mac_of(&self, node: &NodeName) -> Option<MacAddr> {
        self.nodes.iter().find(|host| host.name == *node).map(|host| host.mac)
    }

    /// Sends one ping from the host outside the cluster and waits for the answer. Returns the node
    /// that was at work, and how long it took.
    pub fn ping(&mut self, target: IpAddr) -> Result<(NodeName, Duration), Unreachable> {
        self.ping_from(0, target)
    }

    /// Sends one ping from one of the hosts outside, likewise.
    pub(super) fn ping_from(
        &mut self,
        host: usize,
        target: IpAddr,
    ) -> Result<(NodeName, Duration), Unreachable> {
        let sent_at = self.now;
        let number = self.hosts[host].ping(target, self.now);
        self.drain_host(host);
        let waits = |world: &Self| *world.hosts[host].outcome(number) == Outcome::Waiting;
        self.run_until(PING_TIMEOUT, |world| !waits(world));
        match self.hosts[host].outcome(number) {
            Outcome::Answered { by, at } => Ok((by.clone(), at.since(sent_at))),
            Outcome::Unreachable | Outcome::Waiting => Err(Unreachable),
        }
    }

    /// The MAC to which the host outside the cluster would send for `address`.
    pub fn neighbour(&self, address: IpAddr) -> Option<MacAddr> {
        self.hosts[0].neighbour(address)
    }

    /// The MAC to which each host outside the cluster would send for `address`, by what it is like.
    pub fn neighbours(&self, address: IpAddr) -> Vec<(Client, Option<MacAddr>)> {
        let clients = self.hosts.iter().take(self.n_clients());
        clients.map(|host| (host.kind(), host.neighbour(address))).collect()
    }

    /// `ip neigh` on the host outside the cluster.
    pub fn ip_neigh(&self) -> String {
        self.hosts[0].to_string()
    }

    /// `ip neigh flush` there: the next packet asks anew.
    pub fn flush_neighbours(&mut self) {
        self.hosts[0].forget();
    }

    /// How often two replicas could have spoken at one moment, in a world whose clocks are off by
    /// more than is bounded. In any other world that is a violation.
    pub fn n_overlaps(&self) -> u64 {
        self.checks.n_overlaps()
    }

    /// How often each of the things happened that have to happen in some worlds.
    pub fn sometimes(&self) -> BTreeMap<&'static str, u64> {
        self.checks.seen.counts()
    }

    /// What happened so far, one line per event worth reading.
    pub fn transcript(&self) -> String {
        self.transcript.tail(usize::MAX).to_string()
    }

    /// Does many things, one after the other.
    pub fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    /// Fails the run if `owed` does not hold, with all that is needed to see it again.
    ///
    /// # Panics
    ///
    /// If it does not hold.
    pub fn demand(&self, owed: bool, what: &str) {
        assert!(owed, "{}", self.report(&format!("it is owed that {what}")));
    }

    /// The MAC that every host should have for an EIP: that of the recorded node, if it can serve. A
    /// node without a pod can if the Service says that it was taken for lack of another.
    pub fn owed_mac(&self, service: &ServiceName) -> Option<MacAddr> {
        let node = self.recorded_node(service)?;
        let (_, facts) = self.api.services.get(service)?;
        let announced = facts.announced.as_ref();
        let elsewhere = facts.policy == TrafficPolicy::Cluster
            && announced.is_some_and(|it| it.reason == "AnnouncedElsewhere");
        let serves = elsewhere || self.nodes_behind(service).contains(&node);
        serves.then(|| self.mac_of(&node)).flatten()
    }

    /// Every Service of ours.
    pub fn services(&self) -> Vec<ServiceName> {
        let ours = |annotations: &Texts| annotations.contains_key(keys::LOAD_BALANCER);
        let all = self.api.services.iter();
        all.filter(|(_, (_, svc))| ours(&svc.metadata.annotations))
            .map(|(n, _)| n.clone())
            .collect()
    }
}

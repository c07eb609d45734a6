//! A whole cluster on a LAN in memory, decided by one seed.
//!
//! There is one queue of events and one source of chance; nothing reads a real clock, and whatever
//! is iterated over has a fixed order. The world drives real [`porter_core::Speaker`]s: it tells them
//! facts late, lets their writes and frames take time or get lost, stalls and kills them - and knows
//! true time, which they do not. After every event it checks what must never be (`crate::check`).

mod api;
mod api_faults;
mod apply;
mod client;
mod clock;
mod cluster;
mod dump;
mod family;
mod fault;
mod frame;
mod hardware;
mod host;
mod lan;
mod likeness;
mod manifest;
mod options;
mod owed;
mod queue;
mod replica;
mod rng;
mod story;
mod stranger;
mod tables;
mod trace;
mod traffic;
mod transcript;
mod view;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    time::Duration,
};

use porter_core::{Instant, LinkName, MacAddr, Namespace, NamespaceName, NodeName, Timestamp};

pub use client::Client;
pub use clock::Moment;
pub use dump::{Dump, DumpError};
pub use fault::Step;
pub use manifest::{Manifest, ManifestError};
pub use options::{Options, Weather};
pub use owed::Trial;
pub use story::{Told, tell};
pub use trace::{Happening, Lane, Mark, Mode, State, Subject, Tick, Trace};
pub use view::Unreachable;

pub(crate) use api::Api;
pub(crate) use clock::Clock;
pub(crate) use cluster::Exposed;
pub(crate) use family::{ALL_NODES, ALL_ROUTERS, asked_in};
pub(crate) use frame::{Frame, Says};
pub(crate) use hardware::GRACE;
pub(crate) use options::{DRIFT_PPM, timings};
pub(crate) use replica::{Process, Replica};
pub(crate) use rng::Rng;

use crate::check::{Checks, Violation};
use cluster::{Cluster, PodId};
use host::Host;
use lan::{Port, Switch};
use queue::Queue;
use replica::{Incarnation, ReplicaId, Task};
use traffic::Request;
use transcript::Transcript;

/// The wall-clock time at which every world begins: 1 January 2026.
const DAWN: Timestamp = Timestamp(1_767_225_600_000_000);

/// A cluster, its LAN, and a host outside.
#[derive(Clone)]
pub struct World {
    seed: u64,
    now: Moment,
    rng: Rng,
    queue: Queue<Event>,
    options: Options,
    weather: Weather,
    pub(crate) api: Api,
    /// While the API server stands still: until when.
    api_stalled_until: Moment,
    /// By how many seconds the API server's wall clock is off.
    api_wall_secs: i32,
    /// How much of the API server's log was handed to the watches.
    distributed: usize,
    cluster: Cluster,
    switch: Switch,
    pub(crate) nodes: Vec<NodeHost>,
    pub(crate) replicas: Vec<Replica>,
    /// Hosts outside the cluster; their ports follow those of the nodes.
    hosts: Vec<Host>,
    /// Whether hosts may have been told what is wrong, or kept from hearing what is right, in a way
    /// that only the next announcement mends.
    misled: bool,
    /// Nodes that stay as broken as they are when all else is mended.
    outside: BTreeSet<usize>,
    steps: Vec<Step>,
    transcript: Transcript,
    /// What a picture of the run needs, if one is wanted.
    recorder: Option<trace::Recorder>,
    /// Where replicas have said that each EIP is, and since when.
    said: BTreeMap<IpAddr, (MacAddr, Moment)>,
    /// Whether every address is on the LAN, whatever its subnet, and the host outside is the router.
    is_flat: bool,
    checks: Checks,
    n_events: u64,
    /// Whether a violation is kept for whoever asks, and stops nothing but this world.
    keeps_violation: bool,
    violation: Option<String>,
}

/// A node as a host on the LAN.
#[derive(Clone, Debug)]
pub(crate) struct NodeHost {
    pub(crate) name: NodeName,
    pub(crate) address: IpAddr,
    /// Its address of IPv6, in a dual-stack world.
    pub(crate) address6: Option<IpAddr>,
    pub(crate) mac: MacAddr,
    pub(crate) clock: Clock,
    /// Every MAC that it ever had.
    pub(crate) macs: Vec<MacAddr>,
    /// When it got the last of its network cards; `None`: it has the first.
    pub(crate) card_since: Option<Moment>,
    /// Every MAC that others answered with for an address that it had: who asks for it there cannot tell
    /// them apart.
    pub(crate) others: Vec<MacAddr>,
    /// Every address that it ever had.
    pub(crate) addresses: Vec<IpAddr>,
    /// Further addresses that are its own.
    pub(crate) more: Vec<IpAddr>,
    /// Another node's address that it has too, by mistake.
    pub(crate) also: Option<IpAddr>,
    /// Whether its kernel answers for the EIPs that kube-proxy has there (IPVS without `strictARP`).
    pub(crate) answers_eips: bool,
    /// While the host is suspended: until when.
    pub(crate) suspended_until: Moment,
    /// By how many seconds its wall clock is off.
    pub(crate) wall_secs: i32,
    /// Whether its cable is in.
    pub(crate) carrier: bool,
    pub(crate) powered: bool,
    /// Whether kube-proxy runs there.
    pub(crate) proxied: bool,
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A frame arrives at a host.
    Frame(Port, Frame),
    /// The node controller has waited long enough for a node.
    GivenUp(usize),
    /// A timer of a host outside the cluster is due.
    HostTimer(usize),
    /// A kubelet tells the address of its node.
    Registered(usize),
    /// A request arrives at the API server.
    Request(ReplicaId, Incarnation, Request),
    /// A frame of a replica that speaks for an EIP leaves its host.
    Speech(ReplicaId, Incarnation, Frame),
    /// A pod is ready, or gone if it was ending.
    Pod(PodId),
    /// A host goes on that was suspended.
    Resumed(usize),
    /// A process that has ended is started again.
    Start(ReplicaId),
    /// Something for a process to do. It waits while the process is stalled.
    Task(ReplicaId, Incarnation, Box<Task>),
}

impl World {
    /// A world with nothing in it but nodes and replicas, which start within its first second.
    pub fn new(options: Options, seed: u64) -> Self {
        let mut world = Self::empty(options, seed);
        for (name, address) in world.options.nodes.clone() {
            let address = address.into();
            let address6 = family::beside(address).filter(|_| world.is_dual_stack());
            let i = world.add_node(NodeName::from(name.as_str()), address, address6);
            world.put_node(i, |_| {});
        }
        world.api.put_namespace(NamespaceName::from("default"), Namespace::default());
        for _ in 0..world.options.n_replicas.min(world.nodes.len()) {
            let id = world.add_replica();
            let starts_at = Moment::ZERO + world.rng.up_to(Duration::from_millis(800));
            world.queue.push(starts_at, Event::Start(id));
        }
        for (number, kind) in (100..).zip(world.options.clients.clone()) {
            let name = if number == 100 { "client".to_owned() } else { format!("client{number}") };
            world.add_client(&name, number, kind);
        }
        if world.hosts.is_empty() {
            world.add_client("client", 100, Client::default());
        }
        world
    }

    fn empty(options: Options, seed: u64) -> Self {
        Self {
            seed,
            now: Moment::ZERO,
            rng: Rng::new(seed),
            queue: Queue::new(),
            api: Api::default(),
            api_stalled_until: Moment::ZERO,
            api_wall_secs: 0,
            distributed: 0,
            cluster: Cluster::default(),
            switch: Switch::new(options.fdb_age, options.blocks_unknown),
            nodes: Vec::new(),
            replicas: Vec::new(),
            hosts: Vec::new(),
            misled: false,
            outside: BTreeSet::new(),
            steps: Vec::new(),
            transcript: Transcript::default(),
            recorder: None,
            said: BTreeMap::new(),
            is_flat: false,
            checks: Checks::default(),
            n_events: 0,
            keeps_violation: false,
            violation: None,
            weather: options.weather.clone(),
            options,
        }
    }

    /// Plugs a node into the LAN, of which the API server knows nothing yet.
    fn add_node(&mut self, name: NodeName, address: IpAddr, address6: Option<IpAddr>) -> usize {
        let i = self.nodes.len();
        self.switch.plug();
        let ppm = self.options.clocks_ppm[i % self.options.clocks_ppm.len()];
        let booted = Instant::ZERO + self.rng.up_to(Duration::from_secs(9_000_000));
        let [.., block, number] = i.to_be_bytes();
        let mac = MacAddr(
            0x52,
            0x54,
            0x22,
            0x40,
            0x2a_u8.wrapping_add(block),
            0x66_u8.wrapping_add(number),
        );
        self.nodes.push(NodeHost {
            name,
            address,
            address6,
            mac,
            clock: Clock::new(booted, ppm),
            macs: vec![mac],
            card_since: None,
            others: Vec::new(),
            addresses: [address].into_iter().chain(address6).collect(),
            more: Vec::new(),
            also: None,
            answers_eips: false,
            suspended_until: Moment::ZERO,
            wall_secs: 0,
            carrier: true,
            powered: true,
            proxied: true,
        });
        i
    }

    /// Adds a replica, which does not run yet, on the first node that has none.
    fn add_replica(&mut self) -> ReplicaId {
        let id = self.replicas.len();
        self.replicas.push(Replica::new(self.nodes[id].name.as_str()));
        id
    }

    /// Lets the world go on for a while.
    ///
    /// # Panics
    ///
    /// When something happens that must never be, with all that is needed to see it again; unless
    /// it is to be kept ([`World::keep_violation`]).
    pub fn run(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// Lets the world go on until something is so. Says whether it was, within `limit`.
    pub fn run_until(&mut self, limit: Duration, mut so: impl FnMut(&Self) -> bool) -> bool {
        self.observe();
        let until = self.now + limit;
        while !so(self) {
            if self.violation.is_some() {
                return false; // A world that has broken a promise proves nothing by going on.
            }
            let Some((at, event)) = self.queue.pop(until) else {
                self.now = until;
                return so(self);
            };
            self.now = at;
            self.n_events += 1;
            self.handle(event);
            self.check();
        }
        true
    }

    /// From here on what must never be is kept for whoever asks, and this world stands still.
    pub fn keep_violation(&mut self) {
        self.keeps_violation = true;
    }

    /// What happened that must never be, if it was to be kept.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// How many events there were: everything that was taken from the queue.
    pub fn n_events(&self) -> u64 {
        self.n_events
    }

    /// True time.
    pub fn now(&self) -> Moment {
        self.now
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Frame(port, frame) => self.handle_frame(port, &frame),
            Event::GivenUp(node) => self.handle_given_up(node),
            Event::HostTimer(i) => {
                self.hosts[i].handle_timeout(self.now);
                self.drain_host(i);
            }
            Event::Registered(node) => self.handle_registered(node),
            Event::Resumed(node) => self.handle_resumed(node),
            Event::Request(id, incarnation, request) => {
                self.handle_request(id, incarnation, request);
            }
            Event::Speech(id, incarnation, frame) => self.handle_speech(id, incarnation, frame),
            Event::Pod(pod) => self.handle_pod(pod),
            Event::Start(id) => self.start(id),
            Event::Task(id, incarnation, task) => self.handle_task(id, incarnation, *task),
        }
    }

    /// Plugs a host outside the cluster into the LAN, in the nodes' subnet.
    fn add_client(&mut self, name: &str, number: u8, kind: Client) {
        let address = self.address_in_net(number);
        let address6 = family::beside(address).filter(|_| self.is_dual_stack());
        self.add_host(name, number, kind, (address, address6));
    }

    /// Plugs a host outside the cluster into the LAN.
    fn add_host(&mut self, name: &str, number: u8, kind: Client, at: (IpAddr, Option<IpAddr>)) {
        let mac = MacAddr(0x52, 0x54, 0x22, 0x50, 0, number);
        let reachable_for = Duration::from_secs(15) + self.rng.up_to(Duration::from_secs(30));
        self.switch.plug();
        self.hosts.push(Host::new(name, kind, (at.0, at.1, mac), reachable_for));
    }

    /// An address in the nodes' subnet.
    fn address_in_net(&self, number: u8) -> IpAddr {
        let net = match self.nodes.first().map(|node| node.address) {
            Some(IpAddr::V4(address)) => address.octets(),
            Some(IpAddr::V6(_)) | None => [172, 22, 0, 0],
        };
        IpAddr::from([net[0], net[1], net[2], number])
    }

    fn check(&mut self) {
        self.observe();
        let mut checks = std::mem::take(&mut self.checks);
        let verdict = checks.after_event(self);
        self.checks = checks;
        self.owe(verdict);
    }

    /// Stops everything if something happened that must never be.
    fn owe(&mut self, verdict: Result<(), Violation>) {
        match verdict {
            Err(violation) if self.keeps_violation => {
                self.violation.get_or_insert_with(|| violation.to_string());
            }
            Err(violation) => panic!("{}", self.report(&violation)),
            Ok(()) => {}
        }
    }

    /// How long a claim of the Lease lasts.
    pub(crate) fn lease_duration(&self) -> Duration {
        self.options.timing.duration()
    }

    /// What to paste to see it again, and what happened.
    fn report(&self, violation: &dyn fmt::Display) -> String {
        format!(
            "{violation}\nseed {}\noptions {:?}\nsteps {:?}\n{}",
            self.seed,
            self.options,
            self.steps,
            self.transcript.tail(60)
        )
    }

    fn log(&mut self, line: String) {
        self.transcript.push(self.now, line);
    }

    /// The wall-clock time, as the API server has it.
    fn wall_time(&self) -> Timestamp {
        let now = DAWN + self.now.since(Moment::ZERO);
        Timestamp(now.0 + i64::from(self.api_wall_secs) * 1_000_000)
    }
}

/// The one link of every node.
pub(crate) fn eth0() -> LinkName {
    LinkName::new("eth0").expect("Linux takes it for a name")
}

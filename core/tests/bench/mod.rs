//! One replica on node1 and everything around it: an API server, a LAN on which nodes answer, and
//! responders. A test may hold back the watch, the verdicts and the acknowledgements.

#![allow(dead_code, unused_imports, reason = "no test needs all of it")]

mod acts;
mod api;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

pub(crate) use acts::*;
pub(crate) use api::{Api, is_held};
use porter_core::{
    Answers, Config, ConflictProbing, Eip, EipName, Endpoint, Event, Family, Generation, Got, Heed,
    Identity, Ingress, Input, Instant, IsAt, Kind, LeaseRecord, LeaseTiming, Link, LinkName,
    MacAddr, Move, Node, NodeName, OnConflict, Output, Probe, Probing, ProxyHealth, Read,
    ReadError, ReadId, Service, ServiceName, Slice, SliceName, Speaker, Timestamp, WhoHas, Write,
    WriteError, WriteId, keys,
};
pub(crate) use told::*;

pub(crate) const PROTOCOL: &str = "protocol.porter.kubesphere.io/v1alpha1";
pub(crate) const RECORD: &str = "layer2.porter.kubesphere.io/v1alpha1";
pub(crate) const NODES: [(&str, u8); 3] = [("node1", 3), ("node3", 9), ("node4", 10)];

pub(crate) struct Bench {
    pub(crate) speaker: Speaker,
    pub(crate) now: Instant,
    pub(crate) api: Api,
    pub(crate) until: Instant,
    /// The snapshot that is answered from.
    pub(crate) answers: Arc<Answers>,
    pub(crate) announced: Vec<IsAt>,
    pub(crate) moved: Vec<Move>,
    /// The addresses whose link is asked for.
    pub(crate) routed: BTreeSet<IpAddr>,
    /// What people were told.
    pub(crate) events: Vec<Event>,
    pub(crate) written: Vec<Write>,
    pub(crate) left: bool,
    /// The groups that it is in.
    pub(crate) groups: BTreeSet<(LinkName, Ipv6Addr)>,
    /// What was said last of what has to be heard on a link.
    pub(crate) heeds: BTreeMap<LinkName, Heed>,
    /// The links that are to be listened on.
    pub(crate) listening: BTreeSet<LinkName>,
    /// Nodes' addresses that nobody answers for on the LAN.
    pub(crate) mute: BTreeSet<IpAddr>,
    /// The MAC of eth0 here.
    pub(crate) own: MacAddr,
    /// At which MAC those are that are not at the one of their last byte.
    pub(crate) elsewhere: BTreeMap<IpAddr, MacAddr>,
    /// Who answers for an EIP, or what is to become one: where it is said to be, and by whom.
    pub(crate) rivals: BTreeMap<IpAddr, (MacAddr, MacAddr)>,
    /// When it was asked who else has an address.
    pub(crate) probed: Vec<(Instant, IpAddr)>,
    /// What kube-proxy says of itself where it is not well.
    pub(crate) proxies: BTreeMap<NodeName, ProxyHealth>,
    /// How often each node's was asked.
    pub(crate) n_checks: BTreeMap<NodeName, usize>,
    /// Whether the watch is delivered at once.
    pub(crate) watches: bool,
    /// Whether reads and writes get their verdicts at once.
    pub(crate) replies: bool,
    /// Whether responders acknowledge at once.
    pub(crate) acknowledges: bool,
    pub(crate) writes: VecDeque<(WriteId, Write)>,
    pub(crate) reads: VecDeque<(ReadId, Read)>,
    pub(crate) unacknowledged: Option<Generation>,
    /// Writes that were given up and may still take effect.
    late: Vec<Write>,
    /// How conflicts about addresses are minded.
    minds: (Option<ConflictProbing>, OnConflict),
    /// How many processes there were.
    n_started: u64,
}

pub(crate) fn eth0() -> LinkName {
    LinkName::new("eth0").unwrap()
}

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr(2, 0, 0, 0, 0, last)
}

pub(crate) fn eip(last: u8) -> IpAddr {
    [172, 22, 0, last].into()
}

pub(crate) fn web() -> ServiceName {
    ServiceName::new("default", "web")
}

pub(crate) fn pool() -> EipName {
    EipName::from("pool")
}

/// An entry of an ingress, with the address `172.22.0.last`.
pub(crate) fn shows(last: u8) -> Ingress {
    Ingress::Address(eip(last))
}

/// A link of node1, whose address is 172.22.0.3.
pub(crate) fn link() -> Link {
    let net = "172.22.0.3/24".parse().unwrap();
    Link { mac: mac(3), addresses: vec![net], gateways: BTreeSet::new(), carrier: true }
}

/// A pool on eth0.
pub(crate) fn layer2(address: &str) -> Eip {
    Eip {
        address: address.to_owned(),
        interface: Some("eth0".to_owned()),
        protocol: Some("layer2".to_owned()),
        ..Eip::default()
    }
}

/// A Service as in the guide.
pub(crate) fn asking() -> Service {
    let mut service = Service { load_balancer: true, ..Service::default() };
    for (key, value) in [(keys::LOAD_BALANCER, "porter"), (PROTOCOL, "layer2")] {
        service.metadata.annotations.insert(key.to_owned(), value.to_owned());
    }
    service
}

/// A node with one address on the LAN.
pub(crate) fn node(last: u8) -> Node {
    Node { ready: true, addresses: vec![eip(last)], ..Node::default() }
}

impl Bench {
    /// A replica that has not heard of anything.
    pub(crate) fn new() -> Self {
        Self::with(None, OnConflict::Defend)
    }

    /// One that minds conflicts about addresses like this.
    pub(crate) fn with(conflict_probing: Option<ConflictProbing>, on_conflict: OnConflict) -> Self {
        let identity = Identity::from("node1");
        let config = Config {
            identity,
            epoch: Timestamp(0),
            lease: LeaseTiming::default(),
            probing: Probing::default(),
            checks_proxies: true,
            conflict_probing,
            on_conflict,
        };
        Self {
            speaker: Speaker::new(config, 7),
            now: Instant::ZERO,
            api: Api::new(),
            until: Instant::ZERO,
            answers: Arc::default(),
            announced: Vec::new(),
            moved: Vec::new(),
            routed: BTreeSet::new(),
            events: Vec::new(),
            written: Vec::new(),
            left: false,
            groups: BTreeSet::new(),
            heeds: BTreeMap::new(),
            listening: BTreeSet::new(),
            mute: BTreeSet::new(),
            own: mac(3),
            elsewhere: BTreeMap::new(),
            rivals: BTreeMap::new(),
            probed: Vec::new(),
            proxies: BTreeMap::new(),
            n_checks: BTreeMap::new(),
            watches: true,
            replies: true,
            acknowledges: true,
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            unacknowledged: None,
            late: Vec::new(),
            minds: (conflict_probing, on_conflict),
            n_started: 1,
        }
    }

    /// Replaces the replica by a new process that knows nothing. What the old one asked for may
    /// still take effect.
    pub(crate) fn restart(&mut self) {
        self.n_started += 1;
        let identity = Identity::from(format!("node1-{}", self.n_started).as_str());
        let config = Config {
            identity,
            epoch: Timestamp(0),
            lease: LeaseTiming::default(),
            probing: Probing::default(),
            checks_proxies: true,
            conflict_probing: self.minds.0,
            on_conflict: self.minds.1,
        };
        self.speaker = Speaker::new(config, self.n_started);
        self.answers = Arc::default();
        self.until = Instant::ZERO;
        self.unacknowledged = None;
        self.groups.clear();
        self.reads.clear();
        self.late.extend(self.writes.drain(..).map(|(_, write)| write));
    }

    /// Lets the writes that were given up take effect, where their objects still are as expected.
    pub(crate) fn land(&mut self) {
        for write in std::mem::take(&mut self.late) {
            let _ = self.api.write(write);
        }
        self.pump();
    }

    /// A replica that leads, with the guide's Eip and three nodes.
    pub(crate) fn leading() -> Self {
        let mut bench = Self::new();
        bench.lead();
        bench
    }

    /// Tells of a link, three nodes and the guide's Eip, beside what the API server has already.
    pub(crate) fn prepare(&mut self) {
        self.tell(Input::Link(eth0(), Ok(link())));
        for (name, last) in NODES {
            self.api.put_node(&NodeName::from(name), Some(node(last)));
        }
        self.api.put_eip(&pool(), Some(layer2("172.22.0.188-172.22.0.200")));
        self.list();
    }

    /// Prepares everything, and waits until the replica leads.
    pub(crate) fn lead(&mut self) {
        self.prepare();
        self.run(Duration::from_secs(8));
        assert!(self.speaker.leads(self.now));
    }

    /// A leader that answers for [`web`] with node3.
    pub(crate) fn serving() -> Self {
        let mut bench = Self::leading();
        bench.endpoints(&web(), &["node3"]);
        bench.service(&web(), Some(asking()));
        assert_eq!(bench.ask(188), Some(mac(9)));
        bench
    }

    /// Lets another replica take the Lease.
    pub(crate) fn usurp(&mut self) {
        self.api.put_lease(LeaseRecord {
            holder: Some(Identity::from("other")),
            duration: Duration::from_secs(5),
            acquired: Timestamp(0),
            renewed: Timestamp(0),
            transitions: 0,
            released_by: None,
            ..LeaseRecord::default()
        });
        self.pump();
    }

    /// Lists everything.
    pub(crate) fn list(&mut self) {
        for kind in
            [Kind::Eip, Kind::Service, Kind::Namespace, Kind::Node, Kind::Slice, Kind::Lease]
        {
            let listing = self.api.list(kind);
            self.tell(listing);
        }
    }

    /// Puts a Service in place, or removes it.
    pub(crate) fn service(&mut self, name: &ServiceName, service: Option<Service>) {
        self.api.put_service(name, service);
        self.settle();
    }

    /// Changes a Service as a person would.
    pub(crate) fn edit_service(&mut self, name: &ServiceName, edit: impl FnOnce(&mut Service)) {
        let Some((_, service)) = self.api.services.get(name) else { return };
        let mut service = service.clone();
        edit(&mut service);
        self.service(name, Some(service).filter(|service| is_held(&service.metadata)));
    }

    /// Puts an Eip in place, or removes it.
    pub(crate) fn eip(&mut self, name: &EipName, eip: Option<Eip>) {
        self.api.put_eip(name, eip);
        self.settle();
    }

    /// Changes an Eip as a person would.
    pub(crate) fn edit_eip(&mut self, name: &EipName, edit: impl FnOnce(&mut Eip)) {
        let Some((_, eip)) = self.api.eips.get(name) else { return };
        let mut eip = eip.clone();
        edit(&mut eip);
        self.eip(name, Some(eip).filter(|eip| is_held(&eip.metadata)));
    }

    /// Sets the nodes with a ready endpoint of a Service.
    pub(crate) fn endpoints(&mut self, service: &ServiceName, nodes: &[&str]) {
        let endpoint = |node: &&str| Endpoint {
            node: Some(NodeName::from(*node)),
            ready: true,
            serving: true,
            terminating: false,
        };
        let endpoints = nodes.iter().map(endpoint).collect();
        let name = SliceName::new(service.namespace(), service.name());
        let slice = Slice { service: service.clone(), family: Family::V4, endpoints };
        self.api.put_slice(&name, slice);
        self.settle();
    }

    /// Puts a node in place, or removes it.
    pub(crate) fn node(&mut self, name: &str, node: Option<Node>) {
        self.api.put_node(&NodeName::from(name), node);
        self.settle();
    }

    /// Does what is wanted, and unless something is held back also what is written a little later
    /// on purpose: the status of an Eip.
    pub(super) fn settle(&mut self) {
        self.pump();
        if self.watches && self.replies && self.acknowledges {
            self.run(Duration::from_millis(250));
        }
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.speaker.handle_input(input, self.now);
        self.pump();
    }

    /// Does what is wanted, as far as nothing is held back.
    pub(crate) fn pump(&mut self) {
        let mut n_rounds = 0;
        loop {
            n_rounds += 1;
            assert!(n_rounds < 1_000_000, "it comes to no rest");
            if let Some(output) = self.speaker.poll_output() {
                self.perform(output);
            } else if let Some(generation) = self.unacknowledged.filter(|_| self.acknowledges) {
                self.unacknowledged = None;
                self.speaker.handle_input(Input::Silenced(generation), self.now);
            } else if self.replies && !self.reads.is_empty() {
                let got = self.next_read().expect("a read is waiting");
                self.speaker.handle_input(got, self.now);
            } else if self.replies && !self.writes.is_empty() {
                let written = self.next_write(Verdict::Done).expect("a write is waiting");
                self.speaker.handle_input(written, self.now);
            } else if let Some(input) = self.next_event() {
                self.speaker.handle_input(input, self.now);
            } else {
                return;
            }
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Input> {
        if self.watches { self.api.watch.pop_front() } else { None }
    }

    pub(crate) fn perform(&mut self, output: Output) {
        match output {
            Output::Announce(is_at) => {
                assert!(self.now < self.until, "announced without a permission: {is_at:?}");
                let answer = self.answers.entry(is_at.link, is_at.target);
                assert_eq!(answer, Some(Ok(is_at.mac)), "announced and not answered: {is_at:?}");
                self.announced.push(is_at);
            }
            Output::Check(node, _) => {
                *self.n_checks.entry(node.clone()).or_default() += 1;
                let health = self.proxies.get(&node).copied().unwrap_or(ProxyHealth::Well);
                self.speaker.handle_input(Input::Checked(node, health), self.now);
            }
            Output::Event(event) => self.events.push(event),
            Output::Heed(link, heed) => drop(self.heeds.insert(link, heed)),
            Output::Left => self.left = true,
            Output::Join(link, group) => {
                assert!(self.groups.insert((link, group)), "{group} is joined already");
            }
            Output::Quit(link, group) => {
                assert!(self.groups.remove(&(link, group)), "{group} was not joined");
            }
            Output::Listen(links) => self.listen(links),
            Output::Moved(moved) => self.moved.push(moved),
            Output::Permit(until) => self.until = until,
            Output::Probe(probe) if probe.is_for_conflicts() => self.contest(probe),
            Output::Probe(probe) => {
                let mac = self.mac_at(probe.target);
                let (link, target, to) = (probe.link, probe.target, Some(probe.sender));
                let heard = Input::Heard(IsAt { link, target, mac, to, via: mac });
                if !self.mute.contains(&target) {
                    self.speaker.handle_input(heard, self.now);
                }
            }
            Output::Publish(answers, generation) => {
                self.answers = answers;
                self.unacknowledged = Some(generation);
            }
            Output::Read(id, read) => self.reads.push_back((id, read)),
            Output::Route(addresses) => self.routed = addresses,
            Output::Write(id, write) => {
                let of = |write: &Write| match write {
                    Write::Eip(name, ..) => format!("Eip {name}"),
                    Write::Lease(..) => "Lease".to_owned(),
                    Write::Service(name, ..) => format!("Service {name}"),
                };
                let busy = self.writes.iter().any(|(_, other)| of(other) == of(&write));
                assert!(!busy, "a second write of one object: {write:?} beside {:?}", self.writes);
                if !matches!(write, Write::Lease(..)) {
                    assert!(self.speaker.leads(self.now), "written by no leader: {write:?}");
                    self.written.push(write.clone());
                }
                self.writes.push_back((id, write));
                assert!(
                    self.written.len() < 200_000,
                    "writes without end: {:?}",
                    self.written.last()
                );
            }
        }
    }

    fn listen(&mut self, links: BTreeSet<LinkName>) {
        self.heeds.retain(|link, _| links.contains(link));
        self.listening = links;
    }

    /// Where a node or a gateway is.
    fn mac_at(&self, target: IpAddr) -> MacAddr {
        let last = match target {
            IpAddr::V4(target) => target.octets()[3],
            IpAddr::V6(target) => target.octets()[15],
        };
        self.elsewhere.get(&target).copied().unwrap_or_else(|| mac(last))
    }

    /// Lets whoever has an address say so.
    fn contest(&mut self, probe: Probe) {
        assert!(self.now < self.until, "asked without a permission: {probe:?}");
        assert_eq!(probe.sender.1, self.own);
        let Probe { link, target, sender, .. } = probe;
        self.probed.push((self.now, target));
        if let Some(&(mac, via)) = self.rivals.get(&target) {
            let heard = IsAt { link, target, mac, to: Some(sender), via };
            self.speaker.handle_input(Input::Heard(heard), self.now);
        }
    }

    /// Answers the oldest read from what is there now.
    pub(crate) fn answer_read(&mut self) {
        if let Some(got) = self.next_read() {
            self.tell(got);
        }
    }

    pub(crate) fn next_read(&mut self) -> Option<Input> {
        let (id, read) = self.reads.pop_front()?;
        let got = match read {
            Read::Lease => Got::Lease(self.api.lease.clone()),
            Read::Services => {
                let Input::Services(listing) = self.api.list(Kind::Service) else {
                    unreachable!("a list of Services is one")
                };
                Got::Services(listing)
            }
        };
        Some(Input::Got(id, Ok(got)))
    }

    /// Lets the oldest read fail.
    pub(crate) fn fail_read(&mut self) {
        self.refuse_read(ReadError::Failed("timed out".to_owned()));
    }

    /// Lets the oldest read fail for this reason.
    pub(crate) fn refuse_read(&mut self, error: ReadError) {
        let Some((id, _)) = self.reads.pop_front() else { return };
        self.tell(Input::Got(id, Err(error)));
    }

    /// Gives the oldest write its verdict.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        if let Some(written) = self.next_write(verdict) {
            self.tell(written);
        }
    }

    /// Gives any of the writes its verdict.
    pub(crate) fn judge_any(&mut self, which: usize, verdict: Verdict) {
        let count = self.writes.len().max(1);
        self.writes.rotate_left(which % count);
        self.judge(verdict);
    }

    pub(crate) fn next_write(&mut self, verdict: Verdict) -> Option<Input> {
        let (id, write) = self.writes.pop_front()?;
        let verdict = match verdict {
            Verdict::Done => self.api.write(write),
            Verdict::DoneUnheard => self.api.write(write).and(Err(WriteError::Unknown)),
            Verdict::DoneLate => {
                self.late.push(write);
                Err(WriteError::Unknown)
            }
            Verdict::Failed(error) => Err(error),
            Verdict::Undone => self.api.look(write),
        };
        Some(Input::Written(id, verdict))
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut calls = 0;
        while let Some(at) = self.speaker.poll_timeout().filter(|&at| at <= end) {
            calls = if at > self.now { 0 } else { calls + 1 };
            assert!(calls < 20, "woken again and again at {}, for {at}", self.now);
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    /// Who is answered for 172.22.0.`last` on eth0.
    pub(crate) fn ask(&self, last: u8) -> Option<MacAddr> {
        self.ask_on(eth0(), last)
    }

    pub(crate) fn ask_on(&self, link: LinkName, last: u8) -> Option<MacAddr> {
        let asker = (eip(100), mac(100));
        let question = WhoHas { link, target: eip(last), asker, via: asker.1 };
        self.answers.answer(&question, self.now, self.until).ok().map(|is_at| is_at.mac)
    }

    /// A Service as the API server has it.
    pub(crate) fn shown(&self, name: &ServiceName) -> &Service {
        &self.api.services[name].1
    }

    /// What the layer2 Eips record.
    pub(crate) fn used(&self) -> BTreeMap<IpAddr, Vec<ServiceName>> {
        let mut used: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let layer2 = |eip: &&Eip| eip.protocol.as_deref() == Some("layer2");
        for eip in self.api.eips.values().map(|(_, eip)| eip).filter(layer2) {
            for (&address, holders) in &eip.status.used {
                used.entry(address).or_default().extend(holders.iter().cloned());
            }
        }
        used
    }
}

/// What becomes of a write.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Done,
    /// It takes effect, and nobody hears of it.
    DoneUnheard,
    /// Nobody hears of it, and it takes effect only when [`Bench::land`] is called.
    DoneLate,
    Failed(WriteError),
    /// The API server says that it is done, but something there has undone it on the way.
    Undone,
}

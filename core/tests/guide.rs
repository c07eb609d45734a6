//! The user guide's Service through the public border of the core: one replica, an API server that
//! says yes to everything, and a LAN on which every node answers.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use porter_core::{
    Answers, Config, Eip, EipChange, EipName, Endpoint, Got, Identity, Input, Instant, IsAt,
    LeaseTiming, Link, LinkName, Listing, MacAddr, MetadataChange, Node, NodeName, Output, Read,
    Service, ServiceChange, ServiceName, Slice, SliceName, Speaker, Timestamp, Version, WhoHas,
    Write, Written, keys,
};

const EIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 188));
const CLIENT: (IpAddr, MacAddr) =
    (IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 100)), MacAddr(2, 0, 0, 0, 0, 100));

/// One replica on node1 and everything around it.
struct Bench {
    speaker: Speaker,
    now: Instant,
    version: u64,
    eip: Eip,
    service: Option<Service>,
    until: Instant,
    announced: Vec<IsAt>,
    written: Vec<Write>,
    left: bool,
}

fn eth0() -> LinkName {
    LinkName::new("eth0").unwrap()
}

fn service_name() -> ServiceName {
    ServiceName::new("default", "mylbapp-svc-layer2")
}

fn mac(last: u8) -> MacAddr {
    MacAddr(2, 0, 0, 0, 0, last)
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            identity: Identity::from("node1"),
            epoch: Timestamp(0),
            lease: LeaseTiming::default(),
        };
        let eip = Eip {
            address: "172.22.0.188-172.22.0.200".to_owned(),
            interface: Some("eth0".to_owned()),
            protocol: Some("layer2".to_owned()),
            ..Eip::default()
        };
        let mut service = Service { load_balancer: true, ..Service::default() };
        for (key, value) in [(keys::LOAD_BALANCER, "porter"), (PROTOCOL, "layer2")] {
            service.metadata.annotations.insert(key.to_owned(), value.to_owned());
        }
        Self {
            speaker: Speaker::new(config, 7),
            now: Instant::ZERO,
            version: 1,
            eip,
            service: Some(service),
            until: Instant::ZERO,
            announced: Vec::new(),
            written: Vec::new(),
            left: false,
        }
    }

    fn start() -> Self {
        let mut bench = Self::new();
        let net = "172.22.0.3/24".parse().unwrap();
        let link = Link { mac: mac(3), addresses: vec![net], carrier: true };
        bench.tell(Input::Link(eth0(), Some(link)));
        let node = |last: u8| Node {
            ready: true,
            addresses: vec![[172, 22, 0, last].into()],
            ..Node::default()
        };
        let nodes = [("node1", 3), ("node3", 9), ("node4", 10)];
        let nodes = nodes.map(|(name, last)| (NodeName::from(name), (Version(1), node(last))));
        bench.tell(Input::Nodes(Listing { version: Version(1), objects: nodes.into() }));
        let eip = (EipName::from("pool"), (Version(1), bench.eip.clone()));
        bench.tell(Input::Eips(Listing { version: Version(1), objects: [eip].into() }));
        let listing = bench.services();
        bench.tell(Input::Services(listing));
        bench.tell(Input::Slices(Listing::default()));
        bench.endpoints(&["node3", "node4"]);
        bench.tell(Input::Lease(None));
        bench.run(Duration::from_secs(8));
        bench
    }

    fn services(&self) -> Listing<ServiceName, Service> {
        let version = Version(self.version);
        let service = self.service.clone();
        let objects = service.map(|service| (service_name(), (version, service)));
        Listing { version, objects: objects.into_iter().collect() }
    }

    fn endpoints(&mut self, nodes: &[&str]) {
        let endpoint = |node: &&str| Endpoint {
            node: Some(NodeName::from(*node)),
            ready: true,
            serving: true,
            terminating: false,
        };
        let endpoints = nodes.iter().map(endpoint).collect();
        let slice = Slice { service: service_name(), endpoints };
        let name = SliceName::new("default", "mylbapp-svc-layer2-x");
        self.version += 1;
        self.tell(Input::Slice(name, Version(self.version), Some(slice)));
    }

    fn tell(&mut self, input: Input) {
        self.speaker.handle_input(input, self.now);
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Announce(is_at) => self.announced.push(is_at),
                Output::Left => self.left = true,
                Output::Listen(links) => assert_eq!(links, [eth0()].into()),
                Output::Permit(until) => self.until = until,
                Output::Probe(probe) => {
                    let IpAddr::V4(target) = probe.target else { unreachable!("IPv4 only") };
                    let mac = mac(target.octets()[3]);
                    let to = Some(probe.sender);
                    let target = probe.target;
                    self.tell(Input::Heard(IsAt { link: probe.link, target, mac, to, via: mac }));
                }
                Output::Publish(_, generation) => self.tell(Input::Silenced(generation)),
                Output::Read(id, Read::Lease) => panic!("nothing makes {id:?} doubt the Lease"),
                Output::Read(id, Read::Services) => {
                    let listing = self.services();
                    self.tell(Input::Got(id, Ok(Got::Services(listing))));
                }
                Output::Write(id, write) => {
                    let written = self.accept(write);
                    self.tell(Input::Written(id, Ok(written)));
                }
            }
        }
    }

    fn accept(&mut self, write: Write) -> Written {
        self.version += 1;
        let version = Version(self.version);
        if !matches!(write, Write::Lease(..)) {
            self.written.push(write.clone());
        }
        match write {
            Write::Lease(_, record) => Written::Lease(version, record),
            Write::Eip(_, _, EipChange::Status(status)) => {
                self.eip.status = status;
                Written::Eip(version, Some(self.eip.clone()))
            }
            Write::Eip(_, _, EipChange::Metadata(change)) => {
                self.eip.metadata.finalizers = change.finalizers.unwrap();
                Written::Eip(version, Some(self.eip.clone()))
            }
            Write::Service(_, _, ServiceChange::Ingress(ingress)) => {
                self.service.as_mut().unwrap().ingress = ingress;
                Written::Service(version, self.service.clone())
            }
            Write::Service(_, _, ServiceChange::Metadata(change)) => {
                let metadata = &mut self.service.as_mut().unwrap().metadata;
                let MetadataChange { annotations, labels, finalizers } = change;
                set(&mut metadata.annotations, annotations);
                set(&mut metadata.labels, labels);
                metadata.finalizers = finalizers.unwrap_or_else(|| metadata.finalizers.clone());
                if metadata.deleting && metadata.finalizers.is_empty() {
                    self.service = None;
                }
                Written::Service(version, self.service.clone())
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.speaker.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
            // What the passing of time brought forth is drained with the next thing heard of.
            self.tell(Input::Silenced(porter_core::Generation(0)));
        }
        self.now = end;
    }

    fn ask(&self) -> Option<MacAddr> {
        let question = WhoHas { link: eth0(), target: EIP, asker: CLIENT, via: CLIENT.1 };
        let answers: &Answers = self.speaker.answers();
        answers.answer(&question, self.now, self.until).ok().map(|is_at| is_at.mac)
    }

    fn record(&self) -> Option<&str> {
        let annotations = &self.service.as_ref()?.metadata.annotations;
        annotations.get("layer2.porter.kubesphere.io/v1alpha1").map(String::as_str)
    }
}

const PROTOCOL: &str = "protocol.porter.kubesphere.io/v1alpha1";

fn set(map: &mut BTreeMap<String, String>, changes: Vec<(String, Option<String>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}

#[test]
fn the_guides_service_gets_the_first_address_and_a_node_with_an_endpoint_is_answered() {
    let bench = Bench::start();
    assert_eq!(bench.service.as_ref().unwrap().ingress, [EIP]);
    let node = bench.record().unwrap();
    let expected = if node == "node3" { mac(9) } else { mac(10) };
    assert!(node == "node3" || node == "node4");
    assert_eq!(bench.ask(), Some(expected));
    assert_eq!(bench.announced[0].mac, expected);
    assert!(bench.eip.status.used[&EIP].contains(&service_name()));
}

#[test]
fn a_new_service_takes_three_writes_of_its_own_and_no_more() {
    let mut bench = Bench::start();
    let of_service = |write: &&Write| matches!(write, Write::Service(..));
    assert_eq!(bench.written.iter().filter(of_service).count(), 3);
    let before = bench.written.len();
    bench.run(Duration::from_secs(600));
    let listing = bench.services();
    bench.tell(Input::Services(listing));
    assert_eq!(bench.written.len(), before, "nothing is written while nothing changes");
}

#[test]
fn the_answer_moves_when_the_node_has_no_endpoint_any_more_and_not_before() {
    let mut bench = Bench::start();
    let (old, new) = match bench.record() {
        Some("node3") => ("node3", "node1"),
        _ => ("node4", "node1"),
    };
    let before = bench.ask();
    bench.endpoints(&[old, new]);
    assert_eq!((bench.record(), bench.ask()), (Some(old), before));
    bench.announced.clear();
    bench.endpoints(&[new]);
    assert_eq!((bench.record(), bench.ask()), (Some(new), Some(mac(3))));
    assert_eq!(bench.announced.first().map(|is_at| is_at.mac), Some(mac(3)));
}

#[test]
fn without_endpoints_the_eip_is_silent_and_the_record_stays() {
    let mut bench = Bench::start();
    let record = bench.record().map(str::to_owned);
    bench.endpoints(&[]);
    assert_eq!(bench.ask(), None);
    assert_eq!(bench.record().map(str::to_owned), record);
}

#[test]
fn a_deleted_service_falls_silent_and_gives_its_address_back() {
    let mut bench = Bench::start();
    bench.service.as_mut().unwrap().metadata.deleting = true;
    bench.version += 1;
    let gone = Input::Service(service_name(), Version(bench.version), bench.service.clone());
    bench.tell(gone);
    assert_eq!(bench.ask(), None);
    assert_eq!(bench.service, None);
    assert_eq!(bench.eip.status.used, BTreeMap::new());
}

#[test]
fn a_replica_that_is_asked_to_leave_falls_silent_and_is_done() {
    let mut bench = Bench::start();
    bench.tell(Input::Leave);
    assert!(bench.left);
    assert_eq!(bench.ask(), None);
}

//! The law of the whole replica: whatever people, the API server, the watch and the clock do, it
//! keeps to its order while they do it, and when they calm down everything is as it should be.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bench::*;
use porter_core::{
    AddressRange, Eip, EipName, Input, Kind, LinkName, MacAddr, Service, ServiceName,
    TrafficPolicy, Version, WriteError, keys,
};
use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A Service is made, or edited if it is there.
    Service(usize, Edit),
    Eip(usize, Change),
    Endpoints(usize, Vec<usize>),
    Node(usize, Option<(bool, bool)>),
    Link(bool),
    Hear(usize),
    List(Kind),
    Lost(Kind),
    Judge(usize, Verdict),
    Read(bool),
    Acknowledge,
    Usurp,
    Wait(u64),
}

/// What is done to a Service.
#[derive(Clone, Debug)]
enum Edit {
    Delete,
    Retype(bool),
    Policy(TrafficPolicy),
    Name(Option<usize>),
    Ask(Option<u8>),
    Spell(&'static str),
    Record(Option<usize>),
    Unlabel,
    Unhold,
    Show(Option<u8>),
}

/// What is done to an Eip.
#[derive(Clone, Debug)]
enum Change {
    Delete,
    Range(usize),
    Disable(bool),
    Link(&'static str),
    Protocol(&'static str),
}

const RANGES: [&str; 4] =
    ["172.22.0.188/31", "172.22.0.189-172.22.0.191", "172.22.0.200", "nonsense"];
const EIP_KEY: &str = "eip.porter.kubesphere.io/v1alpha2";

fn service(i: usize) -> ServiceName {
    ServiceName::new("default", ["a", "b", "c"][i])
}

fn eip_name(i: usize) -> EipName {
    EipName::from(["one", "two"][i])
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        2 => Just(Edit::Delete),
        2 => any::<bool>().prop_map(Edit::Retype),
        1 => prop_oneof![Just(TrafficPolicy::Local), Just(TrafficPolicy::Cluster)]
            .prop_map(Edit::Policy),
        2 => prop::option::of(0..2usize).prop_map(Edit::Name),
        2 => prop::option::of(188..192u8).prop_map(Edit::Ask),
        1 => prop_oneof![Just("porter"), Just("openelb"), Just("other")].prop_map(Edit::Spell),
        2 => prop::option::of(0..4usize).prop_map(Edit::Record),
        1 => Just(Edit::Unlabel),
        1 => Just(Edit::Unhold),
        1 => prop::option::of(188..192u8).prop_map(Edit::Show),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => Just(Change::Delete),
        4 => (0..RANGES.len()).prop_map(Change::Range),
        1 => any::<bool>().prop_map(Change::Disable),
        1 => prop_oneof![Just("eth0"), Just("eth1"), Just("a/b")].prop_map(Change::Link),
        1 => prop_oneof![Just("layer2"), Just("bgp")].prop_map(Change::Protocol),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => Just(Verdict::Done),
        1 => Just(Verdict::DoneUnheard),
        1 => Just(Verdict::Failed(WriteError::Unknown)),
        1 => Just(Verdict::Failed(WriteError::Conflict)),
        1 => Just(Verdict::Failed(WriteError::Rejected("no".to_owned()))),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Eip,
        Kind::Service,
        Kind::Namespace,
        Kind::Node,
        Kind::Slice,
        Kind::Lease,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, edit()).prop_map(|(i, edit)| Step::Service(i, edit)),
        2 => (0..2usize, change()).prop_map(|(i, change)| Step::Eip(i, change)),
        3 => (0..3usize, prop::collection::vec(0..4usize, 0..3))
            .prop_map(|(i, nodes)| Step::Endpoints(i, nodes)),
        1 => (0..3usize, prop::option::of(any::<(bool, bool)>()))
            .prop_map(|(i, node)| Step::Node(i, node)),
        1 => any::<bool>().prop_map(Step::Link),
        8 => (1..6usize).prop_map(Step::Hear),
        1 => kind().prop_map(Step::List),
        1 => kind().prop_map(Step::Lost),
        14 => (0..4usize, verdict()).prop_map(|(i, verdict)| Step::Judge(i, verdict)),
        3 => prop::bool::weighted(0.8).prop_map(Step::Read),
        6 => Just(Step::Acknowledge),
        1 => Just(Step::Usurp),
        4 => prop_oneof![0..400u64, 0..4_000u64, 0..20_000u64].prop_map(Step::Wait),
    ]
}

/// The bench, and what was recorded in which order.
struct World {
    bench: Bench,
    /// The nodes recorded for each Service, in the order of the commits.
    records: BTreeMap<ServiceName, Vec<String>>,
    /// Up to which of these the answers have come.
    answered: BTreeMap<ServiceName, usize>,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::leading();
        bench.eip(&pool(), None);
        for (i, range) in RANGES.into_iter().enumerate().take(2) {
            bench.eip(&eip_name(i), Some(layer2(range)));
        }
        bench.watches = false;
        bench.replies = false;
        bench.acknowledges = false;
        Self { bench, records: BTreeMap::new(), answered: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) {
        let bench = &mut self.bench;
        match step {
            Step::Service(i, edit) => self.edit(&service(i), edit),
            Step::Eip(i, change) => self.change(&eip_name(i), change),
            Step::Endpoints(i, nodes) => {
                let names: Vec<_> = nodes.into_iter().map(node_name).collect();
                bench.endpoints(&service(i), &names);
            }
            Step::Node(i, facts) => {
                let (name, last) = NODES[i];
                let facts = facts.map(|(ready, cordoned)| porter_core::Node {
                    ready,
                    cordoned,
                    ..node(last)
                });
                bench.node(name, facts);
            }
            Step::Link(there) => bench.tell(Input::Link(eth0(), there.then(link))),
            Step::Hear(count) => {
                for _ in 0..count {
                    if let Some(event) = bench.api.watch.pop_front() {
                        bench.tell(event);
                    }
                }
            }
            Step::List(kind) => {
                let listing = bench.api.list(kind);
                bench.tell(listing);
            }
            Step::Lost(kind) => bench.tell(Input::Lost(kind)),
            Step::Judge(which, verdict) => bench.judge_any(which, verdict),
            Step::Read(true) => bench.answer_read(),
            Step::Read(false) => bench.fail_read(),
            Step::Acknowledge => {
                if let Some(generation) = bench.unacknowledged.take() {
                    bench.tell(Input::Silenced(generation));
                }
            }
            Step::Usurp => bench.usurp(),
            Step::Wait(millis) => bench.run(Duration::from_millis(millis)),
        }
        self.check();
    }

    fn edit(&mut self, name: &ServiceName, edit: Edit) {
        let bench = &mut self.bench;
        if !bench.api.services.contains_key(name) {
            return bench.service(name, Some(asking()));
        }
        let set = |map: &mut BTreeMap<String, String>, key: &str, value: Option<&str>| match value {
            Some(value) => drop(map.insert(key.to_owned(), value.to_owned())),
            None => drop(map.remove(key)),
        };
        bench.edit_service(name, |service| {
            let annotations = &mut service.metadata.annotations;
            match edit {
                Edit::Delete => service.metadata.deleting = true,
                Edit::Retype(load_balancer) => service.load_balancer = load_balancer,
                Edit::Policy(policy) => service.policy = policy,
                Edit::Name(eip) => {
                    set(annotations, EIP_KEY, eip.map(eip_name).as_ref().map(EipName::as_str));
                }
                Edit::Ask(last) => {
                    service.requested_ip = last.map(|last| eip(last).to_string());
                }
                Edit::Spell(whose) => set(annotations, keys::LOAD_BALANCER, Some(whose)),
                Edit::Record(node) => set(annotations, RECORD, node.map(node_name)),
                Edit::Unlabel => service.metadata.labels.clear(),
                Edit::Unhold => service.metadata.finalizers.clear(),
                Edit::Show(last) => service.ingress = last.map(shows).into_iter().collect(),
            }
        });
    }

    fn change(&mut self, name: &EipName, change: Change) {
        let bench = &mut self.bench;
        if !bench.api.eips.contains_key(name) {
            return bench.eip(name, Some(layer2(RANGES[0])));
        }
        bench.edit_eip(name, |eip| match change {
            Change::Delete => eip.metadata.deleting = true,
            Change::Range(range) => eip.address = RANGES[range].to_owned(),
            Change::Disable(disable) => eip.disable = disable,
            Change::Link(link) => eip.interface = Some(link.to_owned()),
            Change::Protocol(protocol) => eip.protocol = Some(protocol.to_owned()),
        });
    }

    /// What is answered never goes back in the order of the records.
    fn check(&mut self) {
        for (name, (_, service)) in &self.bench.api.services {
            let Some(node) = find(&service.metadata.annotations, RECORD) else { continue };
            let records = self.records.entry(name.clone()).or_default();
            if records.last().map(String::as_str) != Some(node) {
                records.push(node.to_owned());
            }
        }
        let used = self.bench.used();
        for (_, address, answer) in self.bench.answers.iter() {
            let (Ok(mac), Some([name])) = (answer, used.get(&address).map(Vec::as_slice)) else {
                continue;
            };
            let records = self.records.get(name).map_or(&[][..], Vec::as_slice);
            let answered = self.answered.entry(name.clone()).or_default();
            let next = (*answered..records.len()).find(|&i| mac_of(&records[i]) == Some(mac));
            let Some(next) = next else {
                panic!("{address} is at {mac}, after {answered} of the records {records:?}");
            };
            *answered = next;
        }
    }

    /// Lets everything calm down.
    fn calm(&mut self) {
        let bench = &mut self.bench;
        bench.watches = true;
        bench.replies = true;
        bench.acknowledges = true;
        bench.tell(Input::Link(eth0(), Some(link())));
        for (name, last) in NODES {
            bench.node(name, Some(node(last)));
        }
        for i in 0..3 {
            bench.endpoints(&service(i), &["node1", "node3"]);
        }
        bench.list();
        bench.run(Duration::from_secs(100));
    }

    /// Everything is as it should be.
    fn check_calm(&self) {
        let bench = &self.bench;
        assert!(bench.speaker.leads(bench.now), "nobody leads");
        let used = bench.used();
        for (address, holders) in &used {
            assert_eq!(holders.len(), 1, "{address} is held by {holders:?}");
        }
        for (name, (_, service)) in &bench.api.services {
            let held: Vec<_> = used.iter().filter(|(_, holders)| holders.contains(name)).collect();
            match held[..] {
                [] => self.check_without(name, service, &used),
                [(&address, _)] => self.check_holder(name, service, address),
                _ => panic!("{name} holds {held:?}"),
            }
        }
        for holder in used.values().flatten() {
            assert!(bench.api.services.contains_key(holder), "{holder} is gone and holds on");
        }
        for (_, address, _) in bench.answers.iter() {
            assert!(used.contains_key(&address), "{address} is spoken of and nobody holds it");
        }
        for (name, (_, eip)) in &bench.api.eips {
            let idle = eip.status.used.is_empty() && is_layer2(eip);
            assert!(!(eip.metadata.deleting && idle), "{name} is not let go: {eip:?}");
        }
    }

    fn check_holder(&self, name: &ServiceName, service: &Service, address: IpAddr) {
        assert!(asks(service), "{name} holds {address} and does not ask: {service:?}");
        // What is no address of an Eip is somebody else's to show.
        let of_an_eip = |shown: &IpAddr| {
            let ranges = self.bench.api.eips.values().filter(|(_, eip)| is_layer2(eip));
            let mut ranges = ranges.flat_map(|(_, eip)| AddressRange::parse(&eip.address));
            *shown == address || ranges.any(|range| range.contains(*shown))
        };
        let shown: Vec<_> = service.shown().filter(of_an_eip).collect();
        assert_eq!(shown, [address], "{name}: {service:?}");
        assert_eq!(service.metadata.finalizers.len(), 1);
        let mut eips = self.bench.api.eips.iter();
        let held =
            |(_, eip): &(Version, Eip)| is_layer2(eip) && eip.status.used.contains_key(&address);
        let (eip_name, (_, eip)) = eips.find(|(_, eip)| held(eip)).unwrap();
        let labels = &service.metadata.labels;
        assert_eq!(find(labels, EIP_KEY), Some(eip_name.as_str()), "{name}");
        let link = eip.interface.as_deref().and_then(LinkName::new);
        let answer = link.and_then(|link| self.bench.answers.entry(link, address));
        if link == Some(eth0()) {
            let record = find(&service.metadata.annotations, RECORD).unwrap();
            assert_eq!(answer, mac_of(record).map(Ok), "{name} at {address}: {service:?}");
        } else {
            assert!(!matches!(answer, Some(Ok(_))), "answered on no link: {answer:?}");
        }
    }

    /// A Service without an address asks for none, or there is none for it.
    fn check_without(
        &self,
        name: &ServiceName,
        service: &Service,
        used: &BTreeMap<IpAddr, Vec<ServiceName>>,
    ) {
        if !asks(service) {
            let metadata = &service.metadata;
            assert!(!metadata.deleting, "{name} is not let go: {service:?}");
            assert!(metadata.finalizers.is_empty(), "{name} is held for nothing: {service:?}");
            return;
        }
        let asked = service.requested_ip.as_deref();
        let named = service.metadata.annotations.get(EIP_KEY);
        for (eip_name, (_, eip)) in &self.bench.api.eips {
            let link = eip.interface.as_deref().and_then(LinkName::new);
            let open = is_layer2(eip) && link.is_some() && !eip.disable && !eip.metadata.deleting;
            // What overlaps an older one hands out nothing.
            let open = open && eip.status.ready.as_ref().is_none_or(|it| it.reason != "Overlaps");
            if !open || named.is_some_and(|named| named != eip_name.as_str()) {
                continue;
            }
            let Ok(range) = AddressRange::parse(&eip.address) else { continue };
            for last in 180..=210 {
                let address = bench::eip(last);
                let free = range.contains(address) && !used.contains_key(&address);
                let wanted = asked.is_none_or(|asked| asked == address.to_string());
                assert!(!(free && wanted), "{name} could have {address}: {service:?}");
            }
        }
    }
}

/// What a map has under a key, in either spelling.
fn find<'a>(map: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    map.get(key).or_else(|| map.get(&key.replace("porter", "openelb"))).map(String::as_str)
}

fn node_name(i: usize) -> &'static str {
    NODES.get(i).map_or("nowhere", |(name, _)| name)
}

fn mac_of(node: &str) -> Option<MacAddr> {
    NODES.iter().find(|(name, _)| *name == node).map(|(_, last)| mac(*last))
}

fn is_layer2(eip: &Eip) -> bool {
    eip.protocol.as_deref() == Some("layer2")
}

fn asks(service: &Service) -> bool {
    let whose = service.metadata.annotations.get(keys::LOAD_BALANCER).map(String::as_str);
    let ours = matches!(whose, Some("porter" | "openelb"));
    service.load_balancer && !service.metadata.deleting && ours
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_the_end_everybody_has_what_they_can_have(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.calm();
        world.check_calm();
        let written = world.bench.written.len();
        world.bench.run(Duration::from_secs(60));
        world.bench.list();
        assert_eq!(world.bench.written.len(), written, "{:?}", world.bench.written.last());
    }
}

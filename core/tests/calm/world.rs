//! The bench and the people around it: what they do, and what they have set by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use porter_core::{
    AddressRange, Condition, Eip, EipName, Endpoint, Family, Ingress, Input, Kind, Link, MacAddr,
    Namespace, NamespaceName, Node, NodeName, Port, Service, ServiceName, Slice, SliceName, Texts,
    Timestamp, Uid, Unusable,
    keys::{self, Key, Spelling},
};

use crate::{
    bench::{self, Bench, NODES, asking, eth0, layer2},
    step::{ADDRESSES, ByHand, Change, Edit, NodeIs, RANGES, Step},
};

pub(crate) const KINDS: [Kind; 5] =
    [Kind::Eip, Kind::Service, Kind::Namespace, Kind::Node, Kind::Slice];
/// A finalizer that is somebody else's.
pub(crate) const FOREIGN: &str = "example.com/keep";
/// An entry of an ingress that is somebody else's.
const ANOTHER: &str = r#"{"hostname":"example.com"}"#;

pub(crate) struct World {
    pub(crate) bench: Bench,
    /// Services on which people have set something that is ours to set.
    pub(crate) soiled: BTreeSet<ServiceName>,
    /// Whether a record was cleared by hand, or went with an Eip that was let go by hand and made
    /// again: an address that it named and no range has at that time cannot be told from what other
    /// controllers show.
    pub(crate) forgot: bool,
    /// What each Service carries of other controllers, as people left it.
    others: BTreeMap<ServiceName, (bool, bool)>,
    n_created: i64,
    /// The nodes recorded for each Service, in the order of the commits.
    records: BTreeMap<ServiceName, Vec<String>>,
    /// Up to which of these the answers have come.
    answered: BTreeMap<ServiceName, usize>,
}

pub(crate) fn service_name(i: usize) -> ServiceName {
    let (namespace, name) =
        [("default", "a"), ("default", "b"), ("default", "c"), ("other", "d")][i];
    ServiceName::new(namespace, name)
}

pub(crate) fn eip_name(i: usize) -> EipName {
    EipName::from(["one", "two", "six", "nowhere"][i])
}

pub(crate) fn node_name(i: usize) -> &'static str {
    NODES.get(i).map_or("nowhere", |(name, _)| name)
}

pub(crate) fn mac_of(node: &str) -> Option<MacAddr> {
    NODES.iter().find(|(name, _)| *name == node).map(|(_, last)| bench::mac(*last))
}

/// What a map has under a key, in either spelling, as people read it.
pub(crate) fn find(map: &Texts, key: Key) -> Option<&str> {
    let spelled = [Spelling::Porter, Spelling::OpenElb].map(|it| map.get(key.spelled(it)));
    spelled.into_iter().flatten().map(|value| value.trim()).find(|value| !value.is_empty())
}

pub(crate) fn link() -> Link {
    let addresses = vec!["172.22.0.3/24".parse().unwrap(), "fd00::3/64".parse().unwrap()];
    Link { addresses, ..bench::link() }
}

pub(crate) fn node(last: u8) -> Node {
    let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]);
    Node { addresses: vec![bench::eip(last), v6], ..bench::node(last) }
}

fn set(map: &mut Texts, key: Key, value: Option<&str>) {
    map.remove(key.spelled(Spelling::OpenElb));
    match value {
        Some(value) => map.insert(key.spelled(Spelling::Porter).to_owned(), value.to_owned()),
        None => map.remove(key.spelled(Spelling::Porter)),
    };
}

impl World {
    /// A leader with two pools and three nodes, of which nothing is heard any more unless a step says
    /// so.
    pub(crate) fn new() -> Self {
        let mut world = Self::fresh();
        world.bench.run(Duration::from_secs(8));
        assert!(world.bench.speaker.leads(world.bench.now));
        for (i, range) in [(0, RANGES[0]), (2, RANGES[6])] {
            world.create_eip(&eip_name(i), range);
        }
        let bench = &mut world.bench;
        bench.watches = false;
        bench.replies = false;
        bench.acknowledges = false;
        world
    }

    /// A replica that has listed everything: three nodes, two namespaces, no Eip.
    pub(crate) fn fresh() -> Self {
        let mut bench = Bench::new();
        bench.tell(Input::Link(eth0(), Ok(link())));
        for (name, last) in NODES {
            bench.api.put_node(&NodeName::from(name), Some(node(last)));
        }
        for namespace in ["default", "other"] {
            bench.api.put_namespace(&NamespaceName::from(namespace), Namespace::default());
        }
        bench.list();
        Self {
            bench,
            soiled: BTreeSet::new(),
            forgot: false,
            others: BTreeMap::new(),
            n_created: 0,
            records: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    fn stamp(&mut self, metadata: &mut porter_core::Metadata) {
        self.n_created += 1;
        // Some are created in the same second.
        metadata.created = Timestamp(self.n_created / 2);
        metadata.uid = Some(Uid::from(format!("uid-{:03}", self.n_created).as_str()));
    }

    fn create_eip(&mut self, name: &EipName, range: &str) {
        // Of one that was let go while its addresses were shown, nothing tells that they were its
        // once there is another of its name.
        let parsed = AddressRange::parse(range).ok();
        let forgotten = self.services().any(|(_, service)| {
            let of_it = find(&service.metadata.labels, keys::EIP) == Some(name.as_str());
            let has = |at| parsed.is_some_and(|range| range.contains(at));
            of_it && service.shown().any(|at| !has(at))
        });
        self.forgot |= forgotten;
        let mut eip = layer2(range);
        self.stamp(&mut eip.metadata);
        self.bench.eip(name, Some(eip));
    }

    pub(crate) fn step(&mut self, step: Step) {
        let bench = &mut self.bench;
        match step {
            Step::Service(i, edit) => self.edit(&service_name(i), edit),
            Step::Eip(i, change) => self.change(&eip_name(i), change),
            Step::Endpoints(i, family, nodes) => self.endpoints(&service_name(i), family, &nodes),
            Step::Node(i, is) => self.node(i, is),
            Step::Label(i, labelled) => {
                let name = NamespaceName::from(["default", "other"][i]);
                let labels = labelled.then(|| ("team".to_owned(), "a".to_owned()));
                let labels = labels.into_iter().collect();
                bench.api.put_namespace(&name, Namespace { labels });
                bench.pump();
            }
            Step::Link(there) => {
                bench.tell(Input::Link(eth0(), there.then(link).ok_or(Unusable::Missing)))
            }
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
            Step::Restart => {
                bench.restart();
                bench.tell(Input::Link(eth0(), Ok(link())));
                bench.list();
            }
            Step::Land => bench.land(),
            Step::Rest => self.rest(),
            Step::Wait(millis) => bench.run(Duration::from_millis(millis)),
        }
        self.check_order();
        self.check_others();
    }

    fn node(&mut self, i: usize, is: NodeIs) {
        let (name, last) = NODES[i];
        let node = node(last);
        let facts = match is {
            NodeIs::Gone => None,
            NodeIs::There { ready, cordoned, excluded } => {
                Some(Node { ready, cordoned, excluded, ..node })
            }
            NodeIs::OfOneFamily(family) => {
                let addresses = node.addresses.iter().copied();
                let addresses = addresses.filter(|at| Family::of(*at) == family).collect();
                Some(Node { addresses, ..node })
            }
        };
        self.bench.node(name, facts);
    }

    fn rest(&mut self) {
        let bench = &mut self.bench;
        for flowing in [true, false] {
            bench.watches = flowing;
            bench.replies = flowing;
            bench.acknowledges = flowing;
            bench.pump();
            bench.run(Duration::from_secs(if flowing { 3 } else { 0 }));
        }
    }

    pub(crate) fn endpoints(&mut self, service: &ServiceName, family: Family, nodes: &[usize]) {
        let endpoint = |&i: &usize| Endpoint {
            node: Some(NodeName::from(node_name(i))),
            ready: true,
            serving: true,
            terminating: false,
        };
        let endpoints = nodes.iter().map(endpoint).collect();
        let name = SliceName::new(service.namespace(), &format!("{}-{family}", service.name()));
        let slice = Slice { service: service.clone(), family, endpoints };
        self.bench.api.put_slice(&name, slice);
        self.bench.pump();
    }

    fn edit(&mut self, name: &ServiceName, edit: Edit) {
        if !self.bench.api.services.contains_key(name) {
            let mut service = Service { families: vec![Family::V4], ..asking() };
            let number = u16::from(name.name().as_bytes()[0] % 4 + 1);
            service.ports.insert(Port { protocol: "TCP".to_owned(), number });
            self.stamp(&mut service.metadata);
            self.soiled.remove(name);
            self.others.remove(name);
            return self.bench.service(name, Some(service));
        }
        if matches!(edit, Edit::ByHand(_)) {
            self.soiled.insert(name.clone());
        }
        self.bench.edit_service(name, |service| {
            let annotations = &mut service.metadata.annotations;
            match edit {
                Edit::Delete => service.metadata.deleting = true,
                Edit::Retype(load_balancer) => service.load_balancer = load_balancer,
                Edit::Class(class) => service.class = class.map(str::to_owned),
                Edit::Policy(policy) => service.policy = policy,
                Edit::Name(eip) => {
                    set(annotations, keys::EIP, eip.map(eip_name).as_ref().map(EipName::as_str));
                }
                Edit::Ask(asked) => {
                    service.requested_ip = asked.map(|asked| ADDRESSES[asked].to_owned());
                }
                Edit::AskByAnnotation(asked) => {
                    set(annotations, keys::REQUESTED_IP, asked.map(|asked| ADDRESSES[asked]));
                }
                Edit::Spell(whose) => {
                    annotations.insert(keys::LOAD_BALANCER.to_owned(), whose.to_owned());
                }
                Edit::Respell => {
                    let old = std::mem::take(annotations);
                    let respelled =
                        |(key, value): (String, String)| (key.replace("porter", "openelb"), value);
                    annotations.extend(old.into_iter().map(respelled));
                }
                Edit::Protocol(protocol) => set(annotations, keys::PROTOCOL, protocol),
                Edit::Families(families, both) => {
                    (service.families, service.requires_dual_stack) = (families, both);
                }
                Edit::Ports(number) => {
                    let ports = [number, number + 1];
                    let port = |number| Port { protocol: "TCP".to_owned(), number };
                    service.ports = ports.into_iter().take(number.into()).map(port).collect();
                }
                Edit::Select(app) => {
                    let selector = Some(app).filter(|app| !app.is_empty());
                    let selector = selector.map(|app| ("app".to_owned(), app.to_owned()));
                    service.selector = selector.into_iter().collect();
                }
                Edit::ByHand(edit) => by_hand(service, edit),
            }
        });
        let now = self.bench.api.services.get(name).map(|(_, service)| others(service));
        self.others.insert(name.clone(), now.unwrap_or_default());
    }

    fn change(&mut self, name: &EipName, change: Change) {
        self.forgot |= matches!(change, Change::Forget);
        if !self.bench.api.eips.contains_key(name) {
            let range = if let Change::Range(range) = change { range } else { 0 };
            return self.create_eip(name, RANGES[range]);
        }
        let only = |name: &'static str, value: &'static str, set: bool| {
            set.then(|| (name.to_owned(), value.to_owned())).into_iter().collect()
        };
        self.bench.edit_eip(name, |eip| match change {
            Change::Delete => eip.metadata.deleting = true,
            Change::Range(range) => eip.address = RANGES[range].to_owned(),
            Change::Disable(disable) => eip.disable = disable,
            Change::Link(link) => eip.interface = Some(link.to_owned()),
            Change::Protocol(protocol) => eip.protocol = Some(protocol.to_owned()),
            Change::Default(default) => {
                let key = keys::DEFAULT_EIP.spelled(Spelling::Porter);
                eip.metadata.annotations = only(key, "true", default);
            }
            Change::Priority(priority) => eip.priority = priority,
            Change::Bind(namespace) => {
                eip.namespaces = namespace.map(str::to_owned).into_iter().collect();
            }
            Change::Select(selects) => eip.namespace_selector = only("team", "a", selects),
            Change::Unhold => eip.metadata.finalizers.clear(),
            Change::Unsay => eip.status.ready = None,
            Change::Forget => eip.status.used.clear(),
        });
    }

    /// What other controllers have put on a Service stays.
    fn check_others(&self) {
        for (name, service) in self.services() {
            let left = self.others.get(name).copied().unwrap_or_default();
            assert_eq!(others(service), left, "{name}: {service:?}");
        }
    }

    /// What is answered never goes back in the order of the records.
    fn check_order(&mut self) {
        for (name, (_, service)) in &self.bench.api.services {
            let Some(node) = find(&service.metadata.annotations, keys::LAYER2) else { continue };
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
            let shares = used.values().any(|holders| holders.len() > 1 && holders.contains(name));
            if shares {
                continue; // Its node is that of the oldest sharer, whose record counts for both.
            }
            let records = self.records.get(name).map_or(&[][..], Vec::as_slice);
            let answered = self.answered.entry(name.clone()).or_default();
            let next = (*answered..records.len()).find(|&i| mac_of(&records[i]) == Some(mac));
            let Some(next) = next else {
                panic!("{address} is at {mac}, after {answered} of the records {records:?}");
            };
            *answered = next;
        }
    }

    /// Lets everything calm down. Nodes, endpoints and requests stay as they are.
    pub(crate) fn calm(&mut self) {
        let bench = &mut self.bench;
        bench.land();
        bench.watches = true;
        bench.replies = true;
        bench.acknowledges = true;
        bench.tell(Input::Link(eth0(), Ok(link())));
        bench.list();
        bench.run(Duration::from_secs(100));
        assert!(bench.speaker.leads(bench.now), "nobody leads");
        bench.check_heeded();
        self.check_others();
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceName, &Service)> {
        self.bench.api.services.iter().map(|(name, (_, service))| (name, service))
    }

    pub(crate) fn eips(&self) -> impl Iterator<Item = (&EipName, &Eip)> {
        self.bench.api.eips.iter().map(|(name, (_, eip))| (name, eip))
    }

    /// What is recorded for a Service by layer2 Eips, IPv4 first.
    pub(crate) fn held(&self, name: &ServiceName) -> Vec<(EipName, IpAddr)> {
        let mut held: Vec<_> = self
            .eips()
            .filter(|(_, eip)| is_layer2(eip))
            .flat_map(|(eip_name, eip)| eip.status.used.iter().map(move |it| (eip_name, it)))
            .filter(|(_, (_, holders))| holders.contains(name))
            .map(|(eip_name, (address, _))| (eip_name.clone(), *address))
            .collect();
        held.sort_by_key(|(_, address)| *address);
        held
    }
}

pub(crate) fn is_layer2(eip: &Eip) -> bool {
    eip.protocol.as_deref() == Some("layer2")
}

fn by_hand(service: &mut Service, edit: ByHand) {
    match edit {
        ByHand::Record(node) => {
            set(&mut service.metadata.annotations, keys::LAYER2, node.map(node_name))
        }
        ByHand::Relabel(eip) => {
            let eip = eip.map(eip_name);
            set(&mut service.metadata.labels, keys::EIP, eip.as_ref().map(EipName::as_str));
        }
        ByHand::Unhold => service.metadata.finalizers.clear(),
        ByHand::Hold => {
            if !service.metadata.finalizers.iter().any(|it| it == FOREIGN) {
                service.metadata.finalizers.insert(0, FOREIGN.to_owned());
            }
        }
        ByHand::Show(shown) => {
            let others = |entry: &Ingress| matches!(entry, Ingress::Other(_));
            service.ingress.retain(others);
            let shown = shown.map(|shown| ADDRESSES[shown].parse().unwrap());
            service.ingress.extend(shown.map(Ingress::Address));
        }
        ByHand::ShowAnother(shown) => {
            let ours = |entry: &Ingress| matches!(entry, Ingress::Address(_));
            service.ingress.retain(ours);
            service.ingress.extend(shown.then(|| Ingress::Other(ANOTHER.to_owned())));
        }
        ByHand::Say(said) => {
            service.announced = said.then(|| Condition {
                met: true,
                reason: "Announced".to_owned(),
                message: "a person says so".to_owned(),
                generation: 0,
                since: Timestamp(0),
            });
        }
    }
}

/// What a Service carries of other controllers: an entry of its ingress, a finalizer.
fn others(service: &Service) -> (bool, bool) {
    let shown = service.ingress.contains(&Ingress::Other(ANOTHER.to_owned()));
    (shown, service.metadata.finalizers.iter().any(|it| it == FOREIGN))
}

//! What is known of the cluster and of this host's links, and whom a change concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use pnet::util::MacAddr;

use crate::{
    AddressRange, Eip, EipName, Family, Few, Input, Kind, Link, LinkName, Namespace, NamespaceName,
    Node, NodeName, Service, ServiceName, Size, Texts, TrafficPolicy, Unroutable, Unusable, Used,
    Version,
    claim::is_finalized,
    endpoints::Endpoints,
    interface::Interface,
    ipam, keys,
    ledger::Object,
    neighbor::Target,
    placement::{self, Candidates, Obstacle},
    reach::Reach,
    request::{NotOurs, Request},
    store::{ENDED_MAX, Listing, Store},
};

/// Where Eips are: on which link, unless on none, and of which family, unless their addresses cannot be read.
pub(crate) type Place = (Option<LinkName>, Option<Family>);

/// The facts.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) eips: Store<EipName, Eip>,
    pub(crate) services: Store<ServiceName, Service>,
    pub(crate) namespaces: Store<NamespaceName, Namespace>,
    pub(crate) nodes: Store<NodeName, Node>,
    pub(crate) endpoints: Endpoints,
    pub(crate) links: BTreeMap<LinkName, Link>,
    /// The other interfaces of this host, and why they are no links.
    unusable: BTreeMap<LinkName, Unusable>,
    /// By which link each address is reached that an Eip names in place of a link; `None`: not told yet.
    routes: BTreeMap<IpAddr, Option<Result<LinkName, Unroutable>>>,
    /// How many layer2 Eips there are per link and family.
    eips_on: BTreeMap<Place, u32>,
    /// Services that ask for something or show traces of having had it.
    concerned: BTreeSet<ServiceName>,
    reach: Reach,
    /// Whether the label that excludes nodes counts: not when every node has it.
    excludes: bool,
    /// Which nodes have an address, which is no Service's.
    nodes_at: BTreeMap<IpAddr, BTreeSet<NodeName>>,
}

/// Whom a fact concerns.
#[derive(Debug, Default)]
pub(crate) struct Concern {
    pub(crate) services: BTreeSet<ServiceName>,
    /// Nodes of which something has changed, and with it whoever has endpoints there or is answered with
    /// them.
    pub(crate) nodes: BTreeSet<NodeName>,
    /// Whether it concerns every Service that is ours.
    pub(crate) everybody: bool,
    pub(crate) eips: BTreeSet<EipName>,
    /// Whether what is recorded in an Eip's status has changed.
    pub(crate) records: bool,
    /// Whether the nodes to probe may have changed.
    pub(crate) reach: bool,
    /// Whether the links of Eips may have: which there are, or what they are.
    pub(crate) links: bool,
    /// Whether the labels of a namespace, or the addresses of nodes, have changed: then another Eip,
    /// or another address, may be had.
    pub(crate) choices: bool,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            eips: Store::new(),
            services: Store::new(),
            namespaces: Store::new(),
            nodes: Store::new(),
            endpoints: Endpoints::new(),
            links: BTreeMap::new(),
            unusable: BTreeMap::new(),
            routes: BTreeMap::new(),
            eips_on: BTreeMap::new(),
            concerned: BTreeSet::new(),
            reach: Reach::default(),
            excludes: true,
            nodes_at: BTreeMap::new(),
        }
    }

    /// Whether every kind was listed: before that, nothing can be said to be missing.
    pub(crate) fn is_synced(&self) -> bool {
        self.unlisted().next().is_none()
    }

    /// The kinds that were not listed yet.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = Kind> + use<> {
        let Self { eips, services, namespaces, nodes, endpoints, .. } = self;
        let slices = &endpoints.slices;
        let kinds = [
            (Kind::Eip, eips.listed()),
            (Kind::Namespace, namespaces.listed()),
            (Kind::Node, nodes.listed()),
            (Kind::Service, services.listed()),
            (Kind::Slice, slices.listed()),
        ];
        kinds.into_iter().filter(|(_, listed)| !listed).map(|(kind, _)| kind)
    }

    /// Takes in a fact. Says whom it concerns; inputs that are no facts concern nobody.
    pub(crate) fn handle_input(&mut self, input: Input) -> Concern {
        match input {
            Input::Eip(name, version, eip) => self.handle_eip(name, version, eip),
            Input::Eips(listing) => self.handle_eips(listing),
            Input::Service(name, version, service) => self.handle_service(name, version, service),
            Input::Services(listing) => self.handle_services(listing),
            Input::Namespace(name, version, namespace) => {
                let choices = self.namespaces.apply(name, version, namespace);
                Concern { choices, ..Concern::default() }
            }
            Input::Namespaces(listing) => {
                let choices = !self.namespaces.replace(listing).is_empty();
                Concern { choices, ..Concern::default() }
            }
            Input::Node(name, version, node) => self.handle_node(name, version, node),
            Input::Nodes(listing) => self.handle_nodes(listing),
            Input::Slice(name, version, slice) => {
                let services = self.endpoints.apply(name, version, slice);
                self.endpoints_changed(services)
            }
            Input::Slices(listing) => {
                let services = self.endpoints.replace(listing);
                self.endpoints_changed(services)
            }
            Input::Link(name, link) => self.handle_link(name, link),
            Input::Route(address, route) => self.handle_route(address, route),
            Input::Asked(..)
            | Input::Checked(..)
            | Input::Got(..)
            | Input::Heard(_)
            | Input::Lease(_)
            | Input::Leave
            | Input::Lost(_)
            | Input::Probed(_)
            | Input::Silenced(_)
            | Input::Stirred(_)
            | Input::Written(..) => Concern::default(),
        }
    }

    fn handle_eip(&mut self, name: EipName, version: Version, eip: Option<Eip>) -> Concern {
        let records = eip.as_ref().map(|eip| &eip.status.used)
            != self.eips.get(&name).map(|eip| &eip.status.used);
        if !self.eips.apply(name.clone(), version, eip) {
            return Concern::default();
        }
        let mut concern = self.reach_changed(true);
        concern.eips.insert(name);
        Concern { records, ..concern }
    }

    fn handle_eips(&mut self, listing: Listing<EipName, Eip>) -> Concern {
        let changed = self.eips.replace(listing);
        let mut concern = self.reach_changed(!changed.is_empty());
        concern.records = !changed.is_empty();
        concern.eips = changed;
        concern
    }

    fn handle_service(
        &mut self,
        name: ServiceName,
        version: Version,
        service: Option<Service>,
    ) -> Concern {
        let changed = self.services.apply(name.clone(), version, service);
        self.service_changed(changed, name)
    }

    /// Takes in a Service as a write of ours has left it.
    pub(crate) fn handle_service_written(
        &mut self,
        name: ServiceName,
        version: Version,
        service: Option<Service>,
    ) -> Concern {
        let changed = self.services.apply_written(name.clone(), version, service);
        self.service_changed(changed, name)
    }

    fn service_changed(&mut self, changed: bool, name: ServiceName) -> Concern {
        if !changed {
            return Concern::default();
        }
        self.sort(&name);
        Concern { services: BTreeSet::from([name]), ..Concern::default() }
    }

    pub(crate) fn handle_services(&mut self, listing: Listing<ServiceName, Service>) -> Concern {
        let changed = self.services.replace(listing);
        for name in &changed {
            self.sort(name);
        }
        Concern { services: changed, ..Concern::default() }
    }

    /// Takes in an Eip as a write of ours has left it: of what it records, only what the write
    /// changed is news. It may be gone, if it was deleted and the write was what it waited for.
    pub(crate) fn handle_eip_written(
        &mut self,
        name: EipName,
        version: Version,
        eip: Option<Eip>,
    ) -> Concern {
        let on = |eip: Option<&Eip>| {
            let eip = eip.filter(|eip| ipam::is_layer2(eip));
            eip.map(|eip| (Interface::of(eip), family(eip)))
        };
        let was_on = on(self.eips.get(&name));
        let Some(before) = self.eips.exchange_written(name.clone(), version, eip) else {
            return Concern::default();
        };
        let after = self.eips.get(&name);
        let is_on = on(after);
        let services = rerecorded(before.as_ref(), after);
        let mut concern = self.reach_changed(was_on != is_on);
        concern.services = services;
        concern.eips.insert(name);
        concern
    }

    fn endpoints_changed(&self, mut services: BTreeSet<ServiceName>) -> Concern {
        services.retain(|name| self.concerned.contains(name));
        Concern { services, ..Concern::default() }
    }

    fn handle_link(&mut self, name: LinkName, link: Result<Link, Unusable>) -> Concern {
        let old = self.link(name).cloned();
        let changed = old != link.as_ref().map_err(|why| *why).cloned();
        self.links.remove(&name);
        self.unusable.remove(&name);
        match link {
            Ok(link) => drop(self.links.insert(name, link)),
            Err(Unusable::Missing) => {}
            Err(why) => drop(self.unusable.insert(name, why)),
        }
        // Interfaces of pods come and go, and nothing is served on most of them.
        self.reach_changed(changed && self.eip_links().any(|link| link == name))
    }

    fn handle_route(&mut self, address: IpAddr, route: Result<LinkName, Unroutable>) -> Concern {
        let Some(known) = self.routes.get_mut(&address) else { return Concern::default() };
        if known.replace(route) == Some(route) {
            return Concern::default();
        }
        let mut concern = self.reach_changed(true);
        let names = |eip: &Eip| Interface::of(eip) == Some(Interface::Reaching(address));
        let eips = self.eips.iter().filter(|(_, eip)| ipam::is_layer2(eip) && names(eip));
        concern.eips = eips.map(|(name, _)| name.clone()).collect();
        concern
    }

    fn sort(&mut self, name: &ServiceName) {
        let service = self.services.get(name);
        let ours = |service: &Service| {
            Request::of(service).is_some()
                || is_finalized(service)
                || service.announced.is_some()
                || service.conflict.is_some()
        };
        if service.is_some_and(ours) {
            self.concerned.insert(name.clone());
        } else {
            self.concerned.remove(name);
        }
    }

    fn handle_node(&mut self, name: NodeName, version: Version, node: Option<Node>) -> Concern {
        let addresses = |nodes: &Store<NodeName, Node>| -> BTreeSet<IpAddr> {
            nodes.get(&name).into_iter().flat_map(placement::addresses).collect()
        };
        let before = addresses(&self.nodes);
        if !self.nodes.apply(name.clone(), version, node) {
            return Concern::default();
        }
        let after = addresses(&self.nodes);
        for address in before.difference(&after) {
            if let Some(nodes) = self.nodes_at.get_mut(address) {
                nodes.remove(&name);
                if nodes.is_empty() {
                    self.nodes_at.remove(address);
                }
            }
        }
        for address in after.difference(&before) {
            self.nodes_at.entry(*address).or_default().insert(name.clone());
        }
        let choices = before != after;
        let excludes = self.nodes.iter().any(|(_, node)| !node.excluded);
        if std::mem::replace(&mut self.excludes, excludes) != excludes {
            return Concern { choices, ..self.reach_changed(true) };
        }
        let link = |name| &self.links[&name];
        let reach = self.reach.handle_node(&name, self.nodes.get(&name), link, excludes);
        let nodes = BTreeSet::from([name]);
        Concern { nodes, everybody: choices, choices, reach, ..Concern::default() }
    }

    fn handle_nodes(&mut self, listing: Listing<NodeName, Node>) -> Concern {
        if self.nodes.replace(listing).is_empty() {
            return Concern::default();
        }
        let before = std::mem::take(&mut self.nodes_at);
        for (name, node) in self.nodes.iter() {
            for address in placement::addresses(node) {
                self.nodes_at.entry(address).or_default().insert(name.clone());
            }
        }
        self.excludes = self.nodes.iter().any(|(_, node)| !node.excluded);
        let choices = !before.keys().eq(self.nodes_at.keys());
        Concern { choices, ..self.reach_changed(true) }
    }

    fn reach_changed(&mut self, changed: bool) -> Concern {
        if !changed {
            return Concern::default();
        }
        self.eips_on.clear();
        let routes = std::mem::take(&mut self.routes);
        for (_, eip) in self.eips.iter().filter(|(_, eip)| ipam::is_layer2(eip)) {
            if let Some(Interface::Reaching(address)) = Interface::of(eip) {
                let known = routes.get(&address).copied().flatten();
                self.routes.insert(address, known);
            }
            *self.eips_on.entry((link_of(eip, &self.routes), family(eip))).or_default() += 1;
        }
        let links = self.listen();
        let links = links.into_iter().filter_map(|name| Some((name, self.links.get(&name)?)));
        self.reach.rebuild(links, self.nodes.iter(), self.excludes);
        Concern { everybody: true, reach: true, links: true, ..Concern::default() }
    }

    /// Takes in what keeps a node from being answered by what is seen of it on the LAN.
    pub(crate) fn handle_seen(&mut self, target: Target, obstacle: Option<Obstacle>) -> Concern {
        let nodes = self.nodes_at.get(&target.1).into_iter().flatten();
        match self.reach.handle_seen(target, obstacle, nodes) {
            true => self.concern_of([target]),
            false => Concern::default(),
        }
    }

    /// Whom it concerns what is found out about whoever is at some places.
    pub(crate) fn concern_of(&self, targets: impl IntoIterator<Item = Target>) -> Concern {
        let at = |(_, address)| self.nodes_at.get(&address).into_iter().flatten().cloned();
        let nodes = targets.into_iter().flat_map(at).collect();
        Concern { nodes, ..Concern::default() }
    }

    /// Whether there is such an object, as far as is known.
    pub(crate) fn knows(&self, object: &Object) -> bool {
        match object {
            Object::Eip(name) => self.eips.get(name).is_some(),
            Object::Service(name) => self.services.get(name).is_some(),
        }
    }

    /// The interface of this host that has a name, or why there is none to be used.
    pub(crate) fn link(&self, name: LinkName) -> Result<&Link, Unusable> {
        let why = || self.unusable.get(&name).copied().unwrap_or(Unusable::Missing);
        self.links.get(&name).ok_or_else(why)
    }

    /// What a Service asks of us, if it is ours.
    pub(crate) fn request(&self, service: &Service) -> Option<Request> {
        self.read(service).ok()
    }

    /// What a Service asks of us, or why it is not ours.
    pub(crate) fn read(&self, service: &Service) -> Result<Request, NotOurs> {
        let request = Request::read(service)?;
        match &request.eip {
            Some(named) if !request.layer2 => match self.eips.get(&named.value) {
                Some(eip) if ipam::is_layer2(eip) => Ok(request),
                Some(_) => Err(NotOurs::OtherEip(named.value.clone())),
                None => Err(NotOurs::NoEip(named.value.clone())),
            },
            Some(_) | None => Ok(request),
        }
    }

    /// Whether a Service carries a finalizer that is ours to remove: it is one that this project
    /// and the original share, so it must not have been set for an Eip of another protocol.
    pub(crate) fn is_traced(&self, service: &Service) -> bool {
        let metadata = &service.metadata;
        let eip = keys::EIP.find(&metadata.labels).map(|(_, eip)| EipName::from(eip));
        let protocol = keys::PROTOCOL.find(&metadata.annotations).map(|(_, protocol)| protocol);
        let ours = match (protocol, &eip) {
            (Some(keys::LAYER2_PROTOCOL), _) => true,
            (_, Some(eip)) => self.eips.get(eip).is_none_or(ipam::is_layer2),
            (protocol, None) => protocol.is_none(),
        };
        is_finalized(service) && ours
    }

    /// Which Eip records an address for a Service.
    pub(crate) fn recorded(&self, service: &ServiceName) -> Option<&EipName> {
        let holds = |eip: &Eip| eip.status.used.values().any(|holders| holders.contains(service));
        let mut eips = self.eips.iter().filter(|(_, eip)| ipam::is_layer2(eip) && holds(eip));
        eips.next().map(|(name, _)| name)
    }

    /// The nodes that can serve an address now which these Services hold.
    pub(crate) fn candidates<'a, 's>(
        &'a self,
        holders: impl Iterator<Item = (&'s ServiceName, &'s Service)> + Clone,
        link: LinkName,
        eip: IpAddr,
    ) -> Candidates<'a> {
        let family = Family::of(eip);
        let usable = self.reach.usable(link, family);
        let local = |(_, service): (_, &Service)| service.policy == TrafficPolicy::Local;
        let policy = match holders.clone().any(local) {
            true => TrafficPolicy::Local,
            false => TrafficPolicy::Cluster,
        };
        Candidates::of(policy, holders.map(|(name, _)| self.endpoints.of(name, family)), usable)
    }

    /// The Services of ours that have an endpoint on a node.
    pub(crate) fn services_on(&self, node: &NodeName) -> impl Iterator<Item = &ServiceName> {
        self.endpoints.on(node).filter(|name| self.concerned.contains(*name))
    }

    /// The address of a usable node on a link.
    pub(crate) fn address_of(
        &self,
        node: &NodeName,
        link: LinkName,
        family: Family,
    ) -> Option<IpAddr> {
        self.reach.usable(link, family).get(node).copied()
    }

    /// What the API server says against a node, on whichever link.
    pub(crate) fn bar(&self, node: &Node) -> Option<Obstacle> {
        placement::bar(node, self.excludes)
    }

    /// Why a node may not be answered on a link.
    pub(crate) fn obstacle(
        &self,
        node: &NodeName,
        link: LinkName,
        family: Family,
    ) -> Option<Obstacle> {
        match self.asked_at(node, link, family)? {
            Ok(address) => self.reach.obstacle((link, address)),
            Err(obstacle) => Some(obstacle),
        }
    }

    /// The address at which a node is asked for on a link, or what the API server says against it;
    /// `None`: one of them is not there.
    pub(crate) fn asked_at(
        &self,
        node: &NodeName,
        link: LinkName,
        family: Family,
    ) -> Option<Result<IpAddr, Obstacle>> {
        let (node, link) = (self.nodes.get(node)?, self.links.get(&link)?);
        Some(placement::usable_address(node, link, family, self.excludes))
    }

    /// Whether a node takes no new EIPs.
    pub(crate) fn is_cordoned(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|node| node.cordoned)
    }

    /// The link that an Eip is served on.
    pub(crate) fn link_of(&self, eip: &EipName) -> Option<LinkName> {
        link_of(self.eips.get(eip)?, &self.routes)
    }

    /// By which link an address is reached that an Eip names; `None`: not told yet.
    pub(crate) fn route(&self, address: IpAddr) -> Option<Result<LinkName, Unroutable>> {
        self.routes.get(&address).copied().flatten()
    }

    /// How many layer2 Eips there are in each place.
    pub(crate) fn eips_on(&self) -> impl Iterator<Item = (Place, u32)> + '_ {
        self.eips_on.iter().map(|(place, count)| (*place, *count))
    }

    /// The links that Eips are on; some of them twice.
    fn eip_links(&self) -> impl Iterator<Item = LinkName> + '_ {
        self.eips_on.keys().filter_map(|(link, _)| *link)
    }

    /// The links to listen on.
    pub(crate) fn listen(&self) -> BTreeSet<LinkName> {
        self.eip_links().collect()
    }

    /// The addresses of which the link has to be known by which they are reached.
    pub(crate) fn routed(&self) -> BTreeSet<IpAddr> {
        self.routes.keys().copied().collect()
    }

    /// The nodes and gateways to probe, each with who asks. What is on this host needs no probe.
    pub(crate) fn targets(&self) -> BTreeMap<Target, (IpAddr, MacAddr)> {
        let mut targets = BTreeMap::new();
        for ((name, family), nodes) in self.reach.near() {
            let link = &self.links[&name];
            let gateways = link.gateways.iter().filter(|&&it| Family::of(it) == family);
            for &address in nodes.values().chain(gateways).filter(|&&it| !link.owns(it)) {
                if let Some(own) = link.address_beside(address) {
                    targets.insert((name, address), (own, link.mac));
                }
            }
        }
        targets
    }

    /// Where those of some nodes are that need to be probed.
    pub(crate) fn targets_of(&self, picked: impl Fn(&NodeName) -> bool) -> BTreeSet<Target> {
        let nodes = self.reach.near().flat_map(|((link, _), nodes)| {
            nodes.iter().map(move |(node, address)| (node, (link, *address)))
        });
        nodes.filter(|(node, _)| picked(node)).map(|(_, target)| target).collect()
    }

    /// Where a node is that needs to be probed, each with whether any of those that are there is picked.
    pub(crate) fn targets_at(
        &self,
        node: &NodeName,
        picked: impl Fn(&NodeName) -> bool,
    ) -> Vec<(Target, bool)> {
        let targets = self.reach.targets_of(node);
        let at = |target: Target| self.nodes_at.get(&target.1).into_iter().flatten().any(&picked);
        targets.map(|target| (target, at(target))).collect()
    }

    /// The nodes that are on record for Services of ours.
    pub(crate) fn recorded_nodes(&self) -> BTreeSet<NodeName> {
        let services = self.concerned.iter().filter_map(|name| self.services.get(name));
        services.filter_map(|it| placement::record(&it.metadata.annotations)).collect()
    }

    /// The addresses of all nodes, each with those that have it.
    pub(crate) fn nodes_at(&self) -> &BTreeMap<IpAddr, BTreeSet<NodeName>> {
        &self.nodes_at
    }

    /// The node whose own address this is. What several nodes show is no host's own: some providers list
    /// whatever is bound there, and kube-proxy may bind every EIP on every node.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&NodeName> {
        self.nodes_at.get(&address).filter(|owners| owners.len() == 1)?.first()
    }

    /// A node with this address, be it its own or not.
    pub(crate) fn node_at(&self, address: IpAddr) -> Option<&NodeName> {
        self.nodes_at.get(&address)?.first()
    }

    /// The labels of a Service's namespace.
    pub(crate) fn namespace_labels(&self, service: &ServiceName) -> Option<&Texts> {
        let namespace = self.namespaces.get(service.namespace());
        namespace.map(|namespace| &namespace.labels)
    }

    /// How many objects are known, with the interfaces of this host and what the Eips record.
    pub(crate) fn n_objects(&self) -> usize {
        let Self { eips, services, namespaces, nodes, endpoints, links, unusable, .. } = self;
        let slices = &endpoints.slices;
        let used = eips.iter().flat_map(|(_, eip)| eip.status.used.values());
        let recorded: usize = used.map(Few::len).sum();
        let objects = eips.len() + services.len() + namespaces.len() + nodes.len() + slices.len();
        objects + links.len() + unusable.len() + recorded
    }

    /// How many places there are where a node or a gateway may be looked for.
    pub(crate) fn n_targets(&self) -> usize {
        let gateways = |link| self.links.get(&link).map_or(0, |link| link.gateways.len());
        self.reach.near().map(|((link, _), nodes)| nodes.len() + gateways(link)).sum()
    }

    /// How much is remembered of what is gone.
    pub(crate) fn sizes_of_the_gone(&self) -> [Size; 2] {
        let Self { eips, services, namespaces, nodes, endpoints, .. } = self;
        let slices = &endpoints.slices;
        let gone = [eips.n_gone(), services.n_gone(), namespaces.n_gone(), nodes.n_gone()];
        let gone = gone.into_iter().chain([slices.n_gone()]);
        let most = |which: usize| gone.clone().map(|gone| gone[which]).max().unwrap_or_default();
        [
            Size::new("objects of a kind that a verdict has ended", most(0), ENDED_MAX),
            Size::new("objects of a kind that the watch has ended", most(1), ENDED_MAX),
        ]
    }

    /// How much is remembered of what there is.
    pub(crate) fn sizes(&self) -> Vec<Size> {
        let Self { eips, services, namespaces, nodes, endpoints, .. } = self;
        let slices = &endpoints.slices;
        let doubted = eips.n_doubted() + services.n_doubted();
        let doubted = doubted + namespaces.n_doubted() + nodes.n_doubted() + slices.n_doubted();
        let mut sizes = Vec::from([
            Size::new("objects doubted", doubted, self.n_objects()),
            Size::new("Services of concern", self.concerned.len(), services.len()),
            Size::new("links of Eips", self.eips_on.len(), eips.len()),
            Size::new("addresses that name a link", self.routes.len(), eips.len()),
            Size::new("addresses of nodes", self.n_node_addresses(), self.n_addresses_told()),
        ]);
        sizes.extend(self.reach.sizes(self.n_targets()));
        sizes.extend(self.endpoints.sizes());
        sizes
    }

    fn n_node_addresses(&self) -> usize {
        self.nodes_at.values().map(BTreeSet::len).sum()
    }

    fn n_addresses_told(&self) -> usize {
        self.nodes.iter().map(|(_, node)| placement::addresses(node).count()).sum()
    }

    pub(crate) fn concerned(&self) -> &BTreeSet<ServiceName> {
        &self.concerned
    }
}

/// Who is on record now for an address that it was not on record for, or the other way round.
fn rerecorded(before: Option<&Eip>, after: Option<&Eip>) -> BTreeSet<ServiceName> {
    let none = Used::new();
    let before = before.map_or(&none, |eip| &eip.status.used);
    let after = after.map_or(&none, |eip| &eip.status.used);
    missing(before, after).chain(missing(after, before)).cloned().collect()
}

/// Who is in one record for an address, and not in another.
fn missing<'a>(one: &'a Used, other: &'a Used) -> impl Iterator<Item = &'a ServiceName> {
    let pairs = one.iter().map(|(address, holders)| (holders, other.get(address)));
    let changed = pairs.filter(|(holders, others)| *others != Some(holders));
    changed.flat_map(|(holders, others)| {
        holders.iter().filter(move |holder| !others.is_some_and(|others| others.contains(holder)))
    })
}

/// The family of an Eip's addresses, unless they cannot be read.
fn family(eip: &Eip) -> Option<Family> {
    AddressRange::parse(&eip.address).ok().map(|range| Family::of(range.first()))
}

/// The link that an Eip is served on, as far as it is known where addresses are reached.
fn link_of(
    eip: &Eip,
    routes: &BTreeMap<IpAddr, Option<Result<LinkName, Unroutable>>>,
) -> Option<LinkName> {
    match Interface::of(eip)? {
        Interface::Named(link) => Some(link),
        Interface::Reaching(address) => routes.get(&address).copied().flatten()?.ok(),
    }
}

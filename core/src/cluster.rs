//! What is known of the cluster and of this host's links, and whom a change concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use pnet::util::MacAddr;

use crate::{
    Eip, EipName, Family, Input, Kind, Link, LinkName, Namespace, NamespaceName, Node, NodeName,
    Service, ServiceName, Size, Slice, SliceName, TrafficPolicy, Unroutable, Unusable, Version,
    claim::is_finalized,
    interface::Interface,
    ipam, keys,
    ledger::Object,
    neighbor::Target,
    placement::{self, Candidates, Obstacle, Usable},
    request::Request,
    store::{ENDED_MAX, Listing, Store},
};

/// The facts.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) eips: Store<EipName, Eip>,
    pub(crate) services: Store<ServiceName, Service>,
    pub(crate) namespaces: Store<NamespaceName, Namespace>,
    pub(crate) nodes: Store<NodeName, Node>,
    pub(crate) slices: Store<SliceName, Slice>,
    pub(crate) links: BTreeMap<LinkName, Link>,
    /// The other interfaces of this host, and why they are no links.
    unusable: BTreeMap<LinkName, Unusable>,
    /// By which link each address is reached that an Eip names in place of a link; `None`: not told yet.
    routes: BTreeMap<IpAddr, Option<Result<LinkName, Unroutable>>>,
    /// How many layer2 Eips there are per link; `None`: those that are on no link.
    pub(crate) eips_on: BTreeMap<Option<LinkName>, u32>,
    slices_of: BTreeMap<ServiceName, BTreeSet<SliceName>>,
    /// Services that ask for something or show traces of having had it.
    concerned: BTreeSet<ServiceName>,
    /// The nodes that the API server has nothing against, with their addresses, per link of an Eip and
    /// family.
    reach: BTreeMap<(LinkName, Family), Usable>,
    /// Those of them that the LAN has nothing against either.
    usable: BTreeMap<(LinkName, Family), Usable>,
    /// What the LAN has against the others.
    lan: BTreeMap<Target, Obstacle>,
    /// Whether the label that excludes nodes counts: not when every node has it.
    excludes: bool,
    /// No usable node: what there is on a link that is not here.
    nowhere: Usable,
    /// The addresses of all nodes, which are no Service's.
    node_addresses: BTreeSet<IpAddr>,
}

/// Whom a fact concerns.
#[derive(Debug, Default)]
pub(crate) struct Concern {
    pub(crate) services: BTreeSet<ServiceName>,
    pub(crate) eips: BTreeSet<EipName>,
    /// Whether what is recorded in an Eip's status has changed.
    pub(crate) records: bool,
    /// Whether the links to listen on, or the nodes to probe there, may have changed.
    pub(crate) reach: bool,
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
            slices: Store::new(),
            links: BTreeMap::new(),
            unusable: BTreeMap::new(),
            routes: BTreeMap::new(),
            eips_on: BTreeMap::new(),
            slices_of: BTreeMap::new(),
            concerned: BTreeSet::new(),
            reach: BTreeMap::new(),
            usable: BTreeMap::new(),
            lan: BTreeMap::new(),
            excludes: true,
            nowhere: Usable::new(),
            node_addresses: BTreeSet::new(),
        }
    }

    /// Whether every kind was listed: before that, nothing can be said to be missing.
    pub(crate) fn is_synced(&self) -> bool {
        self.unlisted().next().is_none()
    }

    /// The kinds that were not listed yet.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = Kind> + use<> {
        let Self { eips, services, namespaces, nodes, slices, .. } = self;
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
            Input::Node(name, version, node) => {
                let changed = self.nodes.apply(name, version, node);
                self.nodes_changed(changed)
            }
            Input::Nodes(listing) => {
                let changed = !self.nodes.replace(listing).is_empty();
                self.nodes_changed(changed)
            }
            Input::Slice(name, version, slice) => self.handle_slice(name, version, slice),
            Input::Slices(listing) => self.handle_slices(listing),
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
        let holders = |eip: Option<&Eip>| -> BTreeSet<(IpAddr, ServiceName)> {
            let used = eip.into_iter().flat_map(|eip| &eip.status.used);
            let pairs = used.flat_map(|(&address, holders)| {
                holders.iter().map(move |holder| (address, holder.clone()))
            });
            pairs.collect()
        };
        let on = |eip: Option<&Eip>| eip.filter(|eip| ipam::is_layer2(eip)).map(Interface::of);
        let (before, was_on) = (holders(self.eips.get(&name)), on(self.eips.get(&name)));
        if !self.eips.apply_written(name.clone(), version, eip) {
            return Concern::default();
        }
        let (after, is_on) = (holders(self.eips.get(&name)), on(self.eips.get(&name)));
        let mut concern = self.reach_changed(was_on != is_on);
        let holders = before.symmetric_difference(&after).map(|(_, holder)| holder.clone());
        concern.services.extend(holders);
        concern.eips.insert(name);
        concern
    }

    fn handle_slice(&mut self, name: SliceName, version: Version, slice: Option<Slice>) -> Concern {
        let old = self.slices.get(&name).map(|slice| slice.service.clone());
        let new = slice.as_ref().map(|slice| slice.service.clone());
        if !self.slices.apply(name.clone(), version, slice) {
            return Concern::default();
        }
        if let Some(service) = &old
            && let Some(slices) = self.slices_of.get_mut(service)
        {
            slices.remove(&name);
            if slices.is_empty() {
                self.slices_of.remove(service);
            }
        }
        if let Some(service) = &new {
            self.slices_of.entry(service.clone()).or_default().insert(name);
        }
        let services = [old, new].into_iter().flatten();
        let services = services.filter(|name| self.concerned.contains(name)).collect();
        Concern { services, ..Concern::default() }
    }

    fn handle_slices(&mut self, listing: Listing<SliceName, Slice>) -> Concern {
        let old = self.slices_of.clone();
        if self.slices.replace(listing).is_empty() {
            return Concern::default();
        }
        self.slices_of.clear();
        for (name, slice) in self.slices.iter() {
            self.slices_of.entry(slice.service.clone()).or_default().insert(name.clone());
        }
        let services = old.into_keys().chain(self.slices_of.keys().cloned());
        let services = services.filter(|name| self.concerned.contains(name)).collect();
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
        self.reach_changed(changed && self.eips_on.contains_key(&Some(name)))
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

    fn nodes_changed(&mut self, changed: bool) -> Concern {
        self.excludes = self.nodes.iter().any(|(_, node)| !node.excluded);
        let addresses = self.nodes.iter().flat_map(|(_, node)| placement::addresses(node));
        let addresses = addresses.collect();
        let choices = self.node_addresses != addresses;
        self.node_addresses = addresses;
        Concern { choices, ..self.reach_changed(changed) }
    }

    fn reach_changed(&mut self, changed: bool) -> Concern {
        if !changed {
            return Concern::default();
        }
        self.reach.clear();
        self.eips_on.clear();
        let routes = std::mem::take(&mut self.routes);
        for (_, eip) in self.eips.iter().filter(|(_, eip)| ipam::is_layer2(eip)) {
            if let Some(Interface::Reaching(address)) = Interface::of(eip) {
                let known = routes.get(&address).copied().flatten();
                self.routes.insert(address, known);
            }
            let link = link_of(eip, &self.routes);
            *self.eips_on.entry(link).or_default() += 1;
            let Some(name) = link else { continue };
            let Some(link) = self.links.get(&name) else { continue };
            for family in [Family::V4, Family::V6] {
                let (nodes, excludes) = (&self.nodes, self.excludes);
                self.reach.entry((name, family)).or_insert_with(|| {
                    let usable = nodes.iter().filter_map(|(node, facts)| {
                        let address = placement::usable_address(facts, link, family, excludes);
                        Some((node.clone(), address.ok()?))
                    });
                    usable.collect()
                });
            }
        }
        self.usable.clone_from(&self.reach);
        for (&(link, _), nodes) in &mut self.usable {
            nodes.retain(|_, address| !self.lan.contains_key(&(link, *address)));
        }
        Concern { services: self.concerned.clone(), reach: true, ..Concern::default() }
    }

    /// Takes in what keeps a node from being answered by what is seen of it on the LAN.
    pub(crate) fn handle_seen(&mut self, target: Target, obstacle: Option<Obstacle>) -> Concern {
        let old = match obstacle {
            Some(obstacle) => self.lan.insert(target, obstacle),
            None => self.lan.remove(&target),
        };
        if old == obstacle {
            return Concern::default();
        }
        let (link, address) = target;
        let place = (link, Family::of(address));
        if let (Some(reach), Some(usable)) = (self.reach.get(&place), self.usable.get_mut(&place)) {
            for (node, _) in reach.iter().filter(|(_, at)| **at == address) {
                match obstacle {
                    Some(_) => usable.remove(node),
                    None => usable.insert(node.clone(), address),
                };
            }
        }
        Concern { services: self.concerned.clone(), ..Concern::default() }
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
        let request = Request::of(service)?;
        let named = request.eip.as_ref().and_then(|eip| self.eips.get(&eip.value));
        (request.layer2 || named.is_some_and(ipam::is_layer2)).then_some(request)
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
        let usable = self.usable.get(&(link, family)).unwrap_or(&self.nowhere);
        let local = |(_, service): (_, &Service)| service.policy == TrafficPolicy::Local;
        let policy = match holders.clone().any(local) {
            true => TrafficPolicy::Local,
            false => TrafficPolicy::Cluster,
        };
        Candidates::of(policy, holders.map(|(name, _)| self.slices_of(name, family)), usable)
    }

    /// The slices of a Service that are of a family.
    pub(crate) fn slices_of(&self, name: &ServiceName, family: Family) -> Vec<&Slice> {
        let slices = self.slices_of.get(name).into_iter().flatten();
        let slices = slices.filter_map(|slice| self.slices.get(slice));
        slices.filter(|slice| slice.family == family).collect()
    }

    /// The address of a usable node on a link.
    pub(crate) fn address_of(
        &self,
        node: &NodeName,
        link: LinkName,
        family: Family,
    ) -> Option<IpAddr> {
        self.usable.get(&(link, family))?.get(node).copied()
    }

    /// Why a node may not be answered on a link.
    pub(crate) fn obstacle(
        &self,
        node: &NodeName,
        link: LinkName,
        family: Family,
    ) -> Option<Obstacle> {
        let (node, facts) = (self.nodes.get(node)?, self.links.get(&link)?);
        match placement::usable_address(node, facts, family, self.excludes) {
            Ok(address) => self.lan.get(&(link, address)).copied(),
            Err(obstacle) => Some(obstacle),
        }
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

    /// The links to listen on.
    pub(crate) fn listen(&self) -> BTreeSet<LinkName> {
        self.eips_on.keys().copied().flatten().collect()
    }

    /// The addresses of which the link has to be known by which they are reached.
    pub(crate) fn routed(&self) -> BTreeSet<IpAddr> {
        self.routes.keys().copied().collect()
    }

    /// The nodes and gateways to probe, each with who asks. What is on this host needs no probe.
    pub(crate) fn targets(&self) -> BTreeMap<Target, (IpAddr, MacAddr)> {
        let mut targets = BTreeMap::new();
        for (&(name, family), nodes) in &self.reach {
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
        let nodes = self.reach.iter().flat_map(|(&(link, _), nodes)| {
            nodes.iter().map(move |(node, address)| (node, (link, *address)))
        });
        nodes.filter(|(node, _)| picked(node)).map(|(_, target)| target).collect()
    }

    /// The nodes that are on record for Services of ours.
    pub(crate) fn recorded_nodes(&self) -> BTreeSet<NodeName> {
        let services = self.concerned.iter().filter_map(|name| self.services.get(name));
        services.filter_map(|it| placement::record(&it.metadata.annotations)).collect()
    }

    /// The addresses of all nodes.
    pub(crate) fn node_addresses(&self) -> &BTreeSet<IpAddr> {
        &self.node_addresses
    }

    /// The node whose own address this is. What several nodes show is no host's own: some providers list
    /// whatever is bound there, and kube-proxy may bind every EIP on every node.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&NodeName> {
        if !self.node_addresses.contains(&address) {
            return None;
        }
        let has = |node| placement::addresses(node).any(|own| own == address);
        let mut owners = self.nodes.iter().filter(|(_, node)| has(node)).map(|(name, _)| name);
        owners.next().filter(|_| owners.next().is_none())
    }

    /// A node with this address, be it its own or not.
    pub(crate) fn node_at(&self, address: IpAddr) -> Option<&NodeName> {
        let mut nodes = self.nodes.iter();
        nodes.find(|(_, node)| placement::addresses(node).any(|own| own == address)).map(|it| it.0)
    }

    /// The labels of a Service's namespace.
    pub(crate) fn namespace_labels(
        &self,
        service: &ServiceName,
    ) -> Option<&BTreeMap<String, String>> {
        let namespace = self.namespaces.get(&NamespaceName::from(&*service.namespace));
        namespace.map(|namespace| &namespace.labels)
    }

    /// How many objects are known, with the interfaces of this host and what the Eips record.
    pub(crate) fn n_objects(&self) -> usize {
        let Self { eips, services, namespaces, nodes, slices, links, unusable, .. } = self;
        let used = eips.iter().flat_map(|(_, eip)| eip.status.used.values());
        let recorded: usize = used.map(BTreeSet::len).sum();
        let objects = eips.len() + services.len() + namespaces.len() + nodes.len() + slices.len();
        objects + links.len() + unusable.len() + recorded
    }

    /// How many places there are where a node or a gateway may be looked for.
    pub(crate) fn n_targets(&self) -> usize {
        let gateways = |link| self.links.get(link).map_or(0, |link| link.gateways.len());
        self.reach.iter().map(|((link, _), nodes)| nodes.len() + gateways(link)).sum()
    }

    /// How much is remembered of what is gone.
    pub(crate) fn sizes_of_the_gone(&self) -> [Size; 2] {
        let Self { eips, services, namespaces, nodes, slices, .. } = self;
        let gone = [eips.n_gone(), services.n_gone(), namespaces.n_gone(), nodes.n_gone()];
        let gone = gone.into_iter().chain([slices.n_gone()]);
        let most = |which: usize| gone.clone().map(|gone| gone[which]).max().unwrap_or_default();
        [
            Size::new("objects of a kind that a verdict has ended", most(0), ENDED_MAX),
            Size::new("objects of a kind that the watch has ended", most(1), ENDED_MAX),
        ]
    }

    /// How much is remembered of what there is.
    pub(crate) fn sizes(&self) -> [Size; 7] {
        let Self { eips, services, namespaces, nodes, slices, .. } = self;
        let doubted = eips.n_doubted() + services.n_doubted();
        let doubted = doubted + namespaces.n_doubted() + nodes.n_doubted() + slices.n_doubted();
        [
            Size::new("objects doubted", doubted, self.n_objects()),
            Size::new("Services with slices", self.slices_of.len(), slices.len()),
            Size::new("Services of concern", self.concerned.len(), services.len()),
            Size::new("obstacles on the LAN", self.lan.len(), self.n_targets()),
            Size::new(
                "nodes within reach",
                self.reach.values().map(Usable::len).sum(),
                self.n_targets(),
            ),
            Size::new("links of Eips", self.eips_on.len(), eips.len()),
            Size::new("addresses that name a link", self.routes.len(), eips.len()),
        ]
    }

    pub(crate) fn concerned(&self) -> &BTreeSet<ServiceName> {
        &self.concerned
    }
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

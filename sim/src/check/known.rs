//! What each replica was told, each object at the newest version: by that it is judged whether an answer
//! is right, since nobody can follow what it has not heard of.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use porter_core::{
    Eip, EipName, Family, Got, Input, Listing, Node, NodeName, Service, ServiceName, Slice,
    SliceName, TrafficPolicy, Version, Written,
};

/// What all replicas were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    known: BTreeMap<usize, Known>,
    /// The replicas that were told something since the last look.
    news: BTreeSet<usize>,
}

/// What one replica was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    eips: Newest<EipName, Eip>,
    nodes: Newest<NodeName, Node>,
    services: Newest<ServiceName, Service>,
    slices: Newest<SliceName, Slice>,
}

/// Objects of one kind, those that are gone included.
#[derive(Clone, Debug)]
struct Newest<K: Ord, T>(BTreeMap<K, (Version, Option<T>)>);

impl Told {
    pub(super) fn started(&mut self, id: usize) {
        self.known.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        self.news.insert(id);
        self.known.entry(id).or_default().take_in(input);
    }

    /// The replicas that were told something since this was asked last.
    pub(super) fn take_news(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn by(&self, id: usize) -> Option<&Known> {
        self.known.get(&id)
    }
}

impl Known {
    fn take_in(&mut self, input: &Input) {
        match input.clone() {
            Input::Eip(name, version, eip) => self.eips.take_in(name, version, eip),
            Input::Eips(listing) => self.eips.take_in_all(listing),
            Input::Node(name, version, node) => self.nodes.take_in(name, version, node),
            Input::Nodes(listing) => self.nodes.take_in_all(listing),
            Input::Service(name, version, service) => {
                self.services.take_in(name, version, service);
            }
            Input::Services(listing) | Input::Got(_, Ok(Got::Services(listing))) => {
                self.services.take_in_all(listing);
            }
            Input::Slice(name, version, slice) => self.slices.take_in(name, version, slice),
            Input::Slices(listing) => self.slices.take_in_all(listing),
            Input::Written(_, Ok(Written::Eip(version, eip))) => {
                // The name is not in the verdict; an object knows its UID.
                self.eips.take_in_by(version, eip, |a, b| a.metadata.uid == b.metadata.uid);
            }
            Input::Written(_, Ok(Written::Service(version, service))) => {
                let same = |a: &Service, b: &Service| a.metadata.uid == b.metadata.uid;
                self.services.take_in_by(version, service, same);
            }
            Input::Asked(..)
            | Input::Checked(..)
            | Input::Got(..)
            | Input::Heard(_)
            | Input::Lease(_)
            | Input::Leave
            | Input::Link(..)
            | Input::Probed(_)
            | Input::Route(..)
            | Input::Lost(_)
            | Input::Namespace(..)
            | Input::Namespaces(_)
            | Input::Silenced(_)
            | Input::Stirred(_)
            | Input::Written(..) => {}
        }
    }

    /// Who holds an address.
    pub(super) fn holders(&self, eip: IpAddr) -> impl Iterator<Item = &ServiceName> {
        self.eips.iter().filter_map(move |object| object.status.used.get(&eip)).flatten()
    }

    /// The node whose own address this is, if it is that of one alone.
    pub(super) fn node_at(&self, address: IpAddr) -> Option<&NodeName> {
        let has = |node: &Node| node.addresses.contains(&address);
        let nodes = self.nodes.0.iter();
        let mut owners = nodes.filter(|(_, (_, node))| node.as_ref().is_some_and(has));
        owners.next().filter(|_| owners.next().is_none()).map(|(name, _)| name)
    }

    /// Whether a Service has an endpoint of a family that one of the nodes would send to.
    pub(super) fn has_endpoint(
        &self,
        name: &ServiceName,
        family: Family,
        nodes: &[&NodeName],
    ) -> bool {
        let service = self.services.0.get(name).and_then(|(_, service)| service.as_ref());
        let local = service.is_some_and(|service| service.policy == TrafficPolicy::Local);
        let of_it = |slice: &&Slice| slice.service == *name && slice.family == family;
        let slices = self.slices.iter().filter(of_it);
        slices.flat_map(|slice| &slice.endpoints).any(|endpoint| {
            let near = endpoint.node.as_ref().is_some_and(|node| nodes.contains(&node));
            (endpoint.ready || endpoint.serving) && (near || !local)
        })
    }
}

impl<K: Ord, T> Newest<K, T> {
    fn take_in(&mut self, name: K, version: Version, object: Option<T>) {
        if self.0.get(&name).is_none_or(|(known, _)| *known <= version) {
            self.0.insert(name, (version, object));
        }
    }

    fn take_in_by(&mut self, version: Version, object: Option<T>, same: fn(&T, &T) -> bool) {
        let Some(object) = object else { return };
        let known =
            self.0.values_mut().find(|(_, old)| old.as_ref().is_some_and(|o| same(o, &object)));
        if let Some((known, old)) = known.filter(|(known, _)| *known <= version) {
            (*known, *old) = (version, Some(object));
        }
    }

    fn take_in_all(&mut self, listing: Listing<K, T>) {
        let Listing { version, objects } = listing;
        for (name, (known, object)) in &mut self.0 {
            if *known <= version && !objects.contains_key(name) {
                (*known, *object) = (version, None);
            }
        }
        for (name, (version, object)) in objects {
            self.take_in(name, version, Some(object));
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter_map(|(_, object)| object.as_ref())
    }
}

impl<K: Ord, T> Default for Newest<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

//! Nothing is answered for which the replica knows no endpoint (S9): by the facts that it was told, a
//! Service holds the EIP, and a pod behind it can serve; under `externalTrafficPolicy: Local` one on
//! the node that is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use porter_core::{
    Eip, EipName, Got, Input, Listing, NodeName, Service, ServiceName, Slice, SliceName,
    TrafficPolicy, Version, Written,
};

use super::Violation;
use crate::world::World;

#[derive(Debug, Default)]
pub(super) struct Endpoints {
    known: BTreeMap<usize, Known>,
    /// The replicas that were told something since the last look.
    told: BTreeSet<usize>,
}

/// What a replica was told, each object at the newest version.
#[derive(Debug, Default)]
struct Known {
    eips: Newest<EipName, Eip>,
    services: Newest<ServiceName, Service>,
    slices: Newest<SliceName, Slice>,
}

/// Objects of one kind, those that are gone included.
#[derive(Debug)]
struct Newest<K: Ord, T>(BTreeMap<K, (Version, Option<T>)>);

impl Endpoints {
    pub(super) fn started(&mut self, id: usize) {
        self.known.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        self.told.insert(id);
        let known = self.known.entry(id).or_default();
        match input.clone() {
            Input::Eip(name, version, eip) => known.eips.take_in(name, version, eip),
            Input::Eips(listing) => known.eips.take_in_all(listing),
            Input::Service(name, version, service) => {
                known.services.take_in(name, version, service);
            }
            Input::Services(listing) | Input::Got(_, Ok(Got::Services(listing))) => {
                known.services.take_in_all(listing);
            }
            Input::Slice(name, version, slice) => known.slices.take_in(name, version, slice),
            Input::Slices(listing) => known.slices.take_in_all(listing),
            Input::Written(_, Ok(Written::Eip(version, eip))) => {
                // The name is not in the verdict; an object knows its UID.
                known.eips.take_in_by(version, eip, |a, b| a.metadata.uid == b.metadata.uid);
            }
            Input::Written(_, Ok(Written::Service(version, service))) => {
                let same = |a: &Service, b: &Service| a.metadata.uid == b.metadata.uid;
                known.services.take_in_by(version, service, same);
            }
            Input::Asked(..)
            | Input::Checked(..)
            | Input::Got(..)
            | Input::Heard(_)
            | Input::Lease(_)
            | Input::Leave
            | Input::Link(..)
            | Input::Lost(_)
            | Input::Namespace(..)
            | Input::Namespaces(_)
            | Input::Node(..)
            | Input::Nodes(_)
            | Input::Silenced(_)
            | Input::Stirred(_)
            | Input::Written(..) => {}
        }
    }

    pub(super) fn after_event(&mut self, world: &World) -> Result<(), Violation> {
        for id in std::mem::take(&mut self.told) {
            let (Some(known), Some(process)) =
                (self.known.get(&id), world.replicas[id].process.as_ref())
            else {
                continue;
            };
            if world.local(id) >= process.until {
                continue;
            }
            for (_, eip, answer) in process.speaker.answers().iter() {
                let Ok(mac) = answer else { continue };
                let nodes = world.nodes.iter().filter(|node| node.macs.contains(&mac));
                let nodes: Vec<_> = nodes.map(|node| &node.name).collect();
                if !known.serves(eip, &nodes) {
                    let name = &world.replicas[id].name;
                    return Err(Violation(format!(
                        "{name} answers for {eip} with {nodes:?}, though it knows of no endpoint \
                         for it there"
                    )));
                }
            }
        }
        Ok(())
    }
}

impl Known {
    fn serves(&self, eip: IpAddr, nodes: &[&NodeName]) -> bool {
        let used = self.eips.iter().filter_map(|object| object.status.used.get(&eip));
        used.flatten().any(|service| self.has_endpoint(service, nodes))
    }

    /// Whether a Service has an endpoint that one of the nodes would send to.
    fn has_endpoint(&self, name: &ServiceName, nodes: &[&NodeName]) -> bool {
        let service = self.services.0.get(name).and_then(|(_, service)| service.as_ref());
        let local = service.is_some_and(|service| service.policy == TrafficPolicy::Local);
        let slices = self.slices.iter().filter(|slice| slice.service == *name);
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

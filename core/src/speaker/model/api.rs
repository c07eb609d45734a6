//! The API server of the model: one Service with one EIP, and the slice of its endpoints.
//!
//! A version of an object is its place in the order of its states, all of which are kept: a watch
//! may be anywhere among them.

use std::{collections::BTreeMap, sync::Arc};

use super::key;
use crate::{
    Eip, EipChange, EipName, Endpoint, Family, Input, Listing, Metadata, MetadataChange, NodeName,
    Service, ServiceChange, ServiceName, Slice, SliceName, Version, Write, WriteError, Written,
    keys, placement,
};

/// The nodes that the EIP can be at.
pub(super) const NODES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) eip: (Version, Eip),
    /// Every state of the Service, oldest first.
    pub(super) services: Vec<Arc<Stage>>,
    /// The node with the ready endpoint, in every state of the slice.
    pub(super) slices: Vec<usize>,
}

/// A state of the Service.
#[derive(Debug)]
pub(super) struct Stage {
    service: Service,
    /// Tells it from others.
    pub(super) key: u64,
}

impl Stage {
    fn new(service: Service) -> Arc<Self> {
        let key = key::print(&[&service], 0);
        Arc::new(Self { service, key })
    }
}

pub(super) fn web() -> ServiceName {
    ServiceName::new("default", "web")
}

pub(super) fn pool() -> EipName {
    EipName::from("pool")
}

/// The place of a version.
pub(super) fn place(version: Version) -> usize {
    usize::try_from(version.0).expect("there are few") - 1
}

fn version(place: usize) -> Version {
    Version(place as u64 + 1)
}

impl Api {
    /// Before anybody has looked at it.
    pub(super) fn new() -> Self {
        let mut service = Service { load_balancer: true, ..Service::default() };
        for (key, value) in [
            (keys::LOAD_BALANCER, "porter"),
            (keys::PROTOCOL.spelled(keys::Spelling::Porter), "layer2"),
        ] {
            service.metadata.annotations.insert(key.to_owned(), value.to_owned());
        }
        let eip = Eip {
            address: "172.22.0.188".to_owned(),
            interface: Some("eth0".to_owned()),
            protocol: Some("layer2".to_owned()),
            ..Eip::default()
        };
        Self { eip: (Version(1), eip), services: vec![Stage::new(service)], slices: vec![0] }
    }

    /// The node on record after the state of the Service at a place.
    pub(super) fn node(&self, place: usize) -> Option<usize> {
        let node = placement::record(&self.services[place].service.metadata.annotations)?;
        NODES.iter().position(|known| *known == node.as_str())
    }

    /// What a watch of the Service shows at a place.
    pub(super) fn sighting(&self, place: usize) -> Input {
        Input::Service(web(), version(place), Some(self.services[place].service.clone()))
    }

    /// What a watch of the slice shows at a place.
    pub(super) fn slice_sighting(&self, place: usize) -> Input {
        Input::Slice(web(), version(place), Some(self.slice(place)))
    }

    /// All Services, as they were at a place.
    pub(super) fn list(&self, place: usize) -> Listing<ServiceName, Service> {
        let service = (version(place), self.services[place].service.clone());
        Listing { version: version(place), objects: BTreeMap::from([(web(), service)]) }
    }

    /// All slices, as they were at a place.
    pub(super) fn list_slices(&self, place: usize) -> Listing<SliceName, Slice> {
        let slice = (version(place), self.slice(place));
        Listing { version: version(place), objects: BTreeMap::from([(web(), slice)]) }
    }

    /// One endpoint that is ready, and the one that makes way for it.
    fn slice(&self, place: usize) -> Slice {
        let ready = self.slices[place];
        let before = place.checked_sub(1).map(|before| self.slices[before]);
        let nodes = [Some(ready), before.filter(|before| *before != ready)];
        let endpoint = |node: usize| Endpoint {
            node: Some(NodeName::from(NODES[node])),
            ready: node == ready,
            serving: true,
            terminating: node != ready,
        };
        let endpoints = nodes.into_iter().flatten().map(endpoint).collect();
        Slice { service: web(), family: Family::V4, endpoints }
    }

    /// Carries a write out, if its object still is as expected.
    pub(super) fn write(&mut self, write: &Write) -> Result<Written, WriteError> {
        match write {
            Write::Lease(..) => unreachable!("the Lease passes at a word"),
            Write::Eip(_, expected, change) => {
                let (version, eip) = &mut self.eip;
                if version != expected {
                    return Err(WriteError::Conflict);
                }
                match change.clone() {
                    EipChange::Metadata(change) => edit(&mut eip.metadata, change),
                    EipChange::Status(status) => eip.status = status,
                }
                version.0 += 1;
                Ok(Written::Eip(*version, Some(eip.clone())))
            }
            Write::Service(_, expected, change) => {
                let newest = self.services.len() - 1;
                if version(newest) != *expected {
                    return Err(WriteError::Conflict);
                }
                let mut service = self.services[newest].service.clone();
                match change.clone() {
                    ServiceChange::Metadata(change) => edit(&mut service.metadata, change),
                    ServiceChange::Status(status) => {
                        service.ingress = status.ingress;
                        status.announced.apply(&mut service.announced);
                    }
                }
                if service != self.services[newest].service {
                    self.services.push(Stage::new(service.clone()));
                }
                Ok(Written::Service(version(self.services.len() - 1), Some(service)))
            }
        }
    }
}

fn edit(metadata: &mut Metadata, change: MetadataChange) {
    let MetadataChange { annotations, labels, finalizers } = change;
    for (map, changes) in [(&mut metadata.annotations, annotations), (&mut metadata.labels, labels)]
    {
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
    }
    if let Some(finalizers) = finalizers {
        metadata.finalizers = finalizers;
    }
}

//! An API server's semantics over the facts: versions, conditional writes, finalizers, a watch.

use std::collections::{BTreeMap, VecDeque};

use porter_core::{
    Eip, EipChange, EipName, Input, Kind, LeaseRecord, Listing, Metadata, MetadataChange,
    Namespace, NamespaceName, Node, NodeName, Service, ServiceChange, ServiceName, Slice,
    SliceName, Version, Write, WriteError, Written,
};

/// The objects, and what the watch has not delivered yet.
pub(crate) struct Api {
    version: u64,
    pub(crate) lease: Option<(Version, LeaseRecord)>,
    pub(crate) eips: BTreeMap<EipName, (Version, Eip)>,
    pub(crate) services: BTreeMap<ServiceName, (Version, Service)>,
    pub(crate) namespaces: BTreeMap<NamespaceName, (Version, Namespace)>,
    pub(crate) nodes: BTreeMap<NodeName, (Version, Node)>,
    pub(crate) slices: BTreeMap<SliceName, (Version, Slice)>,
    pub(crate) watch: VecDeque<Input>,
}

impl Api {
    pub(crate) fn new() -> Self {
        Self {
            version: 1,
            lease: None,
            eips: BTreeMap::new(),
            services: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            nodes: BTreeMap::new(),
            slices: BTreeMap::new(),
            watch: VecDeque::new(),
        }
    }

    fn next_version(&mut self) -> Version {
        self.version += 1;
        Version(self.version)
    }

    /// All objects of a kind. Its watch goes on from here.
    pub(crate) fn list(&mut self, kind: Kind) -> Input {
        let version = Version(self.version);
        self.watch.retain(|event| {
            let listed = match kind {
                Kind::Eip => matches!(event, Input::Eip(..)),
                Kind::Lease => matches!(event, Input::Lease(_)),
                Kind::Namespace => matches!(event, Input::Namespace(..)),
                Kind::Node => matches!(event, Input::Node(..)),
                Kind::Service => matches!(event, Input::Service(..)),
                Kind::Slice => matches!(event, Input::Slice(..)),
            };
            !listed
        });
        match kind {
            Kind::Eip => Input::Eips(Listing { version, objects: self.eips.clone() }),
            Kind::Lease => Input::Lease(self.lease.clone()),
            Kind::Namespace => {
                Input::Namespaces(Listing { version, objects: self.namespaces.clone() })
            }
            Kind::Node => Input::Nodes(Listing { version, objects: self.nodes.clone() }),
            Kind::Service => Input::Services(Listing { version, objects: self.services.clone() }),
            Kind::Slice => Input::Slices(Listing { version, objects: self.slices.clone() }),
        }
    }

    /// Puts a namespace in place.
    pub(crate) fn put_namespace(&mut self, name: &NamespaceName, namespace: Namespace) {
        let version = self.next_version();
        self.namespaces.insert(name.clone(), (version, namespace.clone()));
        self.watch.push_back(Input::Namespace(name.clone(), version, Some(namespace)));
    }

    /// Puts a node in place, or removes it.
    pub(crate) fn put_node(&mut self, name: &NodeName, node: Option<Node>) {
        let version = self.next_version();
        match node.clone() {
            Some(node) => self.nodes.insert(name.clone(), (version, node)),
            None => self.nodes.remove(name),
        };
        self.watch.push_back(Input::Node(name.clone(), version, node));
    }

    /// Puts an EndpointSlice in place.
    pub(crate) fn put_slice(&mut self, name: &SliceName, slice: Slice) {
        let version = self.next_version();
        self.slices.insert(name.clone(), (version, slice.clone()));
        self.watch.push_back(Input::Slice(name.clone(), version, Some(slice)));
    }

    /// Removes an EndpointSlice.
    pub(crate) fn remove_slice(&mut self, name: &SliceName) {
        let version = self.next_version();
        self.slices.remove(name);
        self.watch.push_back(Input::Slice(name.clone(), version, None));
    }

    /// Puts a Lease in place that somebody else has written.
    pub(crate) fn put_lease(&mut self, record: LeaseRecord) {
        self.lease = Some((self.next_version(), record));
        self.watch.push_back(Input::Lease(self.lease.clone()));
    }

    /// Puts an Eip in place, or removes it, whatever its finalizers say.
    pub(crate) fn put_eip(&mut self, name: &EipName, eip: Option<Eip>) -> Version {
        let version = self.next_version();
        match eip.clone() {
            Some(eip) => self.eips.insert(name.clone(), (version, eip)),
            None => self.eips.remove(name),
        };
        self.watch.push_back(Input::Eip(name.clone(), version, eip));
        version
    }

    /// Puts a Service in place, or removes it, whatever its finalizers say.
    pub(crate) fn put_service(&mut self, name: &ServiceName, service: Option<Service>) -> Version {
        let version = self.next_version();
        match service.clone() {
            Some(service) => self.services.insert(name.clone(), (version, service)),
            None => self.services.remove(name),
        };
        self.watch.push_back(Input::Service(name.clone(), version, service));
        version
    }

    /// The object of a write as it is.
    pub(crate) fn look(&self, write: Write) -> Result<Written, WriteError> {
        match write {
            Write::Lease(..) => Err(WriteError::Conflict),
            Write::Eip(name, ..) => {
                let (version, eip) = self.eips.get(&name).ok_or(WriteError::Conflict)?;
                Ok(Written::Eip(*version, Some(eip.clone())))
            }
            Write::Service(name, ..) => {
                let (version, service) = self.services.get(&name).ok_or(WriteError::Conflict)?;
                Ok(Written::Service(*version, Some(service.clone())))
            }
        }
    }

    /// Takes in a write, if its object still is as expected.
    pub(crate) fn write(&mut self, write: Write) -> Result<Written, WriteError> {
        match write {
            Write::Lease(expected, record) => {
                if expected != self.lease.as_ref().map(|(version, _)| *version) {
                    return Err(WriteError::Conflict);
                }
                let version = self.next_version();
                self.lease = Some((version, record.clone()));
                self.watch.push_back(Input::Lease(self.lease.clone()));
                Ok(Written::Lease(version, record))
            }
            Write::Eip(name, expected, change) => {
                let (version, eip) = self.eips.get(&name).ok_or(WriteError::Conflict)?;
                let (version, mut eip) = (*version, eip.clone());
                if version != expected {
                    return Err(WriteError::Conflict);
                }
                match change {
                    EipChange::Metadata(change) => edit(&mut eip.metadata, change),
                    EipChange::Status(status) => eip.status = status,
                }
                if Some(&eip) == self.eips.get(&name).map(|(_, eip)| eip) {
                    return Ok(Written::Eip(version, Some(eip)));
                }
                let eip = Some(eip).filter(|eip| is_held(&eip.metadata));
                Ok(Written::Eip(self.put_eip(&name, eip.clone()), eip))
            }
            Write::Service(name, expected, change) => {
                let (version, service) = self.services.get(&name).ok_or(WriteError::Conflict)?;
                let (version, mut service) = (*version, service.clone());
                if version != expected {
                    return Err(WriteError::Conflict);
                }
                match change {
                    ServiceChange::Metadata(change) => edit(&mut service.metadata, change),
                    ServiceChange::Status(status) => {
                        service.ingress = status.ingress;
                        status.announced.apply(&mut service.announced);
                        status.conflict.apply(&mut service.conflict);
                    }
                }
                if Some(&service) == self.services.get(&name).map(|(_, service)| service) {
                    return Ok(Written::Service(version, Some(service)));
                }
                let service = Some(service).filter(|service| is_held(&service.metadata));
                Ok(Written::Service(self.put_service(&name, service.clone()), service))
            }
        }
    }
}

/// Whether an object lives: it does until it is deleted and its last finalizer is gone.
pub(crate) fn is_held(metadata: &Metadata) -> bool {
    !metadata.deleting || !metadata.finalizers.is_empty()
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

//! An API server's semantics over the facts: versions, conditional writes, finalizers, a watch.

use std::collections::{BTreeMap, VecDeque};

use porter_core::{
    Eip, EipChange, EipName, Input, Kind, LeaseRecord, Listing, Metadata, MetadataChange,
    Namespace, NamespaceName, Node, NodeName, Service, ServiceChange, ServiceName, Slice,
    SliceName, Version, Write, WriteError, Written,
};

/// The kinds, in no order that matters.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];

/// The objects, and what the watch has not delivered.
#[derive(Default)]
pub(super) struct Api {
    version: u64,
    pub(super) lease: Option<(Version, LeaseRecord)>,
    pub(super) eips: BTreeMap<EipName, (Version, Eip)>,
    pub(super) services: BTreeMap<ServiceName, (Version, Service)>,
    namespaces: BTreeMap<NamespaceName, (Version, Namespace)>,
    nodes: BTreeMap<NodeName, (Version, Node)>,
    slices: BTreeMap<SliceName, (Version, Slice)>,
    pub(super) watch: VecDeque<Input>,
}

/// Sets or removes an entry of a map under a new version, and tells the watch.
macro_rules! put {
    ($api:ident, $map:ident, $event:ident, $name:ident, $object:ident) => {{
        let version = $api.next_version();
        match $object.clone() {
            Some(object) => $api.$map.insert($name.clone(), (version, object)),
            None => $api.$map.remove(&$name),
        };
        $api.tell(Input::$event($name, version, $object));
        version
    }};
}

impl Api {
    /// How much the watch may lag: then what is oldest is lost.
    const LAG_MAX: usize = 256;

    fn next_version(&mut self) -> Version {
        self.version += 1;
        Version(self.version)
    }

    fn tell(&mut self, event: Input) {
        self.watch.push_back(event);
        if self.watch.len() > Self::LAG_MAX {
            self.watch.pop_front();
        }
    }

    /// All objects of a kind.
    pub(super) fn list(&self, kind: Kind) -> Input {
        let version = Version(self.version);
        match kind {
            Kind::Eip => Input::Eips(Listing { version, objects: self.eips.clone() }),
            Kind::Lease => Input::Lease(self.lease.clone()),
            Kind::Namespace => {
                Input::Namespaces(Listing { version, objects: self.namespaces.clone() })
            }
            Kind::Node => Input::Nodes(Listing { version, objects: self.nodes.clone() }),
            Kind::Service => Input::Services(self.services()),
            Kind::Slice => Input::Slices(Listing { version, objects: self.slices.clone() }),
        }
    }

    pub(super) fn services(&self) -> Listing<ServiceName, Service> {
        Listing { version: Version(self.version), objects: self.services.clone() }
    }

    pub(super) fn put_eip(&mut self, name: EipName, eip: Option<Eip>) -> Version {
        put!(self, eips, Eip, name, eip)
    }

    pub(super) fn put_service(&mut self, name: ServiceName, service: Option<Service>) -> Version {
        put!(self, services, Service, name, service)
    }

    pub(super) fn put_namespace(&mut self, name: NamespaceName, namespace: Option<Namespace>) {
        put!(self, namespaces, Namespace, name, namespace);
    }

    pub(super) fn put_node(&mut self, name: NodeName, node: Option<Node>) {
        put!(self, nodes, Node, name, node);
    }

    pub(super) fn put_slice(&mut self, name: SliceName, slice: Option<Slice>) {
        put!(self, slices, Slice, name, slice);
    }

    pub(super) fn put_lease(&mut self, record: Option<LeaseRecord>) {
        let version = self.next_version();
        self.lease = record.map(|record| (version, record));
        self.tell(Input::Lease(self.lease.clone()));
    }

    /// Deletes an object as a person would: its finalizers hold it.
    pub(super) fn delete_eip(&mut self, name: EipName) {
        let Some((_, eip)) = self.eips.get(&name) else { return };
        let mut eip = eip.clone();
        eip.metadata.deleting = true;
        self.put_eip(name, Some(eip).filter(|eip| is_held(&eip.metadata)));
    }

    /// As [`Self::delete_eip`].
    pub(super) fn delete_service(&mut self, name: ServiceName) {
        let Some((_, service)) = self.services.get(&name) else { return };
        let mut service = service.clone();
        service.metadata.deleting = true;
        self.put_service(name, Some(service).filter(|service| is_held(&service.metadata)));
    }

    /// Takes in a write, if its object still is as expected.
    pub(super) fn write(&mut self, write: Write) -> Result<Written, WriteError> {
        match write {
            Write::Lease(expected, record) => {
                if expected != self.lease.as_ref().map(|(version, _)| *version) {
                    return Err(WriteError::Conflict);
                }
                self.put_lease(Some(record.clone()));
                Ok(Written::Lease(Version(self.version), record))
            }
            Write::Eip(name, expected, change) => {
                let mut eip = as_expected(self.eips.get(&name), expected)?;
                match change {
                    EipChange::Metadata(change) => edit(&mut eip.metadata, change),
                    EipChange::Status(status) => eip.status = status,
                }
                let eip = Some(eip).filter(|eip| is_held(&eip.metadata));
                Ok(Written::Eip(self.put_eip(name, eip.clone()), eip))
            }
            Write::Service(name, expected, change) => {
                let mut service = as_expected(self.services.get(&name), expected)?;
                match change {
                    ServiceChange::Metadata(change) => edit(&mut service.metadata, change),
                    ServiceChange::Status(status) => {
                        service.ingress = status.ingress;
                        status.announced.apply(&mut service.announced);
                        status.conflict.apply(&mut service.conflict);
                    }
                }
                let service = Some(service).filter(|service| is_held(&service.metadata));
                Ok(Written::Service(self.put_service(name, service.clone()), service))
            }
        }
    }
}

fn as_expected<T: Clone>(known: Option<&(Version, T)>, expected: Version) -> Result<T, WriteError> {
    let known = known.filter(|(version, _)| *version == expected);
    known.map(|(_, object)| object.clone()).ok_or(WriteError::Conflict)
}

/// Whether an object lives: it does until it is deleted and its last finalizer is gone.
fn is_held(metadata: &Metadata) -> bool {
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

//! The API server's object store, as far as replicas see it: versions, conditional writes, deletion
//! with finalizers, and the log that watches read.
//!
//! Everything here happens at once and in one order; that requests, verdicts and watches take time,
//! or are lost, is the business of whoever carries them.

use std::collections::BTreeMap;

use porter_core::{
    Eip, EipChange, EipName, Input, Kind, LeaseRecord, Listing, Metadata, MetadataChange,
    Namespace, NamespaceName, Node, NodeName, Service, ServiceChange, ServiceName, Slice,
    SliceName, Texts, Timestamp, Uid, Version, Write, WriteError, Written,
};

/// Objects of one kind, each at its version.
pub(crate) type Objects<K, T> = BTreeMap<K, (Version, T)>;

/// Every object there is, and everything that happened to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Api {
    version: Version,
    n_created: u64,
    pub(crate) eips: Objects<EipName, Eip>,
    pub(crate) lease: Option<(Version, LeaseRecord)>,
    pub(crate) namespaces: Objects<NamespaceName, Namespace>,
    pub(crate) nodes: Objects<NodeName, Node>,
    pub(crate) services: Objects<ServiceName, Service>,
    pub(crate) slices: Objects<SliceName, Slice>,
    log: Vec<Change>,
}

/// One entry of the log: what a watch that reads it says.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    pub(crate) sighting: Input,
}

impl Api {
    /// Carries out a write if the object is as the writer believes.
    pub(crate) fn write(&mut self, write: Write) -> Result<Written, WriteError> {
        match write {
            Write::Eip(name, version, change) => {
                let mut eip = checked(&self.eips, &name, version)?;
                match change {
                    EipChange::Metadata(change) => apply(&mut eip.metadata, change),
                    EipChange::Status(status) => eip.status = status,
                }
                Ok(match self.put_eip(name.clone(), eip) {
                    Some((version, eip)) => Written::Eip(version, Some(eip)),
                    None => Written::Eip(self.version, None),
                })
            }
            Write::Lease(expected, record) => {
                if self.lease.as_ref().map(|(version, _)| *version) != expected {
                    return Err(WriteError::Conflict);
                }
                self.put_lease(Some(record.clone()));
                Ok(Written::Lease(self.version, record))
            }
            Write::Service(name, version, change) => {
                let mut service = checked(&self.services, &name, version)?;
                match change {
                    ServiceChange::Metadata(change) => apply(&mut service.metadata, change),
                    ServiceChange::Status(status) => {
                        service.ingress = status.ingress;
                        status.announced.apply(&mut service.announced);
                        status.conflict.apply(&mut service.conflict);
                    }
                }
                Ok(match self.put_service(name.clone(), service) {
                    Some((version, service)) => Written::Service(version, Some(service)),
                    None => Written::Service(self.version, None),
                })
            }
        }
    }

    /// Stores an Eip, unless it waited only for its last finalizer to be gone. Returns what is stored.
    pub(crate) fn put_eip(&mut self, name: EipName, eip: Eip) -> Option<(Version, Eip)> {
        let eip = (!is_finished(&eip.metadata)).then_some(eip);
        let log = |version, eip| Input::Eip(name.clone(), version, eip);
        put(&mut self.eips, &mut self.version, &mut self.log, Kind::Eip, &name, eip, log)
    }

    /// Stores a Service likewise.
    pub(crate) fn put_service(
        &mut self,
        name: ServiceName,
        service: Service,
    ) -> Option<(Version, Service)> {
        let service = (!is_finished(&service.metadata)).then_some(service);
        let log = |version, service| Input::Service(name.clone(), version, service);
        let (version, change) = (&mut self.version, &mut self.log);
        put(&mut self.services, version, change, Kind::Service, &name, service, log)
    }

    /// Stores a Namespace.
    pub(crate) fn put_namespace(&mut self, name: NamespaceName, namespace: Namespace) {
        let log = |version, namespace| Input::Namespace(name.clone(), version, namespace);
        let (version, change) = (&mut self.version, &mut self.log);
        let namespace = Some(namespace);
        put(&mut self.namespaces, version, change, Kind::Namespace, &name, namespace, log);
    }

    /// Stores a Node.
    pub(crate) fn put_node(&mut self, name: NodeName, node: Option<Node>) {
        let log = |version, node| Input::Node(name.clone(), version, node);
        put(&mut self.nodes, &mut self.version, &mut self.log, Kind::Node, &name, node, log);
    }

    /// Stores an EndpointSlice, or removes it.
    pub(crate) fn put_slice(&mut self, name: SliceName, slice: Option<Slice>) {
        let log = |version, slice| Input::Slice(name.clone(), version, slice);
        put(&mut self.slices, &mut self.version, &mut self.log, Kind::Slice, &name, slice, log);
    }

    /// Stores the Lease, or removes it, whoever holds it.
    pub(crate) fn put_lease(&mut self, record: Option<LeaseRecord>) {
        self.version.0 += 1;
        self.lease = record.map(|record| (self.version, record));
        let sighting = Input::Lease(self.lease.clone());
        self.log.push(Change { version: self.version, kind: Kind::Lease, sighting });
    }

    /// Asks for an object's end: it is gone at once, or when its finalizers are.
    pub(crate) fn delete_service(&mut self, name: &ServiceName) {
        if let Some((_, mut service)) = self.services.get(name).cloned() {
            service.metadata.deleting = true;
            self.put_service(name.clone(), service);
        }
    }

    /// What a new object gets from the API server.
    pub(crate) fn stamp(&mut self, metadata: &mut Metadata, now: Timestamp) {
        self.n_created += 1;
        metadata.uid = Some(Uid::from(format!("uid-{}", self.n_created).as_str()));
        metadata.created = now;
    }

    /// All objects of a kind as they were before the last changes of it.
    pub(crate) fn list_without(&self, kind: Kind, n_changes: usize) -> (Version, Input) {
        let changes: Vec<_> = self.log.iter().filter(|change| change.kind == kind).collect();
        let n_known = changes.len().saturating_sub(n_changes);
        let Some(missing) = changes.get(n_known) else { return self.list(kind) };
        let mut old = Self { version: Version(missing.version.0 - 1), ..Self::default() };
        for change in &changes[..n_known] {
            old.replay(&change.sighting);
        }
        old.list(kind)
    }

    /// Does again what the log tells.
    fn replay(&mut self, sighting: &Input) {
        match sighting.clone() {
            Input::Eip(name, version, it) => set_at(&mut self.eips, name, version, it),
            Input::Namespace(name, version, it) => set_at(&mut self.namespaces, name, version, it),
            Input::Node(name, version, it) => set_at(&mut self.nodes, name, version, it),
            Input::Service(name, version, it) => set_at(&mut self.services, name, version, it),
            Input::Slice(name, version, it) => set_at(&mut self.slices, name, version, it),
            Input::Lease(lease) => self.lease = lease,
            Input::Asked(..)
            | Input::Checked(..)
            | Input::Eips(_)
            | Input::Got(..)
            | Input::Heard(_)
            | Input::Leave
            | Input::Link(..)
            | Input::Lost(_)
            | Input::Namespaces(_)
            | Input::Nodes(_)
            | Input::Probed(_)
            | Input::Route(..)
            | Input::Services(_)
            | Input::Silenced(_)
            | Input::Slices(_)
            | Input::Stirred(_)
            | Input::Written(..) => unreachable!("the log has what watches say of one object"),
        }
    }

    /// All objects of a kind as they are, as an adapter would tell of them after a list.
    pub(crate) fn list(&self, kind: Kind) -> (Version, Input) {
        let version = self.version;
        let sighting = match kind {
            Kind::Eip => Input::Eips(Listing { version, objects: self.eips.clone() }),
            Kind::Lease => Input::Lease(self.lease.clone()),
            Kind::Namespace => {
                Input::Namespaces(Listing { version, objects: self.namespaces.clone() })
            }
            Kind::Node => Input::Nodes(Listing { version, objects: self.nodes.clone() }),
            Kind::Service => Input::Services(self.list_services()),
            Kind::Slice => Input::Slices(Listing { version, objects: self.slices.clone() }),
        };
        (version, sighting)
    }

    /// All Services as they are.
    pub(crate) fn list_services(&self) -> Listing<ServiceName, Service> {
        Listing { version: self.version, objects: self.services.clone() }
    }

    /// The log from its entry `from` on.
    pub(crate) fn log(&self, from: usize) -> &[Change] {
        &self.log[from..]
    }

    /// How many entries the log has.
    pub(crate) fn log_len(&self) -> usize {
        self.log.len()
    }

    /// The log's entries of a kind that are newer than a list.
    pub(crate) fn log_after(&self, kind: Kind, version: Version) -> impl Iterator<Item = &Change> {
        let from = self.log.partition_point(|change| change.version <= version);
        self.log[from..].iter().filter(move |change| change.kind == kind)
    }
}

/// The object that is to be written to, if it is there and still at `version`.
fn checked<K: Ord, T: Clone>(
    objects: &Objects<K, T>,
    name: &K,
    version: Version,
) -> Result<T, WriteError> {
    match objects.get(name) {
        Some((current, object)) if *current == version => Ok(object.clone()),
        Some(_) | None => Err(WriteError::Conflict),
    }
}

/// Stores or removes one object. One that stays the same keeps its version, and no watch hears of it.
fn put<K: Clone + Ord, T: Clone + PartialEq>(
    objects: &mut Objects<K, T>,
    version: &mut Version,
    log: &mut Vec<Change>,
    kind: Kind,
    name: &K,
    object: Option<T>,
    sighting: impl FnOnce(Version, Option<T>) -> Input,
) -> Option<(Version, T)> {
    let known = objects.get(name);
    if known.map(|(_, known)| known) == object.as_ref() {
        return known.cloned();
    }
    version.0 += 1;
    log.push(Change { version: *version, kind, sighting: sighting(*version, object.clone()) });
    match object {
        Some(object) => {
            objects.insert(name.clone(), (*version, object.clone()));
            Some((*version, object))
        }
        None => {
            objects.remove(name);
            None
        }
    }
}

/// Has an object at a version, or none.
fn set_at<K: Ord, T>(objects: &mut Objects<K, T>, name: K, version: Version, object: Option<T>) {
    match object {
        Some(object) => objects.insert(name, (version, object)),
        None => objects.remove(&name),
    };
}

fn apply(metadata: &mut Metadata, change: MetadataChange) {
    let MetadataChange { annotations, labels, finalizers } = change;
    set(&mut metadata.annotations, annotations);
    set(&mut metadata.labels, labels);
    if let Some(finalizers) = finalizers {
        metadata.finalizers = finalizers;
    }
}

fn set(map: &mut Texts, changes: Vec<(String, Option<String>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}

fn is_finished(metadata: &Metadata) -> bool {
    metadata.deleting && metadata.finalizers.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(address: [u8; 4]) -> ServiceChange {
        let ingress = vec![porter_core::Ingress::Address(std::net::IpAddr::from(address))];
        ServiceChange::Status(porter_core::ServiceStatus {
            ingress,
            ..porter_core::ServiceStatus::default()
        })
    }

    fn finalizers(names: &[&str]) -> ServiceChange {
        let finalizers = Some(names.iter().map(|&name| name.to_owned()).collect());
        ServiceChange::Metadata(MetadataChange { finalizers, ..MetadataChange::default() })
    }

    fn api_with(name: &ServiceName) -> (Api, Version) {
        let mut api = Api::default();
        let stored = api.put_service(name.clone(), Service::default());
        let (version, _) = stored.expect("a new Service has no deletionTimestamp");
        (api, version)
    }

    #[test]
    fn a_write_on_an_old_version_has_no_effect() {
        let web = ServiceName::new("default", "web");
        let (mut api, version) = api_with(&web);
        let write = |version, ip| Write::Service(web.clone(), version, ingress([172, 22, 0, ip]));
        assert!(api.write(write(version, 188)).is_ok());
        assert_eq!(api.write(write(version, 189)).err(), Some(WriteError::Conflict));
        let shown: Vec<_> = api.services[&web].1.shown().collect();
        assert_eq!(shown, [std::net::IpAddr::from([172, 22, 0, 188])]);
    }

    #[test]
    fn a_write_that_changes_nothing_keeps_the_version() {
        let web = ServiceName::new("default", "web");
        let (mut api, version) = api_with(&web);
        let written = api.write(Write::Service(web, version, finalizers(&[])));
        assert!(matches!(written, Ok(Written::Service(v, Some(_))) if v == version));
        assert_eq!(api.log_len(), 1);
    }

    #[test]
    fn a_deleted_object_lives_until_its_last_finalizer_is_gone() {
        let web = ServiceName::new("default", "web");
        let (mut api, version) = api_with(&web);
        assert!(api.write(Write::Service(web.clone(), version, finalizers(&["keep"]))).is_ok());
        api.delete_service(&web);
        let (version, service) = api.services[&web].clone();
        assert!(service.metadata.deleting);
        let written = api.write(Write::Service(web.clone(), version, finalizers(&[])));
        assert!(matches!(written, Ok(Written::Service(_, None))));
        assert!(!api.services.contains_key(&web));
    }

    #[test]
    fn a_list_that_lacks_the_last_changes_is_as_it_was_before_them() {
        let web = ServiceName::new("default", "web");
        let (mut api, _) = api_with(&web);
        api.put_node("node1".into(), Some(Node::default()));
        let before = api.list(Kind::Service);
        api.delete_service(&web);
        api.put_node("node1".into(), None);
        assert_eq!(format!("{:?}", api.list_without(Kind::Service, 0).1), {
            format!("{:?}", api.list(Kind::Service).1)
        });
        let (version, listed) = api.list_without(Kind::Service, 1);
        assert_eq!(format!("{listed:?}"), format!("{:?}", before.1));
        assert_eq!(version, before.0);
        let missed: Vec<_> = api.log_after(Kind::Service, version).collect();
        assert_eq!(missed.len(), 1, "the watch tells what the list lacks");
        assert!(matches!(api.list_without(Kind::Service, 9), (_, Input::Services(_))));
    }

    #[test]
    fn the_lease_is_created_once() {
        let record = LeaseRecord {
            holder: None,
            duration: std::time::Duration::from_secs(5),
            acquired: Timestamp(0),
            renewed: Timestamp(0),
            transitions: 0,
            released_by: None,
            ..LeaseRecord::default()
        };
        let mut api = Api::default();
        assert!(api.write(Write::Lease(None, record.clone())).is_ok());
        assert_eq!(api.write(Write::Lease(None, record)).err(), Some(WriteError::Conflict));
    }
}

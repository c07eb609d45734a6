//! Objects as an API server, or a person with a manifest, may send them.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Node, Service},
    discovery::v1::EndpointSlice,
};
use porter_backends::kube::{
    Eip,
    convert::{self, Watched},
};
use porter_core::{
    Condition, ConditionChange, Config, EipChange, Identity, Input, Instant, LeaseRecord,
    LeaseTiming, Listing, MetadataChange, Namespaced, OnConflict, Probing, ServiceChange,
    ServiceStatus, Speaker, Timestamp, Version, Write,
};
use porter_sim::Manifest;
use serde_json::{Value, json};

/// What an object is taken for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reading {
    /// Of the kind that it names.
    EndpointSlice,
    /// As above.
    Eip,
    /// As above.
    Lease,
    /// As above.
    Namespace,
    /// As above.
    Node,
    /// As above.
    Service,
    /// It names another kind, or none.
    Other,
    /// Something of it is not as it has to be, or it means nothing to Porter.
    Refused,
}

/// Reads a text as objects of each kind that is watched, whatever kind they name, and as a manifest.
///
/// Nothing panics, and what is refused has a reason. What is read is told to a replica, and the writes
/// that follow from it become requests. A status or a Lease that is written is read back as it was.
/// Returns what its documents are taken for.
pub fn object(text: &[u8]) -> BTreeSet<Reading> {
    let refused = BTreeSet::from([Reading::Refused]);
    let Ok(text) = str::from_utf8(text) else { return refused };
    let manifests = Manifest::read(text);
    match &manifests {
        Ok(manifests) => {
            manifests.iter().for_each(|manifest| says_something(&manifest.to_string()))
        }
        Err(refused) => says_something(&refused.to_string()),
    }
    let documents = serde_json::from_str(text).map(|document| Vec::from([document]));
    let documents = documents.or_else(|_| serde_saphyr::from_multiple(text));
    documents.map_or(refused, |documents: Vec<Value>| documents.iter().map(read).collect())
}

fn read(document: &Value) -> Reading {
    let mut replica = Replica::new();
    let readings = [
        (Reading::EndpointSlice, replica.take::<EndpointSlice>(document).is_some()),
        (Reading::Eip, replica.take::<Eip>(document).map(eip).is_some()),
        (Reading::Lease, replica.take::<Lease>(document).map(lease).is_some()),
        (Reading::Namespace, replica.take::<Namespace>(document).is_some()),
        (Reading::Node, replica.take::<Node>(document).is_some()),
        (Reading::Service, replica.take::<Service>(document).map(service).is_some()),
    ];
    let kind = document["kind"].as_str().unwrap_or_default();
    let named = readings.into_iter().find(|(reading, _)| format!("{reading:?}") == kind);
    match named {
        Some((reading, true)) => reading,
        Some((_, false)) => Reading::Refused,
        None => Reading::Other,
    }
}

/// An object in the core's terms.
type Sighting<T> = (<T as Watched>::Name, Version, <T as Watched>::Fact);

/// A replica that hears of everything that can be read.
struct Replica(Speaker);

impl Replica {
    fn new() -> Self {
        let config = Config {
            identity: Identity::from("node1"),
            epoch: Timestamp(0),
            lease: LeaseTiming::default(),
            probing: Probing::default(),
            checks_proxies: true,
            conflict_probing: None,
            on_conflict: OnConflict::default(),
        };
        Self(Speaker::new(config, 7))
    }

    fn take<T: Watched<Fact: Clone>>(&mut self, document: &Value) -> Option<Sighting<T>> {
        let (name, version, fact) = match convert::read::<T>(document.clone()) {
            Ok(sighting) => sighting,
            Err(refused) => {
                says_something(&refused.to_string());
                return None;
            }
        };
        self.tell(T::seen(name.clone(), version, fact.clone()));
        let fact = fact?;
        let objects = [(name.clone(), (version, fact.clone()))].into();
        self.tell(T::listed(Listing { version, objects }));
        Some((name, version, fact))
    }

    fn tell(&mut self, input: Input) {
        self.0.handle_input(input, Instant::ZERO);
        while self.0.poll_output().is_some() {}
    }
}

fn eip((name, version, eip): Sighting<Eip>) {
    let finalizers = Some(eip.metadata.finalizers.clone());
    let change = MetadataChange { finalizers, ..MetadataChange::default() };
    request(&Write::Eip(name.clone(), version, EipChange::Metadata(change)));

    // What cannot be part of a status is left out, and a condition has whole seconds: once.
    let again = |status: porter_core::EipStatus| {
        let write = Write::Eip(name.clone(), version, EipChange::Status(status));
        let mut body = request(&write);
        body["spec"] = json!({ "address": eip.address });
        let (_, _, read) = convert::read::<Eip>(body).expect("what is written can be read");
        read.expect("every Eip is read as one").status
    };
    let written = again(eip.status.clone());
    assert_eq!(again(written.clone()), written);
}

fn service((name, version, service): Sighting<Service>) {
    let metadata = service.metadata;
    let change = MetadataChange {
        annotations: metadata.annotations.into_iter().map(|(key, it)| (key, Some(it))).collect(),
        labels: metadata.labels.into_iter().map(|(key, _)| key).map(|key| (key, None)).collect(),
        finalizers: Some(metadata.finalizers),
    };
    request(&Write::Service(name.clone(), version, ServiceChange::Metadata(change)));
    let announced = ConditionChange::between(None::<&Condition>, service.announced);
    let conflict = ConditionChange::between(None::<&Condition>, service.conflict);
    let status = ServiceStatus { ingress: service.ingress, announced, conflict };
    request(&Write::Service(name, version, ServiceChange::Status(status)));
}

/// The last second of the calendar can be read, and not written.
const CALENDAR_END: Timestamp = Timestamp(253_402_207_200_000_000);

fn lease(((), version, record): Sighting<Lease>) {
    request(&Write::Lease(Some(version), record.clone()));
    let mut body = request(&Write::Lease(None, record.clone()));
    body["metadata"]["resourceVersion"] = json!("1");
    let read: Option<LeaseRecord> = convert::read::<Lease>(body).expect("it can be read").2;
    if record.acquired.max(record.renewed) < CALENDAR_END {
        assert_eq!(read, Some(record));
    }
}

/// The body of the request that makes a change. The answer to it may be anything.
fn request(write: &Write) -> Value {
    let request = convert::request(write, &Namespaced::new("porter-system", "porter-speaker"));
    let body = request.into_body();
    for answer in [body.clone(), Value::Null, json!([]), json!({ "metadata": 1 })] {
        if let Err(refused) = convert::written(write, answer) {
            says_something(&refused.to_string());
        }
    }
    body
}

fn says_something(reason: &str) {
    assert!(!reason.trim().is_empty(), "a reason without a word");
}

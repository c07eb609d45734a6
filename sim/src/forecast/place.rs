//! Where each address is, and what is different from one time to the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use porter_core::{Announcement, Condition, Held, NodeName, Observer, ServiceName};
use serde::Serialize;

use crate::World;

/// An address that a Service holds, or a Service that holds none.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    #[serde(serialize_with = "super::place::shown")]
    pub(super) service: ServiceName,
    pub(super) address: Option<IpAddr>,
    /// The node that is answered for it.
    #[serde(serialize_with = "super::place::shown_if")]
    pub(super) node: Option<NodeName>,
    /// The nodes with endpoints that take its traffic.
    #[serde(serialize_with = "super::place::all_shown")]
    pub(super) endpoints_on: BTreeSet<NodeName>,
    /// What is said of the Service: one word.
    pub(super) reason: String,
    /// And a sentence, if it is not answered.
    pub(super) message: String,
}

/// An address that is elsewhere than before.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    #[serde(serialize_with = "super::place::shown")]
    pub(super) service: ServiceName,
    pub(super) address: Option<IpAddr>,
    #[serde(serialize_with = "super::place::shown_if")]
    pub(super) from: Option<NodeName>,
    /// The node that is answered for it then; nobody is, if there is none.
    #[serde(serialize_with = "super::place::shown_if")]
    pub(super) to: Option<NodeName>,
    /// After how long the LAN was told.
    #[serde(rename = "seconds", serialize_with = "super::place::seconds_if")]
    pub(super) after: Option<Duration>,
    pub(super) reason: String,
    pub(super) message: String,
}

/// Where every address is in a world.
pub(super) fn of(world: &World) -> Vec<Place> {
    let observer = world.observer();
    places(&observer, |address, _| world.told(address).cloned())
}

/// Where every address is by what is on record.
pub(super) fn on_record(observer: &Observer<'_>) -> Vec<Place> {
    places(observer, |_, recorded| recorded)
}

/// By Service and address.
fn places(
    observer: &Observer<'_>,
    at: impl Fn(IpAddr, Option<NodeName>) -> Option<NodeName>,
) -> Vec<Place> {
    let mut places = Vec::new();
    for Announcement { service, .. } in observer.announcements() {
        let Some(explanation) = observer.explain(service) else { continue };
        let said = explanation.announced.as_ref();
        let place = |held: Option<&Held>, node: Option<NodeName>| {
            let (reason, message) = words(said, node.is_some());
            let prospects = held.into_iter().flat_map(|held| &held.prospects);
            let serving = prospects.filter(|prospect| prospect.endpoints > 0);
            Place {
                service: service.clone(),
                address: held.map(|held| held.address),
                node,
                endpoints_on: serving.map(|prospect| prospect.node.clone()).collect(),
                reason,
                message,
            }
        };
        if explanation.held.is_empty() && explanation.asks.is_ok() {
            places.push(place(None, None));
        }
        for held in &explanation.held {
            let node = at(held.address, explanation.node.clone());
            places.push(place(Some(held), node));
        }
    }
    places
}

/// What is said of a Service. What is said of one that is answered explains nothing to one that is not.
fn words(said: Option<&Condition>, answered: bool) -> (String, String) {
    match said {
        Some(said) if said.met == answered => {
            (said.reason.clone(), if answered { String::new() } else { said.message.clone() })
        }
        Some(_) | None if answered => ("Announced".to_owned(), String::new()),
        Some(_) | None => ("NoLeader".to_owned(), "no replica leads that could answer".to_owned()),
    }
}

/// What is different, by Service and address.
pub(super) fn compare(before: &[Place], after: &[Place]) -> Vec<Change> {
    let key = |place: &Place| (place.service.clone(), place.address);
    let mut old: BTreeMap<_, _> = before.iter().map(|place| (key(place), place)).collect();
    let mut changes = Vec::new();
    for place in after {
        let from = old.remove(&key(place)).and_then(|place| place.node.clone());
        // That it still has no address is no change.
        if from != place.node {
            changes.push(Change {
                service: place.service.clone(),
                address: place.address,
                from,
                to: place.node.clone(),
                after: None,
                reason: place.reason.clone(),
                message: place.message.clone(),
            });
        }
    }
    // What is in the one and not in the other: given back, or given to who had none.
    let gone = old.into_values().filter(|place| place.address.is_some());
    changes.extend(gone.map(|place| Change {
        service: place.service.clone(),
        address: place.address,
        from: place.node.clone(),
        to: None,
        after: None,
        reason: "Released".to_owned(),
        message: "the Service gives the address back".to_owned(),
    }));
    changes.sort_by(|a, b| (&a.service, a.address).cmp(&(&b.service, b.address)));
    changes
}

pub(super) fn shown<S: serde::Serializer>(
    name: &impl ToString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&name.to_string())
}

pub(super) fn shown_if<S: serde::Serializer>(
    name: &Option<impl ToString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    name.as_ref().map(ToString::to_string).serialize(serializer)
}

pub(super) fn all_shown<S: serde::Serializer>(
    names: &BTreeSet<NodeName>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(NodeName::as_str))
}

pub(super) fn seconds_if<S: serde::Serializer>(
    span: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    span.map(super::seconds).serialize(serializer)
}

//! A node dies, or the leading replica, and what comes of it.

use std::{net::IpAddr, time::Duration};

use porter_core::NodeName;
use serde::Serialize;

use super::place::{self, Change, Place};
use crate::{World, world::GRACE};

/// How often the leader dies, at different moments of the Lease.
const N_SUCCESSIONS: u32 = 10;
/// For how long somebody who answers is waited for, beyond the Lease's duration.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that died.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Death {
    pub(super) node: String,
    /// Whether the leading replica went with it.
    pub(super) led: bool,
    /// For how long who asked for an address of another node was not answered, since nobody led; none if
    /// nobody came to lead.
    #[serde(rename = "leaderlessSeconds", serialize_with = "place::seconds_if")]
    pub(super) leaderless: Option<Duration>,
    /// What is elsewhere since.
    pub(super) changes: Vec<Change>,
}

/// The leading replica died.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Succession {
    pub(super) node: String,
    /// For how long, at least and at most, who asks is not answered, by when it dies; none if that never
    /// ends.
    pub(super) unanswered_seconds: Option<(f64, f64)>,
    /// What came of it where that did not end, each once.
    pub(super) stuck: Vec<Stuck>,
    /// What is elsewhere since: nothing should be.
    pub(super) changes: Vec<Change>,
}

/// Addresses that are not answered again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stuck {
    /// The node of the replica that leads since.
    pub(super) leader: Option<String>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Death {
    /// Lets a node of a calm world die.
    pub(super) fn of(mut world: World, node: usize, calm: &[Place]) -> Self {
        let name = world.nodes[node].name.clone();
        let led = world.leader().is_some_and(|id| *world.site(id) == name);
        let died_at = world.now();
        world.set_power(node, false);
        let leaderless = if led { unanswered(&mut world, &elsewhere(calm, &name)) } else { None };
        let given_up_in = GRACE.saturating_sub(world.now().since(died_at));
        world.run(given_up_in);
        world.rest();
        let mut changes = place::compare(calm, &place::of(&world));
        for change in changes.iter_mut().filter(|change| change.to.is_some()) {
            let since = change.address.and_then(|address| world.told_since(address));
            change.after = since.map(|since| since.since(died_at));
        }
        for change in changes.iter_mut().filter(|change| change.to.is_none()) {
            change.explain(&name, calm);
        }
        Self { node: name.to_string(), led, leaderless, changes }
    }

    /// The changes that leave an address with nobody.
    pub(super) fn losses(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.from.is_some() && change.to.is_none())
    }
}

impl Change {
    /// Says of an address that is with nobody since a node died if nobody but that node could have it.
    fn explain(&mut self, dead: &NodeName, calm: &[Place]) {
        let same =
            |place: &&Place| (&place.service, place.address) == (&self.service, self.address);
        if calm.iter().find(same).is_some_and(|place| place.endpoints_on.iter().eq([dead])) {
            self.message =
                format!("all of its endpoints are on {dead}; have pods on another node, too");
        }
    }
}

impl Succession {
    /// Lets the leading replica of a calm world die, at several moments.
    pub(super) fn of(world: &World, calm: &[Place]) -> Option<Self> {
        let leader = world.leader()?;
        let answered = answered(calm);
        let mut alive = world.clone();
        let (mut spans, mut stuck, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..N_SUCCESSIONS {
            let mut world = alive.clone();
            world.crash(leader);
            match unanswered(&mut world, &answered) {
                Some(span) => spans.push(span),
                None => stuck.push(Stuck::of(&world, &answered)),
            }
            if i == 0 {
                world.rest();
                changes = place::compare(calm, &place::of(&world));
            }
            alive.run(alive.timing().renew_every() / N_SUCCESSIONS);
        }
        stuck.dedup();
        let ends = spans.iter().min().zip(spans.iter().max());
        Some(Self {
            node: world.site(leader).to_string(),
            unanswered_seconds: ends
                .map(|(least, most)| (super::seconds(*least), super::seconds(*most))),
            stuck,
            changes,
        })
    }
}

impl Stuck {
    fn of(world: &World, addresses: &[IpAddr]) -> Self {
        let silent = addresses.iter().copied().filter(|address| world.told(*address).is_none());
        let leader = world.leader().map(|id| world.site(id).to_string());
        Self { leader, addresses: silent.collect() }
    }
}

/// For how long not all of these addresses are answered from now on, if they ever are again.
fn unanswered(world: &mut World, addresses: &[IpAddr]) -> Option<Duration> {
    let since = world.now();
    let limit = world.timing().duration() * 2 + PATIENCE;
    let again = world.run_until(limit, |world| {
        world.leader().is_some() && addresses.iter().all(|address| world.told(*address).is_some())
    });
    again.then(|| world.now().since(since))
}

/// The addresses that are answered.
fn answered(places: &[Place]) -> Vec<IpAddr> {
    let answered = places.iter().filter(|place| place.node.is_some());
    answered.filter_map(|place| place.address).collect()
}

/// The addresses that are answered with another node than this one.
fn elsewhere(places: &[Place], node: &NodeName) -> Vec<IpAddr> {
    let elsewhere = places.iter().filter(|place| place.node.as_ref().is_some_and(|it| it != node));
    elsewhere.filter_map(|place| place.address).collect()
}

//! What would happen in a real cluster if a node, or the leader, died: worked out in a world that is made
//! of a dump.
//!
//! The world is let come to rest first, which shows whether anything would change by itself. Each death
//! then happens in a copy of it, so that they have nothing to do with each other.

mod deaths;
mod place;
mod text;

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use porter_core::NodeName;
use serde::Serialize;

use crate::{Dump, DumpError, World};
use deaths::{Death, Succession};
use place::{Change, Place};

/// What is to be worked out.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// How many replicas run, each on a node of its own.
    pub replicas: NonZeroUsize,
    /// The node that dies; `None`: each in turn.
    pub node: Option<NodeName>,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many deaths are worked out at once.
    pub jobs: NonZeroUsize,
}

/// What would happen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    seed: u64,
    nodes: usize,
    /// The nodes on which replicas run; the first leads.
    replicas: Vec<String>,
    leader: Option<String>,
    /// Why the leader is taken to run where it does.
    leader_by: LeaderBy,
    /// What was passed over of the dump, or does not hold there.
    remarks: Vec<String>,
    /// Where every address is once all is calm.
    addresses: Vec<Place>,
    /// What differs from what is on record.
    changes: Vec<Change>,
    /// What would happen if one node died, by its name.
    deaths: Vec<Death>,
    /// What would happen if the leading replica died.
    succession: Option<Succession>,
}

/// By what the node of the leader is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum LeaderBy {
    /// The holder of the Lease on record is a pod of that node.
    Lease,
    /// Nothing: it was chosen.
    Choice,
}

/// Why nothing can be worked out.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The dump is of no use.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The node that is to die is not there.
    #[error("there is no node {0} with an address in it; there are {1}")]
    NoSuchNode(NodeName, String),
}

impl Forecast {
    /// Works out what would happen in the cluster of a dump. `progress` is told how many deaths of how
    /// many are worked out.
    pub fn of(
        dump: &Dump,
        outlook: &Outlook,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<Self, ForecastError> {
        dump.check()?;
        let mut world = World::like(dump, outlook.replicas.get(), outlook.seed);
        let n_nodes = world.nodes.len();
        let mortal = match &outlook.node {
            Some(name) => vec![world.node_number(name).ok_or_else(|| {
                let names: Vec<_> = world.nodes.iter().map(|node| node.name.to_string()).collect();
                ForecastError::NoSuchNode(name.clone(), names.join(", "))
            })?],
            // One that is not Ready has died already.
            None => (0..n_nodes).filter(|i| world.nodes[*i].powered).collect(),
        };
        let mut remarks = dump.remarks().to_vec();
        remarks.extend(unplaced(dump, &world));
        if !world.rest() {
            remarks
                .push("the simulated cluster did not come to rest within two minutes".to_owned());
        }
        let (recorded, calm) = (place::on_record(&dump.observer()), place::of(&world));
        let leader = world.leader().map(|id| world.site(id).clone());
        let by_lease = dump
            .holder()
            .and_then(|(_, node)| node)
            .is_some_and(|node| leader.as_ref() == Some(&node));
        let mut deaths = all(&world, &mortal, &calm, outlook.jobs, progress);
        deaths.sort_by(|a, b| a.node.cmp(&b.node));
        let replicas = (0..world.n_replicas()).map(|id| world.site(id).to_string());
        Ok(Self {
            seed: outlook.seed,
            nodes: dump.nodes().count(),
            replicas: replicas.collect(),
            leader: leader.map(|leader| leader.to_string()),
            leader_by: if by_lease { LeaderBy::Lease } else { LeaderBy::Choice },
            remarks,
            changes: place::compare(&recorded, &calm),
            deaths,
            succession: Succession::of(&world, &calm),
            addresses: calm,
        })
    }
}

/// The nodes of which nothing can be simulated, each a sentence.
fn unplaced(dump: &Dump, world: &World) -> Vec<String> {
    let absent = dump.nodes().filter(|(name, _)| world.node_number(name).is_none());
    let absent = absent.map(|(name, _)| format!("node {name} is passed over: it has no address"));
    let dead = dump.nodes().filter(|(name, node)| !node.ready && world.node_number(name).is_some());
    let dead = dead.map(|(name, _)| format!("node {name} is not Ready, and taken for dead"));
    absent.chain(dead).collect()
}

/// All deaths, some at once. What comes of each does not depend on that.
fn all(
    world: &World,
    mortal: &[usize],
    calm: &[Place],
    jobs: NonZeroUsize,
    progress: impl Fn(usize, usize) + Sync,
) -> Vec<Death> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let deaths = Mutex::new(Vec::new());
    let work = || {
        while let Some(node) = mortal.get(next.fetch_add(1, Ordering::Relaxed)) {
            let death = Death::of(world.clone(), *node, calm);
            deaths.lock().expect("nobody panics while it holds this").push(death);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, mortal.len());
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.get().min(mortal.len()) {
            scope.spawn(work);
        }
        work();
    });
    deaths.into_inner().expect("nobody panics while it holds this")
}

/// A span in seconds, for programs.
fn seconds(span: Duration) -> f64 {
    // Milliseconds: more would say more than is known.
    (span.as_secs_f64() * 1_000.0).round() / 1_000.0
}

//! What tells two states of the model apart.
//!
//! A replica is written down as its parts print themselves, without what no decision can depend on:
//!
//! - instants, and how often something was repeated: when a replica takes something in, whatever it
//!   waits for is due, since its clock then goes on by more than anything waits;
//! - the time by the wall clock, which is shown and not compared but with itself;
//! - the numbers of requests, of which there is one of a kind at a time;
//! - by how much the numbers of snapshots are larger than the last one that was acknowledged: they
//!   are compared with each other;
//! - what people are told, and when a node is asked again: all nodes answer;
//! - its name, since the Lease passes at a word; and what is the same in all states: links, nodes and
//!   what they answer, the Eip.

use std::{
    fmt::{self, Debug, Write},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{api::web, replica::Replica, world::World};

/// What stands before a number that does not count.
const MEANINGLESS: [&str; 6] =
    ["Instant", "Timestamp", "Random", "ReadId", "WriteId", "n_repeated"];

/// Takes in what is printed.
struct Scribe {
    hasher: DefaultHasher,
    /// Whether the next number does not count.
    skips: bool,
    /// Whether the next number is that of a snapshot.
    counts: bool,
    /// The last snapshot that was acknowledged.
    acknowledged: u64,
}

impl Write for Scribe {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            let (skips, counts) = (self.skips, self.counts);
            (self.skips, self.counts) = (false, false);
            if skips {
                return Ok(());
            }
            if counts {
                let number: u64 = text.parse().expect("a generation is a number");
                number.saturating_sub(self.acknowledged).hash(&mut self.hasher);
                return Ok(());
            }
        }
        self.skips |= MEANINGLESS.contains(&text);
        self.counts |= text == "Generation";
        text.hash(&mut self.hasher);
        Ok(())
    }
}

/// What parts print, as a number.
pub(super) fn print(parts: &[&dyn Debug], acknowledged: u64) -> u64 {
    let mut scribe =
        Scribe { hasher: DefaultHasher::new(), skips: false, counts: false, acknowledged };
    for part in parts {
        write!(scribe, "{part:?}").expect("it takes everything");
    }
    scribe.hasher.finish()
}

impl Replica {
    fn key(&self) -> u64 {
        *self.key.get_or_init(|| {
            let speaker = &self.speaker;
            let parts: [&dyn Debug; 6] = [
                &(&speaker.standing, self.holds(), speaker.election.term()),
                &(self.known(), self.known_slice(), speaker.cluster.services.doubts(&web())),
                &(&speaker.publication, &self.responder, &speaker.announcer),
                &(speaker.ledger.poll_timeout().is_some(), &speaker.read, &self.readings),
                &(self.seen, self.slice_seen),
                &(&self.call, &self.astray),
            ];
            print(&parts, speaker.publication.acknowledged().0)
        })
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let later = &self.commits[self.told..];
        let key = |(number, replica): (usize, &Arc<Replica>)| {
            let own: Vec<_> = later.iter().map(|commit| commit.by == number).collect();
            (replica.key(), number == self.holder, own)
        };
        let mut replicas: Vec<_> = self.replicas.iter().enumerate().map(key).collect();
        replicas.sort_unstable();
        replicas.hash(hasher);
        (self.moves, self.passes, self.faults, &self.news, self.misled).hash(hasher);
        self.api.slices.hash(hasher);
        // What came before is neither known to anybody nor shown again.
        let known = self.replicas.iter().map(|replica| replica.known().min(replica.seen));
        let oldest = known.min().unwrap_or_default().saturating_sub(1);
        self.api.services.len().hash(hasher);
        for stage in &self.api.services[oldest..] {
            stage.key.hash(hasher);
        }
        for commit in later {
            commit.node.hash(hasher);
        }
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let key = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        key(self) == key(other)
    }
}

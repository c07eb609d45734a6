//! How much a replica remembers, and how much it may.
//!
//! A replica runs for months. What it remembers must follow what there is, or have a limit of its
//! own, but never follow what has happened: not the Services that came and went, not the names that
//! nodes once had, not what was asked or claimed on the LAN. Here every table and queue that could
//! is counted beside its bound, so that whoever drives a [`Speaker`] can hold it to that.

use super::{Speaker, Standing};
use crate::{Kind, conflict::TRIALS_MAX, ledger};

/// The tables and queues of a [`Speaker`] that could grow by time or traffic, after its outputs were
/// drained.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sizes {
    /// Those with a limit of their own, whatever there is.
    pub by_config: Vec<Size>,
    /// Those that may have a few entries for each object known, and none for what is gone.
    pub by_objects: Vec<Size>,
}

/// How many entries a table or queue has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// What the entries are.
    pub of: &'static str,
    /// How many there are.
    pub entries: usize,
    /// How many there may be at this moment.
    pub at_most: usize,
}

impl Sizes {
    /// Those that have more entries than they may.
    pub fn excesses(&self) -> impl Iterator<Item = Size> + '_ {
        let all = self.by_config.iter().chain(&self.by_objects);
        all.copied().filter(|size| size.entries > size.at_most)
    }
}

impl Size {
    pub(crate) fn new(of: &'static str, entries: usize, at_most: usize) -> Self {
        Self { of, entries, at_most }
    }
}

impl Speaker {
    /// How much this replica remembers. Meant to be asked when the outputs are drained: those that
    /// wait count as too many. Costs time by the number of Eips and of what they record.
    pub fn sizes(&self) -> Sizes {
        let Self { cluster, ledger, neighbors, .. } = self;
        let (objects, answers) = (cluster.n_objects(), self.publication.n_answers());
        let (nodes, links) = (cluster.nodes.len(), cluster.links.len());
        let mut by_config = Vec::from([
            Size::new("outputs that wait", self.n_outputs(), 0),
            Size::new("events that wait for a verdict", self.events.len(), ledger::WRITES_MAX),
            Size::new("kinds whose watch is broken", self.broken.len(), Kind::ALL.len()),
        ]);
        by_config.push(self.announcer.size_of_budgets());
        by_config.push(self.conflicts.size_of_trials());
        by_config.push(self.groups.size_of_tried(TRIALS_MAX));
        by_config.extend(self.election.sizes());
        by_config.extend(ledger.sizes());
        by_config.extend(cluster.sizes_of_the_gone());
        let mut by_objects = Vec::from([
            Size::new("links listened on", self.listening.len(), objects),
            Size::new("addresses whose link is asked for", self.routed.len(), objects),
            Size::new("links that had carrier", self.came_up.len(), links + self.listening.len()),
        ]);
        by_objects.extend(cluster.sizes());
        by_objects.extend(ledger.sizes_by_objects(objects));
        by_objects.extend(neighbors.sizes(cluster.n_targets(), links));
        by_objects.extend(self.attention.sizes(cluster.eips.len(), self.listening.len()));
        by_objects.extend(self.groups.sizes(cluster.eips.len(), objects));
        by_objects.extend(self.proxies.sizes(nodes));
        by_objects.extend(self.publication.sizes(objects));
        by_objects.extend(self.announcer.sizes(answers + self.publication.n_changed()));
        let said = answers + self.publication.n_changed();
        by_objects.extend(self.conflicts.sizes(said));
        by_objects.push(self.roll.size(cluster.nodes_at().len(), links));
        if let Standing::Speak(_, controller) = &self.standing {
            by_config.push(controller.size_of_aside());
            by_objects.extend(controller.sizes(cluster));
        }
        Sizes { by_config, by_objects }
    }

    fn n_outputs(&self) -> usize {
        let Self { publication, announcer, attention, conflicts, groups, neighbors, .. } = self;
        let of_parts = publication.n_outputs() + announcer.n_outputs() + neighbors.n_outputs();
        let of_parts =
            of_parts + attention.n_outputs() + conflicts.n_outputs() + groups.n_outputs();
        of_parts + self.proxies.n_outputs() + self.outputs.len()
    }
}

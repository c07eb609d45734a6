//! L7: new Services go to the nodes that have least.

use std::collections::{BTreeMap, BTreeSet};

use porter_core::NodeName;

use super::{AGREEMENT_MAX, DIFFERENCE_MAX, World, owed};
use crate::Step;

/// How many Services are created for each node.
const N_FOR_EACH: usize = 2;
/// From which number on no Service is there.
const FIRST: usize = 40;

impl World {
    pub(super) fn attempt_balance(&mut self) -> Result<(), String> {
        // With its process a replica forgets which nodes are held down, and chosen last.
        for id in 0..self.replicas.len() {
            self.crash(id);
        }
        self.run(AGREEMENT_MAX);
        let before = self.counts();
        let n_core = (0..self.nodes.len()).filter(|i| self.is_core(*i)).count();
        (FIRST..FIRST + N_FOR_EACH * n_core).for_each(|i| self.step(&Step::CreateService(i)));
        self.run(AGREEMENT_MAX);
        let after = self.counts();
        let candidates: BTreeSet<_> =
            self.services().iter().flat_map(|service| self.nodes_behind(service)).collect();
        let n_at = |counts: &BTreeMap<NodeName, usize>, node: &NodeName| {
            counts.get(node).copied().unwrap_or(0)
        };
        let given = candidates.iter().filter(|node| n_at(&after, node) > n_at(&before, node));
        let most = given.map(|node| n_at(&after, node)).max().unwrap_or_default();
        let least = candidates.iter().map(|node| n_at(&after, node)).min().unwrap_or_default();
        owed(most <= least + DIFFERENCE_MAX, || {
            format!("new Services are at the nodes that have least: {before:?} became {after:?}")
        })?;
        self.agrees()
    }

    /// How many Services are at each node.
    fn counts(&self) -> BTreeMap<NodeName, usize> {
        let mut counts = BTreeMap::new();
        for (_, node) in self.records() {
            if let Some(node) = node {
                *counts.entry(node).or_default() += 1;
            }
        }
        counts
    }
}

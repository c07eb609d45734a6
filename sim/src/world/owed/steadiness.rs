//! L6: a node that comes back takes nothing away from others, and one whose cable loses frames is left
//! and not returned to.

use porter_core::ServiceName;

use super::{MOVES_MAX, RETURN_MAX, WATCHED_FOR, World, owed};

/// Of a thousand frames, how many a bad cable loses each way: three probes in a row go unanswered every
/// few seconds.
const LOST: u32 = 300;

impl World {
    pub(super) fn attempt_steadiness(&mut self) -> Result<(), String> {
        self.attempt_return()?;
        if let Some(target) = self.remote_target() {
            self.attempt_marginal(target, MOVES_MAX)?;
        }
        // A leader with a bad cable misses answers of all nodes alike. Each is left once, and then held
        // down; in the end its own node has everything, or another leads.
        let once_each = MOVES_MAX + self.nodes.len();
        match self.leader().filter(|leader| self.has_heir(*leader)) {
            Some(leader) => self.attempt_marginal(leader, once_each),
            None => Ok(()),
        }
    }

    /// A node that has nothing goes, and comes back.
    fn attempt_return(&mut self) -> Result<(), String> {
        let records = self.records();
        let nodes: Vec<_> = records.iter().filter_map(|(_, node)| node.clone()).collect();
        let leader = self.leader();
        let mut idle = (0..self.nodes.len()).filter(|i| self.is_core(*i) && leader != Some(*i));
        let Some(idle) = idle.find(|i| !nodes.contains(&self.nodes[*i].name)) else {
            return Ok(());
        };
        self.set_power(idle, false);
        self.run(RETURN_MAX);
        self.set_power(idle, true);
        self.run(RETURN_MAX);
        let name = &self.nodes[idle].name;
        owed(self.records() == records, || format!("nothing moves for {name}, which has nothing"))
    }

    /// A node loses frames: one that is answered, or that of the leader, whose probes fail all alike.
    fn attempt_marginal(&mut self, node: usize, moves_max: usize) -> Result<(), String> {
        self.set_marginal(node, LOST);
        let before = self.checks.n_commits();
        self.run(WATCHED_FOR);
        self.set_marginal(node, 0);
        let n_moves = |(service, n): (&ServiceName, &usize)| {
            (service.clone(), n - before.get(service).unwrap_or(n))
        };
        let after = self.checks.n_commits();
        match after.iter().map(n_moves).find(|(_, n_moves)| *n_moves > moves_max) {
            Some((service, n_moves)) => {
                Err(format!("{service} moves {moves_max} times at most, not {n_moves} times"))
            }
            None => Ok(()),
        }
    }
}

//! L6: a node that comes back takes nothing away from others, and one whose cable loses frames is left
//! and not returned to.

use porter_core::{Probing, ServiceName, TrafficPolicy};

use super::{MOVES_MAX, RETURN_MAX, ReplicaId, WATCHED_FOR, World, owed};

/// Of a thousand frames, how many a bad cable loses each way: three probes in a row go unanswered every
/// few seconds.
const LOST: u32 = 300;

impl World {
    pub(super) fn attempt_steadiness(&mut self) -> Result<(), String> {
        self.attempt_return()?;
        if let Some(target) = self.remote_target() {
            self.attempt_marginal(target, |_, _| MOVES_MAX)?;
        }
        match self.leader().filter(|leader| self.has_heir(*leader)) {
            Some(leader) => self
                .attempt_marginal(leader, |world, service| world.moves_max_behind(leader, service)),
            None => Ok(()),
        }
    }

    /// How often an EIP may move while its leader has a bad cable, and misses answers of all nodes alike.
    ///
    /// Each node is left once, and then held down; in the end the leader's own has everything, or
    /// another leads. Under `Local` it cannot have what has no endpoint there: nodes that have one are
    /// left when they are silent and taken when they are heard, since any of them is better than none.
    /// Nothing but the three probes that each has to miss first, the last two intervals after the first,
    /// limits how often that is.
    fn moves_max_behind(&self, leader: ReplicaId, service: &ServiceName) -> usize {
        let policy = self.api.services.get(service).map(|(_, service)| service.policy);
        let own = self.nodes_behind(service).contains(&self.nodes[leader].name);
        match policy {
            Some(TrafficPolicy::Local) if !own => {
                let death = Probing::default().interval() * 2;
                usize::try_from(WATCHED_FOR.as_millis() / death.as_millis()).unwrap_or(usize::MAX)
            }
            _ => MOVES_MAX + self.nodes.len(),
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
    fn attempt_marginal(
        &mut self,
        node: usize,
        moves_max: impl Fn(&Self, &ServiceName) -> usize,
    ) -> Result<(), String> {
        self.set_marginal(node, LOST);
        let before = self.checks.n_commits();
        self.run(WATCHED_FOR);
        self.set_marginal(node, 0);
        let n_moves = |(service, n): (&ServiceName, &usize)| {
            (service.clone(), n - before.get(service).unwrap_or(n))
        };
        let after = self.checks.n_commits();
        for (service, n_moves) in after.iter().map(n_moves) {
            let moves_max = moves_max(self, &service);
            owed(n_moves <= moves_max, || {
                format!("{service} moves {moves_max} times at most, not {n_moves} times")
            })?;
        }
        Ok(())
    }
}

//! L1: one replica leads, and a node that can serve it is on record for every Service.

use porter_core::{Family, ServiceName};

use super::{AGREEMENT_MAX, ASKED_FOR, REFRESH_MAX, World, owed};

impl World {
    /// Ends all misery, waits for as long as agreement may take, and looks whether there is one.
    /// Says what is missing.
    pub fn agree(&mut self) -> Result<(), String> {
        self.calm();
        self.scale(&ServiceName::new("default", "mylbapp"), 2);
        self.run(AGREEMENT_MAX);
        if std::mem::take(&mut self.misled) {
            self.run(REFRESH_MAX);
        }
        self.ask_for_all();
        self.agrees()
    }

    /// Has a host ask for every EIP, and waits for what comes of it. Where nobody at all is heard, a node
    /// that never answered cannot be told from a link that carries nothing; the first frame tells.
    fn ask_for_all(&mut self) {
        for service in self.services() {
            for eip in self.external_ip(&service) {
                self.hosts[0].ping(eip, self.now);
                self.drain_host(0);
            }
        }
        self.run(ASKED_FOR);
    }

    /// Whether all agree now.
    pub(super) fn agrees(&mut self) -> Result<(), String> {
        let leaders: Vec<_> = (0..self.n_replicas()).filter(|id| self.leads(*id)).collect();
        owed(leaders.len() == 1, || format!("exactly one replica leads, not {}", leaders.len()))?;
        owed(self.carries(leaders[0]), || "a replica leads that is on the LAN".to_owned())?;
        for service in self.services() {
            let (node, _) = self.owed_node(&service)?;
            let serves = self.number(&node).is_some_and(|i| self.nodes[i].forwards());
            owed(serves, || format!("{service} is at a node that is on the LAN, not at {node}"))?;
            let eips = self.external_ip(&service);
            for family in self.families_of(&service) {
                let has = eips.iter().any(|eip| Family::of(*eip) == family);
                owed(has, || format!("{service} has an address of {family}"))?;
            }
        }
        self.reaches_all()
    }
}

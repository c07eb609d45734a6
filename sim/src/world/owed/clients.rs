//! L5: every host outside reaches every Service through the node that is on record for it.

use std::{net::IpAddr, time::Duration};

use porter_core::{MacAddr, NodeName};

use super::{World, owed};

impl World {
    /// Whether every host outside reaches every EIP.
    pub(super) fn reaches_all(&mut self) -> Result<(), String> {
        for service in self.services() {
            let (node, mac) = self.owed_node(&service)?;
            for eip in self.external_ip(&service) {
                for host in 0..self.n_clients() {
                    self.reaches(host, eip, (&node, mac))?;
                }
            }
        }
        Ok(())
    }

    /// Whether a host outside reaches an EIP where it is, as soon as its kind can know of that.
    fn reaches(
        &mut self,
        host: usize,
        eip: IpAddr,
        (node, mac): (&NodeName, MacAddr),
    ) -> Result<(), String> {
        let until = self.now + self.hosts[host].kind().notices_within();
        loop {
            let by = self.ping_from(host, eip).map(|(by, _)| by);
            let known = self.hosts[host].neighbour(eip);
            let done = by.as_ref() == Ok(node) && known == Some(mac);
            // A world that has broken a promise stands still.
            if done || self.violation.is_some() {
                return Ok(());
            }
            let name = self.hosts[host].name().to_owned();
            if self.now >= until {
                owed(by.as_ref() == Ok(node), || {
                    format!("{node} is behind {eip} for {name}, not {by:?}")
                })?;
                return owed(known == Some(mac), || {
                    format!("{name} knows {eip} at {mac}, the MAC of {node}, not {known:?}")
                });
            }
            self.run(Duration::from_secs(1));
        }
    }
}

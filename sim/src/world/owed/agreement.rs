//! What is owed once nothing goes wrong any more: one replica leads, and whoever is on the LAN
//! reaches every Service through the node that is recorded on it.

use std::{net::IpAddr, time::Duration};

use porter_core::{MacAddr, NodeName, ServiceName};

use super::World;

/// Twice the longest lease that a world may have, for those who have to wait one out and start, and
/// then some for writes.
const AGREEMENT_MAX: Duration = Duration::from_secs(45);

/// The longest between two announcements of an EIP of which there is no news: who was misled hears the
/// truth then.
const REFRESH_MAX: Duration = Duration::from_secs(110);

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
        let leaders = (0..self.n_replicas()).filter(|id| self.leads(*id)).count();
        owed(leaders == 1, || format!("exactly one replica leads, not {leaders}"))?;
        for service in self.services() {
            let (node, mac) = self.owed_node(&service)?;
            let eips = self.external_ip(&service);
            owed(!eips.is_empty(), || format!("{service} has an address"))?;
            for eip in eips {
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
            if by.as_ref() == Ok(node) && known == Some(mac) {
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

    fn owed_node(&self, service: &ServiceName) -> Result<(NodeName, MacAddr), String> {
        let node = self.recorded_node(service);
        node.zip(self.owed_mac(service))
            .ok_or_else(|| format!("a node with a pod is recorded on {service}"))
    }
}

fn owed(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    holds.then_some(()).ok_or_else(what)
}

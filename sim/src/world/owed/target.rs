//! L2: a node that is answered loses its power. What it had is at another node, and the LAN knows.

use std::{net::IpAddr, time::Duration};

use porter_core::{MacAddr, NodeName, Probing, ServiceName};

use super::{MOVE_MAX, PACE, RETURN_MAX, World, owed};

impl World {
    pub(super) fn attempt_target(&mut self) -> Result<(), String> {
        let Some(target) = self.remote_target() else { return Ok(()) };
        let name = self.nodes[target].name.clone();
        let (old, moved) = (self.nodes[target].mac, self.movable(&name));
        self.set_power(target, false);
        let n_eips = u32::try_from(moved.len()).expect("a world has few EIPs");
        let limit = Probing::default().notices_within() + MOVE_MAX + PACE * n_eips;
        let left = self.run_until(limit, |world| {
            moved.iter().all(|(service, eip)| {
                world.recorded_node(service) != Some(name.clone()) && !world.sends_to(*eip, old)
            })
        });
        owed(left, || format!("within {limit:?} what {name} had is at others, and known there"))?;
        let records = self.records();
        self.set_power(target, true);
        self.run(RETURN_MAX);
        owed(self.records() == records, || format!("nothing moves when {name} is back"))?;
        self.agrees()
    }

    /// A node that is answered, and on which nobody leads.
    pub(super) fn remote_target(&self) -> Option<usize> {
        let leader = self.leader()?;
        let nodes = self.services().into_iter().filter_map(|service| self.recorded_node(&service));
        nodes.filter_map(|node| self.number(&node)).find(|node| *node != leader)
    }

    /// What is at a node and has an endpoint on another one.
    fn movable(&self, node: &NodeName) -> Vec<(ServiceName, IpAddr)> {
        let mut movable = Vec::new();
        for service in self.services() {
            let elsewhere = self.nodes_behind(&service).iter().any(|other| other != node);
            if elsewhere && self.recorded_node(&service).as_ref() == Some(node) {
                let eips = self.external_ip(&service);
                movable.extend(eips.into_iter().map(|eip| (service.clone(), eip)));
            }
        }
        movable
    }

    /// Whether a host outside that heeds announcements would send what is for an EIP to this MAC.
    fn sends_to(&self, eip: IpAddr, mac: MacAddr) -> bool {
        let hosts = self.hosts.iter().take(self.n_clients());
        let mut heedful = hosts.filter(|host| host.kind().notices_within() == Duration::ZERO);
        heedful.any(|host| host.neighbour(eip) == Some(mac))
    }

    /// The nodes on record.
    pub(super) fn records(&self) -> Vec<(ServiceName, Option<NodeName>)> {
        let services = self.services().into_iter();
        services.map(|service| (service.clone(), self.recorded_node(&service))).collect()
    }
}

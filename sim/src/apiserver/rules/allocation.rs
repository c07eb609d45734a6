//! Cluster addresses and node ports: the lowest free one, or the one asked for if it is free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::state::State;
use super::super::status::Cause;
use super::elements;

/// The Service addresses of the guide's cluster.
const ADDRESSES: &str = "10.233.0.0/18";
/// The IPv6 ones, for Services that ask for both families.
const ADDRESSES_V6: &str = "fd85:ee78:d8a6:8607::/112";
const FIRST_NODE_PORT: u16 = 30000;
const LAST_NODE_PORT: u16 = 32767;

/// What Services have been given, and the UID of whom. There may be thousands of them.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    addresses: BTreeMap<IpAddr, Value>,
    node_ports: BTreeMap<u16, Value>,
}

impl Allocations {
    /// Takes in that a Service is stored in place of what it was, or is gone.
    pub(crate) fn handle(&mut self, old: Option<&Value>, new: Option<&Value>) {
        if old.map(|old| &old["spec"]) == new.map(|new| &new["spec"]) {
            return;
        }
        if let Some(service) = old {
            addresses(service).for_each(|address| drop(self.addresses.remove(&address)));
            node_ports(service).for_each(|port| drop(self.node_ports.remove(&port)));
        }
        if let Some(service) = new {
            let uid = &service["metadata"]["uid"];
            self.addresses.extend(addresses(service).map(|address| (address, uid.clone())));
            self.node_ports.extend(node_ports(service).map(|port| (port, uid.clone())));
        }
    }
}

fn addresses(service: &Value) -> impl Iterator<Item = IpAddr> {
    elements(&service["spec"]["clusterIPs"]).filter_map(|address| address.as_str()?.parse().ok())
}

fn node_ports(service: &Value) -> impl Iterator<Item = u16> {
    let ports = elements(&service["spec"]["ports"]).map(|port| &port["nodePort"]);
    ports.chain([&service["spec"]["healthCheckNodePort"]]).filter_map(node_port)
}

/// What one Service may not be given: what others have, and what it was just given.
pub(super) struct Taken<'a> {
    others: &'a Allocations,
    uid: Value,
    addresses: BTreeSet<IpAddr>,
    node_ports: BTreeSet<u16>,
}

impl<'a> Taken<'a> {
    pub(super) fn by_others(state: &'a State, service: &Value) -> Self {
        let uid = service["metadata"]["uid"].clone();
        let others = &state.allocations;
        Self { others, uid, addresses: BTreeSet::new(), node_ports: BTreeSet::new() }
    }

    /// Takes an address, if it is free.
    fn take_address(&mut self, address: IpAddr) -> bool {
        self.others.addresses.get(&address).is_none_or(|holder| *holder == self.uid)
            && self.addresses.insert(address)
    }

    /// Takes a node port, if it is free.
    fn take_node_port(&mut self, port: u16) -> bool {
        self.others.node_ports.get(&port).is_none_or(|holder| *holder == self.uid)
            && self.node_ports.insert(port)
    }

    /// Takes the lowest free address of a family.
    pub(super) fn address(&mut self, family: &str) -> Result<IpAddr, Cause> {
        // The first one is the API server's own in every cluster.
        let range = range(family);
        let mut free = range.hosts().filter(|address| *address != range.network()).skip(1);
        free.find(|address| self.take_address(*address)).ok_or_else(|| {
            Cause::invalid(
                "spec.clusterIPs",
                &json!([]),
                "failed to allocate a serviceIP: range is full",
            )
        })
    }

    /// Takes the address that was asked for.
    pub(super) fn this_address(&mut self, asked: &str, family: &str) -> Result<(), Cause> {
        let range = range(family);
        let refused = |why: &str| {
            let why = format!("failed to allocate IP {asked}: {why}");
            Err(Cause::invalid("spec.clusterIPs", &json!([asked]), &why))
        };
        match asked.parse::<IpAddr>() {
            Err(_) => refused("not a valid IP address"),
            Ok(address) if !range.contains(&address) => refused(&format!(
                "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {range}"
            )),
            Ok(address) if !self.take_address(address) => {
                refused("provided IP is already allocated")
            }
            Ok(_) => Ok(()),
        }
    }

    /// Takes the lowest free node port.
    pub(super) fn node_port(&mut self, field: &str) -> Result<u16, Cause> {
        let free = (FIRST_NODE_PORT..=LAST_NODE_PORT).find(|&port| self.take_node_port(port));
        free.ok_or_else(|| {
            Cause::invalid(field, &json!(0), "failed to allocate a nodePort: range is full")
        })
    }

    /// Takes the node port that was asked for.
    pub(super) fn this_node_port(&mut self, asked: &Value, field: &str) -> Result<(), Cause> {
        let refused = |why: &str| Err(Cause::invalid(field, asked, why));
        match node_port(asked) {
            Some(port) if !(FIRST_NODE_PORT..=LAST_NODE_PORT).contains(&port) => refused(
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            ),
            Some(port) if !self.take_node_port(port) => {
                refused("provided port is already allocated")
            }
            Some(_) => Ok(()),
            None => refused("must be between 1 and 65535, inclusive"),
        }
    }
}

fn range(family: &str) -> IpNet {
    let range = if family == "IPv6" { ADDRESSES_V6 } else { ADDRESSES };
    range.parse().expect("a range written in this file")
}

fn node_port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0)
}

//! Cluster addresses and node ports: the lowest free one, or the one asked for if it is free.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::resource::Resource;
use super::super::state::State;
use super::super::status::Cause;
use super::elements;

/// The Service addresses of the guide's cluster.
const ADDRESSES: &str = "10.233.0.0/18";
/// The IPv6 ones, for Services that ask for both families.
const ADDRESSES_V6: &str = "fd85:ee78:d8a6:8607::/112";
const FIRST_NODE_PORT: u16 = 30000;
const LAST_NODE_PORT: u16 = 32767;

/// What the Services other than one have been given.
pub(super) struct Taken {
    addresses: BTreeSet<IpAddr>,
    node_ports: BTreeSet<u16>,
}

impl Taken {
    pub(super) fn by_others(state: &State, service: &Value) -> Self {
        let id = |object: &Value| object["metadata"]["uid"].clone();
        let others: Vec<_> = state
            .list(&Resource::SERVICES, None)
            .filter(|other| id(other) != id(service))
            .collect();
        let addresses = others.iter().flat_map(|other| elements(&other["spec"]["clusterIPs"]));
        let ports = others
            .iter()
            .flat_map(|other| elements(&other["spec"]["ports"]))
            .map(|port| &port["nodePort"]);
        let checks = others.iter().map(|other| &other["spec"]["healthCheckNodePort"]);
        Self {
            addresses: addresses.filter_map(|address| address.as_str()?.parse().ok()).collect(),
            node_ports: ports.chain(checks).filter_map(node_port).collect(),
        }
    }

    /// Takes the lowest free address of a family.
    pub(super) fn address(&mut self, family: &str) -> Result<IpAddr, Cause> {
        // The first one is the API server's own in every cluster.
        let range = range(family);
        let mut free = range.hosts().filter(|address| *address != range.network()).skip(1);
        let free = free.find(|address| !self.addresses.contains(address));
        let free = free.ok_or_else(|| {
            Cause::invalid(
                "spec.clusterIPs",
                &json!([]),
                "failed to allocate a serviceIP: range is full",
            )
        })?;
        self.addresses.insert(free);
        Ok(free)
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
            Ok(address) if !self.addresses.insert(address) => {
                refused("provided IP is already allocated")
            }
            Ok(_) => Ok(()),
        }
    }

    /// Takes the lowest free node port.
    pub(super) fn node_port(&mut self, field: &str) -> Result<u16, Cause> {
        let free = (FIRST_NODE_PORT..=LAST_NODE_PORT).find(|port| !self.node_ports.contains(port));
        let free = free.ok_or_else(|| {
            Cause::invalid(field, &json!(0), "failed to allocate a nodePort: range is full")
        })?;
        self.node_ports.insert(free);
        Ok(free)
    }

    /// Takes the node port that was asked for.
    pub(super) fn this_node_port(&mut self, asked: &Value, field: &str) -> Result<(), Cause> {
        let refused = |why: &str| Err(Cause::invalid(field, asked, why));
        match node_port(asked) {
            Some(port) if !(FIRST_NODE_PORT..=LAST_NODE_PORT).contains(&port) => refused(
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            ),
            Some(port) if !self.node_ports.insert(port) => {
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

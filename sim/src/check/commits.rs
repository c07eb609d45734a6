//! The nodes that are spoken for follow the order of the commits (S7): an answer may lag, it never goes
//! back, and what was not committed is not spoken.
//!
//! What is on record for a Service before it holds the EIP counts, too: a leader may know of that alone.

use std::{collections::BTreeMap, net::IpAddr};

use porter_core::{NodeName, ServiceName};

use super::{Violation, recorded};
use crate::world::Api;

#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    /// The nodes that were recorded on a Service, in the order of the commits.
    records: BTreeMap<ServiceName, Vec<NodeName>>,
    /// The nodes that were recorded for an EIP, in the order of the commits.
    recorded: BTreeMap<IpAddr, Vec<NodeName>>,
    /// How far in that order the LAN was told.
    spoken: BTreeMap<IpAddr, usize>,
}

impl Commits {
    pub(super) fn committed(&mut self, api: &Api) {
        self.records.retain(|name, _| api.services.contains_key(name));
        for (name, (_, service)) in &api.services {
            let Some(node) = recorded(&service.metadata.annotations) else { continue };
            let records = self.records.entry(name.clone()).or_default();
            if records.last().map(NodeName::as_str) != Some(node) {
                records.push(NodeName::from(node));
            }
        }
        let used = api.eips.values().flat_map(|(_, eip)| &eip.status.used);
        for (eip, service) in used.flat_map(|(eip, by)| by.iter().map(move |name| (eip, name))) {
            let Some(records) = self.records.get(service) else { continue };
            let Some(node) = records.last() else { continue };
            let recorded = self.recorded.entry(*eip).or_insert_with(|| records.clone());
            if recorded.last() != Some(node) {
                recorded.push(node.clone());
            }
        }
    }

    /// How often a node was recorded on each Service.
    pub(super) fn n_commits(&self) -> BTreeMap<ServiceName, usize> {
        self.records.iter().map(|(name, nodes)| (name.clone(), nodes.len())).collect()
    }

    /// Takes in that an EIP is said to be at one of these nodes: at one, unless several have its MAC.
    /// Returns how far in the order of the commits that is.
    pub(super) fn spoken(&mut self, eip: IpAddr, nodes: &[&NodeName]) -> Result<usize, Violation> {
        let recorded = self.recorded.get(&eip).map(Vec::as_slice).unwrap_or_default();
        let spoken = self.spoken.entry(eip).or_default();
        match recorded.iter().skip(*spoken).position(|known| nodes.contains(&known)) {
            Some(ahead) => {
                *spoken += ahead;
                Ok(*spoken)
            }
            None => Err(Violation(format!(
                "{eip} is said to be at {}, but the commits were {recorded:?} and the LAN has been \
                 told of number {spoken}",
                nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>().join(" or ")
            ))),
        }
    }
}

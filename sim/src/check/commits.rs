//! The nodes that are spoken for follow the order of the commits: an answer may lag, it never goes
//! back, and what was not committed is not spoken.

use std::{collections::BTreeMap, net::IpAddr};

use porter_core::NodeName;

use super::{Violation, recorded};
use crate::world::Api;

#[derive(Debug, Default)]
pub(super) struct Commits {
    /// The nodes that were recorded for an EIP, in the order of the commits.
    recorded: BTreeMap<IpAddr, Vec<NodeName>>,
    /// How far in that order the LAN was told.
    spoken: BTreeMap<IpAddr, usize>,
}

impl Commits {
    pub(super) fn committed(&mut self, api: &Api) {
        let used = api.eips.values().flat_map(|(_, eip)| &eip.status.used);
        for (eip, service) in used.flat_map(|(eip, by)| by.iter().map(move |name| (eip, name))) {
            let Some((_, service)) = api.services.get(service) else { continue };
            let Some(node) = recorded(&service.metadata.annotations).map(NodeName::from) else {
                continue;
            };
            let recorded = self.recorded.entry(*eip).or_default();
            if recorded.last() != Some(&node) {
                recorded.push(node);
            }
        }
    }

    pub(super) fn spoken(&mut self, eip: IpAddr, node: &NodeName) -> Result<(), Violation> {
        let recorded = self.recorded.get(&eip).map(Vec::as_slice).unwrap_or_default();
        let spoken = self.spoken.entry(eip).or_default();
        match recorded.iter().skip(*spoken).position(|known| known == node) {
            Some(ahead) => {
                *spoken += ahead;
                Ok(())
            }
            None => Err(Violation(format!(
                "{eip} is said to be at {node}, but the commits were {recorded:?} and the LAN has \
                 been told of number {spoken}"
            ))),
        }
    }
}

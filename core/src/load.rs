//! Which node each Service is placed on, and which Services each node has.

use std::collections::{BTreeMap, BTreeSet};

use crate::{NodeName, ServiceName, Size};

/// Which node each Service is placed on, and which Services each node has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    placed: BTreeMap<ServiceName, Placed>,
    on: BTreeMap<NodeName, BTreeSet<ServiceName>>,
    /// The nodes that are answered until another one is on record.
    meanwhile: BTreeMap<ServiceName, NodeName>,
    /// For which Services each node is answered meanwhile.
    meanwhile_on: BTreeMap<NodeName, BTreeSet<ServiceName>>,
    /// Services that might be placed on any node, whether they have an endpoint there or not.
    roaming: BTreeSet<ServiceName>,
    /// The nodes that have got their first Service, or lost their last one; `None`: nobody has asked yet
    /// which nodes have any.
    shifted: Option<BTreeSet<NodeName>>,
}

/// A node that a Service is placed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Placed {
    pub(crate) node: NodeName,
    /// Whether the API server has confirmed it: only then is it answered.
    pub(crate) committed: bool,
    /// Whether it was taken for lack of a usable node with an endpoint, and stays until it is
    /// unusable itself.
    pub(crate) fallback: bool,
    /// The node that was answered before, and is as long as this one is not committed and it still
    /// takes the traffic.
    pub(crate) follows: Option<NodeName>,
    /// A record that is older than this placement, and no pin: the Service has brought it with it
    /// when it became the oldest of those who share an address.
    pub(crate) overrules: Option<NodeName>,
}

impl Load {
    /// Places a Service, or takes it off its node.
    pub(crate) fn place(&mut self, service: &ServiceName, placed: Option<Placed>) {
        self.answer_meanwhile(service, None);
        self.roaming.remove(service);
        if self.placed.get(service) == placed.as_ref() {
            return;
        }
        if let Some(old) = self.placed.remove(service) {
            untie(&mut self.on, &old.node, service, &mut self.shifted);
        }
        if let Some(placed) = placed {
            tie(&mut self.on, &placed.node, service, &mut self.shifted);
            self.placed.insert(service.clone(), placed);
        }
    }

    /// Takes in which node is answered for a Service until the one it is placed on is on record, or
    /// until one is found; [`Self::place`] forgets it.
    pub(crate) fn answer_meanwhile(&mut self, service: &ServiceName, node: Option<&NodeName>) {
        if let Some(old) = self.meanwhile.remove(service) {
            untie(&mut self.meanwhile_on, &old, service, &mut self.shifted);
        }
        if let Some(node) = node {
            tie(&mut self.meanwhile_on, node, service, &mut self.shifted);
            self.meanwhile.insert(service.clone(), node.clone());
        }
    }

    /// Takes in that a Service might be placed on any node; [`Self::place`] forgets it.
    pub(crate) fn roam(&mut self, service: &ServiceName) {
        self.roaming.insert(service.clone());
    }

    pub(crate) fn placed(&self, service: &ServiceName) -> Option<&Placed> {
        self.placed.get(service)
    }

    /// The Services that a node is answered for, or is to be.
    pub(crate) fn on(&self, node: &NodeName) -> impl Iterator<Item = &ServiceName> {
        let meanwhile = self.meanwhile_on.get(node).into_iter().flatten();
        self.on.get(node).into_iter().flatten().chain(meanwhile)
    }

    /// The Services that any node is of interest to.
    pub(crate) fn roaming(&self) -> impl Iterator<Item = &ServiceName> {
        self.roaming.iter()
    }

    /// Of which nodes it is news whether they have Services; `None`: of all, since nobody has asked
    /// before.
    pub(crate) fn take_shifted(&mut self) -> Option<BTreeSet<NodeName>> {
        self.shifted.replace(BTreeSet::new())
    }

    /// How many Services are placed on a node.
    pub(crate) fn count(&self, node: &NodeName) -> usize {
        self.on.get(node).map_or(0, BTreeSet::len)
    }

    /// How much is remembered of so many Services.
    pub(crate) fn sizes(&self, services: usize) -> [Size; 6] {
        let shifted = self.shifted.as_ref().map_or(0, BTreeSet::len);
        [
            Size::new("Services placed", self.placed.len(), services),
            Size::new("nodes with Services", self.on.len(), services),
            Size::new("Services answered meanwhile", self.meanwhile.len(), services),
            Size::new("nodes answered meanwhile", self.meanwhile_on.len(), services),
            Size::new("Services that roam", self.roaming.len(), services),
            Size::new("nodes with news of their use", shifted, 0),
        ]
    }

    /// Whether any Service is placed on a node, or answered with it meanwhile.
    pub(crate) fn uses(&self, node: &NodeName) -> bool {
        self.meanwhile_on.contains_key(node) || self.on.contains_key(node)
    }
}

/// Takes down that a node has a Service, and whether it is its first.
fn tie(
    on: &mut BTreeMap<NodeName, BTreeSet<ServiceName>>,
    node: &NodeName,
    service: &ServiceName,
    shifted: &mut Option<BTreeSet<NodeName>>,
) {
    if let Some(services) = on.get_mut(node) {
        services.insert(service.clone());
        return;
    }
    on.insert(node.clone(), BTreeSet::from([service.clone()]));
    if let Some(shifted) = shifted {
        shifted.insert(node.clone());
    }
}

/// Takes down that a node has a Service no more, and whether it was its last.
fn untie(
    on: &mut BTreeMap<NodeName, BTreeSet<ServiceName>>,
    node: &NodeName,
    service: &ServiceName,
    shifted: &mut Option<BTreeSet<NodeName>>,
) {
    let services = on.get_mut(node).expect("whatever a node has was tied to it");
    services.remove(service);
    if services.is_empty() {
        on.remove(node);
        if let Some(shifted) = shifted {
            shifted.insert(node.clone());
        }
    }
}

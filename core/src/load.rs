//! Which node each Service is placed on, and which Services each node has.

use std::collections::{BTreeMap, BTreeSet};

use crate::{NodeName, ServiceName, Size, controller::Departure};

/// Which node each Service is placed on, and which Services each node has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    placed: BTreeMap<ServiceName, Placed>,
    on: BTreeMap<NodeName, BTreeSet<ServiceName>>,
    /// The nodes that are answered for Services for which another one is still to be found.
    searching: BTreeMap<ServiceName, NodeName>,
    /// For which Services each node is answered until another one is found, or is on record.
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
    /// The move by which it came here, as long as it is not committed.
    pub(crate) departure: Option<Departure>,
}

impl Load {
    /// Places a Service, or takes it off its node.
    pub(crate) fn place(&mut self, service: &ServiceName, placed: Option<Placed>) {
        self.roaming.remove(service);
        let searching = self.searching.remove(service);
        let before = match placed.clone() {
            Some(placed) => self.placed.insert(service.clone(), placed),
            None => self.placed.remove(service),
        };
        if before == placed && searching.is_none() {
            return;
        }
        let [was, is] = [&before, &placed].map(Option::as_ref);
        let nodes = [was, is].map(|it| it.map(|it| &it.node));
        retie(&mut self.on, service, nodes, &mut self.shifted);
        let was_meanwhile = was.and_then(|it| it.follows.as_ref()).or(searching.as_ref());
        let nodes = [was_meanwhile, is.and_then(|it| it.follows.as_ref())];
        retie(&mut self.meanwhile_on, service, nodes, &mut self.shifted);
    }

    /// Takes in which node, if any, is answered for a Service that is placed on none, until one is
    /// found; [`Self::place`] forgets it.
    pub(crate) fn search(&mut self, service: &ServiceName, node: Option<&NodeName>) {
        let Some(node) = node else { return };
        retie(&mut self.meanwhile_on, service, [None, Some(node)], &mut self.shifted);
        self.searching.insert(service.clone(), node.clone());
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
            Size::new("Services answered meanwhile", self.searching.len(), services),
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

/// Takes down which node a Service was with and which it is with now, and which nodes have got their
/// first, or lost their last one, by that.
fn retie(
    on: &mut BTreeMap<NodeName, BTreeSet<ServiceName>>,
    service: &ServiceName,
    [was, is]: [Option<&NodeName>; 2],
    shifted: &mut Option<BTreeSet<NodeName>>,
) {
    if was == is {
        return;
    }
    let mut shift = |node: &NodeName| {
        if let Some(shifted) = shifted {
            shifted.insert(node.clone());
        }
    };
    if let Some(was) = was {
        let services = on.get_mut(was).expect("whatever a node has was tied to it");
        services.remove(service);
        if services.is_empty() {
            on.remove(was);
            shift(was);
        }
    }
    let Some(is) = is else { return };
    match on.get_mut(is) {
        Some(services) => drop(services.insert(service.clone())),
        None => {
            on.insert(is.clone(), BTreeSet::from([service.clone()]));
            shift(is);
        }
    }
}

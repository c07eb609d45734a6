//! The EndpointSlices, by the Service that they are of and by the nodes that they name.
//!
//! A node may have pods of a thousand Services or of none: what becomes of it concerns those, and
//! they are found without a look at the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Family, NodeName, ServiceName, Size, Slice, SliceName, Version,
    placement::Slices,
    store::{Listing, Store},
};

/// The endpoints of all Services.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) slices: Store<SliceName, Slice>,
    /// The slices of each Service, by name. It is one for most.
    of: BTreeMap<ServiceName, Vec<SliceName>>,
    /// The Services that have an endpoint on a node, whether it takes traffic or not.
    on: BTreeMap<NodeName, BTreeSet<ServiceName>>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        Self { slices: Store::new(), of: BTreeMap::new(), on: BTreeMap::new() }
    }

    /// Takes in one slice. Returns the Services that it concerns.
    pub(crate) fn apply(
        &mut self,
        name: SliceName,
        version: Version,
        slice: Option<Slice>,
    ) -> BTreeSet<ServiceName> {
        let Some(old) = self.slices.exchange(name.clone(), version, slice) else {
            return BTreeSet::new();
        };
        let Self { slices, of, on } = self;
        let new = slices.get(&name);
        let [was, is] = [old.as_ref(), new].map(|slice| slice.map(|slice| &slice.service));
        let moves = was != is;
        if moves {
            if let Some(was) = was {
                disown(of, was, &name);
            }
            if let Some(is) = is {
                let slices = of.entry(is.clone()).or_default();
                if let Err(place) = slices.binary_search(&name) {
                    slices.insert(place, name.clone());
                }
            }
        }
        if let (Some(old), Some(was)) = (&old, was) {
            let others = of.get(was).into_iter().flatten().filter(|other| **other != name);
            let others = others.filter_map(|other| slices.get(other));
            let left = nodes(old).filter(|node| moves || !new.is_some_and(|new| names(new, node)));
            for node in left.filter(|node| !others.clone().any(|other| names(other, node))) {
                untie(on, node, was);
            }
        }
        if let (Some(new), Some(is)) = (new, is) {
            let come = nodes(new);
            let old = old.as_ref().filter(|_| !moves);
            for node in come.filter(|node| !old.is_some_and(|old| names(old, node))) {
                on.entry(node.clone()).or_default().insert(is.clone());
            }
        }
        let mut concerned = BTreeSet::new();
        concerned.extend(was.into_iter().chain(is).cloned());
        concerned
    }

    /// Takes in a list of all slices. Returns the Services that it changes anything for.
    pub(crate) fn replace(&mut self, listing: Listing<SliceName, Slice>) -> BTreeSet<ServiceName> {
        let changed = self.slices.replace(listing);
        if changed.is_empty() {
            return BTreeSet::new();
        }
        let was_of =
            self.of.iter().filter(|(_, slices)| slices.iter().any(|it| changed.contains(it)));
        let was_of = was_of.map(|(service, _)| service.clone());
        let is_of = changed.iter().filter_map(|name| self.slices.get(name));
        let concerned = was_of.chain(is_of.map(|slice| slice.service.clone())).collect();
        self.of.clear();
        self.on.clear();
        for (name, slice) in self.slices.iter() {
            self.of.entry(slice.service.clone()).or_default().push(name.clone());
            for node in nodes(slice) {
                self.on.entry(node.clone()).or_default().insert(slice.service.clone());
            }
        }
        concerned
    }

    /// The slices of a Service that are of a family.
    pub(crate) fn of(&self, service: &ServiceName, family: Family) -> Slices<'_> {
        self.all_of(service).filter(|slice| slice.family == family).collect()
    }

    /// The Services that have an endpoint on a node, whether it takes traffic or not.
    pub(crate) fn on(&self, node: &NodeName) -> impl Iterator<Item = &ServiceName> {
        self.on.get(node).into_iter().flatten()
    }

    /// How much is remembered.
    pub(crate) fn sizes(&self) -> [Size; 2] {
        let endpoints = self.slices.iter().map(|(_, slice)| slice.endpoints.len()).sum();
        let on = self.on.values().map(BTreeSet::len).sum();
        [
            Size::new("Services with slices", self.of.len(), self.slices.len()),
            Size::new("nodes with endpoints of Services", on, endpoints),
        ]
    }

    fn all_of(&self, service: &ServiceName) -> impl Iterator<Item = &Slice> {
        let slices = self.of.get(service).into_iter().flatten();
        slices.filter_map(|slice| self.slices.get(slice))
    }
}

/// Takes down that a slice is not a Service's any more.
fn disown(of: &mut BTreeMap<ServiceName, Vec<SliceName>>, service: &ServiceName, name: &SliceName) {
    let Some(slices) = of.get_mut(service) else { return };
    slices.retain(|slice| slice != name);
    if slices.is_empty() {
        of.remove(service);
    }
}

/// Takes down that a Service has no endpoint on a node any more.
fn untie(
    on: &mut BTreeMap<NodeName, BTreeSet<ServiceName>>,
    node: &NodeName,
    service: &ServiceName,
) {
    let Some(services) = on.get_mut(node) else { return };
    services.remove(service);
    if services.is_empty() {
        on.remove(node);
    }
}

/// Whether a slice names a node.
fn names(slice: &Slice, node: &NodeName) -> bool {
    nodes(slice).any(|it| it == node)
}

/// The nodes that a slice names.
fn nodes(slice: &Slice) -> impl Iterator<Item = &NodeName> {
    slice.endpoints.iter().filter_map(|endpoint| endpoint.node.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    fn slice(service: &str, nodes: &[&str]) -> Option<Slice> {
        let endpoint = |node: &&str| Endpoint {
            node: Some(NodeName::from(*node)),
            ready: true,
            serving: true,
            terminating: false,
        };
        let service = ServiceName::new("default", service);
        Some(Slice { service, family: Family::V4, endpoints: nodes.iter().map(endpoint).collect() })
    }

    fn name(name: &str) -> SliceName {
        SliceName::new("default", name)
    }

    fn on(endpoints: &Endpoints, node: &str) -> String {
        let node = NodeName::from(node);
        let services = endpoints.on(&node).map(|service| service.name());
        services.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_service_is_on_a_node_as_long_as_any_of_its_slices_names_it() {
        let mut endpoints = Endpoints::new();
        endpoints.apply(name("web-1"), Version(1), slice("web", &["a", "b"]));
        endpoints.apply(name("web-2"), Version(2), slice("web", &["b"]));
        endpoints.apply(name("db-1"), Version(3), slice("db", &["b"]));
        assert_eq!([on(&endpoints, "a"), on(&endpoints, "b")], ["web", "db web"]);
        endpoints.apply(name("web-1"), Version(4), slice("web", &["c"]));
        assert_eq!(["a", "b", "c"].map(|node| on(&endpoints, node)), ["", "db web", "web"]);
        endpoints.apply(name("web-2"), Version(5), None);
        assert_eq!(on(&endpoints, "b"), "db");
        let concerned = endpoints.apply(name("web-1"), Version(6), slice("shop", &["c"]));
        assert_eq!(concerned.len(), 2, "the one that had it, and the one that has it");
        assert_eq!(on(&endpoints, "c"), "shop");
        assert!(endpoints.sizes().iter().all(|size| size.entries <= size.at_most));
    }

    #[test]
    fn a_list_concerns_those_whose_slices_it_changes_and_leaves_the_same_as_single_news() {
        let mut endpoints = Endpoints::new();
        let objects = |slices: [(&str, Option<Slice>); 3]| {
            let versioned =
                |(at, slice): (&str, Option<Slice>)| Some((name(at), (Version(1), slice?)));
            Listing {
                version: Version(9),
                objects: slices.into_iter().filter_map(versioned).collect(),
            }
        };
        let (web, db, shop) = (slice("web", &["a"]), slice("db", &["b"]), slice("shop", &["c"]));
        endpoints.replace(objects([("1", web.clone()), ("2", db), ("3", shop.clone())]));
        let listing = objects([("1", web), ("2", slice("cart", &["c"])), ("3", shop)]);
        let concerned = endpoints.replace(listing);
        let concerned: Vec<_> = concerned.iter().map(|service| service.name()).collect();
        assert_eq!(concerned, ["cart", "db"]);
        assert_eq!(["a", "b", "c"].map(|node| on(&endpoints, node)), ["web", "", "cart shop"]);
    }
}

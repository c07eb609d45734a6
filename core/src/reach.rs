//! Which nodes may be answered on which link, by what the API server and the LAN say of them.

use std::collections::BTreeMap;

use crate::{
    Family, Link, LinkName, Node, NodeName, Size,
    neighbor::Target,
    placement::{self, Obstacle, Usable},
};

/// A link and a family of addresses there.
pub(crate) type Place = (LinkName, Family);

/// The nodes on the links of Eips.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Those that the API server has nothing against, with their addresses.
    near: BTreeMap<Place, Usable>,
    /// Those of them that the LAN has nothing against either.
    usable: BTreeMap<Place, Usable>,
    /// What the LAN has against the others.
    lan: BTreeMap<Target, Obstacle>,
    /// No usable node: what there is on a link that is not here.
    nowhere: Usable,
}

impl Reach {
    /// Finds all nodes anew, on these links.
    pub(crate) fn rebuild<'a>(
        &mut self,
        links: impl Iterator<Item = (LinkName, &'a Link)>,
        nodes: impl Iterator<Item = (&'a NodeName, &'a Node)> + Clone,
        excludes: bool,
    ) {
        self.near.clear();
        for (name, link) in links {
            for family in Family::ALL {
                let usable = nodes.clone().filter_map(|(node, facts)| {
                    let address = placement::usable_address(facts, link, family, excludes);
                    Some((node.clone(), address.ok()?))
                });
                self.near.insert((name, family), usable.collect());
            }
        }
        self.usable.clone_from(&self.near);
        for (&(link, _), nodes) in &mut self.usable {
            nodes.retain(|_, address| !self.lan.contains_key(&(link, *address)));
        }
    }

    /// Takes in what one node is now, if it is there at all. Says whether it is somewhere else than it
    /// was, or may be answered where it may not have been.
    pub(crate) fn handle_node<'a>(
        &mut self,
        name: &NodeName,
        node: Option<&Node>,
        link: impl Fn(LinkName) -> &'a Link,
        excludes: bool,
    ) -> bool {
        let mut changed = false;
        for (&(on, family), nodes) in &mut self.near {
            let address = node
                .and_then(|node| placement::usable_address(node, link(on), family, excludes).ok());
            if nodes.get(name).copied() == address {
                continue;
            }
            changed = true;
            let usable = self.usable.entry((on, family)).or_default();
            usable.remove(name);
            nodes.remove(name);
            let Some(address) = address else { continue };
            nodes.insert(name.clone(), address);
            if !self.lan.contains_key(&(on, address)) {
                usable.insert(name.clone(), address);
            }
        }
        changed
    }

    /// Takes in what keeps a node from being answered by what is seen of it on the LAN. Says whether that
    /// is new.
    pub(crate) fn handle_seen<'a>(
        &mut self,
        target: Target,
        obstacle: Option<Obstacle>,
        nodes: impl Iterator<Item = &'a NodeName>,
    ) -> bool {
        let old = match obstacle {
            Some(obstacle) => self.lan.insert(target, obstacle),
            None => self.lan.remove(&target),
        };
        if old == obstacle {
            return false;
        }
        let (link, address) = target;
        let place = (link, Family::of(address));
        if let (Some(near), Some(usable)) = (self.near.get(&place), self.usable.get_mut(&place)) {
            for node in nodes.filter(|node| near.get(*node) == Some(&address)) {
                match obstacle {
                    Some(_) => usable.remove(node),
                    None => usable.insert(node.clone(), address),
                };
            }
        }
        true
    }

    /// What the LAN has against whoever is there.
    pub(crate) fn obstacle(&self, target: Target) -> Option<Obstacle> {
        self.lan.get(&target).copied()
    }

    /// The nodes that may be answered.
    pub(crate) fn usable(&self, link: LinkName, family: Family) -> &Usable {
        self.usable.get(&(link, family)).unwrap_or(&self.nowhere)
    }

    /// The nodes that the API server has nothing against, per link and family.
    pub(crate) fn near(&self) -> impl Iterator<Item = (Place, &Usable)> {
        self.near.iter().map(|(&place, nodes)| (place, nodes))
    }

    /// Where a node is that the API server has nothing against.
    pub(crate) fn targets_of(&self, node: &NodeName) -> impl Iterator<Item = Target> {
        self.near.iter().filter_map(move |(&(link, _), nodes)| Some((link, *nodes.get(node)?)))
    }

    /// How much is remembered, where there are so many places at which a node may be looked for.
    pub(crate) fn sizes(&self, targets: usize) -> [Size; 2] {
        [
            Size::new("obstacles on the LAN", self.lan.len(), targets),
            Size::new("nodes within reach", self.near.values().map(Usable::len).sum(), targets),
        ]
    }
}

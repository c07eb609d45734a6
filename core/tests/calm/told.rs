//! What the LAN is told, and what people are told: one node for a Service, and conditions that are
//! true.

use std::{collections::BTreeSet, net::IpAddr};

use porter_core::{
    AddressRange, Condition, EipName, Family, LinkName, MacAddr, NodeName, Service, ServiceName,
    TrafficPolicy, keys,
};

use crate::{
    bench::eth0,
    world::{World, find, is_layer2, mac_of},
};

/// What stands in the way of an address, most basic first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Obstacle {
    Owner,
    Endpoint,
    Interface,
    Node,
}

impl World {
    fn link(&self, eip: &EipName) -> Option<LinkName> {
        self.bench.api.eips[eip].1.interface.as_deref().map(str::trim).and_then(LinkName::new)
    }

    fn answer(&self, eip: &EipName, address: IpAddr) -> Option<MacAddr> {
        self.bench.answers.entry(self.link(eip)?, address)?.ok()
    }

    fn endpoint_nodes(&self, name: &ServiceName, family: Family) -> Option<BTreeSet<&NodeName>> {
        let slices = self.bench.api.slices.values().map(|(_, slice)| slice);
        let slices = slices.filter(|slice| slice.service == *name && slice.family == family);
        let nodes: BTreeSet<_> =
            slices.flat_map(|slice| &slice.endpoints).filter_map(|it| it.node.as_ref()).collect();
        (!nodes.is_empty()).then_some(nodes)
    }

    /// The nodes that may be answered for a family on the link.
    fn usable(&self, family: Family) -> BTreeSet<&NodeName> {
        let nodes = || self.bench.api.nodes.iter().map(|(name, (_, node))| (name, node));
        let all_excluded = nodes().all(|(_, node)| node.excluded);
        let usable = nodes().filter(|(_, node)| {
            let on_link = node.addresses.iter().any(|at| Family::of(*at) == family);
            node.ready && on_link && (!node.excluded || all_excluded)
        });
        usable.map(|(name, _)| name).collect()
    }

    /// The nodes that can serve an address, those that may never be picked for it included if
    /// `stays`.
    fn candidates(&self, address: IpAddr, stays: bool) -> BTreeSet<&NodeName> {
        let family = Family::of(address);
        let usable = self.usable(family);
        let holders = self.holders(address);
        let mut near = usable.clone();
        for nodes in holders.iter().filter_map(|(name, _)| self.endpoint_nodes(name, family)) {
            near.retain(|node| nodes.contains(node));
        }
        let local = holders.iter().any(|(_, it)| it.policy == TrafficPolicy::Local);
        if local || !near.is_empty() && !stays { near } else { usable }
    }

    /// The node whose own address this is. One that was away gets none of it back that was given to a
    /// Service meanwhile.
    fn owner(&self, address: IpAddr) -> Option<&NodeName> {
        let mut nodes = self.bench.api.nodes.iter();
        nodes.find(|(_, (_, node))| node.addresses.contains(&address)).map(|(name, _)| name)
    }

    /// What may stand in the way of an address.
    fn obstacle(&self, eip: &EipName, address: IpAddr) -> Option<Obstacle> {
        let family = Family::of(address);
        if self.link(eip).is_none() {
            return Some(Obstacle::Interface);
        }
        if self.owner(address).is_some() {
            return Some(Obstacle::Owner);
        }
        let mut holders = self.holders(address).into_iter();
        if !holders.any(|(name, _)| self.endpoint_nodes(name, family).is_some()) {
            return Some(Obstacle::Endpoint);
        }
        if self.link(eip) != Some(eth0()) {
            return Some(Obstacle::Interface);
        }
        self.answer(eip, address).is_none().then_some(Obstacle::Node)
    }

    pub(crate) fn check_told(&self) {
        let used = self.bench.used();
        for (_, address, _) in self.bench.answers.iter() {
            assert!(used.contains_key(&address), "{address} is spoken of and nobody holds it");
        }
        for (name, service) in self.services().filter(|(_, service)| self.asks(service)) {
            self.check_answers(name, service);
            self.check_announced(name, service);
        }
        for (name, eip) in self.eips().filter(|(_, eip)| is_layer2(eip)) {
            let served = self.is_served(name, eip) && !eip.metadata.deleting;
            let met = served && self.link(name) == Some(eth0());
            let ready = eip.status.ready.as_ref();
            assert_eq!(ready.map(|ready| ready.met), Some(met), "{name}: {eip:?}");
            let reason = ready.map_or("", |ready| ready.reason.as_str());
            let range = AddressRange::parse(&eip.address);
            let expected: &[&str] = match range {
                _ if eip.metadata.deleting => &["Deleting"],
                _ if met && eip.disable => &["Disabled"],
                _ if met => &["Served", "Full", "OffLink"],
                Err(_) => &["InvalidAddress"],
                Ok(_) if served => &["InterfaceMissing"],
                Ok(_) if self.link(name).is_none() => &["NoInterface", "InvalidInterface"],
                Ok(_) => &["Overlaps"],
            };
            assert!(expected.contains(&reason), "{name}: {eip:?}");
        }
    }

    fn check_answers(&self, name: &ServiceName, service: &Service) {
        let held = self.held(name);
        let sharers: BTreeSet<_> =
            held.iter().flat_map(|(_, at)| self.holders(*at)).map(|(sharer, _)| sharer).collect();
        let record = find(&service.metadata.annotations, keys::LAYER2);
        let due: Vec<_> = held
            .iter()
            .filter(|(eip, at)| self.obstacle(eip, *at).is_none_or(|it| it == Obstacle::Node))
            .collect();
        for (eip, address) in &due {
            let Some(mac) = self.answer(eip, *address) else { continue };
            assert_eq!(record.and_then(mac_of), Some(mac), "{name} at {address}: {service:?}");
            let record = NodeName::from(record.unwrap());
            let candidates = self.candidates(*address, true);
            assert!(candidates.contains(&record), "{name} at {address} is at {record}");
        }
        let mut common = self.usable(Family::V4);
        common.extend(self.usable(Family::V6));
        for (_, address) in &due {
            let candidates = self.candidates(*address, false);
            common.retain(|node| candidates.contains(node));
        }
        common.retain(|node| !self.bench.api.nodes[*node].1.cordoned);
        // Who shares with one that has two addresses goes where both of that are served.
        let follows = sharers.len() > 1 && sharers.iter().any(|it| self.held(it).len() > 1);
        if common.is_empty() || follows {
            return;
        }
        for (eip, address) in due {
            let answer = self.answer(eip, *address);
            assert!(answer.is_some(), "{name} at {address} could be at {common:?}: {service:?}");
        }
    }

    fn check_announced(&self, name: &ServiceName, service: &Service) {
        let held = self.held(name);
        let said = service.announced.as_ref();
        let Some(Condition { met, reason, message, .. }) = said else {
            panic!("{name} is told nothing: {service:?}");
        };
        let obstacles = held.iter().filter_map(|(eip, at)| self.obstacle(eip, *at));
        let obstacles: BTreeSet<_> = obstacles.collect();
        let lacks = service.requires_dual_stack && held.len() < service.families.len();
        let owed = !held.is_empty() && obstacles.is_empty() && !lacks;
        assert_eq!(*met, owed, "{name}: {said:?}, {obstacles:?}");
        let of_node =
            ["NodeAddress", "NoReadyEndpoint", "InterfaceMissing", "NoUsableNode", "MacUnknown"];
        if *met {
            assert!(["Announced", "AnnouncedElsewhere"].contains(&reason.as_str()), "{said:?}");
            let record = find(&service.metadata.annotations, keys::LAYER2).unwrap();
            for (_, address) in &held {
                assert!(message.contains(&format!("{address} is at {record}")), "{said:?}");
            }
        } else if held.is_empty() || lacks && obstacles.is_empty() {
            assert!(
                !of_node.contains(&reason.as_str()) && !reason.starts_with("Announced"),
                "{said:?}"
            );
            assert!(!message.is_empty(), "{name} is told nothing: {said:?}");
        } else {
            let reasons: Vec<_> = obstacles.iter().map(|it| of_node[*it as usize]).collect();
            assert!(reasons.contains(&reason.as_str()), "{name}: {said:?}, not {reasons:?}");
        }
    }
}

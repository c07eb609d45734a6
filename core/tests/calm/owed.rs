//! Who is owed what: allocations are exact, and whoever waits cannot be helped.

use std::{collections::BTreeSet, net::IpAddr};

use porter_core::{
    AddressRange, Eip, EipName, Family, LinkName, Service, ServiceName, TrafficPolicy, keys,
};

use crate::world::{FOREIGN, World, find, is_layer2};

/// What a Service names, as text.
pub(crate) fn asked_text(service: &Service) -> Option<&str> {
    let spec = service.requested_ip.as_deref().map(str::trim).filter(|text| !text.is_empty());
    spec.or_else(|| find(&service.metadata.annotations, keys::REQUESTED_IP))
}

fn asked(service: &Service) -> Option<IpAddr> {
    asked_text(service)?.parse().ok()
}

/// Whether two Services may hold `address` together.
pub(crate) fn may_share(
    (a, one): (&ServiceName, &Service),
    (b, two): (&ServiceName, &Service),
    address: IpAddr,
) -> bool {
    let cluster = |service: &Service| service.policy == TrafficPolicy::Cluster;
    let same_pods = one.selector == two.selector && !one.selector.is_empty();
    a.namespace() == b.namespace()
        && asked(one) == Some(address)
        && asked(two) == Some(address)
        && one.ports.is_disjoint(&two.ports)
        && (cluster(one) && cluster(two) || same_pods)
}

impl World {
    /// Whether a Service is ours.
    pub(crate) fn asks(&self, service: &Service) -> bool {
        let annotations = &service.metadata.annotations;
        let ours = match service.class.as_deref() {
            Some(class) => class == "porter.kubesphere.io/layer2",
            None => {
                let whose = annotations.get(keys::LOAD_BALANCER).map(|whose| whose.trim());
                matches!(whose, Some("porter" | "openelb"))
            }
        };
        let layer2 = match find(annotations, keys::PROTOCOL) {
            Some(protocol) => protocol == "layer2",
            None => service.class.is_some() || self.named(service).is_some_and(is_layer2),
        };
        service.load_balancer && !service.metadata.deleting && ours && layer2
    }

    /// The Eip that a Service names, if it is there.
    fn named(&self, service: &Service) -> Option<&Eip> {
        let name = find(&service.metadata.annotations, keys::EIP)?;
        self.bench.api.eips.get(&EipName::from(name)).map(|(_, eip)| eip)
    }

    pub(crate) fn holders(&self, address: IpAddr) -> Vec<(&ServiceName, &Service)> {
        let used = self.bench.used();
        let names = used.get(&address).cloned().unwrap_or_default();
        self.services().filter(|(name, _)| names.contains(name)).collect()
    }

    /// Whether an address is one that only we show.
    fn is_pooled(&self, address: IpAddr) -> bool {
        let mut ranges = self
            .eips()
            .filter(|(_, eip)| is_layer2(eip))
            .filter_map(|(_, eip)| AddressRange::parse(&eip.address).ok());
        self.bench.used().contains_key(&address) || ranges.any(|range| range.contains(address))
    }

    pub(crate) fn check_owed(&self) {
        let used = self.bench.used();
        for (address, holders) in &used {
            let there = self.holders(*address);
            assert_eq!(there.len(), holders.len(), "{address} is held by {holders:?}, some gone");
            for (i, &one) in there.iter().enumerate() {
                for &two in &there[..i] {
                    assert!(may_share(one, two, *address), "{address}: {one:?} and {two:?}");
                }
            }
            let recording = |eip: &Eip| is_layer2(eip) && eip.status.used.contains_key(address);
            let n_eips = self.eips().filter(|(_, eip)| recording(eip)).count();
            assert_eq!(n_eips, 1, "{address} is recorded {n_eips} times");
        }
        for (name, service) in self.services() {
            if self.asks(service) {
                self.check_holdings(name, service);
                self.check_wants(name, service);
            } else {
                self.check_left_alone(name, service);
            }
        }
        for (name, eip) in self.eips().filter(|(_, eip)| is_layer2(eip)) {
            let idle = eip.status.used.is_empty();
            assert!(!(eip.metadata.deleting && idle), "{name} is not let go: {eip:?}");
            let range = AddressRange::parse(&eip.address).ok();
            assert_eq!(eip.status.pool_size, range.map_or(0, |range| range.size()), "{name}");
            assert_eq!(eip.status.first, range.map(|range| range.first()), "{name}");
            let ours = eip.metadata.finalizers.iter().filter(|it| *it == keys::EIP_FINALIZER);
            assert_eq!(ours.count(), 1, "{name}: {eip:?}");
        }
    }

    fn check_holdings(&self, name: &ServiceName, service: &Service) {
        let held = self.held(name);
        let families: BTreeSet<_> = held.iter().map(|(_, at)| Family::of(*at)).collect();
        assert_eq!(families.len(), held.len(), "{name} holds {held:?}");
        for (eip, address) in &held {
            let family = Family::of(*address);
            assert!(service.families.contains(&family), "{name} holds {address}: {service:?}");
            if let Some(asked) = asked(service)
                && !(Family::of(asked) != family && service.families.contains(&Family::of(asked)))
            {
                assert_eq!(*address, asked, "{name}: {service:?}");
            }
            if let Some(named) = find(&service.metadata.annotations, keys::EIP) {
                let range =
                    self.named(service).and_then(|it| AddressRange::parse(&it.address).ok());
                let elsewhere = range
                    .map(|range| range.family())
                    .is_some_and(|other| other != family && service.families.contains(&other));
                assert!(eip.as_str() == named || elsewhere, "{name} holds of {eip}: {service:?}");
            }
        }
        let shown: Vec<_> = service.shown().filter(|at| self.is_pooled(*at)).collect();
        let mut sorted = shown.clone();
        sorted.sort_unstable();
        let addresses: Vec<_> = held.iter().map(|(_, address)| *address).collect();
        assert_eq!(sorted, addresses, "{name} shows what it does not hold: {service:?}");
        let finalizers = &service.metadata.finalizers;
        let ours = finalizers.iter().filter(|it| *it == keys::SERVICE_FINALIZER).count();
        if let Some((eip, _)) = held.first() {
            assert_eq!(find(&service.metadata.labels, keys::EIP), Some(eip.as_str()), "{name}");
            assert_eq!(ours, 1, "{name} holds without a finalizer: {service:?}");
        }
    }

    /// A Service of somebody else carries nothing that we have put on it.
    fn check_left_alone(&self, name: &ServiceName, service: &Service) {
        assert!(self.held(name).is_empty(), "{name} holds and does not ask: {service:?}");
        let metadata = &service.metadata;
        // The finalizer is the original's too: on a Service of another protocol it may be its.
        let eip = find(&metadata.labels, keys::EIP).map(EipName::from);
        let eip = eip.and_then(|eip| self.bench.api.eips.get(&eip));
        let elsewhere = eip.is_some_and(|(_, eip)| !is_layer2(eip));
        let protocol = find(&metadata.annotations, keys::PROTOCOL);
        let another = protocol.is_some_and(|protocol| protocol != "layer2");
        if elsewhere || another || self.soiled.contains(name) {
            return;
        }
        let ours = metadata.finalizers.iter().any(|it| it == keys::SERVICE_FINALIZER);
        assert!(!ours, "{name} is held for nothing: {service:?}");
        let others = metadata.finalizers.iter().all(|it| it == FOREIGN);
        assert!(others && (!metadata.deleting || !metadata.finalizers.is_empty()), "{service:?}");
        assert_eq!(find(&metadata.labels, keys::EIP), None, "{name}");
        assert_eq!(find(&metadata.annotations, keys::LAYER2), None, "{name}");
        // What an Eip recorded before it was turned to another protocol is its new owner's to free.
        let elsewhere = |at: &IpAddr| {
            self.eips().any(|(_, eip)| {
                let holders = eip.status.used.get(at);
                !is_layer2(eip) && holders.is_some_and(|holders| holders.contains(name))
            })
        };
        let ours = service.shown().find(|at| !elsewhere(at));
        assert!(ours.is_none() || self.forgot, "{name}: {service:?}");
        assert!(service.announced.is_none() || metadata.deleting, "{name}: {service:?}");
    }

    /// Of each family that a Service asks for it holds an address, or there is none for it.
    fn check_wants(&self, name: &ServiceName, service: &Service) {
        let held = self.held(name);
        let lacking = service.families.iter().copied();
        let lacking = lacking.filter(|&it| held.iter().all(|(_, at)| Family::of(*at) != it));
        let lacking: Vec<_> = lacking.collect();
        let found: Vec<_> =
            lacking.iter().map(|&family| self.could_have(name, service, family)).collect();
        let both = service.requires_dual_stack && held.is_empty();
        let helped = match both {
            true => found.iter().all(Option::is_some),
            false => found.iter().any(Option::is_some),
        };
        assert!(lacking.is_empty() || !helped, "{name} could have {found:?}: {service:?}");
    }

    /// An address of a family that a Service could have, if there is one.
    fn could_have(
        &self,
        name: &ServiceName,
        service: &Service,
        family: Family,
    ) -> Option<(EipName, IpAddr)> {
        let concerns = |other: Family| other == family || !service.families.contains(&other);
        let address = match asked_text(service) {
            Some(text) => Some(text.parse::<IpAddr>().ok()?),
            None => None,
        };
        let address = address.filter(|address| concerns(Family::of(*address)));
        let mut named = find(&service.metadata.annotations, keys::EIP);
        if named.is_some() {
            let eip = self.named(service).filter(|eip| is_layer2(eip))?;
            let range = AddressRange::parse(&eip.address).ok()?;
            named = named.filter(|_| concerns(range.family()));
        }
        let open = self.eips().filter(|(_, eip)| !eip.disable && !eip.metadata.deleting);
        for (eip_name, eip) in open.filter(|(eip_name, eip)| self.is_served(eip_name, eip)) {
            let range = AddressRange::parse(&eip.address).ok()?;
            let may = match named {
                Some(named) => named == eip_name.as_str(),
                None => address.is_some() || self.is_open_to(eip, name.namespace()),
            };
            if !may || range.family() != family {
                continue;
            }
            for candidate in universe().filter(|it| range.contains(*it)) {
                let others = self.holders(candidate);
                let nodes = self.bench.api.nodes.values();
                let is_nodes =
                    nodes.flat_map(|(_, node)| &node.addresses).any(|at| *at == candidate);
                let of_eip = others.is_empty() || eip.status.used.contains_key(&candidate);
                let shares = others.iter().all(|&it| may_share((name, service), it, candidate));
                let wanted = address.is_none_or(|address| address == candidate);
                if wanted && !is_nodes && of_eip && shares {
                    return Some((eip_name.clone(), candidate));
                }
            }
        }
        None
    }

    /// Whether an Eip is served: it makes sense, and no older one overlaps it.
    pub(crate) fn is_served(&self, name: &EipName, eip: &Eip) -> bool {
        let Ok(range) = AddressRange::parse(&eip.address) else { return false };
        let link = eip.interface.as_deref().and_then(LinkName::new);
        let age = |eip: &Eip| (eip.metadata.created, eip.metadata.uid.clone());
        let overlapped = self.eips().any(|(other, older)| {
            let theirs = AddressRange::parse(&older.address);
            other != name && age(older) < age(eip) && theirs.is_ok_and(|it| it.overlaps(&range))
        });
        is_layer2(eip) && link.is_some() && !overlapped
    }

    /// Whether an Eip serves those of a namespace who do not name it.
    pub(crate) fn is_open_to(&self, eip: &Eip, namespace: &str) -> bool {
        let labels = self.bench.api.namespaces.iter().find(|(it, _)| it.as_str() == namespace);
        let labels = labels.map(|(_, (_, namespace))| &namespace.labels);
        let selector = &eip.namespace_selector;
        let selected = !selector.is_empty()
            && labels.is_some_and(|labels| selector.iter().all(|(k, v)| labels.get(k) == Some(v)));
        let unbound = eip.namespaces.is_empty() && selector.is_empty();
        unbound || selected || eip.namespaces.contains(namespace)
    }
}

/// Every address that any range of these tests has.
fn universe() -> impl Iterator<Item = IpAddr> {
    let v4 = (0..=255).map(|last| IpAddr::from([172, 22, 0, last]));
    let v6 = (0..=0x200).map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]));
    v4.chain(v6).chain([IpAddr::from([10, 9, 9, 9])])
}

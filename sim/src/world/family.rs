//! What IPv6 has besides IPv4: addresses of its own for every host, groups, and which Services of a
//! dual-stack world have which family.
//!
//! Every host of such a world has an address of each family with the same number in it, and so has
//! every EIP that steps name: 172.22.0.188 and fd22::bc.
//!
//! A node's address of IPv6 stays what it is, and is nobody else's. Whoever takes an address asks
//! whether it is free, and Porter and every kernel answer that (RFC 4862 section 5.4): so no node has
//! another's by mistake, or an EIP. And no kernel answers for an address that is on another of its
//! interfaces. Those faults are of IPv4 alone.

use std::net::{IpAddr, Ipv6Addr};

use porter_core::{Family, MacAddr, Service, ServiceName};

use super::{Exposed, World};

/// Everybody on the LAN: ff02::1 (RFC 4291 section 2.7.1, RFC 2464 section 7).
pub(crate) const ALL_NODES: MacAddr = MacAddr(0x33, 0x33, 0, 0, 0, 1);
/// Every router on the LAN: ff02::2. Nodes are routers, since they forward to pods.
pub(crate) const ALL_ROUTERS: MacAddr = MacAddr(0x33, 0x33, 0, 0, 0, 2);

/// The Ethernet group in which `address` is asked for: everybody for IPv4, and for IPv6 the group of
/// its last 24 bits.
pub(crate) fn asked_in(address: IpAddr) -> MacAddr {
    match address {
        IpAddr::V4(_) => MacAddr::broadcast(),
        IpAddr::V6(address) => {
            let [.., a, b, c] = address.octets();
            MacAddr(0x33, 0x33, 0xff, a, b, c)
        }
    }
}

/// The Ethernet group of a group of IPv6.
pub(super) fn group_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr(0x33, 0x33, a, b, c, d)
}

/// The address of IPv6 with this number.
pub(super) fn v6(number: u8) -> IpAddr {
    Ipv6Addr::new(0xfd22, 0, 0, 0, 0, 0, 0, number.into()).into()
}

/// The IPv6 address that goes with one of IPv4.
pub(super) fn beside(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(v6(address.octets()[3])),
        IpAddr::V6(_) => None,
    }
}

/// Gives a Service the families that the one with this number has in a dual-stack world: the guide's
/// needs both, and others have one alone, or would like both.
pub(super) fn give(i: usize, service: &mut Service, exposed: &mut Exposed) {
    service.families = match i % 4 {
        1 => vec![Family::V6],
        2 => vec![Family::V4],
        _ => vec![Family::V4, Family::V6],
    };
    service.requires_dual_stack = i.is_multiple_of(4);
    exposed.families = service.families.clone();
}

impl World {
    /// Whether hosts and Services have addresses of both families.
    pub(super) fn is_dual_stack(&self) -> bool {
        self.options.dual_stack
    }

    /// The families of which a Service gets an address.
    pub(super) fn families_of(&self, service: &ServiceName) -> Vec<Family> {
        match self.cluster.exposed.get(service) {
            Some(exposed) if !exposed.families.is_empty() => exposed.families.clone(),
            Some(_) | None => vec![Family::V4],
        }
    }

    /// Whether a node takes in what is sent to a group: everybody, its own address's, that of all
    /// routers, and those that a replica there has joined.
    pub(super) fn is_in_group(&self, node: usize, group: MacAddr) -> bool {
        let own = self.nodes[node].has();
        let own = || own.iter().any(|it| it.is_ipv6() && asked_in(*it) == group);
        let process = self.replicas.get(node).and_then(|replica| replica.process.as_ref());
        let joined =
            || process.is_some_and(|it| it.groups.iter().any(|&to| group_mac(to) == group));
        let is_v6 = || [ALL_NODES, ALL_ROUTERS].contains(&group) || own();
        group.is_broadcast() || self.is_dual_stack() && (is_v6() || joined())
    }
}

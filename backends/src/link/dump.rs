//! What the kernel lists of its interfaces, their addresses and its routes, and what is read from it.
//!
//! The messages are those of rtnetlink(7). Reading them is a function of the messages, so that what a
//! kernel with other interfaces says can be told here word by word.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use porter_core::{Link, LinkName, MacAddr, Unroutable, Unusable};
use rtnetlink::packet_route::{
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia},
};

use super::survey::Seen;

/// How Open vSwitch calls what is attached to it (`ovs_netdev_link`).
const OPEN_VSWITCH: &str = "openvswitch";

/// The interfaces of this host: those that are links, and why the others are none.
pub(crate) type Interfaces = BTreeMap<LinkName, Result<Seen, Unusable>>;

/// The names of all interfaces, by their index.
pub(crate) type Names = BTreeMap<u32, LinkName>;

/// The default gateways behind each link, by the index of the link.
pub(crate) type Gateways = BTreeMap<u32, BTreeSet<IpAddr>>;

/// Reads lists of all interfaces and of all addresses.
pub(crate) fn interfaces(
    links: &[LinkMessage],
    addresses: &[AddressMessage],
    gateways: &Gateways,
) -> Interfaces {
    let names = names(links);
    let mut nets = BTreeMap::<_, Vec<_>>::new();
    for address in addresses {
        nets.entry(address.header.index).or_default().extend(net(address));
    }
    let mut interfaces = Interfaces::new();
    for message in links {
        let index = message.header.index;
        let Some(&name) = names.get(&index) else { continue };
        let seen = mac(message, &names).map(|mac| {
            let link = Link {
                mac,
                addresses: nets.get(&index).cloned().unwrap_or_default(),
                gateways: gateways.get(&index).cloned().unwrap_or_default(),
                carrier: carries(message.header.flags),
            };
            Seen { index, link }
        });
        interfaces.insert(name, seen);
    }
    interfaces
}

/// The names of interfaces, by their index.
pub(crate) fn names(links: &[LinkMessage]) -> Names {
    links.iter().filter_map(|link| Some((link.header.index, name(link)?))).collect()
}

/// Reads a list of all routes.
pub(crate) fn gateways<'a>(routes: impl IntoIterator<Item = &'a RouteMessage>) -> Gateways {
    let mut gateways = Gateways::new();
    for route in routes.into_iter().filter(|route| is_default(route)) {
        for (index, gateway) in hops(route) {
            gateways.entry(index).or_default().insert(gateway);
        }
    }
    gateways
}

/// Where packets leave, by the answer to a question about one address.
pub(crate) fn way(route: &RouteMessage) -> Result<u32, Unroutable> {
    let link = route.attributes.iter().find_map(|attribute| {
        let RouteAttribute::Oif(index) = attribute else { return None };
        Some(*index)
    });
    #[expect(clippy::wildcard_enum_match_arm, reason = "by most types of routes nothing leaves")]
    match route.header.kind {
        RouteType::Local => Err(Unroutable::Own),
        RouteType::Unicast | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => {
            link.ok_or(Unroutable::NoRoute)
        }
        _ => Err(Unroutable::NoRoute),
    }
}

/// Whether a route leads to everywhere, and counts: other tables are for some packets only.
pub(crate) fn is_default(route: &RouteMessage) -> bool {
    let RouteMessage { header, attributes, .. } = route;
    let table = attributes.iter().find_map(|attribute| {
        let RouteAttribute::Table(table) = attribute else { return None };
        Some(*table)
    });
    header.destination_prefix_length == 0
        && header.kind == RouteType::Unicast
        && table.unwrap_or_else(|| header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN)
}

fn name(message: &LinkMessage) -> Option<LinkName> {
    message.attributes.iter().find_map(|attribute| {
        let LinkAttribute::IfName(name) = attribute else { return None };
        LinkName::new(name)
    })
}

/// The MAC of an interface that is a link.
fn mac(message: &LinkMessage, names: &Names) -> Result<MacAddr, Unusable> {
    let LinkMessage { header, attributes, .. } = message;
    if header.flags.contains(LinkFlags::Loopback) {
        return Err(Unusable::Loopback);
    }
    if let Some(master) = master(attributes) {
        return Err(match port_kind(attributes) {
            // Its master is the switch as a whole, on which nothing is heard.
            Some(InfoPortKind::Other(kind)) if kind == OPEN_VSWITCH => Unusable::SwitchPort,
            // Without a name the master went while the list was made.
            _ => names.get(&master).map_or(Unusable::Missing, |&of| Unusable::Port { of }),
        });
    }
    let ethernet = header.link_layer_type == LinkLayerType::Ether
        && !header.flags.contains(LinkFlags::Pointopoint);
    let mac = attributes.iter().find_map(|attribute| {
        let LinkAttribute::Address(bytes) = attribute else { return None };
        <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr::from)
    });
    let mac = mac.filter(|mac| ethernet && mac.is_unicast() && !mac.is_zero());
    let mac = mac.ok_or(Unusable::NoEthernet)?;
    match header.flags.contains(LinkFlags::Noarp) {
        true => Err(Unusable::NoArp),
        false => Ok(mac),
    }
}

/// The index of the interface that gets what arrives here. A VRF gets packets, and leaves the frames.
fn master(attributes: &[LinkAttribute]) -> Option<u32> {
    let master = attributes.iter().find_map(|attribute| {
        let LinkAttribute::Controller(master) = attribute else { return None };
        Some(*master)
    });
    master.filter(|master| *master != 0 && port_kind(attributes) != Some(&InfoPortKind::Vrf))
}

fn port_kind(attributes: &[LinkAttribute]) -> Option<&InfoPortKind> {
    let infos = attributes.iter().find_map(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return None };
        Some(infos)
    });
    infos?.iter().find_map(|info| {
        let LinkInfo::PortKind(kind) = info else { return None };
        Some(kind)
    })
}

/// Whether an interface is up and has carrier. Only `RUNNING` follows its operational state (RFC 2863),
/// and only `LOWER_UP` follows its carrier at once.
fn carries(flags: LinkFlags) -> bool {
    flags.contains(LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp)
}

/// An address with its subnet, if this host may use it.
fn net(message: &AddressMessage) -> Option<IpNet> {
    let AddressMessage { header, attributes, .. } = message;
    let flags = attributes.iter().find_map(|attribute| {
        let AddressAttribute::Flags(flags) = attribute else { return None };
        Some(*flags)
    });
    let flags = flags.unwrap_or_else(|| AddressFlags::from_bits_retain(header.flags.bits().into()));
    // Another host may have it (RFC 4862, 5.4), or has.
    if flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed) {
        return None;
    }
    if matches!(header.scope, AddressScope::Host | AddressScope::Nowhere) {
        return None;
    }
    // A prefix of zero would have every address beside this one.
    let prefix = Some(header.prefix_len).filter(|prefix| *prefix > 0)?;
    let local = attributes.iter().find_map(|attribute| {
        let AddressAttribute::Local(address) = attribute else { return None };
        Some(*address)
    });
    // Where both are told, the other one is the far end's.
    let address = local.or_else(|| {
        attributes.iter().find_map(|attribute| {
            let AddressAttribute::Address(address) = attribute else { return None };
            Some(*address)
        })
    });
    IpNet::new(address?, prefix).ok()
}

/// The gateways of a route, with the index of the link behind which each is.
fn hops(route: &RouteMessage) -> Vec<(u32, IpAddr)> {
    let link = route.attributes.iter().find_map(|attribute| {
        let RouteAttribute::Oif(index) = attribute else { return None };
        Some(*index)
    });
    let mut hops: Vec<_> = link.zip(gateway(&route.attributes)).into_iter().collect();
    for attribute in &route.attributes {
        if let RouteAttribute::MultiPath(several) = attribute {
            let hop = several.iter().filter_map(|hop| {
                gateway(&hop.attributes).map(|gateway| (hop.interface_index, gateway))
            });
            hops.extend(hop);
        }
    }
    hops
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a route has many attributes")]
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(gateway))
        | RouteAttribute::Via(RouteVia::Inet(gateway)) => Some(IpAddr::V4(*gateway)),
        RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
        | RouteAttribute::Via(RouteVia::Inet6(gateway)) => Some(IpAddr::V6(*gateway)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;

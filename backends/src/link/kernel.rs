//! What the kernel tells of its links, addresses and routes (rtnetlink(7)), so that a change is known
//! when it happens. It only says that there is something to look at: what was told may have been lost
//! or be out of date.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr},
};

use futures::{StreamExt, TryStreamExt, channel::mpsc::UnboundedReceiver};
use rtnetlink::{
    Handle, MulticastGroup, RouteMessageBuilder,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
    },
    sys::SocketAddr,
};

/// What is listened to. Routes of IPv4 only, since gateways are asked for their MAC by ARP only.
const GROUPS: [MulticastGroup; 4] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
];

/// The default gateways behind each link, by the index of the link.
pub(crate) type Gateways = BTreeMap<u32, BTreeSet<IpAddr>>;

/// The kernel, as far as it tells of its links.
#[derive(Debug)]
pub(crate) struct Kernel {
    handle: Handle,
    news: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
}

/// What there is to look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// Default routes, besides the links.
    pub(crate) gateways: bool,
}

impl Kernel {
    /// The kernel's word on the network namespace of the calling thread. Has to be called within the
    /// runtime in which it is listened to.
    pub(crate) fn open() -> io::Result<Self> {
        let (connection, handle, news) = rtnetlink::new_multicast_connection(&GROUPS)?;
        tokio::spawn(connection);
        Ok(Self { handle, news })
    }

    /// Waits until there is something to look at, and takes in all that was told until then. Waits
    /// for ever if the kernel is heard no more. Cancel safe.
    pub(crate) async fn changed(&mut self) -> News {
        let mut news = None;
        while news.is_none() {
            let Some(told) = self.news.next().await else { return std::future::pending().await };
            news = concerns(&told.0);
        }
        while let Ok(told) = self.news.try_recv() {
            let more = concerns(&told.0).is_some_and(|news| news.gateways);
            news = news.map(|news| News { gateways: news.gateways || more });
        }
        news.unwrap_or_default()
    }

    /// The gateways of the default routes of IPv4.
    pub(crate) async fn gateways(&self) -> Result<Gateways, rtnetlink::Error> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = self.handle.route().get(all).execute();
        let mut gateways = Gateways::new();
        while let Some(route) = routes.try_next().await? {
            for (index, gateway) in gateways_of(&route) {
                gateways.entry(index).or_default().insert(gateway);
            }
        }
        Ok(gateways)
    }
}

/// Whether a message is about what is looked at.
fn concerns(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<News> {
    let NetlinkPayload::InnerMessage(message) = &message.payload else {
        // Messages were lost: anything may have changed.
        return Some(News { gateways: true });
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "few of what the kernel tells matter here")]
    match message {
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            is_default(route).then_some(News { gateways: true })
        }
        // A link that goes takes its routes along without a word.
        RouteNetlinkMessage::NewLink(_) | RouteNetlinkMessage::DelLink(_) => {
            Some(News { gateways: true })
        }
        RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => {
            Some(News::default())
        }
        _ => None,
    }
}

fn is_default(route: &RouteMessage) -> bool {
    let RouteMessage { header, attributes, .. } = route;
    let table = attributes.iter().find_map(|attribute| {
        let RouteAttribute::Table(table) = attribute else { return None };
        Some(*table)
    });
    header.destination_prefix_length == 0
        && header.kind == RouteType::Unicast
        && table.unwrap_or_else(|| header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN)
}

/// The gateways of a route, with the index of the link behind which each is.
fn gateways_of(route: &RouteMessage) -> Vec<(u32, IpAddr)> {
    if !is_default(route) {
        return Vec::new();
    }
    let mut hops = Vec::new();
    let link = route.attributes.iter().find_map(|attribute| {
        let RouteAttribute::Oif(index) = attribute else { return None };
        Some(*index)
    });
    hops.extend(link.zip(gateway(&route.attributes)));
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
    attributes.iter().find_map(|attribute| {
        let RouteAttribute::Gateway(RouteAddress::Inet(gateway)) = attribute else { return None };
        Some(IpAddr::V4(*gateway))
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::RouteNextHopBuilder;

    use super::*;

    type Route = RouteMessageBuilder<Ipv4Addr>;

    fn route(build: impl FnOnce(Route) -> Route) -> RouteMessage {
        build(Route::new()).build()
    }

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 22, 0, last)
    }

    #[test]
    fn a_default_route_names_its_gateway_and_any_other_route_none() {
        let default = route(|it| it.gateway(ip(1)).output_interface(7));
        assert_eq!(gateways_of(&default), [(7, ip(1).into())]);
        let through_no_gateway = route(|it| it.output_interface(7));
        assert_eq!(gateways_of(&through_no_gateway), []);
        let to_a_network =
            route(|it| it.destination_prefix(ip(0), 24).gateway(ip(1)).output_interface(7));
        assert_eq!(gateways_of(&to_a_network), []);
        let of_another_table = route(|it| it.gateway(ip(1)).output_interface(7).table_id(100));
        assert_eq!(gateways_of(&of_another_table), []);
    }

    #[test]
    fn a_route_of_several_paths_names_all_gateways() {
        let hop = |index, last| {
            let hop = RouteNextHopBuilder::new_ipv4().interface(index);
            hop.via(ip(last).into()).expect("an IPv4 gateway").build()
        };
        let several = route(|it| it.multipath(vec![hop(7, 1), hop(8, 2)]));
        assert_eq!(gateways_of(&several), [(7, ip(1).into()), (8, ip(2).into())]);
    }
}

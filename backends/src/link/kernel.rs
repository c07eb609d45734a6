//! What the kernel tells of its links, addresses and routes (rtnetlink(7)): that something changed,
//! when it changes, and how everything is, when it is asked. What it tells by itself may have been
//! lost or be out of date, so it only says that there is something to look at.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures::{StreamExt, TryStreamExt, channel::mpsc::UnboundedReceiver};
use porter_core::Unroutable;
use rtnetlink::{
    Handle, MulticastGroup, RouteMessageBuilder,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkExtentMask},
    sys::SocketAddr,
};

use super::dump::{self, Gateways, Interfaces, Names};

/// What is listened to.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

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

    /// Waits until there is something to look at, and takes in all that was told until then. Any route
    /// is something if it matters which of them packets take. Waits for ever if the kernel is heard no
    /// more. Cancel safe.
    pub(crate) async fn changed(&mut self, routes: bool) -> News {
        let mut news = None;
        while news.is_none() {
            let Some(told) = self.news.next().await else { return std::future::pending().await };
            news = concerns(&told.0, routes);
        }
        while let Ok(told) = self.news.try_recv() {
            let more = concerns(&told.0, routes).is_some_and(|news| news.gateways);
            news = news.map(|news| News { gateways: news.gateways || more });
        }
        news.unwrap_or_default()
    }

    /// All interfaces with their addresses, and with these gateways; and how each is called.
    pub(crate) async fn interfaces(
        &self,
        gateways: &Gateways,
    ) -> Result<(Interfaces, Names), rtnetlink::Error> {
        let links = self.handle.link().get();
        let links = links.set_filter_mask(AddressFamily::Unspec, vec![LinkExtentMask::SkipStats]);
        let links: Vec<_> = links.execute().try_collect().await?;
        let addresses: Vec<_> = self.handle.address().get().execute().try_collect().await?;
        Ok((dump::interfaces(&links, &addresses, gateways), dump::names(&links)))
    }

    /// The gateways of the default routes.
    pub(crate) async fn gateways(&self) -> Result<Gateways, rtnetlink::Error> {
        let of_ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let of_ipv6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let mut defaults = Vec::new();
        for all in [of_ipv4, of_ipv6] {
            let mut routes = self.handle.route().get(all).execute();
            while let Some(route) = routes.try_next().await? {
                defaults.extend(Some(route).filter(dump::is_default));
            }
        }
        Ok(dump::gateways(&defaults))
    }

    /// The index of the link by which packets to an address leave.
    pub(crate) async fn route(
        &self,
        address: IpAddr,
    ) -> Result<Result<u32, Unroutable>, rtnetlink::Error> {
        let to = match address {
            IpAddr::V4(address) => {
                RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build()
            }
            IpAddr::V6(address) => {
                RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build()
            }
        };
        match self.handle.route().get(to).execute().try_next().await {
            Ok(route) => Ok(route.map_or(Err(Unroutable::NoRoute), |route| dump::way(&route))),
            // What the kernel says of a packet that cannot leave.
            Err(rtnetlink::Error::NetlinkError(_)) => Ok(Err(Unroutable::NoRoute)),
            Err(error) => Err(error),
        }
    }
}

/// Whether a message is about what is looked at.
fn concerns(message: &NetlinkMessage<RouteNetlinkMessage>, routes: bool) -> Option<News> {
    let NetlinkPayload::InnerMessage(message) = &message.payload else {
        // Messages were lost: anything may have changed.
        return Some(News { gateways: true });
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "few of what the kernel tells matter here")]
    match message {
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            let gateways = dump::is_default(route);
            (gateways || routes).then_some(News { gateways })
        }
        RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => {
            routes.then(News::default)
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

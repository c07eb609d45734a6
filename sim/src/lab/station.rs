//! A host on the lab's LAN: a namespace with an `eth0`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use pnet::util::MacAddr;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder,
    packet_route::{
        address::AddressHeaderFlags,
        link::LinkAttribute,
        route::{RouteScope, RouteType},
    },
};

use super::{
    error::{Doing, Error},
    namespace::Namespace,
    sysctl,
};

/// The routing table of what is a host's own (linux/rtnetlink.h).
const TABLE_LOCAL: u32 = 255;

/// A host on the LAN, node or client.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) name: String,
    /// Its address on the LAN.
    pub(crate) address: Ipv4Addr,
    /// Its IPv6 address there, besides the one that its kernel makes of the MAC. `None` on a kernel
    /// without IPv6.
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// The MAC of its `eth0`.
    pub(crate) mac: MacAddr,
    pub(crate) namespace: Namespace,
    pub(crate) netlink: Handle,
    /// Interface indices of `eth0` and `lo`.
    pub(crate) eth0: u32,
    lo: u32,
}

impl Station {
    /// A host with a loopback link only; [`Self::attach`] comes next.
    pub(crate) async fn new(
        name: &str,
        address: Ipv4Addr,
        ipv6: Option<Ipv6Addr>,
    ) -> Result<Self, Error> {
        let namespace = Namespace::new()?;
        if ipv6.is_some() {
            sysctl::allow_ipv6(&namespace)?;
        }
        let netlink = netlink(&namespace)?;
        let lo = link_index(&netlink, "lo").await?;
        let [a, b, c, d] = address.octets();
        let station = Self {
            name: name.into(),
            address,
            ipv6,
            mac: MacAddr(0x52, 0x54, a, b, c, d),
            namespace,
            netlink,
            eth0: 0,
            lo,
        };
        bring_up(&station.netlink, lo).await?;
        Ok(station)
    }

    /// Takes `eth0`, which has been put into the namespace, into service, in networks of that many
    /// bits.
    pub(crate) async fn attach(&mut self, prefix: u8, ipv6_prefix: u8) -> Result<(), Error> {
        self.eth0 = link_index(&self.netlink, "eth0").await?;
        self.give(self.eth0, IpAddr::V4(self.address), prefix).await?;
        if let Some(address) = self.ipv6 {
            self.give(self.eth0, IpAddr::V6(address), ipv6_prefix).await?;
        }
        bring_up(&self.netlink, self.eth0).await
    }

    /// Its addresses on the LAN, those with which it can be reached from other stations.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        [IpAddr::V4(self.address)].into_iter().chain(self.ipv6.map(IpAddr::V6)).collect()
    }

    /// Makes an address local that is not on the LAN: no kernel answers ARP (with `strictARP`) or
    /// NDP (always) for what is on another link than the one asked on.
    pub(crate) async fn own(&self, address: IpAddr) -> Result<(), Error> {
        self.give(self.lo, address, whole(address)).await
    }

    /// Undoes [`Self::own`].
    pub(crate) async fn disown(&self, address: IpAddr) -> Result<(), Error> {
        let message = match address {
            IpAddr::V4(address) => {
                AddressMessageBuilder::<Ipv4Addr>::new().index(self.lo).address(address, 32).build()
            }
            IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
                .index(self.lo)
                .address(address, 128)
                .build(),
        };
        let deleted = self.netlink.address().del(message).execute().await;
        deleted.doing(|| format!("taking {address} from lo of {}", self.name))
    }

    /// Makes every address of a network of `prefix` bits local. Of an IPv6 network no address
    /// exists by that: who listens on one has to ask for it (`IPV6_FREEBIND`).
    pub(crate) async fn own_network(&self, network: IpAddr, prefix: u8) -> Result<(), Error> {
        let IpAddr::V6(first) = network else { return self.give(self.lo, network, prefix).await };
        let route = RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(first, prefix)
            .output_interface(self.lo)
            .kind(RouteType::Local)
            .scope(RouteScope::Universe)
            .table_id(TABLE_LOCAL)
            .build();
        let added = self.netlink.route().add(route).execute().await;
        added.doing(|| format!("making {network}/{prefix} local on {}", self.name))
    }

    /// Sends what is for a network of `prefix` bits to another station.
    pub(crate) async fn route(
        &self,
        network: IpAddr,
        prefix: u8,
        via: IpAddr,
    ) -> Result<(), Error> {
        let doing = || format!("routing {network}/{prefix} via {via} on {}", self.name);
        let route = RouteMessageBuilder::<IpAddr>::new().destination_prefix(network, prefix);
        let route = route.doing(doing)?.gateway(via).doing(doing)?.build();
        self.netlink.route().add(route).execute().await.doing(doing)
    }

    /// Gives an address to a link. Nobody else has it, so that an IPv6 one is usable at once,
    /// without the second in which the kernel would look for others.
    async fn give(&self, link: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        let mut adding = self.netlink.address().add(link, address, prefix).replace();
        if address.is_ipv6() {
            adding.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        let added = adding.execute().await;
        added.doing(|| format!("giving {address}/{prefix} to a link of {}", self.name))
    }
}

/// The length of a prefix that is one address.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

/// A netlink socket in a namespace, served by the current runtime.
pub(crate) fn netlink(namespace: &Namespace) -> Result<Handle, Error> {
    let opened = namespace.visit(rtnetlink::new_connection)?;
    let (connection, handle, _) = opened.doing(|| "opening a netlink socket".into())?;
    tokio::spawn(connection);
    Ok(handle)
}

pub(crate) async fn link_index(netlink: &Handle, name: &str) -> Result<u32, Error> {
    let mut links = netlink.link().get().match_name(name).execute();
    let found = links.try_next().await.doing(|| format!("looking for {name}"))?;
    let link = found.ok_or_else(|| Error::new(format!("looking for {name}"), "no such link"))?;
    Ok(link.header.index)
}

/// The links of a namespace by index.
pub(crate) async fn links(netlink: &Handle) -> Result<Vec<(u32, String)>, Error> {
    let links: Vec<_> =
        netlink.link().get().execute().try_collect().await.doing(|| "listing the links".into())?;
    let named = links.into_iter().filter_map(|link| {
        let name = link.attributes.into_iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
        });
        Some((link.header.index, name?))
    });
    Ok(named.collect())
}

pub(crate) async fn bring_up(netlink: &Handle, index: u32) -> Result<(), Error> {
    let up = LinkUnspec::new_with_index(index).up().build();
    netlink.link().set(up).execute().await.doing(|| "bringing a link up".into())
}

//! A host on the lab's LAN: a namespace with an `eth0`.

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use pnet::util::MacAddr;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder,
    packet_route::link::LinkAttribute,
};

use super::{
    error::{Doing, Error},
    namespace::Namespace,
};

/// A host on the LAN, node or client.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) name: String,
    /// Its address on the LAN.
    pub(crate) address: Ipv4Addr,
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
    pub(crate) async fn new(name: &str, address: Ipv4Addr) -> Result<Self, Error> {
        let namespace = Namespace::new()?;
        let netlink = netlink(&namespace)?;
        let lo = link_index(&netlink, "lo").await?;
        let [a, b, c, d] = address.octets();
        let station = Self {
            name: name.into(),
            address,
            mac: MacAddr(0x52, 0x54, a, b, c, d),
            namespace,
            netlink,
            eth0: 0,
            lo,
        };
        bring_up(&station.netlink, lo).await?;
        Ok(station)
    }

    /// Takes `eth0`, which has been put into the namespace, into service, in a network of `prefix`
    /// bits.
    pub(crate) async fn attach(&mut self, prefix: u8) -> Result<(), Error> {
        self.eth0 = link_index(&self.netlink, "eth0").await?;
        let (index, address) = (self.eth0, IpAddr::V4(self.address));
        let added = self.netlink.address().add(index, address, prefix).execute().await;
        added.doing(|| format!("giving {address}/{prefix} to eth0 of {}", self.name))?;
        bring_up(&self.netlink, index).await
    }

    /// Makes every address of a network local, without any of them being on the LAN.
    pub(crate) async fn own(&self, address: IpAddr, prefix: u8) -> Result<(), Error> {
        let adding = self.netlink.address().add(self.lo, address, prefix).replace();
        adding.execute().await.doing(|| format!("giving {address}/{prefix} to lo of {}", self.name))
    }

    /// Undoes [`Self::own`].
    pub(crate) async fn disown(&self, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(self.lo)
            .address(address, prefix)
            .build();
        let deleted = self.netlink.address().del(message).execute().await;
        deleted.doing(|| format!("taking {address}/{prefix} from lo of {}", self.name))
    }

    /// Sends what is for a network of `prefix` bits to another station.
    pub(crate) async fn route(
        &self,
        network: Ipv4Addr,
        prefix: u8,
        via: Ipv4Addr,
    ) -> Result<(), Error> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(network, prefix)
            .gateway(via)
            .build();
        let added = self.netlink.route().add(route).execute().await;
        added.doing(|| format!("routing {network}/{prefix} via {via} on {}", self.name))
    }
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

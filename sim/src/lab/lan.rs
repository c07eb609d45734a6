//! The LAN: a bridge in a namespace of its own, with a cable to every station.

use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth};

use super::{
    error::{Doing, Error},
    namespace::Namespace,
    station::{self, Station},
};

/// Bits of the LAN's networks that all its addresses share.
const PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 64;
/// The bridge's name.
pub(crate) const BRIDGE: &str = "lan";

/// The segment that nodes and clients share.
#[derive(Debug)]
pub(crate) struct Lan {
    pub(crate) namespace: Namespace,
    netlink: Handle,
    bridge: u32,
}

impl Lan {
    pub(crate) async fn new() -> Result<Self, Error> {
        let namespace = Namespace::new()?;
        let netlink = station::netlink(&namespace)?;
        let created = netlink.link().add(LinkBridge::new(BRIDGE).build()).execute().await;
        created.doing(|| "creating a bridge".into())?;
        let bridge = station::link_index(&netlink, BRIDGE).await?;
        Ok(Self { namespace, netlink, bridge })
    }

    /// Lays a cable from the station's `eth0` to a port of the bridge that is named like the
    /// station.
    pub(crate) async fn plug(&self, station: &mut Station) -> Result<(), Error> {
        let name = station.name.clone();
        let cable = LinkVeth::new("eth0", &name).address(station.mac.octets().to_vec()).build();
        let laid = station.netlink.link().add(cable).execute().await;
        laid.doing(|| format!("creating eth0 of {name}"))?;

        let end = station::link_index(&station.netlink, &name).await?;
        let here = self.namespace.descriptor();
        let moved = LinkUnspec::new_with_index(end).setns_by_fd(here).build();
        let moved = station.netlink.link().set(moved).execute().await;
        moved.doing(|| format!("plugging {name} into the bridge"))?;

        let port = station::link_index(&self.netlink, &name).await?;
        let plugged = LinkUnspec::new_with_index(port).controller(self.bridge).up().build();
        let plugged = self.netlink.link().set(plugged).execute().await;
        plugged.doing(|| format!("plugging {name} into the bridge"))?;
        station.attach(PREFIX, IPV6_PREFIX).await
    }

    /// Pulls a station's cable out of the bridge, or puts it back. The station sees its carrier go;
    /// the others see nothing.
    pub(crate) async fn connect(&self, station: &str, connected: bool) -> Result<(), Error> {
        let port = station::link_index(&self.netlink, station).await?;
        let link = LinkUnspec::new_with_index(port);
        let link = if connected { link.up() } else { link.down() };
        let set = self.netlink.link().set(link.build()).execute().await;
        set.doing(|| format!("setting the cable of {station}"))
    }

    /// The names of the bridge's ports, by interface index.
    pub(crate) async fn ports(&self) -> Result<Vec<(u32, String)>, Error> {
        let links = station::links(&self.netlink).await?;
        Ok(links
            .into_iter()
            .filter(|(index, name)| *index != self.bridge && name != "lo")
            .collect())
    }
}

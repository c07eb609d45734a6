//! The kernel's neighbour cache of a station: whom it believes to be where.

use std::{fmt, net::IpAddr};

use futures::TryStreamExt;
use pnet::util::MacAddr;
use porter_core::Family;
use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use super::{
    error::{Doing, Error},
    station::Station,
};

/// One entry of the cache, shown as `ip neigh` does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) address: IpAddr,
    /// `None` while nobody has answered.
    pub(crate) mac: Option<MacAddr>,
    state: NeighbourState,
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev eth0", self.address)?;
        if let Some(mac) = self.mac {
            write!(f, " lladdr {mac}")?;
        }
        write!(f, " {}", format!("{:?}", self.state).to_uppercase())
    }
}

/// The cache of a station's `eth0` for a family, by address, as `ip neigh` shows it: without what
/// needs no asking, such as multicast addresses.
pub(crate) async fn neighbours(of: &Station, family: Family) -> Result<Vec<Neighbour>, Error> {
    let mut neighbours: Vec<_> = messages(of, family).await?.iter().filter_map(read).collect();
    neighbours.retain(|neighbour| neighbour.state != NeighbourState::Noarp);
    neighbours.sort_by_key(|neighbour| neighbour.address);
    Ok(neighbours)
}

/// The MAC that a station has in its cache for an address.
pub(crate) async fn resolved(of: &Station, address: IpAddr) -> Result<Option<MacAddr>, Error> {
    let neighbours = neighbours(of, Family::of(address)).await?;
    Ok(neighbours.into_iter().find(|known| known.address == address).and_then(|known| known.mac))
}

/// Makes a station forget whom it believes to have an address, as one that never asked.
pub(crate) async fn forget(of: &Station, address: IpAddr) -> Result<(), Error> {
    for message in messages(of, Family::of(address)).await? {
        if read(&message).is_some_and(|known| known.address == address) {
            // An entry may expire before it is deleted.
            let _ = of.netlink.neighbours().del(message).execute().await;
        }
    }
    match resolved(of, address).await? {
        None => Ok(()),
        Some(mac) => {
            Err(Error::new(format!("forgetting {address}"), format!("it is still at {mac}")))
        }
    }
}

async fn messages(of: &Station, family: Family) -> Result<Vec<NeighbourMessage>, Error> {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let listed = of.netlink.neighbours().get().set_address_family(family).execute();
    let listed: Vec<_> =
        listed.try_collect().await.doing(|| format!("reading the neighbours of {}", of.name))?;
    Ok(listed.into_iter().filter(|message| message.header.ifindex == of.eth0).collect())
}

fn read(message: &NeighbourMessage) -> Option<Neighbour> {
    let address = message.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::Destination(address) = attribute else { return None };
        if let NeighbourAddress::Inet(address) = address {
            Some(IpAddr::V4(*address))
        } else if let NeighbourAddress::Inet6(address) = address {
            Some(IpAddr::V6(*address))
        } else {
            None
        }
    })?;
    let mac = message.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(bytes) = attribute else { return None };
        Some(MacAddr::from(<[u8; 6]>::try_from(bytes.as_slice()).ok()?))
    });
    Some(Neighbour { address, mac, state: message.header.state })
}

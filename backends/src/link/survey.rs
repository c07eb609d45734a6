//! Which links this host has, looked up twice a second.

use std::{collections::BTreeMap, io, thread, time::Duration};

use ipnet::IpNet;
use pnet::datalink::{self, NetworkInterface};
use porter_core::{Link, LinkName};
use tokio::sync::watch;

/// How often the links are looked up.
const EVERY: Duration = Duration::from_millis(500);

/// All links of this host that can carry Ethernet frames and ARP.
pub(crate) type Survey = BTreeMap<LinkName, Seen>;

/// A link as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    /// The number by which the kernel knows it: a link that is made again under its old name has
    /// another one.
    pub(crate) index: u32,
    pub(crate) link: Link,
}

/// Goes on looking, in the network namespace of the calling thread, until the receiver is dropped.
/// Every look is sent, changed or not.
pub(crate) fn start() -> io::Result<watch::Receiver<Survey>> {
    let (sender, receiver) = watch::channel(look().unwrap_or_default());
    thread::Builder::new().name("survey".into()).spawn(move || {
        while !sender.is_closed() {
            thread::sleep(EVERY);
            if let Some(survey) = look() {
                sender.send_replace(survey);
            }
        }
    })?;
    Ok(receiver)
}

/// The links now, or `None` if they could not be listed.
fn look() -> Option<Survey> {
    // There is always a loopback link: a list without any link is a failure that was not told.
    let interfaces = Some(datalink::interfaces()).filter(|interfaces| !interfaces.is_empty())?;
    let mut survey = Survey::new();
    for interface in &interfaces {
        if let Some((name, seen)) = see(interface) {
            survey.insert(name, seen);
        }
    }
    // An address with a label of its own (`eth0:1`) is listed as if it were a link of that name.
    for labelled in interfaces.iter().filter(|interface| interface.mac.is_none()) {
        let name = labelled.name.split(':').next().and_then(LinkName::new);
        if let Some(seen) = name.and_then(|name| survey.get_mut(&name)) {
            seen.link.addresses.extend(addresses(labelled));
        }
    }
    Some(survey)
}

fn see(interface: &NetworkInterface) -> Option<(LinkName, Seen)> {
    let mac = interface.mac.filter(|mac| mac.is_unicast() && !mac.is_zero())?;
    let speaks_arp = interface.flags & libc::IFF_NOARP.cast_unsigned() == 0;
    // An index of zero: it was gone before its index could be asked for.
    if interface.is_loopback()
        || interface.is_point_to_point()
        || !speaks_arp
        || interface.index == 0
    {
        return None;
    }
    let carrier = interface.is_up() && interface.is_running();
    let link = Link { mac, addresses: addresses(interface).collect(), carrier };
    Some((LinkName::new(&interface.name)?, Seen { index: interface.index, link }))
}

fn addresses(interface: &NetworkInterface) -> impl Iterator<Item = IpNet> + '_ {
    // A prefix of zero stands for a netmask that could not be read; every address would be beside
    // this one.
    let known = interface.ips.iter().filter(|ip| ip.prefix() > 0);
    known.filter_map(|ip| IpNet::new(ip.ip(), ip.prefix()).ok())
}

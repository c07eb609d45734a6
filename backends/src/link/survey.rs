//! Which links this host has, looked up whenever the kernel says that something changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, thread,
    time::Duration,
};

use ipnet::IpNet;
use pnet::datalink::{self, NetworkInterface};
use porter_core::{Link, LinkName};
use tokio::{
    runtime, select,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::kernel::{Gateways, Kernel};

/// How often the links are looked up though nothing was told: the kernel drops what nobody hears.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often a survey is sent though nothing was looked up: what failed is tried again then.
const BEAT: Duration = Duration::from_secs(1);
/// How soon, at the earliest, the links are looked up again: changes come in flocks.
const PAUSE: Duration = Duration::from_millis(20);

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
pub(crate) fn start() -> io::Result<watch::Receiver<Survey>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let kernel = {
        let _within = runtime.enter();
        Kernel::open()?
    };
    // What changes after the kernel was listened to is told; what was before is seen now.
    let (sender, receiver) = watch::channel(look(&Gateways::new()).unwrap_or_default());
    thread::Builder::new()
        .name("survey".into())
        .spawn(move || runtime.block_on(survey(kernel, &sender)))?;
    Ok(receiver)
}

async fn survey(mut kernel: Kernel, sender: &watch::Sender<Survey>) {
    let mut gateways = Gateways::new();
    let mut reads_routes = true;
    loop {
        if reads_routes && let Ok(read) = kernel.gateways().await {
            gateways = read;
        }
        if let Some(survey) = look(&gateways) {
            sender.send_replace(survey);
        }
        sleep(PAUSE).await;
        let look_at = Instant::now() + LOOK_EVERY;
        reads_routes = loop {
            select! {
                news = kernel.changed() => break news.gateways,
                () = sleep_until(look_at) => break true,
                () = sleep(BEAT) => sender.send_modify(|_| {}),
                () = sender.closed() => return,
            }
        };
    }
}

/// The links now, or `None` if they could not be listed.
fn look(gateways: &Gateways) -> Option<Survey> {
    let interfaces = datalink::interfaces();
    // There is always a loopback link: a list without any link is a failure that was not told.
    (!interfaces.is_empty()).then(|| read(&interfaces, gateways))
}

fn read(interfaces: &[NetworkInterface], gateways: &Gateways) -> Survey {
    let mut survey: Survey = interfaces.iter().filter_map(see).collect();
    for seen in survey.values_mut() {
        seen.link.gateways = gateways.get(&seen.index).cloned().unwrap_or_default();
    }
    // An address with a label of its own (`eth0:1`) is listed as if it were a link of that name.
    for labelled in interfaces.iter().filter(|interface| interface.mac.is_none()) {
        let name = labelled.name.split(':').next().and_then(LinkName::new);
        if let Some(seen) = name.and_then(|name| survey.get_mut(&name)) {
            seen.link.addresses.extend(addresses(labelled));
        }
    }
    survey
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
    let addresses = addresses(interface).collect();
    let link = Link { mac, addresses, gateways: BTreeSet::new(), carrier };
    Some((LinkName::new(&interface.name)?, Seen { index: interface.index, link }))
}

fn addresses(interface: &NetworkInterface) -> impl Iterator<Item = IpNet> + '_ {
    // A prefix of zero stands for a netmask that could not be read; every address would be beside
    // this one.
    let known = interface.ips.iter().filter(|ip| ip.prefix() > 0);
    known.filter_map(|ip| IpNet::new(ip.ip(), ip.prefix()).ok())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use pnet::ipnetwork::{IpNetwork, Ipv4Network};
    use porter_core::MacAddr;

    use super::*;

    const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
    const UP: i32 = libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_BROADCAST;

    fn interface(
        name: &str,
        mac: Option<MacAddr>,
        flags: i32,
        ips: &[(u8, u8)],
    ) -> NetworkInterface {
        let ip = |&(last, prefix)| {
            let network = Ipv4Network::new(Ipv4Addr::new(172, 22, 0, last), prefix);
            IpNetwork::V4(network.expect("a good prefix"))
        };
        NetworkInterface {
            name: name.into(),
            description: String::new(),
            index: 7,
            mac,
            ips: ips.iter().map(ip).collect(),
            flags: flags.cast_unsigned(),
        }
    }

    fn links(interfaces: &[NetworkInterface]) -> Vec<(String, Link)> {
        let gateways = [(7, [Ipv4Addr::new(172, 22, 0, 1).into()].into())].into();
        let survey = read(interfaces, &gateways).into_iter();
        survey.map(|(name, seen)| (name.to_string(), seen.link)).collect()
    }

    #[test]
    fn only_what_carries_ethernet_and_arp_is_a_link() {
        let none = [
            interface("lo", Some(MacAddr::zero()), UP | libc::IFF_LOOPBACK, &[(1, 8)]),
            interface("dummy", Some(MAC), UP | libc::IFF_NOARP, &[]),
            interface("ppp0", Some(MAC), UP | libc::IFF_POINTOPOINT, &[]),
            interface("tun0", None, UP, &[(9, 24)]),
            NetworkInterface { index: 0, ..interface("gone", Some(MAC), UP, &[]) },
        ];
        assert_eq!(links(&none), []);
    }

    #[test]
    fn carrier_needs_a_link_that_is_up_and_runs() {
        for (flags, carrier) in [(UP, true), (libc::IFF_UP, false), (libc::IFF_RUNNING, false)] {
            let [(_, link)] = &links(&[interface("eth0", Some(MAC), flags, &[])])[..] else {
                panic!("there is one link");
            };
            assert_eq!(link.carrier, carrier, "{flags:#x}");
        }
    }

    #[test]
    fn an_address_with_a_label_belongs_to_its_link_and_one_without_a_mask_to_none() {
        let seen = links(&[
            interface("eth0", Some(MAC), UP, &[(3, 24), (4, 0)]),
            interface("eth0:1", None, UP, &[(5, 24)]),
        ]);
        let nets = ["172.22.0.3/24", "172.22.0.5/24"].map(|net| net.parse().expect("a net"));
        let gateways = [Ipv4Addr::new(172, 22, 0, 1).into()].into();
        let link = Link { mac: MAC, addresses: nets.to_vec(), gateways, carrier: true };
        assert_eq!(seen, [("eth0".into(), link)]);
    }
}

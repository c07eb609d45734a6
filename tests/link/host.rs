//! Another host on the LAN, with a kernel's neighbour cache: a network namespace at the far end of
//! a cable.

use std::{
    env,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    panic,
    process::Command,
    thread,
    time::Duration,
};

use futures::TryStreamExt;
use pnet::datalink::{self, Channel};
use porter_core::MacAddr;
use rtnetlink::{
    Handle, LinkBridge, LinkMacVlan, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
        link::MacVlanMode,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
        route::{RouteMessage, RouteScope},
    },
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use tokio::time;

use crate::apart::unshare;

/// How long to wait for what comes soon.
pub(crate) const SOON: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(10);
const PREFIX: u8 = 24;
const PREFIX_V6: u8 = 64;
/// The name of every other host's only link.
const LINK: &str = "eth0";

/// One end of a cable on this side: a link in the network namespace of the test.
pub(crate) struct Cable {
    netlink: Handle,
    index: u32,
}

/// A host at the other end of a cable.
pub(crate) struct Host {
    pub(crate) mac: MacAddr,
    namespace: File,
    pub(crate) netlink: Handle,
    pub(crate) index: u32,
}

/// Makes a host with `far` as its address, at the end of a cable whose other end is the link `name`
/// here, with `near` as its address and `mac` as its MAC.
pub(crate) async fn plug_in(name: &str, mac: MacAddr, near: IpAddr, far: IpAddr) -> (Cable, Host) {
    let namespace = on_a_thread(|| {
        unshare(UnshareFlags::NEWNET).expect("the test may make namespaces, being in one");
        File::open("/proc/thread-self/ns/net").expect("a thread has a network namespace")
    });
    let here = netlink();
    let there = visit(&namespace, netlink);

    let veth = LinkVeth::new(name, "far").address(mac.octets().to_vec()).build();
    here.link().add(veth).execute().await.expect("a veth pair can be made");
    let far_end = index(&here, "far").await;
    let moved = LinkUnspec::new_with_index(far_end).name(LINK);
    let moved = moved.setns_by_fd(namespace.as_raw_fd()).build();
    here.link().set(moved).execute().await.expect("a link can be moved to another namespace");

    let (near_end, far_end) = (index(&here, name).await, index(&there, LINK).await);
    for (netlink, index, address) in [(&here, near_end, near), (&there, far_end, far)] {
        let added = netlink.address().add(index, address, PREFIX).execute().await;
        added.expect("a link can get an address");
        set(netlink, LinkUnspec::new_with_index(index).up()).await;
    }
    let far_mac = visit(&namespace, || {
        datalink::interfaces().into_iter().find(|link| link.name == LINK).and_then(|link| link.mac)
    });
    let host =
        Host { mac: far_mac.expect("a veth has a MAC"), namespace, netlink: there, index: far_end };
    (Cable { netlink: here, index: near_end }, host)
}

impl Cable {
    /// Gives the link here an address of IPv6, without asking whether anybody has it.
    pub(crate) async fn give(&self, address: Ipv6Addr) {
        self.give_at("eth0", address).await;
    }

    /// The same, where the link here has another name.
    pub(crate) async fn give_at(&self, name: &str, address: Ipv6Addr) {
        detect_duplicates(name, false);
        own(&self.netlink, self.index, address).await;
    }

    /// Gives the loopback link here an address of IPv6.
    pub(crate) async fn give_loopback(&self, address: Ipv6Addr) {
        let index = index(&self.netlink, "lo").await;
        set(&self.netlink, LinkUnspec::new_with_index(index).up()).await;
        own(&self.netlink, index, address).await;
    }

    pub(crate) async fn up(&self) {
        set(&self.netlink, LinkUnspec::new_with_index(self.index).up()).await;
    }

    pub(crate) async fn down(&self) {
        set(&self.netlink, LinkUnspec::new_with_index(self.index).down()).await;
    }

    pub(crate) async fn change_mac(&self, mac: MacAddr) {
        let link = LinkUnspec::new_with_index(self.index).address(mac.octets().to_vec());
        set(&self.netlink, link).await;
    }

    /// Gives the link here another name, for which it must be down for a moment.
    pub(crate) async fn rename(&self, name: &str) {
        self.down().await;
        set(&self.netlink, LinkUnspec::new_with_index(self.index).name(name)).await;
        self.up().await;
    }

    /// Makes the link here a port of a new bridge, which is up.
    pub(crate) async fn plug_into_bridge(&self, name: &str) {
        let bridge = LinkBridge::new(name).build();
        self.netlink.link().add(bridge).execute().await.expect("a bridge can be made");
        let bridge = index(&self.netlink, name).await;
        set(&self.netlink, LinkUnspec::new_with_index(self.index).controller(bridge)).await;
    }

    pub(crate) async fn unplug_from_bridge(&self) {
        set(&self.netlink, LinkUnspec::new_with_index(self.index).nocontroller()).await;
    }

    /// Makes another interface that hears what arrives here for its own MAC and for all.
    pub(crate) async fn add_macvlan(&self, name: &str, mac: MacAddr) {
        let leaf = LinkMacVlan::new(name, self.index, MacVlanMode::Bridge);
        let leaf = leaf.address(mac.octets().to_vec()).up().build();
        self.netlink.link().add(leaf).execute().await.expect("a macvlan can be made");
    }

    /// Switches ARP on or off.
    pub(crate) async fn arp(&self, on: bool) {
        set(&self.netlink, LinkUnspec::new_with_index(self.index).arp(on)).await;
    }

    /// Makes a gateway the way to everywhere.
    pub(crate) async fn route_by(&self, gateway: Ipv4Addr) {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        self.netlink.route().add(route).execute().await.expect("a gateway is on the link");
    }

    /// Makes the link here the way to an address.
    pub(crate) async fn route_to(&self, address: IpAddr) {
        let added = self.netlink.route().add(self.route(address)).execute().await;
        added.expect("a link can be a way");
    }

    pub(crate) async fn forget_route_to(&self, address: IpAddr) {
        let removed = self.netlink.route().del(self.route(address)).execute().await;
        removed.expect("it was made before");
    }

    fn route(&self, address: IpAddr) -> RouteMessage {
        let IpAddr::V4(address) = address else { panic!("{address} is no IPv4 address") };
        let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32);
        route.output_interface(self.index).scope(RouteScope::Link).build()
    }

    /// Removes the link here, and with it the link of the host.
    pub(crate) async fn tear(self) {
        self.netlink.link().del(self.index).execute().await.expect("a link can be removed");
    }
}

impl Host {
    /// Gives it an address of IPv6, without asking whether anybody has it.
    pub(crate) async fn give(&self, address: Ipv6Addr) {
        visit(&self.namespace, || detect_duplicates(LINK, false));
        own(&self.netlink, self.index, address).await;
    }

    /// Has it ask, before it uses an address of IPv6, whether anybody has it.
    pub(crate) fn doubt(&self) {
        visit(&self.namespace, || detect_duplicates(LINK, true));
    }

    /// Runs a program there, if there is one. Returns what it printed, and whether it succeeded.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Option<(String, bool)> {
        visit(&self.namespace, || match Command::new(program).args(arguments).output() {
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                Some((String::from_utf8_lossy(&text).into_owned(), output.status.success()))
            }
            Err(error) => {
                assert!(env::var_os("CI").is_none(), "CI has to provide {program}: {error}");
                None
            }
        })
    }

    /// Makes the kernel ask who has an address, by sending something there.
    pub(crate) fn ask(&self, address: IpAddr) {
        visit(&self.namespace, || {
            let any: IpAddr = match address {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).expect("a port is free");
            // The kernel may say that nobody has it; it has asked then.
            let _ = socket.send_to(&[0], (address, 9));
        });
    }

    /// The MAC that the kernel has in its neighbour cache for an address.
    pub(crate) async fn neighbour(&self, address: IpAddr) -> Option<MacAddr> {
        let family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        let listed = self.netlink.neighbours().get().set_address_family(family);
        let listed: Vec<NeighbourMessage> =
            listed.execute().try_collect().await.expect("a kernel lists its neighbours");
        let mut here = listed.into_iter().filter(|entry| entry.header.ifindex == self.index);
        here.find_map(|entry| mac_of(&entry, address))
    }

    /// Waits until the kernel has the address at this MAC, and goes on asking meanwhile.
    pub(crate) async fn learns(&self, address: IpAddr, mac: MacAddr) {
        self.ask(address);
        let learning = eventually(async || self.neighbour(address).await == Some(mac));
        assert!(learning.await, "{address} is at {:?}", self.neighbour(address).await);
    }

    /// Takes an address out of the kernel's neighbour cache.
    pub(crate) async fn forgets(&self, address: IpAddr) {
        let listed = self.netlink.neighbours().get().set_address_family(AddressFamily::Inet);
        let listed: Vec<NeighbourMessage> =
            listed.execute().try_collect().await.expect("a kernel lists its neighbours");
        for entry in listed.into_iter().filter(|entry| mac_of(entry, address).is_some()) {
            let removed = self.netlink.neighbours().del(entry).execute().await;
            removed.expect("a neighbour can be forgotten");
        }
    }

    /// Does something in its namespace, on a thread that ends afterwards.
    pub(crate) fn visit<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        visit(&self.namespace, work)
    }

    /// Puts frames on the LAN as they are.
    pub(crate) fn send(&self, frames: &[&[u8]]) {
        visit(&self.namespace, || {
            let interfaces = datalink::interfaces();
            let link = interfaces.iter().find(|link| link.name == LINK).expect("it is plugged in");
            let channel = datalink::channel(link, datalink::Config::default());
            let Ok(Channel::Ethernet(mut sender, _)) = channel else {
                panic!("a packet socket can be opened")
            };
            for frame in frames {
                let sent = sender.send_to(frame, None).expect("a link takes a frame");
                sent.expect("a link that is up sends");
            }
        });
    }

    pub(crate) async fn down(&self) {
        set(&self.netlink, LinkUnspec::new_with_index(self.index).down()).await;
    }
}

/// Waits until something holds. `false`: it did not, for longer than any machine takes.
pub(crate) async fn eventually(holds: impl AsyncFn() -> bool) -> bool {
    let waiting = time::timeout(SOON, async {
        while !holds().await {
            time::sleep(GLANCE).await;
        }
    });
    waiting.await.is_ok()
}

/// Whether a link asks for its addresses of IPv6 before it uses them.
fn detect_duplicates(link: &str, detect: bool) {
    let key = format!("/proc/sys/net/ipv6/conf/{link}/accept_dad");
    let value = if detect { "1" } else { "0" };
    fs::write(&key, value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

/// Gives a link an address, and waits until the kernel takes what is sent there: it says that the address
/// is added before a worker of its own makes it good.
async fn own(netlink: &Handle, index: u32, address: Ipv6Addr) {
    let added = netlink.address().add(index, address.into(), PREFIX_V6).execute().await;
    added.expect("a link can get an address");
    let good = async || {
        let listed = netlink.address().get().set_link_index_filter(index);
        let listed: Vec<AddressMessage> =
            listed.execute().try_collect().await.expect("a kernel lists its addresses");
        let wanted = AddressAttribute::Address(address.into());
        let mut good =
            listed.iter().filter(|it| !it.header.flags.contains(AddressHeaderFlags::Tentative));
        good.any(|it| it.attributes.contains(&wanted))
    };
    assert!(eventually(good).await, "{address} is still tentative");
}

fn mac_of(entry: &NeighbourMessage, address: IpAddr) -> Option<MacAddr> {
    let wanted = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    let wanted = NeighbourAttribute::Destination(wanted);
    let mut attributes = entry.attributes.iter();
    entry.attributes.contains(&wanted).then_some(())?;
    attributes.find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(bytes) = attribute else { return None };
        Some(MacAddr::from(<[u8; 6]>::try_from(bytes.as_slice()).ok()?))
    })
}

fn netlink() -> Handle {
    let (connection, handle, _) = rtnetlink::new_connection().expect("netlink is there");
    tokio::spawn(connection);
    handle
}

async fn index(netlink: &Handle, name: &str) -> u32 {
    let mut links = netlink.link().get().match_name(name).execute();
    let link = links.try_next().await.expect("links can be listed").expect("it was just made");
    link.header.index
}

async fn set(netlink: &Handle, change: rtnetlink::LinkMessageBuilder<LinkUnspec>) {
    netlink.link().set(change.build()).execute().await.expect("a link can be changed");
}

/// Does something in another namespace, on a thread that ends afterwards.
fn visit<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    let runtime = tokio::runtime::Handle::current();
    on_a_thread(|| {
        let _entered = runtime.enter();
        let network = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), network)
            .expect("a namespace of our own can be entered");
        work()
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

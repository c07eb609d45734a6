//! The LAN: a cable from this namespace's `eth0` to another namespace, in which one thread is every
//! other host. It answers for the nodes, notes what is announced, and asks as a client does.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use pnet::{
    datalink::{self, Channel, DataLinkReceiver, DataLinkSender},
    util::MacAddr,
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use rustix::thread::UnshareFlags;
use tokio::runtime::Runtime;

use crate::{
    cage,
    objects::{OWN, node_address},
};

const LINK: &str = "eth0";
/// The length of the LAN's prefix.
const PREFIX: u8 = 16;
/// Who asks for EIPs.
const CLIENT: (Ipv4Addr, MacAddr) = (Ipv4Addr::new(172, 22, 63, 1), MacAddr(2, 0, 0, 0xff, 0, 1));
/// How many questions are put on the wire at once.
const BURST: usize = 100;

/// The far end of the cable.
pub(crate) struct Far {
    lan: Arc<Mutex<Lan>>,
    sender: Mutex<Box<dyn DataLinkSender>>,
}

/// What is known at the far end.
#[derive(Debug, Default)]
struct Lan {
    /// How many nodes there are, the agent's own included.
    n_nodes: u16,
    silent: BTreeSet<Ipv4Addr>,
    /// Where EIPs are, as the client was answered, and when it first was.
    answered: BTreeMap<Ipv4Addr, (MacAddr, Instant)>,
    /// Where EIPs are, as was announced, and when it first was.
    announced: BTreeMap<Ipv4Addr, (MacAddr, Instant)>,
    /// How many frames announced anything.
    n_announcements: usize,
}

/// The MAC of a node.
pub(crate) fn mac_of(node: u16) -> MacAddr {
    let [high, low] = node.to_be_bytes();
    MacAddr(2, 0, 0, 0, high, low)
}

/// Makes the LAN. The agent's end is in the namespace of this process.
pub(crate) fn plug_in() -> Result<Far, Box<dyn Error>> {
    let lan = Arc::<Mutex<Lan>>::default();
    let (namespace_in, namespace) = mpsc::channel();
    let (plugged_in, plugged) = mpsc::channel::<()>();
    let (sender_in, sender) = mpsc::channel();
    let known = lan.clone();
    thread::Builder::new().name("far".into()).spawn(move || {
        let entered = cage::unshare(UnshareFlags::NEWNET);
        let opened = entered.and_then(|()| File::open("/proc/thread-self/ns/net"));
        if namespace_in.send(opened).is_err() || plugged.recv().is_err() {
            return;
        }
        let opened = open().map(|(sender, receiver)| (sender_in.send(Ok(sender)), receiver));
        match opened {
            Ok((_, receiver)) => listen(receiver, &known),
            Err(error) => drop(sender_in.send(Err(error))),
        }
    })?;
    let namespace = namespace.recv()??;
    Runtime::new()?.block_on(lay(&namespace))?;
    plugged_in.send(())?;
    Ok(Far { lan, sender: Mutex::new(sender.recv()??) })
}

/// Lays the cable, and takes its near end into service.
async fn lay(namespace: &File) -> Result<(), Box<dyn Error>> {
    let (connection, netlink, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let own = mac_of(0).octets().to_vec();
    netlink.link().add(LinkVeth::new(LINK, "far").address(own).build()).execute().await?;
    let far = LinkUnspec::new_with_index(index(&netlink, "far").await?);
    let far = far.name(LINK).setns_by_fd(namespace.as_raw_fd()).up().build();
    netlink.link().set(far).execute().await?;
    let near = index(&netlink, LINK).await?;
    netlink.address().add(near, IpAddr::V4(OWN), PREFIX).execute().await?;
    for link in [near, index(&netlink, "lo").await?] {
        netlink.link().set(LinkUnspec::new_with_index(link).up().build()).execute().await?;
    }
    Ok(())
}

async fn index(netlink: &Handle, name: &str) -> Result<u32, Box<dyn Error>> {
    let found = netlink.link().get().match_name(name).execute().try_next().await?;
    Ok(found.ok_or_else(|| format!("no link {name}"))?.header.index)
}

fn open() -> io::Result<(Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>)> {
    let link = datalink::interfaces().into_iter().find(|link| link.name == LINK);
    let link = link.ok_or_else(|| io::Error::other("the far end of the cable is not there"))?;
    match datalink::channel(&link, datalink::Config::default())? {
        Channel::Ethernet(sender, receiver) => Ok((sender, receiver)),
        _ => Err(io::Error::other("the channel is of another type")),
    }
}

/// Hears and answers for as long as this process runs.
fn listen(mut receiver: Box<dyn DataLinkReceiver>, lan: &Mutex<Lan>) {
    let Ok((mut sender, _)) = open() else { return };
    while let Ok(frame) = receiver.next() {
        let Some(arp) = Arp::read(frame) else { continue };
        if let Some(reply) = lock(lan).handle(&arp, Instant::now()) {
            // A link that takes no frame is a node that does not answer.
            let _ = sender.send_to(&reply, None);
        }
    }
}

impl Lan {
    /// Takes in what was heard. Returns what a node answers.
    fn handle(&mut self, arp: &Arp, now: Instant) -> Option<[u8; Arp::LEN]> {
        let note = |places: &mut BTreeMap<_, _>| {
            let place = places.entry(arp.sender).or_insert((arp.mac, now));
            if place.0 != arp.mac {
                *place = (arp.mac, now);
            }
        };
        if arp.sender == arp.target {
            note(&mut self.announced);
            self.n_announcements += 1;
        } else if !arp.asks && arp.target == CLIENT.0 {
            note(&mut self.answered);
        } else if arp.asks && !self.silent.contains(&arp.target) {
            let node = arp.target.to_bits().checked_sub(OWN.to_bits())?;
            let node = u16::try_from(node).ok().filter(|node| (1..self.n_nodes).contains(node))?;
            let reply =
                Arp { asks: false, mac: mac_of(node), sender: arp.target, target: arp.sender };
            return Some(reply.emit(arp.mac));
        }
        None
    }
}

impl Far {
    /// Forgets everything; there are so many nodes from now on.
    pub(crate) fn reset(&self, n_nodes: u16) {
        *self.lan() = Lan { n_nodes, ..Lan::default() };
    }

    /// Forgets what was answered and announced.
    pub(crate) fn forget(&self) {
        let mut lan = self.lan();
        lan.answered.clear();
        lan.announced.clear();
    }

    /// Has a node answer no more.
    pub(crate) fn silence(&self, node: u16) {
        self.lan().silent.insert(node_address(node));
    }

    /// Asks for each of these until all were answered since [`Self::forget`]. Returns when the last one
    /// was, or how many were not in time.
    pub(crate) fn all_answered(
        &self,
        eips: impl Iterator<Item = Ipv4Addr> + Clone,
        within: Duration,
    ) -> Result<Instant, String> {
        let began = Instant::now();
        loop {
            let missing: Vec<_> = {
                let lan = self.lan();
                eips.clone().filter(|eip| !lan.answered.contains_key(eip)).collect()
            };
            if missing.is_empty() {
                let lan = self.lan();
                return Ok(lan.answered.values().map(|(_, at)| *at).max().unwrap_or(began));
            }
            if began.elapsed() > within {
                return Err(format!(
                    "{} EIPs are not answered, {:?} first",
                    missing.len(),
                    missing[0]
                ));
            }
            // Not all at once: whom the agent answers late it remembers, and who is last is asked often.
            let some = missing.len().div_ceil(5 * BURST).max(1);
            let turn = usize::try_from(began.elapsed().as_millis() / 100).unwrap_or(0) % some;
            for burst in missing.chunks(5 * BURST).nth(turn).unwrap_or_default().chunks(BURST) {
                for &eip in burst {
                    self.ask(eip);
                }
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, target: Ipv4Addr) {
        let (sender, mac) = CLIENT;
        let frame = Arp { asks: true, mac, sender, target }.emit(MacAddr::broadcast());
        // What was not sent is not answered, and asked again.
        let _ = self.sender.lock().unwrap_or_else(PoisonError::into_inner).send_to(&frame, None);
    }

    /// Where EIPs were announced to be, and when first.
    pub(crate) fn announced(&self) -> BTreeMap<Ipv4Addr, (MacAddr, Instant)> {
        self.lan().announced.clone()
    }

    /// Waits until announcements are no longer repeated: what is refreshed now and then is less than
    /// a frame for every fifth EIP in five seconds.
    pub(crate) fn calm(&self, n_eips: usize) {
        const SPAN: Duration = Duration::from_secs(5);
        loop {
            let before = self.lan().n_announcements;
            thread::sleep(SPAN);
            if self.lan().n_announcements - before < n_eips.max(100) / 5 {
                return;
            }
        }
    }

    /// How many EIPs were announced since [`Self::forget`].
    pub(crate) fn n_announced(&self) -> usize {
        self.lan().announced.len()
    }

    fn lan(&self) -> MutexGuard<'_, Lan> {
        lock(&self.lan)
    }
}

fn lock(lan: &Mutex<Lan>) -> MutexGuard<'_, Lan> {
    lan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What matters of an ARP packet (RFC 826).
#[derive(Debug)]
struct Arp {
    asks: bool,
    mac: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
}

impl Arp {
    const LEN: usize = 42;

    fn read(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; Self::LEN] = frame.first_chunk()?;
        let is_arp = frame[12..20] == [0x08, 0x06, 0, 1, 0x08, 0, 6, 4];
        let address =
            |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
        let mac = MacAddr(frame[22], frame[23], frame[24], frame[25], frame[26], frame[27]);
        is_arp.then(|| Self { asks: frame[21] == 1, mac, sender: address(28), target: address(38) })
    }

    fn emit(&self, to: MacAddr) -> [u8; Self::LEN] {
        let mut frame = [0; Self::LEN];
        frame[..6].copy_from_slice(&to.octets());
        frame[6..12].copy_from_slice(&self.mac.octets());
        frame[12..20].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4]);
        frame[21] = if self.asks { 1 } else { 2 };
        frame[22..28].copy_from_slice(&self.mac.octets());
        frame[28..32].copy_from_slice(&self.sender.octets());
        if !self.asks {
            frame[32..38].copy_from_slice(&to.octets());
        }
        frame[38..].copy_from_slice(&self.target.octets());
        frame
    }
}

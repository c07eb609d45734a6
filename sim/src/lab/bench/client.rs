//! A client that sends a packet every 5 ms and notes which are answered.
//!
//! Its kernel decides where they go, as with any client. One that is answered tells its kernel so
//! with the next packet, as TCP does, so that an entry in use is not doubted. One that is *fresh*
//! forgets where the address is whenever it was answered: each packet is the first of a client that
//! has to ask. One that is not answered is given up for the next after 20 ms.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
};
use rustix::net::{SendFlags, sendto};
use tokio::runtime::Handle;

use crate::lab::{
    error::{Doing, Error},
    station::Station,
};

/// How often a packet is sent.
pub(crate) const INTERVAL: Duration = Duration::from_millis(5);
/// An answer that takes longer was no use to anybody.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);
/// How long a fresh client waits before the next one asks.
const NEXT_CLIENT_AFTER: Duration = Duration::from_millis(20);
/// How soon the threads notice that they should end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// When a packet was sent, and when it was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) sent_at: Instant,
    pub(crate) answered_at: Option<Instant>,
}

impl Packet {
    /// Whether it was answered in time.
    pub(crate) fn answered(&self) -> bool {
        self.answered_at.is_some_and(|at| at - self.sent_at <= PATIENCE)
    }
}

/// A client that sends until it is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    packets: Mutex<Vec<Packet>>,
    /// How many packets were answered.
    answers: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn packets(&self) -> MutexGuard<'_, Vec<Packet>> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has printed why.
            let _ = thread.join();
        }
    }
}

impl Client {
    /// Begins to send from a station.
    pub(crate) fn start(from: &Station, to: SocketAddrV4, fresh: bool) -> Result<Self, Error> {
        let socket = from.namespace.visit(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        let opening = || format!("opening a socket on {}", from.name);
        let socket = socket.doing(opening)?;
        socket.set_read_timeout(Some(LOOK_EVERY)).doing(opening)?;
        let receiving = socket.try_clone().doing(opening)?;
        let shared = Arc::<Shared>::default();
        let forgetting = fresh.then(|| Forgetting::new(from, *to.ip()));
        let (sends, receives) = (shared.clone(), shared.clone());
        let threads = vec![
            thread::spawn(move || {
                come_first();
                send(&socket, to, forgetting.as_ref(), &sends);
            }),
            thread::spawn(move || {
                come_first();
                receive(&receiving, &receives);
            }),
        ];
        Ok(Self { shared, threads })
    }

    /// What was sent so far.
    pub(crate) fn packets(&self) -> Vec<Packet> {
        self.shared.packets().clone()
    }
}

/// Lets this thread run before others, as far as it may: what the client is late for itself it would
/// take for an outage.
fn come_first() {
    let _ = rustix::process::setpriority_process(None, -20);
}

/// Makes a kernel forget one neighbour, again and again.
struct Forgetting {
    netlink: rtnetlink::Handle,
    message: NeighbourMessage,
    runtime: Handle,
}

impl Forgetting {
    fn new(from: &Station, address: Ipv4Addr) -> Self {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = from.eth0;
        let destination = NeighbourAddress::Inet(address);
        message.attributes.push(NeighbourAttribute::Destination(destination));
        Self { netlink: from.netlink.clone(), message, runtime: Handle::current() }
    }

    fn forget(&self) {
        let deleted = self.netlink.neighbours().del(self.message.clone()).execute();
        // There is none to forget if the last request was not answered and is over.
        let _ = self.runtime.block_on(deleted);
    }
}

fn send(socket: &UdpSocket, to: SocketAddrV4, fresh: Option<&Forgetting>, shared: &Shared) {
    let (mut due_at, mut answers) = (Instant::now(), 0);
    let mut fresh_at: Option<Instant> = None;
    for number in 0_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let answered = shared.answers.load(Ordering::Relaxed);
        if let Some(fresh) = fresh
            && (answered > answers || fresh_at.is_none_or(|at| at.elapsed() >= NEXT_CLIENT_AFTER))
        {
            fresh.forget();
            fresh_at = Some(Instant::now());
        }
        let flags = match answered > answers && fresh.is_none() {
            true => SendFlags::CONFIRM,
            false => SendFlags::empty(),
        };
        answers = answered;
        shared.packets().push(Packet { sent_at: Instant::now(), answered_at: None });
        // That a host is unreachable is told for an earlier packet, and is what is measured.
        let _ = sendto(socket, &number.to_be_bytes(), flags, &to);
        let now = Instant::now();
        due_at = (due_at + INTERVAL).max(now);
        thread::sleep(due_at - now);
    }
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 8];
    while !shared.stop.load(Ordering::Relaxed) {
        let received: io::Result<_> = socket.recv_from(&mut buffer);
        let now = Instant::now();
        if let (Ok((8, _)), Ok(number)) = (received, usize::try_from(u64::from_be_bytes(buffer)))
            && let Some(packet) = shared.packets().get_mut(number)
        {
            packet.answered_at.get_or_insert(now);
            shared.answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

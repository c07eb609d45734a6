//! Traffic that is none of our business: what a responder on the same link costs it.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use porter_backends::port::Links as _;
use porter_core::{Generation, LinkName, MacAddr, wire};
use tokio::task;

use crate::{
    cpu::{self, Cpus, Placement, Thread},
    host::{self, Cable, Host},
    questions::Family,
    responder::{Result, beside, listening, silenced},
    table::{median, ratio},
};

const LINK: &str = "bulk0";
const NEAR: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(172, 23, 0, 1), Ipv6Addr::new(0xfd00, 23, 0, 0, 0, 0, 0, 1));
const FAR: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(172, 23, 0, 2), Ipv6Addr::new(0xfd00, 23, 0, 0, 0, 0, 0, 2));
const N_EIPS: usize = 256;
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const CHUNK: usize = 64 << 10;

/// A cable through which much is sent.
pub(crate) struct Bulk {
    _cable: Cable,
    host: Arc<Host>,
}

/// What came through in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    bytes_per_second: f64,
    frames_per_second: f64,
    frames: f64,
    /// CPU of everything in this process, in seconds.
    cpu: f64,
    /// The part of it that the agent's own threads have, in seconds.
    agent: f64,
}

/// All rounds: without an agent, and with one, side by side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<[Sample; 2]>);

impl Bulk {
    pub(crate) async fn new() -> Result<Self> {
        let mac = MacAddr(2, 0, 0, 0, 0, 0x23);
        let (cable, host) = host::plug_in(LINK, mac, NEAR.0.into(), FAR.0.into()).await;
        // One side at a time: each waits until its address is good.
        cable.give_at(LINK, NEAR.1).await;
        host.give(FAR.1).await;
        host.visit(|| offloads_off("eth0"))?;
        offloads_off(LINK)?;
        Ok(Self { _cable: cable, host: Arc::new(host) })
    }

    /// One more round: first without an agent, then with one.
    pub(crate) async fn measure(
        &self,
        rounds: &mut Rounds,
        family: Family,
        cpus: Cpus,
        span: Duration,
    ) -> Result<()> {
        let send = {
            let host = Arc::clone(&self.host);
            move || send(&host, family, cpus, span)
        };
        let without = task::spawn_blocking(send.clone()).await??;
        let link = LinkName::new(LINK).ok_or("a bad name")?;
        let mut lan = listening(link).await?;
        let eips = Family::BOTH.into_iter().flat_map(|family| family.eips(0..N_EIPS));
        let eips: Vec<_> = eips.collect();
        for eip in &eips {
            if let IpAddr::V6(eip) = eip {
                lan.join(link, wire::solicited_node(*eip));
            }
        }
        let answers = eips.into_iter().map(|eip| (link, eip, Ok(NODE))).collect();
        lan.publish(Arc::new(answers), Generation(1));
        silenced(&mut lan, Generation(1)).await?;
        let with = beside(&mut lan, &mut task::spawn_blocking(send)).await??;
        rounds.0.push([without, with]);
        Ok(())
    }
}

/// Sends from the host to here for so long.
fn send(host: &Host, family: Family, cpus: Cpus, span: Duration) -> Result<Sample> {
    let address: IpAddr = match family {
        Family::V4 => NEAR.0.into(),
        Family::V6 => NEAR.1.into(),
    };
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    let mut sender = host.visit(|| TcpStream::connect((address, port)))?;
    let (mut receiver, _) = listener.accept()?;
    let agent = [Thread::named("arp ")?, Thread::named("survey")?].concat();
    let ran = || agent.iter().map(|thread| thread.ran()).sum::<io::Result<Duration>>();
    let (cpu, agents, frames) = (cpu::process(), ran()?, n_frames()?);
    let began_at = Instant::now();
    let sending = thread::spawn(move || -> io::Result<()> {
        cpus.ask(Placement::Two)?;
        let chunk = vec![0; CHUNK];
        while began_at.elapsed() < span {
            sender.write_all(&chunk)?;
        }
        Ok(())
    });
    cpus.answer(Placement::Two, None)?;
    let mut buffer = vec![0; CHUNK];
    let mut n_bytes = 0;
    loop {
        match receiver.read(&mut buffer)? {
            0 => break,
            n => n_bytes += n,
        }
    }
    let took = began_at.elapsed();
    sending.join().map_err(|_| "the sender panicked")??;
    let frames = n_frames()? - frames;
    Ok(Sample {
        bytes_per_second: n_bytes as f64 / took.as_secs_f64(),
        frames_per_second: frames / took.as_secs_f64(),
        frames,
        cpu: (cpu::process() - cpu).as_secs_f64(),
        agent: (ran()? - agents).as_secs_f64(),
    })
}

/// How many frames have arrived here or left.
fn n_frames() -> Result<f64> {
    let told = fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = told.lines().find_map(|line| line.trim().strip_prefix("bulk0:"));
    let numbers: Vec<f64> =
        line.ok_or("no such link")?.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    Ok(numbers.get(1).zip(numbers.get(9)).map_or(0.0, |(received, sent)| received + sent))
}

/// Has the link carry every frame as it is on a wire.
fn offloads_off(link: &str) -> io::Result<()> {
    // linux/ethtool.h: ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO.
    [0x1f, 0x24, 0x2c].into_iter().try_for_each(|command| switch_off(link, command))
}

#[expect(unsafe_code, reason = "no wrapper knows the ioctls of ethtool")]
fn switch_off(link: &str, command: u32) -> io::Result<()> {
    /// `ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .or_else(|_| std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    let mut value = Value { command, data: 0 };
    // SAFETY: all of it may be zeros.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request names a link, closed by zero, and points to a value that outlives the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first line of a table of rounds.
pub(crate) const HEAD: &str = "FAMILY   MB/s WITHOUT   WITH  RATIO   M FRAMES/s  \
                               CPU s PER M FRAMES WITHOUT   WITH   AGENT'S ms PER M FRAMES";

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |who: usize, value: fn(&Sample) -> f64| {
            median(self.0.iter().map(move |round| value(&round[who])))
        };
        let rates = self.0.iter().map(|[a, b]| (a.bytes_per_second, b.bytes_per_second));
        let bytes: fn(&Sample) -> f64 = |it| it.bytes_per_second / 1e6;
        let cpu: fn(&Sample) -> f64 = |it| it.cpu / (it.frames / 1e6);
        write!(
            f,
            "{:>13.0}{:>7.0}{:>7.2}{:>13.2}{:>28.3}{:>7.3}{:>26.3}",
            of(0, bytes),
            of(1, bytes),
            ratio(rates),
            of(1, |it| it.frames_per_second / 1e6),
            of(0, cpu),
            of(1, cpu),
            of(1, |it| it.agent * 1e3 / (it.frames / 1e6)),
        )
    }
}

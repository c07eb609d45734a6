//! Asks a host for an ICMP echo, and shows what came of it as `ping` does.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use pnet::packet::{
    Packet as _,
    icmp::{
        self, IcmpPacket, IcmpTypes,
        echo_reply::EchoReplyPacket,
        echo_request::{IcmpCodes, MutableEchoRequestPacket},
    },
    ipv4::Ipv4Packet,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    error::{Doing, Error},
    station::Station,
};

/// The data of a request, as in `ping`'s "56(84) bytes of data".
const DATA_LEN: usize = 56;
/// The header of an echo request or reply.
const HEADER_LEN: usize = 8;

/// What came of a series of echo requests.
#[derive(Clone, Debug)]
pub(crate) struct Ping {
    target: Ipv4Addr,
    sent: usize,
    /// Of each reply: its sequence number, its time to live, and how long it took.
    replies: Vec<(u16, u8, Duration)>,
}

impl Ping {
    /// Whether every request was answered.
    pub(crate) fn complete(&self) -> bool {
        self.replies.len() == self.sent
    }

    pub(crate) fn answered(&self) -> bool {
        !self.replies.is_empty()
    }
}

impl fmt::Display for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, sent, replies } = self;
        let whole = DATA_LEN + HEADER_LEN + 20;
        writeln!(f, "PING {target} ({target}) {DATA_LEN}({whole}) bytes of data.")?;
        for (seq, ttl, time) in replies {
            let (bytes, millis) = (DATA_LEN + HEADER_LEN, time.as_secs_f64() * 1e3);
            writeln!(
                f,
                "{bytes} bytes from {target}: icmp_seq={seq} ttl={ttl} time={millis:.3} ms"
            )?;
        }
        let received = replies.len();
        let loss = (sent - received) * 100 / sent.max(&1);
        writeln!(f, "--- {target} ping statistics ---")?;
        write!(f, "{sent} packets transmitted, {received} received, {loss}% packet loss")?;
        let times: Vec<_> = replies.iter().map(|(_, _, time)| *time).collect();
        match round_trips(&times) {
            Some(round_trips) => write!(f, "\n{round_trips}"),
            None => Ok(()),
        }
    }
}

/// The shortest, mean and longest time of some, and their deviation.
fn round_trips(times: &[Duration]) -> Option<String> {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let (min, max) = (millis(*times.iter().min()?), millis(*times.iter().max()?));
    let count = f64::from(u32::try_from(times.len()).ok()?);
    let mean = times.iter().map(|&time| millis(time)).sum::<f64>() / count;
    let square = times.iter().map(|&time| millis(time).powi(2)).sum::<f64>() / count;
    let deviation = (square - mean.powi(2)).max(0.0).sqrt();
    Some(format!("rtt min/avg/max/mdev = {min:.3}/{mean:.3}/{max:.3}/{deviation:.3} ms"))
}

/// Sends `count` echo requests from a station, each once the one before is answered or `patience`
/// has passed.
pub(crate) async fn ping(
    from: &Station,
    target: Ipv4Addr,
    count: u16,
    patience: Duration,
) -> Result<Ping, Error> {
    let socket = from
        .namespace
        .visit(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))?
        .doing(|| format!("opening an ICMP socket on {}", from.name))?;
    let pinged = tokio::task::spawn_blocking(move || echo(&socket, target, count, patience)).await;
    let pinged = pinged.doing(|| format!("pinging {target}"))?;
    pinged.doing(|| format!("pinging {target}"))
}

fn echo(socket: &Socket, target: Ipv4Addr, count: u16, patience: Duration) -> io::Result<Ping> {
    let identifier = u16::from_be_bytes([target.octets()[3], 0x9e]);
    let mut ping = Ping { target, sent: 0, replies: Vec::new() };
    for seq in 1..=count {
        let sent_at = Instant::now();
        let until = sent_at + patience;
        ping.sent += 1;
        match socket.send_to(&request(identifier, seq), &SocketAddrV4::new(target, 0).into()) {
            Ok(_) => {}
            // The kernel tells of an earlier request that no host answered for the address.
            Err(error) if error.kind() == io::ErrorKind::HostUnreachable => {}
            Err(error) => return Err(error),
        }
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())
        {
            socket.set_read_timeout(Some(left))?;
            let Some(packet) = receive(socket)? else { continue };
            if let Some(ttl) = reply(&packet, target, identifier, seq) {
                ping.replies.push((seq, ttl, sent_at.elapsed()));
                break;
            }
        }
    }
    Ok(ping)
}

fn request(identifier: u16, seq: u16) -> [u8; HEADER_LEN + DATA_LEN] {
    let mut bytes = [0; HEADER_LEN + DATA_LEN];
    let mut echo = MutableEchoRequestPacket::new(&mut bytes).expect("the buffer holds the header");
    echo.set_icmp_type(IcmpTypes::EchoRequest);
    echo.set_icmp_code(IcmpCodes::NoCode);
    echo.set_identifier(identifier);
    echo.set_sequence_number(seq);
    let whole = IcmpPacket::new(echo.packet()).expect("the buffer holds the header");
    let checksum = icmp::checksum(&whole);
    echo.set_checksum(checksum);
    bytes
}

/// One packet, or `None` if none came in time.
fn receive(socket: &Socket) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let mut buffer = vec![0; 1500];
    let mut socket = socket;
    match socket.read(&mut buffer) {
        Ok(len) => {
            buffer.truncate(len);
            Ok(Some(buffer))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::HostUnreachable
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The time to live of a packet, if it is the reply waited for.
fn reply(packet: &[u8], from: Ipv4Addr, identifier: u16, seq: u16) -> Option<u8> {
    let ip = Ipv4Packet::new(packet)?;
    let echo = EchoReplyPacket::new(ip.payload())?;
    let wanted = ip.get_source() == from
        && echo.get_icmp_type() == IcmpTypes::EchoReply
        && echo.get_identifier() == identifier
        && echo.get_sequence_number() == seq;
    wanted.then(|| ip.get_ttl())
}

//! Asks for one address on the LAN, and hears what everybody says of it there: for people who look for a
//! fault, from any host of that LAN.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use nix::net::if_::if_nametoindex;
use porter_core::{
    Family, Input, Link, LinkName, MacAddr, Probe, Unroutable, Unusable,
    wire::{self, Heard},
};
use rustix::net::RecvFlags;
use socket2::Socket;
use tokio::{io::unix::AsyncFd, time::timeout};

use super::{Lan, socket, voice};
use crate::{Error, port::Links as _};

/// How long the kernel may take to tell of its routes and links.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer than any packet that is read; the rest of a longer frame is cut off.
const FRAME_LEN_MAX: usize = 128;

/// Who asks for an address, and where.
#[derive(Debug)]
pub struct Trace {
    link: LinkName,
    target: IpAddr,
    sender: (IpAddr, MacAddr),
    listener: AsyncFd<Socket>,
    speaker: Socket,
}

/// Something that was said of the address.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// What.
    pub heard: Heard,
    /// The MAC that the frame came from.
    pub by: MacAddr,
}

impl Trace {
    /// Goes where an address is asked for: to `link`, or else where the kernel sends what is for it.
    ///
    /// Fails if packet sockets are not allowed (`CAP_NET_RAW`), or if this host is not on the address's
    /// LAN; the error says what to do.
    pub async fn open(target: IpAddr, link: Option<LinkName>) -> Result<Self, Error> {
        let mut lan = Lan::open()?;
        let found = match timeout(PATIENCE, place(&mut lan, target, link)).await {
            Ok(found) => found,
            // Of an interface that is not there nothing is told.
            Err(_) => Err(match link {
                Some(link) => format!("there is no interface {link} on this host; name another"),
                None => format!("the kernel told of no route within {PATIENCE:?}"),
            }),
        };
        let found = found.and_then(|(link, seen)| Ok((link, asks_from(link, &seen, target)?)));
        let (link, sender) =
            found.map_err(|why| Error::new(format!("asking for {target}"), why))?;
        let opened = sockets(link, Family::of(target));
        let (listener, speaker) =
            opened.map_err(|error| Error::new(format!("listening on {link}"), error))?;
        Ok(Self { link, target, sender, listener, speaker })
    }

    /// The link on which it is asked.
    pub fn link(&self) -> LinkName {
        self.link
    }

    /// The address and the MAC that ask.
    pub fn sender(&self) -> (IpAddr, MacAddr) {
        self.sender
    }

    /// Asks everybody.
    pub fn ask(&self) -> Result<(), Error> {
        let Self { link, target, sender, .. } = *self;
        let question = wire::probe(&Probe { link, target, to: None, sender });
        let question = question.expect("the addresses are of one family");
        let asked = voice::send(&question, &self.speaker);
        asked.map_err(|error| Error::new(format!("asking on {link}"), error))
    }

    /// The next that is said of the address, by others. Cancel safe.
    pub async fn next(&self) -> Result<Said, Error> {
        let failed = |error: io::Error| Error::new(format!("receiving on {}", self.link), error);
        let mut buffer = [0; FRAME_LEN_MAX];
        loop {
            let mut ready = self.listener.readable().await.map_err(failed)?;
            let received = ready.try_io(|listener| {
                let received = rustix::net::recv(listener, &mut buffer, RecvFlags::DONTWAIT);
                received.map(|(len, _)| len).map_err(io::Error::from)
            });
            let Ok(received) = received else { continue };
            let frame = &buffer[..received.map_err(failed)?];
            let Ok(heard) = wire::parse(self.link, self.sender.1, frame) else { continue };
            let of = match &heard {
                Heard::IsAt(is_at) => is_at.target,
                Heard::WhoHas(who_has) => who_has.target,
            };
            if let (true, Some(&[a, b, c, d, e, f])) = (of == self.target, frame.get(6..12)) {
                return Ok(Said { heard, by: MacAddr::new(a, b, c, d, e, f) });
            }
        }
    }
}

/// One that hears what is said of addresses of a family, and one that asks.
#[expect(unsafe_code, reason = "a descriptor is registered, which has to live on")]
fn sockets(link: LinkName, family: Family) -> io::Result<(AsyncFd<Socket>, Socket)> {
    let index = if_nametoindex(&*link.to_string())?;
    let listener = match family {
        Family::V4 => socket::listener(index)?,
        Family::V6 => socket::ipv6_listener(index)?,
    };
    // SAFETY: a `Socket` has its one descriptor until it is dropped, and it is not taken out again.
    let listener = unsafe { AsyncFd::register(listener) }?;
    Ok((listener, socket::speaker(index)?))
}

/// The interface that is named, or else the one by which the kernel sends what is for an address, and what
/// it is, or why it is of no use.
async fn place(
    lan: &mut Lan,
    target: IpAddr,
    named: Option<LinkName>,
) -> Result<(LinkName, Link), String> {
    let (mut link, mut seen) = (named, BTreeMap::new());
    if named.is_none() {
        lan.route(BTreeSet::from([target]));
    }
    loop {
        if let Some(link) = link
            && let Some(seen) = seen.remove(&link)
        {
            return match seen {
                Ok(seen) => Ok((link, seen)),
                Err(Unusable::Port { of }) => Err(format!("{link} is a port of {of}; name {of}")),
                Err(why) => Err(format!("{link} {why}; name another interface")),
            };
        }
        let input = lan.next().await;
        if let Input::Link(name, is) = input {
            seen.insert(name, is);
        } else if let Input::Route(of, leads) = input
            && of == target
        {
            link = Some(leads.map_err(|why| match why {
                Unroutable::NoRoute => "no route leads there; name an interface on its LAN",
                Unroutable::Own => {
                    "the kernel has it for its own, as where kube-proxy puts it on an interface; name the \
                     interface to ask on, or ask on a host that is no node"
                }
            })?);
        }
    }
}

/// The address and the MAC of a link that ask.
fn asks_from(link: LinkName, seen: &Link, target: IpAddr) -> Result<(IpAddr, MacAddr), String> {
    if !seen.carrier {
        return Err(format!("{link} has no carrier; check the cable and the switch port"));
    }
    if seen.owns(target) {
        return Err(format!("{link} has the address itself; ask on another host"));
    }
    let from = seen.address_beside(target).ok_or_else(|| {
        format!(
            "{link} has no address in its subnet, so that it is reached by way of a gateway; ask on a host of \
             the address's own LAN"
        )
    })?;
    Ok((from, seen.mac))
}

//! A socket that hears neighbor discovery on one link.
//!
//! It is one of ICMPv6, since one that sees all of IPv6 would cost every packet something. The kernel
//! has taken the headers off then, and says what was in them beside each message. It does not say who
//! sent the frame.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv6Addr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt::Ipv6RecvPacketInfo,
};
use porter_core::{LinkName, wire::Delivery};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::socket;

/// The option of a socket of ICMPv6 by which the kernel passes messages on by their type: linux/icmpv6.h;
/// not in libc.
const ICMPV6_FILTER: libc::c_int = 1;
const NEIGHBOR_SOLICITATION: u32 = 135;
const NEIGHBOR_ADVERTISEMENT: u32 = 136;
const HOP_LIMIT: u32 = 255;
/// Longer than any message that means something: of a longer one, options are cut off, and it is
/// dropped for that.
pub(crate) const MESSAGE_LEN_MAX: usize = 1024;

/// Hears solicitations and advertisements on one link.
#[derive(Debug)]
pub(crate) struct Discovery {
    socket: Socket,
    index: u32,
}

/// What the kernel says beside a message, aligned as its headers are.
#[repr(C, align(8))]
struct Control([u8; 128]);

impl Discovery {
    pub(crate) fn open(link: LinkName, index: u32) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking();
        let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::ICMPV6))?;
        // A set bit keeps messages of this type away.
        let mut filter = [u32::MAX; 8];
        for kind in [NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT] {
            filter[kind as usize / 32] &= !(1 << (kind % 32));
        }
        socket::set(&socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &filter)?;
        socket.bind_device(Some(link.to_string().as_bytes()))?;
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
        socket.set_recv_hoplimit_v6(true)?;
        socket.set_unicast_hops_v6(HOP_LIMIT)?;
        socket::widen(&socket)?;
        Ok(Self { socket, index })
    }

    /// The next message, if one is waiting, and what its headers said. `None` in place of a message
    /// that came by another link, before the socket was bound to this one.
    pub(crate) fn receive<'a>(
        &self,
        buffer: &'a mut [u8; MESSAGE_LEN_MAX],
    ) -> io::Result<Option<(Delivery, &'a [u8])>> {
        let mut control = Control([0; 128]);
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let received =
            recvmsg::<SockaddrIn6>(fd, &mut slices, Some(&mut control.0), MsgFlags::MSG_DONTWAIT)?;
        let (mut destination, mut hop_limit) = (None, None);
        for told in received.cmsgs()? {
            #[expect(clippy::wildcard_enum_match_arm, reason = "two of many were asked for")]
            match told {
                ControlMessageOwned::Ipv6PacketInfo(info) if info.ipi6_ifindex == self.index => {
                    destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                }
                ControlMessageOwned::Ipv6HopLimit(hops) => hop_limit = u8::try_from(hops).ok(),
                _ => {}
            }
        }
        let source = received.address.map(|address| address.ip());
        let len = received.bytes;
        let (Some(source), Some(destination), Some(hop_limit)) = (source, destination, hop_limit)
        else {
            return Ok(None);
        };
        Ok(Some((Delivery { source, destination, hop_limit }, &buffer[..len])))
    }

    /// How many messages had no room until now, as [`socket::drops`] counts.
    pub(crate) fn drops(&self) -> io::Result<u32> {
        socket::drops(&self.socket)
    }

    /// Sends a message to one host, by what the kernel knows of its MAC.
    pub(crate) fn send(&self, message: &[u8], to: Ipv6Addr) -> io::Result<()> {
        let to = SockAddr::from(SocketAddrV6::new(to, 0, 0, self.index));
        self.socket.send_to(message, &to).map(drop)
    }
}

impl AsFd for Discovery {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

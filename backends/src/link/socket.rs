//! Packet sockets: one that hears ARP on one link, one that sends frames there and hears nothing.

use std::{io, os::fd::AsRawFd};

use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use super::filter;

/// What waits here while the responder does not run: some ten thousand questions. Only the part
/// that `net.core.rmem_max` allows is had without `CAP_NET_ADMIN`.
const RECEIVE_BUFFER: usize = 4 << 20;

/// linux/if_packet.h; not in libc.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// linux/sock_diag.h: what `SO_MEMINFO` tells, and which of it are packets that had no room; not in libc.
const MEMINFO_LEN: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// A socket of no protocol hears nothing. A listener starts like that, so that no frame of another
/// link, or that the filter would have kept away, is waiting in it once it is bound.
const DEAF: u16 = 0;
const ARP: u16 = libc::ETH_P_ARP as u16;

/// Whether the kernel has what [`listener`] needs of it.
pub(crate) fn is_able() -> io::Result<()> {
    let socket = packet_socket()?;
    socket.attach_filter(&filter::ARP)?;
    let on: libc::c_int = 1;
    set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &on)
}

/// A socket that hears ARP requests and replies on the link with this index.
pub(crate) fn listener(index: u32) -> io::Result<Socket> {
    let socket = packet_socket()?;
    socket.attach_filter(&filter::ARP)?;
    let on: libc::c_int = 1;
    set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &on)?;
    widen(&socket)?;
    socket.bind(&address(index, ARP))?;
    Ok(socket)
}

/// A socket that hears all packets of IPv6 on the link with this index.
pub(crate) fn ipv6_listener(index: u32) -> io::Result<Socket> {
    let socket = packet_socket()?;
    socket.bind(&address(index, libc::ETH_P_IPV6 as u16))?;
    Ok(socket)
}

/// A socket that sends on the link with this index.
pub(crate) fn speaker(index: u32) -> io::Result<Socket> {
    let socket = packet_socket()?;
    socket.bind(&address(index, DEAF))?;
    Ok(socket)
}

/// A packet socket that is not bound to a link yet. The kernel wants `CAP_NET_RAW` for it.
pub(crate) fn packet_socket() -> io::Result<Socket> {
    let protocol = Protocol::from(libc::c_int::from(DEAF));
    Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(protocol))
}

/// A `sockaddr_ll` of packet(7).
#[expect(unsafe_code, reason = "socket2 knows no address of packet sockets")]
fn address(index: u32, protocol: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the address types that the storage is made for, and every bit
    // pattern is one.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index.cast_signed();
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the family is set, and the first `len` bytes are that family's address.
    unsafe { SockAddr::new(storage, len) }
}

/// Has the kernel keep what comes in bursts.
pub(crate) fn widen(socket: &Socket) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER))?;
    Ok(())
}

/// How many packets had no room in a socket until now. The count begins again after 2^32 of them.
#[expect(unsafe_code, reason = "neither socket2 nor rustix knows SO_MEMINFO")]
pub(crate) fn drops(socket: &Socket) -> io::Result<u32> {
    let mut told = [0_u32; MEMINFO_LEN];
    let mut len = size_of_val(&told) as libc::socklen_t;
    // SAFETY: the descriptor is open, and both pointers are to what outlives the call, of this length.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            told.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if status == 0 { Ok(told[MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option that neither socket2 nor rustix knows, whose value is an int or an array of ints.
#[expect(unsafe_code, reason = "setsockopt takes a pointer")]
pub(crate) fn set<T: Copy>(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the value is plain, has this length and outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of_val(value) as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! Who asks: one socket, many frames with one system call, and a number of questions under way.

use std::{
    ffi::CString,
    io, mem,
    os::fd::AsRawFd,
    ptr,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::questions::{FRAME_LEN_MAX, Family, Questions};

/// How many questions are sent at a time.
const BLOCK: usize = 32;
/// How many may be without an answer.
const WINDOW: usize = 2 * BLOCK;
/// After how long those are lost that are under way.
const PATIENCE: Duration = Duration::from_millis(100);
/// linux/if_packet.h; not in libc.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A place on a link from which frames are sent, and where frames of one family are heard.
pub(crate) struct Generator {
    socket: Socket,
}

/// What came of asking for a while.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// Questions that were met: answered, or followed by one that was.
    pub(crate) met: u64,
    pub(crate) lost: u64,
    pub(crate) took: Duration,
}

impl Generator {
    /// On a link of the calling thread's network namespace.
    pub(crate) fn open(link: &str, family: Family) -> io::Result<Self> {
        let protocol = family.ethertype();
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_recv_buffer_size(4 << 20)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        ignore_outgoing(&socket)?;
        socket.bind(&address(link, protocol)?)?;
        Ok(Self { socket })
    }

    /// Asks as fast as answers come, for so long.
    pub(crate) fn storm(&self, questions: &Questions, span: Duration) -> io::Result<Asked> {
        self.forget()?;
        let mut frames = Sending::new(&questions.frames);
        let mut answers = Receiving::new();
        let mut asked = Asked::default();
        let mut under_way = 0;
        let began_at = Instant::now();
        while began_at.elapsed() < span {
            if under_way + BLOCK <= WINDOW {
                under_way += frames.send(&self.socket)?;
            }
            let answered = answers.receive(&self.socket, questions)?;
            match answered {
                None => {
                    asked.lost += under_way as u64;
                    under_way = 0;
                }
                Some(answered) => {
                    let met = (answered * questions.per_answer).min(under_way);
                    under_way -= met;
                    asked.met += met as u64;
                }
            }
        }
        asked.took = began_at.elapsed();
        Ok(asked)
    }

    /// Asks so many questions, one each `every`. Says how long each waited for its answer.
    pub(crate) fn trickle(
        &self,
        questions: &Questions,
        count: usize,
        every: Duration,
    ) -> io::Result<Vec<Duration>> {
        self.forget()?;
        let mut due_at = Instant::now();
        let frames = questions.frames.iter().cycle().take(count);
        let waits = frames.map(|frame| {
            due_at += every;
            std::thread::sleep(due_at.saturating_duration_since(Instant::now()));
            let asked_at = Instant::now();
            rustix::net::send(&self.socket, frame, SendFlags::empty())?;
            let mut buffer = [0; FRAME_LEN_MAX];
            loop {
                let heard = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty());
                match heard {
                    Ok((len, _)) if questions.is_answer(&buffer[..len]) => {
                        return Ok(asked_at.elapsed());
                    }
                    Ok(_) if asked_at.elapsed() < PATIENCE => {}
                    Ok(_) | Err(Errno::AGAIN) => return Ok(PATIENCE),
                    Err(error) => return Err(error.into()),
                }
            }
        });
        waits.collect()
    }

    /// Takes out what was heard before.
    fn forget(&self) -> io::Result<()> {
        let mut buffer = [0; FRAME_LEN_MAX];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// All questions, ready to be sent a block at a time.
struct Sending {
    messages: Vec<libc::mmsghdr>,
    /// What the messages point to.
    _slices: Vec<libc::iovec>,
    next: usize,
}

impl Sending {
    /// The frames must outlive it; both belong to one call of [`Generator::storm`].
    fn new(frames: &[Vec<u8>]) -> Self {
        let slice = |frame: &Vec<u8>| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        };
        let mut slices: Vec<_> = frames.iter().map(slice).collect();
        let messages = slices.iter_mut().map(message).collect();
        Self { messages, _slices: slices, next: 0 }
    }

    /// Sends a block, or what is left until the last frame. Returns how many that were.
    #[expect(unsafe_code, reason = "sendmmsg takes a pointer")]
    fn send(&mut self, socket: &Socket) -> io::Result<usize> {
        let left = &mut self.messages[self.next..];
        let n = left.len().min(BLOCK);
        // SAFETY: there are `n` headers, which point to slices and frames that live as long as this.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), n as libc::c_uint, 0) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        self.next = (self.next + sent) % self.messages.len();
        Ok(sent)
    }
}

/// Room for a window of answers.
struct Receiving {
    messages: Vec<libc::mmsghdr>,
    /// What the messages point to.
    _slices: Vec<libc::iovec>,
    buffers: Box<[[u8; FRAME_LEN_MAX]; WINDOW]>,
}

impl Receiving {
    fn new() -> Self {
        let mut buffers = Box::new([[0; FRAME_LEN_MAX]; WINDOW]);
        let slice = |buffer: &mut [u8; FRAME_LEN_MAX]| libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: FRAME_LEN_MAX,
        };
        let mut slices: Vec<_> = buffers.iter_mut().map(slice).collect();
        let messages = slices.iter_mut().map(message).collect();
        Self { messages, _slices: slices, buffers }
    }

    /// Waits for an answer, and takes those that are there. `None`: nothing came for long.
    #[expect(unsafe_code, reason = "recvmmsg takes a pointer")]
    fn receive(&mut self, socket: &Socket, questions: &Questions) -> io::Result<Option<usize>> {
        // SAFETY: there is a window of headers, which point to slices and buffers that live as long.
        let heard = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                WINDOW as libc::c_uint,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        let Ok(heard) = usize::try_from(heard) else {
            let error = io::Error::last_os_error();
            return match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => Ok(None),
                Some(Errno::INTR) => Ok(Some(0)),
                Some(_) | None => Err(error),
            };
        };
        let frames = self.messages.iter().zip(self.buffers.iter()).take(heard);
        let right = frames.filter(|(message, buffer)| {
            questions.is_answer(&buffer[..(message.msg_len as usize).min(FRAME_LEN_MAX)])
        });
        Ok(Some(right.count()))
    }
}

fn message(slice: &mut libc::iovec) -> libc::mmsghdr {
    #[expect(unsafe_code, reason = "a header has private padding on some systems")]
    // SAFETY: all of it may be zeros: no name, no control data, no flags.
    let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
    message.msg_hdr.msg_iov = slice;
    message.msg_hdr.msg_iovlen = 1;
    message
}

#[expect(unsafe_code, reason = "setsockopt takes a pointer")]
fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int that outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A `sockaddr_ll` of packet(7).
#[expect(unsafe_code, reason = "socket2 knows no address of packet sockets")]
fn address(link: &str, protocol: u16) -> io::Result<SockAddr> {
    let name = CString::new(link)?;
    // SAFETY: the name ends with a zero and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the address types that the storage is made for.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the family is set, and this is the length of that family's address.
    Ok(unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) })
}

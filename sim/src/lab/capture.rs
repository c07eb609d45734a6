//! Listens to the LAN: every frame of ARP and of Neighbor Discovery that asks or says who is where,
//! with the port of the bridge through which it came in.
//!
//! The port says who sent a frame, whatever the frame itself says. A packet socket for ARP alone
//! would hear nothing, because a bridge takes frames from its ports before protocols are told
//! apart. This one hears everything on every link of the LAN's namespace and keeps what came in
//! through a port.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsRawFd as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, SystemTime},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    error::{Doing, Error},
    frame::{Frame, is_about_neighbours},
    lan::Lan,
    pcapng::Pcapng,
};

/// How long the listening thread outlives its [`Capture`] at most.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// Every protocol (linux/if_ether.h).
const ETH_P_ALL: u16 = 0x0003;
/// The longest frame that is kept whole.
const FRAME_LEN_MAX: usize = 1_600;

/// The frames heard so far.
#[derive(Debug)]
pub(crate) struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Capture {
    /// Starts to listen, and writes what it hears to `file` as well.
    ///
    /// The ports are those that the bridge has now.
    pub(crate) async fn start(lan: &Lan, file: Option<File>) -> Result<Self, Error> {
        let ports = lan.ports().await?;
        let everything = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let socket = lan
            .namespace
            .visit(|| Socket::new(Domain::PACKET, Type::RAW, Some(everything)))?
            .doing(|| "opening a packet socket on the LAN".into())?;
        let polled = socket.set_read_timeout(Some(POLL_EVERY));
        polled.doing(|| "setting a packet socket's timeout".into())?;
        let names: Vec<_> = ports.iter().map(|(_, name)| name.as_str()).collect();
        let file = file.map(|file| Pcapng::new(file, &names)).transpose();
        let listener = Listener {
            socket,
            ports: (0..).zip(ports).map(|(at, (index, name))| (index, (at, name))).collect(),
            file: file.doing(|| "writing the capture file".into())?,
        };
        let frames = Arc::default();
        let heard = Arc::downgrade(&frames);
        thread::spawn(move || listener.listen(&heard));
        Ok(Self { frames })
    }

    /// How many frames were heard so far: a point in the capture.
    pub(crate) fn now(&self) -> usize {
        locked(&self.frames).len()
    }

    /// What was heard after a point.
    pub(crate) fn since(&self, point: usize) -> Vec<Frame> {
        locked(&self.frames)[point..].to_vec()
    }
}

/// What the listening thread owns.
struct Listener {
    socket: Socket,
    /// By interface index: the number of the port in the file, and its name.
    ports: BTreeMap<u32, (u32, String)>,
    file: Option<Pcapng>,
}

impl Listener {
    /// Listens until nobody wants to know.
    fn listen(mut self, heard: &Weak<Mutex<Vec<Frame>>>) {
        while let Some(heard) = heard.upgrade() {
            let Ok(Some((index, bytes))) = receive(&self.socket) else { continue };
            let Some((number, port)) = self.ports.get(&index) else { continue };
            if !is_about_neighbours(&bytes) {
                continue;
            }
            if let Some(file) = &mut self.file
                && let Err(error) = file.write(*number, SystemTime::now(), &bytes)
            {
                tracing::warn!(%error, "writing the capture file failed; it ends here");
                self.file = None;
            }
            locked(&heard).push(Frame { port: port.clone(), bytes });
        }
    }
}

fn locked<T>(frames: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One incoming frame and the index of its link; `None` if none came in time, or it was an outgoing
/// one.
fn receive(socket: &Socket) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut bytes = vec![0; FRAME_LEN_MAX];
    let mut from = libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut from_len = libc::socklen_t::try_from(size_of_val(&from)).expect("it is small");
    #[expect(unsafe_code, reason = "no safe wrapper says which link a frame came from")]
    // SAFETY: both pointers are to live values of the lengths given with them.
    let len = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            0,
            (&raw mut from).cast(),
            &raw mut from_len,
        )
    };
    let Ok(len) = usize::try_from(len) else {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    };
    bytes.truncate(len);
    let incoming = from.sll_pkttype != libc::PACKET_OUTGOING;
    Ok(u32::try_from(from.sll_ifindex).ok().filter(|_| incoming).map(|index| (index, bytes)))
}

//! A thread of its own for every link, so that nothing else can keep an answer waiting.

use std::{
    collections::BTreeSet,
    io,
    net::Ipv6Addr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use porter_core::LinkName;

use super::{
    groups::Groups,
    station::{Common, Station},
    survey::Seen,
};

/// A running responder. It is stopped, and has sent its last frame, when this is dropped.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(crate) station: Arc<Station>,
    pub(crate) groups: Groups,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Responder {
    /// Starts to respond on a link, in the network namespace of the calling thread.
    pub(crate) fn start(
        link: LinkName,
        seen: &Seen,
        groups: BTreeSet<Ipv6Addr>,
        common: Common,
    ) -> io::Result<Self> {
        let groups = Groups::new(seen.index, groups);
        Self::at(Station::open(link, seen, common)?, groups, Station::respond)
    }

    /// Does the work of a responder at a station.
    pub(crate) fn at(
        station: Station,
        groups: Groups,
        work: impl FnOnce(&Station) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let station = Arc::new(station);
        let thread = thread::Builder::new().name(format!("arp {}", station.link())).spawn({
            let open = Open(Arc::clone(&station));
            move || work(&open.0)
        })?;
        Ok(Self { station, groups, thread: Some(thread) })
    }

    /// Whether it still answers. Its station can send all the same.
    pub(crate) fn lives(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// What it ended of, if it ended by itself.
    pub(crate) fn death(&mut self) -> Option<io::Error> {
        let ended = self.thread.take_if(|thread| thread.is_finished())?.join();
        let panicked = Err(io::Error::other("it panicked"));
        ended.unwrap_or(panicked).err()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.station.stop();
            // Whatever it ended of, it is at its end.
            let _ = thread.join();
        }
    }
}

/// Closes the station at the end of its thread, by whatever way it ends.
struct Open(Arc<Station>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

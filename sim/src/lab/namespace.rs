//! Network namespaces that exist only as long as this process does.
//!
//! A namespace here has no name in the file system and no process of its own: a descriptor holds
//! it, and the kernel removes it, with every link and address in it, when the last descriptor,
//! process and socket of it are gone. Nothing can be left behind.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    panic, thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use tokio::runtime::Handle;

use super::{
    error::{Doing, Error},
    sandbox,
};

/// A network namespace of the lab's own.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace in which only a loopback link exists, and that is down.
    pub(crate) fn new() -> Result<Self, Error> {
        on_a_thread(|| {
            // A security module may let everybody into a user namespace, and allow nothing there.
            unshare(UnshareFlags::NEWNET)
                .map_err(|error| sandbox::forbidden("creating a network namespace", &error))?;
            let path = "/proc/thread-self/ns/net";
            let file = File::open(path).doing(|| format!("opening {path}"))?;
            Ok(Self { file })
        })
    }

    /// Does something inside the namespace and waits for it. A socket that `visit` opens, and a
    /// process that it starts, stay in the namespace for good.
    pub(crate) fn visit<T: Send>(&self, visit: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let runtime = Handle::try_current().ok();
        on_a_thread(|| {
            let _entered = runtime.as_ref().map(Handle::enter);
            rustix::thread::move_into_link_name_space(
                self.file.as_fd(),
                Some(LinkNameSpaceType::Network),
            )
            .doing(|| "entering a network namespace".into())?;
            Ok(visit())
        })
    }

    /// The number of the descriptor, by which another process finds the namespace in
    /// `/proc/PID/fd`.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The namespace of a thread is its own, so whoever changes it does so on a thread that ends
/// afterwards.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

/// Moves this thread, or the children of this process, into new namespaces.
#[expect(unsafe_code, reason = "unshare is unsafe for the flag FILES")]
pub(crate) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    assert!(!flags.contains(UnshareFlags::FILES), "a descriptor table is no namespace");
    // SAFETY: without FILES no descriptor table is unshared, so no descriptor loses its owner.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

//! A network namespace for this process and its children, which vanishes with them.

use std::{fs, io};

use rustix::{
    process::{getgid, getuid},
    thread::UnshareFlags,
};

/// Moves this process into a network namespace with nothing but a loopback link in it; also into a
/// user namespace if it takes one.
///
/// Must be called before there is a second thread.
pub(crate) fn enter() -> io::Result<()> {
    if unshare(UnshareFlags::NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Moves this thread into new namespaces.
#[expect(unsafe_code, reason = "unshare is unsafe for the sake of its flag FILES")]
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors stay shared, as FILES is not among the flags of any caller.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

//! Runs a test in a network namespace that only this test has.
//!
//! The test starts itself again as a child process, which the kernel takes into the new namespace
//! before it runs anything. Whatever the test leaves behind is gone with the child.

use std::{
    any,
    ffi::CStr,
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{getgid, getuid},
    thread::UnshareFlags,
};
use tokio::runtime;

/// Set in the child.
const APART: &str = "PORTER_TEST_APART";

/// Runs the story in a network namespace with nothing but a loopback link in it, as its root.
///
/// To be called once by a test, with a closure written in that test: the child finds the test by
/// the closure's type name. Fails if the host allows no namespaces.
pub(crate) fn apart<F: AsyncFnOnce()>(story: F) {
    told_apart(story);
}

/// The same. Returns what the story wrote to its standard error.
pub(crate) fn told_apart<F: AsyncFnOnce()>(story: F) -> String {
    if std::env::var_os(APART).is_some() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(story());
        return String::new();
    }
    let path = any::type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, test) = path.split_once("::").expect("a closure's type name starts with the crate's");
    let mut child = Command::new(std::env::current_exe().expect("a running test has a path"));
    child
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(APART, "1")
        .stdin(Stdio::null());
    enter_on_start(&mut child);
    let output = child.output().unwrap_or_else(|error| panic!("{}", forbidden(&error)));
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    // A name that matches no test passes, too.
    let passed = output.status.success() && out.contains("1 passed");
    assert!(passed, "in its namespace the test failed ({}):\n{out}{err}", output.status);
    err.into_owned()
}

/// What to do where the host allows no namespaces.
pub(crate) fn forbidden(error: &io::Error) -> String {
    format!(
        "this needs a network namespace of its own, and the kernel said: {error}\n\
         Run it as root (CAP_SYS_ADMIN), or allow user namespaces: \
         sysctl user.max_user_namespaces, user.max_net_namespaces, kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns=0; in a container also a seccomp \
         profile that lets unshare pass"
    )
}

/// Has a child begin in a network namespace with nothing but a loopback link in it, as its root.
#[expect(unsafe_code, reason = "what runs between fork and exec must keep to system calls")]
pub(crate) fn enter_on_start(child: &mut Command) {
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {} 1", getuid().as_raw())),
        (c"/proc/self/gid_map", format!("0 {} 1", getgid().as_raw())),
    ];
    let enter = move || {
        if unshare(UnshareFlags::NEWNET).is_ok() {
            return Ok(());
        }
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
        maps.iter().try_for_each(|(path, map)| write(path, map.as_bytes()))
    };
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe { child.pre_exec(enter) };
}

#[expect(unsafe_code, reason = "unshare is unsafe for the sake of its flag FILES")]
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors stay shared, as FILES is not among the flags of any caller.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text)?;
    Ok(())
}

//! The cage in which a lab lives, so that nothing of it can outlive it.
//!
//! The lab is the first process of a PID namespace: when it ends, for whatever reason, the kernel
//! kills every process in there. It asks the kernel to be killed when its parent dies, and the
//! parent is what the user started. An ordinary user gets a user namespace around that, in which he
//! may do what root may do with networks; the network of the lab itself remains the host's, so that
//! its API server can be reached.

use std::{
    env, fmt, fs, io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, getegid, geteuid},
    thread::UnshareFlags,
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    error::{Doing, Error},
    namespace::unshare,
    state,
};

/// Tells the process in the cage from the one that made it: the directory of the lab's state, which
/// depends on who the user is outside.
const INSIDE: &str = "PORTER_LAB_INSIDE";
/// How long the lab may take to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// The directory of the lab's state, if this process is the first one of a cage.
pub(crate) fn inside() -> Option<PathBuf> {
    env::var_os(INSIDE).map(PathBuf::from).filter(|_| rustix::process::getpid() == Pid::INIT)
}

/// Runs this very command once more, inside a cage, and waits for it.
///
/// Must be called before the process has a second thread: the kernel lets nobody else into a user
/// namespace.
pub(crate) fn run() -> Result<ExitCode, Error> {
    let directory = state::directory();
    enter_namespaces()?;
    let binary = env::current_exe().doing(|| "finding the own binary".into())?;
    let mut command = Command::new(binary);
    command
        .args(env::args_os().skip(1))
        .env(INSIDE, &directory)
        .stdin(Stdio::null())
        .process_group(0);
    die_with_parent(&mut command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(|| "starting the runtime".into())?;
    let ended = runtime.block_on(supervise(command));
    state::remove(&directory);
    ended
}

/// Makes the kernel kill the process when the one that starts it dies.
#[expect(unsafe_code, reason = "what runs between fork and exec must not allocate")]
pub(crate) fn die_with_parent(command: &mut Command) {
    let arm = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: `arm` is one system call.
    unsafe { command.pre_exec(arm) };
}

async fn supervise(command: Command) -> Result<ExitCode, Error> {
    let doing = || "starting the lab".to_owned();
    let mut interrupt = signal(SignalKind::interrupt()).doing(doing)?;
    let mut terminate = signal(SignalKind::terminate()).doing(doing)?;
    let mut lab = tokio::process::Command::from(command).spawn().doing(doing)?;
    let ended = tokio::select! {
        ended = lab.wait() => ended,
        _ = interrupt.recv() => stop(&mut lab).await,
        _ = terminate.recv() => stop(&mut lab).await,
    };
    Ok(exit_code(ended.doing(|| "waiting for the lab".into())?))
}

async fn stop(lab: &mut tokio::process::Child) -> io::Result<ExitStatus> {
    if let Some(pid) = lab.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        rustix::process::kill_process(pid, Signal::TERM)?;
    }
    match tokio::time::timeout(PATIENCE, lab.wait()).await {
        Ok(ended) => ended,
        Err(_) => {
            lab.kill().await?;
            lab.wait().await
        }
    }
}

/// The exit code with which to end after a child has ended, as a shell has it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Puts the children of this process into a PID namespace, and the process into a user namespace if
/// it takes one.
fn enter_namespaces() -> Result<(), Error> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    match unshare(UnshareFlags::NEWPID) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(Error::new("creating a PID namespace", error)),
    }
    let entered = unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWPID);
    entered.map_err(|error| forbidden("creating a user namespace", &error))?;
    for (file, map) in [
        ("uid_map", format!("0 {user} 1")),
        // Without this a group could be left that denies access to a file.
        ("setgroups", "deny".into()),
        ("gid_map", format!("0 {group} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        fs::write(&path, map).map_err(|error| forbidden(&format!("writing {path}"), &error))?;
    }
    Ok(())
}

/// What the machine does not allow, and how it could.
pub(crate) fn forbidden(doing: &str, error: &dyn fmt::Display) -> Error {
    let advice = format!(
        "{error}
The lab needs root or, for an ordinary user, user namespaces. Where those are off, one of these
commands turns them on:
  sudo sysctl kernel.unprivileged_userns_clone=1              (Debian)
  sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0  (Ubuntu)
  sudo sysctl user.max_user_namespaces=10000                  (others)
In a container they usually are forbidden: start it with --privileged, or use a virtual machine.
`porter sim` shows the same story without any of this."
    );
    Error::new(doing, advice)
}

//! Runs a command on a station of the running lab, from another terminal.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::fd::AsFd as _,
    process::{Command, ExitCode},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    error::{Doing, Error},
    sandbox,
    state::{self, Lab},
};

/// Runs a command in the network of a station and returns its exit code.
///
/// The command finds in `KUBECONFIG` how that station reaches the API server. It ends with the lab.
/// Must be called before the process has a second thread: the kernel lets nobody else into a user
/// namespace.
pub fn exec(station: &str, command: &[OsString]) -> Result<ExitCode, Error> {
    let directory = state::directory();
    let entering = || format!("entering {station}");
    let lab = state::find(&directory)?
        .ok_or_else(|| Error::new(entering(), "no lab runs; start one with `porter lab`"))?;
    enter(&lab, station)?;
    let (program, arguments) =
        command.split_first().ok_or_else(|| Error::new(entering(), "there is no command"))?;
    let mut command = Command::new(program);
    command.args(arguments).env("KUBECONFIG", directory.join("kubeconfig-node"));
    sandbox::die_with_parent(&mut command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.doing(|| "starting the runtime".into())?.block_on(wait(command, program))
}

/// Waits for the command. Ctrl-C is for the command, which the terminal tells itself.
async fn wait(command: Command, program: &OsString) -> Result<ExitCode, Error> {
    let running = || format!("running {}", program.display());
    let mut interrupt = signal(SignalKind::interrupt()).doing(running)?;
    let mut child = tokio::process::Command::from(command).spawn().doing(running)?;
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(sandbox::exit_code(ended.doing(running)?)),
            _ = interrupt.recv() => {}
        }
    }
}

/// Moves this process into the lab's user namespace if it has one, into the station's network
/// namespace, and its children into the lab's PID namespace.
fn enter(lab: &Lab, station: &str) -> Result<(), Error> {
    let proc = format!("/proc/{}", lab.process);
    let descriptor = lab.stations.get(station).ok_or_else(|| {
        let known: Vec<_> = lab.stations.keys().map(String::as_str).collect();
        Error::new(format!("entering {station}"), format!("there are {}", known.join(", ")))
    })?;
    // Everything is opened before anything is entered: what can be opened differs inside.
    let user = format!("{proc}/ns/user");
    let namespaces = [
        (user.clone(), LinkNameSpaceType::User),
        (format!("{proc}/fd/{descriptor}"), LinkNameSpaceType::Network),
        (format!("{proc}/ns/pid"), LinkNameSpaceType::ProcessID),
    ];
    let shared = fs::read_link(&user).ok() == fs::read_link("/proc/self/ns/user").ok();
    let wanted = namespaces.into_iter().filter(|(path, _)| !(shared && *path == user));
    let opened = wanted
        .map(|(path, kind)| {
            let file = File::open(&path).doing(|| format!("opening {path}"))?;
            Ok((path, kind, file))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    for (path, kind, file) in opened {
        move_into_link_name_space(file.as_fd(), Some(kind)).doing(|| format!("entering {path}"))?;
    }
    Ok(())
}

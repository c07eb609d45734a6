//! A lab that runs, and what the kernel knows of its processes and networks.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The binary that cargo built for this test.
pub(crate) const PORTER: &str = env!("CARGO_BIN_EXE_porter");
/// How long anything may take. Generous: a slow machine is no failure.
const LONG: Duration = Duration::from_secs(120);

/// Whether there is a kubectl. Only CI promises to have one, which is no dependency of this repository.
pub(crate) fn has_kubectl() -> bool {
    let has = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    assert!(has || env::var_os("CI").is_none(), "CI has to provide kubectl");
    has
}

/// A running lab. Killed when dropped.
pub(crate) struct Lab {
    child: Child,
    lines: Receiver<String>,
    directory: PathBuf,
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A lab that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lab {
    /// Starts a lab whose state is in a directory of the test's own.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[] as &[&str])
    }

    /// The same, with more arguments.
    pub(crate) fn start_with(directory: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut child = Command::new(PORTER)
            .arg("lab")
            .args(arguments)
            .env("XDG_RUNTIME_DIR", directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built with this test");
        let output = child.stdout.take().expect("it is piped");
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Self { child, lines, directory: directory.into() }
    }

    /// Waits for the lab to say something.
    pub(crate) fn wait_for(&self, what: &str) {
        let mut said = String::new();
        let until = Instant::now() + LONG;
        while let Ok(line) =
            self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if line.contains(what) {
                return;
            }
            said = said + &line + "\n";
        }
        panic!("the lab did not say {what:?}, but:\n{said}");
    }

    /// Runs a command with the environment that the lab says to set.
    pub(crate) fn run(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
        let ran = self.command(program, arguments).output();
        ran.unwrap_or_else(|error| panic!("running {program} failed: {error}"))
    }

    /// Starts a command with the environment that the lab says to set, its output to be read.
    pub(crate) fn spawn(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> Child {
        let started = self.command(program, arguments).stdout(Stdio::piped()).spawn();
        started.unwrap_or_else(|error| panic!("starting {program} failed: {error}"))
    }

    fn command(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", &self.directory)
            .env("KUBECONFIG", self.directory.join("porter-lab/kubeconfig"))
            .stdin(Stdio::null());
        command
    }

    /// The process that was started and all its descendants.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let all: Vec<_> =
            all_processes().filter_map(|process| Some((process, parent(process)?))).collect();
        let mut at = 0;
        while let Some(&member) = family.get(at) {
            family
                .extend(all.iter().filter(|(_, parent)| *parent == member).map(|(child, _)| child));
            at += 1;
        }
        family
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is a child of ours");
    }

    /// As Ctrl-C.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::INT).expect("it runs");
        self.child.wait().expect("it is a child of ours")
    }
}

/// The first line that a command says.
pub(crate) fn first_line(command: &mut Child) -> String {
    let output = command.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("a pipe can be read");
    line.trim_end().into()
}

/// Waits for something that the kernel does on its own.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < limit, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn lives(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// The network namespaces in which processes are, or which they hold by a descriptor.
pub(crate) fn networks_of(processes: &[u32]) -> BTreeSet<String> {
    let own = fs::read_link("/proc/self/ns/net").expect("the kernel has network namespaces");
    let mut networks = BTreeSet::new();
    for process in processes {
        let proc = Path::new("/proc").join(process.to_string());
        let held = fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
        let held = held.map(|descriptor| descriptor.path()).chain([proc.join("ns/net")]);
        networks.extend(held.filter_map(|path| fs::read_link(path).ok()).filter(|to| *to != own));
    }
    let names = networks.into_iter().map(|to| to.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("net:")).collect()
}

pub(crate) fn networks_in_use() -> BTreeSet<String> {
    networks_of(&all_processes().collect::<Vec<_>>())
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain anything; after it come the state and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

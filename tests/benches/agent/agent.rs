//! The agent: a process of its own.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::Options;

/// How often it is asked whether it is ready.
const GLANCE: Duration = Duration::from_millis(10);
/// Longer than it takes to start or to leave.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that runs; killed when dropped.
pub(crate) struct Agent {
    process: Child,
    http: SocketAddr,
    pub(crate) started_at: Instant,
    _directory: TempDir,
}

impl Agent {
    /// Starts an agent for a cluster.
    pub(crate) fn start(options: &Options, api_server: SocketAddr) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let kubeconfig = directory.path().join("kubeconfig");
        fs::write(&kubeconfig, self::kubeconfig(api_server))?;
        let http = SocketAddr::from(([127, 0, 0, 1], 7475));
        let log = File::create(directory.path().join("log"))?;
        let mut command = Command::new(&options.binary);
        command
            .args(["agent", "--http", &http.to_string()])
            .args(&options.flags)
            .env("KUBECONFIG", kubeconfig)
            .env("NODE_NAME", "node-0")
            .env("POD_NAME", "porter-0")
            .env("POD_NAMESPACE", "porter-system")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        die_with_parent(&mut command);
        let started_at = Instant::now();
        let process = command.spawn()?;
        Ok(Self { process, http, started_at, _directory: directory })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is ready. Returns when it was, since it started.
    pub(crate) fn ready(&self) -> io::Result<Duration> {
        while !self.ask("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if self.started_at.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("not ready: {:?}", self.ask("/readyz"))));
            }
            thread::sleep(GLANCE);
        }
        Ok(self.started_at.elapsed())
    }

    fn ask(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.http)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Asks it to leave, and waits until it has.
    pub(crate) fn leave(mut self) -> io::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or_else(|| io::Error::other("no process"))?, Signal::TERM)?;
        let asked_at = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked_at.elapsed() > PATIENCE {
                return Err(io::Error::other("the agent does not leave"));
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// JSON, which every YAML reader reads.
fn kubeconfig(api_server: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bench", "cluster": { "server": format!("http://{api_server}") } }],
        "users": [{ "name": "bench", "user": {} }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
        "current-context": "bench",
    });
    config.to_string()
}

/// Makes the kernel kill the process when the thread that starts it ends.
#[expect(unsafe_code, reason = "what runs between fork and exec must not allocate")]
fn die_with_parent(command: &mut Command) {
    let arm = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: `arm` is one system call.
    unsafe { command.pre_exec(arm) };
}

//! Runs `porter agent` on one node, as a kubelet runs a DaemonSet's pod: whenever it ends, it is
//! started again, for as long as the node has power.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{
        CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set,
        set_no_new_privs,
    },
};
use tokio::{
    process::Child,
    sync::{Notify, watch},
    task::JoinHandle,
    time,
};
use uuid::Uuid;

use super::{
    error::{Doing, Error},
    station::Station,
};

/// The namespace in which the agents' pods would be.
pub(crate) const NAMESPACE: &str = "porter-system";
/// How long an agent that ended stays down at first; twice as long each further time.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long it stays down at most.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// How long an agent may take to leave when it is asked to.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// What it takes to run an agent.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The `porter` binary.
    pub(crate) binary: PathBuf,
    /// Says how to reach the API server from a node.
    pub(crate) kubeconfig: PathBuf,
    /// Where it logs to.
    pub(crate) log: PathBuf,
    /// What it is told on its command line.
    pub(crate) flags: Vec<String>,
}

/// The agent of one node, running until this is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) node: Arc<Station>,
    log: PathBuf,
    /// The process that runs at the moment.
    process: watch::Receiver<Option<Pid>>,
    /// Whether the node has power.
    power: watch::Sender<bool>,
    /// Whether the process that runs is stopped.
    paused: Arc<AtomicBool>,
    /// Ends a back-off, this one or the next.
    at_once: Arc<Notify>,
    supervisor: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl Agent {
    pub(crate) fn start(node: Arc<Station>, recipe: Recipe) -> Self {
        let (running, process) = watch::channel(None);
        let (power, powered) = watch::channel(true);
        let (paused, at_once) = (Arc::<AtomicBool>::default(), Arc::<Notify>::default());
        let log = recipe.log.clone();
        let kubelet = Kubelet {
            node: node.clone(),
            recipe,
            running,
            powered,
            paused: paused.clone(),
            at_once: at_once.clone(),
        };
        let supervisor = tokio::spawn(kubelet.supervise());
        Self { node, log, process, power, paused, at_once, supervisor }
    }

    /// The name of the agent's pod.
    pub(crate) fn pod_name(&self) -> String {
        pod_name(&self.node)
    }

    /// Where it logs to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether the process was stopped by [`Self::pause`].
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Kills the process without a chance to say goodbye.
    pub(crate) fn kill(&self) -> Result<Pid, Error> {
        self.signal(Signal::KILL, || format!("killing the agent on {}", self.node.name))
    }

    /// Stops the process where it stands, as a host does that has no time for it.
    pub(crate) fn pause(&self) -> Result<Pid, Error> {
        let process =
            self.signal(Signal::STOP, || format!("pausing the agent on {}", self.node.name))?;
        self.paused.store(true, Ordering::Relaxed);
        Ok(process)
    }

    /// Undoes [`Self::pause`].
    pub(crate) fn resume(&self) -> Result<Pid, Error> {
        self.paused.store(false, Ordering::Relaxed);
        self.signal(Signal::CONT, || format!("resuming the agent on {}", self.node.name))
    }

    /// Asks the process to leave in good order. It is started again as usual.
    pub(crate) fn terminate(&self) -> Result<Pid, Error> {
        self.signal(Signal::TERM, || format!("stopping the agent on {}", self.node.name))
    }

    /// Replaces the process by a new one, at once; returns them.
    pub(crate) async fn restart(&self) -> Result<(Option<Pid>, Pid), Error> {
        let restarting = || format!("restarting the agent on {}", self.node.name);
        if self.is_paused() {
            self.resume()?;
        }
        let mut process = self.process.clone();
        let old = *process.borrow_and_update();
        if old.is_some() {
            self.terminate()?;
        }
        self.at_once.notify_one();
        let started = process.wait_for(|new| new.is_some() && *new != old);
        let started = time::timeout(LEAVE_WITHIN, started).await.doing(restarting)?;
        let new = *started.doing(restarting)?;
        Ok((old, new.expect("it was waited for")))
    }

    /// Gives the node power, or takes it away, from one instant to the next.
    pub(crate) fn power(&self, on: bool) {
        self.power.send_replace(on);
        if on {
            self.at_once.notify_one();
        }
    }

    fn signal(&self, signal: Signal, doing: impl Fn() -> String) -> Result<Pid, Error> {
        let process = *self.process.borrow();
        let down = "it is down; `porter lab restart` starts it now";
        let process = process.ok_or_else(|| Error::new(doing(), down))?;
        kill_process(process, signal).doing(doing)?;
        Ok(process)
    }
}

fn pod_name(node: &Station) -> String {
    format!("porter-agent-{}", node.name)
}

/// Runs the agent's pod.
struct Kubelet {
    node: Arc<Station>,
    recipe: Recipe,
    running: watch::Sender<Option<Pid>>,
    powered: watch::Receiver<bool>,
    paused: Arc<AtomicBool>,
    at_once: Arc<Notify>,
}

impl Kubelet {
    async fn supervise(mut self) {
        // A container that is started again stays in its pod.
        let pod_uid = Uuid::new_v4().to_string();
        let mut back_off = BACK_OFF;
        while self.powered.wait_for(|on| *on).await.is_ok() {
            // Who asked for a start has it now.
            let _ = self.at_once.notified().now_or_never();
            let started_at = Instant::now();
            let ended = self.run(&pod_uid).await.unwrap_or_else(|error| error.to_string());
            self.running.send_replace(None);
            self.paused.store(false, Ordering::Relaxed);
            let node = &self.node.name;
            tracing::info!(node, ended, "the agent ended; it will be started again");
            if started_at.elapsed() > BACK_OFF_MAX {
                back_off = BACK_OFF;
            }
            tokio::select! {
                () = time::sleep(back_off) => back_off = (2 * back_off).min(BACK_OFF_MAX),
                () = self.at_once.notified() => back_off = BACK_OFF,
            }
        }
    }

    /// Runs the process to its end, which comes at the latest with the end of the power.
    async fn run(&mut self, pod_uid: &str) -> io::Result<String> {
        let mut agent = spawn(&self.node, &self.recipe, pod_uid)?;
        let process = agent.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        self.running.send_replace(process);
        tokio::select! {
            ended = agent.wait() => return ended.map(|status| status.to_string()),
            _ = self.powered.wait_for(|on| !on) => {}
        }
        agent.kill().await?;
        Ok("the node has no power".into())
    }
}

fn spawn(node: &Station, recipe: &Recipe, pod_uid: &str) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(&recipe.log)?;
    let mut command = Command::new(&recipe.binary);
    command
        .arg("agent")
        .args(&recipe.flags)
        .env("KUBECONFIG", &recipe.kubeconfig)
        .env("NODE_NAME", &node.name)
        .env("POD_NAME", pod_name(node))
        .env("POD_NAMESPACE", NAMESPACE)
        .env("POD_UID", pod_uid)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let spawned = node.namespace.visit(|| {
        confine()?;
        command.spawn()
    });
    spawned.map_err(io::Error::other)?
}

/// Leaves this thread, and whatever it starts, no more than the manifests leave a container.
fn confine() -> io::Result<()> {
    let all = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel refuses to speak of those that it does not know.
    let known = all.map_while(|one| Some((one, capability_is_in_bounding_set(one).ok()?)));
    for (one, is_there) in known {
        if is_there && one != CapabilitySet::NET_RAW {
            remove_capability_from_bounding_set(one)?;
        }
    }
    Ok(set_no_new_privs(true)?)
}

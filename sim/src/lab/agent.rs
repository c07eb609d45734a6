//! Runs `porter agent` on one node, as a kubelet runs a DaemonSet's pod: whenever it ends, it is
//! started again.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, sync::watch, task::JoinHandle, time};
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

/// What it takes to run an agent.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The `porter` binary.
    pub(crate) binary: PathBuf,
    /// Says how to reach the API server from a node.
    pub(crate) kubeconfig: PathBuf,
    /// Where it logs to.
    pub(crate) log: PathBuf,
}

/// The agent of one node, running until this is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) node: Arc<Station>,
    log: PathBuf,
    /// The process that runs at the moment.
    process: watch::Receiver<Option<Pid>>,
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
        let log = recipe.log.clone();
        let supervisor = tokio::spawn(supervise(node.clone(), recipe, running));
        Self { node, log, process, supervisor }
    }

    /// The name of the agent's pod.
    pub(crate) fn pod_name(&self) -> String {
        pod_name(&self.node)
    }

    /// Where it logs to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Kills the process without a chance to say goodbye.
    pub(crate) fn kill(&self) -> Result<Pid, Error> {
        let killing = || format!("killing the agent on {}", self.node.name);
        let process = *self.process.borrow();
        let process = process.ok_or_else(|| Error::new(killing(), "it is down"))?;
        kill_process(process, Signal::KILL).doing(killing)?;
        Ok(process)
    }
}

fn pod_name(node: &Station) -> String {
    format!("porter-agent-{}", node.name)
}

async fn supervise(node: Arc<Station>, recipe: Recipe, running: watch::Sender<Option<Pid>>) {
    // A container that is started again stays in its pod.
    let pod_uid = Uuid::new_v4().to_string();
    let mut back_off = BACK_OFF;
    loop {
        let started_at = Instant::now();
        let ended = match spawn(&node, &recipe, &pod_uid) {
            Ok(mut agent) => {
                let process = agent.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
                running.send_replace(process);
                agent.wait().await.map(|status| status.to_string())
            }
            Err(error) => Err(error),
        };
        running.send_replace(None);
        let ended = ended.unwrap_or_else(|error| error.to_string());
        tracing::info!(node = node.name, ended, "the agent ended; it will be started again");
        if started_at.elapsed() > BACK_OFF_MAX {
            back_off = BACK_OFF;
        }
        time::sleep(back_off).await;
        back_off = (2 * back_off).min(BACK_OFF_MAX);
    }
}

fn spawn(node: &Station, recipe: &Recipe, pod_uid: &str) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(&recipe.log)?;
    let mut command = Command::new(&recipe.binary);
    command
        .arg("agent")
        .env("KUBECONFIG", &recipe.kubeconfig)
        .env("NODE_NAME", &node.name)
        .env("POD_NAME", pod_name(node))
        .env("POD_NAMESPACE", NAMESPACE)
        .env("POD_UID", pod_uid)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut command = tokio::process::Command::from(command);
    node.namespace.visit(|| command.spawn()).map_err(io::Error::other)?
}

//! The guide, for real, on one Linux machine and without a cluster.
//!
//! Network namespaces play the hosts: three nodes and a client outside the cluster, all on one
//! bridge. On every node runs the real `porter agent`, with real packet sockets, against the
//! embedded API server. Small stand-ins play the rest of the cluster (see [`crate::standins`]),
//! kube-proxy and the pods. The client is a kernel like any other, so what it has in its neighbour
//! cache is what a real LAN would have told it.
//!
//! Everything lives in one process tree in a PID namespace, and nothing of it has a name outside:
//! however the lab ends, the kernel takes all of it away.

mod account;
mod agent;
mod bench;
mod capture;
mod cluster;
mod control;
mod curl;
mod datagrams;
mod error;
mod exec;
mod faults;
mod forwarding;
mod frame;
mod guide;
mod kube_proxy;
mod kubeconfig;
mod kubectl;
mod lan;
mod namespace;
mod neighbour;
mod order;
mod pcapng;
mod ping;
mod pod;
mod sandbox;
mod show;
mod state;
mod statement;
mod station;
mod sysctl;
mod uplink;
mod wait;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};

pub use bench::{Benchmark, Case, bench};
pub use control::give;
pub use error::Error;
pub use exec::exec;
pub use order::{Mendable, Order, Part, Wire};

use cluster::{Cluster, Setup};
use error::Doing as _;
use guide::Guide;
use state::State;
use statement::Statement;

/// How a lab is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Check all statements of the guide and end, rather than stay.
    pub once: bool,
    /// Go on beyond the guide, with an Eip for IPv6 and a Service of both families.
    pub dual_stack: bool,
    /// The port of 127.0.0.1 on which the API server listens; 0 for any that is free.
    pub port: u16,
    /// Where to write the frames of ARP and Neighbor Discovery on the LAN to, for Wireshark.
    pub capture: Option<PathBuf>,
    /// The binary that the agents are; `None`: this one.
    pub agent: Option<PathBuf>,
    /// What the agents are told on their command lines.
    pub flags: Vec<String>,
}

/// Runs the lab and shows that the guide holds. Succeeds if every statement does.
///
/// Starts this process' own binary once more, with the same arguments, and as `BINARY agent` on
/// each node, unless the agents are another. Must be called before the process has a second thread:
/// the kernel lets nobody else into a user namespace.
///
/// # Errors
/// What this machine lacks, or does not allow.
pub fn run(options: &Options) -> Result<ExitCode, Error> {
    let Some(directory) = sandbox::inside() else {
        if let Some(agent) = &options.agent {
            fs::metadata(agent).doing(|| format!("looking for {}", agent.display()))?;
        }
        return sandbox::run();
    };
    let runtime = tokio::runtime::Runtime::new().doing(|| "starting the runtime".into())?;
    runtime.block_on(async {
        let mut asked_to_stop =
            signal(SignalKind::terminate()).doing(|| "listening for signals".into())?;
        tokio::select! {
            done = live(options, &directory) => done,
            _ = asked_to_stop.recv() => {
                show::line("\nAsked to stop: the lab is gone.");
                // Who waits for all statements must not take this for their holding.
                Ok(if options.once { ExitCode::from(128 + 2) } else { ExitCode::SUCCESS })
            }
        }
    })
}

async fn live(options: &Options, directory: &Path) -> Result<ExitCode, Error> {
    let state = State::claim(directory)?;
    show::line(
        "Bringing up node1, node3, node4 and a client on one LAN, with an agent on every node.",
    );
    let setup = Setup {
        port: options.port,
        capture_to: options.capture.as_deref(),
        agent: options.agent.as_deref(),
        flags: &options.flags,
    };
    let cluster = Cluster::up(&state, setup).await?;
    let export = format!("export KUBECONFIG={}", cluster.kubeconfig.display());
    show::line(format_args!("It is up. To follow in another terminal: {export}"));
    let mut guide = Guide::new(&cluster);
    let guide_held = match options.once {
        true => guide.follow(Statement::ALL).await,
        false => guide.follow(Statement::calm()).await,
    };
    if guide_held && options.once {
        show::line("\nAll 13 statements of the guide hold.");
    }
    if guide_held && options.dual_stack {
        show::line("\nBeyond the guide, a Service of both families:");
    }
    let held = guide_held && (!options.dual_stack || guide.follow(Statement::DUAL_STACK).await);
    match held {
        true if options.dual_stack => show::line("\nAll 5 statements about both families hold."),
        true => {}
        false => {
            show_logs(&cluster);
            let what = if guide_held { "What is said of both families" } else { "The guide" };
            show::line(format_args!("\n{what} does not hold."));
        }
    }
    if !options.once {
        let control = control::Control::open(&state)?;
        show::line(invitation(&export, &state));
        control.obey(&cluster).await?;
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What to do with a lab that is up.
fn invitation(export: &str, state: &State) -> String {
    let porter = std::env::args().next().unwrap_or_else(|| "porter".into());
    let logs = state.path("agent-node1.log");
    format!(
        "
The lab stays up until Ctrl-C. In another terminal:

  {export}
  kubectl get svc mylbapp-svc-layer2
  kubectl get nodes -o wide
  {porter} lab exec client -- ip neigh
  {porter} lab kill agent node1      (also: kill node, pause, cut, drain, restart, heal)
  tail -f {}",
        logs.display()
    )
}

/// What the agents said last, since their logs go with the lab.
fn show_logs(cluster: &Cluster) {
    const LINES: usize = 20;
    for agent in &cluster.agents {
        let log = fs::read_to_string(agent.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        show::line(format_args!("\nThe end of {}:", agent.log().display()));
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            show::line(show::indented(line));
        }
    }
}

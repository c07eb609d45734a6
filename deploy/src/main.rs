//! The `porter` binary: flags, and which parts they put together. One file per subcommand.

#[cfg(target_os = "linux")]
mod agent;
mod check;
mod crd;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(feature = "lab")]
mod explore;
#[cfg(all(feature = "lab", target_os = "linux"))]
mod lab;
#[cfg(target_os = "linux")]
mod log;
mod log_level;
mod look;
mod manual;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(feature = "lab")]
mod sim;
#[cfg(feature = "lab")]
mod simulate;
mod target;
#[cfg(target_os = "linux")]
mod trace;

use std::{env, error::Error, path::Path, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

#[cfg(target_os = "linux")]
use self::agent::Agent;
#[cfg(all(feature = "lab", target_os = "linux"))]
use self::lab::Lab;
#[cfg(not(target_os = "linux"))]
use elsewhere::Elsewhere as Agent;
#[cfg(all(feature = "lab", not(target_os = "linux")))]
use elsewhere::Elsewhere as Lab;

/// External IP addresses for Kubernetes Services on a plain LAN, without BGP.
///
/// Porter gives Services of type LoadBalancer an address from a pool on the cluster's own LAN, and
/// answers ARP for it with the MAC of a node that can serve it.
#[derive(Debug, Parser)]
#[command(name = "porter", version)]
struct Porter {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agent(Box<Agent>),
    Check(check::Check),
    Completion(manual::Completion),
    Crd(crd::Crd),
    Explain(look::Explain),
    #[cfg(feature = "lab")]
    Lab(Lab),
    LogLevel(log_level::LogLevelOf),
    Man(manual::Man),
    #[cfg(feature = "lab")]
    Sim(sim::Sim),
    #[cfg(feature = "lab")]
    Simulate(simulate::Simulate),
    Status(look::StatusOf),
    #[cfg(target_os = "linux")]
    Trace(trace::TraceOf),
}

impl Command {
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Agent(agent) => Ok(agent.run()?),
            Self::Check(check) => check.run(),
            Self::Completion(completion) => {
                completion.run(Porter::command()).map(|()| ExitCode::SUCCESS)
            }
            Self::Crd(crd) => crd.run().map(|()| ExitCode::SUCCESS),
            Self::Explain(explain) => explain.run().map(|()| ExitCode::SUCCESS),
            #[cfg(feature = "lab")]
            Self::Lab(lab) => Ok(lab.run()?),
            Self::LogLevel(level) => level.run().map(|()| ExitCode::SUCCESS),
            Self::Man(man) => man.run(Porter::command()).map(|()| ExitCode::SUCCESS),
            #[cfg(feature = "lab")]
            Self::Sim(sim) => sim.run(),
            #[cfg(feature = "lab")]
            Self::Simulate(simulate) => simulate.run().map(|()| ExitCode::SUCCESS),
            Self::Status(status) => status.run().map(|()| ExitCode::SUCCESS),
            #[cfg(target_os = "linux")]
            Self::Trace(trace) => trace.run(),
        }
    }
}

#[expect(clippy::print_stderr, reason = "what ends the program is told to whoever started it")]
fn main() -> ExitCode {
    // As a plugin of kubectl it is called by another name, and people type two words.
    let plugin = env::args_os().next().is_some_and(|name| {
        Path::new(&name).file_stem().is_some_and(|name| name == "kubectl-porter")
    });
    let command = Porter::command();
    let command = if plugin { command.bin_name("kubectl porter") } else { command };
    let porter = Porter::from_arg_matches(&command.get_matches());
    match porter.unwrap_or_else(|error| error.exit()).command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("porter: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The `porter` binary: flags, and which parts they put together. One file per subcommand.

#[cfg(target_os = "linux")]
mod agent;
mod crd;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod explore;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
mod memory;
mod sim;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

#[cfg(target_os = "linux")]
use self::{agent::Agent, lab::Lab};
#[cfg(not(target_os = "linux"))]
use elsewhere::{Elsewhere as Agent, Elsewhere as Lab};

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
    Crd(crd::Crd),
    Lab(Lab),
    Sim(sim::Sim),
}

impl Command {
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Agent(agent) => Ok(agent.run()?),
            Self::Crd(crd) => crd.run().map(|()| ExitCode::SUCCESS),
            Self::Lab(lab) => Ok(lab.run()?),
            Self::Sim(sim) => sim.run(),
        }
    }
}

#[expect(clippy::print_stderr, reason = "what ends the program is told to whoever started it")]
fn main() -> ExitCode {
    match Porter::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("porter: {error}");
            ExitCode::FAILURE
        }
    }
}

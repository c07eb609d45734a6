//! The `porter` binary: flags, and which parts they put together. One file per subcommand.

mod agent;
mod crd;
mod lab;
mod log;
mod sim;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

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
    Agent(Box<agent::Agent>),
    Crd(crd::Crd),
    Lab(lab::Lab),
    Sim(sim::Sim),
}

impl Command {
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Agent(agent) => agent.run().map(|()| ExitCode::SUCCESS),
            Self::Crd(crd) => crd.run().map(|()| ExitCode::SUCCESS),
            Self::Lab(lab) => Ok(lab.run()?),
            Self::Sim(sim) => sim.run().map(|()| ExitCode::SUCCESS),
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

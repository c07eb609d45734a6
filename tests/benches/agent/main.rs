//! What a whole agent costs, and how long it takes: the real binary as a process of its own, against
//! the lab's API server over HTTP, on a LAN whose nodes answer its probes.
//!
//! `cargo bench -p porter --bench agent -- --services 10000 --only load`
//!
//! The API server is in this process, on threads whose time is counted by itself. The agent runs in
//! the network namespace of this process; behind its `eth0` is one thread that is every node and a
//! client. It measures and reports, and demands nothing.

#![cfg(target_os = "linux")]

mod agent;
mod api_server;
mod cage;
mod lan;
mod objects;
mod scenarios;
mod table;
mod usage;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};

use table::Table;

/// Measures a whole agent.
#[derive(Debug, Parser)]
struct Options {
    /// How many Services there are. A node takes a thousand of them.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(2..=16_000))]
    services: u16,
    /// What is measured; everything if nothing is named.
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
    /// How often each is measured. The table shows medians.
    #[arg(long, default_value_t = 1)]
    repeats: usize,
    /// For how many seconds a steady state is looked at.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    steady: u64,
    /// The binary; the one that was built with this benchmark unless given.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_porter"))]
    binary: PathBuf,
    /// What the agent is told besides, such as `--agent=--profile=fast`.
    #[arg(long = "agent", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Given by `cargo bench`, and not by `cargo test`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Scenario {
    /// An agent starts in a cluster with an Eip and without Services.
    Start,
    /// Services are created at once, are left alone, their leader starts again, and a node dies.
    Load,
    /// Ten Services of ours beside as many others as given, and heartbeats of a thousand nodes.
    Beside,
    /// The lab comes up and verifies the guide.
    Lab,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    if !options.bench {
        // `cargo test --benches` wants to know that it starts, and no more.
        return Ok(ExitCode::SUCCESS);
    }
    let is_wanted = |it: Scenario| options.only.is_empty() || options.only.contains(&it);
    let mut table = Table::default();
    if is_wanted(Scenario::Lab) {
        // Before the cage: it has one of its own.
        for _ in 0..options.repeats {
            scenarios::lab(&options, &mut table)?;
        }
    }
    cage::enter()?;
    let far = lan::plug_in()?;
    for _ in 0..options.repeats {
        if is_wanted(Scenario::Start) {
            scenarios::start(&options, &far, &mut table)?;
        }
        if is_wanted(Scenario::Load) {
            scenarios::load(&options, &far, &mut table)?;
        }
        if is_wanted(Scenario::Beside) {
            scenarios::beside(&options, &far, &mut table)?;
        }
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

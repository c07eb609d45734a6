//! Measures what a client misses when something fails, over and over in a fresh lab.
//!
//! The client is a kernel on the lab's LAN that sends a datagram every 5 ms to a Service's external
//! address; the Service is `externalTrafficPolicy: Local`, so each packet that goes to a wrong node
//! is lost.

mod case;
mod client;
mod outage;
mod peers;
mod table;
mod trial;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

pub use case::Case;
use case::Placement;
use outage::Outage;
use table::{Table, median, shown};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    error::{Doing, Error},
    sandbox, show,
    state::State,
};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// How often each case is measured.
    pub repeats: usize,
    /// The cases; all if there are none.
    pub only: Vec<Case>,
    /// Whether the result is JSON rather than a table.
    pub json: bool,
    /// What the agents are told on their command lines.
    pub flags: Vec<String>,
}

/// Measures, and prints what was measured; also when it is interrupted. Succeeds unless a repeat
/// could not be measured, whatever the figures.
///
/// As [`super::run`], it starts this process' own binary once more, and must be called before the
/// process has a second thread.
///
/// # Errors
/// What this machine lacks, or does not allow.
pub fn bench(benchmark: &Benchmark) -> Result<ExitCode, Error> {
    let Some(directory) = sandbox::inside() else {
        return sandbox::run();
    };
    let runtime = tokio::runtime::Runtime::new().doing(|| "starting the runtime".into())?;
    runtime.block_on(measure(benchmark, &directory))
}

async fn measure(benchmark: &Benchmark, directory: &Path) -> Result<ExitCode, Error> {
    let state = State::claim(directory)?;
    let doing = || "listening for signals".into();
    let mut asked_to_stop = signal(SignalKind::terminate()).doing(doing)?;
    let mut table = Table::default();
    tokio::select! {
        () = repeat(benchmark, &state, &mut table) => {}
        _ = asked_to_stop.recv() => {}
    }
    match benchmark.json {
        true => show::line(format_args!("{:#}", table.json())),
        false => show::line(&table),
    }
    Ok(if table.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn repeat(benchmark: &Benchmark, state: &State, table: &mut Table) {
    let wanted = |case: &Case| benchmark.only.is_empty() || benchmark.only.contains(case);
    for case in Case::ALL.into_iter().filter(wanted) {
        for placement in Placement::BOTH {
            let mut outages: Vec<Outage> = Vec::new();
            for number in 1..=benchmark.repeats {
                progress(case, placement, &format!("{number}/{}", benchmark.repeats), false);
                match trial::run(state, &benchmark.flags, case, placement).await {
                    Ok(outage) => {
                        outages.push(outage);
                        table.add(case, placement, outage);
                    }
                    Err(why) => {
                        let placement = placement.name();
                        table.failures.push(format!("{case}, {placement}, {number}: {why}"));
                    }
                }
            }
            if !outages.is_empty() {
                let said = format!("median {} of {}", shown(median(&outages)), outages.len());
                progress(case, placement, &said, true);
            }
        }
    }
}

/// Tells who waits how far it is. A terminal's line is written over until the case is measured.
fn progress(case: Case, placement: Placement, said: &str, done: bool) {
    let mut out = io::stderr().lock();
    let line = format!("{:30}{:14}{said:30}", case.title(), placement.name());
    let _ = match (out.is_terminal(), done) {
        (true, false) => write!(out, "\r{line}").and_then(|()| out.flush()),
        (true, true) => writeln!(out, "\r{line}"),
        (false, true) => writeln!(out, "{}", line.trim_end()),
        (false, false) => Ok(()),
    };
}

//! What is measured, and in which order.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Parser, ValueEnum};
use tokio::{runtime, time};

use crate::{
    apart::{enter_on_start, forbidden},
    bulk::{self, Bulk},
    cpu::{Cpus, Placement},
    questions::Family,
    responder::{Responder, Result},
    round_trip, storm,
};

/// Set in the child that measures.
const APART: &str = "PORTER_BENCH_APART";
/// How long a kernel tells others of the groups that it has joined.
const SETTLES: Duration = Duration::from_secs(3);

/// Measures what answering costs, beside the kernel's own responder.
#[derive(Parser)]
struct Arguments {
    /// How often each is measured, one after the other. 1 unless cargo benches
    #[arg(long)]
    rounds: Option<usize>,
    /// Measures a tenth as long, and among 256 EIPs only. So it does unless cargo benches
    #[arg(long)]
    quick: bool,
    /// Measures nothing else
    #[arg(long)]
    only: Vec<Part>,
    /// Among so many EIPs
    #[arg(long, default_values_t = [1, 256, 1_000, 10_000])]
    eips: Vec<usize>,
    /// Only by this family
    #[arg(long)]
    family: Vec<Family>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Questions that have an answer, as fast as answers come
    Hits,
    /// Questions for addresses that are nobody's
    Misses,
    /// 200 questions a second
    RoundTrip,
    /// TCP on the same link
    Bulk,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if env::var_os(APART).is_none() {
        return enclosed();
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let measured = runtime.map_err(Into::into).and_then(|it| it.block_on(measure(&arguments)));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

/// Runs this very command once more, in a network namespace of its own.
fn enclosed() -> ExitCode {
    let Ok(binary) = env::current_exe() else { return complain("this program has no path") };
    let mut child = Command::new(binary);
    child.args(env::args_os().skip(1)).env(APART, "1");
    enter_on_start(&mut child);
    match child.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => complain(&forbidden(&error)),
    }
}

#[expect(clippy::print_stderr, reason = "this is a program for the terminal")]
fn complain(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "this is a program for the terminal")]
fn say(line: &str) {
    println!("{line}");
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let quick = arguments.quick || !arguments.bench;
    let plan = Plan {
        rounds: arguments.rounds.unwrap_or(if arguments.bench { 5 } else { 1 }),
        span: if quick { Duration::from_millis(100) } else { Duration::from_millis(500) },
        n_waits: if quick { 40 } else { 400 },
        n_eips: if quick { vec![256] } else { arguments.eips.clone() },
        only: arguments.only.clone(),
        families: match arguments.family.as_slice() {
            [] => Family::BOTH.to_vec(),
            some => some.to_vec(),
        },
        cpus: Cpus::new()?,
    };
    if plan.has(Part::Bulk) {
        plan.bulk().await?;
    }
    plan.answers().await
}

struct Plan {
    rounds: usize,
    span: Duration,
    n_waits: usize,
    n_eips: Vec<usize>,
    only: Vec<Part>,
    families: Vec<Family>,
    cpus: Cpus,
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    async fn bulk(&self) -> Result<()> {
        let bulk = Bulk::new().await?;
        let mut families = BTreeMap::<Family, bulk::Rounds>::new();
        for _ in 0..self.rounds {
            for &family in &self.families {
                let rounds = families.entry(family).or_default();
                bulk.measure(rounds, family, self.cpus, 2 * self.span).await?;
            }
        }
        say(&format!("\nTCP on the same link, without an agent and with one\n{}", bulk::HEAD));
        for (family, rounds) in families {
            say(&format!("{:<9}{rounds}", family.name()));
        }
        Ok(())
    }

    async fn answers(&self) -> Result<()> {
        let parts = [Part::Hits, Part::Misses, Part::RoundTrip];
        if !parts.into_iter().any(|part| self.has(part)) {
            return Ok(());
        }
        let (mut kernel, mut porter) = (Responder::kernel().await?, Responder::porter().await?);
        let mut storms = BTreeMap::<storm::Case, storm::Rounds>::new();
        let mut round_trips = BTreeMap::<round_trip::Case, round_trip::Rounds>::new();
        let mut served = 0;
        for &n_eips in &self.n_eips {
            for responder in [&mut kernel, &mut porter] {
                responder.serve(served..n_eips.max(served)).await?;
            }
            served = n_eips.max(served);
            time::sleep(SETTLES).await;
            for _ in 0..self.rounds {
                for case in self.storms(n_eips) {
                    let both = [&mut kernel, &mut porter];
                    let rounds = storms.entry(case).or_default();
                    rounds.measure(case, both, self.cpus, self.span).await?;
                }
                for case in self.round_trips(n_eips) {
                    let both = [&mut kernel, &mut porter];
                    let rounds = round_trips.entry(case).or_default();
                    rounds.measure(case, both, self.cpus, self.n_waits).await?;
                }
            }
        }
        if !storms.is_empty() {
            say(&format!("\nQuestions as fast as answers come\n{}", storm::HEAD));
        }
        storms.iter().for_each(|(case, rounds)| say(&format!("{case}{rounds}")));
        if !round_trips.is_empty() {
            say(&format!("\n200 questions a second, microseconds\n{}", round_trip::HEAD));
        }
        round_trips.iter().for_each(|(case, rounds)| say(&format!("{case}{rounds}")));
        Ok(())
    }

    fn storms(&self, n_eips: usize) -> impl Iterator<Item = storm::Case> {
        let kinds = [(Part::Hits, false), (Part::Misses, true)];
        let kinds = kinds.into_iter().filter(|(part, _)| self.has(*part));
        kinds.flat_map(move |(_, misses)| {
            self.families.iter().flat_map(move |&family| {
                [Placement::One, Placement::Two].map(|placement| storm::Case {
                    n_eips,
                    family,
                    misses,
                    placement,
                })
            })
        })
    }

    fn round_trips(&self, n_eips: usize) -> impl Iterator<Item = round_trip::Case> {
        let families = self.families.iter().filter(|_| self.has(Part::RoundTrip));
        let places = [Placement::One, Placement::Two, Placement::Any].map(|it| (it, false));
        families.flat_map(move |&family| {
            let places = places.into_iter().chain([(Placement::Any, true)]);
            places.map(move |(placement, contended)| round_trip::Case {
                n_eips,
                family,
                placement,
                contended,
            })
        })
    }
}

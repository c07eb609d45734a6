//! `porter sim --runs` and `--replay`: many simulated clusters with faults, and one of them again.

use std::{
    error::Error,
    fs,
    io::{self, IsTerminal as _, Read as _, Write as _},
    num::{NonZeroU64, NonZeroUsize},
    panic,
    path::Path,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use porter_sim::{
    explore::{self, Effort, Finding, Outcome, Plan, Summary},
    report::{self, Run},
};

/// How many violations are made as simple as they can be. The others wait for their turn: they are
/// often the same once more.
const N_SIMPLEST: usize = 3;
/// How many lines of a transcript are shown unasked.
const N_LINES: usize = 60;

#[derive(Args, Debug)]
pub(crate) struct Explore {
    /// Run this many clusters with faults, the first with the seed of --seed and each with the next,
    /// and say what came of them; ends with 1 if any broke a promise.
    #[arg(long, value_name = "N", conflicts_with_all = ["files", "nodes", "replicas", "report"])]
    runs: Option<NonZeroU64>,
    /// How many of them run at once; what is found does not depend on it [default: as many as there
    /// are processors].
    #[arg(long, value_name = "J", requires = "runs")]
    jobs: Option<NonZeroUsize>,
    /// Run one of them again: by its seed, or from a file with its plan, or from `-`, the input.
    #[arg(long, value_name = "SEED|FILE|-", conflicts_with_all = ["files", "nodes", "replicas", "runs", "seed"])]
    replay: Option<String>,
}

impl Explore {
    /// Does what was asked for, if anything of this was.
    pub(crate) fn run(
        &self,
        seed: u64,
        transcript: bool,
        report: Option<&Path>,
    ) -> Result<Option<ExitCode>, Box<dyn Error>> {
        if let Some(what) = &self.replay {
            return replay(what, transcript, report).map(Some);
        }
        let Some(runs) = self.runs else { return Ok(None) };
        let end = seed.checked_add(runs.get()).ok_or("--seed: there are not that many")?;
        let jobs = self.jobs.or_else(|| thread::available_parallelism().ok());
        explore(seed, end, jobs.unwrap_or(NonZeroUsize::MIN)).map(Some)
    }
}

fn explore(start: u64, end: u64, jobs: NonZeroUsize) -> Result<ExitCode, Box<dyn Error>> {
    // A panic of the code under test is a violation like any other, told when its turn has come.
    panic::set_hook(Box::new(|_| {}));
    let stop = stop_on_ctrl_c();
    let began = Instant::now();
    let progress = Progress::new(end - start);
    let summary = explore::explore(start..end, jobs, &stop, |summary| progress.show(summary));
    let took = began.elapsed().as_secs_f64();
    progress.end();
    let mut out = io::stdout().lock();
    writeln!(out, "{summary}")?;
    writeln!(
        out,
        "{took:.1} s, {jobs} at once: {:.0} events per second",
        summary.events() as f64 / took.max(f64::EPSILON)
    )?;
    for seed in summary.violations().keys().take(N_SIMPLEST) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        writeln!(out, "\nseed {seed}, as simple as it can be:\n")?;
        write!(out, "{}", Finding::of(&Plan::of_seed(*seed).simplest(Effort::default()), N_LINES))?;
    }
    Ok(code(summary.violations().is_empty()))
}

fn replay(what: &str, transcript: bool, report: Option<&Path>) -> Result<ExitCode, Box<dyn Error>> {
    let plan = match what.parse() {
        Ok(seed) => Plan::of_seed(seed),
        Err(_) => read(what)?.parse().map_err(|error| format!("reading {what} failed: {error}"))?,
    };
    let (Outcome { violation, transcript: told, .. }, trace) = &plan.run_recorded();
    if let Some(file) = report {
        let command = format!("porter sim --replay {what}");
        let violation = violation.as_ref().map(|violation| violation.what.as_str());
        let page = report::page(&Run { trace, command: &command, violation });
        fs::write(file, page)
            .map_err(|error| format!("writing {} failed: {error}", file.display()))?;
    }
    let mut out = io::stdout().lock();
    if transcript {
        write!(out, "{told}")?;
    }
    write!(out, "{}", Finding::of(&plan, if transcript { 0 } else { N_LINES }))?;
    Ok(code(violation.is_none()))
}

fn read(file: &str) -> Result<String, String> {
    let read = match file {
        "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        file => fs::read_to_string(file),
    };
    read.map_err(|error| format!("reading {file} failed: {error}"))
}

fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Set once somebody presses Ctrl-C; who does so twice does not want to wait for the summary.
fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let pressed = Arc::clone(&stop);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            if pressed.swap(true, Ordering::Relaxed) {
                process::exit(130);
            }
        }
    });
    stop
}

/// How far it is, for whoever waits: a bar on a terminal, a line for each tenth elsewhere.
enum Progress {
    Bar(ProgressBar),
    Lines,
}

impl Progress {
    fn new(n_runs: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let style = "{wide_bar} {pos}/{len} runs, {per_sec}, {eta} left{msg}";
        let style = ProgressStyle::with_template(style).expect("the template names what there is");
        Self::Bar(ProgressBar::new(n_runs).with_style(style))
    }

    #[expect(
        clippy::print_stderr,
        reason = "what is found goes to the output, how far it is does not"
    )]
    fn show(&self, summary: &Summary) {
        let (runs, of) = (summary.runs(), summary.of());
        match (self, summary.violations().len()) {
            (Self::Bar(bar), n_violations) => {
                bar.set_position(runs);
                if n_violations > 0 {
                    bar.set_message(format!(", {n_violations} broke a promise"));
                }
            }
            (Self::Lines, n_violations) => {
                if runs * 10 / of > (runs - 1) * 10 / of {
                    eprintln!("{runs} of {of} runs, {n_violations} broke a promise");
                }
            }
        }
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

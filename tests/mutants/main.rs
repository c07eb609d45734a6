//! Breaks the code on purpose, one known mistake at a time, and demands that tests notice.
//!
//! Each file in `patches/` re-introduces one bug: one that a peer of Porter had, or one that is easily
//! made here. Each is applied to a scratch copy, which has to build, and the tests that it names have
//! to fail. A mutant that survives is a test that is missing.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod mutant;
mod scratch;

use std::{
    collections::BTreeSet,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;

use mutant::Mutant;
use scratch::{Scratch, Verdict};

/// Re-introduce known bugs one by one and demand that tests fail.
///
/// Works on a copy of the files that git knows, as they are now, and shares the build directory with
/// whoever called it. Succeeds if every mutant was found.
#[derive(Debug, Parser)]
struct Options {
    /// Only the mutants whose names contain this.
    #[arg(default_value = "")]
    name: String,
    /// Only the most telling ones, each by the cheapest of its tests: what CI runs on every change.
    #[arg(long)]
    ci: bool,
    /// Only list them, with the bug that each brings back.
    #[arg(long)]
    list: bool,
    /// How long the tests of one mutant may run before they count as hung, which is a failure, too.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says whether every mutant was found.
fn run(options: &Options) -> Result<bool, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut mutants = Mutant::all(&here.join("mutants/patches"))?;
    mutants.retain(|mutant| mutant.name.contains(&options.name) && (mutant.in_ci || !options.ci));
    if mutants.is_empty() {
        return Err(format!("there is no mutant like {:?}; see --list", options.name));
    }
    if options.list {
        for mutant in &mutants {
            println!("{:45} {}", mutant.name, mutant.bug);
        }
        return Ok(true);
    }
    let root = here.parent().expect("the package lies in the repository");
    let scratch = Scratch::new(root, Duration::from_secs(options.patience))?;
    let tests: BTreeSet<_> = mutants.iter().flat_map(|it| it.judges(options.ci)).collect();
    for tests in tests {
        scratch.demand_green(tests)?;
    }
    let mut survivors = Vec::new();
    for (number, mutant) in mutants.iter().enumerate() {
        let began_at = Instant::now();
        let verdict = scratch.judge(mutant, mutant.judges(options.ci))?;
        let took = began_at.elapsed().as_secs();
        println!("{:3}/{} {:45} {verdict} ({took} s)", number + 1, mutants.len(), mutant.name);
        if let Verdict::Survived(by) = verdict {
            survivors.push((mutant, by));
        }
    }
    println!("\n{} of {} mutants were found.", mutants.len() - survivors.len(), mutants.len());
    for (mutant, by) in &survivors {
        println!("  {} survived `cargo test {by}`: {}", mutant.name, mutant.bug);
    }
    Ok(survivors.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_can_still_be_made() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mutants = Mutant::all(&here.join("mutants/patches")).expect("they are well-formed");
        let root = here.parent().expect("the package lies in the repository");
        let scratch = Scratch::new(root, Duration::ZERO).expect("there is room");
        for mutant in &mutants {
            scratch.make_and_mend(mutant).expect("it applies");
        }
        assert!(mutants.iter().any(|mutant| mutant.in_ci));
    }
}

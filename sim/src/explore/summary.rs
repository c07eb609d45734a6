//! What many runs came to.

use std::{collections::BTreeMap, fmt, ops::Range, time::Duration};

use super::{Outcome, Violation};

/// What the runs of a range of seeds came to. It is the same however many threads ran them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    seeds: Range<u64>,
    runs: u64,
    simulated: Duration,
    events: u64,
    faults: BTreeMap<String, u64>,
    /// For each thing that has to happen in some runs: in how many it did.
    sometimes: BTreeMap<&'static str, u64>,
    overlaps: u64,
    runs_with_overlaps: u64,
    violations: BTreeMap<u64, Violation>,
}

impl Summary {
    /// The summary of no run yet.
    pub fn new(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            runs: 0,
            simulated: Duration::ZERO,
            events: 0,
            faults: BTreeMap::new(),
            sometimes: BTreeMap::new(),
            overlaps: 0,
            runs_with_overlaps: 0,
            violations: BTreeMap::new(),
        }
    }

    /// Adds what one run came to.
    pub fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.runs += 1;
        self.simulated += outcome.simulated;
        self.events += outcome.events;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for (name, count) in &outcome.sometimes {
            *self.sometimes.entry(name).or_default() += u64::from(*count > 0);
        }
        self.overlaps += outcome.overlaps;
        self.runs_with_overlaps += u64::from(outcome.overlaps > 0);
        if let Some(violation) = &outcome.violation {
            self.violations.insert(seed, violation.clone());
        }
    }

    /// How many runs there were.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many runs there were to be.
    pub fn of(&self) -> u64 {
        self.seeds.end - self.seeds.start
    }

    /// How many events there were in all of them.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The runs that broke a promise, by seed.
    pub fn violations(&self) -> &BTreeMap<u64, Violation> {
        &self.violations
    }

    /// What has to happen in some runs and happened in none.
    pub fn never(&self) -> Vec<&'static str> {
        self.sometimes.iter().filter(|(_, runs)| **runs == 0).map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs_f64() / 3_600.0;
        let Range { start, end } = self.seeds;
        match self.runs == self.of() {
            true => writeln!(f, "{} runs, seeds {start} to {}", self.runs, end - 1)?,
            false => writeln!(f, "{} of {} runs from seed {start} on", self.runs, self.of())?,
        }
        writeln!(f, "{hours:.1} h of simulated time, {} events", self.events)?;
        writeln!(f, "\nfaults")?;
        for (kind, count) in &self.faults {
            writeln!(f, "{count:>12}  {kind}")?;
        }
        writeln!(f, "\nin how many runs it happened that")?;
        for (name, runs) in &self.sometimes {
            let never = if *runs == 0 { "  (never)" } else { "" };
            writeln!(f, "{runs:>12}  {name}{never}")?;
        }
        writeln!(
            f,
            "\n{} overlaps of two voices in {} runs, all with clocks beyond what is bounded",
            self.overlaps, self.runs_with_overlaps
        )?;
        match self.violations.len() {
            0 => writeln!(f, "no promise was broken"),
            1 => writeln!(f, "1 run broke a promise"),
            n => writeln!(f, "{n} runs broke a promise"),
        }?;
        for (seed, violation) in &self.violations {
            writeln!(f, "\nseed {seed}: {}", violation.what)?;
            writeln!(f, "  porter sim --replay {seed}")?;
        }
        Ok(())
    }
}

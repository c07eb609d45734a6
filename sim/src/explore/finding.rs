//! A run as it is told to a person: what broke, the plan to run again, and what happened.

use std::fmt;

use super::{Outcome, Plan};

/// A plan and what came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    plan: Plan,
    outcome: Outcome,
    n_lines: usize,
}

impl Finding {
    /// Runs the plan. Of the transcript the last `n_lines` are told.
    pub fn of(plan: &Plan, n_lines: usize) -> Self {
        Self { plan: plan.clone(), outcome: plan.run_told(), n_lines }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, outcome, n_lines } = self;
        let lines: Vec<_> = outcome.transcript.lines().collect();
        for line in &lines[lines.len().saturating_sub(*n_lines)..] {
            writeln!(f, "{line}")?;
        }
        let (simulated, events) = (outcome.simulated.as_secs_f64(), outcome.events);
        writeln!(f, "\n{simulated:.3} s of simulated time, {events} events")?;
        if outcome.overlaps > 0 {
            writeln!(
                f,
                "{} overlaps of two voices, with clocks beyond what is bounded",
                outcome.overlaps
            )?;
        }
        match &outcome.violation {
            Some(violation) => writeln!(f, "{}", violation.what)?,
            None => writeln!(f, "no promise was broken")?,
        }
        write!(f, "\nporter sim --replay - <<'END'\n{plan}END\n")
    }
}

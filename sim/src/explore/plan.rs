//! A run, written down: a world, what is done to it and when.
//!
//! As text a plan is its [`Setting`] on the first line and one fault on each line after that, with
//! the milliseconds since the world began; all of it JSON. Lines that begin with `#` are comments.

use std::{error, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Setting;
use crate::Step;

/// A world and its faults, in the order of time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The world.
    pub setting: Setting,
    /// What is done to it.
    pub faults: Vec<Timed>,
}

/// Something that is done to a world at a moment.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timed(
    /// When, in milliseconds since the world began.
    pub u32,
    /// What.
    pub Step,
);

/// Why a text is no plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanError {
    /// The line, counted from 1.
    line: usize,
    reason: String,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", json(&self.setting))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "{}", json(fault)))
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (line, setting) = lines
            .next()
            .ok_or_else(|| PlanError { line: 1, reason: "a plan begins with its world".into() })?;
        let setting = read(line, setting)?;
        let mut faults: Vec<Timed> =
            lines.map(|(line, fault)| read(line, fault)).collect::<Result<_, _>>()?;
        faults.sort_by_key(|Timed(at, _)| *at);
        Ok(Self { setting, faults })
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the plan: {}", self.line, self.reason)
    }
}

impl error::Error for PlanError {}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and names are JSON")
}

fn read<'a, T: Deserialize<'a>>(line: usize, text: &'a str) -> Result<T, PlanError> {
    serde_json::from_str(text).map_err(|error| PlanError { line, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_is_written_and_read_is_the_same() {
        for seed in 0..500 {
            let plan = Plan::of_seed(seed);
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn comments_and_empty_lines_mean_nothing_and_faults_are_put_in_order() {
        let plan = Plan {
            setting: Setting::calm(7),
            faults: vec![Timed(1_000, Step::DeleteLease), Timed(2_000, Step::Stall(1, 3))],
        };
        let setting = json(&plan.setting);
        let text =
            format!("# why\n\n{setting}\n[2000,{{\"stall\":[1,3]}}]\n[1000,\"delete-lease\"]");
        assert_eq!(text.parse(), Ok(plan));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let text = format!("{}\n[1,\"melt\"]\n", json(&Setting::calm(7)));
        let error = text.parse::<Plan>().expect_err("nothing melts here").to_string();
        assert!(error.starts_with("line 2 of the plan: unknown variant `melt`"), "{error}");
        assert!("# nothing".parse::<Plan>().is_err());
    }
}

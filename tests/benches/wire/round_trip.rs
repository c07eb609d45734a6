//! Questions now and then: how long one waits for its answer.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    cpu::{self, Cpus, Placement},
    questions::{Family, Questions},
    responder::{Responder, Result},
    table::{median, percentile},
};

/// 200 questions a second.
const EVERY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Case {
    pub(crate) n_eips: usize,
    pub(crate) family: Family,
    pub(crate) placement: Placement,
    /// Whether every CPU has two other threads to run.
    pub(crate) contended: bool,
}

/// The waits of each round, in microseconds: for the kernel's answers and for ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<[Vec<f64>; 2]>);

impl Rounds {
    /// One more round of so many questions for each.
    pub(crate) async fn measure(
        &mut self,
        case: Case,
        [kernel, porter]: [&mut Responder; 2],
        cpus: Cpus,
        count: usize,
    ) -> Result<()> {
        let (kernel, porter) =
            (waits(case, kernel, cpus, count).await?, waits(case, porter, cpus, count).await?);
        self.0.push([kernel, porter]);
        Ok(())
    }
}

async fn waits(case: Case, at: &mut Responder, cpus: Cpus, count: usize) -> Result<Vec<f64>> {
    let questions = Questions::new(case.family, case.n_eips, false, at.mac);
    let generator = Arc::clone(&at.generators[case.family as usize]);
    at.threads()?.into_iter().try_for_each(|thread| cpus.answer(case.placement, Some(thread)))?;
    let trickle = move || -> Result<Vec<f64>> {
        cpus.ask(case.placement)?;
        let busy = if case.contended { Some(cpus.busy()?) } else { None };
        cpu::hurry();
        let waits = generator.trickle(&questions, count, EVERY);
        cpu::hurry_no_more();
        drop(busy);
        let waits = waits?;
        Ok(waits.iter().map(|wait| wait.as_secs_f64() * 1e6).collect())
    };
    at.beside(trickle).await?
}

/// The first line of a table of cases.
pub(crate) const HEAD: &str = "EIPS    FAMILY  ON        BUSY      KERNEL p50    p99  p99.9   \
                               PORTER p50    p99  p99.9   RATIO OF p50";

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, on) = (self.family.name(), self.placement.name());
        let busy = if self.contended { "yes" } else { "no" };
        write!(f, "{:<8}{family:<8}{on:<10}{busy:<6}", self.n_eips)
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for who in [0, 1] {
            let all = || self.0.iter().flat_map(|round| round[who].iter().copied());
            let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| percentile(all(), percent));
            write!(f, "{p50:>12.1}{p99:>7.0}{p999:>7.0}")?;
        }
        let ratios = self.0.iter().map(|[kernel, porter]| {
            median(porter.iter().copied()) / median(kernel.iter().copied())
        });
        write!(f, "{:>15.2}", median(ratios))
    }
}

//! Questions as fast as answers come: how many a second, and what CPU each costs.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    cpu::{self, Cpus, Placement},
    questions::{Family, Questions},
    responder::{Responder, Result},
    table::{median, ratio},
};

/// For how long it is asked before anything is counted.
const WARM_UP: Duration = Duration::from_millis(50);

/// What is asked, and where.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Case {
    pub(crate) n_eips: usize,
    pub(crate) family: Family,
    pub(crate) misses: bool,
    pub(crate) placement: Placement,
}

/// What one responder made of it in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    per_second: f64,
    /// CPU of both ends for one question, in microseconds.
    cpu: f64,
    /// The part of it that responder threads have, in microseconds.
    responder: f64,
    lost: u64,
}

/// All rounds of one case: the kernel's and ours, side by side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<[Sample; 2]>);

impl Rounds {
    /// One more round: first one responder, then the other.
    pub(crate) async fn measure(
        &mut self,
        case: Case,
        [kernel, porter]: [&mut Responder; 2],
        cpus: Cpus,
        span: Duration,
    ) -> Result<()> {
        self.0
            .push([storm(case, kernel, cpus, span).await?, storm(case, porter, cpus, span).await?]);
        Ok(())
    }
}

async fn storm(case: Case, at: &mut Responder, cpus: Cpus, span: Duration) -> Result<Sample> {
    let Case { n_eips, family, misses, placement } = case;
    let questions = Questions::new(family, n_eips, misses, at.mac);
    let generator = Arc::clone(&at.generators[family as usize]);
    let threads = at.threads()?;
    threads.iter().try_for_each(|&thread| cpus.answer(placement, Some(thread)))?;
    let storm = move || -> Result<Sample> {
        cpus.ask(placement)?;
        generator.storm(&questions, WARM_UP)?;
        let ran = || threads.iter().map(|thread| thread.ran()).sum::<std::io::Result<Duration>>();
        let (own, responders) = (cpu::own(), ran()?);
        let asked = generator.storm(&questions, span)?;
        let (own, responders) = (cpu::own() - own, ran()? - responders);
        let met = asked.met as f64;
        let each = |span: Duration| span.as_secs_f64() * 1e6 / met;
        Ok(Sample {
            per_second: met / asked.took.as_secs_f64(),
            cpu: each(own + responders),
            responder: each(responders),
            lost: asked.lost,
        })
    };
    at.beside(storm).await?
}

/// The first line of a table of cases.
pub(crate) const HEAD: &str = "EIPS    FAMILY  ASKED   ON         KERNEL/s  PORTER/s  RATIO   \
                               KERNEL us  PORTER us  OF IT RESPONDER us  LOST";

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = if self.misses { "misses" } else { "hits" };
        let (family, on) = (self.family.name(), self.placement.name());
        write!(f, "{:<8}{family:<8}{asked:<8}{on:<9}", self.n_eips)
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |who: usize, value: fn(&Sample) -> f64| {
            median(self.0.iter().map(move |round| value(&round[who])))
        };
        let pairs = self.0.iter().map(|[kernel, porter]| (kernel.per_second, porter.per_second));
        let lost: u64 = self.0.iter().flatten().map(|sample| sample.lost).sum();
        write!(
            f,
            "{:>10.0}{:>10.0}{:>7.2}{:>12.2}{:>11.2}{:>20.2}{lost:>6}",
            of(0, |it| it.per_second),
            of(1, |it| it.per_second),
            ratio(pairs),
            of(0, |it| it.cpu),
            of(1, |it| it.cpu),
            of(1, |it| it.responder),
        )
    }
}

//! Many simulated worlds, one after the other, in search of one that breaks a promise.
//!
//! A seed makes a [`Plan`]: a world, what is done to it and when. A plan that is run has an
//! [`Outcome`], outcomes add up to a [`Summary`], and a plan that ends in a violation is made as
//! small as it can be ([`Plan::simplest`]) before anybody has to read it.
//!
//! What is found does not depend on how many threads looked for it: a run is a function of its plan,
//! and the summary is told in the order of the seeds.

mod choice;
mod finding;
mod outcome;
mod plan;
mod setting;
pub mod shrink;
mod simplest;
mod sort;
mod summary;

use std::{
    num::NonZeroUsize,
    ops::Range,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

pub use finding::Finding;
pub use outcome::{Broken, Outcome, Violation};
pub use plan::{Plan, PlanError, Timed};
pub use setting::{Contest, Setting, Timing};
pub use simplest::Effort;
pub use summary::Summary;

/// Runs the plan of every seed, as many at once as there are `jobs`, until all are run or `stop` is
/// set. `watch` is told after each run how far it is.
pub fn explore(
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    stop: &AtomicBool,
    mut watch: impl FnMut(&Summary),
) -> Summary {
    let mut summary = Summary::new(seeds.clone());
    let next = AtomicU64::new(seeds.start);
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sender.send((seed, Plan::of_seed(seed).run())).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (seed, outcome) in outcomes {
            summary.add(seed, &outcome);
            watch(&summary);
        }
    });
    summary
}

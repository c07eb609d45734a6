//! The simplest plan that still breaks a promise of the same kind: fewer faults first, then a
//! smaller and quieter world, then rounder and shorter times.

use super::{Plan, Setting, Timed, shrink};
use crate::{Step, Trial};

/// How many runs may be spent on making one plan simpler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Effort {
    /// How many.
    pub runs: u32,
}

impl Default for Effort {
    /// A minute or two of a release build.
    fn default() -> Self {
        Self { runs: 600 }
    }
}

impl Plan {
    /// The simplest plan that was found within `effort`; this one, if it breaks no promise.
    pub fn simplest(&self, effort: Effort) -> Self {
        let Some(violation) = self.run().violation else { return self.clone() };
        let broken = violation.broken;
        simplest(self, effort, |plan| {
            plan.run().violation.is_some_and(|violation| violation.broken == broken)
        })
    }
}

fn simplest(plan: &Plan, effort: Effort, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut runs = effort.runs;
    let mut fails = |plan: &Plan| {
        // Whoever has nothing left to spend learns of no simpler plan.
        runs = match runs.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        fails(plan)
    };
    let mut plan = plan.clone();
    loop {
        let before = plan.clone();
        let setting = plan.setting.clone();
        plan.faults = shrink::fewest(&plan.faults, |faults| {
            fails(&Plan { setting: setting.clone(), faults: faults.to_vec() })
        });
        for simpler in settings() {
            let mut other = plan.clone();
            simpler(&mut other.setting);
            if other.setting != plan.setting && fails(&other) {
                plan = other;
            }
        }
        for i in 0..plan.faults.len() {
            while let Some(simpler) = times(&plan, i).into_iter().find(&mut fails) {
                plan = simpler;
            }
        }
        if plan == before {
            return plan;
        }
    }
}

type Change = fn(&mut Setting);

/// What makes a world smaller or quieter.
fn settings() -> [Change; 27] {
    [
        |it| it.services = 1,
        |it| it.services = it.services.div_ceil(2),
        |it| it.nodes = it.nodes.min(3),
        |it| it.replicas = it.replicas.min(2),
        |it| it.clocks_ppm = vec![0],
        |it| it.api_latency_ms = 5,
        |it| it.watch_lag_ms = 5,
        |it| it.lan_delay_ms = 1,
        |it| it.lan_loss = 0,
        |it| it.lan_duplicates = 0,
        |it| it.fdb_age_ms = 0,
        |it| it.blocks_unknown = false,
        |it| it.dual_stack = false,
        |it| it.clients = Vec::new(),
        |it| it.clients.truncate(1),
        |it| it.lost_requests = 0,
        |it| it.lost_verdicts = 0,
        |it| it.publish_delay_us = 100,
        |it| it.sends_late = false,
        |it| it.timing = super::Timing::Default,
        |it| it.checks_proxies = false,
        |it| it.contest = super::Contest::Ignore,
        |it| it.outside = Vec::new(),
        |it| it.trial = Trial::None,
        |it| it.asks_every_ms = 0,
        |it| it.asks_every_ms = it.asks_every_ms.saturating_mul(10),
        |it| it.seed = 1,
    ]
}

/// Plans in which one fault comes at a rounder time, or is shorter. The order of faults stays, and
/// every change makes a number smaller, so that there is an end to it.
fn times(plan: &Plan, i: usize) -> Vec<Plan> {
    let Timed(at, step) = plan.faults[i];
    let earliest = i.checked_sub(1).map_or(0, |before| plan.faults[before].0);
    let rounder = [1_000, 100, 10].map(|unit| Timed(at / unit * unit, step));
    let shorter = match step {
        Step::Stall(replica, millis) => halves(millis).map(|m| Step::Stall(replica, m)).collect(),
        Step::BreakWatch(replica, kind, millis) => {
            halves(millis).map(|m| Step::BreakWatch(replica, kind, m)).collect()
        }
        Step::Clock(replica, ppm) => vec![Step::Clock(replica, ppm / 2)],
        Step::Scale(workload, n_pods) => vec![Step::Scale(workload, n_pods / 2)],
        Step::RepeatWatch(replica, kind, n) => vec![Step::RepeatWatch(replica, kind, n / 2)],
        Step::Suspend(node, millis) => halves(millis).map(|m| Step::Suspend(node, m)).collect(),
        Step::StallApi(millis) => halves(millis).map(Step::StallApi).collect(),
        Step::Busy(replica, millis) => halves(millis).map(|m| Step::Busy(replica, m)).collect(),
        Step::Fail(replica, millis) => halves(millis).map(|m| Step::Fail(replica, m)).collect(),
        Step::Forbid(replica, millis) => halves(millis).map(|m| Step::Forbid(replica, m)).collect(),
        Step::StaleList(replica, kind, n) => vec![Step::StaleList(replica, kind, n / 2)],
        Step::WallClock(host, secs) => vec![Step::WallClock(host, secs / 2)],
        Step::Storm(eip, n) => vec![Step::Storm(eip, n / 2)],
        Step::Annotate(..)
        | Step::AnswerEips(..)
        | Step::Ask(_)
        | Step::BindPorts(_)
        | Step::Cable(..)
        | Step::Claim(..)
        | Step::CloneMac(..)
        | Step::Cordon(..)
        | Step::Crash(_)
        | Step::CreateService(_)
        | Step::Cut(_)
        | Step::DeleteLease
        | Step::DeletePods(_)
        | Step::DeleteService(_)
        | Step::Down(_)
        | Step::EmptyLease(_)
        | Step::Expire(..)
        | Step::Filter(_)
        | Step::Garble(_)
        | Step::Heal(_)
        | Step::Inspect(_)
        | Step::Join
        | Step::Leave(_)
        | Step::Marginal(..)
        | Step::NodeReady(..)
        | Step::Part(..)
        | Step::Ping(_)
        | Step::Policy(..)
        | Step::Power(..)
        | Step::Proxy(..)
        | Step::Double(..)
        | Step::Renumber(_)
        | Step::TakeEip(..)
        | Step::Run(_)
        | Step::Spoof(_)
        | Step::SwapNic(_)
        | Step::Up(_) => Vec::new(),
    };
    let changed = rounder.into_iter().chain(shorter.into_iter().map(|step| Timed(at, step)));
    changed
        .filter(|fault| *fault != plan.faults[i] && fault.0 >= earliest)
        .map(|fault| {
            let mut plan = plan.clone();
            plan.faults[i] = fault;
            plan
        })
        .collect()
}

/// Half of it, and all but its odd milliseconds.
fn halves(millis: u32) -> impl Iterator<Item = u32> {
    [millis / 2, millis / 1_000 * 1_000, millis / 100 * 100].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan fails if a replica stands still for 3 s and the Lease is deleted after that.
    fn fails(plan: &Plan) -> bool {
        let stall = |it: &Timed| matches!(it.1, Step::Stall(_, millis) if millis >= 3_000);
        let stalled = plan.faults.iter().position(stall);
        let deleted = plan.faults.iter().rposition(|it| it.1 == Step::DeleteLease);
        stalled.zip(deleted).is_some_and(|(stalled, deleted)| stalled < deleted)
    }

    fn long() -> Plan {
        let noise = (0..40).map(|i| Timed(i * 777, Step::Crash(i as usize)));
        let causes = [Timed(12_345, Step::Stall(1, 29_731)), Timed(23_456, Step::DeleteLease)];
        let mut faults: Vec<_> = noise.chain(causes).collect();
        faults.sort_by_key(|Timed(at, _)| *at);
        let setting = Setting { services: 50, lan_loss: 200, ..Setting::calm(99) };
        Plan { setting, faults }
    }

    #[test]
    fn what_is_not_needed_is_taken_away_and_what_is_becomes_short_and_round() {
        let plan = simplest(&long(), Effort::default(), fails);
        let contest = super::super::Contest::Ignore;
        assert_eq!(plan.setting, Setting { replicas: 2, contest, ..Setting::calm(1) });
        let [Timed(stalled_at, Step::Stall(1, millis)), Timed(deleted_at, Step::DeleteLease)] =
            plan.faults[..]
        else {
            panic!("{plan}")
        };
        assert!((3_000..=3_999).contains(&millis), "{plan}");
        assert_eq!((stalled_at % 1_000, deleted_at % 1_000), (0, 0));
    }

    #[test]
    fn whoever_runs_out_of_effort_has_a_plan_that_fails_nevertheless() {
        for runs in 0..40 {
            let tried = std::cell::Cell::new(0);
            let plan = simplest(&long(), Effort { runs }, |plan| {
                tried.set(tried.get() + 1);
                fails(plan)
            });
            assert!(fails(&plan));
            assert!(tried.get() <= runs, "{} of {runs}", tried.get());
        }
    }

    #[test]
    fn a_plan_that_breaks_nothing_stays_as_it_is() {
        let plan = Plan { setting: Setting::calm(1), faults: vec![Timed(9_000, Step::Crash(0))] };
        assert_eq!(plan.simplest(Effort::default()), plan);
    }
}

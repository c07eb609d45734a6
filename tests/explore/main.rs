//! Many worlds with faults: those that were worth keeping, a fixed number of others, and how they
//! are told.

mod command;

use std::{
    collections::BTreeSet,
    fs,
    num::NonZeroUsize,
    ops::Range,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use porter_sim::{
    Client, Step,
    explore::{self, Broken, Effort, Plan, Setting, Summary, Timed},
};

/// Runs on one thread: the test runner has others for the other tests.
fn explored(seeds: Range<u64>, jobs: usize) -> Summary {
    let jobs = NonZeroUsize::new(jobs).expect("somebody has to look");
    explore::explore(seeds, jobs, &AtomicBool::new(false), |_| {})
}

/// Clocks that are off by far more than is bounded, in a world that was not told so: a slow leader is
/// cut off while a fast replica waits for it. And faults that have nothing to do with it.
fn broken() -> Plan {
    let setting = Setting { clocks_ppm: vec![-300_000, 300_000], ..Setting::calm(5) };
    let causes = [
        Timed(1, Step::Down(1)),
        Timed(15_111, Step::Up(1)),
        Timed(17_345, Step::Cut(0)),
        Timed(17_345, Step::Cut(2)),
    ];
    let noise = (0..10).map(|i| Timed(20_000 + i * 100, Step::Cordon(2, i % 2 == 0)));
    Plan { setting, faults: causes.into_iter().chain(noise).collect() }
}

#[test]
fn every_plan_that_was_kept_breaks_no_promise() {
    let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/seeds");
    let mut files: Vec<_> = fs::read_dir(&seeds)
        .expect("the plans are in the repository")
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).expect("a plan can be read");
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let outcome = plan.run();
        assert_eq!(outcome.violation, None, "{}\n{}", file.display(), outcome.transcript);
    }
}

#[test]
fn three_hundred_worlds_with_faults_keep_every_promise() {
    // The rarest of what has to happen is seen in one of a hundred; among these it is.
    let summary = explored(2_000..2_300, 1);
    assert!(summary.violations().is_empty(), "{summary}");
    assert!(summary.never().is_empty(), "the worlds do not go everywhere: {summary}");
}

#[test]
fn what_is_found_does_not_depend_on_how_many_look_for_it() {
    let alone = explored(1_000..1_012, 1);
    assert_eq!(alone, explored(1_000..1_012, 3));
    assert_eq!(alone.runs(), 12);
}

#[test]
fn who_is_stopped_tells_what_was_found_until_then() {
    let stop = AtomicBool::new(false);
    let summary = explore::explore(1..1_000, NonZeroUsize::MIN, &stop, |summary| {
        stop.store(summary.runs() >= 3, Ordering::Relaxed);
    });
    assert!((3..1_000).contains(&summary.runs()), "{summary}");
    let told = format!("{} of 999 runs from seed 1 on", summary.runs());
    assert!(summary.to_string().starts_with(&told), "{summary}");
}

#[test]
fn a_run_is_a_function_of_its_plan() {
    let plan = Plan::of_seed(7);
    let outcome = plan.run_told();
    assert!(!outcome.transcript.is_empty());
    assert_eq!(outcome, plan.run_told());
}

#[test]
fn small_clusters_large_ones_and_clocks_beyond_every_bound_are_all_explored() {
    let plans: Vec<_> = (0..1_000).map(Plan::of_seed).collect();
    let share = |so: fn(&Plan) -> bool| plans.iter().filter(|plan| so(plan)).count();
    assert!(share(|plan| plan.setting.nodes == 1) >= 100);
    assert!(share(|plan| plan.setting.nodes == 2) >= 100);
    assert!(share(|plan| plan.setting.nodes == 8) >= 50);
    assert!(share(|plan| plan.setting.replicas == 1) >= 50);
    assert!(share(|plan| plan.setting.replicas == 5) >= 20);
    assert!(share(|plan| plan.setting.services == 50) >= 50);
    assert!(share(|plan| matches!(plan.faults.first(), Some(Timed(0, Step::Clock(..))))) >= 50);
}

#[test]
fn every_fault_is_chosen_and_so_is_every_kind_of_host_and_switch() {
    let plans: Vec<_> = (0..1_000).map(Plan::of_seed).collect();
    let faults = plans.iter().flat_map(|plan| &plan.faults);
    let chosen: BTreeSet<_> = faults.map(|Timed(_, step)| step.kind()).collect();
    let missing = |kinds: &str| -> Vec<String> {
        kinds.split_whitespace().map(str::to_owned).filter(|it| !chosen.contains(it)).collect()
    };
    let on_the_lan = "bind-ports cable claim filter garble inspect join part spoof storm";
    assert_eq!(missing(on_the_lan), [""; 0]);
    let of_nodes = "answer-eips clone-mac double marginal power proxy renumber suspend swap-nic take-eip wall-clock";
    assert_eq!(missing(of_nodes), [""; 0]);
    let of_replicas = "clock crash cut down heal leave stall up";
    assert_eq!(missing(of_replicas), [""; 0]);
    let of_the_api = "break-watch busy expire fail forbid repeat-watch stale-list stall-api";
    assert_eq!(missing(of_the_api), [""; 0]);
    let of_people = "annotate ask cordon create-service delete-lease delete-pods delete-service \
                     empty-lease node-ready ping scale";
    assert_eq!(missing(of_people), [""; 0]);
    let clients = plans.iter().flat_map(|plan| &plan.setting.clients);
    assert!(Client::ALL.iter().all(|kind| clients.clone().any(|it| it == kind)));
    let share = |so: fn(&Setting) -> bool| plans.iter().filter(|plan| so(&plan.setting)).count();
    assert!(share(|setting| setting.clients.len() > 1) >= 100);
    assert!(share(|setting| setting.blocks_unknown) >= 50);
    assert!(share(|setting| setting.fdb_age_ms > 0) >= 100);
    assert!(share(|setting| setting.lan_duplicates > 0) >= 100);
    assert!(share(|setting| setting.dual_stack) >= 200);
}

#[test]
fn a_broken_promise_is_made_as_simple_as_it_can_be_and_still_is_one() {
    let plan = broken().simplest(Effort::default());
    let violation = plan.run().violation.expect("it still breaks the promise");
    assert_eq!(violation.broken, Broken::Never);
    assert!(violation.what.starts_with("two voices"), "{}", violation.what);
    assert!(plan.faults.len() <= 5, "{plan}");
    // Faults last until the last of them, so one of those that do nothing may be needed.
    let noise = plan.faults.iter().filter(|fault| matches!(fault.1, Step::Cordon(..)));
    assert!(noise.count() <= 1, "{plan}");
}

//! Which plan a seed makes.
//!
//! By swarm testing (Groce et al., "Swarm Testing", 2012): every run is rough in few ways and very
//! rough in those, since faults of all kinds at once hide each other. Some runs are about the last
//! millisecond of a claim, and some go far beyond what one voice is promised for.

use porter_core::Kind;

use super::{Plan, Setting, Timed, Timing};
use crate::{
    Step,
    world::{DRIFT_PPM, Rng},
};

/// By how much clocks may be off that are off by more than is bounded, in parts per million.
const BEYOND_PPM: i32 = 300_000;

/// A sort of fault that a run has or has not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    Asked,
    BrokenWatch,
    Cable,
    Cordoned,
    Crash,
    Cut,
    Down,
    Edited,
    Leave,
    LeaseByHand,
    NewNic,
    NotReady,
    Outage,
    Parted,
    Pinned,
    Pods,
    Power,
    Proxy,
    RepeatedWatch,
    Stall,
}

const SORTS: [Sort; 20] = [
    Sort::Asked,
    Sort::BrokenWatch,
    Sort::Cable,
    Sort::Cordoned,
    Sort::Crash,
    Sort::Cut,
    Sort::Down,
    Sort::Edited,
    Sort::Leave,
    Sort::LeaseByHand,
    Sort::NewNic,
    Sort::NotReady,
    Sort::Outage,
    Sort::Parted,
    Sort::Pinned,
    Sort::Pods,
    Sort::Power,
    Sort::Proxy,
    Sort::RepeatedWatch,
    Sort::Stall,
];

/// What makes a leader lose the Lease.
const LOSSES: [Sort; 5] = [Sort::Crash, Sort::Cut, Sort::Leave, Sort::Outage, Sort::Stall];

impl Plan {
    /// The plan that this seed makes. Another version of Porter may make another one of it; what is
    /// to be kept is the plan.
    pub fn of_seed(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x706c_616e);
        let mut faults = Vec::new();
        let setting = match rng.below(8) {
            0 => edge(seed, rng),
            _ => swarm(seed, rng),
        };
        let beyond = rng.below(6) == 0;
        if beyond {
            for i in 0..usize::from(setting.replicas) {
                let ppm = rng.pick(&[-BEYOND_PPM, -BEYOND_PPM / 10, BEYOND_PPM / 10, BEYOND_PPM]);
                faults.push(Timed(0, Step::Clock(i, ppm)));
            }
        }
        let mut sorts: Vec<_> = SORTS.into_iter().filter(|_| rng.chance(300)).collect();
        // Somebody has to lose the Lease in most runs, whatever else they are about.
        sorts.push(if beyond { Sort::Cut } else { rng.pick(&LOSSES) });
        let span_ms = rng.pick(&[20_000, 60_000, 120_000, 240_000]);
        let n_faults = rng.pick(&[5, 20, 60, 120]);
        let gap_ms = rng.pick(&[30, 1_000, 8_000]);
        let mut at_ms = 0;
        for _ in 0..n_faults {
            // Faults come in bursts, since what is found often needs two close to each other.
            at_ms = match rng.chance(600) {
                true => at_ms + below(rng, gap_ms),
                false => below(rng, span_ms),
            };
            let sort = rng.pick(&sorts);
            add(&mut faults, at_ms, sort, &setting, rng);
        }
        faults.sort_by_key(|Timed(at_ms, _)| *at_ms);
        Self { setting, faults }
    }
}

/// A world in weather of any kind.
fn swarm(seed: u64, rng: &mut Rng) -> Setting {
    let nodes = rng.pick(&[1, 2, 3, 3, 3, 3, 5, 8]);
    let bound = i32::try_from(DRIFT_PPM).expect("a bound of clocks is small");
    Setting {
        nodes,
        replicas: rng.pick(&[1, 2, 3, 3, 3, 5]).min(nodes),
        services: rng.pick(&[1, 1, 1, 2, 2, 3, 5, 10, 20, 50]),
        timing: rng.pick(&[Timing::Default, Timing::NoMargin, Timing::Patient]),
        clocks_ppm: (0..nodes).map(|_| rng.pick(&[-bound, 0, bound])).collect(),
        api_latency_ms: rng.pick(&[5, 5, 50, 500, 3_000, 10_000]),
        watch_lag_ms: rng.pick(&[5, 50, 500, 3_000]),
        lan_delay_ms: rng.pick(&[1, 1, 20, 300]),
        lan_loss: rng.pick(&[0, 0, 10, 200, 500]),
        lost_requests: rng.pick(&[0, 0, 20, 200]),
        lost_verdicts: rng.pick(&[0, 0, 20, 200]),
        publish_delay_us: rng.pick(&[0, 1_000, 50_000, 1_000_000]),
        sends_late: rng.chance(500),
        asks_every_ms: rng.pick(&[0, 0, 200, 500]),
        checks_proxies: rng.chance(300),
        ..Setting::calm(seed)
    }
}

/// A world where every margin is used up, and nothing else takes any time to hide that.
fn edge(seed: u64, rng: &mut Rng) -> Setting {
    let bound = i32::try_from(DRIFT_PPM).expect("a bound of clocks is small");
    Setting {
        timing: rng.pick(&[Timing::Default, Timing::NoMargin]),
        clocks_ppm: (0..3).map(|_| rng.pick(&[-bound, bound])).collect(),
        publish_delay_us: rng.pick(&[0, 20_000]),
        sends_late: true,
        asks_every_ms: rng.pick(&[50, 100]),
        ..Setting::calm(seed)
    }
}

/// Adds a fault of this sort, and when it ends.
fn add(faults: &mut Vec<Timed>, at: u32, sort: Sort, setting: &Setting, rng: &mut Rng) {
    let replica = below(rng, u32::from(setting.replicas)) as usize;
    let node = below(rng, u32::from(setting.nodes)) as usize;
    let service = below(rng, u32::from(setting.services) + 1) as usize;
    let span = rng.pick(&[100, 2_000, 15_000, 60_000]);
    let span = below(rng, span);
    let mut then = |after: u32, step| faults.push(Timed(at + after, step));
    match sort {
        Sort::Asked => {
            let number = u8::try_from(service).unwrap_or_default();
            then(0, if rng.chance(500) { Step::Ask(number) } else { Step::Ping(number) });
        }
        Sort::BrokenWatch => then(0, Step::BreakWatch(replica, rng.pick(&KINDS), span / 2)),
        Sort::Cable => {
            then(0, Step::Cable(node, false));
            then(span, Step::Cable(node, true));
        }
        Sort::Cordoned => {
            then(0, Step::Cordon(node, true));
            then(span, Step::Cordon(node, false));
        }
        Sort::Crash => then(0, Step::Crash(replica)),
        Sort::Cut => {
            then(0, Step::Cut(replica));
            then(span, Step::Heal(replica));
        }
        Sort::Down => {
            then(0, Step::Down(replica));
            then(span, Step::Up(replica));
        }
        Sort::Edited if rng.chance(500) => then(0, Step::CreateService(service)),
        Sort::Edited => then(0, Step::DeleteService(service)),
        Sort::Leave => then(0, Step::Leave(replica)),
        Sort::LeaseByHand if rng.chance(500) => then(0, Step::DeleteLease),
        Sort::LeaseByHand => then(0, Step::EmptyLease(rng.chance(500).then_some(replica))),
        Sort::NewNic => then(0, Step::SwapNic(node)),
        Sort::NotReady => {
            then(0, Step::NodeReady(node, false));
            then(span, Step::NodeReady(node, true));
        }
        Sort::Outage => {
            for replica in 0..usize::from(setting.replicas) {
                then(0, Step::Cut(replica));
                then(span, Step::Heal(replica));
            }
        }
        Sort::Parted => {
            // The host outside has the port after those of the nodes.
            let ports = u64::from(setting.nodes) + 1;
            let mut port = || usize::try_from(rng.below(ports)).expect("there are few ports");
            let (from, to) = (port(), port());
            then(0, Step::Part(from, to));
            then(span, Step::Join);
        }
        Sort::Pinned => then(0, Step::Annotate(service, rng.chance(700).then_some(node))),
        Sort::Pods if rng.chance(500) => then(0, Step::DeletePods(node)),
        Sort::Pods => then(0, Step::Scale(0, rng.pick(&[0, 1, 2, 3, 8]))),
        Sort::Power => {
            then(0, Step::Power(node, false));
            then(span, Step::Power(node, true));
        }
        Sort::Proxy => {
            then(0, Step::Proxy(node, false));
            then(span, Step::Proxy(node, true));
        }
        Sort::RepeatedWatch => {
            let n_last = rng.pick(&[1, 3, 20]);
            then(0, Step::RepeatWatch(replica, rng.pick(&KINDS), n_last));
        }
        Sort::Stall => then(0, Step::Stall(replica, span)),
    }
}

const KINDS: [Kind; 6] =
    [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];

fn below(rng: &mut Rng, end: u32) -> u32 {
    u32::try_from(rng.below(u64::from(end))).expect("it is below a u32")
}

//! Which plan a seed makes.
//!
//! By swarm testing (Groce et al., "Swarm Testing", 2012): every run is rough in few ways and very
//! rough in those, since faults of all kinds at once hide each other. Some runs are about the last
//! millisecond of a claim, and some go far beyond what one voice is promised for.

use super::{
    Contest, Plan, Setting, Timed, Timing,
    sort::{SORTS, Sort, add},
};
use crate::{
    Client, Step, Trial,
    world::{DRIFT_PPM, Rng},
};

/// By how much clocks may be off that are off by more than is bounded, in parts per million.
const BEYOND_PPM: i32 = 300_000;

/// The shortest time after which a switch forgets a MAC, in milliseconds: far less than the 90 s after
/// which an EIP is announced again.
const FDB_AGE_MIN_MS: u32 = 10_000;

/// What makes a leader lose the Lease.
const LOSSES: [Sort; 5] = [Sort::Crash, Sort::Cut, Sort::Leave, Sort::Outage, Sort::Stall];

impl Plan {
    /// The plan that this seed makes. Another version of Porter may make another one of it; what is
    /// to be kept is the plan.
    pub fn of_seed(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x706c_616e);
        let mut faults = Vec::new();
        let mut setting = match rng.below(8) {
            0 => edge(seed, rng),
            _ => swarm(seed, rng),
        };
        setting.trial = rng.pick(&Trial::ALL);
        // By chance of its own, so that the others stay what they are.
        setting.dual_stack = Rng::new(seed ^ 0x6475_616c).chance(250);
        let beyond = rng.below(6) == 0;
        if beyond {
            for i in 0..usize::from(setting.replicas) {
                let ppm = rng.pick(&[-BEYOND_PPM, -BEYOND_PPM / 10, BEYOND_PPM / 10, BEYOND_PPM]);
                faults.push(Timed(0, Step::Clock(i, ppm)));
            }
        }
        let mut sorts: Vec<_> = SORTS.into_iter().filter(|_| rng.chance(200)).collect();
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
        if setting.nodes > 1 && rng.chance(300) {
            leave_outside(&mut setting, &mut faults, rng);
        }
        Self { setting, faults }
    }
}

/// A world in weather of any kind.
fn swarm(seed: u64, rng: &mut Rng) -> Setting {
    let nodes = rng.pick(&[1, 2, 3, 3, 3, 3, 5, 8]);
    let bound = i32::try_from(DRIFT_PPM).expect("a bound of clocks is small");
    let fdb_age_ms = rng.pick(&[0, 0, 0, FDB_AGE_MIN_MS, 120_000, 300_000]);
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
        lan_duplicates: rng.pick(&[0, 0, 0, 20, 200]),
        fdb_age_ms,
        // A switch that forgets sooner than it is told again would cut off who is silent by right.
        blocks_unknown: fdb_age_ms != FDB_AGE_MIN_MS && rng.chance(250),
        clients: clients(rng),
        contest: rng.pick(&[Contest::Defend, Contest::Defend, Contest::Strict, Contest::Yield]),
        ..Setting::calm(seed)
    }
}

/// One host like Linux, or a few of any kinds.
fn clients(rng: &mut Rng) -> Vec<Client> {
    let n_clients = rng.pick(&[0, 0, 0, 1, 2, 4]);
    (0..n_clients).map(|_| rng.pick(&Client::ALL)).collect()
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

/// Leaves some nodes, not all, outside of what is mended in the end, each broken in some way.
fn leave_outside(setting: &mut Setting, faults: &mut Vec<Timed>, rng: &mut Rng) {
    let at_ms = faults.last().map_or(0, |Timed(at_ms, _)| at_ms + 1);
    let spared = rng.below(u64::from(setting.replicas.min(setting.nodes)));
    for node in 0..setting.nodes {
        if u64::from(node) == spared || rng.chance(500) {
            continue;
        }
        let i = usize::from(node);
        let has_replica = node < setting.replicas;
        let broken = match rng.below(4) {
            0 if has_replica => Step::Cut(i),
            1 if has_replica => Step::Down(i),
            2 => Step::Power(i, false),
            _ => Step::Cable(i, false),
        };
        faults.push(Timed(at_ms, broken));
        setting.outside.push(node);
    }
}

pub(super) fn below(rng: &mut Rng, end: u32) -> u32 {
    u32::try_from(rng.below(u64::from(end))).expect("it is below a u32")
}

//! Which plan a seed makes.
//!
//! By swarm testing (Groce et al., "Swarm Testing", 2012): every run is rough in few ways and very
//! rough in those, since faults of all kinds at once hide each other. Some runs are about the last
//! millisecond of a claim, and some go far beyond what one voice is promised for.

use porter_core::Kind;

use super::{Plan, Setting, Timed, Timing};
use crate::{
    Client, Step, Trial,
    world::{DRIFT_PPM, Rng},
};

/// By how much clocks may be off that are off by more than is bounded, in parts per million.
const BEYOND_PPM: i32 = 300_000;

/// The shortest time after which a switch forgets a MAC, in milliseconds: far less than the 90 s after
/// which an EIP is announced again.
const FDB_AGE_MIN_MS: u32 = 10_000;

/// A sort of fault that a run has or has not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    AnswersEips,
    ApiStall,
    Asked,
    BrokenWatch,
    Cable,
    Claimed,
    Cloned,
    Cordoned,
    Crash,
    Cut,
    Down,
    Edited,
    Expired,
    Garbled,
    Guarded,
    LeaseByHand,
    Leave,
    Marginal,
    NewNic,
    NotReady,
    Outage,
    Parted,
    Pinned,
    Policy,
    Pods,
    Power,
    Proxy,
    Refused,
    Renumbered,
    RepeatedWatch,
    StaleList,
    Stall,
    Storm,
    Suspended,
    WallClock,
}

const SORTS: [Sort; 35] = [
    Sort::AnswersEips,
    Sort::ApiStall,
    Sort::Asked,
    Sort::BrokenWatch,
    Sort::Cable,
    Sort::Claimed,
    Sort::Cloned,
    Sort::Cordoned,
    Sort::Crash,
    Sort::Cut,
    Sort::Down,
    Sort::Edited,
    Sort::Expired,
    Sort::Garbled,
    Sort::Guarded,
    Sort::LeaseByHand,
    Sort::Leave,
    Sort::Marginal,
    Sort::NewNic,
    Sort::NotReady,
    Sort::Outage,
    Sort::Parted,
    Sort::Pinned,
    Sort::Policy,
    Sort::Pods,
    Sort::Power,
    Sort::Proxy,
    Sort::Refused,
    Sort::Renumbered,
    Sort::RepeatedWatch,
    Sort::StaleList,
    Sort::Stall,
    Sort::Storm,
    Sort::Suspended,
    Sort::WallClock,
];

/// The longest that an API server stands still, in milliseconds.
const API_STALL_MAX_MS: u32 = 10_000;

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

/// Adds a fault of this sort, and when it ends.
fn add(faults: &mut Vec<Timed>, at: u32, sort: Sort, setting: &Setting, rng: &mut Rng) {
    let replica = below(rng, u32::from(setting.replicas)) as usize;
    let node = below(rng, u32::from(setting.nodes)) as usize;
    let service = below(rng, u32::from(setting.services) + 1) as usize;
    let number = u8::try_from(service).expect("there are few Services");
    let span = rng.pick(&[100, 2_000, 15_000, 60_000]);
    let span = below(rng, span);
    let mut done = Done { faults, at, span };
    match sort {
        Sort::AnswersEips => {
            done.lasts(Step::AnswerEips(node, true), Step::AnswerEips(node, false));
        }
        Sort::ApiStall => done.now(Step::StallApi(span.min(API_STALL_MAX_MS))),
        Sort::Asked if rng.chance(500) => done.now(Step::Ask(number)),
        Sort::Asked => done.now(Step::Ping(number)),
        Sort::BrokenWatch => done.now(Step::BreakWatch(replica, rng.pick(&KINDS), span / 2)),
        Sort::Cable => done.lasts(Step::Cable(node, false), Step::Cable(node, true)),
        Sort::Claimed if rng.chance(300) => done.now(Step::Spoof(node)),
        Sort::Claimed => done.lasts(Step::Claim(number, true), Step::Claim(number, false)),
        Sort::Cloned => {
            let other = below(rng, u32::from(setting.nodes)) as usize;
            done.lasts(Step::CloneMac(node, other), Step::SwapNic(node));
        }
        Sort::Cordoned => done.lasts(Step::Cordon(node, true), Step::Cordon(node, false)),
        Sort::Crash => done.now(Step::Crash(replica)),
        Sort::Cut => done.lasts(Step::Cut(replica), Step::Heal(replica)),
        Sort::Down => done.lasts(Step::Down(replica), Step::Up(replica)),
        Sort::Edited if rng.chance(500) => done.now(Step::CreateService(service)),
        Sort::Edited => done.now(Step::DeleteService(service)),
        Sort::Expired => done.now(Step::Expire(replica, rng.pick(&KINDS))),
        Sort::Garbled => done.now(Step::Garble(below(rng, u32::MAX))),
        Sort::Guarded => {
            let guard = rng.pick(&[Step::BindPorts, Step::Filter, Step::Inspect]);
            done.lasts(guard(true), guard(false));
        }
        Sort::Leave => done.now(Step::Leave(replica)),
        Sort::LeaseByHand if rng.chance(500) => done.now(Step::DeleteLease),
        Sort::LeaseByHand => done.now(Step::EmptyLease(rng.chance(500).then_some(replica))),
        Sort::Marginal => {
            let lost = rng.pick(&[100, 300, 600]);
            done.lasts(Step::Marginal(node, lost), Step::Marginal(node, 0));
        }
        Sort::NewNic => done.now(Step::SwapNic(node)),
        Sort::NotReady => done.lasts(Step::NodeReady(node, false), Step::NodeReady(node, true)),
        Sort::Outage => {
            for replica in 0..usize::from(setting.replicas) {
                done.lasts(Step::Cut(replica), Step::Heal(replica));
            }
        }
        Sort::Parted => {
            // The hosts outside have the ports after those of the nodes.
            let ports = u64::from(setting.nodes) + setting.clients.len().max(1) as u64;
            let mut port = || usize::try_from(rng.below(ports)).expect("there are few ports");
            let (from, to) = (port(), port());
            done.lasts(Step::Part(from, to), Step::Join);
        }
        Sort::Policy => done.now(Step::Policy(service, rng.chance(600))),
        Sort::Pinned => done.now(Step::Annotate(service, rng.chance(700).then_some(node))),
        Sort::Pods if rng.chance(500) => done.now(Step::DeletePods(node)),
        Sort::Pods => done.now(Step::Scale(0, rng.pick(&[0, 1, 2, 3, 8]))),
        Sort::Power => done.lasts(Step::Power(node, false), Step::Power(node, true)),
        Sort::Proxy => done.lasts(Step::Proxy(node, false), Step::Proxy(node, true)),
        Sort::Refused => {
            let refuse = rng.pick(&[Step::Busy, Step::Fail, Step::Forbid]);
            match rng.chance(500) {
                true => done.now(refuse(replica, span)),
                false => {
                    let replicas = 0..usize::from(setting.replicas);
                    replicas.for_each(|id| done.now(refuse(id, span)));
                }
            }
        }
        Sort::Renumbered => done.now(Step::Renumber(node)),
        Sort::RepeatedWatch => {
            let n_last = rng.pick(&[1, 3, 20]);
            done.now(Step::RepeatWatch(replica, rng.pick(&KINDS), n_last));
        }
        Sort::StaleList => {
            done.now(Step::StaleList(replica, rng.pick(&KINDS), rng.pick(&[1, 3, 20])));
            if rng.chance(300) {
                // Whoever starts has nothing to hold against an old list.
                done.now(Step::Crash(replica));
            }
        }
        Sort::Stall => done.now(Step::Stall(replica, span)),
        Sort::Storm => done.now(Step::Storm(number, rng.pick(&[10, 100, 500]))),
        Sort::Suspended => done.now(Step::Suspend(node, span)),
        Sort::WallClock => {
            let host = below(rng, u32::from(setting.nodes) + 1) as usize;
            let secs = rng.pick(&[-86_400, -60, -1, 1, 60, 86_400]);
            done.now(Step::WallClock(host, secs));
        }
    }
}

/// What is done at one moment, and undone after a while.
struct Done<'a> {
    faults: &'a mut Vec<Timed>,
    at: u32,
    span: u32,
}

impl Done<'_> {
    fn now(&mut self, step: Step) {
        self.faults.push(Timed(self.at, step));
    }

    fn lasts(&mut self, begin: Step, end: Step) {
        self.now(begin);
        self.faults.push(Timed(self.at + self.span, end));
    }
}

const KINDS: [Kind; 6] =
    [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];

fn below(rng: &mut Rng, end: u32) -> u32 {
    u32::try_from(rng.below(u64::from(end))).expect("it is below a u32")
}

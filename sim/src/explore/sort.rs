//! The sorts of faults that a run may have, and what each does to a world.

use porter_core::Kind;

use super::{Setting, Timed, choice::below};
use crate::{Step, world::Rng};

/// A sort of fault that a run has or has not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sort {
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
    Dark,
    Doubled,
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
    TakenEip,
    WallClock,
}

/// All of them.
pub(super) const SORTS: [Sort; 38] = [
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
    Sort::Dark,
    Sort::Doubled,
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
    Sort::TakenEip,
    Sort::WallClock,
];

/// How long no cable is in, at least, in milliseconds.
const DARK_MS: u32 = 30_000;

/// The longest that an API server stands still, in milliseconds.
const API_STALL_MAX_MS: u32 = 10_000;

/// Adds a fault of this sort, and when it ends.
pub(super) fn add(faults: &mut Vec<Timed>, at: u32, sort: Sort, setting: &Setting, rng: &mut Rng) {
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
        Sort::Dark => done.dark(setting, rng),
        Sort::Doubled => {
            let other = below(rng, u32::from(setting.nodes)) as usize;
            done.now(Step::Double(node, other));
            if rng.chance(700) {
                // Then nobody can tell which of the two is the node.
                done.now(Step::SwapNic(node));
            }
        }
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
        Sort::Outage => done.outage(setting),
        Sort::Parted => done.parted(setting, rng),
        Sort::Policy => done.now(Step::Policy(service, rng.chance(600))),
        Sort::Pinned => done.now(Step::Annotate(service, rng.chance(700).then_some(node))),
        Sort::Pods if rng.chance(500) => done.now(Step::DeletePods(node)),
        Sort::Pods => done.now(Step::Scale(0, rng.pick(&[0, 1, 2, 3, 8]))),
        Sort::Power => done.lasts(Step::Power(node, false), Step::Power(node, true)),
        Sort::Proxy => done.lasts(Step::Proxy(node, false), Step::Proxy(node, true)),
        Sort::Refused => done.refused(replica, setting, rng),
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
        Sort::Storm => done.now(Step::Storm(number, rng.pick(&[10, 100, 1_000]))),
        Sort::Suspended => done.now(Step::Suspend(node, span)),
        Sort::TakenEip => done.lasts(Step::TakeEip(node, number), Step::Renumber(node)),
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

    /// No cable is in, for so long that somebody leads who can serve nothing when the first one can.
    fn dark(&mut self, setting: &Setting, rng: &mut Rng) {
        for node in 0..setting.nodes {
            self.span = DARK_MS + below(rng, DARK_MS);
            let node = usize::from(node);
            self.lasts(Step::Cable(node, false), Step::Cable(node, true));
        }
    }

    fn outage(&mut self, setting: &Setting) {
        for replica in 0..usize::from(setting.replicas) {
            self.lasts(Step::Cut(replica), Step::Heal(replica));
        }
    }

    fn parted(&mut self, setting: &Setting, rng: &mut Rng) {
        // The hosts outside have the ports after those of the nodes.
        let ports = u64::from(setting.nodes) + setting.clients.len().max(1) as u64;
        let mut port = || usize::try_from(rng.below(ports)).expect("there are few ports");
        let (from, to) = (port(), port());
        self.lasts(Step::Part(from, to), Step::Join);
    }

    /// The API server refuses one replica, or all.
    fn refused(&mut self, replica: usize, setting: &Setting, rng: &mut Rng) {
        let refuse = rng.pick(&[Step::Busy, Step::Fail, Step::Forbid]);
        let span = self.span;
        match rng.chance(500) {
            true => self.now(refuse(replica, span)),
            false => {
                let replicas = 0..usize::from(setting.replicas);
                replicas.for_each(|id| self.now(refuse(id, span)));
            }
        }
    }
}

const KINDS: [Kind; 6] =
    [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];

//! A change, a new leader, or a link that comes up, is announced a bounded number of times (S8); after
//! that an EIP is only refreshed now and then, and defended when another claims it. However often it changes, no minute has too many.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use porter_core::{Answers, Input, Instant, Output};

use super::Violation;
use crate::world::Moment;

/// How often one change is announced.
const BURST_MAX: u32 = 5;
/// How long it is at least between two announcements without a change.
const REFRESH_MIN: Duration = Duration::from_secs(20);

/// How long it is at least between two announcements that are made since somebody else claims an EIP
/// (`DEFEND_INTERVAL` of RFC 5227).
const DEFEND_MIN: Duration = Duration::from_secs(10);

/// How often an EIP is announced within a minute, whatever happens.
const A_MINUTE_MAX: usize = 120;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
pub(super) struct Announcements {
    replicas: BTreeMap<usize, Replica>,
}

#[derive(Clone, Debug, Default)]
struct Replica {
    answers: Arc<Answers>,
    until: Instant,
    /// Whether it was told last that its link has no carrier.
    is_down: bool,
    /// How many announcements of an EIP are still due, and when the last one was.
    due: BTreeMap<IpAddr, (u32, Moment)>,
    /// EIPs that somebody else has claimed since they were announced last, and when each was announced
    /// for that.
    claimed: BTreeSet<IpAddr>,
    defended: BTreeMap<IpAddr, Instant>,
    /// When each EIP was announced within the last minute.
    lately: BTreeMap<IpAddr, VecDeque<Instant>>,
}

impl Announcements {
    pub(super) fn started(&mut self, id: usize) {
        self.replicas.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        let replica = self.replicas.entry(id).or_default();
        if let Input::Heard(claim) = input {
            let answer = replica.answers.entry(claim.link, claim.target);
            if answer.is_some_and(|answer| answer != Ok(claim.mac)) {
                replica.claimed.insert(claim.target);
            }
        }
        let Input::Link(_, link) = input else { return };
        let is_down = !link.as_ref().is_ok_and(|link| link.carrier);
        if std::mem::replace(&mut replica.is_down, is_down) && !is_down {
            replica.owe(replica.answers.clone().iter().map(|(_, eip, _)| eip));
        }
    }

    pub(super) fn wanted(
        &mut self,
        id: usize,
        output: &Output,
        now: Moment,
        local: Instant,
    ) -> Result<(), Violation> {
        let replica = self.replicas.entry(id).or_default();
        match output {
            Output::Announce(is_at) => {
                replica.count(is_at.target, local)?;
                let claimed = replica.claimed.remove(&is_at.target);
                let (left, last_at) = replica.due.entry(is_at.target).or_default();
                let early = *left == 0 && now.since(*last_at) < REFRESH_MIN;
                let defended = replica.defended.get(&is_at.target);
                let defends = claimed && defended.is_none_or(|at| local >= *at + DEFEND_MIN);
                if early && defends {
                    replica.defended.insert(is_at.target, local);
                } else if early {
                    let eip = is_at.target;
                    return Err(Violation(format!(
                        "{eip} is announced once more, without a cause"
                    )));
                }
                *left = left.saturating_sub(1);
                *last_at = now;
            }
            Output::Permit(until) => {
                if replica.until <= local {
                    replica.owe(replica.answers.clone().iter().map(|(_, eip, _)| eip));
                }
                replica.until = *until;
            }
            Output::Publish(answers, _) => {
                let before = std::mem::replace(&mut replica.answers, answers.clone());
                let changed = answers
                    .iter()
                    .filter(|(link, eip, answer)| before.entry(*link, *eip) != Some(*answer));
                replica.owe(changed.map(|(_, eip, _)| eip));
            }
            Output::Check(..)
            | Output::Event(_)
            | Output::Heed(..)
            | Output::Join(..)
            | Output::Left
            | Output::Listen(_)
            | Output::Moved(_)
            | Output::Probe(_)
            | Output::Quit(..)
            | Output::Read(..)
            | Output::Route(_)
            | Output::Write(..) => {}
        }
        Ok(())
    }
}

impl Replica {
    fn count(&mut self, eip: IpAddr, now: Instant) -> Result<(), Violation> {
        let lately = self.lately.entry(eip).or_default();
        while lately.front().is_some_and(|at| *at + MINUTE <= now) {
            lately.pop_front();
        }
        lately.push_back(now);
        match lately.len() <= A_MINUTE_MAX {
            true => Ok(()),
            false => Err(Violation(format!("{eip} is announced too often within a minute"))),
        }
    }

    fn owe(&mut self, eips: impl Iterator<Item = IpAddr>) {
        for eip in eips {
            self.due.entry(eip).or_default().0 += BURST_MAX;
        }
    }
}

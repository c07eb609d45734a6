//! What has to happen in some runs: that it does shows that the checks have looked at it.
//!
//! A run in which nothing of this happens is no failure. Ten thousand runs without one of them are: a
//! simulator that never comes there says nothing about what Porter does there.

use std::collections::BTreeMap;

use porter_core::{
    ConditionChange, Disputes, Doubts, Input, LeaseRecord, NodeName, Output, ServiceChange,
    ServiceName, Write, WriteError,
};

use super::recorded;
use crate::world::Api;

/// Something that has to happen in some runs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Sometimes {
    Ambiguous,
    ClaimRefused,
    Conflict,
    Contradicted,
    CrashUnacknowledged,
    Deaf,
    Defended,
    DisputedByNode,
    DisputedByStranger,
    FollowerPaused,
    GapAcrossMove,
    HandedOver,
    HeldDown,
    HeldWhileCut,
    Moved,
    NoCandidate,
    OneMacOfTwo,
    Overlap,
    PausedAcrossDeadline,
    ReplayedQuestion,
    SetAside,
    SilentInTime,
    StaleList,
    Stifled,
    TakenByExpiry,
    TakenByRelease,
    TooOften,
    Unheeded,
    VerdictLost,
    WatchLost,
}

impl Sometimes {
    const ALL: [Self; 30] = [
        Self::Ambiguous,
        Self::ClaimRefused,
        Self::Conflict,
        Self::Contradicted,
        Self::CrashUnacknowledged,
        Self::Deaf,
        Self::Defended,
        Self::DisputedByNode,
        Self::DisputedByStranger,
        Self::FollowerPaused,
        Self::GapAcrossMove,
        Self::HandedOver,
        Self::HeldDown,
        Self::HeldWhileCut,
        Self::Moved,
        Self::NoCandidate,
        Self::OneMacOfTwo,
        Self::Overlap,
        Self::PausedAcrossDeadline,
        Self::ReplayedQuestion,
        Self::SetAside,
        Self::SilentInTime,
        Self::StaleList,
        Self::Stifled,
        Self::TakenByExpiry,
        Self::TakenByRelease,
        Self::TooOften,
        Self::Unheeded,
        Self::VerdictLost,
        Self::WatchLost,
    ];

    fn what(self) -> &'static str {
        match self {
            Self::Ambiguous => "somebody could not tell which of several MACs is the node",
            Self::Deaf => "a replica doubted its own link",
            Self::DisputedByNode => "a node's kernel was found to answer for an EIP",
            Self::DisputedByStranger => "a strange host was found to claim an EIP",
            Self::SetAside => "an address was not given, since somebody had it",
            Self::Defended => "a host was kept from taking an EIP that it asked for",
            Self::FollowerPaused => "a follower stood still for longer than a claim lasts",
            Self::HandedOver => "the Lease was handed over to one that was fitter",
            Self::HeldDown => "a node that had come back was chosen last",
            Self::StaleList => "a list was older than what had happened",
            Self::OneMacOfTwo => "an EIP was said to be at a MAC that two nodes had",
            Self::ClaimRefused => "a claim was refused by the API server",
            Self::SilentInTime => "a question stayed unanswered since the deadline had passed",
            Self::Contradicted => "another host spoke for an EIP",
            Self::Stifled => "a switch dropped what was said of an EIP",
            Self::Conflict => "a write came too late for the version it was about",
            Self::CrashUnacknowledged => {
                "a holder crashed before it knew that its claim was written"
            }
            Self::GapAcrossMove => "a Service moved while a watch of Services was broken",
            Self::HeldWhileCut => "a leader was cut off from the API server",
            Self::Moved => "a Service moved to another node",
            Self::NoCandidate => "a Service had no node to be answered with",
            Self::Overlap => "two could have spoken, with clocks beyond what is bounded",
            Self::PausedAcrossDeadline => "a leader stood still until after its deadline",
            Self::ReplayedQuestion => {
                "somebody was answered who had asked before there was an answer"
            }
            Self::TakenByExpiry => "a Lease was taken over after it expired",
            Self::TakenByRelease => "a Lease was taken over after it was released",
            Self::TooOften => "a host asked too often to be answered each time",
            Self::Unheeded => "a question about no EIP was kept away",
            Self::VerdictLost => "a writer never learned what became of its write",
            Self::WatchLost => "a watch was lost, and begun anew",
        }
    }
}

/// How often each has happened, and what is known to notice that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    counts: BTreeMap<Sometimes, u64>,
    lease: Option<LeaseRecord>,
    nodes: BTreeMap<ServiceName, NodeName>,
}

impl Seen {
    pub(crate) fn hit(&mut self, it: Sometimes) {
        *self.counts.entry(it).or_default() += 1;
    }

    /// How often each has happened, those that have not included, in words.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let count = |it: Sometimes| self.counts.get(&it).copied().unwrap_or_default();
        Sometimes::ALL.into_iter().map(|it| (it.what(), count(it))).collect()
    }

    pub(super) fn told(&mut self, input: &Input) {
        if let Input::Written(_, Err(error)) = input {
            match error {
                WriteError::Conflict => self.hit(Sometimes::Conflict),
                WriteError::Unknown => self.hit(Sometimes::VerdictLost),
                WriteError::Busy(_) | WriteError::Forbidden(_) | WriteError::Rejected(_) => {}
            }
        } else if matches!(input, Input::Lost(_)) {
            self.hit(Sometimes::WatchLost);
        }
    }

    pub(super) fn wanted(&mut self, output: &Output) {
        if let Output::Write(_, Write::Service(_, _, ServiceChange::Status(status))) = output
            && let ConditionChange::Set(condition) = &status.announced
            && ["NoReadyEndpoint", "NoUsableNode"].contains(&condition.reason.as_str())
        {
            self.hit(Sometimes::NoCandidate);
        }
    }

    /// A replica was woken, and has done all that it wanted done.
    pub(super) fn woken(&mut self, doubts: Doubts, disputes: Disputes) {
        let Doubts { suspect_links, ambiguous_nodes, held_down_nodes } = doubts;
        let Disputes { by_strangers, by_nodes, by_speakers: _, set_aside } = disputes;
        let seen = [
            (suspect_links, Sometimes::Deaf),
            (ambiguous_nodes, Sometimes::Ambiguous),
            (held_down_nodes, Sometimes::HeldDown),
            (by_strangers, Sometimes::DisputedByStranger),
            (by_nodes, Sometimes::DisputedByNode),
            (set_aside, Sometimes::SetAside),
        ];
        seen.into_iter().filter(|(count, _)| *count > 0).for_each(|(_, it)| self.hit(it));
    }

    pub(super) fn committed(&mut self, api: &Api) {
        let lease = api.lease.as_ref().map(|(_, record)| record);
        if lease != self.lease.as_ref() {
            let before = std::mem::replace(&mut self.lease, lease.cloned());
            if let (Some(before), Some(after)) = (before, lease)
                && before.holder != after.holder
                && after.holder.is_some()
            {
                if before.released_by.is_some() && before.wanted_by == after.holder {
                    self.hit(Sometimes::HandedOver);
                }
                match (&before.holder, &before.released_by) {
                    (Some(_), _) => self.hit(Sometimes::TakenByExpiry),
                    (None, Some(_)) => self.hit(Sometimes::TakenByRelease),
                    (None, None) => {}
                }
            }
        }
    }

    /// Whether another node is recorded on a Service than when this was asked last.
    pub(crate) fn has_moved(&mut self, name: &ServiceName, api: &Api) -> bool {
        let service = api.services.get(name).map(|(_, service)| service);
        let node = service.and_then(|service| recorded(&service.metadata.annotations));
        let Some(node) = node.map(NodeName::from) else { return false };
        let before = self.nodes.insert(name.clone(), node.clone());
        let moved = before.is_some_and(|before| before != node);
        if moved {
            self.hit(Sometimes::Moved);
        }
        moved
    }
}

//! What the responders answer from, and how far they have come.
//!
//! A change of an answer has taken effect only when every responder thread has acknowledged the
//! snapshot that contains it. What must not happen before an old answer is silenced - announcing a
//! move, giving an address back, giving up the Lease, speaking in a new term - waits for that.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use pnet::util::MacAddr;

use crate::{Answers, Generation, Instant, LinkName, Output, Silence, Size};

/// The answers as they should be, as they are published, and as they are acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    answers: Answers,
    published: Arc<Answers>,
    generation: Generation,
    acknowledged: Generation,
    /// The last generation in which everything was taken back.
    cleared: Generation,
    permitted: Instant,
    /// EIPs whose answer changed in a generation that is not acknowledged yet, by link.
    changed: BTreeMap<IpAddr, BTreeMap<LinkName, Generation>>,
    /// Those of them whose answer is not published yet.
    unpublished: BTreeSet<(LinkName, IpAddr)>,
    outputs: VecDeque<Output>,
}

impl Publication {
    pub(crate) fn new() -> Self {
        Self {
            answers: Answers::default(),
            published: Arc::default(),
            generation: Generation::default(),
            acknowledged: Generation::default(),
            cleared: Generation::default(),
            permitted: Instant::ZERO,
            changed: BTreeMap::new(),
            unpublished: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Sets what is answered for an EIP; `None` makes it no EIP. Published by [`Self::publish`].
    pub(crate) fn set(
        &mut self,
        link: LinkName,
        eip: IpAddr,
        answer: Option<Result<MacAddr, Silence>>,
    ) {
        if self.answers.entry(link, eip) == answer {
            return;
        }
        self.answers.set(link, eip, answer);
        let next = Generation(self.generation.0 + 1);
        self.changed.entry(eip).or_default().insert(link, next);
        self.unpublished.insert((link, eip));
    }

    /// Takes back everything, and the permission to speak with it.
    pub(crate) fn clear(&mut self) {
        for (link, eip) in self.eips().collect::<Vec<_>>() {
            self.set(link, eip, None);
        }
        self.permit(Instant::ZERO);
        self.publish();
        self.cleared = self.generation;
    }

    /// Hands the answers as they should be to the responders, if they have others. Returns the EIPs
    /// whose answer is another one now: of these, nothing may be said unasked until the change has
    /// taken effect.
    pub(crate) fn publish(&mut self) -> Vec<(LinkName, IpAddr)> {
        if self.unpublished.is_empty() {
            return Vec::new();
        }
        self.generation.0 += 1;
        self.published = Arc::new(self.answers.clone());
        self.outputs.push_back(Output::Publish(self.published.clone(), self.generation));
        std::mem::take(&mut self.unpublished).into_iter().collect()
    }

    /// Lets the responders speak strictly before `until`.
    pub(crate) fn permit(&mut self, until: Instant) {
        if self.permitted != until {
            self.permitted = until;
            self.outputs.push_back(Output::Permit(until));
        }
    }

    /// Takes in that every responder has come to `generation`. Returns the EIPs whose change has
    /// taken effect by that.
    pub(crate) fn handle_silenced(&mut self, generation: Generation) -> Vec<(LinkName, IpAddr)> {
        self.acknowledged = self.acknowledged.max(generation);
        let mut settled = Vec::new();
        self.changed.retain(|eip, links| {
            let acknowledged = links.extract_if(.., |_, changed| *changed <= self.acknowledged);
            settled.extend(acknowledged.map(|(link, _)| (link, *eip)));
            !links.is_empty()
        });
        settled
    }

    /// Whether no responder answers from before the last [`Self::clear`].
    pub(crate) fn is_clear(&self) -> bool {
        self.acknowledged >= self.cleared
    }

    /// Everything that something is said of.
    pub(crate) fn eips(&self) -> impl Iterator<Item = (LinkName, IpAddr)> + '_ {
        self.answers.iter().map(|(link, eip, _)| (link, eip))
    }

    /// The links on which something is said of an EIP.
    pub(crate) fn links_of(&self, eip: IpAddr) -> impl Iterator<Item = LinkName> + '_ {
        self.answers.links_of(eip)
    }

    /// Whether no responder can answer for an EIP any more.
    pub(crate) fn is_silent(&self, eip: IpAddr) -> bool {
        self.links_of(eip).next().is_none() && !self.changed.contains_key(&eip)
    }

    /// What is answered for an EIP, as it should be.
    pub(crate) fn entry(&self, link: LinkName, eip: IpAddr) -> Option<Result<MacAddr, Silence>> {
        self.answers.entry(link, eip)
    }

    pub(crate) fn published(&self) -> &Arc<Answers> {
        &self.published
    }

    /// Of how many EIPs something is said.
    pub(crate) fn n_answers(&self) -> usize {
        self.answers.len()
    }

    /// Of how many something else is said than every responder knows.
    pub(crate) fn n_changed(&self) -> usize {
        self.changed.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How much is remembered, where there are so many objects. What has changed may be as much again
    /// as what is said, since what is said no more is waited for, too.
    pub(crate) fn sizes(&self, objects: usize) -> [Size; 2] {
        let answers = self.n_answers();
        [
            Size::new("EIPs something is said of", answers, 2 * objects),
            Size::new("EIPs whose answer changed", self.n_changed(), answers + 2 * objects),
        ]
    }

    /// What the responders have come to.
    #[cfg(test)]
    pub(crate) fn acknowledged(&self) -> Generation {
        self.acknowledged
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

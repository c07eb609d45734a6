//! What must never be, looked for after every event of every simulated world.
//!
//! One file for each promise. A check knows true time and every replica's mind, which no replica
//! does; it trusts nothing that the core says of itself where the world can see it.
//!
//! | | what never may be | file |
//! |---|---|---|
//! | S1 | two MACs for one EIP without a commit, or a newer proof, between them | `divergence` |
//! | S2 | a frame after the claim under which it was allowed | `deadlines` |
//! | S3 | two that may speak at one moment of true time | `voices` |
//! | S4 | a MAC that its node did not prove to the speaker, and lately | `proofs` |
//! | S5 | another's MAC as the Ethernet source | `sources` |
//! | S6 | an answer for what no Service holds, or for a node's own address | `assigned` |
//! | S7 | a node that comes before one that was told, in the order of commits | `commits` |
//! | S8 | frames that are not right byte by byte, replies to no question, endless announcements | `bytes`, `ndp`, `replies`, `announcements` |
//! | S9 | an answer without an endpoint, under `Local` without one on that node | `endpoints` |
//! | S10 | bytes that are read as what they are not, or that end the parser | `bytes`, `ndp` |
//! | S11 | more remembered than there is a limit for, or a reason | `sizes` |
//!
//! The others look at what is on record: who holds an address (`addresses`), what a write changes
//! (`changes`), how many are under way (`writes`); and at diligence: that who is answered is asked
//! (`probes`), that nothing is overlooked (`afterthoughts`), and that no timer is due for ever (`timers`).

mod addresses;
mod afterthoughts;
mod announcements;
mod assigned;
mod bytes;
mod changes;
mod commits;
mod deadlines;
mod divergence;
mod endpoints;
mod known;
mod ndp;
mod probes;
mod proofs;
mod replies;
mod sizes;
mod sometimes;
mod sources;
mod timers;
mod voices;
mod writes;

use std::{collections::BTreeMap, fmt};

use porter_core::{
    Input, Instant, Output, Probe, ServiceName, Speaker, Texts, WhoHas, Write, keys,
    wire::{Dropped, Heard},
};

pub(crate) use ndp::mend_checksum;
pub(crate) use sometimes::Sometimes;

use crate::world::{Api, Frame, Moment, NodeHost, World};

/// Something that must never be, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All checks, and what they remember.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    /// Whether nothing is looked for.
    off: bool,
    afterthoughts: afterthoughts::Afterthoughts,
    announcements: announcements::Announcements,
    commits: commits::Commits,
    deadlines: deadlines::Deadlines,
    divergence: divergence::Divergence,
    probes: probes::Probes,
    proofs: proofs::Proofs,
    replies: replies::Replies,
    sizes: sizes::Sizes,
    told: known::Told,
    pub(crate) seen: sometimes::Seen,
    voices: voices::Voices,
    writes: writes::Writes,
}

impl Checks {
    /// Looks for nothing. What is on record of a real cluster may be at odds with itself, by no fault of
    /// those who go by it.
    pub(crate) fn none() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// A replica's process has started: it knows nothing, and nothing is known of it.
    pub(crate) fn started(&mut self, id: usize) {
        self.announcements.started(id);
        self.deadlines.started(id);
        self.told.started(id);
        self.probes.started(id);
        self.proofs.started(id);
        self.replies.started(id);
        self.writes.started(id);
    }

    /// A replica is told a fact.
    pub(crate) fn told(&mut self, id: usize, input: &Input, now: Moment) {
        if self.off {
            return;
        }
        self.announcements.told(id, input);
        self.seen.told(input);
        self.deadlines.told(id, input);
        self.told.told(id, input);
        self.probes.told(id, input);
        self.proofs.told(id, input, now);
        self.writes.told(id, input);
    }

    /// A replica wants something done.
    pub(crate) fn wanted(
        &mut self,
        id: usize,
        output: &Output,
        now: Moment,
        local: Instant,
    ) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        self.seen.wanted(output);
        self.deadlines.wanted(id, output, local);
        self.probes.wanted(id, output, local);
        self.writes.wanted(id, output)?;
        self.announcements.wanted(id, output, now, local)
    }

    /// A replica was told that its time has come, and has said when to tell it next.
    pub(crate) fn woken(
        &mut self,
        id: usize,
        name: &str,
        now: Instant,
        speaker: &mut Speaker,
    ) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        self.probes.woken(id, name, now)?;
        self.afterthoughts.woken(name, now, speaker)?;
        self.sizes.woken(name, speaker)?;
        self.seen.woken(speaker.doubts(now), speaker.disputes());
        timers::check(name, now, speaker.poll_timeout())
    }

    /// The API server is about to carry out a write.
    pub(crate) fn written(&self, api: &Api, write: &Write) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        changes::check(api, write)
    }

    /// A replica's responder hears a question.
    pub(crate) fn asked(&mut self, id: usize, question: &WhoHas) {
        if !self.off {
            self.replies.asked(id, question);
        }
    }

    /// A replica has read bytes that arrived.
    pub(crate) fn read(
        &self,
        bytes: &[u8],
        read: Result<&Heard, &Dropped>,
    ) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        bytes::read(bytes, read)
    }

    /// A replica asks where a node is.
    pub(crate) fn probed(&self, probe: &Probe) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        bytes::probed(probe)
    }

    /// Objects have changed at the API server.
    pub(crate) fn committed(&mut self, api: &Api) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        self.seen.committed(api);
        self.commits.committed(api);
        addresses::check(api)
    }

    /// A frame that speaks for an EIP leaves a replica's host.
    pub(crate) fn spoken(
        &mut self,
        world: &World,
        id: usize,
        from: u32,
        frame: &Frame,
    ) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        let Some((eip, mac)) = frame.claim() else {
            return Err(Violation(format!("{frame} speaks for nothing")));
        };
        let asks = frame.is_conflict_probe();
        sources::check(&world.nodes[id], frame)?;
        bytes::spoken(frame, world.nodes[id].address6)?;
        // A clock that is off by more than is bounded makes more of the time that a frame takes to leave.
        if !self.voices.counts() {
            self.deadlines.spoken(world, id, from, frame)?;
        }
        self.voices.spoken(world, id, frame)?;
        if asks {
            // It says nothing of anybody but the sender's own card.
            return match mac == frame.src {
                true => Ok(()),
                false => Err(Violation(format!("{frame} asks in another's name"))),
            };
        }
        let mut proved_at = None;
        if world.replicas[id].incarnation == from {
            proved_at = Some(self.proofs.spoken(world, id, mac)?);
            self.replies.spoken(&world.replicas[id].name, id, frame)?;
        }
        let nodes: Vec<_> = nodes_with(&world.nodes, mac).collect();
        if nodes.is_empty() {
            return Err(Violation(format!("{frame} names a MAC that no node has")));
        }
        if nodes.iter().filter(|node| node.mac == mac).count() > 1 {
            self.seen.hit(Sometimes::OneMacOfTwo);
        }
        let names: Vec<_> = nodes.iter().map(|node| &node.name).collect();
        let late = match is_used(&world.api, eip) {
            true => self.commits.spoken(eip, &names).and_then(|commit| {
                let Some(proved_at) = proved_at else { return Ok(()) };
                let word = divergence::Word { mac, commit, proved_at, copied: names.len() > 1 };
                self.divergence.spoken(eip, word, frame)
            }),
            false => Err(Violation(format!("{frame} speaks for an address that no Service holds"))),
        };
        // Of two voices that there were, with clocks beyond what is bounded, one may lag behind.
        late.or_else(|violation| if self.n_overlaps() > 0 { Ok(()) } else { Err(violation) })
    }

    /// Something has happened.
    pub(crate) fn after_event(&mut self, world: &World) -> Result<(), Violation> {
        if self.off {
            return Ok(());
        }
        let n_overlaps = self.voices.n_overlaps();
        self.voices.after_event(world)?;
        if self.voices.n_overlaps() > n_overlaps {
            self.seen.hit(Sometimes::Overlap);
        }
        for id in self.told.take_news() {
            self.answers(world, id)?;
        }
        Ok(())
    }

    /// Looks at what a replica would answer, now that it was told something.
    fn answers(&self, world: &World, id: usize) -> Result<(), Violation> {
        let replica = &world.replicas[id];
        let Some(process) = replica.process.as_ref().filter(|it| world.local(id) < it.until) else {
            return Ok(());
        };
        let Some(known) = self.told.by(id) else { return Ok(()) };
        for (_, eip, answer) in process.speaker.answers().iter() {
            if let Ok(mac) = answer {
                assigned::check(&replica.name, known, eip)?;
                endpoints::check(world, &replica.name, known, (eip, mac))?;
            }
        }
        Ok(())
    }

    /// From here on clocks are off by more than is bounded: two voices are counted, and no
    /// violation.
    pub(crate) fn count_overlaps(&mut self) {
        self.voices.count();
    }

    /// How often a node was recorded on each Service that is there.
    pub(crate) fn n_commits(&self) -> BTreeMap<ServiceName, usize> {
        self.commits.n_commits()
    }

    pub(crate) fn n_overlaps(&self) -> u64 {
        self.voices.n_overlaps()
    }
}

/// The node that is recorded in the annotations of a Service.
pub(crate) fn recorded(annotations: &Texts) -> Option<&str> {
    [keys::Spelling::Porter, keys::Spelling::OpenElb]
        .into_iter()
        .find_map(|spelling| annotations.get(keys::LAYER2.spelled(spelling)))
        .map(String::as_str)
}

/// Whether a Service holds the address, by the only store of that.
fn is_used(api: &Api, eip: std::net::IpAddr) -> bool {
    let mut holders = api.eips.values().filter_map(|(_, object)| object.status.used.get(&eip));
    holders.any(|by| !by.is_empty())
}

/// The nodes that have, or had, a MAC, as far as whoever asks can tell: one, unless it was copied, or a
/// node's address is another's, too.
fn nodes_with(nodes: &[NodeHost], mac: porter_core::MacAddr) -> impl Iterator<Item = &NodeHost> {
    nodes.iter().filter(move |node| node.macs.contains(&mac) || node.others.contains(&mac))
}

//! One replica of the model: the production [`Speaker`], what it has asked for, and its responder.
//!
//! Its clock goes on by minutes with whatever it takes in, so that every rest, grace and repetition
//! is over by then: what is left of time is order. Nodes answer every probe at once.

use std::{collections::BTreeSet, net::IpAddr, sync::OnceLock, time::Duration};

use super::{
    Action, Speaker, Standing,
    api::{self, Api, NODES, pool, web},
};
use crate::{
    Answers, Config, Generation, Got, Identity, Input, Instant, IsAt, LeaseTiming, Link, LinkName,
    Listing, MacAddr, Node, NodeName, OnConflict, Output, Probing, Read, ReadError, ReadId,
    Timestamp, Version, Write, WriteError, WriteId, Written,
};

/// Longer than anything in the core waits.
const LONG: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) speaker: Speaker,
    now: Instant,
    /// How far its watch of the Service has come.
    pub(super) seen: usize,
    /// How far its watch of the slice has come.
    pub(super) slice_seen: usize,
    pub(super) call: Call,
    /// The write of the Eip, before everything is on record.
    pub(super) eip_write: Option<(WriteId, Write)>,
    /// The reads, of which one of an earlier term may still be under way.
    pub(super) readings: Vec<Reading>,
    /// A write that was given up and has not reached the API server.
    pub(super) astray: Option<Write>,
    pub(super) responder: Responder,
    /// The nodes that it has just announced the EIP at.
    pub(super) announced: Vec<usize>,
    /// What is the same in all states that behave the same, once it was asked for.
    pub(super) key: OnceLock<u64>,
}

/// The write of a replica.
#[derive(Clone, Debug)]
pub(super) enum Call {
    None,
    Asked(WriteId, Write),
    Judged(WriteId, Box<Result<Written, WriteError>>),
}

/// A consistent read.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    Asked(ReadId),
    /// The Service was at this place.
    Served(ReadId, usize),
}

/// The threads that answer the LAN, as the last of them.
#[derive(Clone, Debug)]
pub(super) struct Responder {
    /// The newest snapshot: its number, and the node that it says.
    newest: (Generation, Option<usize>),
    /// What is answered from.
    held: (Generation, Option<usize>),
    permitted: bool,
    /// What was acknowledged, and the speaker not told yet.
    pub(super) acknowledged: Option<Generation>,
}

fn eth0() -> LinkName {
    LinkName::new("eth0").expect("it is short")
}

fn eip() -> IpAddr {
    [172, 22, 0, 188].into()
}

/// Where the node with this number is on the LAN.
fn at(node: usize) -> (IpAddr, MacAddr) {
    let last = u8::try_from(node).expect("there are few") + 9;
    ([172, 22, 0, last].into(), MacAddr(2, 0, 0, 0, 0, last))
}

fn node_of(mac: MacAddr) -> usize {
    (0..NODES.len()).find(|node| at(*node).1 == mac).expect("only nodes are answered")
}

impl Replica {
    /// A process that has listed everything, the Service and its slice as they were.
    pub(super) fn new(name: usize, api: &Api, seen: usize, slice_seen: usize) -> Self {
        let config = Config {
            identity: Identity::from(name.to_string().as_str()),
            epoch: Timestamp(0),
            lease: LeaseTiming::default(),
            probing: Probing::default(),
            checks_proxies: false,
            conflict_probing: None,
            on_conflict: OnConflict::Defend,
        };
        let silent = (Generation::default(), None);
        let responder =
            Responder { newest: silent, held: silent, permitted: false, acknowledged: None };
        let mut replica = Self {
            speaker: Speaker::new(config, 0),
            now: Instant::ZERO,
            seen,
            slice_seen,
            call: Call::None,
            eip_write: None,
            readings: Vec::new(),
            astray: None,
            responder,
            announced: Vec::new(),
            key: OnceLock::new(),
        };
        let net = "172.22.0.3/24".parse().expect("it is one");
        let mac = MacAddr(2, 0, 0, 0, 0, 3);
        let link = Link { mac, addresses: vec![net], gateways: BTreeSet::new(), carrier: true };
        let node = |node: usize| {
            let facts = Node { ready: true, addresses: vec![at(node).0], ..Node::default() };
            (NodeName::from(NODES[node]), (Version(1), facts))
        };
        let nodes = (0..NODES.len()).map(node).collect();
        let (version, facts) = api.eip.clone();
        let eips = [(pool(), (version, facts))].into();
        for input in [
            Input::Link(eth0(), Ok(link)),
            Input::Nodes(Listing { version: Version(1), objects: nodes }),
            Input::Namespaces(Listing { version: Version(1), ..Listing::default() }),
            Input::Eips(Listing { version, objects: eips }),
            Input::Slices(api.list_slices(slice_seen)),
            Input::Services(api.list(seen)),
        ] {
            replica.tell(input);
        }
        replica
    }

    /// Lets it take something in, and takes down what it wants.
    pub(super) fn tell(&mut self, input: Input) {
        self.now += LONG;
        self.speaker.handle_input(input, self.now);
        self.perform();
    }

    /// Lets time pass.
    pub(super) fn wake(&mut self) {
        self.now += LONG;
        self.speaker.handle_timeout(self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Announce(is_at) => {
                    assert!(self.responder.permitted, "announced without a permission");
                    self.announced.push(node_of(is_at.mac));
                }
                Output::Check(..) => unreachable!("nobody asks for kube-proxy"),
                Output::Event(_)
                | Output::Heed(..)
                | Output::Join(..)
                | Output::Listen(_)
                | Output::Moved(_)
                | Output::Quit(..)
                | Output::Route(_) => {}
                Output::Left => unreachable!("nobody leaves"),
                Output::Permit(until) => self.responder.permitted = until > self.now,
                Output::Probe(probe) => {
                    let node = (0..NODES.len()).find(|node| at(*node).0 == probe.target);
                    let (target, mac) = at(node.expect("only nodes are asked"));
                    let to = Some(probe.sender);
                    let heard = IsAt { link: probe.link, target, mac, to, via: mac };
                    self.speaker.handle_input(Input::Heard(heard), self.now);
                }
                Output::Publish(answers, generation) => {
                    self.responder.publish(&answers, generation)
                }
                Output::Read(id, Read::Services) => self.readings.push(Reading::Asked(id)),
                Output::Write(id, write @ Write::Eip(..)) => self.eip_write = Some((id, write)),
                Output::Write(id, write @ Write::Service(..)) => {
                    assert!(matches!(self.call, Call::None), "a second write of the Service");
                    self.call = Call::Asked(id, write);
                }
                Output::Read(_, Read::Lease) | Output::Write(_, Write::Lease(..)) => {
                    unreachable!("the Lease passes at a word")
                }
            }
        }
    }

    /// Begins a term.
    pub(super) fn take(&mut self) {
        self.speaker.election.take();
        self.wake();
    }

    /// Lets its claim end, and with it every permission, while it sleeps.
    pub(super) fn lapse(&mut self) {
        self.speaker.election.lapse(self.now);
        self.responder.permitted = false;
    }

    /// The verdict arrives.
    pub(super) fn hear(&mut self, id: WriteId, verdict: Result<Written, WriteError>) {
        self.tell(Input::Written(id, verdict));
    }

    /// The watch of the Service shows the next change.
    pub(super) fn see(&mut self, api: &Api) {
        self.seen += 1;
        self.tell(api.sighting(self.seen));
    }

    /// The watch of the slice shows the next change.
    pub(super) fn see_slice(&mut self, api: &Api) {
        self.slice_seen += 1;
        self.tell(api.slice_sighting(self.slice_seen));
    }

    /// A read reaches the API server.
    pub(super) fn serve_read(&mut self, which: usize, api: &Api) {
        if let Reading::Asked(id) = self.readings[which] {
            self.readings[which] = Reading::Served(id, api.services.len() - 1);
        }
    }

    /// Its answer arrives, from which the watch goes on.
    pub(super) fn answer_read(&mut self, which: usize, api: &Api) {
        if let Reading::Served(id, place) = self.readings.remove(which) {
            self.seen = self.seen.max(place);
            self.tell(Input::Got(id, Ok(Got::Services(api.list(place)))));
        }
    }

    /// It fails.
    pub(super) fn fail_read(&mut self, which: usize) {
        let (Reading::Asked(id) | Reading::Served(id, _)) = self.readings.remove(which);
        self.tell(Input::Got(id, Err(ReadError::Failed("it took too long".to_owned()))));
    }

    /// Hears how far the responders have come.
    pub(super) fn acknowledge(&mut self) {
        if let Some(generation) = self.responder.acknowledged.take() {
            self.tell(Input::Silenced(generation));
        }
    }

    /// The place of the Service that it knows.
    pub(super) fn known(&self) -> usize {
        let known = self.speaker.cluster.services.versioned(&web());
        known.map(|(version, _)| api::place(version)).expect("it was listed")
    }

    /// The place of the slice that it knows.
    pub(super) fn known_slice(&self) -> usize {
        let known = self.speaker.cluster.endpoints.slices.versioned(&web());
        known.map(|(version, _)| api::place(version)).expect("it was listed")
    }

    /// Whether its claim runs.
    pub(super) fn holds(&self) -> bool {
        self.speaker.election.leads(self.now)
    }

    /// Whether something happens if it wakes: it holds no claim any more, or something has rested.
    fn is_due(&self) -> bool {
        let speaker = &self.speaker;
        let reads = speaker.reads_in().is_some() && speaker.read.is_none();
        let (stands, grace) = match &speaker.standing {
            Standing::Silent => (false, None),
            Standing::Confirm(_) => (true, None),
            Standing::Speak(_, controller) => (true, controller.poll_timeout()),
        };
        reads
            || stands != self.holds()
            || grace.is_some()
            || speaker.ledger.poll_timeout().is_some()
    }

    /// What may happen to it in good order.
    pub(super) fn actions(&self, number: usize, api: &Api, actions: &mut Vec<Action>) {
        let (unseen, slice_unseen) =
            (api.services.len() - 1 - self.seen, api.slices.len() - 1 - self.slice_seen);
        let asked = matches!(self.call, Call::Asked(..));
        let judged = matches!(self.call, Call::Judged(..));
        let possible = [
            (unseen > 0, Action::See(number)),
            (unseen > 1, Action::Skip(number)),
            (self.seen > 0, Action::Repeat(number)),
            (slice_unseen > 0, Action::SeeSlice(number)),
            (slice_unseen > 1, Action::SkipSlice(number)),
            (asked, Action::Serve(number)),
            (judged, Action::Judge(number)),
            (self.astray.is_some(), Action::ServeAstray(number)),
            (self.responder.lags(), Action::Come(number)),
            (self.responder.acknowledged.is_some(), Action::Acknowledge(number)),
            (self.is_due(), Action::Wake(number)),
        ];
        let reads = self.readings.iter().enumerate().map(|(which, reading)| match reading {
            Reading::Asked(_) => Action::ServeRead(number, which),
            Reading::Served(..) => Action::AnswerRead(number, which),
        });
        actions.extend(reads);
        actions.extend(possible.into_iter().filter(|(may, _)| *may).map(|(_, action)| action));
    }
}

impl Responder {
    fn publish(&mut self, answers: &Answers, generation: Generation) {
        let answer = answers.entry(eth0(), eip());
        self.newest = (generation, answer.and_then(Result::ok).map(node_of));
    }

    /// The node that whoever asks is told.
    pub(super) fn says(&self) -> Option<usize> {
        self.held.1.filter(|_| self.permitted)
    }

    /// Whether it answers from another snapshot than the newest.
    pub(super) fn lags(&self) -> bool {
        self.held.0 != self.newest.0
    }

    /// Whether it will say another node.
    pub(super) fn is_late(&self) -> bool {
        self.says().is_some() && self.newest.1.is_some() && self.held.1 != self.newest.1
    }

    /// Comes to the newest snapshot.
    pub(super) fn come(&mut self) {
        self.held = self.newest;
        self.acknowledged = Some(self.newest.0);
    }
}

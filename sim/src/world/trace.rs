//! What a run looks like from outside: who is in which state from when on, and what is done to whom.
//!
//! The transcript is there to be read line by line; this is there to be drawn. It is made by looking at
//! the world after every event. Nobody is asked for it, so a run that is recorded is the same run.
//!
//! What clients see is what a host would see that asks at that very moment
//! ([`Lane::Answer`]), and a host that took in whatever was said last ([`Lane::Entry`]).

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use porter_core::{MacAddr, NodeName, Service, Version, Write};

use super::{
    Moment, World,
    frame::{Frame, Says},
    replica::{Process, ReplicaId},
    traffic::Ask,
};

/// What is in one state at a time.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// The API server.
    Api,
    /// An EIP, for a host that asks now.
    Answer(IpAddr),
    /// An EIP, for a host that asks nobody and goes by what was said last.
    Entry(IpAddr),
    /// The Lease.
    Lease,
    /// A node.
    Node(NodeName),
    /// The replica on a node.
    Replica(NodeName),
}

/// The state of a lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The API server, and which replicas it is out of reach for.
    Api {
        /// The nodes of these replicas.
        cut: Vec<NodeName>,
        /// How many replicas there are.
        of: usize,
        /// Whether requests may take longer than half a second.
        slow: bool,
    },
    /// The Lease names no holder.
    Free,
    /// The replica on this node is named in the Lease.
    Held(NodeName),
    /// There is no Lease.
    Missing,
    /// Packets to the EIP arrive at no pod.
    Lost,
    /// A node.
    Node {
        /// Whether the API server shows it as `Ready`.
        ready: bool,
        /// Whether it takes no new pods.
        cordoned: bool,
        /// How many of its pods may be sent to.
        n_pods: usize,
    },
    /// Packets to the EIP reach a pod by way of this node.
    Reaches(NodeName),
    /// A replica.
    Replica {
        /// What its process does.
        mode: Mode,
        /// Whether it cannot reach the API server.
        cut: bool,
    },
    /// Who asks for the EIP is told this node's MAC.
    Told(NodeName),
    /// Who asks for the EIP is told these nodes' MACs, by several replicas.
    TwoVoices(Vec<NodeName>),
    /// Who asks for the EIP is told nothing.
    Unanswered(String),
    /// No Service has the EIP, or nobody has heard of it.
    Unused,
}

/// What a replica's process does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// It has asked for the Lease.
    Campaigns,
    /// There is none.
    Dead,
    /// It holds the Lease and makes sure of what it knows before it speaks.
    Prepares,
    /// It stands still while its clock goes on.
    Paused,
    /// It follows, and says nothing.
    Silent,
    /// It may speak.
    Speaks,
}

/// Something that takes no time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tick {
    /// When.
    pub at: Moment,
    /// In which lane it is seen.
    pub lane: Lane,
    /// What.
    pub what: Happening,
}

/// What a [`Tick`] is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happening {
    /// All are told where an EIP is.
    Announced {
        /// The node whose MAC is told.
        node: NodeName,
        /// The replica that tells it.
        by: NodeName,
    },
    /// A host is told where an EIP is.
    Answered {
        /// The node whose MAC is told.
        node: NodeName,
        /// The replica that tells it.
        by: NodeName,
    },
    /// A host asks for an EIP.
    Asked,
    /// The Lease is written.
    Written,
}

/// Something that is done to the world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Moment,
    /// To whom.
    pub subject: Subject,
    /// What, as a sentence goes on: "is killed".
    pub what: String,
    /// Whether it is a fault, rather than what people and controllers do every day.
    pub fault: bool,
}

/// To whom something is done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// The Lease.
    Lease,
    /// A node.
    Node(NodeName),
    /// A Service or a Deployment.
    Object(String),
    /// The replica on a node.
    Replica(NodeName),
    /// The whole world.
    World,
}

/// Everything that was recorded of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// For each lane its states, each with when it began.
    pub lanes: BTreeMap<Lane, Vec<(Moment, State)>>,
    /// What took no time, in order.
    pub ticks: Vec<Tick>,
    /// What was done to the world, in order.
    pub marks: Vec<Mark>,
    /// The nodes, in the world's order.
    pub nodes: Vec<NodeName>,
    /// When the recording ends.
    pub end: Moment,
}

/// A trace in the making, and what has to be remembered for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    trace: Trace,
    lease: Option<Version>,
    /// The MAC that was told last for an EIP.
    told: BTreeMap<IpAddr, MacAddr>,
}

/// An API server whose answers may take longer is drawn as slow.
const SLOW: Duration = Duration::from_millis(500);

impl Trace {
    fn see(&mut self, now: Moment, lane: Lane, state: State) {
        let states = self.lanes.entry(lane).or_default();
        match states.last_mut() {
            Some((_, last)) if *last == state => {}
            Some((since, last)) if *since == now => *last = state,
            Some(_) | None => states.push((now, state)),
        }
    }

    fn tick(&mut self, at: Moment, lane: Lane, what: Happening) {
        self.ticks.push(Tick { at, lane, what });
    }
}

impl World {
    /// Begins to record what [`Self::trace`] shows.
    pub fn record(&mut self) {
        let nodes = self.nodes.iter().map(|node| node.name.clone()).collect();
        let trace = Trace { nodes, ..Trace::default() };
        self.recorder = Some(Recorder { trace, ..Recorder::default() });
        self.observe();
    }

    /// What was recorded since [`Self::record`], if anything.
    pub fn trace(&self) -> Option<Trace> {
        let recorder = self.recorder.as_ref()?;
        Some(Trace { end: self.now, ..recorder.trace.clone() })
    }

    /// Notes a fault.
    pub(super) fn fails(&mut self, subject: Subject, what: impl Into<String>) {
        self.mark(subject, what.into(), true);
    }

    /// Notes what people or controllers do, or the end of a fault.
    pub(super) fn changes(&mut self, subject: Subject, what: impl Into<String>) {
        self.mark(subject, what.into(), false);
    }

    fn mark(&mut self, subject: Subject, what: String, fault: bool) {
        self.log(format!("* {subject} {what}"));
        if let Some(Recorder { trace, .. }) = &mut self.recorder {
            trace.marks.push(Mark { at: self.now, subject, what, fault });
        }
    }

    /// Looks at everything that is in some state.
    pub(super) fn observe(&mut self) {
        let Some(mut recorder) = self.recorder.take() else { return };
        let Recorder { trace, lease: known_lease, told } = &mut recorder;
        let now = self.now;
        let lease = self.api.lease.as_ref().map(|(version, _)| *version);
        if std::mem::replace(known_lease, lease) != lease && lease.is_some() {
            trace.tick(now, Lane::Lease, Happening::Written);
        }
        trace.see(now, Lane::Api, self.api_state());
        trace.see(now, Lane::Lease, self.lease_state());
        for (id, replica) in self.replicas.iter().enumerate() {
            let state = State::Replica { mode: self.mode(id), cut: replica.cut };
            trace.see(now, Lane::Replica(self.nodes[id].name.clone()), state);
        }
        for node in &self.nodes {
            trace.see(now, Lane::Node(node.name.clone()), self.node_state(&node.name));
        }
        let used = self.api.services.values().map(|(_, service)| service);
        let used = used.filter(|service| !service.metadata.deleting).flat_map(Service::shown);
        let known = trace.lanes.keys().filter_map(|lane| match lane {
            Lane::Answer(eip) => Some(*eip),
            Lane::Api | Lane::Entry(_) | Lane::Lease | Lane::Node(_) | Lane::Replica(_) => None,
        });
        let mut eips: BTreeMap<IpAddr, bool> = known.map(|eip| (eip, false)).collect();
        eips.extend(used.map(|eip| (eip, true)));
        for (eip, used) in eips {
            let (answer, entry) = match used {
                true => (self.answer_state(eip), self.entry_state(eip, told.get(&eip))),
                false => (State::Unused, State::Unused),
            };
            trace.see(now, Lane::Answer(eip), answer);
            trace.see(now, Lane::Entry(eip), entry);
        }
        self.recorder = Some(recorder);
    }

    /// Notes a frame by which a replica speaks for an EIP.
    pub(super) fn note_speech(&mut self, id: ReplicaId, frame: &Frame) {
        let Some((eip, mac)) = frame.claim().filter(|_| !frame.is_conflict_probe()) else {
            return;
        };
        if self.said.get(&eip).is_none_or(|(before, _)| *before != mac) {
            self.said.insert(eip, (mac, self.now));
        }
        let by = self.nodes[id].name.clone();
        let node = self.nodes.iter().find(|node| node.macs.contains(&mac));
        let (Some(node), Some(Recorder { trace, told, .. })) = (node, &mut self.recorder) else {
            return;
        };
        told.insert(eip, mac);
        let node = node.name.clone();
        let what = match (&frame.says, frame.is_gratuitous()) {
            (Says::WhoHas { .. }, true) => Happening::Announced { node, by },
            (_, true) => return, // The second form of an announcement.
            (_, false) => Happening::Answered { node, by },
        };
        trace.tick(self.now, Lane::Answer(eip), what);
    }

    /// Notes a frame that a host outside the cluster sends.
    pub(super) fn note_question(&mut self, frame: &Frame) {
        if let (Says::WhoHas { target, .. }, Some(Recorder { trace, .. })) =
            (&frame.says, &mut self.recorder)
        {
            let lane = Lane::Answer(*target);
            if trace.lanes.contains_key(&lane) {
                trace.tick(self.now, lane, Happening::Asked);
            }
        }
    }

    fn api_state(&self) -> State {
        let cut = (0..self.replicas.len()).filter(|id| self.replicas[*id].cut);
        State::Api {
            cut: cut.map(|id| self.nodes[id].name.clone()).collect(),
            of: self.replicas.len(),
            slow: self.weather.api_latency > SLOW,
        }
    }

    fn lease_state(&self) -> State {
        let Some((_, lease)) = &self.api.lease else { return State::Missing };
        let holder = lease.holder.as_ref().map(ToString::to_string);
        match holder.as_deref().and_then(|identity| identity.rsplit_once('_')) {
            Some((name, _)) => State::Held(NodeName::from(name)),
            None => State::Free,
        }
    }

    fn mode(&self, id: ReplicaId) -> Mode {
        let Some(process) = &self.replicas[id].process else { return Mode::Dead };
        let local = self.local(id);
        if self.replicas[id].stalled_until > self.now {
            Mode::Paused
        } else if local < process.until {
            Mode::Speaks
        } else if process.speaker.leads(local) {
            Mode::Prepares
        } else if process.requests.values().any(|ask| claims(process, ask)) {
            Mode::Campaigns
        } else {
            Mode::Silent
        }
    }

    fn node_state(&self, name: &NodeName) -> State {
        let node = self.api.nodes.get(name).map(|(_, node)| node);
        let endpoints = self.api.slices.values().flat_map(|(_, slice)| &slice.endpoints);
        State::Node {
            ready: node.is_some_and(|node| node.ready),
            cordoned: node.is_some_and(|node| node.cordoned),
            n_pods: endpoints
                .filter(|endpoint| endpoint.ready && endpoint.node.as_ref() == Some(name))
                .count(),
        }
    }

    fn answer_state(&self, eip: IpAddr) -> State {
        let speaking = (0..self.replicas.len())
            .filter(|id| self.mode(*id) == Mode::Speaks && self.listens(*id));
        let mut told = Vec::new();
        let mut why = "no replica may speak".to_owned();
        for process in speaking.filter_map(|id| self.replicas[id].process.as_ref()) {
            match process.answers.iter().find(|(_, known, _)| *known == eip) {
                Some((_, _, Ok(mac))) => told.push(mac),
                Some((_, _, Err(silence))) => why = silence.to_string(),
                None => why = "the replica that speaks does not know the address yet".to_owned(),
            }
        }
        let name = |mac: &MacAddr| {
            let node = self.nodes.iter().find(|node| node.macs.contains(mac));
            node.map_or_else(|| NodeName::from("?"), |node| node.name.clone())
        };
        match told.as_slice() {
            [] => State::Unanswered(why),
            [mac] => State::Told(name(mac)),
            several => State::TwoVoices(several.iter().map(name).collect()),
        }
    }

    fn entry_state(&self, eip: IpAddr, told: Option<&MacAddr>) -> State {
        let Some(told) = told else { return State::Unused };
        let node = self.nodes.iter().find(|node| node.mac == *told);
        match node.filter(|node| self.delivers(&node.name, eip)) {
            Some(node) => State::Reaches(node.name.clone()),
            None => State::Lost,
        }
    }
}

/// Whether a request asks for the Lease for its sender.
fn claims(process: &Process, ask: &Ask) -> bool {
    match ask {
        Ask::Write(_, Write::Lease(_, record)) => record.holder.as_ref() == Some(&process.identity),
        Ask::List(..) | Ask::Read(..) | Ask::Write(_, Write::Eip(..) | Write::Service(..)) => false,
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease => f.write_str("the Lease"),
            Self::Node(name) | Self::Replica(name) => write!(f, "{name}"),
            Self::Object(name) => f.write_str(name),
            Self::World => f.write_str("all"),
        }
    }
}

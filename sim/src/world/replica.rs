//! A replica: a process on a node, with the responder thread that answers for it.
//!
//! This is what a real agent does around its [`Speaker`], with every delay between two of its steps
//! made explicit: a responder goes on with an old snapshot for a while, a frame leaves later than its
//! deadline was checked, and all of it comes late when the process is stalled.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use porter_core::{
    Answers, Asked, Config, Generation, Heed, Identity, Input, Instant, IsAt, Kind, Limits, Link,
    LinkName, Output, Probe, Probing, Silence, Speaker, Unroutable, WhoHas, Write,
};

use super::{
    Event, Moment, World,
    api_faults::Refusal,
    eth0,
    frame::Frame,
    host::Host,
    traffic::{Ask, RequestId, Verdict, Watch},
    transcript,
};
use crate::check::Sometimes;

/// Which replica.
pub(crate) type ReplicaId = usize;
/// Which of a replica's processes, one after the other.
pub(crate) type Incarnation = u32;

/// How long a kubelet takes to start a container again.
pub(super) const RESTART_DELAY: Duration = Duration::from_secs(1);

/// A replica, whether its process runs or not.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) process: Option<Process>,
    /// How many processes there were.
    pub(crate) incarnation: Incarnation,
    /// While the process is stalled: until when.
    pub(crate) stalled_until: Moment,
    /// Whether it cannot reach the API server.
    pub(crate) cut: bool,
    /// Whether it stays down when it ends.
    pub(crate) down: bool,
    /// While the API server refuses what it asks for: why, and until when.
    pub(crate) refused: Option<(Refusal, Moment)>,
    /// Of which kinds its next list is old, and how many changes it lacks.
    pub(crate) stale: BTreeMap<Kind, usize>,
}

/// A process: everything that is lost when it ends.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) speaker: Speaker,
    pub(crate) identity: Identity,
    /// What came while it stood still, in that order: nothing overtakes anything, however often the
    /// end of a stall is put off.
    backlog: VecDeque<Task>,
    /// What the responder answers from.
    pub(crate) answers: Arc<Answers>,
    generation: Generation,
    /// The questions that the responder has heard.
    asked: Asked,
    limits: Limits,
    /// Before when it may.
    pub(crate) until: Instant,
    /// When the last announcement, and when the last answer, will have left whose deadline was checked:
    /// each is sent by a thread that does one thing after the other.
    announces_until: Moment,
    answers_until: Moment,
    listens: BTreeSet<LinkName>,
    /// What it hears of what is asked by ARP.
    pub(super) heed: Heed,
    /// In which groups of IPv6 it hears questions.
    pub(super) groups: BTreeSet<Ipv6Addr>,
    /// The holder of the Lease that the transcript named last.
    holder: Option<Identity>,
    /// For when it was last asked to be woken.
    wake_at: Option<Instant>,
    pub(crate) requests: BTreeMap<RequestId, Ask>,
    pub(crate) watches: BTreeMap<Kind, Watch>,
    pub(crate) n_requests: RequestId,
}

/// Something for a process to do.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// The responder has no answer from a snapshot before this one under way.
    Acknowledge(Generation),
    /// Answers a question, or not.
    Answer(WhoHas),
    /// Sends a request to the API server.
    Ask(RequestId),
    /// Answers those who asked before they could be answered.
    CatchUp,
    /// Gives a request up.
    GiveUp(RequestId),
    /// Takes in a fact that nothing can overtake.
    Input(Input),
    /// Lists a kind whose watch is to begin.
    List(Kind, u64),
    /// Notices that a watch is broken.
    Lost(Kind, u64),
    /// Goes on after it stood still.
    Resume,
    /// The responder takes a new snapshot up.
    Publish(Arc<Answers>, Generation),
    /// Takes in the API server's answer to a request.
    Verdict(RequestId, Verdict),
    /// The time that the speaker asked for has come.
    Wake,
    /// Takes in what a watch says, if it is still the same watch.
    Watch(Kind, u64, Input),
}

impl Replica {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            process: None,
            incarnation: 0,
            stalled_until: Moment::ZERO,
            cut: false,
            down: false,
            refused: None,
            stale: BTreeMap::new(),
        }
    }
}

impl World {
    /// Starts a process that knows nothing, unless one runs already.
    pub(super) fn start(&mut self, id: ReplicaId) {
        let replica = &mut self.replicas[id];
        if replica.process.is_some() || replica.down || !self.nodes[id].powered {
            return;
        }
        replica.incarnation += 1;
        let identity = format!("{}_{}", replica.name, replica.incarnation);
        let seed = self.rng.next();
        // Wall clocks are off by up to a day, and stepped, since nothing may be decided by them.
        let mut epoch = super::DAWN + self.rng.up_to(Duration::from_secs(86_400));
        epoch.0 += i64::from(self.nodes[id].wall_secs) * 1_000_000;
        let config = Config {
            identity: Identity::from(identity.as_str()),
            epoch,
            lease: self.options.timing,
            probing: Probing::default(),
            checks_proxies: self.options.checks_proxies,
            conflict_probing: self.options.conflict_probing,
            on_conflict: self.options.on_conflict,
        };
        replica.process = Some(Process {
            identity: config.identity.clone(),
            backlog: VecDeque::new(),
            speaker: Speaker::new(config, seed),
            answers: Arc::default(),
            generation: Generation::default(),
            asked: Asked::new(),
            limits: Limits::new(),
            until: Instant::ZERO,
            announces_until: Moment::ZERO,
            answers_until: Moment::ZERO,
            listens: BTreeSet::new(),
            heed: Heed::default(),
            groups: BTreeSet::new(),
            holder: None,
            wake_at: None,
            requests: BTreeMap::new(),
            watches: BTreeMap::new(),
            n_requests: 0,
        });
        self.checks.started(id);
        self.log(format!("{} starts as {identity}", self.replicas[id].name));
        self.input(id, Input::Link(eth0(), Ok(self.link_of(id))));
        for kind in
            [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice]
        {
            self.watch_anew(id, kind, Duration::ZERO);
        }
    }

    /// Ends a process at once.
    pub(super) fn end(&mut self, id: ReplicaId) {
        if self.has_claimed_unknowingly(id) {
            self.checks.seen.hit(Sometimes::CrashUnacknowledged);
        }
        self.replicas[id].process = None;
        self.replicas[id].stalled_until = self.now;
        if !self.replicas[id].down {
            self.queue.push(self.now + RESTART_DELAY, Event::Start(id));
        }
    }

    /// Whether a process has written the Lease as it is, and waits to hear of that.
    fn has_claimed_unknowingly(&self, id: ReplicaId) -> bool {
        let asks = self.replicas[id].process.iter().flat_map(|process| process.requests.values());
        let mut writes = asks.filter_map(|ask| match ask {
            Ask::Write(_, Write::Lease(_, record)) => Some(record),
            Ask::List(..) | Ask::Read(..) | Ask::Write(..) => None,
        });
        self.api.lease.as_ref().is_some_and(|(_, lease)| writes.any(|record| record == lease))
    }

    /// Lets a process do something, or puts it off while the process is stalled.
    pub(super) fn handle_task(&mut self, id: ReplicaId, incarnation: Incarnation, task: Task) {
        let replica = &mut self.replicas[id];
        let Some(process) = replica.process.as_mut().filter(|_| replica.incarnation == incarnation)
        else {
            return;
        };
        let (until, stalled) = (replica.stalled_until, replica.stalled_until > self.now);
        let resumes = matches!(task, Task::Resume);
        if stalled || !resumes && !process.backlog.is_empty() {
            if !resumes {
                process.backlog.push_back(task);
            }
            if resumes || process.backlog.len() == 1 {
                self.queue.push(until, Event::Task(id, incarnation, Box::new(Task::Resume)));
            }
            return;
        }
        match task {
            Task::Acknowledge(generation) => self.input(id, Input::Silenced(generation)),
            Task::Answer(question) => self.answer(id, &question),
            Task::Ask(request) => self.ask(id, request),
            Task::CatchUp => self.catch_up(id),
            Task::GiveUp(request) => self.give_up(id, request),
            Task::Input(input) => self.input(id, input),
            Task::List(kind, epoch) => self.list(id, kind, epoch),
            Task::Lost(kind, epoch) => self.handle_lost(id, kind, epoch),
            Task::Publish(answers, generation) => self.take_up(id, answers, generation),
            Task::Resume => {
                for task in std::mem::take(&mut process.backlog) {
                    self.queue.push(self.now, Event::Task(id, incarnation, Box::new(task)));
                }
            }
            Task::Verdict(request, verdict) => self.handle_verdict(id, request, verdict),
            Task::Wake => self.wake(id),
            Task::Watch(kind, epoch, input) => self.handle_watch(id, kind, epoch, input),
        }
    }

    /// Tells a speaker a fact, and does what it wants done.
    pub(super) fn input(&mut self, id: ReplicaId, input: Input) {
        if self.is_news(id, transcript::holder_told(&input))
            && let Some(line) = transcript::input(&input)
        {
            self.log(format!("API → {}  {line}", self.replicas[id].name));
        }
        self.checks.told(id, &input, self.now);
        let now = self.local(id);
        if let Some(process) = &mut self.replicas[id].process {
            process.speaker.handle_input(input, now);
        }
        self.drain(id);
    }

    /// Has a process do something after a while.
    pub(super) fn task_after(&mut self, id: ReplicaId, span: Duration, task: Task) {
        let incarnation = self.replicas[id].incarnation;
        self.queue.push(self.now + span, Event::Task(id, incarnation, Box::new(task)));
    }

    /// What a replica's clock shows.
    pub(crate) fn local(&self, id: ReplicaId) -> Instant {
        self.nodes[id].clock.read(self.now)
    }

    /// Looks anew for when a speaker wants to be woken.
    pub(super) fn set_alarm(&mut self, id: ReplicaId) {
        let Some(process) = &mut self.replicas[id].process else { return };
        let wake_at = process.speaker.poll_timeout();
        if wake_at == process.wake_at {
            return;
        }
        process.wake_at = wake_at;
        if let Some(wake_at) = wake_at {
            let span = self.nodes[id].clock.moment_of(wake_at).since(self.now);
            self.task_after(id, span, Task::Wake);
        }
    }

    /// Forgets for when an alarm is set, since the clock that it was set by has changed.
    pub(super) fn reset_alarm(&mut self, id: ReplicaId) {
        if let Some(process) = &mut self.replicas[id].process {
            process.wake_at = None;
        }
        self.set_alarm(id);
    }

    fn wake(&mut self, id: ReplicaId) {
        let now = self.local(id);
        let Some(process) = &mut self.replicas[id].process else { return };
        if process.wake_at.is_none_or(|wake_at| wake_at > now) {
            return; // The speaker has changed its mind since.
        }
        process.wake_at = None;
        process.speaker.handle_timeout(now);
        self.drain(id);
        let replica = &mut self.replicas[id];
        if let Some(process) = &mut replica.process {
            let verdict = self.checks.woken(id, &replica.name, now, &mut process.speaker);
            self.owe(verdict);
        }
    }

    fn drain(&mut self, id: ReplicaId) {
        while let Some(process) = &mut self.replicas[id].process
            && let Some(output) = process.speaker.poll_output()
        {
            self.perform(id, output);
        }
        self.set_alarm(id);
    }

    /// Does what a speaker wants done.
    fn perform(&mut self, id: ReplicaId, output: Output) {
        let verdict = self.checks.wanted(id, &output, self.now, self.local(id));
        self.owe(verdict);
        let name = self.replicas[id].name.clone();
        let Some(process) = &mut self.replicas[id].process else { return };
        match output {
            // At once: whoever does what a speaker wants does one thing after the other.
            Output::Announce(is_at) => self.announce(id, is_at),
            Output::Check(node, _) => self.check_proxy(id, node),
            Output::Event(event) => self.log(transcript::event(&event)),
            Output::Left => {
                self.log(format!("{name} ends"));
                self.end(id);
            }
            Output::Heed(_, heed) => process.heed = heed,
            Output::Listen(links) => process.listens = links,
            Output::Moved(_) => {}
            Output::Join(_, group) => drop(process.groups.insert(group)),
            Output::Quit(_, group) => drop(process.groups.remove(&group)),
            Output::Permit(until) => {
                process.until = until;
                self.task_after(id, Duration::ZERO, Task::CatchUp);
            }
            Output::Probe(probe) if probe.is_for_conflicts() => self.contest(id, &probe),
            Output::Probe(probe) => self.probe(id, &probe),
            Output::Publish(answers, generation) => {
                let announces = process.announces_until.since(self.now);
                if answers != process.answers {
                    self.log(format!("{name} publishes {}", transcript::answers(&answers)));
                }
                // What was to be announced before is on the wire by then.
                let delay = announces + self.rng.up_to(self.weather.publish_delay);
                self.task_after(id, delay, Task::Publish(answers, generation));
            }
            Output::Read(read_id, read) => {
                self.log(format!("{name} → API  {}", transcript::read(read)));
                self.request(id, Ask::Read(read_id, read));
            }
            Output::Route(addresses) => {
                for address in addresses {
                    let route = self.route_of(id, address);
                    self.task_after(id, Duration::ZERO, Task::Input(Input::Route(address, route)));
                }
            }
            Output::Write(write_id, write) => {
                if self.is_news(id, transcript::holder_written(&write)) {
                    self.log(format!("{name} → API  {}", transcript::write(&write)));
                }
                self.request(id, Ask::Write(write_id, write));
            }
        }
    }

    /// Whether a Lease names another holder than the transcript did last for this replica.
    fn is_news(&mut self, id: ReplicaId, holder: Option<Option<Identity>>) -> bool {
        match (holder, &mut self.replicas[id].process) {
            (Some(holder), Some(process)) => {
                std::mem::replace(&mut process.holder, holder.clone()) != holder
            }
            (Some(_), None) | (None, _) => true,
        }
    }

    /// Has the responder answer from a new snapshot. It acknowledges once no older answer is on its
    /// way to the wire.
    fn take_up(&mut self, id: ReplicaId, answers: Arc<Answers>, generation: Generation) {
        let delay = self.rng.up_to(self.weather.publish_delay);
        let Some(process) = &mut self.replicas[id].process else { return };
        if generation <= process.generation {
            return; // It was overtaken by a later one, which is acknowledged for both.
        }
        if process.answers_until > self.now {
            let answers_for = process.answers_until.since(self.now);
            return self.task_after(id, answers_for, Task::Publish(answers, generation));
        }
        process.generation = generation;
        process.answers = answers;
        process.asked.handle_answers();
        let news = process.asked.take_news(&process.answers);
        let last_sent = process.announces_until.since(self.now);
        if !news.is_empty() {
            self.task_after(id, Duration::ZERO, Task::Input(Input::Asked(eth0(), news)));
        }
        self.task_after(id, last_sent + delay, Task::Acknowledge(generation));
        self.catch_up(id);
    }

    fn answer(&mut self, id: ReplicaId, question: &WhoHas) {
        let now = self.local(id);
        let Some(process) = &mut self.replicas[id].process else { return };
        let answer = process.answers.answer(question, now, process.until);
        self.checks.asked(id, question);
        process.asked.handle_question(question, answer.is_ok(), now);
        if answer.is_ok() && !process.limits.admits(question, now) {
            self.checks.seen.hit(Sometimes::TooOften);
            return;
        }
        let a_little_more = now + Duration::from_nanos(1);
        if answer == Err(Silence::NotLeader)
            && process.answers.answer(question, now, a_little_more).is_ok()
        {
            self.checks.seen.hit(Sometimes::SilentInTime);
        }
        if let Ok(is_at) = answer {
            let answer = Frame::answer(self.nodes[id].mac, &is_at);
            self.speak(id, answer, |process| &mut process.answers_until);
        }
    }

    fn catch_up(&mut self, id: ReplicaId) {
        let now = self.local(id);
        while let Some(Process { asked, answers, until, .. }) = &mut self.replicas[id].process
            && let Some(is_at) = asked.poll_answer(answers, now, *until)
        {
            self.checks.seen.hit(Sometimes::ReplayedQuestion);
            let answer = Frame::answer(self.nodes[id].mac, &is_at);
            self.speak(id, answer, |process| &mut process.answers_until);
        }
        let process = self.replicas[id].process.as_ref();
        if let Some(next_at) = process.and_then(|process| process.asked.poll_timeout()) {
            let span = self.nodes[id].clock.moment_of(next_at).since(self.now);
            self.task_after(id, span, Task::CatchUp);
        }
    }

    /// Checks the deadline and sends an announcement.
    fn announce(&mut self, id: ReplicaId, is_at: IsAt) {
        let now = self.local(id);
        let Some(process) = &self.replicas[id].process else { return };
        if now < process.until {
            for frame in Frame::announcement(self.nodes[id].mac, is_at.target, is_at.mac) {
                self.speak(id, frame, |process| &mut process.announces_until);
            }
        }
    }

    /// Checks the deadline and asks who else has an address.
    fn contest(&mut self, id: ReplicaId, probe: &Probe) {
        let now = self.local(id);
        let Some(process) = &self.replicas[id].process else { return };
        if now < process.until {
            let frame = Frame::who_has(probe.target, probe.sender);
            self.speak(id, frame, |process| &mut process.announces_until);
        }
    }

    /// Sends a frame whose deadline has just been checked, a little later, and not before what the same
    /// thread sent before it.
    fn speak(&mut self, id: ReplicaId, frame: Frame, thread: impl Fn(&mut Process) -> &mut Moment) {
        let leaves_at = self.now + self.rng.up_to(self.weather.send_delay);
        let incarnation = self.replicas[id].incarnation;
        let Some(process) = &mut self.replicas[id].process else { return };
        let busy_until = thread(process);
        *busy_until = leaves_at.max(*busy_until);
        self.queue.push(*busy_until, Event::Speech(id, incarnation, frame));
    }

    /// Whether a question of ARP has to be heard there. What need not be is not: a filter in the kernel
    /// keeps it away.
    pub(super) fn heeds(&self, id: ReplicaId, target: IpAddr) -> bool {
        match (&self.replicas[id].process, target) {
            (Some(process), IpAddr::V4(target)) => process.heed.covers(target),
            (None, IpAddr::V4(_)) | (_, IpAddr::V6(_)) => true,
        }
    }

    pub(super) fn listens(&self, id: ReplicaId) -> bool {
        let process = self.replicas.get(id).and_then(|replica| replica.process.as_ref());
        process.is_some_and(|process| process.listens.contains(&eth0()))
    }

    /// By which link a node reaches an address: it knows no way beyond its LAN.
    fn route_of(&self, id: ReplicaId, address: IpAddr) -> Result<LinkName, Unroutable> {
        let link = self.link_of(id);
        match link.address_beside(address) {
            Some(_) if link.owns(address) => Err(Unroutable::Own),
            Some(_) => Ok(eth0()),
            None => Err(Unroutable::NoRoute),
        }
    }

    pub(super) fn link_of(&self, id: ReplicaId) -> Link {
        let node = &self.nodes[id];
        let net = |address: IpAddr| {
            let len = if address.is_ipv4() { 24 } else { 64 };
            let len = if self.is_flat { 0 } else { len };
            ipnet::IpNet::new(address, len).expect("it is a prefix of its family")
        };
        let routers = self.hosts.iter().filter(|_| self.is_flat).flat_map(Host::identities);
        Link {
            mac: node.mac,
            addresses: node.has().into_iter().map(net).collect(),
            gateways: routers.map(|(address, _)| address).collect(),
            carrier: node.carrier,
        }
    }
}

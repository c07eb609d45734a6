//! What is on its way between replicas and the API server, and what gets lost there.
//!
//! A request is carried out when it arrives, whatever became of its sender. Its sender hears of it
//! when the answer arrives, unless it has given up by then; then it hears that nothing is known.

use std::time::Duration;

use porter_core::{
    Got, Input, Kind, Read, ReadError, ReadId, Version, Write, WriteError, WriteId, Written,
};

use super::{
    Event, World,
    api_faults::Refusal,
    replica::{Incarnation, ReplicaId, Task},
};
use crate::check::Sometimes;

/// The number of a request of one process.
pub(crate) type RequestId = u64;

/// After how long a watch that broke is begun anew, and a list that failed is asked for again.
const RELIST_DELAY: Duration = Duration::from_millis(500);
/// After how long without a sign of life a watch is known to be broken.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// What a process asks the API server for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// All objects of a kind, as the beginning of a watch.
    List(Kind, u64),
    Read(ReadId, Read),
    Write(WriteId, Write),
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(super) id: RequestId,
    pub(super) ask: Ask,
}

/// The API server's answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Got(ReadId, Got),
    /// Nothing was done, or so it is said.
    Refused(Refusal),
    Listed(Kind, u64, Version, Input),
    Written(WriteId, Result<Written, WriteError>),
}

/// A replica's watch of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// Grows whenever the watch begins anew; what an earlier one was about to say is not said.
    epoch: u64,
    /// Whether it delivers.
    live: bool,
    /// The version of the last list: an adapter takes no older one.
    listed: Version,
    /// When its last message arrives: none overtakes another.
    last_at: super::Moment,
}

impl Watch {
    /// Whether it delivers.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }
}

impl World {
    /// Sends a request soon, and gives it up when its time is over.
    pub(super) fn request(&mut self, id: ReplicaId, ask: Ask) {
        let Some(process) = &mut self.replicas[id].process else { return };
        process.n_requests += 1;
        let request = process.n_requests;
        process.requests.insert(request, ask);
        let deadline = self.local(id) + self.options.timing.request_timeout();
        let span = self.nodes[id].clock.moment_of(deadline).since(self.now);
        self.task_after(id, span, Task::GiveUp(request));
        self.task_after(id, Duration::ZERO, Task::Ask(request));
    }

    pub(super) fn ask(&mut self, id: ReplicaId, request: RequestId) {
        let Some(process) = &self.replicas[id].process else { return };
        let Some(ask) = process.requests.get(&request).cloned() else { return };
        if self.replicas[id].cut || self.rng.chance(self.weather.lost_requests) {
            return;
        }
        let at = self.now + self.latency();
        let incarnation = self.replicas[id].incarnation;
        self.queue.push(at, Event::Request(id, incarnation, Request { id: request, ask }));
    }

    /// Carries out a request that has arrived.
    pub(super) fn handle_request(&mut self, id: ReplicaId, from: Incarnation, request: Request) {
        if self.replicas[id].cut {
            return;
        }
        let goes_on_at = self.api_goes_on_at();
        if goes_on_at > self.now {
            return self.queue.push(goes_on_at, Event::Request(id, from, request));
        }
        let verdict = match self.refusal(id) {
            None => self.carry_out(id, request.ask),
            Some(refusal) => {
                let writes = matches!(request.ask, Ask::Write(..));
                if writes && refusal == Refusal::Failing && self.rng.chance(250) {
                    self.carry_out(id, request.ask);
                }
                Verdict::Refused(refusal)
            }
        };
        if !self.rng.chance(self.weather.lost_verdicts) {
            let at = self.now + self.latency();
            let task = Task::Verdict(request.id, verdict);
            self.queue.push(at, Event::Task(id, from, Box::new(task)));
        }
    }

    fn carry_out(&mut self, id: ReplicaId, ask: Ask) -> Verdict {
        match ask {
            Ask::List(kind, epoch) => {
                let n_missing = self.replicas[id].stale.remove(&kind).unwrap_or_default();
                let (version, input) = self.api.list_without(kind, n_missing);
                if n_missing > 0 {
                    self.checks.seen.hit(Sometimes::StaleList);
                }
                Verdict::Listed(kind, epoch, version, input)
            }
            Ask::Read(read_id, Read::Lease) => {
                Verdict::Got(read_id, Got::Lease(self.api.lease.clone()))
            }
            Ask::Read(read_id, Read::Services) => {
                Verdict::Got(read_id, Got::Services(self.api.list_services()))
            }
            Ask::Write(write_id, write) => {
                let verdict = self.checks.written(&self.api, &write);
                self.owe(verdict);
                let written = self.api.write(write);
                match written {
                    Ok(Written::Service(_, None)) => self.reconcile(),
                    Ok(_) | Err(_) => self.distribute(),
                }
                Verdict::Written(write_id, written)
            }
        }
    }

    /// Takes in an answer, unless it comes after the request was given up or the API server is cut
    /// off.
    pub(super) fn handle_verdict(&mut self, id: ReplicaId, request: RequestId, verdict: Verdict) {
        let cut = self.replicas[id].cut;
        let Some(process) = &mut self.replicas[id].process else { return };
        if cut {
            return;
        }
        let Some(ask) = process.requests.remove(&request) else { return };
        match verdict {
            Verdict::Refused(refusal) => self.handle_refusal(id, ask, refusal),
            Verdict::Got(read_id, got) => {
                if let Got::Services(listing) = &got {
                    let watch = process.watches.entry(Kind::Service).or_default();
                    watch.epoch += 1;
                    watch.live = true;
                    let version = listing.version;
                    watch.listed = version;
                    self.input(id, Input::Got(read_id, Ok(got)));
                    self.watch_from(id, Kind::Service, version);
                } else {
                    self.input(id, Input::Got(read_id, Ok(got)));
                }
            }
            Verdict::Listed(kind, epoch, version, input) => {
                let watch = process.watches.entry(kind).or_default();
                if watch.epoch == epoch && version < watch.listed {
                    self.task_after(id, RELIST_DELAY, Task::List(kind, epoch));
                } else if watch.epoch == epoch {
                    watch.live = true;
                    watch.listed = version;
                    self.input(id, input);
                    self.watch_from(id, kind, version);
                }
            }
            Verdict::Written(write_id, written) => {
                self.input(id, Input::Written(write_id, written));
            }
        }
    }

    fn handle_refusal(&mut self, id: ReplicaId, ask: Ask, refusal: Refusal) {
        match ask {
            Ask::List(kind, epoch) => {
                let delay = RELIST_DELAY.max(refusal.retry_after());
                self.task_after(id, delay, Task::List(kind, epoch));
                self.task_after(id, Duration::ZERO, Task::Lost(kind, epoch));
            }
            Ask::Read(read_id, _) => self.input(id, Input::Got(read_id, Err(refusal.of_read()))),
            Ask::Write(write_id, write) => {
                if matches!(write, Write::Lease(..)) {
                    self.checks.seen.hit(Sometimes::ClaimRefused);
                }
                self.input(id, Input::Written(write_id, Err(refusal.of_write())));
            }
        }
    }

    pub(super) fn give_up(&mut self, id: ReplicaId, request: RequestId) {
        let Some(process) = &mut self.replicas[id].process else { return };
        match process.requests.remove(&request) {
            Some(Ask::List(kind, epoch)) => {
                self.task_after(id, RELIST_DELAY, Task::List(kind, epoch));
            }
            Some(Ask::Read(read_id, _)) => {
                let error = ReadError::Failed("no answer in time".to_owned());
                self.input(id, Input::Got(read_id, Err(error)));
            }
            Some(Ask::Write(write_id, _)) => {
                self.input(id, Input::Written(write_id, Err(WriteError::Unknown)));
            }
            None => {}
        }
    }

    pub(super) fn list(&mut self, id: ReplicaId, kind: Kind, epoch: u64) {
        let watches = self.replicas[id].process.as_ref().map(|process| &process.watches);
        if watches.and_then(|watches| watches.get(&kind)).is_some_and(|watch| watch.epoch == epoch)
        {
            self.request(id, Ask::List(kind, epoch));
        }
    }

    pub(super) fn handle_watch(&mut self, id: ReplicaId, kind: Kind, epoch: u64, input: Input) {
        let process = self.replicas[id].process.as_ref();
        let watch = process.and_then(|process| process.watches.get(&kind));
        if watch.is_some_and(|watch| watch.live && watch.epoch == epoch) {
            self.input(id, input);
        }
    }

    /// Breaks the watch of a kind. It is noticed after a while, and begun anew after `delay` more.
    pub(super) fn break_watch(&mut self, id: ReplicaId, kind: Kind, delay: Duration) {
        let was_live = self.replicas[id]
            .process
            .as_ref()
            .and_then(|process| process.watches.get(&kind))
            .is_some_and(|watch| watch.live);
        if !was_live {
            return;
        }
        let noticed_after = self.rng.up_to(LOST_AFTER);
        let epoch = self.watch_anew(id, kind, noticed_after + delay);
        self.task_after(id, noticed_after, Task::Lost(kind, epoch));
    }

    /// Notices that a watch is broken, unless it lives again.
    pub(super) fn handle_lost(&mut self, id: ReplicaId, kind: Kind, epoch: u64) {
        let process = self.replicas[id].process.as_ref();
        let watch = process.and_then(|process| process.watches.get(&kind));
        if watch.is_some_and(|watch| !watch.live && watch.epoch == epoch) {
            self.input(id, Input::Lost(kind));
        }
    }

    /// Begins a watch: what the one before was about to say is not said any more.
    pub(super) fn watch_anew(&mut self, id: ReplicaId, kind: Kind, delay: Duration) -> u64 {
        let process = self.replicas[id].process.as_mut().expect("only a process watches");
        let watch = process.watches.entry(kind).or_default();
        watch.epoch += 1;
        watch.live = false;
        let epoch = watch.epoch;
        self.task_after(id, delay, Task::List(kind, epoch));
        epoch
    }

    /// Hands what is new in the API server's log to the watches that are live.
    pub(super) fn distribute(&mut self) {
        let from = std::mem::replace(&mut self.distributed, self.api.log_len());
        let verdict = self.checks.committed(&self.api);
        self.owe(verdict);
        for change in self.api.log(from).to_vec() {
            if let Input::Service(name, ..) = &change.sighting
                && self.checks.seen.has_moved(name, &self.api)
                && (0..self.replicas.len()).any(|id| self.is_blind(id, Kind::Service))
            {
                self.checks.seen.hit(Sometimes::GapAcrossMove);
            }
            for id in 0..self.replicas.len() {
                self.deliver(id, change.kind, change.sighting.clone());
            }
        }
    }

    /// Whether a process runs whose watch of this kind does not.
    fn is_blind(&self, id: ReplicaId, kind: Kind) -> bool {
        let process = self.replicas[id].process.as_ref();
        let watch = process.and_then(|process| process.watches.get(&kind));
        watch.is_some_and(|watch| !watch.live)
    }

    fn watch_from(&mut self, id: ReplicaId, kind: Kind, version: Version) {
        let changes: Vec<_> =
            self.api.log_after(kind, version).map(|change| change.sighting.clone()).collect();
        for sighting in changes {
            self.deliver(id, kind, sighting);
        }
    }

    pub(super) fn deliver(&mut self, id: ReplicaId, kind: Kind, sighting: Input) {
        let arrives_at = self.api_goes_on_at() + self.rng.up_to(self.weather.watch_lag);
        let replica = &mut self.replicas[id];
        let Some(process) = &mut replica.process else { return };
        let watch = process.watches.entry(kind).or_default();
        if !watch.live || replica.cut {
            return;
        }
        watch.last_at = watch.last_at.max(arrives_at);
        let task = Task::Watch(kind, watch.epoch, sighting);
        self.queue.push(watch.last_at, Event::Task(id, replica.incarnation, Box::new(task)));
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(200) + self.rng.up_to(self.weather.api_latency)
    }
}

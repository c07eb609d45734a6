//! Everything that can be done to a world, as a list of steps; and the end of all misery.

use std::{net::IpAddr, time::Duration};

use porter_core::{Input, Kind, Namespaced, NodeName, ServiceName, TrafficPolicy};
use serde::{Deserialize, Serialize};

use super::{
    DRIFT_PPM, Event, Manifest, Subject, Weather, World, api_faults::Refusal, family, replica::Task,
};
use crate::check::Sometimes;

/// From how many frames lost of a thousand on a host may have missed all announcements of a move: one
/// move in a hundred thousand.
const LOSSY: u32 = 100;

/// One thing that is done to a world. Replicas, nodes and the like are counted round, so that any
/// number means one of them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A person makes a node recorded on a Service, or takes the record away.
    Annotate(usize, Option<usize>),
    /// A node's kernel answers for EIPs itself, or not.
    AnswerEips(usize, bool),
    /// Every host outside the cluster has forgotten everything, and pings an EIP.
    Ask(u8),
    /// A watch of a replica breaks, and is begun anew after this many milliseconds.
    BreakWatch(usize, #[serde(with = "KindName")] Kind, u32),
    /// A node has the MAC of another.
    CloneMac(usize, usize),
    /// A host's clock is fast by this many parts per million, within what is bounded or not.
    Clock(usize, i32),
    /// The API server has too many requests to serve a replica's for this many milliseconds.
    Busy(usize, u32),
    /// The switch takes each port for that of whoever was spoken of there last, or not.
    BindPorts(bool),
    /// A node's cable is in, or is not.
    Cable(usize, bool),
    /// A strange host takes an EIP for its own, or not.
    Claim(u8, bool),
    /// A node takes new pods, or no more.
    Cordon(usize, bool),
    /// A process is killed; a kubelet starts the next.
    Crash(usize),
    /// A Service is created, unless there is one of its name.
    CreateService(usize),
    /// A replica cannot reach the API server.
    Cut(usize),
    /// Somebody deletes the Lease.
    DeleteLease,
    /// The pods on a node are deleted, and come back where there is room.
    DeletePods(usize),
    /// A Service is deleted.
    DeleteService(usize),
    /// Somebody takes the holder out of the Lease, and says that this replica gave it up.
    EmptyLease(Option<usize>),
    /// A node's address is another node's, too: the second one has both.
    Double(usize, usize),
    /// A process is killed, and no kubelet starts the next.
    Down(usize),
    /// A replica's watch expires, and is begun anew with a list.
    Expire(usize, #[serde(with = "KindName")] Kind),
    /// The API server fails at a replica's requests for this many milliseconds.
    Fail(usize, u32),
    /// The switch drops announcements, or not.
    Filter(bool),
    /// The API server gives a replica no right to anything for this many milliseconds.
    Forbid(usize, u32),
    /// Frames that make no sense arrive everywhere.
    Garble(u32),
    /// The switch lets each port speak of its own host alone, or not.
    Inspect(bool),
    /// Every frame gets to where it should again.
    Join,
    /// Of a thousand frames that a node sends, and of those sent to it, this many are lost.
    Marginal(usize, u32),
    /// A replica can reach the API server again.
    Heal(usize),
    /// A process is asked to end; a kubelet starts the next.
    Leave(usize),
    /// A node is `Ready`, or is not.
    NodeReady(usize, bool),
    /// No frame of one port of the LAN gets to another; those of hosts outside follow the nodes'.
    Part(usize, usize),
    /// Every host outside the cluster pings an EIP.
    Ping(u8),
    /// A Service is served by its own nodes only (`externalTrafficPolicy: Local`), or by any.
    Policy(usize, bool),
    /// A node has power, or has not.
    Power(usize, bool),
    /// kube-proxy runs on a node, or does not.
    Proxy(usize, bool),
    /// A watch of a replica says this many of its last words again.
    RepeatWatch(usize, #[serde(with = "KindName")] Kind, u8),
    /// A node gets another address.
    Renumber(usize),
    /// Nothing is done for this many milliseconds.
    Run(u32),
    /// A Deployment gets this many pods.
    Scale(usize, u8),
    /// A strange host announces a node's address as its own.
    Spoof(usize),
    /// A replica's watch expires, and the list that it is begun anew with lacks this many changes.
    StaleList(usize, #[serde(with = "KindName")] Kind, u8),
    /// The API server stands still for this many milliseconds.
    StallApi(u32),
    /// A process stands still for this many milliseconds while its clock goes on.
    Stall(usize, u32),
    /// An EIP is asked for this many times at once, half of it in other hosts' names.
    Storm(u8, u16),
    /// A host is suspended for this many milliseconds.
    Suspend(usize, u32),
    /// A node gets an EIP for its own address.
    TakeEip(usize, u8),
    /// A node gets a network card with another MAC.
    SwapNic(usize),
    /// A kubelet starts processes again, after a [`Step::Down`].
    Up(usize),
    /// The wall clock of a node, or of the API server, is stepped to be off by this many seconds.
    WallClock(usize, i32),
}

/// The most Services that steps can name; any number means one of them.
const N_SERVICES_MAX: usize = 50;
/// How many addresses from the guide's first on steps can name.
const N_EIPS: u8 = 50;

/// How a kind of object is written in a step.
#[derive(Deserialize, Serialize)]
#[serde(remote = "Kind", rename_all = "kebab-case")]
enum KindName {
    Eip,
    Lease,
    Namespace,
    Node,
    Service,
    Slice,
}

impl Step {
    /// What is done, whatever it is done to: the first word of the step as it is written.
    pub fn kind(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(step)) => step.keys().next().cloned(),
            Ok(step) => step.as_str().map(str::to_owned),
            Err(_) => None,
        }
        .expect("a step is written as its name, or as its name with what it is done to")
    }
}

impl World {
    /// Does one thing to the world.
    pub fn step(&mut self, step: &Step) {
        self.steps.push(*step);
        let replica = |i: &usize| i % self.replicas.len();
        match step {
            Step::Annotate(service, node) => {
                let node = node.map(|node| self.node(node));
                let name = self.service(*service);
                let key = porter_core::keys::LAYER2.spelled(porter_core::keys::Spelling::Porter);
                self.annotate_service(&name, key, node.as_ref().map(NodeName::as_str));
            }
            Step::AnswerEips(node, answers) => self.set_answers_eips(*node, *answers),
            Step::Ask(number) => {
                for i in 0..self.n_clients() {
                    self.hosts[i].forget();
                }
                self.ping_eip(*number);
            }
            Step::BindPorts(binds) => self.set_binds(*binds),
            Step::Busy(i, millis) => self.refuse(replica(i), Refusal::Busy, span(*millis)),
            Step::BreakWatch(i, kind, millis) => {
                self.break_watch(replica(i), *kind, span(*millis));
            }
            Step::Clock(i, ppm) => self.set_clock(replica(i), *ppm),
            Step::Cable(node, plugged) => self.set_cable(*node, *plugged),
            Step::Claim(number, claims) => {
                for eip in self.eips(*number) {
                    self.claim(eip, *claims);
                }
            }
            Step::CloneMac(node, other) => self.clone_mac(*node, *other),
            Step::Cordon(node, cordoned) => self.cordon(&self.node(*node), *cordoned),
            Step::Crash(i) => self.crash(replica(i)),
            Step::CreateService(i) => self.create_service(*i),
            Step::Cut(i) => self.cut(replica(i)),
            Step::DeleteLease => {
                self.fails(Subject::Lease, "is deleted");
                self.api.put_lease(None);
                self.distribute();
            }
            Step::DeletePods(node) => self.delete_pods(&self.node(*node)),
            Step::DeleteService(i) => self.delete_service(&self.service(*i)),
            Step::EmptyLease(i) => self.empty_lease(i.as_ref().map(replica)),
            Step::Double(node, by) => self.double(*node, *by),
            Step::Down(i) => self.take_down(replica(i)),
            Step::Expire(i, kind) => self.expire_watch(replica(i), *kind),
            Step::Fail(i, millis) => self.refuse(replica(i), Refusal::Failing, span(*millis)),
            Step::Filter(filters) => self.set_filters(*filters),
            Step::Forbid(i, millis) => self.refuse(replica(i), Refusal::Forbidden, span(*millis)),
            Step::Garble(seed) => self.garble(*seed),
            Step::Heal(i) => self.heal(replica(i)),
            Step::Inspect(inspects) => self.set_inspects(*inspects),
            Step::Join => self.join(),
            Step::Leave(i) => self.leave(replica(i)),
            Step::Marginal(node, lost) => self.set_marginal(*node, *lost),
            Step::NodeReady(node, ready) => self.set_ready(&self.node(*node), *ready),
            Step::Part(from, to) => self.part(*from, *to),
            Step::Ping(number) => self.ping_eip(*number),
            Step::Policy(service, true) => {
                self.set_policy(&self.service(*service), TrafficPolicy::Local);
            }
            Step::Policy(service, false) => {
                self.set_policy(&self.service(*service), TrafficPolicy::Cluster);
            }
            Step::Power(node, on) => self.set_power(*node, *on),
            Step::Proxy(node, runs) => self.set_proxy(*node, *runs),
            Step::RepeatWatch(i, kind, n_last) => {
                self.repeat_watch(replica(i), *kind, *n_last);
            }
            Step::Renumber(node) => self.renumber(*node),
            Step::Run(millis) => self.run(span(*millis)),
            Step::Scale(i, n_pods) => {
                let name =
                    self.cluster.workloads.keys().nth(i % self.cluster.workloads.len().max(1));
                if let Some(name) = name.cloned() {
                    self.scale(&name, usize::from(*n_pods));
                }
            }
            Step::Spoof(node) => self.spoof(*node),
            Step::StaleList(i, kind, n) => self.list_stale(replica(i), *kind, *n),
            Step::StallApi(millis) => self.stall_api(span(*millis)),
            Step::Storm(number, n_frames) => self.storm(eip(*number), *n_frames),
            Step::Suspend(node, millis) => self.suspend(*node, span(*millis)),
            Step::TakeEip(node, number) => self.take_eip(*node, eip(*number)),
            Step::Up(i) => self.bring_up(replica(i)),
            Step::WallClock(host, secs) => self.step_wall_clock(*host, *secs),
            Step::SwapNic(node) => self.swap_nic(node % self.nodes.len()),
            Step::Stall(i, millis) => {
                self.stall(replica(i), span(*millis));
            }
        }
        self.check();
    }

    /// Kills a replica's process.
    pub fn crash(&mut self, id: usize) {
        self.fails(self.replica(id), "is killed");
        self.end(id);
    }

    /// Kills a replica's process and keeps it from being started again.
    pub fn take_down(&mut self, id: usize) {
        self.replicas[id].down = true;
        self.crash(id);
    }

    /// Has a replica's process started again when it ends, and now if there is none.
    pub fn bring_up(&mut self, id: usize) {
        self.replicas[id].down = false;
        self.queue.push(self.now, Event::Start(id));
    }

    /// Asks a replica's process to end.
    pub fn leave(&mut self, id: usize) {
        if self.replicas[id].process.is_some() {
            self.changes(self.replica(id), "is asked to end");
            self.task_after(id, Duration::ZERO, Task::Input(Input::Leave));
        }
    }

    /// Keeps everything between a replica and the API server from arriving.
    pub fn cut(&mut self, id: usize) {
        if self.replicas[id].cut {
            return;
        }
        self.fails(self.replica(id), "is cut off from the API");
        for kind in KINDS {
            self.break_watch(id, kind, Duration::ZERO);
        }
        if self.leads(id) {
            self.checks.seen.hit(Sometimes::HeldWhileCut);
        }
        self.replicas[id].cut = true;
    }

    /// Ends a cut.
    pub fn heal(&mut self, id: usize) {
        if self.replicas[id].cut {
            self.changes(self.replica(id), "reaches the API again");
            self.replicas[id].cut = false;
        }
    }

    /// Makes a process, its responder included, stand still for a while: everything it has to do
    /// comes late, and its clock goes on.
    pub fn stall(&mut self, id: usize, span: Duration) {
        self.fails(self.replica(id), format!("stands still for {span:?}"));
        let process = self.replicas[id].process.as_ref();
        let local_then = self.nodes[id].clock.read(self.now + span);
        if self.leads(id) && process.is_some_and(|process| process.until <= local_then) {
            self.checks.seen.hit(Sometimes::PausedAcrossDeadline);
        }
        if !self.leads(id) && process.is_some() && span > self.options.timing.duration() {
            self.checks.seen.hit(Sometimes::FollowerPaused);
        }
        let until = self.now + span;
        self.replicas[id].stalled_until = self.replicas[id].stalled_until.max(until);
    }

    /// Makes a host's clock fast by this many parts per million.
    pub fn set_clock(&mut self, id: usize, ppm: i32) {
        self.fails(self.replica(id), format!("has a clock that is fast by {ppm} ppm"));
        self.nodes[id].clock.set_rate(ppm, self.now);
        if ppm.unsigned_abs() > DRIFT_PPM {
            self.checks.count_overlaps();
        }
        self.reset_alarm(id);
    }

    /// Ends all misery: everything runs, is reached, and in time, but for what was left outside. What is
    /// owed from here on is that all others agree.
    pub fn calm(&mut self) {
        let stalled = self.replicas.iter().map(|replica| replica.stalled_until);
        let suspended = self.nodes.iter().map(|node| node.suspended_until);
        let until = stalled.chain(suspended).max().unwrap_or_default().max(self.api_stalled_until);
        self.run(until.since(self.now));
        self.changes(Subject::World, "is calm");
        // All five announcements of a move may have been lost.
        self.misled |= self.weather.lan_loss >= LOSSY;
        self.weather = Weather::calm();
        self.repair();
        self.hush();
        self.relent();
        for id in 0..self.replicas.len() {
            if self.is_core(id) {
                self.heal(id);
                self.replicas[id].down = false;
                self.queue.push(self.now, Event::Start(id));
            }
            let ppm = self.options.clocks_ppm[id % self.options.clocks_ppm.len()];
            self.nodes[id].clock.set_rate(ppm, self.now);
            self.reset_alarm(id);
        }
        for i in 0..self.nodes.len() {
            let (powered, serves) = (self.nodes[i].powered, self.nodes[i].forwards());
            self.put_node(i, |node| {
                node.ready = powered;
                node.cordoned = !serves;
            });
            if !serves {
                self.delete_pods(&self.node(i));
            }
        }
    }

    fn ping_eip(&mut self, number: u8) {
        for i in 0..self.n_clients() {
            for eip in self.eips(number) {
                self.hosts[i].ping(eip, self.now);
            }
            self.drain_host(i);
        }
    }

    fn empty_lease(&mut self, released_by: Option<usize>) {
        let process = released_by.and_then(|id| self.replicas[id].process.as_ref());
        let identity = process.map(|process| process.identity.clone());
        if let Some((_, mut record)) = self.api.lease.clone()
            && (identity.is_none() || identity != record.holder)
            // Nobody can help who believes a false word of the one who speaks.
            && released_by.is_none_or(|id| !self.leads(id))
        {
            self.fails(Subject::Lease, "loses its holder");
            record.holder = None;
            record.released_by = identity;
            self.api.put_lease(Some(record));
            self.distribute();
        }
    }

    pub(super) fn replica(&self, id: usize) -> Subject {
        Subject::Replica(self.nodes[id].name.clone())
    }

    fn node(&self, i: usize) -> NodeName {
        self.nodes[i % self.nodes.len()].name.clone()
    }

    fn service(&self, i: usize) -> ServiceName {
        match i % N_SERVICES_MAX {
            0 => Namespaced::new("default", "mylbapp-svc-layer2"),
            i => Namespaced::new("default", &format!("web-{i}")),
        }
    }

    /// Creates a Service like the guide's, unless one of that name is there.
    fn create_service(&mut self, i: usize) {
        let name = self.service(i);
        if self.api.services.contains_key(&name) {
            return;
        }
        for manifest in self.manifests() {
            if let Manifest::Service(_, mut service, mut exposed) = manifest {
                if self.is_dual_stack() {
                    family::give(i % N_SERVICES_MAX, &mut service, &mut exposed);
                }
                self.changes(Subject::Object(name.to_string()), "is created");
                self.apply(&Manifest::Service(name.clone(), service, exposed));
            }
        }
    }
}

fn span(millis: u32) -> Duration {
    Duration::from_millis(u64::from(millis))
}

impl World {
    /// The addresses that steps call by this number, one of each family.
    pub(super) fn eips(&self, number: u8) -> Vec<IpAddr> {
        let eip = eip(number);
        let beside = family::beside(eip).filter(|_| self.is_dual_stack());
        [eip].into_iter().chain(beside).collect()
    }

    /// Whether steps call an address by a number, as the address of an EIP.
    pub(super) fn is_in_pool(&self, address: IpAddr) -> bool {
        (0..N_EIPS).any(|number| eip(number) == address)
    }
}

/// The address that steps call by this number.
fn eip(number: u8) -> IpAddr {
    IpAddr::from([172, 22, 0, 188 + number % N_EIPS])
}

const KINDS: [Kind; 6] =
    [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];

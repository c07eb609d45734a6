//! A law of the election alone: several replicas that share one Lease through an API server with
//! slow requests, lost verdicts and watches that overtake, on hosts that stall and whose clocks are
//! off, are one voice.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

use std::collections::BTreeMap;

use porter_core::{
    Config, Election, Fitness, Identity, Instant, LeaseRecord, LeaseTiming, OnConflict, Probing,
    Timestamp, Version, Wanted, WriteError,
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

/// Several replicas, each with a clock of its own, and the Lease that they share.
struct World {
    replicas: Vec<Replica>,
    lease: Option<(Version, LeaseRecord)>,
    version: u64,
    /// True time, in nanoseconds.
    now: u64,
    /// What arrives when, in the order of its sending where that is equal.
    queue: BTreeMap<(u64, u64), (usize, Message)>,
    sent: u64,
    latency: u64,
}

struct Replica {
    election: Election,
    /// Nanoseconds of its clock per million nanoseconds of true time.
    rate: u64,
    offset: u64,
    /// Until when, in true time, it does nothing.
    stalled_until: u64,
    incarnation: u64,
}

#[derive(Clone, Debug)]
enum Message {
    Read(u64),
    Write(u64, Option<Version>, LeaseRecord),
    ReadDone(u64, Option<(Version, LeaseRecord)>),
    Written(u64, Result<(Version, LeaseRecord), WriteError>),
    Seen(Option<(Version, LeaseRecord)>),
}

#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    Stall(usize, u64),
    Restart(usize),
    Leave(usize),
    Fitness(usize, Fitness),
    Latency(u64),
    LoseVerdicts,
}

impl World {
    fn new(rates: &[u64]) -> Self {
        let replica = |(i, &rate): (usize, &u64)| Replica {
            election: campaigning(i, 0),
            rate,
            offset: 7_000_000_000 * i as u64,
            stalled_until: 0,
            incarnation: 0,
        };
        let replicas = rates.iter().enumerate().map(replica).collect();
        let mut world = Self {
            replicas,
            lease: None,
            version: 0,
            now: 0,
            queue: BTreeMap::new(),
            sent: 0,
            latency: 5,
        };
        for replica in 0..rates.len() {
            world.send(replica, Message::Seen(None));
        }
        world
    }

    fn send(&mut self, replica: usize, message: Message) {
        self.sent += 1;
        // From a tenth of the latency to twice as much, so that requests and watches overtake.
        let jitter = 100_000 + (self.sent * 7_919) % 1_900_000;
        self.queue.insert((self.now + self.latency * jitter, self.sent), (replica, message));
    }

    fn local(&self, replica: usize) -> Instant {
        let Replica { rate, offset, .. } = self.replicas[replica];
        Instant::from_nanos(offset + self.now / 1_000_000 * rate + self.now % 1_000_000)
    }

    fn deliver(&mut self, replica: usize, message: Message) {
        let incarnation = self.replicas[replica].incarnation;
        match message {
            Message::Read(asked_by) => {
                let lease = self.lease.clone();
                self.send(replica, Message::ReadDone(asked_by, lease));
            }
            Message::Write(asked_by, expected, record) => {
                let verdict = if self.lease.as_ref().map(|lease| lease.0) == expected {
                    self.version += 1;
                    self.lease = Some((Version(self.version), record.clone()));
                    for other in 0..self.replicas.len() {
                        self.send(other, Message::Seen(self.lease.clone()));
                    }
                    Ok((Version(self.version), record))
                } else {
                    Err(WriteError::Conflict)
                };
                self.send(replica, Message::Written(asked_by, verdict));
            }
            Message::ReadDone(asked_by, lease) if asked_by == incarnation => {
                let now = self.local(replica);
                self.replicas[replica].election.handle_read(Ok(lease), now);
            }
            Message::Written(asked_by, verdict) if asked_by == incarnation => {
                let now = self.local(replica);
                self.replicas[replica].election.handle_written(verdict, now);
            }
            Message::ReadDone(..) | Message::Written(..) => {}
            Message::Seen(lease) => {
                let now = self.local(replica);
                self.replicas[replica].election.handle_seen(lease, now);
            }
        }
    }

    /// Lets true time pass in small steps, in which everything that is due happens.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.now += 10_000_000;
            while let Some((&key, &(replica, ref message))) = self.queue.first_key_value() {
                let reply = !matches!(message, Message::Read(_) | Message::Write(..));
                if key.0 > self.now {
                    break;
                }
                let (_, message) = self.queue.remove(&key).unwrap();
                let wakes_at = self.replicas[replica].stalled_until;
                if reply && wakes_at > self.now {
                    self.queue.insert((wakes_at, key.1), (replica, message));
                    continue;
                }
                self.deliver(replica, message);
                self.drain(replica);
            }
            for replica in 0..self.replicas.len() {
                if self.replicas[replica].stalled_until <= self.now {
                    let now = self.local(replica);
                    self.replicas[replica].election.handle_timeout(now);
                    self.drain(replica);
                }
            }
            let leaders = (0..self.replicas.len()).filter(|&i| self.leads(i)).count();
            assert!(leaders <= 1, "two voices at {} ms of true time", self.now / 1_000_000);
        }
    }

    fn drain(&mut self, replica: usize) {
        let now = self.local(replica);
        let election = &mut self.replicas[replica].election;
        // Nobody answers here, so that whoever is silent may release.
        election.handle_release(now);
        while let Some(wanted) = self.replicas[replica].election.poll_output() {
            let asked_by = self.replicas[replica].incarnation;
            self.send(
                replica,
                match wanted {
                    Wanted::Read => Message::Read(asked_by),
                    Wanted::Write(expected, record) => Message::Write(asked_by, expected, record),
                },
            );
        }
    }

    fn leads(&self, replica: usize) -> bool {
        self.replicas[replica].election.leads(self.local(replica))
    }

    fn step(&mut self, step: &Step) {
        let n = self.replicas.len();
        match *step {
            Step::Run(millis) => self.run(millis),
            Step::Stall(replica, millis) => {
                self.replicas[replica % n].stalled_until = self.now + millis * 1_000_000;
            }
            Step::Restart(replica) => {
                let replica = replica % n;
                self.replicas[replica].incarnation += 1;
                self.replicas[replica].election =
                    campaigning(replica, self.replicas[replica].incarnation);
                self.send(replica, Message::Seen(self.lease.clone()));
            }
            Step::Leave(replica) => {
                let now = self.local(replica % n);
                self.replicas[replica % n].election.handle_yield(now);
                self.drain(replica % n);
            }
            Step::Fitness(replica, fitness) => {
                let now = self.local(replica % n);
                self.replicas[replica % n].election.handle_fitness(fitness, now);
                self.drain(replica % n);
            }
            Step::Latency(millis) => self.latency = millis,
            Step::LoseVerdicts => {
                for (_, message) in self.queue.values_mut() {
                    if let Message::Written(_, verdict) = message {
                        *verdict = Err(WriteError::Unknown);
                    }
                }
            }
        }
    }
}

fn campaigning(replica: usize, incarnation: u64) -> Election {
    let identity = Identity::from(format!("replica{replica}-{incarnation}").as_str());
    let config = Config {
        identity,
        epoch: Timestamp(0),
        lease: LeaseTiming::default(),
        probing: Probing::default(),
        checks_proxies: false,
        conflict_probing: None,
        on_conflict: OnConflict::Defend,
    };
    let mut election = Election::new(&config, 1);
    election.handle_campaign(true, Instant::ZERO);
    election
}

fn any_fitness() -> impl Strategy<Value = Fitness> {
    let some = (0u32..3).prop_map(Fitness::Fit);
    prop_oneof![3 => some, 1 => Just(Fitness::Unfit), 1 => Just(Fitness::Deaf), 1 => Just(Fitness::CutOff)]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (10u64..8_000).prop_map(Step::Run),
        2 => (0usize..4, 100u64..12_000).prop_map(|(replica, span)| Step::Stall(replica, span)),
        1 => (0usize..4).prop_map(Step::Restart),
        1 => (0usize..4).prop_map(Step::Leave),
        1 => (0usize..4, any_fitness()).prop_map(|(replica, it)| Step::Fitness(replica, it)),
        1 => prop_oneof![Just(5u64), Just(50), Just(500), Just(3_000)].prop_map(Step::Latency),
        1 => Just(Step::LoseVerdicts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_there_is_one_voice_and_after_a_calm_there_is_a_leader(
        latency in prop_oneof![Just(5u64), Just(50), Just(500), Just(3_000)],
        rates in prop::collection::vec(
            prop_oneof![Just(990_000u64), Just(1_000_000), Just(1_010_000)], 1..4),
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let mut world = World::new(&rates);
        world.latency = latency;
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Latency(5));
        for replica in 0..rates.len() {
            let now = world.local(replica);
            world.replicas[replica].stalled_until = world.now;
            world.replicas[replica].election.handle_campaign(true, now);
            world.replicas[replica].election.handle_fitness(Fitness::Fit(1), now);
        }
        world.run(20_000);
        prop_assert_eq!((0..rates.len()).filter(|&i| world.leads(i)).count(), 1);
    }
}

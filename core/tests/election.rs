//! The election alone: stories of one replica, and a law over several that share one Lease through
//! an API server with slow requests, lost verdicts and clocks that are off.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

use std::time::Duration;

use porter_core::{
    Config, Election, Identity, Instant, LeaseRecord, LeaseTiming, Timestamp, Version, Wanted,
    WriteError,
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

const DURATION: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_millis(5_050);
const SPEAK: Duration = Duration::from_millis(4_850);

fn election(name: &str) -> Election {
    let identity = Identity::from(name);
    let config = Config { identity, epoch: Timestamp(0), lease: LeaseTiming::default() };
    Election::new(&config, 1)
}

fn record(holder: Option<&str>, renewed: i64) -> LeaseRecord {
    LeaseRecord {
        holder: holder.map(Identity::from),
        duration: DURATION,
        acquired: Timestamp(0),
        renewed: Timestamp(renewed),
        transitions: 3,
        released_by: None,
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A replica that campaigns and has seen that another holds the Lease, at 0 s.
fn challenger() -> Election {
    let mut election = election("b");
    election.handle_campaign(true, at(0));
    election.handle_seen(Some((Version(1), record(Some("a"), 1))), at(0));
    election
}

/// A replica that holds the Lease as version 2, by a write sent at 5.05 s.
fn leader() -> Election {
    let mut election = challenger();
    let sent_at = at(0) + WAIT;
    election.handle_timeout(sent_at);
    let Some(Wanted::Write(Some(Version(1)), record)) = election.poll_output() else {
        panic!("a challenger asks for the Lease when it is free");
    };
    election.handle_written(Ok((Version(2), record)), sent_at);
    assert!(election.leads(sent_at));
    election
}

fn write(election: &mut Election, now: Instant) -> Option<(Option<Version>, LeaseRecord)> {
    election.handle_timeout(now);
    match election.poll_output() {
        Some(Wanted::Write(version, record)) => Some((version, record)),
        Some(Wanted::Read) | None => None,
    }
}

#[test]
fn a_challenger_waits_for_the_whole_claim_from_when_it_saw_it() {
    let mut b = challenger();
    assert_eq!(b.poll_timeout(), Some(at(0) + WAIT));
    assert_eq!(write(&mut b, at(5_049)), None);
    let (version, record) = write(&mut b, at(5_050)).unwrap();
    assert_eq!((version, record.transitions), (Some(Version(1)), 4));
    assert_eq!(record.holder, Some(Identity::from("b")));
}

#[test]
fn a_renewal_starts_the_wait_again_and_an_unchanged_record_does_not() {
    let mut b = challenger();
    b.handle_seen(Some((Version(1), record(Some("a"), 1))), at(3_000));
    assert_eq!(b.poll_timeout(), Some(at(0) + WAIT));
    b.handle_seen(Some((Version(2), record(Some("a"), 2))), at(3_000));
    assert_eq!(b.poll_timeout(), Some(at(3_000) + WAIT));
}

#[test]
fn a_claim_counts_from_the_sending_of_the_write_not_from_its_verdict() {
    let mut b = challenger();
    let (_, record) = write(&mut b, at(5_050)).unwrap();
    b.handle_written(Ok((Version(2), record)), at(6_000));
    assert_eq!(b.until(), Some(at(5_050) + SPEAK));
}

#[test]
fn a_leader_stops_at_its_deadline_even_if_nobody_wakes_it() {
    let b = leader();
    let until = b.until().unwrap();
    assert!(b.leads(until - Duration::from_nanos(1)));
    assert!(!b.leads(until));
}

#[test]
fn a_lost_verdict_is_looked_up_and_counts_from_its_sending() {
    let mut b = leader();
    let (_, renewal) = write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Unknown), at(7_800));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(Some((Version(3), renewal))), at(7_900));
    assert_eq!(b.until(), Some(at(6_800) + SPEAK));
}

#[test]
fn a_leader_that_does_not_find_itself_in_the_lease_has_lost_it() {
    let mut b = leader();
    write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Conflict), at(6_900));
    assert!(b.leads(at(6_900)), "its claim goes on until it is known what changed");
    b.handle_read(Ok(Some((Version(9), record(Some("a"), 9)))), at(7_000));
    assert!(!b.leads(at(7_000)));
    assert_eq!(b.poll_timeout(), Some(at(7_000) + WAIT), "a conflict does not shorten the wait");
}

#[test]
fn a_leader_falls_silent_when_the_lease_is_changed_or_gone_and_speaks_again_if_it_was_not() {
    let changed = Some((Version(7), record(Some("a"), 7)));
    for seen in [changed, None] {
        let mut b = leader();
        let (version, ours) = (Version(2), claim_of(&b));
        b.handle_seen(seen, at(5_500));
        assert!(!b.leads(at(5_500)));
        assert_eq!(b.poll_output(), Some(Wanted::Read));
        b.handle_read(Ok(Some((version, ours))), at(5_600));
        assert!(b.leads(at(5_600)));
        assert_eq!(b.until(), Some(at(5_050) + SPEAK));
    }
}

/// The record by which [`leader`] leads.
fn claim_of(leader: &Election) -> LeaseRecord {
    let stamp = Timestamp(5_050_000);
    let holder = leader.holder().cloned();
    LeaseRecord { holder, acquired: stamp, renewed: stamp, transitions: 4, ..record(None, 0) }
}

#[test]
fn a_lease_that_is_emptied_or_rewritten_is_waited_out_in_full() {
    let emptied = Some((Version(2), record(None, 1)));
    let mut short = record(Some("a"), 2);
    short.duration = Duration::from_secs(1);
    for seen in [emptied, Some((Version(2), short))] {
        let mut b = challenger();
        b.handle_seen(seen, at(2_000));
        assert_eq!(b.poll_timeout(), Some(at(2_000) + WAIT));
    }
}

#[test]
fn a_release_by_its_holder_is_taken_at_once_and_by_anyone_else_is_not() {
    for (released_by, free_at) in [("a", at(2_000)), ("c", at(2_000) + WAIT)] {
        let mut b = challenger();
        let mut released = record(None, 1);
        released.released_by = Some(Identity::from(released_by));
        b.handle_seen(Some((Version(2), released)), at(2_000));
        let asks = b.poll_output().is_some();
        assert_eq!(asks, free_at == at(2_000), "released by {released_by}");
    }
}

#[test]
fn a_conflict_that_is_heard_after_the_winner_was_seen_does_not_shorten_the_wait() {
    let mut b = challenger();
    write(&mut b, at(5_050)).unwrap();
    let winner = Some((Version(2), record(Some("c"), 2)));
    b.handle_seen(winner.clone(), at(5_060));
    b.handle_written(Err(WriteError::Conflict), at(5_070));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(winner), at(5_080));
    assert_eq!(b.poll_timeout(), Some(at(5_060) + WAIT));
}

#[test]
fn a_claim_that_was_overtaken_before_its_verdict_is_looked_up() {
    let mut b = challenger();
    let (_, ours) = write(&mut b, at(5_050)).unwrap();
    let theirs = Some((Version(3), record(Some("c"), 3)));
    b.handle_seen(theirs.clone(), at(5_060));
    b.handle_written(Ok((Version(2), ours)), at(5_070));
    assert!(!b.leads(at(5_070)));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(theirs), at(5_080));
    assert!(!b.leads(at(5_080)));
}

#[test]
fn a_leaving_leader_is_silent_before_it_releases() {
    let mut b = leader();
    b.handle_yield(at(6_000));
    assert!(!b.leads(at(6_000)));
    assert_eq!(b.poll_output(), None);
    b.handle_release(at(6_010));
    let Some(Wanted::Write(Some(Version(2)), record)) = b.poll_output() else {
        panic!("a silent leader that may release its claim does");
    };
    assert_eq!((record.holder, record.released_by), (None, Some(Identity::from("b"))));
}

#[test]
fn a_lease_that_is_missing_is_created_without_a_holder_and_waited_out_in_full() {
    for (mut b, seen_at) in [(election("b"), 0), (challenger(), 4_000), (leader(), 6_000)] {
        b.handle_campaign(true, at(seen_at));
        b.handle_seen(None, at(seen_at));
        let mut wanted = b.poll_output();
        if wanted == Some(Wanted::Read) {
            b.handle_read(Ok(None), at(seen_at));
            wanted = b.poll_output();
        }
        let Some(Wanted::Write(version, record)) = wanted else {
            panic!("whoever campaigns creates the Lease that is missing");
        };
        assert_eq!((version, &record.holder, &record.released_by), (None, &None, &None));
        let created_at = at(seen_at + 100);
        b.handle_written(Ok((Version(9), record)), created_at);
        assert!(!b.leads(created_at));
        assert_eq!(b.poll_timeout(), Some(created_at + WAIT));
    }
}

/// Several replicas, each with a clock of its own, and the Lease that they share.
struct World {
    replicas: Vec<Replica>,
    lease: Option<(Version, LeaseRecord)>,
    version: u64,
    /// True time, in nanoseconds.
    now: u64,
    /// What arrives when, in the order of its sending where that is equal.
    queue: std::collections::BTreeMap<(u64, u64), (usize, Message)>,
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
            queue: std::collections::BTreeMap::new(),
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
    let mut election = election(&format!("replica{replica}-{incarnation}"));
    election.handle_campaign(true, Instant::ZERO);
    election
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (10u64..8_000).prop_map(Step::Run),
        2 => (0usize..4, 100u64..12_000).prop_map(|(replica, span)| Step::Stall(replica, span)),
        1 => (0usize..4).prop_map(Step::Restart),
        1 => (0usize..4).prop_map(Step::Leave),
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
        }
        world.run(20_000);
        prop_assert_eq!((0..rates.len()).filter(|&i| world.leads(i)).count(), 1);
    }
}

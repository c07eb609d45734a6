//! What tells two states of the model apart.
//!
//! Left out is what no decision can depend on any more: the hour, the spelling of versions and
//! stamps, attempts that are nowhere to be found again, and replaced versions that are not shown
//! again.

use std::{
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
    time::Duration,
};

use super::{Call, Replica, Taken, World};
use crate::{
    Identity, Instant, LeaseRecord, Version,
    election::{Attempt, PAUSE, Purpose, Request, Role, Sight, Wanted},
};

/// Stands for what is not among the things that are named.
const NONE: u64 = u64::MAX;

#[derive(Clone, Copy)]
struct Clock<'a> {
    replica: &'a Replica,
    ticks: u64,
}

/// Writes a state down, with names of its own.
struct Scribe<'a> {
    words: Vec<u64>,
    /// By their order of mention.
    versions: Vec<Version>,
    identities: Vec<Identity>,
    world: &'a World,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl World {
    /// What is so whatever the replicas are called: of two whose clocks are alike nothing tells which is
    /// which, so that a state and the one with both exchanged count as one.
    fn key(&self) -> Vec<u64> {
        let mut order: Vec<&Replica> = self.replicas.iter().map(|replica| &**replica).collect();
        let key = self.key_in(&order);
        match &mut order[..] {
            [.., other, another] if other.rate == another.rate => {
                mem::swap(other, another);
                key.min(self.key_in(&order))
            }
            _ => key,
        }
    }

    fn key_in(&self, replicas: &[&Replica]) -> Vec<u64> {
        let (words, versions) = (Vec::with_capacity(128), Vec::new());
        let mut scribe = Scribe { words, versions, identities: Vec::new(), world: self };
        scribe.word(u64::from(self.faults));
        scribe.word(self.ticks % 2);
        scribe.word(match self.taken {
            Taken::Vacant => 0,
            Taken::Expired => 1,
            Taken::Released => 2,
            Taken::HandedOver => 3,
        });
        scribe.word(u64::from(self.wishes));
        for replica in replicas {
            scribe.identity(Some(&replica.election.me));
        }
        scribe.lease(self.lease.as_ref());
        for replica in replicas {
            scribe.replica(replica, Clock { replica, ticks: self.ticks });
        }
        scribe.words
    }
}

impl Scribe<'_> {
    fn word(&mut self, word: u64) {
        self.words.push(word);
    }

    fn version(&mut self, version: Option<Version>) {
        let named = version.map_or(NONE, |version| {
            let place = self.versions.iter().position(|known| *known == version);
            place.unwrap_or_else(|| {
                self.versions.push(version);
                self.versions.len() - 1
            }) as u64
        });
        self.word(named);
    }

    fn identity(&mut self, identity: Option<&Identity>) {
        let named = identity.map_or(NONE, |identity| {
            let place = self.identities.iter().position(|known| known == identity);
            place.unwrap_or_else(|| {
                self.identities.push(identity.clone());
                self.identities.len() - 1
            }) as u64
        });
        self.word(named);
    }

    /// In how many ticks an instant will have come. What is past is past.
    fn instant(&mut self, at: Option<Instant>, clock: Clock<'_>) {
        let ticks = at.map(|at| {
            let mut coming = (clock.ticks..).map(|tick| clock.replica.clock(tick));
            coming.position(|now| now >= at).expect("every instant comes") as u64
        });
        self.word(ticks.unwrap_or(NONE));
    }

    fn record(&mut self, record: &LeaseRecord) {
        self.identity(record.holder.as_ref());
        self.identity(record.released_by.as_ref());
        self.identity(record.wanted_by.as_ref());
        self.word(record.duration.as_secs());
        // Whose attempt it is, and which; only its author can tell.
        let author = |replica: &Arc<Replica>| {
            let attempts = replica.election.attempts.iter();
            let mut met = attempts.filter(|attempt| self.is_found(replica, attempt));
            let ours = record.holder.as_ref() == Some(&replica.election.me);
            met.position(|attempt| ours && attempt.stamp == record.renewed)
        };
        let place = self.world.replicas.iter().find_map(author);
        self.word(place.map_or(NONE, |place| place as u64));
    }

    fn lease(&mut self, lease: Option<&(Version, LeaseRecord)>) {
        self.version(lease.map(|(version, _)| *version));
        if let Some((_, record)) = lease {
            self.record(record);
        }
    }

    fn write(&mut self, expected: Option<Version>, record: &LeaseRecord) {
        self.version(expected);
        self.record(record);
    }

    fn replica(&mut self, replica: &Replica, clock: Clock<'_>) {
        self.word(u64::from(replica.by_read));
        match &replica.call {
            Call::None => self.word(0),
            Call::Asked(Wanted::Read) => self.word(1),
            Call::Asked(Wanted::Write(expected, record)) => {
                self.word(2);
                self.write(*expected, record);
            }
            Call::Read(lease) => {
                self.word(3);
                self.lease(lease.as_ref());
            }
            Call::Written(Ok(lease)) => {
                self.word(4);
                self.lease(Some(lease));
            }
            Call::Written(Err(_)) => self.word(5),
        }
        self.word(u64::from(replica.astray.is_some()));
        if let Some((expected, record)) = &replica.astray {
            self.write(*expected, record);
        }
        self.word(replica.unseen.len() as u64);
        for lease in &replica.unseen {
            self.lease(lease.as_ref());
            let replaced = &replica.election.replaced;
            let known = lease.as_ref().is_some_and(|(version, _)| replaced.contains(version));
            self.word(u64::from(known));
        }
        self.election(replica, clock);
    }

    fn election(&mut self, replica: &Replica, clock: Clock<'_>) {
        let election = &replica.election;
        let until = match election.role {
            Role::Follow => {
                self.word(0);
                None
            }
            Role::Lead { until, renew_at } => {
                self.word(1);
                self.instant(Some(renew_at), clock);
                Some(until)
            }
            Role::Yield { until, release } => {
                self.word(2 + u64::from(release));
                Some(until)
            }
        };
        self.instant(until, clock);
        match &election.lease {
            Sight::Unseen => self.word(0),
            Sight::Missing => self.word(1),
            Sight::Present(version, record) => {
                self.word(2);
                self.version(Some(*version));
                self.identity(record.holder.as_ref());
                self.identity(record.released_by.as_ref());
                self.identity(record.wanted_by.as_ref());
            }
        }
        let due = [Some(election.free_at), Some(election.turn_at()), Some(election.retry_at)];
        for at in due.into_iter().chain([election.read_at]) {
            self.instant(at, clock);
        }
        self.word(u64::from(election.campaigns));
        self.word(u64::from(election.failures.min(1)));
        let paused_at = election.due.map(|due| due + PAUSE + Duration::from_nanos(1));
        self.instant(paused_at, clock);
        match election.request {
            Request::None => self.word(0),
            Request::Read { overtaken } => self.word(1 + u64::from(overtaken)),
            Request::Write { overtaken, purpose, attempt } => {
                self.word(3 + u64::from(overtaken));
                self.word(match purpose {
                    Purpose::Claim => 0,
                    Purpose::Create => 1,
                    Purpose::Release => 2,
                    Purpose::Wish => 3,
                });
                self.attempt(attempt, replica, clock);
            }
        }
        for attempt in &election.attempts {
            if self.is_found(replica, attempt) {
                self.attempt(*attempt, replica, clock);
            }
        }
    }

    fn attempt(&mut self, attempt: Attempt, replica: &Replica, clock: Clock<'_>) {
        let speak_for = replica.election.timing.speak_for();
        self.instant(Some(attempt.sent_at + speak_for), clock);
        // What it replaced matters if the watch has yet to show it.
        let shown = |lease: &Option<(Version, LeaseRecord)>| {
            lease.as_ref().is_some_and(|(version, _)| Some(*version) == attempt.expected)
        };
        let place = replica.unseen.iter().position(shown);
        self.word(place.map_or(NONE, |place| place as u64));
    }

    /// Whether an attempt may be met again.
    fn is_found(&self, replica: &Replica, attempt: &Attempt) -> bool {
        let me = Some(&replica.election.me);
        let is_it =
            |record: &LeaseRecord| record.holder.as_ref() == me && record.renewed == attempt.stamp;
        let is_lease = |lease: &Option<(Version, LeaseRecord)>| {
            lease.as_ref().is_some_and(|(_, record)| is_it(record))
        };
        let called = match &replica.call {
            Call::None | Call::Asked(Wanted::Read) | Call::Written(Err(_)) => false,
            Call::Asked(Wanted::Write(_, record)) => is_it(record),
            Call::Read(lease) => is_lease(lease),
            Call::Written(Ok((_, record))) => is_it(record),
        };
        called
            || is_lease(&self.world.lease)
            || replica.astray.as_ref().is_some_and(|(_, record)| is_it(record))
            || replica.unseen.iter().any(is_lease)
    }
}

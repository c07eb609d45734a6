//! Competes for the Lease on behalf of one replica.
//!
//! Heads up: before working on this file, read `coordination.k8s.io/v1 Lease` and the package
//! documentation of client-go's `leaderelection`, and know that this differs from it on purpose: it
//! is a fence.
//!
//! - *Two clocks.* A holder counts its claim from when it **sent** the write that made it; everybody
//!   else counts from when they **saw** that write. Sending precedes seeing, and both clocks are
//!   within a bound of true time, so the claim has ended for its holder before it has ended for
//!   anyone else, whatever the latency. No wall clock, no remote timestamp, no order of versions.
//! - *Attempts.* Each write carries a `renewTime` that no other write of this process carries. After
//!   a verdict that leaves doubt, the Lease is read, and the claim counts from the sending of the
//!   attempt found there. If none of ours is found, the claim is lost.
//! - *A Lease that is missing* is created without a holder, and waited out like any other. Creating
//!   it with a claim would not be safe even after a wait: "there is none" is no version, so a claim
//!   that was created and deleted since it was seen missing would go unnoticed.
//!
//! What the Lease shows, and what that proves of whose claim, is in `sight.rs`; who is to lead rather
//! than another is decided in `fitness.rs`.

mod fitness;
mod sight;

pub use self::fitness::Fitness;
use self::sight::{ATTEMPTS_MAX, Attempt, REPLACED_MAX, Sight};

use std::{collections::VecDeque, time::Duration};

use crate::{
    Config, Identity, Instant, LeaseRecord, LeaseTiming, ReadError, Size, Timestamp, Version,
    WriteError, random::Random,
};

/// How long after a request that brought nothing the next one follows, before jitter. Doubled with
/// every further one, up to the time between renewals: there is always time for another before the
/// claim ends.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const DOUBLINGS_MAX: u32 = 5;

/// Whoever wakes so much later than it asked for was paused, and does not know what it missed.
const PAUSE: Duration = Duration::from_millis(250);

/// One replica's part in the competition for the Lease.
#[derive(Clone, Debug)]
pub struct Election {
    me: Identity,
    epoch: Timestamp,
    timing: LeaseTiming,
    random: Random,
    campaigns: bool,
    role: Role,
    term: u64,
    lease: Sight,
    /// From when on another's claim, as far as it was seen, has ended.
    free_at: Instant,
    /// The longest claim that could be running.
    longest: Duration,
    /// Attempts that may be found in the Lease, oldest first: the one last proved, and later ones.
    attempts: VecDeque<Attempt>,
    /// Versions that proved claims of ours replaced, oldest first.
    replaced: VecDeque<Version>,
    last_stamp: Timestamp,
    request: Request,
    /// From when on to read, because only a read can tell what holds.
    read_at: Option<Instant>,
    /// Not to write before: the last write brought nothing.
    retry_at: Instant,
    /// How many requests in a row brought nothing. A read brings something, but does not help
    /// whose writes are refused.
    failures: u32,
    /// When to be woken, as was asked for.
    due: Option<Instant>,
    pauses: u64,
    wanted: Option<Wanted>,
    fitness: Fitness,
    /// Since when this replica has been fitter than the holder, or said so last.
    fitter_since: Option<Instant>,
    /// Whether the holder was just seen to renew its claim.
    renewed: bool,
    /// Whether this replica claimed the Lease although it was cut off.
    endures: bool,
    /// Whether it gave its last claim up because it was.
    gave_up: bool,
    /// When it last gave the Lease to one that was fitter, or got it for being so.
    handed_over_at: Option<Instant>,
}

/// What this replica is to the Lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// Waits for the holder's claim to end.
    Follow,
    /// Holds the Lease strictly before `until`.
    Lead { until: Instant, renew_at: Instant },
    /// Fell silent on its own account while its claim ran, which it does until `until`.
    Yield { until: Instant, release: bool },
}

/// The one request that may be outstanding.
#[derive(Clone, Copy, Debug)]
enum Request {
    None,
    /// `overtaken`: the Lease was seen to change since it was sent.
    Read {
        overtaken: bool,
    },
    /// `overtaken`: as above.
    Write {
        attempt: Attempt,
        overtaken: bool,
        purpose: Purpose,
    },
}

/// What a write is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    /// To hold the Lease, or go on holding it.
    Claim,
    /// To have one that can be competed for.
    Create,
    /// To give it up.
    Release,
    /// To ask its holder for it.
    Wish,
}

/// A request to the API server about the Lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// Read it, consistently.
    Read,
    /// Write it if it still has this version; create it if `None`.
    Write(Option<Version>, LeaseRecord),
}

impl Election {
    /// A replica that has seen nothing and does not campaign.
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            me: config.identity.clone(),
            epoch: config.epoch,
            timing: config.lease,
            random: Random::new(seed),
            campaigns: false,
            role: Role::Follow,
            term: 0,
            lease: Sight::Unseen,
            free_at: Instant::ZERO,
            longest: config.lease.duration(),
            attempts: VecDeque::new(),
            replaced: VecDeque::new(),
            last_stamp: Timestamp(i64::MIN),
            request: Request::None,
            read_at: None,
            retry_at: Instant::ZERO,
            failures: 0,
            due: None,
            pauses: 0,
            wanted: None,
            fitness: Fitness::Fit(0),
            fitter_since: None,
            renewed: false,
            endures: false,
            gave_up: false,
            handed_over_at: None,
        }
    }

    /// Whether this replica may speak at `now`.
    pub fn leads(&self, now: Instant) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    /// Until when this replica may speak; `None` if it may not at all.
    pub fn until(&self) -> Option<Instant> {
        match self.role {
            Role::Lead { until, .. } => Some(until),
            Role::Follow | Role::Yield { .. } => None,
        }
    }

    /// How often this replica has become leader: what was found out in one term is not known in
    /// the next.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whether it was seen what the Lease is, or that there is none.
    pub(crate) fn has_seen(&self) -> bool {
        self.lease != Sight::Unseen
    }

    /// The holder that the Lease names, as last seen.
    pub fn holder(&self) -> Option<&Identity> {
        self.record().and_then(|record| record.holder.as_ref())
    }

    /// The Lease, as last seen; `None`: there is none.
    pub(crate) fn record(&self) -> Option<&LeaseRecord> {
        match &self.lease {
            Sight::Present(_, record) => Some(record),
            Sight::Unseen | Sight::Missing => None,
        }
    }

    /// Whether a claim of ours, silent or not, keeps others from leading, or may soon.
    pub fn holds(&self, now: Instant) -> bool {
        match self.role {
            Role::Follow => {
                let sent = self.attempts.back().map(|attempt| attempt.sent_at);
                let doubted = match self.request {
                    Request::None => self.read_at.is_some(),
                    Request::Read { .. } => true,
                    Request::Write { purpose: Purpose::Wish, .. } => false,
                    Request::Write { .. } => return true,
                };
                doubted && sent.is_some_and(|sent| now < sent + self.timing.speak_for())
            }
            Role::Lead { until, .. } | Role::Yield { until, .. } => now < until,
        }
    }

    /// Says whether to try for the Lease when it is free.
    pub fn handle_campaign(&mut self, campaigns: bool, now: Instant) {
        self.campaigns = campaigns;
        self.act(now);
    }

    /// Takes in what the watch shows; `None`: there is no Lease.
    pub fn handle_seen(&mut self, lease: Option<(Version, LeaseRecord)>, now: Instant) {
        match &lease {
            Some((version, _)) if self.replaced.contains(version) => {}
            Some((version, record)) if self.attempt(record).is_some() => {
                let proved = matches!(&self.lease, Sight::Present(known, _) if known == version);
                if record.wanted_by.is_some() && !proved && self.until().is_some() {
                    self.read_at = Some(now);
                }
            }
            Some(_) | None => self.see_foreign(lease, now),
        }
        self.act(now);
    }

    /// Takes in the answer to a read.
    pub fn handle_read(
        &mut self,
        lease: Result<Option<(Version, LeaseRecord)>, ReadError>,
        now: Instant,
    ) {
        let overtaken = matches!(self.request, Request::Read { overtaken: true });
        self.request = Request::None;
        let lease = match lease {
            Ok(lease) => lease,
            Err(error) => {
                let span = match error {
                    ReadError::Busy(span) => self.patience().max(self.bearable(span)),
                    ReadError::Forbidden(_) | ReadError::Failed(_) => self.patience(),
                };
                self.read_at = Some(now + span);
                return self.act(now);
            }
        };
        if overtaken {
            self.read_at = Some(now);
            return self.act(now);
        }
        let proof = lease.as_ref().and_then(|(version, record)| {
            let attempt = self.attempt(record)?;
            (!self.is_restored(attempt, *version, now)).then_some(attempt)
        });
        match (lease, proof) {
            (Some((version, record)), Some(attempt)) => self.prove(attempt, version, record, now),
            (lease, _) => self.see_foreign(lease, now),
        }
        self.read_at = None;
        self.act(now);
    }

    /// Takes in the verdict on a write.
    pub fn handle_written(
        &mut self,
        verdict: Result<(Version, LeaseRecord), WriteError>,
        now: Instant,
    ) {
        let Request::Write { attempt, overtaken, purpose } = self.request else {
            return; // No write of this election is without verdict.
        };
        self.request = Request::None;
        if verdict.is_ok() {
            self.failures = 0;
        }
        match verdict {
            Ok(wished) if purpose == Purpose::Wish => {
                if !overtaken {
                    self.see_foreign(Some(wished), now);
                }
            }
            // The next renewal is another occasion.
            Err(_) if purpose == Purpose::Wish => {}
            Ok((version, record)) if purpose == Purpose::Release => {
                self.attempts.clear();
                self.role = Role::Follow;
                if !overtaken {
                    self.lease = Sight::Present(version, record);
                    self.free_at = now;
                }
            }
            Ok(_) if overtaken => self.read_at = Some(now),
            Ok(created) if purpose == Purpose::Create => self.see_foreign(Some(created), now),
            Ok((version, record)) => self.prove(attempt, version, record, now),
            Err(error) => {
                // A conflict is no trouble: somebody else wrote.
                let span = match error {
                    WriteError::Conflict => self.random.about(RETRY_AFTER),
                    WriteError::Busy(_)
                    | WriteError::Forbidden(_)
                    | WriteError::Rejected(_)
                    | WriteError::Unknown => self.patience(),
                };
                self.retry_at = now + span;
                match error {
                    WriteError::Conflict | WriteError::Unknown => self.read_at = Some(now),
                    // No effect, so that there is nothing to be found out.
                    WriteError::Rejected(_) | WriteError::Forbidden(_) => {}
                    WriteError::Busy(span) => {
                        self.retry_at = self.retry_at.max(now + self.bearable(span));
                    }
                }
            }
        }
        self.act(now);
    }

    /// Takes in the passage of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.act(now);
    }

    /// Falls silent, keeping the claim: the first half of giving the Lease up.
    pub fn handle_yield(&mut self, now: Instant) {
        self.campaigns = false;
        if let Role::Lead { until, .. } = self.role {
            self.role = Role::Yield { until, release: false };
        }
        self.act(now);
    }

    /// Releases the claim, now that nobody answers by it any more: the second half.
    pub fn handle_release(&mut self, now: Instant) {
        if let Role::Yield { release, .. } = &mut self.role {
            *release = true;
        }
        self.act(now);
    }

    /// The next request, if any. `now` of the call that brought it forth counts as its sending.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Wanted> {
        self.wanted.take()
    }

    /// When to call [`Self::handle_timeout`], if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let request_at = match self.request {
            Request::None => self.request_at(),
            Request::Read { .. } | Request::Write { .. } => None,
        };
        let until = match self.role {
            Role::Follow => None,
            Role::Lead { until, .. } | Role::Yield { until, .. } => Some(until),
        };
        [request_at, until].into_iter().flatten().min()
    }

    /// How often this replica was woken much later than it had asked for.
    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// How much is remembered.
    pub(crate) fn sizes(&self) -> [Size; 2] {
        [
            Size::new("attempts on the Lease", self.attempts.len(), ATTEMPTS_MAX),
            Size::new("replaced versions of the Lease", self.replaced.len(), REPLACED_MAX),
        ]
    }

    /// How long to wait after one more request that brought nothing.
    fn patience(&mut self) -> Duration {
        let longest = self.timing.renew_every().max(RETRY_AFTER);
        let span = RETRY_AFTER * 2u32.pow(self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        self.random.about(span.min(longest))
    }

    /// How long to leave alone an API server that asks for so long. A claim that ends meanwhile ends;
    /// beyond its length nothing is gained.
    fn bearable(&self, span: Duration) -> Duration {
        span.min(self.timing.duration())
    }

    /// Lets pass what has passed, asks for what is due, and sees when it has to be woken.
    fn act(&mut self, now: Instant) {
        if self.due.is_some_and(|due| now > due + PAUSE) {
            self.pauses += 1;
            // What the watch tells may be as old as the pause is long.
            if self.role == Role::Follow && matches!(self.request, Request::None) {
                self.read_at = Some(now);
            }
        }
        self.expire(now);
        self.step_back(now);
        self.compare(now);
        self.ask(now);
        self.due = self.poll_timeout();
    }

    /// Lets a claim of ours end that has.
    fn expire(&mut self, now: Instant) {
        match self.role {
            Role::Lead { until, .. } | Role::Yield { until, .. } if now >= until => {
                self.role = Role::Follow;
            }
            Role::Follow | Role::Lead { .. } | Role::Yield { .. } => {}
        }
    }

    fn ask(&mut self, now: Instant) {
        let idle = matches!(self.request, Request::None);
        let wish = self.wish(now).filter(|_| idle && self.read_at.is_none());
        if let Some((version, record)) = wish {
            let (stamp, expected) = (record.renewed, Some(version));
            let attempt = Attempt { stamp, sent_at: now, expected };
            self.request = Request::Write { attempt, overtaken: false, purpose: Purpose::Wish };
            self.wanted = Some(Wanted::Write(expected, record));
            return;
        }
        if !idle || self.request_at().is_none_or(|at| now < at) {
            return;
        }
        if self.read_at.is_some() {
            self.request = Request::Read { overtaken: false };
            self.wanted = Some(Wanted::Read);
            return;
        }
        let (purpose, (expected, record)) = match (self.role, &self.lease) {
            (Role::Yield { .. }, _) => (Purpose::Release, self.release(now)),
            (_, Sight::Missing) => (Purpose::Create, self.vacancy(now)),
            (_, Sight::Unseen | Sight::Present(..)) => (Purpose::Claim, self.claim(now)),
        };
        let attempt = Attempt { stamp: record.renewed, sent_at: now, expected };
        if purpose == Purpose::Claim {
            if self.role == Role::Follow {
                self.prepare_term(now);
            }
            // Nothing else that took effect is a claim to be found.
            self.attempts.push_back(attempt);
            if self.attempts.len() > ATTEMPTS_MAX {
                self.attempts.pop_front();
            }
        }
        self.request = Request::Write { attempt, overtaken: false, purpose };
        self.wanted = Some(Wanted::Write(expected, record));
    }

    /// From when on a request is due, provided that none is outstanding.
    fn request_at(&self) -> Option<Instant> {
        if self.read_at.is_some() {
            return self.read_at;
        }
        match self.role {
            Role::Lead { renew_at, .. } => Some(renew_at.max(self.retry_at)),
            Role::Yield { release: true, .. } => Some(self.retry_at),
            Role::Yield { release: false, .. } => None,
            Role::Follow if !self.campaigns || self.lease == Sight::Unseen => None,
            Role::Follow if self.lease == Sight::Missing => Some(self.retry_at),
            Role::Follow => Some(self.turn_at().max(self.retry_at)),
        }
    }

    /// The Lease with our claim in it.
    fn claim(&mut self, now: Instant) -> (Option<Version>, LeaseRecord) {
        let renewed = self.stamp(now);
        let duration = self.timing.duration();
        let holder = Some(self.me.clone());
        let (version, acquired, transitions) = match &self.lease {
            Sight::Unseen | Sight::Missing => (None, renewed, 0),
            Sight::Present(version, old) if old.holder == holder => {
                (Some(*version), old.acquired, old.transitions)
            }
            Sight::Present(version, old) => {
                (Some(*version), renewed, old.transitions.saturating_add(1))
            }
        };
        let record = LeaseRecord {
            holder,
            duration,
            acquired,
            renewed,
            transitions,
            released_by: None,
            fitness: Some(self.fitness),
            wanted_by: None,
        };
        (version, record)
    }

    /// The Lease without our claim, and with our word for it; in the name of who wished for it.
    fn release(&mut self, now: Instant) -> (Option<Version>, LeaseRecord) {
        let (version, record) = self.claim(now);
        let wanted_by = match &self.lease {
            Sight::Unseen | Sight::Missing => None,
            Sight::Present(_, old) => old.wanted_by.clone(),
        };
        let released_by = Some(self.me.clone());
        (version, LeaseRecord { holder: None, released_by, fitness: None, wanted_by, ..record })
    }

    /// A Lease that nobody holds, nor has ever given up.
    fn vacancy(&mut self, now: Instant) -> (Option<Version>, LeaseRecord) {
        let (version, record) = self.claim(now);
        (version, LeaseRecord { holder: None, fitness: None, ..record })
    }

    fn stamp(&mut self, now: Instant) -> Timestamp {
        let wall = self.epoch + now.since(Instant::ZERO);
        self.last_stamp = wall.max(self.last_stamp + Duration::from_micros(1));
        self.last_stamp
    }
}

#[cfg(test)]
mod handed;
#[cfg(test)]
mod model;

//! What a replica asks of the API server, and what it makes of the answers.

use std::time::Duration;

use super::{Speaker, Standing};
use crate::{
    Got, Instant, Kind, Output, Read, ReadError, ReadId, Wanted, Write, WriteError, WriteId,
    Written,
    cluster::Concern,
    controller::{Controller, Due, Surroundings},
    ledger::Object,
};

/// How long after a read that failed it is tried again. Doubled with every further one.
const READ_AGAIN: Duration = Duration::from_millis(250);
/// How many times.
const READ_DOUBLINGS_MAX: u32 = 5;
/// The longest that gets: a leader that waits for a read says nothing new, and nobody else does.
const READ_AGAIN_MAX: Duration = Duration::from_secs(5);

impl Speaker {
    pub(super) fn handle_got(&mut self, id: ReadId, got: Result<Got, ReadError>, now: Instant) {
        if let Ok(Got::Services(_)) = got {
            // Their watch goes on from the list, whether it was broken before or not.
            self.broken.remove(&Kind::Service);
        }
        if self.lease_request == Some(id.0) {
            self.lease_request = None;
            let lease = match got {
                Ok(Got::Lease(lease)) => Ok(lease),
                // An answer to another question tells nothing of this one.
                Ok(Got::Services(_)) => Err(ReadError::Failed("Services for a Lease".to_owned())),
                Err(error) => Err(error),
            };
            return self.election.handle_read(lease, now);
        }
        let asked = self.read.take_if(|(read, _)| *read == id);
        let listing = match got {
            Ok(Got::Services(listing)) => listing,
            Ok(Got::Lease(_)) => return self.put_off_read(asked.is_some(), Duration::ZERO, now),
            Err(error) => {
                let least = match error {
                    ReadError::Busy(span) => span,
                    ReadError::Forbidden(_) | ReadError::Failed(_) => Duration::ZERO,
                };
                return self.put_off_read(asked.is_some(), least, now);
            }
        };
        self.failed_reads = 0;
        // Taken in whoever asked for it: the watch tells nothing again that is older.
        let concern = self.cluster.handle_services(listing);
        self.handle_concern(concern, now);
        let Some((_, term)) = asked else { return };
        match &mut self.standing {
            // A read that was asked for in an earlier term does not speak for this one.
            Standing::Confirm(current) if *current == term => {
                let controller = Box::new(Controller::new(&self.cluster));
                self.standing = Standing::Speak(term, controller);
                self.conflicts.handle_term(now);
            }
            Standing::Speak(current, controller) if *current == term => {
                controller.handle_confirmed(&self.cluster);
            }
            Standing::Silent | Standing::Confirm(_) | Standing::Speak(..) => {}
        }
    }

    /// Reads the Services again only later, if this replica has asked for them.
    fn put_off_read(&mut self, asked: bool, least: Duration, now: Instant) {
        if asked {
            let span = READ_AGAIN * 2u32.pow(self.failed_reads.min(READ_DOUBLINGS_MAX));
            self.read_again_at = now + span.max(least).min(READ_AGAIN_MAX);
            self.failed_reads = self.failed_reads.saturating_add(1);
        }
    }

    pub(super) fn handle_written(
        &mut self,
        id: WriteId,
        verdict: Result<Written, WriteError>,
        now: Instant,
    ) {
        if self.lease_request == Some(id.0) {
            self.lease_request = None;
            let verdict = match verdict {
                Ok(Written::Lease(version, record)) => Ok((version, record)),
                // An answer to another question tells nothing of this one.
                Ok(Written::Eip(..) | Written::Service(..)) => Err(WriteError::Unknown),
                Err(error) => Err(error),
            };
            return self.election.handle_written(verdict, now);
        }
        let written = match &verdict {
            Ok(Written::Eip(version, _) | Written::Service(version, _)) => Some(*version),
            Ok(Written::Lease(..)) | Err(_) => None,
        };
        let events = self.events.remove(&id).unwrap_or_default();
        let Some((object, expected)) = self.ledger.end(id, written, now) else { return };
        if let Err(WriteError::Busy(span)) = verdict {
            self.ledger.rest(&object, now + span);
        }
        if written.is_some_and(|written| written != expected) {
            self.outputs.extend(events.into_iter().map(Output::Event));
        }
        if matches!(verdict, Err(WriteError::Conflict)) {
            match &object {
                Object::Eip(name) => self.cluster.eips.doubt(name, expected),
                Object::Service(name) => self.cluster.services.doubt(name, expected),
            }
        }
        let concern = match (&object, verdict) {
            (Object::Eip(name), Ok(Written::Eip(version, eip))) => {
                self.cluster.handle_eip_written(name.clone(), version, eip)
            }
            (Object::Service(name), Ok(Written::Service(version, service))) => {
                self.cluster.handle_service_written(name.clone(), version, service)
            }
            (Object::Eip(_) | Object::Service(_), Ok(_) | Err(_)) => Concern::default(),
        };
        self.handle_concern(concern, now);
        if !self.cluster.knows(&object) {
            // It went while it was being written.
            self.ledger.forget(&object);
        }
        if let Standing::Speak(_, controller) = &mut self.standing {
            if written.is_some() {
                controller.handle_written(&object);
            }
            controller.handle_object(object);
        }
    }

    /// Asks for every write that is due.
    pub(super) fn write(&mut self, now: Instant) {
        let Standing::Speak(_, controller) = &mut self.standing else { return };
        loop {
            let mut around = Surroundings {
                cluster: &self.cluster,
                neighbors: &self.neighbors,
                proxies: &self.proxies,
                conflicts: &mut self.conflicts,
                publication: &mut self.publication,
                ledger: &self.ledger,
                now,
                wall_time: self.epoch + now.since(Instant::ZERO),
            };
            let Some(due) = controller.poll_write(&mut around) else { return };
            let Due { object, version, write, urgency: _, events, rest } = due;
            self.next_id += 1;
            let id = WriteId(self.next_id);
            if !events.is_empty() {
                self.events.insert(id, events);
            }
            self.ledger.begin(id, object, version, rest);
            self.outputs.push_back(Output::Write(id, write));
        }
    }

    /// Asks for what the election and the beginning of a term need.
    pub(super) fn request(&mut self, now: Instant) {
        while let Some(wanted) = self.election.poll_output() {
            self.next_id += 1;
            let id = self.next_id;
            self.lease_request = Some(id);
            self.outputs.push_back(match wanted {
                Wanted::Read => Output::Read(ReadId(id), Read::Lease),
                Wanted::Write(version, record) => {
                    Output::Write(WriteId(id), Write::Lease(version, record))
                }
            });
        }
        let Some(term) = self.reads_in() else { return };
        if now >= self.read_again_at && self.read.is_none_or(|(_, asked)| asked != term) {
            self.next_id += 1;
            let id = ReadId(self.next_id);
            self.read = Some((id, term));
            self.outputs.push_back(Output::Read(id, Read::Services));
        }
    }

    /// The term in which a consistent read is needed.
    pub(super) fn reads_in(&self) -> Option<u64> {
        match &self.standing {
            Standing::Silent => None,
            Standing::Confirm(term) => Some(*term),
            Standing::Speak(term, controller) => controller.needs_read().then_some(*term),
        }
    }
}

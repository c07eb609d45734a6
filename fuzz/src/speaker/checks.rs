//! What must never be, of one replica, by what it was told and what it wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use porter_core::{
    Answers, EipName, Generation, Got, Heed, Identity, Input, Instant, IsAt, LeaseRecord, LinkName,
    MacAddr, Output, ReadId, ServiceName, Silence, Speaker, Timestamp, Version, Write, WriteId,
    Written,
};

use super::facts::ME;

/// How many writes may be under way beside that of the Lease.
const WRITES_MAX: usize = 64;

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Object {
    Eip(EipName),
    Lease,
    Service(ServiceName),
}

/// What was told and wanted so far, as far as it matters.
pub(super) struct Checks {
    me: Identity,
    /// For how long a claim lasts from its sending.
    speak_for: Duration,
    versions: BTreeMap<Object, BTreeSet<Version>>,
    macs: BTreeSet<(LinkName, MacAddr)>,
    writes: BTreeMap<WriteId, Object>,
    reads: BTreeSet<ReadId>,
    last_id: u64,
    /// When the claims of this replica were sent, by their stamps, and which of them it was shown.
    claims: BTreeMap<Timestamp, (WriteId, Instant)>,
    shown: BTreeSet<Timestamp>,
    generation: Generation,
    answers: Arc<Answers>,
    until: Instant,
    heeds: BTreeMap<LinkName, Heed>,
    groups: BTreeSet<(LinkName, Ipv6Addr)>,
    left: bool,
}

impl Checks {
    pub(super) fn new(speak_for: Duration) -> Self {
        Self {
            me: Identity::from(ME),
            speak_for,
            versions: BTreeMap::new(),
            macs: BTreeSet::new(),
            writes: BTreeMap::new(),
            reads: BTreeSet::new(),
            last_id: 0,
            claims: BTreeMap::new(),
            shown: BTreeSet::new(),
            generation: Generation(0),
            answers: Arc::default(),
            until: Instant::ZERO,
            heeds: BTreeMap::new(),
            groups: BTreeSet::new(),
            left: false,
        }
    }

    /// The replica is about to be told this.
    pub(super) fn told(&mut self, input: &Input) {
        match input {
            Input::Eip(name, version, _) => self.seen(Object::Eip(name.clone()), *version),
            Input::Eips(listing) => {
                for (name, (version, _)) in &listing.objects {
                    self.seen(Object::Eip(name.clone()), *version);
                }
            }
            Input::Service(name, version, _) => self.seen(Object::Service(name.clone()), *version),
            Input::Services(listing) | Input::Got(_, Ok(Got::Services(listing))) => {
                for (name, (version, _)) in &listing.objects {
                    self.seen(Object::Service(name.clone()), *version);
                }
            }
            Input::Lease(Some((version, record)))
            | Input::Got(_, Ok(Got::Lease(Some((version, record))))) => {
                self.seen_lease(*version, record);
            }
            Input::Heard(is_at) => {
                self.macs.insert((is_at.link, is_at.mac));
            }
            Input::Link(name, Ok(link)) => {
                self.macs.insert((*name, link.mac));
            }
            Input::Written(id, verdict) => self.told_verdict(*id, verdict.as_ref().ok()),
            Input::Asked(..)
            | Input::Checked(..)
            | Input::Got(..)
            | Input::Lease(None)
            | Input::Leave
            | Input::Link(_, Err(_))
            | Input::Lost(_)
            | Input::Namespace(..)
            | Input::Namespaces(_)
            | Input::Node(..)
            | Input::Nodes(_)
            | Input::Probed(_)
            | Input::Route(..)
            | Input::Silenced(_)
            | Input::Slice(..)
            | Input::Slices(_)
            | Input::Stirred(_) => {}
        }
        if let Input::Got(id, _) = input {
            self.reads.remove(id);
        }
    }

    fn told_verdict(&mut self, id: WriteId, written: Option<&Written>) {
        let object = self.writes.remove(&id);
        match (object, written) {
            (Some(Object::Lease), Some(Written::Lease(version, record))) => {
                self.seen_lease(*version, record);
                // A verdict shows the claim whatever it says of the record.
                let claims = self.claims.iter().filter(|(_, (claim, _))| *claim == id);
                self.shown.extend(claims.map(|(stamp, _)| *stamp));
            }
            (Some(object), Some(Written::Eip(version, _) | Written::Service(version, _))) => {
                self.seen(object, *version);
            }
            (None | Some(_), _) => {}
        }
    }

    fn seen(&mut self, object: Object, version: Version) {
        self.versions.entry(object).or_default().insert(version);
    }

    fn seen_lease(&mut self, version: Version, record: &LeaseRecord) {
        self.seen(Object::Lease, version);
        if record.holder.as_ref() == Some(&self.me) && self.claims.contains_key(&record.renewed) {
            self.shown.insert(record.renewed);
        }
    }

    /// The replica wants this, with its clock at `now`.
    pub(super) fn wanted(&mut self, output: &Output, speaker: &Speaker, now: Instant) {
        match output {
            Output::Announce(is_at) => self.announced(is_at, now),
            Output::Check(..) | Output::Event(_) | Output::Route(_) => {}
            Output::Heed(link, heed) => {
                assert_ne!(self.heeds.get(link), Some(heed), "it was told on {link} before");
                self.heeds.insert(*link, heed.clone());
            }
            Output::Listen(links) => self.heeds.retain(|link, _| links.contains(link)),
            Output::Moved(_) => {}
            Output::Join(link, group) => {
                assert!(self.groups.insert((*link, *group)), "{group} is joined already");
            }
            Output::Quit(link, group) => {
                assert!(self.groups.remove(&(*link, *group)), "{group} was not joined");
            }
            Output::Left => {
                assert!(!self.left, "it left twice");
                self.left = true;
            }
            Output::Permit(until) => {
                let shown = self.shown.iter().filter_map(|stamp| self.claims.get(stamp));
                let ends = shown.map(|(_, sent_at)| *sent_at + self.speak_for).max();
                let ends = ends.unwrap_or(Instant::ZERO);
                assert!(*until <= ends, "permitted until {until}, but the claim ends at {ends}");
                self.until = *until;
            }
            Output::Probe(probe) => {
                assert!(
                    probe.target.is_ipv4() == probe.sender.0.is_ipv4(),
                    "asked across families: {probe:?}"
                );
            }
            Output::Publish(answers, generation) => {
                assert!(
                    *generation > self.generation,
                    "{generation:?} after {:?}",
                    self.generation
                );
                self.generation = *generation;
                for (link, eip, answer) in answers.iter() {
                    self.published(link, eip, answer, speaker, now);
                }
                self.answers = answers.clone();
            }
            Output::Read(id, _) => {
                self.counts(id.0);
                self.reads.insert(*id);
            }
            Output::Write(id, write) => self.written(*id, write, speaker, now),
        }
    }

    fn announced(&self, is_at: &IsAt, now: Instant) {
        assert!(now < self.until, "announced without a permission: {is_at:?}");
        let answer = self.answers.entry(is_at.link, is_at.target);
        assert_eq!(answer, Some(Ok(is_at.mac)), "announced and not answered: {is_at:?}");
    }

    fn published(
        &self,
        link: LinkName,
        eip: IpAddr,
        answer: Result<MacAddr, Silence>,
        speaker: &Speaker,
        now: Instant,
    ) {
        let Ok(mac) = answer else { return };
        assert!(speaker.leads(now), "{eip} is answered on {link} by who does not lead");
        assert!(self.macs.contains(&(link, mac)), "{eip} is at {mac}, of which nobody told");
    }

    fn written(&mut self, id: WriteId, write: &Write, speaker: &Speaker, now: Instant) {
        self.counts(id.0);
        assert!(!self.left, "written after it had left: {write:?}");
        let (object, version) = match write {
            Write::Eip(name, version, _) => (Object::Eip(name.clone()), Some(*version)),
            Write::Lease(version, _) => (Object::Lease, *version),
            Write::Service(name, version, _) => (Object::Service(name.clone()), Some(*version)),
        };
        if let Some(version) = version {
            let told = self.versions.get(&object).is_some_and(|told| told.contains(&version));
            assert!(told, "a write on condition of a version that nobody told: {write:?}");
        }
        let busy = self.writes.values().any(|other| *other == object);
        assert!(!busy, "a second write of one object: {write:?}");
        match write {
            Write::Lease(_, record) => {
                if record.holder.as_ref() == Some(&self.me) && record.wanted_by.is_none() {
                    let before = self.claims.insert(record.renewed, (id, now));
                    assert!(before.is_none(), "one renewTime twice: {record:?}");
                }
            }
            Write::Eip(..) | Write::Service(..) => {
                assert!(speaker.leads(now), "written by who does not lead: {write:?}");
            }
        }
        self.writes.insert(id, object);
        let others = self.writes.values().filter(|object| **object != Object::Lease);
        assert!(others.count() <= WRITES_MAX, "too many writes are under way");
    }

    fn counts(&mut self, id: u64) {
        assert!(id > self.last_id, "the number {id} after {}", self.last_id);
        self.last_id = id;
    }

    /// The replica has done all that it wanted done.
    pub(super) fn drained(&self, speaker: &Speaker) {
        let sizes = speaker.sizes();
        if let Some(excess) = sizes.excesses().next() {
            panic!("it remembers too much: {excess:?}");
        }
    }
}

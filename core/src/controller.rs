//! From facts to writes and answers: what each Service and each Eip needs next.
//!
//! A Service climbs a ladder, one confirmed write at a time: finalizer and label, then the record in
//! `Eip.status.used`, then the record of its node, then its status. It climbs down when it stops
//! asking: silence, then its status is cleared, then the address is freed, then the finalizer goes.
//! Nothing is remembered of where it stands: each step is derived again from what the API server
//! has confirmed, so that a lost verdict, a restart or a change by hand between two steps is no
//! special case.

mod announced;
mod conflict;
mod eip;
mod grace;
mod lack;
mod placing;
mod release;
mod service;
mod status;
mod waiting;

pub(crate) use self::placing::Departure;
pub use self::placing::{Move, MoveCause};

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::{
    EipChange, EipName, Event, Instant, NodeName, Service, ServiceChange, ServiceName, Size,
    Timestamp, Uid, Used, Version, Write,
    cluster::{Cluster, Concern},
    conflict::Conflicts,
    controller::{conflict::Aside, grace::Grace, waiting::Waiting},
    ipam::{self, Asker, Holding, Ipam},
    keys,
    ledger::{Ledger, Object, Queue, Urgency},
    load::Load,
    neighbor::Neighbors,
    proxy::Proxies,
    publication::Publication,
    request::Request,
};

/// How often, at most, the status of an Eip is written: what many Services are given at once is put
/// on record together.
const STATUS_EVERY: Duration = Duration::from_millis(200);

/// A leader's knowledge of one term: who holds what, who is placed where, what is to be looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Controller {
    ipam: Ipam,
    load: Load,
    /// Moves that nobody was told of yet.
    moves: Vec<Move>,
    services: BTreeSet<ServiceName>,
    eips: BTreeSet<EipName>,
    /// Services that lack an address. The oldest is given one first, when all others have given back
    /// what they do not need any more.
    lacking: BTreeSet<(Age, ServiceName)>,
    /// Services for which there is none, and why: they are looked at when one may have become free.
    waiting: Waiting,
    /// What is wrong and may pass.
    grace: Grace,
    /// Services of which something else is to be said about who claims their addresses.
    disputed: Grace,
    /// The addresses that somebody else has.
    aside: Aside,
    /// Whether what is held is to be compared with what is spoken of and shown: an Eip changed.
    stocktaking: bool,
    /// What this leader last wrote, or is writing, into the status of an Eip as used.
    written: BTreeMap<EipName, Used>,
    /// Whom that write puts on record, or an earlier one of which it is not known yet whether it did.
    recording: BTreeMap<EipName, BTreeSet<ServiceName>>,
    /// Eips whose record is proved to be the API server's, since a write of it succeeded in this term.
    /// Eips are not read consistently, so that what is known of another may be old.
    proved: BTreeSet<EipName>,
    /// Holders that wait for that.
    unproved: BTreeMap<EipName, BTreeSet<ServiceName>>,
    /// Holders that wait for every responder to be silent before they give anything back.
    leaving: BTreeSet<ServiceName>,
    /// Holders that were not there when last looked for: a consistent read has to confirm it.
    missing: BTreeSet<ServiceName>,
    /// Those of which it is confirmed.
    gone: BTreeSet<ServiceName>,
    /// Who is to be written as soon as there is room.
    queue: Queue,
}

/// What the controller looks at and works on; borrowed from the speaker.
pub(crate) struct Surroundings<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) neighbors: &'a Neighbors,
    pub(crate) proxies: &'a Proxies,
    pub(crate) conflicts: &'a mut Conflicts,
    pub(crate) publication: &'a mut Publication,
    pub(crate) ledger: &'a Ledger,
    pub(crate) now: Instant,
    /// The time of `now` by the wall clock, for people to read.
    pub(crate) wall_time: Timestamp,
}

/// A write that is due, and what people are told when it is made.
pub(crate) struct Due {
    pub(crate) object: Object,
    pub(crate) version: Version,
    pub(crate) write: Write,
    pub(crate) urgency: Urgency,
    pub(crate) events: Vec<Event>,
    /// For how long the object is left alone afterwards.
    pub(crate) rest: Duration,
}

/// What the change of a Service is for.
fn urgency(service: &Service, change: &ServiceChange) -> Urgency {
    let ServiceChange::Metadata(change) = change else { return Urgency::Status };
    // No annotation but the record of the node is ever set.
    let names_node = change.annotations.iter().any(|(_, value)| value.is_some());
    let recorded = keys::LAYER2.find(&service.metadata.annotations).is_some();
    if names_node && recorded { Urgency::Move } else { Urgency::Record }
}

/// The order in which rivals are served: by age, then by UID, then by name.
type Age = (Timestamp, Option<Uid>);

fn age(service: &Service) -> Age {
    (service.metadata.created, service.metadata.uid.clone())
}

impl Controller {
    /// Starts from what is recorded, after a consistent read of the Services.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let ipam = restored(cluster);
        let mut controller = Self { ipam, stocktaking: true, ..Self::default() };
        controller.handle_all(cluster);
        controller.handle_confirmed(cluster);
        controller
    }

    /// Looks at everything again.
    pub(crate) fn handle_all(&mut self, cluster: &Cluster) {
        let services = cluster.concerned().iter().chain(self.ipam.holders());
        self.handle_services(services.cloned().collect());
        self.eips.extend(cluster.eips.iter().map(|(name, _)| name.clone()));
    }

    /// Looks at some Services again. They are many mostly when no other is to be looked at.
    fn handle_services(&mut self, services: BTreeSet<ServiceName>) {
        match self.services.is_empty() {
            true => self.services = services,
            false => self.services.extend(services),
        }
    }

    /// Looks at those that a fact concerns.
    pub(crate) fn handle_concern(&mut self, concern: Concern, cluster: &Cluster) {
        let Concern { mut services, nodes, everybody, eips, records, links, choices, .. } = concern;
        if choices {
            self.ipam.handle_node_addresses(cluster.nodes_at().keys().copied().collect());
            self.retry();
        }
        if everybody {
            services.append(&mut cluster.concerned().clone());
        }
        let on = |node| cluster.services_on(node).chain(self.load.on(node));
        let roaming = self.load.roaming().filter(|_| !nodes.is_empty());
        services.append(&mut nodes.iter().flat_map(on).chain(roaming).cloned().collect());
        for name in &eips {
            let eip = cluster.eips.get(name);
            self.ipam.handle_eip(name, eip);
            if !eip.is_some_and(ipam::is_layer2) {
                // Nothing is written any more that anybody could wait for.
                self.recording.remove(name);
                self.services.extend(self.unproved.remove(name).unwrap_or_default());
            }
        }
        let foreign = |name: &EipName| {
            let used = cluster.eips.get(name).map(|eip| &eip.status.used);
            used != self.written.get(name)
        };
        let foreign = records && eips.iter().any(foreign);
        if foreign {
            // What is held was written by somebody else: that is how it is.
            self.ipam = restored(cluster);
            self.ipam.handle_aside(&self.aside.who(), self.aside.crowds());
            // Who holds nothing any more is not missing, and has nothing to give back.
            self.services.extend(self.missing.iter().chain(&self.gone).cloned());
            self.services.append(&mut self.leaving);
            self.handle_all(cluster);
        }
        for name in eips.iter().filter(|name| cluster.eips.get(*name).is_none()) {
            // One of this name that is created again has another record.
            self.written.remove(name);
            self.proved.remove(name);
            self.aside.forget(name);
            self.grace.end(&Object::Eip(name.clone()));
        }
        // What this leader puts on record changes nothing of what is held.
        self.stocktaking |= foreign || links;
        if !eips.is_empty() {
            self.retry();
        }
        let mut others = BTreeSet::new();
        for name in &services {
            // Whoever shares an address with it may have to make way, or to follow.
            for holding in self.ipam.holdings_of(name) {
                let sharers = self.ipam.sharers_of(holding).filter(|sharer| *sharer != name);
                others.extend(sharers.cloned());
            }
            others.append(&mut self.waiting.take_rivals_of(name));
            self.waiting.end(name);
        }
        self.handle_services(services);
        self.services.append(&mut others);
        if links || !eips.is_empty() {
            // What one Eip hands out may be in the way of another; all may be on the same link.
            self.eips.extend(cluster.eips.iter().map(|(name, _)| name.clone()));
        }
    }

    /// Looks at those again who wait for an address: one may be free now.
    fn retry(&mut self) {
        self.services.extend(self.waiting.take_all());
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for object in [self.grace.take_due(now), self.disputed.take_due(now)].concat() {
            self.handle_object(object);
        }
        self.end_aside(now);
    }

    /// When to call `handle_timeout`.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let graces = [self.grace.poll_timeout(), self.disputed.poll_timeout()];
        graces.into_iter().chain([self.aside.poll_timeout()]).flatten().min()
    }

    /// Of which nodes it is news whether they have Services; `None`: of all.
    pub(crate) fn take_shifted(&mut self) -> Option<BTreeSet<NodeName>> {
        self.load.take_shifted()
    }

    /// The moves since this was last called, in their order.
    pub(crate) fn take_moves(&mut self) -> impl Iterator<Item = Move> + '_ {
        self.moves.drain(..)
    }

    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// Takes in that responders have come to a newer snapshot.
    pub(crate) fn handle_silenced(&mut self) {
        self.services.append(&mut self.leaving);
    }

    /// Takes in that the Services as known are as the API server has them.
    pub(crate) fn handle_confirmed(&mut self, cluster: &Cluster) {
        let holders = self.ipam.holders();
        let gone = holders.filter(|name| cluster.services.get(name).is_none());
        self.gone = gone.cloned().collect();
        self.missing.clear();
        self.services.extend(self.gone.iter().cloned());
    }

    /// Looks at an object again.
    pub(crate) fn handle_object(&mut self, object: Object) {
        match object {
            Object::Eip(name) => self.eips.insert(name),
            Object::Service(name) => self.services.insert(name),
        };
    }

    /// Takes in that a write of an object has succeeded.
    pub(crate) fn handle_written(&mut self, object: &Object) {
        // A status that was written in an earlier term proves nothing for this one.
        if let Object::Eip(name) = object
            && self.written.contains_key(name)
        {
            // What earlier writes expected is not there any more.
            self.recording.remove(name);
            self.services.extend(self.unproved.remove(name).unwrap_or_default());
            self.proved.insert(name.clone());
        }
    }

    /// Whether a holder is missing, so that the Services have to be read consistently.
    pub(crate) fn needs_read(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The next write that is due. Settles on the way what is answered.
    pub(crate) fn poll_write(&mut self, around: &mut Surroundings<'_>) -> Option<Due> {
        if std::mem::take(&mut self.stocktaking) {
            self.silence_strays(around);
            self.take_back(around.cluster);
        }
        loop {
            // All Services are looked at, whether there is room or not: what is answered follows the
            // world.
            while let Some(object) = self.next_object(around.cluster) {
                let has_room = around.ledger.has_room() && self.queue.is_empty();
                if matches!(object, Object::Eip(_)) && !has_room {
                    self.queue.push(object, Urgency::Record);
                    continue;
                }
                let Some(due) = self.step(object, around) else { continue };
                if has_room {
                    return Some(self.begin(due, around.cluster));
                }
                self.queue.push(due.object, due.urgency);
            }
            if !around.ledger.has_room() {
                return None;
            }
            // What is to be written is found anew, since it may have waited for long.
            let object = self.queue.pop()?;
            if let Some(due) = self.step(object, around) {
                return Some(self.begin(due, around.cluster));
            }
        }
    }

    /// The next object to be looked at.
    fn next_object(&mut self, cluster: &Cluster) -> Option<Object> {
        loop {
            if let Some(name) = self.services.pop_first() {
                return Some(Object::Service(name));
            }
            let Some((_, name)) = self.lacking.pop_first() else { break };
            self.step_lacking(&name, cluster);
        }
        self.eips.pop_first().map(Object::Eip)
    }

    /// What an object needs next, if it may be written.
    fn step(&mut self, object: Object, around: &mut Surroundings<'_>) -> Option<Due> {
        let cluster = around.cluster;
        let due = match &object {
            Object::Service(name) => {
                let Some((version, service)) = cluster.services.versioned(name) else {
                    self.step_missing(name, around);
                    return None;
                };
                let (change, events) = self.step_service(name, service, around)?;
                let (urgency, rest) = (urgency(service, &change), Duration::ZERO);
                let write = Write::Service(name.clone(), version, change);
                Due { object, version, write, urgency, events, rest }
            }
            Object::Eip(name) => {
                // Its status is found out at a cost that grows with what it holds, and many of those
                // who change it do so while it is being written or rests. It is looked at again then.
                if !around.ledger.is_free(&object, around.now) {
                    return None;
                }
                let (change, events) = self.step_eip(name, around)?;
                let (version, _) = cluster.eips.versioned(name)?;
                let rest = match change {
                    EipChange::Status(_) => STATUS_EVERY,
                    EipChange::Metadata(_) => Duration::ZERO,
                };
                let write = Write::Eip(name.clone(), version, change);
                Due { object, version, write, urgency: Urgency::Record, events, rest }
            }
        };
        around.ledger.is_free(&due.object, around.now).then_some(due)
    }

    /// Takes down what is about to be written.
    fn begin(&mut self, due: Due, cluster: &Cluster) -> Due {
        if let Write::Eip(name, _, EipChange::Status(status)) = &due.write {
            let recorded = cluster.eips.get(name).map(|eip| &eip.status.used);
            let is_new = |(address, holder): &(&IpAddr, &ServiceName)| {
                let holders = recorded.and_then(|used| used.get(address));
                !holders.is_some_and(|holders| holders.contains(*holder))
            };
            let used = status.used.iter();
            let used =
                used.flat_map(|(address, holders)| holders.iter().map(move |it| (address, it)));
            let added = used.filter(is_new).map(|(_, holder)| holder.clone());
            let recording = self.recording.entry(name.clone()).or_default();
            // Who is gone waits for nothing.
            recording.retain(|holder| cluster.services.get(holder).is_some());
            recording.extend(added);
            self.written.insert(name.clone(), status.used.clone());
        }
        due
    }

    /// How much is remembered that has a limit of its own.
    pub(crate) fn size_of_aside(&self) -> Size {
        self.aside.size()
    }

    /// How much is remembered of what there is.
    pub(crate) fn sizes(&self, cluster: &Cluster) -> Vec<Size> {
        let n_missing = self.missing.len() + self.gone.len();
        let (n_holders, n_pools) = (self.ipam.holders().count(), self.ipam.eips().count());
        let n_objects = cluster.n_objects();
        // A holder that is missing stays until a read confirms that it is gone. What there is says nothing of
        // how many those are; once they were read about, what they left behind exceeds its bound.
        let objects = n_objects + n_missing;
        let eips = cluster.eips.len();
        let unproved = self.unproved.values().map(BTreeSet::len).sum();
        let mut sizes = Vec::from([
            Size::new("Services that hold addresses", n_holders, objects),
            Size::new("Eips, and those gone that are held of", n_pools, eips + 2 * n_holders),
            Size::new("Eips whose record was written", self.written.len(), eips),
            Size::new("Eips that a write puts on record", self.recording.len(), eips),
            Size::new("Eips whose record is proved", self.proved.len(), eips),
            Size::new("holders that wait for that", unproved, objects),
            Size::new("holders that give back", self.leaving.len(), objects),
            Size::new("holders that are missing", n_missing, n_holders),
            Size::new("objects that wait for room", self.queue.len(), objects),
        ]);
        sizes.extend(self.load.sizes(objects));
        sizes.extend(self.grace.sizes(objects));
        sizes.extend(self.disputed.sizes(objects));
        sizes.extend(self.waiting.sizes(objects));
        sizes
    }

    /// Silences every address that nobody holds any more, and those that are held on other links
    /// than they were: an Eip is gone, was moved, or its record was changed by hand.
    fn silence_strays(&self, around: &mut Surroundings<'_>) {
        let spoken = |holding: &Holding| {
            let link = around.cluster.link_of(&holding.eip)?;
            Some((link, holding.address))
        };
        let held: BTreeSet<_> = self.ipam.holdings().filter_map(spoken).collect();
        let strays: Vec<_> =
            around.publication.eips().filter(|stray| !held.contains(stray)).collect();
        for (link, address) in strays {
            around.publication.set(link, address, None);
        }
    }

    /// Gives Services without an address the one that they show to the world, before anybody else
    /// gets it.
    fn take_back(&mut self, cluster: &Cluster) {
        for name in cluster.concerned() {
            let Some(service) = cluster.services.get(name) else { continue };
            let Some(request) = cluster.request(service) else { continue };
            let asker = asker(name, service, &request, cluster);
            for address in service.shown() {
                self.ipam.take_back(&asker, address);
            }
        }
    }
}

fn asker<'a>(
    name: &'a ServiceName,
    service: &'a Service,
    request: &'a Request,
    cluster: &'a Cluster,
) -> Asker<'a> {
    let labels = cluster.namespace_labels(name);
    Asker { name, service, request, labels, services: &cluster.services }
}

/// What is recorded.
fn restored(cluster: &Cluster) -> Ipam {
    let nodes = cluster.nodes_at().keys().copied().collect();
    Ipam::restore(cluster.eips.iter(), &cluster.services, nodes)
}

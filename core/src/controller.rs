//! From facts to writes and answers: what each Service and each Eip needs next.
//!
//! A Service climbs a ladder, one confirmed write at a time: finalizer and label, then the record in
//! `Eip.status.used`, then the record of its node, then its status. It climbs down when it stops
//! asking: silence, then its status is cleared, then the address is freed, then the finalizer goes.
//! Nothing is remembered of where it stands: each step is derived again from what the API server
//! has confirmed, so that a lost verdict, a restart or a change by hand between two steps is no
//! special case.

mod eip;
mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    EipChange, EipName, Instant, ServiceName, Version, Write,
    cluster::{Cluster, Concern},
    ipam::{self, Holding, Ipam},
    ledger::{Ledger, Object},
    neighbor::Neighbors,
    placement::Load,
    publication::Publication,
};

/// A leader's knowledge of one term: who holds what, who is placed where, what is to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Controller {
    ipam: Ipam,
    load: Load,
    services: BTreeSet<ServiceName>,
    eips: BTreeSet<EipName>,
    /// Whether what is held is to be compared with what is spoken of and shown: an Eip changed.
    stocktaking: bool,
    /// What this leader last wrote, or is writing, into the status of an Eip as used.
    written: BTreeMap<EipName, BTreeMap<IpAddr, BTreeSet<ServiceName>>>,
    /// Eips whose record is proved to be the API server's, since a write of it succeeded in this term.
    /// Eips are not read consistently, so that what is known of another may be old.
    proved: BTreeSet<EipName>,
    /// Holders that wait for that.
    unproved: BTreeMap<EipName, BTreeSet<ServiceName>>,
    /// Holders that wait for every responder to be silent before they give anything back.
    leaving: BTreeSet<ServiceName>,
    /// Services without an address: they are looked at when one may have become free.
    waiting: BTreeSet<ServiceName>,
    /// Holders that were not there when last looked for: a consistent read has to confirm it.
    missing: BTreeSet<ServiceName>,
    /// Those of which it is confirmed.
    gone: BTreeSet<ServiceName>,
}

/// What the controller looks at and works on; borrowed from the speaker.
pub(crate) struct Surroundings<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) neighbors: &'a Neighbors,
    pub(crate) publication: &'a mut Publication,
    pub(crate) ledger: &'a Ledger,
    pub(crate) now: Instant,
}

impl Controller {
    /// Starts from what is recorded, after a consistent read of the Services.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let ipam = Ipam::restore(cluster.eips.iter());
        let mut controller = Self { ipam, stocktaking: true, ..Self::default() };
        controller.handle_all(cluster);
        controller.handle_confirmed(cluster);
        controller
    }

    /// Looks at everything again.
    pub(crate) fn handle_all(&mut self, cluster: &Cluster) {
        self.services.extend(cluster.concerned().iter().cloned());
        self.services.extend(self.ipam.holders().cloned());
        self.eips.extend(cluster.eips.iter().map(|(name, _)| name.clone()));
    }

    /// Looks at those that a fact concerns.
    pub(crate) fn handle_concern(&mut self, concern: Concern, cluster: &Cluster) {
        let Concern { services, eips, records, reach: _ } = concern;
        for name in &eips {
            self.ipam.handle_eip(name, cluster.eips.get(name));
        }
        let foreign = |name: &EipName| {
            let used = cluster.eips.get(name).map(|eip| &eip.status.used);
            used != self.written.get(name)
        };
        if records && eips.iter().any(foreign) {
            // What is held was written by somebody else: that is how it is.
            self.ipam = Ipam::restore(cluster.eips.iter());
            self.handle_all(cluster);
        }
        if !eips.is_empty() {
            self.stocktaking = true;
            self.services.append(&mut self.waiting);
        }
        self.services.extend(services);
        self.eips.extend(eips);
    }

    /// Looks at everything that may be answered with a MAC that has just become known.
    pub(crate) fn handle_neighbors(&mut self) {
        self.services.extend(self.ipam.holders().cloned());
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
            self.services.extend(self.unproved.remove(name).unwrap_or_default());
            self.proved.insert(name.clone());
        }
    }

    /// Whether a holder is missing, so that the Services have to be read consistently.
    pub(crate) fn needs_read(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The next write that is due. Settles on the way what is answered.
    pub(crate) fn poll_write(
        &mut self,
        around: &mut Surroundings<'_>,
    ) -> Option<(Object, Version, Write)> {
        if std::mem::take(&mut self.stocktaking) {
            self.silence_strays(around);
            self.take_back(around.cluster);
        }
        while let Some(name) = self.services.pop_first() {
            let Some(change) = self.step_service(&name, around) else { continue };
            let object = Object::Service(name.clone());
            if let Some((version, _)) = around.cluster.services.versioned(&name)
                && around.ledger.is_free(&object, around.now)
            {
                return Some((object, version, Write::Service(name, version, change)));
            }
        }
        while let Some(name) = self.eips.pop_first() {
            let Some(change) = self.step_eip(&name, around.cluster) else { continue };
            let object = Object::Eip(name.clone());
            if let Some((version, _)) = around.cluster.eips.versioned(&name)
                && around.ledger.is_free(&object, around.now)
            {
                if let EipChange::Status(status) = &change {
                    self.written.insert(name.clone(), status.used.clone());
                }
                return Some((object, version, Write::Eip(name, version, change)));
            }
        }
        None
    }

    /// Silences every address that nobody holds any more, and those that are held on other links
    /// than they were: an Eip is gone, was moved, or its record was changed by hand.
    fn silence_strays(&self, around: &mut Surroundings<'_>) {
        let spoken = |holding: &Holding| {
            let link = around.cluster.eips.get(&holding.eip).and_then(ipam::link_of)?;
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
            let service = cluster.services.get(name).filter(|_| self.ipam.holding(name).is_none());
            if let Some(service) = service
                && let Some(shown) = service.shown().next()
                && let Some(request) = cluster.request(service)
            {
                self.ipam.take_back(name, &request, shown);
            }
        }
    }
}

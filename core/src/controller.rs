//! From facts to writes and answers: what each Service and each Eip needs next.
//!
//! A Service climbs a ladder, one confirmed write at a time: finalizer and label, then the record in
//! `Eip.status.used`, then the record of its node, then its status. It climbs down when it stops
//! asking: silence, then its status is cleared, then the address is freed, then the finalizer goes.
//! Nothing is remembered of where it stands: each step is derived again from what the API server
//! has confirmed, so that a lost verdict, a restart or a change by hand between two steps is no
//! special case.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    EipChange, EipName, EipStatus, Instant, LinkName, MetadataChange, NodeName, Service,
    ServiceChange, ServiceName, Silence, Version, Write, claim,
    cluster::{Cluster, Concern},
    ipam::{self, Holding, Ipam},
    keys::{self, EIP_FINALIZER},
    ledger::{Ledger, Object},
    neighbor::Neighbors,
    placement::{self, Candidates, Load, Placed},
    publication::Publication,
    request::Request,
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

    fn step_service(
        &mut self,
        name: &ServiceName,
        around: &mut Surroundings<'_>,
    ) -> Option<ServiceChange> {
        let cluster = around.cluster;
        let holding = self.ipam.holding(name).cloned();
        let Some(service) = cluster.services.get(name) else {
            self.step_missing(name, &holding?, around);
            return None;
        };
        self.missing.remove(name);
        self.gone.remove(name);
        let request = cluster.request(service);
        if holding.is_none() {
            self.load.place(name, None);
        }
        match (request, holding) {
            (Some(request), Some(holding)) if self.fits(&request, &holding, cluster) => {
                self.step_up(name, service, &request, &holding, around)
            }
            (_, Some(holding)) => self.step_down(name, service, &holding, around),
            (Some(request), None) => {
                let shown = service.ingress.first().copied();
                let Some(holding) = self.ipam.allocate(name, &request, shown).cloned() else {
                    self.waiting.insert(name.clone());
                    return None;
                };
                self.step_up(name, service, &request, &holding, around)
            }
            (None, None) => {
                self.waiting.remove(name);
                let freed = cluster.recorded(name).is_none();
                (freed && cluster.is_traced(service)).then(|| claim::undo(service))
            }
        }
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
                && let Some(&shown) = service.ingress.first()
                && let Some(request) = cluster.request(service)
            {
                self.ipam.take_back(name, &request, shown);
            }
        }
    }

    fn fits(&self, request: &Request, holding: &Holding, cluster: &Cluster) -> bool {
        let served = cluster.eips.get(&holding.eip).is_some_and(ipam::is_layer2);
        served && request.is_met_by(&holding.eip, holding.address)
    }

    /// The next step of a Service towards being answered.
    fn step_up(
        &mut self,
        name: &ServiceName,
        service: &Service,
        request: &Request,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> Option<ServiceChange> {
        self.waiting.remove(name);
        if let Some(change) = claim::due(service, request, holding) {
            return Some(change);
        }
        let eip = around.cluster.eips.get(&holding.eip)?;
        let recorded = eip.status.used.get(&holding.address);
        if !recorded.is_some_and(|holders| holders.contains(name)) {
            self.eips.insert(holding.eip.clone());
            return None;
        }
        // What a Service shows was confirmed when the term began, and shown after it was recorded.
        let ingress = vec![holding.address];
        if service.ingress != ingress && !self.proved.contains(&holding.eip) {
            self.unproved.entry(holding.eip.clone()).or_default().insert(name.clone());
            self.eips.insert(holding.eip.clone());
            return None;
        }
        let placing = self.step_placement(name, service, holding, around);
        if placing.is_some() {
            return placing.map(|node| {
                let annotations = &service.metadata.annotations;
                let annotations =
                    keys::LAYER2.entries(annotations, node.as_str(), request.spelling);
                ServiceChange::Metadata(MetadataChange { annotations, ..MetadataChange::default() })
            });
        }
        (service.ingress != ingress).then_some(ServiceChange::Ingress(ingress))
    }

    /// Settles what is answered for a Service that holds an address. Returns the node to put on
    /// record, if another than the recorded one is to be answered.
    fn step_placement(
        &mut self,
        name: &ServiceName,
        service: &Service,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> Option<NodeName> {
        let cluster = around.cluster;
        let link = cluster.eips.get(&holding.eip).and_then(ipam::link_of)?;
        let candidates = cluster.candidates(name, service, link, holding.address);
        let record = placement::record(&service.metadata.annotations).map(|(_, node)| node);
        let record = record.filter(|node| candidates.address(node).is_some());
        let placed = self.load.placed(name).filter(|p| candidates.address(&p.node).is_some());
        // A record that was removed or spoilt by hand does not move an EIP that is answered.
        let stays = record.clone().map(|node| Placed { node, committed: true });
        let stays = stays.or_else(|| placed.cloned());
        let placed = match stays {
            Some(placed) => Some(placed),
            None => self.pick(service, &candidates, link, around),
        };
        self.load.place(name, placed.clone());
        let mac_of = |node: &NodeName| {
            let address = candidates.address(node)?;
            let own = cluster.links.get(&link).filter(|link| link.owns(address));
            own.map(|link| link.mac).or_else(|| around.neighbors.mac((link, address)))
        };
        let answer = match (&candidates, &placed) {
            (Candidates::NoEndpoint, _) => Err(Silence::NoEndpoint),
            (Candidates::Nodes(_), None) => Err(Silence::NoNode),
            (_, Some(placed)) if !placed.committed => Err(Silence::Uncommitted),
            (_, Some(placed)) => mac_of(&placed.node).ok_or(Silence::MacUnknown),
        };
        around.publication.set(link, holding.address, Some(answer));
        placed.map(|placed| placed.node).filter(|node| record.as_ref() != Some(node))
    }

    /// Picks a node among those that answer, once it is known of every candidate whether it does.
    fn pick(
        &self,
        service: &Service,
        candidates: &Candidates,
        link: LinkName,
        around: &Surroundings<'_>,
    ) -> Option<Placed> {
        let Candidates::Nodes(nodes) = candidates else { return None };
        let own = around.cluster.links.get(&link);
        let is_own = |address| own.is_some_and(|link| link.owns(address));
        let settled = |address| is_own(address) || around.neighbors.settled((link, address));
        if !nodes.values().all(|&address| settled(address)) {
            return None;
        }
        let answers = |address| is_own(address) || around.neighbors.mac((link, address)).is_some();
        let open = nodes
            .iter()
            .filter(|&(node, &address)| answers(address) && !around.cluster.is_cordoned(node));
        let load = |node: &NodeName| self.load.count(node);
        let node =
            placement::pick(open.map(|(node, _)| node), service.metadata.uid.as_ref(), load)?;
        Some(Placed { node: node.clone(), committed: false })
    }

    /// The next step of a Service that gives its address back.
    fn step_down(
        &mut self,
        name: &ServiceName,
        service: &Service,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> Option<ServiceChange> {
        if !self.silence(name, holding, around) {
            return None;
        }
        let others = service.ingress.iter().copied().filter(|&other| other != holding.address);
        let others: Vec<_> = others.collect();
        if service.ingress != others {
            return Some(ServiceChange::Ingress(others));
        }
        self.free(name);
        None
    }

    /// A holder that is not there: gives its address back once the API server has confirmed that.
    fn step_missing(
        &mut self,
        name: &ServiceName,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) {
        let silent = self.silence(name, holding, around);
        if !self.gone.contains(name) {
            self.missing.insert(name.clone());
        } else if silent {
            self.gone.remove(name);
            self.free(name);
        }
    }

    /// Silences the EIP of a holder. Says whether every responder is silent already.
    fn silence(
        &mut self,
        name: &ServiceName,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> bool {
        self.load.place(name, None);
        let links: BTreeSet<_> = around.publication.links_of(holding.address).collect();
        for &link in &links {
            around.publication.set(link, holding.address, None);
        }
        let silent = around.publication.is_silent(holding.address);
        if !silent {
            self.leaving.insert(name.clone());
        }
        silent
    }

    fn free(&mut self, name: &ServiceName) {
        self.eips.extend(self.ipam.release(name));
        self.services.append(&mut self.waiting);
        self.services.insert(name.clone());
    }

    fn step_eip(&self, name: &EipName, cluster: &Cluster) -> Option<EipChange> {
        let eip = cluster.eips.get(name).filter(|eip| ipam::is_layer2(eip))?;
        let finalizers = &eip.metadata.finalizers;
        let finalized = finalizers.iter().any(|finalizer| finalizer == EIP_FINALIZER);
        if !finalized && !eip.metadata.deleting {
            let finalizers = finalizers.iter().cloned().chain([EIP_FINALIZER.to_owned()]).collect();
            let finalizers = Some(finalizers);
            return Some(EipChange::Metadata(MetadataChange {
                finalizers,
                ..MetadataChange::default()
            }));
        }
        let status = self.status(name, &eip.status, cluster);
        if status != eip.status || self.unproved.contains_key(name) {
            return Some(EipChange::Status(status));
        }
        if finalized && eip.metadata.deleting && !self.ipam.in_use(name) {
            let finalizers = finalizers.iter().filter(|finalizer| *finalizer != EIP_FINALIZER);
            let finalizers = Some(finalizers.cloned().collect());
            return Some(EipChange::Metadata(MetadataChange {
                finalizers,
                ..MetadataChange::default()
            }));
        }
        None
    }

    /// The status of an Eip as it should be: a holder is recorded once its finalizer is in place.
    fn status(&self, name: &EipName, recorded: &EipStatus, cluster: &Cluster) -> EipStatus {
        let mut used = self.ipam.used(name);
        for (address, holders) in &mut used {
            holders.retain(|holder| {
                let before = recorded.used.get(address).is_some_and(|used| used.contains(holder));
                before
                    || cluster
                        .services
                        .get(holder)
                        .is_some_and(|service| claim::is_claimed(service, name))
            });
        }
        used.retain(|_, holders| !holders.is_empty());
        match self.ipam.range(name) {
            Some(range) => EipStatus {
                pool_size: range.size(),
                first: Some(range.first()),
                last: Some(range.last()),
                used,
                ready: true,
            },
            None => EipStatus { pool_size: 0, first: None, last: None, used, ready: false },
        }
    }
}

//! What one Service needs next: a step up the ladder, or down.

use std::{collections::BTreeSet, fmt::Write};

use smallvec::SmallVec;

use super::{
    Controller, Surroundings,
    announced::{self, Word},
    lack::Lack,
    placing::Placing,
};
use crate::{
    About, Event, Family, MetadataChange, Service, ServiceChange, ServiceName, claim,
    cluster::Cluster,
    interface::Interface,
    ipam::{Asker, Held, Holding},
    keys,
    request::{self, Request},
};

/// A change of a Service, and what people are told when it is made.
pub(super) type Step = (ServiceChange, Vec<Event>);

impl Controller {
    /// What `name` needs next.
    pub(super) fn step_service(
        &mut self,
        name: &ServiceName,
        service: &Service,
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let cluster = around.cluster;
        self.missing.remove(name);
        self.gone.remove(name);
        let request = cluster.request(service);
        let asker = request.as_ref().map(|request| super::asker(name, service, request, cluster));
        let leaves = around.conflicts.leaves();
        if let Some(asker) = asker.as_ref().filter(|_| leaves) {
            self.leave(asker, around);
        }
        let fits = |holding: &Holding| {
            let left = |asker| leaves && self.is_left(asker, holding.address);
            asker.as_ref().is_some_and(|asker| self.fits(asker, holding) && !left(asker))
        };
        let held = self.ipam.holdings_of(name).cloned();
        let (kept, dropped): (Held, Held) = held.partition(fits);
        if !dropped.is_empty() {
            return self.step_down(name, service, &kept, &dropped, around);
        }
        let Some(asker) = asker else { return self.step_undo(name, service, around) };
        if self.waiting.refused(name).is_none() && !self.lacks(&asker).is_empty() {
            // What to say of those it holds depends on why it lacks others.
            self.lacking.insert((super::age(service), name.clone()));
            return None;
        }
        match kept.is_empty() {
            true => self.step_waiting(name, service, around),
            false => self.step_up(&asker, &kept, around),
        }
    }

    /// Gives a Service the addresses that it lacks, or takes down why there are none.
    pub(super) fn step_lacking(&mut self, name: &ServiceName, cluster: &Cluster) {
        let Some(service) = cluster.services.get(name) else { return };
        let Some(request) = cluster.request(service) else { return };
        let asker = super::asker(name, service, &request, cluster);
        let holds_nothing = self.ipam.holdings_of(name).next().is_none();
        let (mut given, mut refused) = (Vec::new(), Vec::new());
        for family in self.lacks(&asker) {
            match self.ipam.allocate(&asker, family) {
                Ok(_) => given.push(family),
                Err(refusal) => refused.push((family, refusal)),
            }
        }
        if service.requires_dual_stack && holds_nothing && !refused.is_empty() {
            // Both or none: what is not to be shown is left to others.
            for family in given {
                self.ipam.release(name, family);
            }
        }
        self.waiting.handle_refused(name, refused);
        self.services.insert(name.clone());
    }

    /// The families of which a Service lacks an address.
    fn lacks(&self, asker: &Asker<'_>) -> SmallVec<[Family; 2]> {
        let mut families = self.ipam.families(asker);
        families.retain(|family| self.ipam.holding(asker.name, *family).is_none());
        families
    }

    fn fits(&self, asker: &Asker<'_>, holding: &Holding) -> bool {
        self.ipam.meets(asker, holding) && self.ipam.sharing_conflict(asker, holding).is_none()
    }

    /// The next step of a Service towards being answered.
    fn step_up(
        &mut self,
        &Asker { name, service, request, .. }: &Asker<'_>,
        held: &[Holding],
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let shown: SmallVec<[_; 2]> = service.shown().collect();
        let mut up = Held::new();
        for holding in held {
            let recorded = around.cluster.eips.get(&holding.eip);
            let recorded = recorded.and_then(|eip| eip.status.used.get(&holding.address));
            if !recorded.is_some_and(|holders| holders.contains(name)) {
                self.enroll(name, holding, around);
            } else if !shown.contains(&holding.address)
                && !self.proved.contains(&holding.eip)
                && !is_spoken_of(holding, around)
            {
                // What a Service shows was confirmed when the term began, and shown after it was
                // recorded; anything else has to be.
                self.unproved.entry(holding.eip.clone()).or_default().insert(name.clone());
                self.eips.insert(holding.eip.clone());
            } else {
                up.push(holding.clone());
            }
        }
        // What is answered follows the world first, whatever is to be written and whether it can be.
        let placing = (!up.is_empty()).then(|| self.place(name, service, &up, around));
        if let Some(change) = self.step_orphans(service, around.cluster) {
            return Some((change, vec![]));
        }
        if let Some(change) = claim::due(service, request, &held[0]) {
            return Some((change, vec![]));
        }
        let Some(mut placing) = placing else {
            return self.step_unrouted(name, service, request, held, around);
        };
        if let Some(step) = step_record(name, service, request, &mut placing) {
            return Some(step);
        }
        if service.requires_dual_stack && shown.is_empty() && up.len() < held.len() {
            return None; // Both or none: the other is not on record yet.
        }
        let mut word = match announced::linkless(&up, around.cluster) {
            Some(word) => word,
            None => announced::word(name, &placing, around),
        };
        if let Word::Now { met, reason, message } = &mut word
            && let Some(refused) = self.waiting.refused(name)
        {
            for (family, refusal) in refused {
                let _ = write!(message, "; no {family} address: {}", refusal.message());
            }
            if service.requires_dual_stack && *met {
                (*met, *reason) = (false, refused[0].1.reason());
            }
        }
        let ours = held.iter().map(|holding| holding.address);
        let ours = ours.filter(|ours| {
            shown.contains(ours) || up.iter().any(|holding| holding.address == *ours)
        });
        let ours: Vec<_> = ours.collect();
        self.step_status(name, service, &ours, (word, remarks(service, request)), around)
    }

    /// Has a holder put on record once nobody else is found to have the address.
    fn enroll(&mut self, name: &ServiceName, holding: &Holding, around: &mut Surroundings<'_>) {
        let Holding { eip, address } = holding;
        let link = around.cluster.link_of(eip);
        if let Some(link) = link.filter(|_| self.is_new(holding, around.cluster)) {
            around.conflicts.try_out((link, *address), &around.cluster.links, around.now);
        }
        // The status of an Eip costs what it holds: only who can be put on record is news for it.
        if self.is_recordable(name, eip, *address, around) == Some(true) {
            self.eips.insert(eip.clone());
        }
    }

    /// What a Service is told of which no address is on record yet: what is new is tried out first, on a
    /// link that has to be known.
    fn step_unrouted(
        &mut self,
        name: &ServiceName,
        service: &Service,
        request: &Request,
        held: &[Holding],
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let new = held.iter().filter(|holding| self.is_new(holding, around.cluster));
        let lack = new.filter_map(|holding| lack_of_route(holding, around.cluster)).next()?;
        let shown: BTreeSet<_> = service.shown().collect();
        let ours = held.iter().map(|holding| holding.address);
        let ours: Vec<_> = ours.filter(|ours| shown.contains(ours)).collect();
        let word = Word::not(lack.reason, lack.message);
        self.step_status(name, service, &ours, (word, remarks(service, request)), around)
    }

    /// What a Service is told that has no address.
    fn step_waiting(
        &mut self,
        name: &ServiceName,
        service: &Service,
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let refused = self.waiting.refused(name)?;
        let (_, refusal) = refused.first()?;
        let mut message = refusal.message();
        for (family, other) in refused.iter().skip(1).filter(|(_, other)| other != refusal) {
            let _ = write!(message, "; no {family} address: {}", other.message());
        }
        let word = Word::not(refusal.reason(), message);
        self.step_status(name, service, &[], (word, request::contradictions(service)), around)
    }
}

/// What is remarked on what a Service asks for.
fn remarks(service: &Service, request: &Request) -> Vec<String> {
    let mut remarks = request::contradictions(service);
    remarks.extend(request.no_address());
    remarks
}

/// Why no link is known on which an address could be tried out, if so.
fn lack_of_route(holding: &Holding, cluster: &Cluster) -> Option<Lack> {
    let Some(Interface::Reaching(reached)) = cluster.eips.get(&holding.eip).and_then(Interface::of)
    else {
        return None;
    };
    Lack::of_route(reached, cluster)
}

/// Whether anything is said of an address on its link.
pub(super) fn is_spoken_of(holding: &Holding, around: &Surroundings<'_>) -> bool {
    let link = around.cluster.link_of(&holding.eip);
    link.is_some_and(|link| around.publication.entry(link, holding.address).is_some())
}

/// The record of the node that is due, in every spelling that the Service uses.
fn step_record(
    name: &ServiceName,
    service: &Service,
    request: &Request,
    placing: &mut Placing,
) -> Option<Step> {
    let node = placing.node.as_ref()?;
    let annotations = &service.metadata.annotations;
    let entries = keys::LAYER2.entries(annotations, node.as_str(), request.spelling);
    if entries.iter().all(|(key, value)| annotations.get(key) == value.as_ref()) {
        return None;
    }
    let rejected = placing.rejected.take().map(|rejected| Event {
        about: About::Service(name.clone(), service.metadata.uid.clone()),
        warning: true,
        reason: "PinRejected",
        message: format!(
            "{} {}; {node} stays. A node to pin must be usable, and have an endpoint if any usable \
             node has",
            rejected.node, rejected.why
        ),
    });
    let change = MetadataChange { annotations: entries, ..MetadataChange::default() };
    Some((ServiceChange::Metadata(change), rejected.into_iter().collect()))
}

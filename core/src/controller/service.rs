//! What one Service needs next: a step up the ladder, or down.

use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

use super::{
    Controller, Surroundings,
    announced::{self, Word},
    placing::{Placing, sharers},
};
use crate::{
    About, Condition, ConditionChange, Event, Family, Ingress, MetadataChange, Service,
    ServiceChange, ServiceName, ServiceStatus, claim,
    cluster::Cluster,
    ipam::{self, Asker, Holding},
    keys,
    ledger::Object,
    placement::{self, Placed},
    request::Request,
};

/// A change of a Service, and what people are told when it is made.
pub(super) type Step = (ServiceChange, Vec<Event>);

impl Controller {
    /// What `name` needs next.
    pub(super) fn step_service(
        &mut self,
        name: &ServiceName,
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let cluster = around.cluster;
        let Some(service) = cluster.services.get(name) else {
            self.step_missing(name, around);
            return None;
        };
        self.missing.remove(name);
        self.gone.remove(name);
        let request = cluster.request(service);
        let asker = request.as_ref().map(|request| super::asker(name, service, request, cluster));
        let fits =
            |holding: &Holding| asker.as_ref().is_some_and(|asker| self.fits(asker, holding));
        let held = self.ipam.holdings_of(name).cloned();
        let (kept, dropped): (Vec<_>, Vec<_>) = held.partition(fits);
        if !dropped.is_empty() {
            return self.step_down(name, service, &kept, &dropped, around);
        }
        let Some(asker) = asker else { return self.step_undo(name, service, around) };
        if !self.waiting.contains_key(name) && !self.lacks(&asker).is_empty() {
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
        match refused.is_empty() {
            true => self.waiting.remove(name),
            false => self.waiting.insert(name.clone(), refused),
        };
        self.services.insert(name.clone());
    }

    /// The families of which a Service lacks an address.
    fn lacks(&self, asker: &Asker<'_>) -> Vec<Family> {
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
        let shown: BTreeSet<_> = service.shown().collect();
        let mut up = Vec::new();
        for holding in held {
            let recorded = around.cluster.eips.get(&holding.eip);
            let recorded = recorded.and_then(|eip| eip.status.used.get(&holding.address));
            if !recorded.is_some_and(|holders| holders.contains(name)) {
                self.eips.insert(holding.eip.clone());
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
        let mut placing = placing?;
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
            && let Some(refused) = self.waiting.get(name)
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
        let mut remarks = request.contradictions();
        remarks.extend(request.no_address());
        self.step_status(name, service, &ours, (word, remarks), around)
    }

    /// Takes back what is shown of an Eip that is gone, now that another serves.
    fn step_orphans(&self, service: &Service, cluster: &Cluster) -> Option<ServiceChange> {
        let (_, eip) = keys::EIP.find(&service.metadata.labels)?;
        if cluster.eips.get(&eip.into()).is_some() {
            return None;
        }
        let stays = |entry: &&Ingress| match entry {
            Ingress::Address(address) => self.ipam.covers(*address),
            Ingress::Other(_) => true,
        };
        let ingress: Vec<_> = service.ingress.iter().filter(stays).cloned().collect();
        let status = ServiceStatus { ingress, announced: ConditionChange::Keep };
        (status.ingress != service.ingress).then_some(ServiceChange::Status(status))
    }

    /// What a Service is told that has no address.
    fn step_waiting(
        &mut self,
        name: &ServiceName,
        service: &Service,
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let refused = self.waiting.get(name)?;
        let (_, refusal) = refused.first()?;
        let mut message = refusal.message();
        for (family, other) in refused.iter().skip(1).filter(|(_, other)| other != refusal) {
            let _ = write!(message, "; no {family} address: {}", other.message());
        }
        let word = Word::not(refusal.reason(), message);
        let request = around.cluster.request(service)?;
        self.step_status(name, service, &[], (word, request.contradictions()), around)
    }

    /// The status that is due: the addresses to show, and the word on them with remarks on what was
    /// asked for. Each remark is told as a warning, too, when it is new.
    fn step_status(
        &mut self,
        name: &ServiceName,
        service: &Service,
        ours: &[IpAddr],
        (word, remarks): (Word, Vec<String>),
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let object = Object::Service(name.clone());
        let ingress = self.ingress(service, ours);
        let shown: BTreeSet<_> = service.shown().collect();
        let shows = |address: &IpAddr| ingress.contains(&Ingress::Address(*address));
        let takes_back = shown.iter().any(|address| !shows(address));
        let said = service.announced.as_ref();
        let announced = match word {
            Word::Later => said.cloned(),
            Word::Now { met, reason, message } => {
                let message = [vec![message], remarks.clone()].concat().join("; ");
                Some(condition(met, reason, message, said, around))
            }
        };
        let news = match (said, &announced) {
            (Some(said), Some(announced)) => !said.says_as(announced),
            (None, Some(_)) | (Some(_), None) => true,
            (None, None) => false,
        };
        if ingress == service.ingress && !news {
            self.grace.end(&object);
            return None;
        }
        let good = announced.as_ref().is_some_and(|announced| announced.met) && news;
        if !good && !takes_back && !self.grace.lasts(object, around.now) {
            return None;
        }
        let mut events = Vec::new();
        let about = About::Service(name.clone(), service.metadata.uid.clone());
        for &address in ours.iter().filter(|address| !shown.contains(address)) {
            let message = match self.ipam.owner(address) {
                Some(eip) => format!("assigned {address} of Eip {eip}"),
                None => format!("assigned {address}"),
            };
            events.push(Event {
                about: about.clone(),
                warning: false,
                reason: "AssignIP",
                message,
            });
        }
        events.extend(released(&about, shown.iter().copied().filter(|address| !shows(address))));
        if let Some(announced) = announced.as_ref().filter(|_| news) {
            let failed = if ours.is_empty() { "AssignIPFailed" } else { "SetBalancer" };
            events.extend(remarked(&about, remarks, said, announced));
            events.push(Event {
                about,
                warning: !announced.met,
                reason: if announced.met { "SetBalancer" } else { failed },
                message: announced.message.clone(),
            });
        }
        let announced = ConditionChange::between(said, announced);
        Some((ServiceChange::Status(ServiceStatus { ingress, announced }), events))
    }

    /// The next step of a Service that gives addresses back.
    fn step_down(
        &mut self,
        name: &ServiceName,
        service: &Service,
        kept: &[Holding],
        dropped: &[Holding],
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        let shared = |holding: &&Holding| self.ipam.holders_of(holding.address).nth(1).is_some();
        let spoken = kept.iter().chain(dropped.iter().filter(shared));
        let spoken = spoken.filter(|holding| is_spoken_of(holding, around) || shared(holding));
        let spoken: Vec<_> = spoken.cloned().collect();
        if !spoken.is_empty() {
            self.place(name, service, &spoken, around);
        }
        let mut silent = true;
        for holding in dropped {
            let shared = self.ipam.holders_of(holding.address).nth(1).is_some();
            silent &= match shared {
                true => self.is_handed_on(name, holding, around.cluster),
                false => self.silence(name, holding, around),
            };
        }
        if !silent {
            return None;
        }
        let goes = |address| dropped.iter().any(|holding| holding.address == address);
        let stays = |entry: &&Ingress| match entry {
            Ingress::Address(address) => !goes(*address),
            Ingress::Other(_) => true,
        };
        let ingress: Vec<_> = service.ingress.iter().filter(stays).cloned().collect();
        if service.ingress != ingress {
            let announced = service
                .announced
                .clone()
                .filter(|_| !kept.is_empty() || around.cluster.request(service).is_some());
            let about = About::Service(name.clone(), service.metadata.uid.clone());
            let events = released(&about, dropped.iter().map(|holding| holding.address)).collect();
            let announced = ConditionChange::between(service.announced.as_ref(), announced);
            return Some((ServiceChange::Status(ServiceStatus { ingress, announced }), events));
        }
        for holding in dropped {
            self.free(name, holding, around.cluster);
        }
        None
    }

    /// The last steps of a Service that asks for nothing and holds nothing.
    fn step_undo(
        &mut self,
        name: &ServiceName,
        service: &Service,
        around: &Surroundings<'_>,
    ) -> Option<Step> {
        self.waiting.remove(name);
        self.grace.end(&Object::Service(name.clone()));
        // An address may be shown whose record was removed by hand.
        let ingress = match around.cluster.is_traced(service) {
            true => self.ingress(service, &[]),
            false => service.ingress.clone(),
        };
        let says = service.announced.is_some() || ingress != service.ingress;
        if says && !service.metadata.deleting {
            let announced = match service.announced {
                Some(_) => ConditionChange::Remove,
                None => ConditionChange::Keep,
            };
            let status = ServiceStatus { ingress, announced };
            return Some((ServiceChange::Status(status), vec![]));
        }
        let freed = around.cluster.recorded(name).is_none();
        let traced = around.cluster.is_traced(service);
        (freed && traced).then(|| (claim::undo(service), vec![]))
    }

    /// A holder that is not there: gives its addresses back once the API server has confirmed that.
    fn step_missing(&mut self, name: &ServiceName, around: &mut Surroundings<'_>) {
        self.waiting.remove(name);
        self.grace.end(&Object::Service(name.clone()));
        let held: Vec<_> = self.ipam.holdings_of(name).cloned().collect();
        if held.is_empty() {
            self.load.place(name, None);
            return;
        }
        let mut silent = true;
        for holding in &held {
            let shared = self.ipam.holders_of(holding.address).nth(1).is_some();
            silent &= shared || self.silence(name, holding, around);
        }
        if !self.gone.contains(name) {
            self.missing.insert(name.clone());
        } else if silent {
            self.gone.remove(name);
            for holding in &held {
                self.free(name, holding, around.cluster);
            }
        }
    }

    /// Silences an address. Says whether every responder is silent already.
    fn silence(
        &mut self,
        name: &ServiceName,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> bool {
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

    /// Whether the next of those who share an address carries the node that is answered, so that
    /// `name` may go.
    fn is_handed_on(&mut self, name: &ServiceName, holding: &Holding, cluster: &Cluster) -> bool {
        let sharers = sharers(&self.ipam, std::slice::from_ref(holding), cluster);
        let stays = |service: &Service| {
            let asked = cluster.request(service).and_then(|request| request.asked_address());
            asked == Some(holding.address)
        };
        let mut stay = sharers.iter().filter(|(sharer, service)| *sharer != name && stays(service));
        let mut placed = sharers.iter().filter_map(|(sharer, _)| self.load.placed(sharer));
        let placed = placed.find(|placed| placed.committed);
        let (Some(placed), Some((next, service))) = (placed, stay.next()) else { return true };
        if placement::record(&service.metadata.annotations).as_ref() == Some(&placed.node) {
            return true;
        }
        let next = (*next).clone();
        self.leaving.insert(name.clone());
        self.services.insert(next);
        false
    }

    fn free(&mut self, name: &ServiceName, holding: &Holding, cluster: &Cluster) {
        let sharers = sharers(&self.ipam, std::slice::from_ref(holding), cluster);
        let next = sharers.iter().find(|(sharer, _)| *sharer != name);
        let placed = self.load.placed(name).filter(|placed| placed.committed).cloned();
        self.load.place(name, None);
        if let (Some(placed), Some((next, service))) = (placed, next)
            && self.load.placed(next).is_none()
        {
            // Whatever copy it carries: what is answered counts.
            let overrules = placement::record(&service.metadata.annotations);
            self.load.place(next, Some(Placed { overrules, ..placed }));
        }
        self.services.extend(self.ipam.holders_of(holding.address).cloned());
        self.eips.extend(self.ipam.release(name, Family::of(holding.address)));
        self.retry();
        self.services.insert(name.clone());
    }

    /// What to show: our addresses, and what is no address of an Eip as it is: other controllers show
    /// it, or it is of an Eip that is gone and may come back.
    fn ingress(&self, service: &Service, ours: &[IpAddr]) -> Vec<Ingress> {
        let foreign = |entry: &&Ingress| match entry {
            Ingress::Address(address) => !self.ipam.covers(*address),
            Ingress::Other(_) => true,
        };
        let shown = service.ingress.iter().filter_map(|entry| match entry {
            Ingress::Address(address) => ours.contains(address).then_some(address),
            Ingress::Other(_) => None,
        });
        let others = service.ingress.iter().filter(foreign).cloned();
        let rest = service.ingress.len() - others.clone().count();
        if shown.eq(ours) && rest == ours.len() {
            return service.ingress.clone();
        }
        ours.iter().map(|address| Ingress::Address(*address)).chain(others).collect()
    }
}

/// Whether anything is said of an address on its link.
fn is_spoken_of(holding: &Holding, around: &Surroundings<'_>) -> bool {
    let link = around.cluster.eips.get(&holding.eip).and_then(ipam::link_of);
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

/// The warnings about what was asked for, those that are said now and were not before.
fn remarked(
    about: &About,
    remarks: Vec<String>,
    before: Option<&Condition>,
    now: &Condition,
) -> impl Iterator<Item = Event> {
    let says = |condition: &Condition, remark: &String| condition.message.contains(remark);
    let is_new = move |remark: &String| {
        says(now, remark) && !before.is_some_and(|before| says(before, remark))
    };
    remarks.into_iter().filter(is_new).map(|message| Event {
        about: about.clone(),
        warning: true,
        reason: "ConstructRequest",
        message,
    })
}

fn released(about: &About, gone: impl Iterator<Item = IpAddr>) -> impl Iterator<Item = Event> {
    gone.map(|address| Event {
        about: about.clone(),
        warning: false,
        reason: "ReleaseIP",
        message: format!("released {address}"),
    })
}

fn condition(
    met: bool,
    reason: &str,
    message: String,
    said: Option<&Condition>,
    around: &Surroundings<'_>,
) -> Condition {
    let since = said.filter(|said| said.met == met).map_or(around.wall_time, |said| said.since);
    Condition { met, reason: reason.to_owned(), message, generation: 0, since }
}

//! How a Service gives addresses back: silence first, then its status, then the record, and last its
//! finalizer. An address that others share goes on with the next of them.

use std::collections::BTreeSet;

use super::{
    Controller, Surroundings,
    placing::{is_recorded, sharers},
    service::{Step, is_spoken_of},
    status::{is_orphan, released},
};
use crate::{
    About, ConditionChange, Family, Ingress, Service, ServiceChange, ServiceName, ServiceStatus,
    claim, cluster::Cluster, ipam::Holding, ledger::Object, load::Placed, placement,
};

impl Controller {
    /// The next step of a Service that gives addresses back.
    pub(super) fn step_down(
        &mut self,
        name: &ServiceName,
        service: &Service,
        kept: &[Holding],
        dropped: &[Holding],
        around: &mut Surroundings<'_>,
    ) -> Option<Step> {
        // Who is not on record has no say in what is answered for the others.
        let recorded = |holding: &Holding| {
            is_recorded(&self.ipam, name, std::slice::from_ref(holding), around.cluster)
        };
        let shared = |holding: &&Holding| self.ipam.is_shared(holding) && recorded(holding);
        let spoken = kept.iter().chain(dropped.iter().filter(shared));
        let spoken = spoken.filter(|holding| is_spoken_of(holding, around) || shared(holding));
        let spoken: Vec<_> = spoken.cloned().collect();
        if !spoken.is_empty() {
            self.place(name, service, &spoken, around);
        }
        let mut silent = true;
        for holding in dropped {
            let recorded =
                is_recorded(&self.ipam, name, std::slice::from_ref(holding), around.cluster);
            silent &= match self.ipam.is_shared(holding) {
                true => !recorded || self.is_handed_on(name, holding, around.cluster),
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
            let left = dropped.iter().filter_map(|holding| self.left(&about, holding.address));
            let events = released(&about, dropped.iter().map(|holding| holding.address));
            let events = left.chain(events).collect();
            let announced = ConditionChange::between(service.announced.as_ref(), announced);
            // What is said of those who claim an address goes with it.
            let conflict = service.conflict.clone().filter(|_| !kept.is_empty());
            let conflict = ConditionChange::between(service.conflict.as_ref(), conflict);
            let status = ServiceStatus { ingress, announced, conflict };
            return Some((ServiceChange::Status(status), events));
        }
        for holding in dropped {
            self.free(name, holding, around.cluster);
        }
        None
    }

    /// The last steps of a Service that asks for nothing and holds nothing.
    pub(super) fn step_undo(
        &mut self,
        name: &ServiceName,
        service: &Service,
        around: &Surroundings<'_>,
    ) -> Option<Step> {
        self.waiting.end(name);
        self.grace.end(&Object::Service(name.clone()));
        self.disputed.end(&Object::Service(name.clone()));
        let traced = around.cluster.is_traced(service);
        // An address may be shown whose record was removed by hand, or is gone with its Eip.
        let mut ingress = match traced {
            true => self.ingress(service, &[]),
            false => service.ingress.clone(),
        };
        if traced && is_orphan(service, around.cluster) {
            ingress.retain(|entry| matches!(entry, Ingress::Other(_)));
        }
        let says = service.announced.is_some() || service.conflict.is_some();
        let says = says || ingress != service.ingress;
        if says && !service.metadata.deleting {
            let announced = match service.announced {
                Some(_) => ConditionChange::Remove,
                None => ConditionChange::Keep,
            };
            let conflict = ConditionChange::between(service.conflict.as_ref(), None);
            let status = ServiceStatus { ingress, announced, conflict };
            return Some((ServiceChange::Status(status), vec![]));
        }
        let freed = around.cluster.recorded(name).is_none();
        if !freed || !traced || self.is_being_recorded(name) {
            return None;
        }
        Some((claim::undo(service), vec![]))
    }

    /// Whether a write may yet put `name` on record: one that is under way, or was lost without a
    /// verdict. Then the record is written again, so that it is known when that is over.
    fn is_being_recorded(&mut self, name: &ServiceName) -> bool {
        let recording = self.recording.iter().filter(|(_, added)| added.contains(name));
        let eips: Vec<_> = recording.map(|(eip, _)| eip.clone()).collect();
        for eip in &eips {
            self.unproved.entry(eip.clone()).or_default().insert(name.clone());
            self.eips.insert(eip.clone());
        }
        !eips.is_empty()
    }

    /// A holder that is not there: gives its addresses back once the API server has confirmed that.
    pub(super) fn step_missing(&mut self, name: &ServiceName, around: &mut Surroundings<'_>) {
        self.waiting.end(name);
        self.grace.end(&Object::Service(name.clone()));
        self.disputed.end(&Object::Service(name.clone()));
        let held: Vec<_> = self.ipam.holdings_of(name).cloned().collect();
        if held.is_empty() {
            self.missing.remove(name);
            self.gone.remove(name);
            self.unproved.retain(|_, waiting| {
                waiting.remove(name);
                !waiting.is_empty()
            });
            self.load.place(name, None);
            return;
        }
        let mut silent = true;
        for holding in &held {
            silent &= self.ipam.is_shared(holding) || self.silence(name, holding, around);
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
        self.services.extend(self.ipam.sharers_of(holding).cloned());
        self.eips.extend(self.ipam.release(name, Family::of(holding.address)));
        self.retry();
        self.services.insert(name.clone());
    }
}

//! What the status of a Service shows and says: its addresses beside those of others, and the word on
//! them. Bad news waits for its time; good news, and what has to be taken back, does not.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Controller, Surroundings, announced::Word, conflict, service::Step};
use crate::{
    About, Condition, ConditionChange, Event, Ingress, Service, ServiceChange, ServiceName,
    ServiceStatus, cluster::Cluster, keys, ledger::Object,
};

impl Controller {
    /// The status that is due: the addresses to show, and the word on them with remarks on what was
    /// asked for. Each remark is told as a warning, too, when it is new.
    pub(super) fn step_status(
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
        let conflict = self.conflict(name, service, around);
        let about = About::Service(name.clone(), service.metadata.uid.clone());
        let mut events = Vec::new();
        events.extend(conflict::event(&about, service.conflict.as_ref(), conflict.as_ref()));
        let conflict = ConditionChange::between(service.conflict.as_ref(), conflict);
        let changes = ingress != service.ingress || news;
        if !changes {
            self.grace.end(&object);
        }
        let good = announced.as_ref().is_some_and(|announced| announced.met) && news;
        if !changes || !good && !takes_back && !self.grace.lasts(object, around.now) {
            // A claim has lasted for long enough when it is believed.
            let ingress = service.ingress.clone();
            let status = ServiceStatus { ingress, announced: ConditionChange::Keep, conflict };
            let says = status.conflict != ConditionChange::Keep;
            return says.then_some((ServiceChange::Status(status), events));
        }
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
        Some((ServiceChange::Status(ServiceStatus { ingress, announced, conflict }), events))
    }

    /// Takes back what is shown of an Eip that is gone, now that another serves.
    pub(super) fn step_orphans(
        &self,
        service: &Service,
        cluster: &Cluster,
    ) -> Option<ServiceChange> {
        if !is_orphan(service, cluster) {
            return None;
        }
        let stays = |entry: &&Ingress| match entry {
            Ingress::Address(address) => self.ipam.covers(*address),
            Ingress::Other(_) => true,
        };
        let ingress: Vec<_> = service.ingress.iter().filter(stays).cloned().collect();
        let status = ServiceStatus { ingress, ..ServiceStatus::default() };
        (status.ingress != service.ingress).then_some(ServiceChange::Status(status))
    }

    /// What to show: our addresses, and what is no address of an Eip as it is: other controllers show
    /// it, or it is of an Eip that is gone and may come back.
    pub(super) fn ingress(&self, service: &Service, ours: &[IpAddr]) -> Vec<Ingress> {
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

/// Whether a Service had its address of an Eip that is gone.
pub(super) fn is_orphan(service: &Service, cluster: &Cluster) -> bool {
    let eip = keys::EIP.find(&service.metadata.labels);
    eip.is_some_and(|(_, eip)| cluster.eips.get(eip).is_none())
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

pub(super) fn released(
    about: &About,
    gone: impl Iterator<Item = IpAddr>,
) -> impl Iterator<Item = Event> {
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

//! What one Eip needs next, and what its condition `Ready` says.
//!
//! | reason | met | what it means |
//! |---|---|---|
//! | `Served` | yes | its addresses are handed out and answered |
//! | `Disabled` | yes | it hands out no new address; those in use are answered |
//! | `Full` | yes | every address is in use |
//! | `RecordNearlyFull` | yes | its status has little room for more holders, however many addresses are free |
//! | `OffLink` | yes | served, but not within a subnet of the interface: hosts need a route |
//! | `Deleting` | no | it is held until its last address is given back |
//!
//! The message names those of its addresses that somebody else has.
//!
//! The other reasons are those of [`Standing`](crate::ipam::Standing), and of [`Lack`].

use std::{collections::BTreeSet, net::IpAddr};

use super::{Controller, Surroundings, announced::Word, lack::Lack};
use crate::{
    About, Condition, Eip, EipChange, EipName, EipStatus, Event, LinkName, MetadataChange,
    ServiceName, claim,
    cluster::Cluster,
    interface::Interface,
    ipam::{self, Holding, Standing},
    keys::EIP_FINALIZER,
    ledger::Object,
};

/// So many holders are named in a message.
const NAMED: usize = 3;

/// A change of an Eip, and what people are told when it is made.
pub(super) type Step = (EipChange, Vec<Event>);

impl Controller {
    /// What `name` needs next: its finalizer, its status, or to be let go.
    pub(super) fn step_eip(&mut self, name: &EipName, around: &Surroundings<'_>) -> Option<Step> {
        let object = Object::Eip(name.clone());
        let Some(eip) = around.cluster.eips.get(name).filter(|eip| ipam::is_layer2(eip)) else {
            self.grace.end(&object);
            return None;
        };
        if let Some(change) = self.step_finalizer(name, eip) {
            return Some((change, vec![]));
        }
        let mut untried = BTreeSet::new();
        let status = self.status(name, eip, &mut untried, around);
        self.services.extend(untried);
        let news = status.ready != eip.status.ready;
        let bad = status.ready.as_ref().is_some_and(|ready| !ready.met);
        let said = !news || !bad || self.grace.lasts(object.clone(), around.now);
        let status = match said {
            true => status,
            false => EipStatus { ready: eip.status.ready.clone(), ..status },
        };
        if !news || !bad {
            self.grace.end(&object);
        }
        if status == eip.status && !self.unproved.contains_key(name) {
            return None;
        }
        let mut events = Vec::new();
        if let Some(ready) = status.ready.as_ref().filter(|_| said && news) {
            let about = About::Eip(name.clone(), eip.metadata.uid.clone());
            let before = eip.status.ready.as_ref().map_or("", |ready| &ready.message);
            let found = self.set_aside(name).into_iter().filter(|it| !before.contains(&**it));
            events.extend(found.map(|message| Event {
                about: about.clone(),
                warning: true,
                reason: "AddressInUse",
                message,
            }));
            events.push(Event {
                about,
                warning: !ready.met,
                reason: if ready.met { "ConfigSpeaker" } else { "ConfigSpeakerFailed" },
                message: ready.message.clone(),
            });
        }
        Some((EipChange::Status(status), events))
    }

    /// The finalizer stays until nobody holds an address, and the status says so.
    fn step_finalizer(&self, name: &EipName, eip: &Eip) -> Option<EipChange> {
        let finalizers = &eip.metadata.finalizers;
        let finalized = finalizers.iter().any(|finalizer| finalizer == EIP_FINALIZER);
        if !finalized && !eip.metadata.deleting {
            let added = [EIP_FINALIZER.to_owned()];
            return Some(finalizers_change(finalizers.iter().cloned().chain(added)));
        }
        let in_use = self.ipam.in_use(name) || !eip.status.used.is_empty();
        (finalized && eip.metadata.deleting && !in_use).then(|| {
            let others = finalizers.iter().filter(|finalizer| *finalizer != EIP_FINALIZER);
            finalizers_change(others.cloned())
        })
    }

    /// The status of an Eip as it should be: a holder is recorded once its finalizer is in place.
    /// Those whose address is yet to be tried out, and is not, are to be looked at again.
    fn status(
        &self,
        name: &EipName,
        eip: &Eip,
        untried: &mut BTreeSet<ServiceName>,
        around: &Surroundings<'_>,
    ) -> EipStatus {
        let cluster = around.cluster;
        let mut used = self.ipam.used(name).clone();
        for (address, holders) in &mut used {
            let recorded = eip.status.used.get(address);
            holders.retain(|holder| {
                recorded.is_some_and(|used| used.contains(holder))
                    || self.is_recordable(holder, name, *address, around).unwrap_or_else(|| {
                        untried.insert(holder.clone());
                        false
                    })
            });
        }
        used.retain(|_, holders| !holders.is_empty());
        let range = self.ipam.range(name);
        let mut status = EipStatus {
            pool_size: range.map_or(0, |range| range.size()),
            first: range.map(|range| range.first()),
            last: range.map(|range| range.last()),
            used,
            ready: None,
        };
        let said = eip.status.ready.as_ref();
        status.ready = match self.ready(name, eip, &status, cluster) {
            Word::Later => said.cloned(),
            Word::Now { met, reason, message } => {
                let since = said.filter(|said| said.met == met).map(|said| said.since);
                let ready = Condition {
                    met,
                    reason: reason.to_owned(),
                    message,
                    generation: eip.metadata.generation,
                    since: since.unwrap_or(around.wall_time),
                };
                said.filter(|said| said.says_as(&ready)).cloned().or(Some(ready))
            }
        };
        status
    }

    /// Whether a holder that is not on record can be put there: it carries what a holder carries, and
    /// nobody else has the address, as far as is to be found out; `None`: that has not begun.
    pub(super) fn is_recordable(
        &self,
        holder: &ServiceName,
        eip: &EipName,
        address: IpAddr,
        around: &Surroundings<'_>,
    ) -> Option<bool> {
        let first = self.ipam.holdings_of(holder).next();
        let is_claimed = around.cluster.services.get(holder).is_some_and(|service| {
            first.is_some_and(|first| claim::is_claimed(service, &first.eip))
        });
        if is_claimed { self.is_tried(eip, address, around) } else { Some(false) }
    }

    /// Whether nobody else has an address, as far as is to be found out; `None`: that has not begun.
    fn is_tried(&self, eip: &EipName, address: IpAddr, around: &Surroundings<'_>) -> Option<bool> {
        let cluster = around.cluster;
        if !self.is_new(&Holding { eip: eip.clone(), address }, cluster) {
            return Some(true);
        }
        match cluster.link_of(eip) {
            Some(link) => around.conflicts.is_clear((link, address), &cluster.links),
            // By which link it is reached is told later.
            None => Some(!around.conflicts.tries_out() || !is_reaching(eip, cluster)),
        }
    }

    fn ready(&self, name: &EipName, eip: &Eip, status: &EipStatus, cluster: &Cluster) -> Word {
        if eip.metadata.deleting {
            return Word::not("Deleting", deleting(status));
        }
        match self.ipam.standing(name) {
            Some(Standing::Served) => {}
            Some(standing) => return Word::not(standing.reason(), standing.to_string()),
            None => return Word::Later,
        }
        let reached = match Interface::of(eip) {
            Some(Interface::Reaching(address)) => Some(address),
            Some(Interface::Named(_)) | None => None,
        };
        let Some(link) = cluster.link_of(name) else {
            let lack = reached.and_then(|address| Lack::of_route(address, cluster));
            return lack.map_or(Word::Later, |lack| Word::not(lack.reason, lack.message));
        };
        let place = match reached {
            Some(address) => format!("{link}, by which {address} is reached"),
            None => link.to_string(),
        };
        if let Some(Lack { reason, message }) = Lack::of_link(link, cluster) {
            let message = match reached {
                Some(address) => format!("{address} is reached by {link}, but {message}"),
                None => message,
            };
            return Word::not(reason, message);
        }
        let record = self.ipam.record(name);
        let (reason, message) = if eip.disable {
            ("Disabled", "hands out no new address while spec.disable is true".to_owned())
        } else if status.occupied() {
            ("Full", "every address is in use; enlarge spec.address or add an Eip".to_owned())
        } else if record.is_high() {
            let message = format!(
                "{} Services are on record, and status.used has room for few more; add another Eip",
                record.services
            );
            ("RecordNearlyFull", message)
        } else if is_on_link(link, status, cluster) {
            ("Served", format!("served on {place}"))
        } else {
            let message = format!(
                "served on {place}, but some addresses are in none of its subnets: hosts reach \
                 those only by a route that leads to its LAN"
            );
            ("OffLink", message)
        };
        let message = [vec![message], self.set_aside(name)].concat().join("; ");
        let first = self.ipam.default_before(name);
        let message = match first {
            Some(first) => format!(
                "{message}; Eip {first} is the default, too, and comes before it by spec.priority, \
                 then by name: take the annotation off one of them"
            ),
            None => message,
        };
        Word::Now { met: true, reason, message }
    }

    /// The addresses of an Eip that somebody else has, and who.
    fn set_aside(&self, name: &EipName) -> Vec<String> {
        let Some(range) = self.ipam.range(name) else { return Vec::new() };
        let aside = self.ipam.aside(range);
        let named = |(address, who)| format!("{address} is set aside: {who}");
        let mut named: Vec<_> = aside.take(NAMED).map(named).collect();
        if let Some(more) = self.ipam.aside(range).count().checked_sub(NAMED + 1) {
            named.push(format!("{} more are set aside likewise", more + 1));
        }
        named
    }
}

/// Whether an Eip is served on the link by which some address is reached.
fn is_reaching(name: &EipName, cluster: &Cluster) -> bool {
    let interface = cluster.eips.get(name).and_then(Interface::of);
    matches!(interface, Some(Interface::Reaching(_)))
}

/// Whether every address is in a subnet of the link.
fn is_on_link(link: LinkName, status: &EipStatus, cluster: &Cluster) -> bool {
    let (Some(first), Some(last)) = (status.first, status.last) else { return false };
    let subnets = cluster.links.get(&link).map_or(&[][..], |link| &link.addresses);
    subnets.iter().any(|net| net.contains(&first) && net.contains(&last))
}

fn deleting(status: &EipStatus) -> String {
    let holders = status.used.iter();
    let holders: Vec<_> = holders
        .flat_map(|(address, holders)| holders.iter().map(move |holder| (address, holder)))
        .collect();
    let named = holders.iter().take(NAMED).map(|(address, holder)| format!("{holder} ({address})"));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match holders.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!(" and {more} more"),
        Some(_) | None => String::new(),
    };
    format!("goes when its last address is given back; held by {named}{more}")
}

fn finalizers_change(finalizers: impl Iterator<Item = String>) -> EipChange {
    let finalizers = Some(finalizers.collect());
    EipChange::Metadata(MetadataChange { finalizers, ..MetadataChange::default() })
}

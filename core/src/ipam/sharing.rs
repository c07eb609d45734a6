//! Who may hold one address together.
//!
//! An address is shared by consent: every sharer names it, and all are of one namespace, for a name
//! alone must not open another tenant's address. Whatever arrives for it must have one destination:
//! no two sharers have a port in common. And one node must be able to serve all: either every node
//! can, or the same pods are behind all of them.

use std::{cmp::Ordering, net::IpAddr};

use super::{Asker, Holding, Ipam, Refusal};
use crate::{EipName, Port, Service, ServiceName, TrafficPolicy, request::Request};

/// Why a Service may not share the address of another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unshareable {
    /// It is held of another Eip than the one it would be given of.
    OtherEip(EipName),
    /// The other is giving it back.
    Leaving,
    /// They are in different namespaces.
    Namespace,
    /// The one who asks does not name the address any more, the other does.
    NotNamed,
    /// Both have this port.
    Port(Port),
    /// One has the traffic policy `Local`, and they do not select the same pods.
    Selector,
}

impl Ipam {
    /// The older sharer that one who holds an address must give way to, and why; `None` if it may
    /// stay.
    ///
    /// Sharers are let in by age (creation, UID, name), each if it goes with all that were let in
    /// before: a set that once was legal loses its youngest offenders and nobody else.
    pub(crate) fn sharing_conflict(&self, asker: &Asker<'_>, holding: &Holding) -> Option<Refusal> {
        let address = holding.address;
        let others = self.sharers_of(holding).filter(|&name| name != asker.name);
        // Who is not known or leaves needs no regard: it has no part in what is answered.
        let others = others.filter_map(|name| Party::of(name, asker.services.get(name)?));
        let own = Party { name: asker.name, service: asker.service, asks: asks(asker.request) };
        let mut older: Vec<_> = others.filter(|other| other.age(&own) == Ordering::Less).collect();
        older.sort_by(Party::age);
        let mut admitted: Vec<Party<'_>> = Vec::new();
        for party in older {
            if admitted.iter().all(|other| party.beside(other, address).is_ok()) {
                admitted.push(party);
            }
        }
        admitted.iter().find_map(|other| own.beside(other, address).err())
    }

    /// Whether an asker may have an address beside those who hold it, if any.
    pub(super) fn check_sharing(
        &self,
        asker: &Asker<'_>,
        address: IpAddr,
        eip: &EipName,
    ) -> Result<(), Refusal> {
        let own = Party { name: asker.name, service: asker.service, asks: asks(asker.request) };
        for name in self.holders_of(address).filter(|&name| name != asker.name) {
            let refused = |why| Refusal::NotShareable { address, with: name.clone(), why };
            if let Some(owner) = self.owners.get(&address).filter(|&owner| owner != eip) {
                return Err(refused(Unshareable::OtherEip(owner.clone())));
            }
            let other = asker.services.get(name).and_then(|service| Party::of(name, service));
            let Some(other) = other else { return Err(refused(Unshareable::Leaving)) };
            own.beside(&other, address)?;
        }
        Ok(())
    }
}

/// One of those who would share.
struct Party<'a> {
    name: &'a ServiceName,
    service: &'a Service,
    /// The address it names.
    asks: Option<IpAddr>,
}

fn asks(request: &Request) -> Option<IpAddr> {
    request.asked_address()
}

impl<'a> Party<'a> {
    /// `None`: it asks for nothing any more.
    fn of(name: &'a ServiceName, service: &'a Service) -> Option<Self> {
        let request = Request::of(service)?;
        Some(Self { name, service, asks: asks(&request) })
    }

    fn age(&self, other: &Self) -> Ordering {
        let age =
            |party: &Self| (party.service.metadata.created, party.service.metadata.uid.clone());
        age(self).cmp(&age(other)).then_with(|| self.name.cmp(other.name))
    }

    /// Whether this one may have an address beside the other.
    fn beside(&self, other: &Self, address: IpAddr) -> Result<(), Refusal> {
        if other.asks != Some(address) {
            return Err(Refusal::AddressTaken { address, by: other.name.clone() });
        }
        let refused = |why| Err(Refusal::NotShareable { address, with: other.name.clone(), why });
        if self.asks != Some(address) {
            return refused(Unshareable::NotNamed);
        }
        if self.name.namespace() != other.name.namespace() {
            return refused(Unshareable::Namespace);
        }
        if let Some(port) = self.service.ports.intersection(&other.service.ports).next() {
            return refused(Unshareable::Port(port.clone()));
        }
        let cluster = |party: &Self| party.service.policy == TrafficPolicy::Cluster;
        let same_pods =
            self.service.selector == other.service.selector && !self.service.selector.is_empty();
        let one_node_serves_both = same_pods || cluster(self) && cluster(other);
        if !one_node_serves_both {
            return refused(Unshareable::Selector);
        }
        Ok(())
    }
}

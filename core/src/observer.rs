//! What a person is told who asks why a Service has the address that it has, or none.
//!
//! It is made of the same facts as decisions, and by the same rules, but decides nothing: whoever leads
//! has put on record what was decided. What is seen of the LAN, where that one is, is not known here; if
//! it stands in the way, that one has said so in the conditions.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use crate::{
    AddressRange, Condition, Eip, EipName, Family, Ingress, Input, NodeName, Service, ServiceName,
    TrafficPolicy, Whereabouts,
    cluster::Cluster,
    ipam, placement,
    request::{self, NotOurs, Request},
};

/// One that knows the facts and decides nothing.
#[derive(Clone, Debug)]
pub struct Observer<'a> {
    cluster: Cow<'a, Cluster>,
}

/// What is on record of a Service, in short.
#[derive(Clone, Debug)]
pub struct Announcement<'a> {
    /// The Service.
    pub service: &'a ServiceName,
    /// Whether it asks for an address, or why not.
    pub asks: Result<(), NotOurs>,
    /// The addresses that it holds, and of which Eip each is.
    pub held: Vec<(&'a EipName, IpAddr)>,
    /// Whether, and why not, it is answered.
    pub announced: Option<&'a Condition>,
    /// Whether somebody else claims an address of it.
    pub conflict: Option<&'a Condition>,
}

/// Why a Service has the addresses that it has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// What it asks for, or why it is none of Porter's.
    pub asks: Result<Asks, NotOurs>,
    /// Which nodes pass on what arrives for it.
    pub policy: TrafficPolicy,
    /// The addresses that are on record for it, in their order.
    pub held: Vec<Held>,
    /// The addresses that it shows.
    pub shown: Vec<Ingress>,
    /// The node on record, which is answered for it.
    pub node: Option<NodeName>,
    /// Whether, and why not, it is answered.
    pub announced: Option<Condition>,
    /// With what each address is answered that is.
    pub answered: Vec<Whereabouts>,
    /// Whether somebody else claims an address of it.
    pub conflict: Option<Condition>,
}

/// What a Service asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asks {
    /// The Eip that it names.
    pub eip: Option<EipName>,
    /// The address that it names, or the text that is none.
    pub address: Option<String>,
    /// Where it contradicts itself, and what counts.
    pub contradictions: Vec<String>,
}

/// An address that a Service holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// The address.
    pub address: IpAddr,
    /// The Eip that it is of.
    pub eip: EipName,
    /// `spec.interface` of that Eip.
    pub interface: Option<String>,
    /// The other Services that hold it.
    pub shared_with: Vec<ServiceName>,
    /// What speaks for each node and against it, by name.
    pub prospects: Vec<Prospect>,
}

/// What there is to be said of a node as the one to be answered for an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prospect {
    /// The node.
    pub node: NodeName,
    /// How many endpoints of the address's family are there that take traffic.
    pub endpoints: usize,
    /// Whether it may be answered.
    pub standing: Standing,
}

/// Whether a node may be answered, as far as the API server knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It may not: a clause that follows its name.
    Barred(&'static str),
    /// It has an endpoint, and nothing is said against it.
    Candidate,
    /// It has none, and the policy is `Local`.
    NoEndpoint,
    /// It has none, and passes on what arrives: it is taken if no candidate can be relied on.
    Reserve,
}

impl<'a> Observer<'a> {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self { cluster: Cow::Owned(Cluster::new()) }
    }

    /// One that knows what a replica knows.
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        Self { cluster: Cow::Borrowed(cluster) }
    }

    /// Takes in one fact about objects.
    pub fn handle_input(&mut self, input: Input) {
        self.cluster.to_mut().handle_input(input);
    }

    /// What is on record of the Services that ask for an address, or show traces of having had one, by
    /// name.
    pub fn announcements(&self) -> impl Iterator<Item = Announcement<'_>> {
        let mut held = BTreeMap::<_, Vec<_>>::new();
        for (eip, facts) in self.eips() {
            for (address, holders) in &facts.status.used {
                holders.iter().for_each(|it| held.entry(it).or_default().push((eip, *address)));
            }
        }
        let services = self.cluster.concerned().iter();
        services.filter_map(move |name| {
            let (service, facts) = self.cluster.services.entry(name)?;
            let held = held.remove(name).unwrap_or_default();
            let asks = self.cluster.read(facts).map(drop);
            let (announced, conflict) = (facts.announced.as_ref(), facts.conflict.as_ref());
            Some(Announcement { service, asks, held, announced, conflict })
        })
    }

    /// The Eips of layer2, by name.
    pub fn eips(&self) -> impl Iterator<Item = (&EipName, &Eip)> {
        self.cluster.eips.iter().filter(|(_, eip)| ipam::is_layer2(eip))
    }

    /// The Services that hold an address.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = &ServiceName> {
        let used = self.eips().filter_map(move |(_, eip)| eip.status.used.get(&address));
        used.flat_map(|holders| holders.iter())
    }

    /// The Eip that an address is of.
    pub fn pool(&self, address: IpAddr) -> Option<&EipName> {
        let has =
            |eip: &Eip| AddressRange::parse(&eip.address).is_ok_and(|it| it.contains(address));
        self.eips().find(|(_, eip)| has(eip)).map(|(name, _)| name)
    }

    /// The node that has an address for its own.
    pub fn owner(&self, address: IpAddr) -> Option<&NodeName> {
        self.cluster.owner(address)
    }

    /// Why a Service has the addresses that it has; `None` if it has nothing to do with Porter.
    pub fn explain(&self, name: &ServiceName) -> Option<Explanation> {
        let service = self.cluster.services.get(name)?;
        let asks = self.cluster.read(service).map(|request| asks(service, &request));
        let held = self.eips().flat_map(|(eip, facts)| {
            let of_it = facts.status.used.iter().filter(|(_, holders)| holders.contains(name));
            of_it.map(move |(address, holders)| Held {
                address: *address,
                eip: eip.clone(),
                interface: facts.interface.clone(),
                shared_with: holders.iter().filter(|holder| *holder != name).cloned().collect(),
                prospects: self.prospects(name, service.policy, Family::of(*address)),
            })
        });
        Some(Explanation {
            asks,
            policy: service.policy,
            held: held.collect(),
            shown: service.ingress.clone(),
            node: placement::record(&service.metadata.annotations),
            announced: service.announced.clone(),
            answered: service
                .announced
                .iter()
                .flat_map(|it| Whereabouts::told(&it.message))
                .collect(),
            conflict: service.conflict.clone(),
        })
    }

    fn prospects(
        &self,
        name: &ServiceName,
        policy: TrafficPolicy,
        family: Family,
    ) -> Vec<Prospect> {
        let mut takers = BTreeMap::<_, usize>::new();
        for taker in placement::takers(&self.cluster.endpoints.of(name, family)) {
            *takers.entry(taker.node.as_ref()).or_default() += 1;
        }
        let nodes = self.cluster.nodes.iter().map(|(node, facts)| {
            let endpoints = takers.get(&Some(node)).copied().unwrap_or_default();
            let standing = match (self.cluster.bar(facts), endpoints, policy) {
                (Some(obstacle), _, _) => Standing::Barred(obstacle.as_str()),
                (None, 1.., _) => Standing::Candidate,
                (None, 0, TrafficPolicy::Cluster) => Standing::Reserve,
                (None, 0, TrafficPolicy::Local) => Standing::NoEndpoint,
            };
            Prospect { node: node.clone(), endpoints, standing }
        });
        nodes.collect()
    }
}

impl Default for Observer<'_> {
    fn default() -> Self {
        Self::new()
    }
}

fn asks(service: &Service, request: &Request) -> Asks {
    let text = |address: &Result<IpAddr, String>| match address {
        Ok(address) => address.to_string(),
        Err(text) => text.clone(),
    };
    Asks {
        eip: request.eip.as_ref().map(|asked| asked.value.clone()),
        address: request.address.as_ref().map(|asked| text(&asked.value)),
        contradictions: request::contradictions(service),
    }
}

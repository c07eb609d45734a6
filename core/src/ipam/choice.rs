//! Which Eip and which address a Service gets.
//!
//! The address it names, else one of the Eip it names, else the one it shows already, else one of
//! the Eips that may serve its namespace: those bound to it, then the default one, then those bound
//! to none, by priority and name. An Eip that is full passes on to the next, so that a Service waits
//! only if none at all can serve it. An Eip bound to other namespaces gives only what is asked for by
//! name. Within an Eip it is the lowest free address.
//!
//! A name concerns the family of what it names: the other family of a dual-stack Service is chosen
//! as if nothing were named.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::{
    Crowd, Holding, Ipam, Named, PassedOver, Refusal, Standing,
    capacity::entry,
    pool::{Pool, Rank, Served, Terms},
};
use crate::{EipName, Family, Service, ServiceName, Texts, request::Request, store::Store};

/// A Service that wants an address, and what the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// Its name.
    pub(crate) name: &'a ServiceName,
    /// What is known of it.
    pub(crate) service: &'a Service,
    /// What it asks for.
    pub(crate) request: &'a Request,
    /// The labels of its namespace, if they are known.
    pub(crate) labels: Option<&'a Texts>,
    /// All Services: an address may be shared with any of them.
    pub(crate) services: &'a Store<ServiceName, Service>,
}

/// An Eip that may give addresses to an asker.
struct Source<'a> {
    rank: (Rank, i64, &'a EipName),
    served: &'a Served,
    pool: &'a Pool,
    /// Why it gives nothing new for now, if so.
    crowd: Option<&'a Crowd>,
}

impl Ipam {
    /// The families that a Service is to hold an address of: those it names. If it names none, the
    /// one that it holds an address of, or that what it names is of, or that the first Eip that can
    /// serve it has; IPv4 if none can.
    pub(crate) fn families(&self, asker: &Asker<'_>) -> SmallVec<[Family; 2]> {
        if !asker.request.families.is_empty() {
            return asker.request.families.iter().copied().collect();
        }
        let held = self.holdings_of(asker.name).next().map(|holding| Family::of(holding.address));
        let address = || asker.request.asked_address().map(Family::of);
        let eip = || self.range(&asker.request.eip.as_ref()?.value).map(|range| range.family());
        let shown = || asker.service.shown().find(|&ip| self.find(asker, ip).is_some());
        let chosen = || {
            let both = Family::ALL.into_iter();
            let options = both.flat_map(|family| self.options(asker, family));
            let can = options.filter(|option| option.gives(asker).is_some());
            can.min_by_key(|option| option.rank).map(|option| option.served.family())
        };
        let family = held.or_else(address).or_else(eip).or_else(|| shown().map(Family::of));
        SmallVec::from_slice(&[family.or_else(chosen).unwrap_or(Family::V4)])
    }

    /// Whether a holding is what a Service asks for, so that it may keep it. Text that is no address
    /// asks for nothing that could be given instead. Whether it may share is another question:
    /// [`Self::sharing_conflict`].
    pub(crate) fn meets(&self, asker: &Asker<'_>, holding: &Holding) -> bool {
        let family = Family::of(holding.address);
        let is_layer2 = |standing: &Standing| *standing != Standing::NotLayer2;
        if !self.standing(&holding.eip).is_some_and(is_layer2) || !asker.request.wants(family) {
            return false;
        }
        let asked = asker.request.asked_address();
        let eip = asker.request.eip.as_ref().map(|asked| &asked.value);
        let elsewhere = |other: Family| other != family && asker.request.families.contains(&other);
        let address_met =
            asked.is_none_or(|asked| asked == holding.address || elsewhere(Family::of(asked)));
        let eip_met = eip.is_none_or(|eip| {
            let range = self.range(eip);
            *eip == holding.eip || range.is_some_and(|range| elsewhere(range.family()))
        });
        address_met && eip_met
    }

    /// What an asker that holds nothing of a family would get of it.
    pub(super) fn choose(&self, asker: &Asker<'_>, family: Family) -> Result<Holding, Refusal> {
        let eip = self.named_eip(asker, family)?;
        if let Some(address) = named_address(asker, family)? {
            return self.give_named(asker, address, eip);
        }
        let shown = asker.service.shown().filter(|&ip| Family::of(ip) == family);
        if let Some(holding) = shown.filter_map(|ip| self.find(asker, ip)).next() {
            return Ok(holding);
        }
        match eip {
            Some(eip) => {
                let option = self.open(eip, Rank::Bound)?;
                option.holding(asker).ok_or_else(|| self.lacking(&[option]))
            }
            None => self.give_any(asker, family),
        }
    }

    /// An address that an asker shows as one that it may have, if it asks for no other.
    pub(super) fn find(&self, asker: &Asker<'_>, address: IpAddr) -> Option<Holding> {
        let family = Family::of(address);
        if !asker.request.wants(family) {
            return None;
        }
        let named = self.named_eip(asker, family).ok()?;
        if let Some(asked) = named_address(asker, family).ok()? {
            // It is shown, so that a disabled Eip gives nothing new.
            return (asked == address).then(|| self.give_named(asker, address, named).ok())?;
        }
        let eip = self.server_of(address)?;
        let pool = &self.pools[eip];
        let terms = pool.terms.as_ref()?;
        let may = match named {
            Some(named) => named == eip,
            None => terms.rank(asker.name.namespace(), asker.labels).is_some(),
        };
        let free = pool.served.as_ref()?.is_free(address);
        let fits = pool.record.fits(entry(address, asker.name));
        (may && free && fits && !terms.deleting).then(|| Holding { eip: eip.clone(), address })
    }

    /// The Eip that an asker names, if that concerns this family.
    fn named_eip<'a>(
        &self,
        asker: &'a Asker<'_>,
        family: Family,
    ) -> Result<Option<&'a EipName>, Refusal> {
        let Some(asked) = &asker.request.eip else { return Ok(None) };
        let eip = &asked.value;
        let Some(terms) = self.pools.get(eip).and_then(|pool| pool.terms.as_ref()) else {
            return Err(Refusal::NoSuchEip { eip: eip.clone(), field: asked.field });
        };
        let Some(range) = terms.range.filter(|_| terms.alone != Standing::NotLayer2) else {
            return Err(self.closed(eip, terms).expect("an Eip without a range is not served"));
        };
        match range.family() {
            own if own == family => Ok(Some(eip)),
            other if asker.request.families.contains(&other) => Ok(None),
            other => {
                let named = Named::Eip(eip.clone(), other);
                Err(Refusal::FamilyMismatch { named, field: asked.field, family })
            }
        }
    }

    /// An address asked for by name.
    fn give_named(
        &self,
        asker: &Asker<'_>,
        address: IpAddr,
        eip: Option<&EipName>,
    ) -> Result<Holding, Refusal> {
        if let Some(eip) = eip
            && let Some(range) = self.range(eip)
            && !range.contains(address)
        {
            return Err(Refusal::AddressOutsideEip { address, eip: eip.clone(), range });
        }
        let eip = eip.or_else(|| self.server_of(address)).or_else(|| self.unserved_of(address));
        let eip = eip.ok_or(Refusal::AddressInNoEip(address))?;
        let shows = asker.service.shown().any(|shown| shown == address);
        let option = self.open(eip, Rank::Bound).or_else(|refusal| {
            // What is shown already is nothing new.
            let disabled = matches!(refusal, Refusal::EipDisabled(_));
            let option = self.option(eip, Rank::Bound).filter(|_| disabled && shows);
            option.ok_or(refusal)
        })?;
        if self.nodes.contains(&address) {
            return Err(Refusal::AddressIsNodes(address));
        }
        if let Some(who) = self.aside.get(&address).filter(|_| self.owner(address).is_none()) {
            return Err(Refusal::AddressInUse { address, who: who.clone() });
        }
        if option.crowd.is_some() && !shows && self.owner(address).is_none() {
            return Err(self.lacking(&[option]));
        }
        self.check_sharing(asker, address, eip)?;
        if !option.pool.record.fits(entry(address, asker.name)) {
            return Err(option.overweight());
        }
        Ok(Holding { eip: eip.clone(), address })
    }

    /// An address of the first Eip that may serve the namespace and has one.
    fn give_any(&self, asker: &Asker<'_>, family: Family) -> Result<Holding, Refusal> {
        let options: Vec<_> = self.options(asker, family).collect();
        let can = options.iter().filter(|option| option.gives(asker).is_some());
        let best = can.min_by_key(|option| option.rank);
        if let Some(holding) = best.and_then(|option| option.holding(asker)) {
            return Ok(holding);
        }
        if !options.is_empty() {
            return Err(self.lacking(&options));
        }
        Err(Refusal::NoEip {
            namespace: asker.name.namespace().into(),
            family,
            passed_over: self.passed_over(asker, family),
        })
    }

    /// The Eips that hand out addresses of a family to a namespace without being named.
    fn options<'a>(
        &'a self,
        asker: &'a Asker<'_>,
        family: Family,
    ) -> impl Iterator<Item = Source<'a>> {
        self.pools.iter().filter_map(move |(eip, pool)| {
            let terms = pool.terms.as_ref().filter(|terms| !terms.disabled && !terms.deleting)?;
            let served = pool.served.as_ref().filter(|served| served.family() == family)?;
            let (rank, priority) = terms.rank(asker.name.namespace(), asker.labels)?;
            let crowd = self.crowd(eip, served);
            Some(Source { rank: (rank, priority, eip), served, pool, crowd })
        })
    }

    /// Why each layer2 Eip does not serve a namespace, where none does.
    fn passed_over(&self, asker: &Asker<'_>, family: Family) -> Vec<(EipName, PassedOver)> {
        let layer2 = self.pools.iter().filter_map(|(eip, pool)| {
            let terms = pool.terms.as_ref()?;
            let why = match self.closed(eip, terms) {
                Some(Refusal::EipNotLayer2 { .. }) => return None,
                Some(Refusal::EipDisabled(_)) => PassedOver::Disabled,
                Some(Refusal::EipDeleting(_)) => PassedOver::Deleting,
                Some(_) => PassedOver::NotServed(pool.standing.clone()?),
                None if pool.range()?.family() != family => PassedOver::OtherFamily(family.other()),
                None => {
                    debug_assert!(terms.rank(asker.name.namespace(), asker.labels).is_none());
                    PassedOver::BoundElsewhere
                }
            };
            Some((eip.clone(), why))
        });
        layer2.collect()
    }

    /// An Eip that hands out addresses, or why it does not.
    fn open<'a>(&'a self, eip: &'a EipName, rank: Rank) -> Result<Source<'a>, Refusal> {
        let terms = self.pools.get(eip).and_then(|pool| pool.terms.as_ref());
        let terms = terms.expect("the Eip was found before");
        match self.closed(eip, terms) {
            Some(refusal) => Err(refusal),
            None => Ok(self.option(eip, rank).expect("an Eip that is open is served")),
        }
    }

    fn option<'a>(&'a self, eip: &'a EipName, rank: Rank) -> Option<Source<'a>> {
        let pool = self.pools.get(eip)?;
        let served = pool.served.as_ref()?;
        Some(Source { rank: (rank, 0, eip), served, pool, crowd: self.crowd(eip, served) })
    }

    fn crowd(&self, eip: &EipName, served: &Served) -> Option<&Crowd> {
        self.crowds.get(eip).filter(|crowd| crowd.range == served.range)
    }

    /// Why an Eip hands out nothing, if so.
    fn closed(&self, eip: &EipName, terms: &Terms) -> Option<Refusal> {
        match self.standing(eip)? {
            Standing::Served if terms.deleting => Some(Refusal::EipDeleting(eip.clone())),
            Standing::Served if terms.disabled => Some(Refusal::EipDisabled(eip.clone())),
            Standing::Served => None,
            Standing::NotLayer2 => {
                let protocol = terms.protocol.clone();
                Some(Refusal::EipNotLayer2 { eip: eip.clone(), protocol })
            }
            standing @ (Standing::Malformed(_)
            | Standing::NoInterface
            | Standing::BadInterface(_)
            | Standing::Overlaps { .. }) => {
                Some(Refusal::EipNotServed { eip: eip.clone(), standing: standing.clone() })
            }
        }
    }

    /// Why Eips that may serve an asker have no address for it.
    fn lacking(&self, options: &[Source<'_>]) -> Refusal {
        let overweight =
            options.iter().find(|it| it.crowd.is_none() && it.served.lowest().is_some());
        if let Some(option) = overweight {
            return option.overweight();
        }
        let mut eips: Vec<_> =
            options.iter().map(|option| (option.rank, option.served.range)).collect();
        eips.sort_by_key(|(rank, _)| *rank);
        let eips: Vec<_> = eips.into_iter().map(|(rank, range)| (rank.2.clone(), range)).collect();
        let crowds = options.iter().filter_map(|option| option.crowd);
        let crowds = crowds.map(|crowd| (crowd.address, &crowd.who));
        let aside = eips.iter().flat_map(|(_, range)| self.aside(*range));
        let mut aside = aside.chain(crowds);
        match aside.next() {
            None => Refusal::Exhausted(eips),
            Some((address, who)) => {
                let (who, others) = (who.clone(), aside.count());
                Refusal::RestInUse { eips, address, who, others }
            }
        }
    }

    /// An Eip that is not served and has an address: layer2 before others.
    fn unserved_of(&self, address: IpAddr) -> Option<&EipName> {
        let has = |pool: &Pool| pool.range().is_some_and(|range| range.contains(address));
        let having = self.pools.iter().filter(|(_, pool)| has(pool));
        let first = having.min_by_key(|(_, pool)| pool.standing == Some(Standing::NotLayer2));
        first.map(|(eip, _)| eip)
    }
}

impl Source<'_> {
    /// The lowest free address, if there is one and room on record.
    fn gives(&self, asker: &Asker<'_>) -> Option<IpAddr> {
        let lowest = self.served.lowest().filter(|_| self.crowd.is_none())?;
        self.pool.record.fits(entry(lowest, asker.name)).then_some(lowest)
    }

    fn holding(&self, asker: &Asker<'_>) -> Option<Holding> {
        self.gives(asker).map(|address| Holding { eip: self.rank.2.clone(), address })
    }

    fn overweight(&self) -> Refusal {
        let (eip, services) = (self.rank.2.clone(), self.pool.record.services);
        Refusal::TooManyRecorded { eip, services }
    }
}

/// The address that an asker names, if that concerns this family.
fn named_address(asker: &Asker<'_>, family: Family) -> Result<Option<IpAddr>, Refusal> {
    let Some(asked) = &asker.request.address else { return Ok(None) };
    match &asked.value {
        Err(text) => Err(Refusal::MalformedAddress { text: text.clone(), field: asked.field }),
        Ok(address) if Family::of(*address) == family => Ok(Some(*address)),
        Ok(address) if asker.request.families.contains(&Family::of(*address)) => Ok(None),
        Ok(address) => {
            let named = Named::Address(*address);
            Err(Refusal::FamilyMismatch { named, field: asked.field, family })
        }
    }
}

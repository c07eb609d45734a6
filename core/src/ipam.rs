//! Who holds which address.
//!
//! `Eip.status.used` is the only store of it. A leader reads it once when it starts to lead, and
//! from then on is the only one who changes it; what it has decided but not written yet is here.
//!
//! An address has one owner, the Eip of which it is held, and is never given by another, whatever
//! becomes of the ranges. What is held stays held until it is released: an Eip that is edited,
//! disabled, overlapped or gone changes only what is given next. Each step costs O(log n) in what is
//! held, whatever the size and the fill of a pool, and O(n) in the number of Eips.

mod capacity;
mod choice;
mod free;
#[cfg(test)]
mod laws;
mod pool;
mod refusal;
mod sharing;
mod standing;
#[cfg(test)]
mod stories;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use smallvec::SmallVec;

pub(crate) use self::{
    capacity::Record,
    choice::Asker,
    refusal::{Named, PassedOver, Refusal},
    sharing::Unshareable,
    standing::{Standing, is_layer2},
};
use self::{
    capacity::entry,
    pool::{Pool, Served, Terms},
};
use crate::{AddressRange, Eip, EipName, Family, Few, Service, ServiceName, Used, store::Store};

/// The addresses of all Eips and who holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ipam {
    /// Every Eip, of every protocol, and those gone of which something is still held.
    pools: BTreeMap<EipName, Pool>,
    /// The served Eip by the first address of its range: these ranges do not overlap.
    served: BTreeMap<IpAddr, EipName>,
    /// The Eip that each held address is held of.
    owners: BTreeMap<IpAddr, EipName>,
    /// What each Service holds, by [`Family`].
    held: BTreeMap<ServiceName, [Option<Holding>; 2]>,
    /// The addresses of nodes, which are never given.
    nodes: BTreeSet<IpAddr>,
    /// Addresses that somebody else has, which are not given for now, and who has them.
    aside: BTreeMap<IpAddr, Arc<str>>,
    /// Eips of which somebody has more addresses than can be set aside.
    crowds: BTreeMap<EipName, Crowd>,
}

/// An address that a Service holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holding {
    pub(crate) eip: EipName,
    pub(crate) address: IpAddr,
}

/// What one Service holds: an address of each family at most.
pub(crate) type Held = SmallVec<[Holding; 2]>;

/// An Eip that gives nothing new for now: somebody has more of its addresses than can be set aside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Crowd {
    /// What its range was when that was found; another range may be better.
    pub(crate) range: AddressRange,
    /// The last address of it that somebody was found to have.
    pub(crate) address: IpAddr,
    /// Who has that.
    pub(crate) who: Arc<str>,
}

impl Ipam {
    /// Takes in what is recorded: the state in which a leader starts.
    ///
    /// Records are taken as they are: who may not share an address is found by
    /// [`Self::sharing_conflict`]. Of several records of one Service in one family the one that it
    /// shows counts, else the first of the oldest Eip; of several Eips that record one address, the
    /// one whose holder shows it, else the oldest. What does not count is not in [`Self::used`].
    pub(crate) fn restore<'a>(
        eips: impl Iterator<Item = (&'a EipName, &'a Eip)>,
        services: &Store<ServiceName, Service>,
        nodes: BTreeSet<IpAddr>,
    ) -> Self {
        let mut ipam = Self { nodes, ..Self::default() };
        let mut recorded = BTreeMap::new();
        for (name, eip) in eips {
            let terms = Terms::of(name, eip);
            if is_layer2(eip) {
                recorded.insert(terms.age.clone(), (name, &eip.status.used));
            }
            ipam.pools.entry(name.clone()).or_default().terms = Some(terms);
        }
        ipam.settle(ipam.pools.keys().cloned().collect());
        let shows = |service: &ServiceName, address: IpAddr| {
            services.get(service).is_some_and(|service| service.shown().any(|ip| ip == address))
        };
        for shown in [true, false] {
            for (eip, used) in recorded.values() {
                for (&address, holders) in *used {
                    for service in holders.iter().filter(|name| shows(name, address) == shown) {
                        ipam.hold(service, Holding { eip: (*eip).clone(), address });
                    }
                }
            }
        }
        ipam
    }

    /// Takes in what an Eip is now. Its `status` is not read: what is held is known here.
    pub(crate) fn handle_eip(&mut self, name: &EipName, eip: Option<&Eip>) {
        let terms = eip.map(|eip| Terms::of(name, eip));
        let pool = self.pools.entry(name.clone()).or_default();
        if terms == pool.terms {
            self.forget(name);
            return; // Its status changed, and nothing else.
        }
        let before = std::mem::replace(&mut pool.terms, terms).and_then(|terms| terms.range);
        let touched: Vec<_> = before.into_iter().chain(self.range(name)).collect();
        let others = self.pools.iter().filter(|(_, pool)| {
            pool.range().is_some_and(|range| touched.iter().any(|other| range.overlaps(other)))
        });
        let mut affected: BTreeSet<_> = others.map(|(other, _)| other.clone()).collect();
        affected.insert(name.clone());
        self.settle(affected);
        self.forget(name);
    }

    /// Takes in all addresses of nodes: they are not given any more, and what was is held on.
    pub(crate) fn handle_node_addresses(&mut self, nodes: BTreeSet<IpAddr>) {
        let before = std::mem::replace(&mut self.nodes, nodes);
        let (come, gone): (Vec<_>, Vec<_>) =
            self.nodes.symmetric_difference(&before).partition(|it| self.nodes.contains(*it));
        for address in come {
            if let Some(served) = self.served_mut(address) {
                served.take(address);
            }
        }
        for address in gone {
            self.give_back(address);
        }
    }

    /// Takes in which addresses somebody else has, and who: they are not given, and what is held is held
    /// on. And of which Eips somebody has too many.
    pub(crate) fn handle_aside(
        &mut self,
        aside: &BTreeMap<IpAddr, Arc<str>>,
        crowds: &BTreeMap<EipName, Crowd>,
    ) {
        self.crowds.clone_from(crowds);
        let before = std::mem::replace(&mut self.aside, aside.clone());
        for &address in aside.keys().filter(|address| !before.contains_key(address)) {
            if let Some(served) = self.served_mut(address) {
                served.take(address);
            }
        }
        for &address in before.keys().filter(|address| !aside.contains_key(address)) {
            self.give_back(address);
        }
    }

    /// Takes in that somebody else has one more address, and who.
    pub(crate) fn set_aside(&mut self, address: IpAddr, who: Arc<str>) {
        self.aside.insert(address, who);
        if let Some(served) = self.served_mut(address) {
            served.take(address);
        }
    }

    /// The addresses within a range that somebody else has, and who.
    pub(crate) fn aside(&self, range: AddressRange) -> impl Iterator<Item = (IpAddr, &Arc<str>)> {
        let aside = self.aside.range(range.first()..=range.last());
        aside.map(|(address, who)| (*address, who))
    }

    /// Every Eip, and those gone of which something is held.
    pub(crate) fn eips(&self) -> impl Iterator<Item = &EipName> {
        self.pools.keys()
    }

    /// Everybody who holds an address.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &ServiceName> {
        self.held.keys()
    }

    /// Everything that is held. A shared address is there once for each sharer.
    pub(crate) fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.held.values().flatten().flatten()
    }

    /// What a Service holds, IPv4 first.
    pub(crate) fn holdings_of<'a>(
        &'a self,
        service: &ServiceName,
    ) -> impl Iterator<Item = &'a Holding> + use<'a> {
        self.held.get(service).into_iter().flatten().flatten()
    }

    /// What a Service holds of one family.
    pub(crate) fn holding(&self, service: &ServiceName, family: Family) -> Option<&Holding> {
        self.held.get(service)?[family as usize].as_ref()
    }

    /// Who holds an address.
    pub(crate) fn holders_of(&self, address: IpAddr) -> impl Iterator<Item = &ServiceName> {
        let eip = self.owners.get(&address);
        eip.and_then(|eip| self.used(eip).get(&address)).into_iter().flatten()
    }

    /// Who holds what is held: those who share it.
    pub(crate) fn sharers_of(
        &self,
        Holding { eip, address }: &Holding,
    ) -> impl ExactSizeIterator<Item = &ServiceName> {
        self.used(eip).get(address).map(Few::iter).unwrap_or_default()
    }

    /// Whether several Services hold what is held.
    pub(crate) fn is_shared(&self, holding: &Holding) -> bool {
        self.sharers_of(holding).len() > 1
    }

    /// The Eip of which an address is held.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&EipName> {
        self.owners.get(&address)
    }

    /// Whether an address is one of a layer2 Eip, held or not: nobody else shows it.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        let has = |pool: &Pool| {
            let ours = pool.standing.as_ref().is_some_and(|it| *it != Standing::NotLayer2);
            ours && pool.range().is_some_and(|range| range.contains(address))
        };
        self.owners.contains_key(&address) || self.pools.values().any(has)
    }

    /// Which addresses of an Eip are held, and by whom.
    pub(crate) fn used(&self, eip: &EipName) -> &Used {
        static NONE: Used = Used::new();
        self.pools.get(eip).map_or(&NONE, |pool| &pool.used)
    }

    /// What the holders of an Eip weigh in its status.
    pub(crate) fn record(&self, eip: &EipName) -> Record {
        self.pools.get(eip).map(|pool| pool.record).unwrap_or_default()
    }

    /// The range of an Eip, whether it is served or not.
    pub(crate) fn range(&self, eip: &EipName) -> Option<AddressRange> {
        self.pools.get(eip)?.range()
    }

    /// Whether an Eip is served, and if not, why; `None` if there is no such Eip.
    pub(crate) fn standing(&self, eip: &EipName) -> Option<&Standing> {
        self.pools.get(eip)?.standing.as_ref()
    }

    /// Which default Eip of its family comes before this one, if this one is a default, too.
    pub(crate) fn default_before(&self, eip: &EipName) -> Option<&EipName> {
        let default = |pool: &Pool| pool.terms.as_ref()?.place_as_default();
        let ours = default(self.pools.get(eip)?)?;
        let family = self.range(eip)?.family();
        let of_family = |pool: &Pool| pool.served.as_ref().is_some_and(|it| it.family() == family);
        let others = self.pools.iter().filter(|(other, pool)| *other != eip && of_family(pool));
        let others = others.filter_map(|(other, pool)| Some((default(pool)?, other)));
        others.min().filter(|first| *first < (ours, eip)).map(|(_, other)| other)
    }

    /// Whether any Service holds an address of the Eip.
    pub(crate) fn in_use(&self, eip: &EipName) -> bool {
        !self.used(eip).is_empty()
    }

    /// Gives a Service an address of a family; see [`choice`] for which. What it holds of that family
    /// already is returned as it is: release it first if it is not what the Service asks for.
    pub(crate) fn allocate(
        &mut self,
        asker: &Asker<'_>,
        family: Family,
    ) -> Result<Holding, Refusal> {
        if let Some(holding) = self.holding(asker.name, family) {
            return Ok(holding.clone());
        }
        let holding = self.choose(asker, family)?;
        self.hold(asker.name, holding.clone());
        Ok(holding)
    }

    /// Gives a Service an address that it shows to the world, if it asks for no other, holds none of
    /// the family and may have that one. Says whether it did.
    pub(crate) fn take_back(&mut self, asker: &Asker<'_>, address: IpAddr) -> bool {
        if self.holding(asker.name, Family::of(address)).is_some() {
            return false;
        }
        let holding = self.find(asker, address);
        holding.is_some_and(|holding| self.hold(asker.name, holding))
    }

    /// Frees what a Service holds of a family. Returns the Eip whose status has to say so.
    pub(crate) fn release(&mut self, service: &ServiceName, family: Family) -> Option<EipName> {
        let held = self.held.get_mut(service)?;
        let Holding { eip, address } = held[family as usize].take()?;
        if held.iter().all(Option::is_none) {
            self.held.remove(service);
        }
        let pool = self.pools.get_mut(&eip).expect("whoever holds an address holds it of a pool");
        let holders = pool.used.get_mut(&address).expect("a held address is used");
        holders.remove(service);
        pool.record.remove(entry(address, service));
        if holders.is_empty() {
            pool.used.remove(&address);
            self.owners.remove(&address);
            self.give_back(address);
        }
        self.forget(&eip);
        Some(eip)
    }

    /// Puts a holding on record, unless the Service has one of the family already, or the address is
    /// held of another Eip. Says whether it did.
    fn hold(&mut self, service: &ServiceName, holding: Holding) -> bool {
        let address = holding.address;
        let family = Family::of(address);
        let elsewhere = self.owners.get(&address).is_some_and(|owner| *owner != holding.eip);
        if elsewhere || self.holding(service, family).is_some() {
            return false;
        }
        let pool = self.pools.get_mut(&holding.eip).expect("an address is taken from a pool");
        pool.used.entry(address).or_default().insert(service.clone());
        pool.record.add(entry(address, service));
        self.owners.insert(address, holding.eip.clone());
        if let Some(served) = self.served_mut(address) {
            served.take(address);
        }
        self.held.entry(service.clone()).or_default()[family as usize] = Some(holding);
        true
    }

    /// Makes an address free, unless it is a node's, somebody else's or held.
    fn give_back(&mut self, address: IpAddr) {
        let taken = self.nodes.contains(&address) || self.aside.contains_key(&address);
        if taken || self.owners.contains_key(&address) {
            return;
        }
        if let Some(served) = self.served_mut(address) {
            served.give_back(address);
        }
    }

    /// The served Eip whose range an address is in.
    fn server_of(&self, address: IpAddr) -> Option<&EipName> {
        let (_, eip) = self.served.range(..=address).next_back()?;
        let range = self.pools[eip].served.as_ref()?.range;
        range.contains(address).then_some(eip)
    }

    fn served_mut(&mut self, address: IpAddr) -> Option<&mut Served> {
        let eip = self.server_of(address)?.clone();
        self.pools.get_mut(&eip)?.served.as_mut()
    }

    /// Brings the standing of some Eips, and what they hand out, in line with what they all say.
    fn settle(&mut self, names: BTreeSet<EipName>) {
        let judged: Vec<_> = names.iter().map(|name| (name, self.judge(name))).collect();
        for (name, judged) in &judged {
            let pool = self.pools.get_mut(*name).expect("it was just judged");
            let range = pool.range().filter(|_| *judged == Some(Standing::Served));
            pool.standing.clone_from(judged);
            if let Some(served) = pool.served.take_if(|served| Some(served.range) != range) {
                self.served.remove(&served.range.first());
            }
        }
        // What one Eip gives up another may take up, so this comes after all have given up.
        for (name, _) in judged.into_iter().filter(|(_, judged)| *judged == Some(Standing::Served))
        {
            let pool = self.pools.get_mut(name).expect("it was just judged");
            if let (None, Some(range)) = (&pool.served, pool.range()) {
                let mut served = Served::new(range);
                let held = self.owners.range(range.first()..=range.last()).map(|(held, _)| *held);
                let nodes = self.nodes.range(range.first()..=range.last()).copied();
                let aside = self.aside.range(range.first()..=range.last()).map(|(it, _)| *it);
                held.chain(nodes).chain(aside).for_each(|taken| served.take(taken));
                pool.served = Some(served);
                self.served.insert(range.first(), name.clone());
            }
        }
    }

    /// The standing of an Eip among all others.
    fn judge(&self, name: &EipName) -> Option<Standing> {
        let own = self.pools.get(name)?.terms.as_ref()?;
        let alone = own.alone.clone();
        let Some(ours) = own.range.filter(|_| alone == Standing::Served) else {
            return Some(alone);
        };
        let others = self.pools.values().filter_map(|pool| pool.terms.as_ref());
        let older = others.filter(|other| other.age < own.age);
        let older = older.filter_map(|other| Some((other, other.range?)));
        let elders = older.filter(|(_, theirs)| theirs.overlaps(&ours));
        let oldest = elders.min_by(|(a, _), (b, _)| a.age.cmp(&b.age));
        Some(match oldest {
            Some((elder, theirs)) => Standing::Overlaps { with: elder.age.2.clone(), theirs, ours },
            None => alone,
        })
    }

    /// Drops a pool whose Eip is gone once nothing of it is held.
    fn forget(&mut self, name: &EipName) {
        if self.pools.get(name).is_some_and(|pool| pool.terms.is_none() && pool.used.is_empty()) {
            self.pools.remove(name);
        }
    }
}

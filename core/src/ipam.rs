//! Who holds which address.
//!
//! `Eip.status.used` is the only store of it. A leader reads it once when it starts to lead, and
//! from then on is the only one who changes it; what it has decided but not written yet is here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{AddressRange, Eip, EipName, LinkName, ServiceName, keys, request::Request};

/// The addresses of all layer2 Eips and who holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ipam {
    pools: BTreeMap<EipName, Pool>,
    held: BTreeMap<ServiceName, Holding>,
}

/// An address that a Service holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holding {
    pub(crate) eip: EipName,
    pub(crate) address: IpAddr,
}

#[derive(Clone, Debug)]
struct Pool {
    /// `None`: the address of the Eip is malformed, or the Eip is gone.
    range: Option<AddressRange>,
    /// Whether new addresses are handed out.
    open: bool,
    is_default: bool,
    used: BTreeMap<IpAddr, BTreeSet<ServiceName>>,
    /// No address below this one is free.
    free_from: Option<IpAddr>,
}

/// Whether an Eip is one of those that this project serves.
pub(crate) fn is_layer2(eip: &Eip) -> bool {
    eip.protocol.as_deref() == Some(keys::LAYER2_PROTOCOL)
}

/// The link that an Eip is served on.
pub(crate) fn link_of(eip: &Eip) -> Option<LinkName> {
    eip.interface.as_deref().and_then(LinkName::new)
}

impl Ipam {
    /// Takes in what is recorded: the state in which a leader starts.
    pub(crate) fn restore<'a>(eips: impl Iterator<Item = (&'a EipName, &'a Eip)>) -> Self {
        let mut ipam = Self::default();
        for (name, eip) in eips.filter(|(_, eip)| is_layer2(eip)) {
            ipam.handle_eip(name, Some(eip));
            for (&address, services) in &eip.status.used {
                for service in services {
                    ipam.hold(service, Holding { eip: name.clone(), address });
                }
            }
        }
        ipam
    }

    /// Everybody who holds an address.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &ServiceName> {
        self.held.keys()
    }

    /// Takes in what an Eip is now. Its `status` is not read: what is held is known here.
    pub(crate) fn handle_eip(&mut self, name: &EipName, eip: Option<&Eip>) {
        let Some(eip) = eip.filter(|eip| is_layer2(eip)) else {
            if let Some(pool) = self.pools.get_mut(name) {
                pool.range = None;
                pool.open = false;
            }
            return;
        };
        let range = AddressRange::parse(&eip.address).ok();
        let default = keys::DEFAULT_EIP.find(&eip.metadata.annotations);
        let used = self.pools.remove(name).map(|pool| pool.used).unwrap_or_default();
        let pool = Pool {
            range,
            open: !eip.disable && !eip.metadata.deleting && link_of(eip).is_some(),
            is_default: default.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")),
            used,
            free_from: range.map(|range| range.first()),
        };
        self.pools.insert(name.clone(), pool);
    }

    /// Every address that is held.
    pub(crate) fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.held.values()
    }

    /// What `service` holds.
    pub(crate) fn holding(&self, service: &ServiceName) -> Option<&Holding> {
        self.held.get(service)
    }

    /// Who holds an address, and which, of one Eip.
    pub(crate) fn used(&self, eip: &EipName) -> BTreeMap<IpAddr, BTreeSet<ServiceName>> {
        self.pools.get(eip).map(|pool| pool.used.clone()).unwrap_or_default()
    }

    /// The range of an Eip.
    pub(crate) fn range(&self, eip: &EipName) -> Option<AddressRange> {
        self.pools.get(eip)?.range
    }

    /// Whether any Service holds an address of the Eip.
    pub(crate) fn in_use(&self, eip: &EipName) -> bool {
        self.pools.get(eip).is_some_and(|pool| !pool.used.is_empty())
    }

    /// Gives `service` an address that it asks for: `shown`, the one it already shows to the world
    /// if that is free, else the lowest free one. `None` if there is none.
    ///
    /// Eips are tried in the order of [`Self::choices`].
    pub(crate) fn allocate(
        &mut self,
        service: &ServiceName,
        request: &Request,
        shown: Option<IpAddr>,
    ) -> Option<&Holding> {
        let asked = match &request.address {
            Some(Ok(address)) => Some(*address),
            Some(Err(_)) => return None,
            None => None,
        };
        let wanted = asked.or(shown).and_then(|address| self.find(request, address));
        let holding = match asked {
            Some(_) => wanted?,
            None => wanted.or_else(|| self.lowest(request))?,
        };
        self.hold(service, holding);
        self.held.get(service)
    }

    /// Gives `service` the address that it shows to the world, if it asks for no other and that one
    /// is free.
    pub(crate) fn take_back(&mut self, service: &ServiceName, request: &Request, shown: IpAddr) {
        if let Some(holding) = self.find(request, shown)
            && request.is_met_by(&holding.eip, shown)
        {
            self.hold(service, holding);
        }
    }

    /// An address as one of an Eip that may serve a request, if it is free.
    fn find(&self, request: &Request, address: IpAddr) -> Option<Holding> {
        let mut choices = self.choices(request).into_iter();
        let eip = choices.find(|eip| self.pools[eip].has(address))?;
        (!self.is_used(address)).then_some(Holding { eip, address })
    }

    /// The lowest free address of the first Eip that may serve a request and has one.
    fn lowest(&self, request: &Request) -> Option<Holding> {
        self.choices(request).into_iter().find_map(|eip| {
            let address = self.lowest_free(&eip)?;
            Some(Holding { eip, address })
        })
    }

    /// Frees what `service` holds. Returns the Eip whose status has to say so.
    pub(crate) fn release(&mut self, service: &ServiceName) -> Option<EipName> {
        let Holding { eip, address } = self.held.remove(service)?;
        let pool = self.pools.get_mut(&eip).expect("whoever holds an address holds it in a pool");
        let holders = pool.used.get_mut(&address).expect("a held address is used");
        holders.remove(service);
        if holders.is_empty() {
            pool.used.remove(&address);
            if pool.range.is_some_and(|range| range.contains(address)) {
                pool.free_from = pool.free_from.map_or(Some(address), |low| Some(low.min(address)));
            }
        }
        Some(eip)
    }

    /// The Eips that may serve a request, in this order: the default Eip, then by name.
    fn choices(&self, request: &Request) -> Vec<EipName> {
        let named = |eip: &EipName| request.eip.as_ref().is_none_or(|named| named == eip);
        let open = self.pools.iter().filter(|(eip, pool)| pool.open && named(eip));
        let mut choices: Vec<_> = open.map(|(eip, pool)| (!pool.is_default, eip.clone())).collect();
        choices.sort();
        choices.into_iter().map(|(_, eip)| eip).collect()
    }

    /// Whether an address is held, of whichever Eip: their ranges may overlap.
    fn is_used(&self, address: IpAddr) -> bool {
        self.pools.values().any(|pool| pool.used.contains_key(&address))
    }

    fn lowest_free(&self, eip: &EipName) -> Option<IpAddr> {
        let pool = &self.pools[eip];
        let mut address = pool.free_from?;
        while self.is_used(address) {
            address = pool.range?.after(address)?;
        }
        Some(address)
    }

    fn hold(&mut self, service: &ServiceName, holding: Holding) {
        if self.held.contains_key(service) {
            return; // Recorded twice: the first one stands, and the record is put right.
        }
        let pool = self.pools.get_mut(&holding.eip).expect("an address is taken from a pool");
        pool.used.entry(holding.address).or_default().insert(service.clone());
        if pool.free_from == Some(holding.address) {
            pool.free_from = pool.range.and_then(|range| range.after(holding.address));
        }
        self.held.insert(service.clone(), holding);
    }
}

impl Pool {
    fn has(&self, address: IpAddr) -> bool {
        self.range.is_some_and(|range| range.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Spelling;

    fn eip(address: &str) -> Eip {
        Eip {
            address: address.to_owned(),
            interface: Some("eth0".to_owned()),
            protocol: Some("layer2".to_owned()),
            ..Eip::default()
        }
    }

    fn ipam(eips: &[(&str, Eip)]) -> Ipam {
        let mut ipam = Ipam::default();
        for (name, eip) in eips {
            ipam.handle_eip(&EipName::from(*name), Some(eip));
        }
        ipam
    }

    fn any() -> Request {
        Request { spelling: Spelling::Porter, layer2: true, eip: None, address: None }
    }

    fn service(name: &str) -> ServiceName {
        ServiceName::new("default", name)
    }

    fn given(ipam: &mut Ipam, name: &str, request: &Request) -> Option<String> {
        let holding = ipam.allocate(&service(name), request, None)?;
        Some(format!("{} {}", holding.eip, holding.address))
    }

    #[test]
    fn the_lowest_free_address_is_given_and_a_freed_one_at_once_again() {
        let mut ipam = ipam(&[("pool", eip("172.22.0.188-172.22.0.190"))]);
        for (name, last) in [("a", 188), ("b", 189), ("c", 190)] {
            let expected = format!("pool 172.22.0.{last}");
            assert_eq!(given(&mut ipam, name, &any()), Some(expected));
        }
        assert_eq!(given(&mut ipam, "d", &any()), None);
        ipam.release(&service("b"));
        assert_eq!(given(&mut ipam, "d", &any()), Some("pool 172.22.0.189".to_owned()));
    }

    #[test]
    fn the_default_eip_comes_first_and_others_by_name() {
        let mut default = eip("10.0.9.1");
        let key = "eip.porter.kubesphere.io/is-default-eip".to_owned();
        default.metadata.annotations.insert(key, "true".to_owned());
        let mut ipam = ipam(&[("b", eip("10.0.2.1")), ("z", default), ("a", eip("10.0.1.1"))]);
        let order = ["1", "2", "3"].map(|name| given(&mut ipam, name, &any()).unwrap());
        assert_eq!(order, ["z 10.0.9.1", "a 10.0.1.1", "b 10.0.2.1"]);
    }

    #[test]
    fn an_address_asked_for_is_given_if_it_is_free_and_no_other() {
        let mut ipam = ipam(&[("pool", eip("10.0.0.0/30"))]);
        let asks = |text: &str| Request { address: Some(Ok(text.parse().unwrap())), ..any() };
        assert_eq!(given(&mut ipam, "a", &asks("10.0.0.3")), Some("pool 10.0.0.3".to_owned()));
        assert_eq!(given(&mut ipam, "b", &asks("10.0.0.3")), None);
        assert_eq!(given(&mut ipam, "c", &asks("10.0.0.4")), None);
        let nonsense = Request { address: Some(Err("ten".to_owned())), ..any() };
        assert_eq!(given(&mut ipam, "d", &nonsense), None);
    }

    #[test]
    fn an_eip_that_is_disabled_or_another_protocols_gives_nothing() {
        let disabled = Eip { disable: true, ..eip("10.0.0.1") };
        let bgp = Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.1.1") };
        let mut ipam = ipam(&[("disabled", disabled), ("bgp", bgp)]);
        assert_eq!(given(&mut ipam, "a", &any()), None);
    }

    #[test]
    fn what_is_recorded_is_taken_over() {
        let mut recorded = eip("10.0.0.0/30");
        let holder = BTreeSet::from([service("here")]);
        recorded.status.used.insert([10, 0, 0, 0].into(), holder);
        let name = EipName::from("pool");
        let mut ipam = Ipam::restore([(&name, &recorded)].into_iter());
        assert_eq!(ipam.holding(&service("here")).unwrap().address.to_string(), "10.0.0.0");
        assert_eq!(given(&mut ipam, "new", &any()), Some("pool 10.0.0.1".to_owned()));
    }

    #[test]
    fn a_service_gets_back_the_address_it_shows() {
        let mut ipam = ipam(&[("pool", eip("10.0.0.0/30"))]);
        let shown = Some([10, 0, 0, 2].into());
        let holding = ipam.allocate(&service("a"), &any(), shown).unwrap();
        assert_eq!(holding.address.to_string(), "10.0.0.2");
    }
}

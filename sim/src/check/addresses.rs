//! Two Services hold one address only if they may share it, and what a Service shows is what it
//! holds.

use std::{collections::BTreeMap, net::IpAddr};

use porter_core::{Eip, EipName, Few, Service, ServiceName, TrafficPolicy, keys};

use super::Violation;
use crate::world::Api;

pub(super) fn check(api: &Api) -> Result<(), Violation> {
    let mut holders: BTreeMap<IpAddr, (&EipName, &Few<ServiceName>)> = BTreeMap::new();
    let layer2 = |eip: &Eip| eip.protocol.as_deref() == Some(keys::LAYER2_PROTOCOL);
    for (name, (_, eip)) in api.eips.iter().filter(|(_, (_, eip))| layer2(eip)) {
        for (address, by) in &eip.status.used {
            if let Some((other, _)) = holders.insert(*address, (name, by)) {
                return Err(Violation(format!("{other} and {name} both record {address}")));
            }
            if let Some((one, two)) = at_odds(api, *address, by) {
                return Err(Violation(format!("{one} and {two} both hold {address}")));
            }
        }
    }
    for (name, (_, service)) in &api.services {
        let holds = |eip: &IpAddr| holders.get(eip).is_some_and(|(_, by)| by.contains(name));
        if let Some(eip) = service.shown().find(|eip| !holds(eip)) {
            return Err(Violation(format!("{name} shows {eip}, which it does not hold")));
        }
    }
    Ok(())
}

/// Two holders of an address that may not share it. One that is gone may share with nobody.
fn at_odds<'a>(
    api: &Api,
    address: IpAddr,
    holders: &'a Few<ServiceName>,
) -> Option<(&'a ServiceName, &'a ServiceName)> {
    let before = |one| holders.iter().take_while(move |other| *other < one);
    let mut pairs = holders.iter().flat_map(|one| before(one).map(move |other| (other, one)));
    pairs.find(|(one, two)| {
        let found = |name: &ServiceName| api.services.get(name).map(|(_, service)| service);
        let (Some(a), Some(b)) = (found(one), found(two)) else { return true };
        let same_pods = a.selector == b.selector && !a.selector.is_empty();
        let anywhere = [a, b].iter().all(|service| service.policy == TrafficPolicy::Cluster);
        let named = asked(a) == Some(address) && asked(b) == Some(address);
        let apart = a.ports.is_disjoint(&b.ports);
        one.namespace() != two.namespace() || !named || !apart || !(same_pods || anywhere)
    })
}

/// The address that a Service names.
fn asked(service: &Service) -> Option<IpAddr> {
    let spellings = [keys::Spelling::Porter, keys::Spelling::OpenElb];
    let annotated = spellings.map(|it| {
        service.metadata.annotations.get(keys::REQUESTED_IP.spelled(it)).map(String::as_str)
    });
    let all = [service.requested_ip.as_deref()].into_iter().chain(annotated).flatten();
    all.map(str::trim).find(|text| !text.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use porter_core::Port;

    use super::*;

    fn shared(edit: impl FnOnce(&mut Service)) -> Result<(), Violation> {
        let address = IpAddr::from([172, 22, 0, 188]);
        let names = ["a", "b"].map(|name| ServiceName::new("default", name));
        let mut api = Api::default();
        let mut services = [80, 443].map(|number| Service {
            requested_ip: Some(address.to_string()),
            ports: [Port { protocol: "TCP".to_owned(), number }].into(),
            ..Service::default()
        });
        edit(&mut services[1]);
        for (name, service) in names.iter().zip(services) {
            api.put_service(name.clone(), service);
        }
        let mut eip = Eip { protocol: Some("layer2".to_owned()), ..Eip::default() };
        eip.status.used.insert(address, names.into());
        api.put_eip("pool".into(), eip);
        check(&api)
    }

    #[test]
    fn only_those_who_may_share_do() {
        assert_eq!(shared(|_| {}), Ok(()));
        let found = Err(Violation("default/a and default/b both hold 172.22.0.188".to_owned()));
        assert_eq!(shared(|b| b.requested_ip = None), found);
        assert_eq!(shared(|b| b.ports = [80].map(tcp).into()), found);
        assert_eq!(shared(|b| b.policy = TrafficPolicy::Local), found);
    }

    #[test]
    fn what_is_shown_and_not_held_is_found() {
        let other = IpAddr::from([172, 22, 0, 189]);
        let found = shared(|b| b.ingress = vec![porter_core::Ingress::Address(other)]);
        assert_eq!(found.unwrap_err().0, "default/b shows 172.22.0.189, which it does not hold");
    }

    fn tcp(number: u16) -> Port {
        Port { protocol: "TCP".to_owned(), number }
    }
}

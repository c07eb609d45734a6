//! What Services get of which Eips, told as stories over a small cluster.

mod addresses;
mod choices;
mod families;
mod restored;
mod shared;
mod standings;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    Few, Ingress, Metadata, Port, Texts, Timestamp, TrafficPolicy, Version, keys, request::Request,
};

const EIP: &str = "eip.porter.kubesphere.io/v1alpha2";

/// What an [`Ipam`] is told of.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) ipam: Ipam,
    pub(super) eips: BTreeMap<EipName, Eip>,
    pub(super) services: Store<ServiceName, Service>,
    labels: Texts,
    version: u64,
}

impl World {
    pub(super) fn new(eips: &[(&str, Eip)]) -> Self {
        let mut world = Self {
            ipam: Ipam::default(),
            eips: BTreeMap::new(),
            services: Store::new(),
            labels: Texts::new(),
            version: 0,
        };
        for (name, eip) in eips {
            world.eip(name, Some(eip.clone()));
        }
        world
    }

    pub(super) fn eip(&mut self, name: &str, eip: Option<Eip>) {
        let name = EipName::from(name);
        self.ipam.handle_eip(&name, eip.as_ref());
        match eip {
            Some(eip) => self.eips.insert(name, eip),
            None => self.eips.remove(&name),
        };
    }

    fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Eip)) {
        let mut eip = self.eips[&EipName::from(name)].clone();
        edit(&mut eip);
        self.eip(name, Some(eip));
    }

    pub(super) fn service(&mut self, name: &ServiceName, service: Service) {
        self.version += 1;
        self.services.apply(name.clone(), Version(self.version), Some(service));
    }

    pub(super) fn with<T>(
        &mut self,
        name: &ServiceName,
        act: impl FnOnce(&mut Ipam, &Asker<'_>) -> T,
    ) -> T {
        let service = self.services.get(name).unwrap();
        let request = Request::of(service).unwrap();
        let labels = Some(&self.labels);
        let services = &self.services;
        act(&mut self.ipam, &Asker { name, service, request: &request, labels, services })
    }

    pub(super) fn allocate(
        &mut self,
        name: &ServiceName,
        family: Family,
    ) -> Result<Holding, Refusal> {
        self.with(name, |ipam, asker| ipam.allocate(asker, family))
    }

    /// What a new Service in `default` gets: "EIP ADDRESS", or "REASON: MESSAGE".
    fn ask(&mut self, name: &str, service: Service) -> String {
        self.ask_of(&named(name), service, Family::V4)
    }

    fn ask_of(&mut self, name: &ServiceName, service: Service, family: Family) -> String {
        self.service(name, service);
        match self.allocate(name, family) {
            Ok(holding) => format!("{} {}", holding.eip, holding.address),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn release(&mut self, name: &str) {
        for family in Family::ALL {
            self.ipam.release(&named(name), family);
        }
    }

    fn conflict(&mut self, name: &str) -> Option<String> {
        let holding = self.ipam.holdings_of(&named(name)).next().unwrap().clone();
        let refusal =
            self.with(&named(name), |ipam, asker| ipam.sharing_conflict(asker, &holding))?;
        Some(refusal.to_string())
    }

    fn meets(&mut self, name: &str) -> bool {
        let holding = self.ipam.holdings_of(&named(name)).next().unwrap().clone();
        self.with(&named(name), |ipam, asker| ipam.meets(asker, &holding))
    }
}

pub(super) fn eip(address: &str) -> Eip {
    Eip {
        address: address.to_owned(),
        interface: Some("eth0".to_owned()),
        protocol: Some("layer2".to_owned()),
        ..Eip::default()
    }
}

fn aged(seconds: i64, eip: Eip) -> Eip {
    Eip { metadata: Metadata { created: Timestamp(seconds), ..eip.metadata }, ..eip }
}

fn default_eip(address: &str) -> Eip {
    let mut eip = eip(address);
    let key = keys::DEFAULT_EIP.spelled(keys::Spelling::Porter).to_owned();
    eip.metadata.annotations.insert(key, "true".to_owned());
    eip
}

fn bound(namespace: &str, priority: i64, address: &str) -> Eip {
    Eip { namespaces: BTreeSet::from([namespace.to_owned()]), priority, ..eip(address) }
}

pub(super) fn named(name: &str) -> ServiceName {
    ServiceName::new("default", name)
}

/// A Service with port 80 that asks for any address.
pub(super) fn web() -> Service {
    let mut service = Service { load_balancer: true, ..Service::default() };
    service.class = Some(keys::CLASS.to_owned());
    service.ports.insert(Port { protocol: "TCP".to_owned(), number: 80 });
    service
}

fn on(port: u16, service: Service) -> Service {
    Service { ports: Few::from([Port { protocol: "TCP".to_owned(), number: port }]), ..service }
}

pub(super) fn at(address: &str, service: Service) -> Service {
    Service { requested_ip: Some(address.to_owned()), ..service }
}

fn of(eip: &str, mut service: Service) -> Service {
    service.metadata.annotations.insert(EIP.to_owned(), eip.to_owned());
    service
}

fn showing(address: &str, service: Service) -> Service {
    Service { ingress: vec![Ingress::Address(address.parse().unwrap())], ..service }
}

fn families(families: &[Family], service: Service) -> Service {
    Service { families: families.to_vec(), ..service }
}

fn selecting(app: &str, policy: TrafficPolicy, service: Service) -> Service {
    let selector = Texts::from_iter([("app".to_owned(), app.to_owned())]);
    Service { selector, policy, ..service }
}

fn reason(refused: &str) -> &str {
    refused.split(':').next().unwrap()
}

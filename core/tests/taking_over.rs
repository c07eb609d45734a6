//! A cluster as Porter 0.4 or OpenELB left it: addresses stay where they are, and so do nodes.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{
    Eip, EipStatus, Few, Service, ServiceName,
    keys::{self, Key, Spelling},
};

/// What one of them has called its things.
struct Left {
    class: &'static str,
    spelling: Spelling,
    /// Whether Services say the protocol themselves: since 0.6 their Eip does.
    says_protocol: bool,
    /// Whether the node is on record, which is no more since 0.6.
    records_nodes: bool,
}

const PORTER: Left =
    Left { class: "porter", spelling: Spelling::Porter, says_protocol: true, records_nodes: true };
const OPENELB: Left = Left { class: "openelb", spelling: Spelling::OpenElb, ..PORTER };
const OPENELB_06: Left = Left { says_protocol: false, records_nodes: false, ..OPENELB };

impl Left {
    fn key(&self, key: Key) -> String {
        key.spelled(self.spelling).to_owned()
    }

    /// The Service, which has 172.22.0.190 and is at node4.
    fn service(&self) -> Service {
        let mut service = Service { load_balancer: true, ..Service::default() };
        let metadata = &mut service.metadata;
        metadata.annotations.insert(keys::LOAD_BALANCER.to_owned(), self.class.to_owned());
        if self.says_protocol {
            metadata.annotations.insert(self.key(keys::PROTOCOL), "layer2".to_owned());
        }
        if self.records_nodes {
            metadata.annotations.insert(self.key(keys::LAYER2), "node4".to_owned());
        }
        metadata.labels.insert(self.key(keys::EIP), "pool".to_owned());
        metadata.finalizers.push(keys::SERVICE_FINALIZER.to_owned());
        service.ingress = vec![shows(190)];
        service
    }

    /// The Eip, in which that is on record.
    fn pool(&self) -> Eip {
        let mut facts = layer2("172.22.0.188-172.22.0.200");
        facts.metadata.finalizers.push(keys::EIP_FINALIZER.to_owned());
        facts.status = EipStatus {
            pool_size: 13,
            first: Some(eip(188)),
            last: Some(eip(200)),
            used: [(eip(190), [web()].into_iter().collect::<Few<ServiceName>>())].into(),
            ready: None,
        };
        facts
    }

    /// A replica that comes to lead over what is left, with a Service as it is edited.
    fn taken_over(&self, edit: impl FnOnce(&mut Service)) -> Bench {
        let mut bench = Bench::new();
        let mut service = self.service();
        edit(&mut service);
        bench.api.put_service(&web(), Some(service));
        bench.endpoints(&web(), &["node3", "node4"]);
        bench.prepare();
        bench.eip(&pool(), Some(self.pool()));
        bench.run(Duration::from_secs(8));
        assert!(bench.speaker.leads(bench.now));
        bench
    }
}

#[test]
fn addresses_and_nodes_of_porter_and_openelb_stay() {
    for left in [PORTER, OPENELB] {
        let bench = left.taken_over(|_| {});
        assert_eq!(bench.shown(&web()).ingress, [shows(190)]);
        assert_eq!(bench.used(), [(eip(190), vec![web()])].into());
        assert_eq!(bench.ask(190), Some(mac(10)), "{}", left.class);
        let annotations = &bench.shown(&web()).metadata.annotations;
        assert_eq!(annotations.get(&left.key(keys::LAYER2)).unwrap(), "node4");
        assert_eq!(bench.said(&web()), (true, "Announced"));
    }
}

#[test]
fn addresses_of_openelb_0_6_stay_where_services_say_the_protocol() {
    let protocol = OPENELB_06.key(keys::PROTOCOL);
    let bench = OPENELB_06.taken_over(|service| {
        service.metadata.annotations.insert(protocol, "layer2".to_owned());
    });
    assert_eq!(bench.shown(&web()).ingress, [shows(190)]);
    assert_eq!(bench.used(), [(eip(190), vec![web()])].into());
    assert!(bench.ask(190).is_some());
    assert!(bench.record(&web()).is_none(), "it is recorded in the spelling of the Service");
    let record = bench.shown(&web()).metadata.annotations.get(&OPENELB_06.key(keys::LAYER2));
    assert!(record.is_some());
}

/// Services of 0.6 that name no protocol are told from those that never asked for layer2 by nothing.
#[test]
fn those_that_do_not_give_their_addresses_back() {
    let bench = OPENELB_06.taken_over(|_| {});
    assert_eq!((bench.shown(&web()).ingress.len(), bench.used().len()), (0, 0));
}

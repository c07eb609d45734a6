//! Conditions say what is, and come to rest.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Family, Service};

#[test]
fn a_service_that_gets_one_of_two_families_is_told_so_once() {
    let mut bench = Bench::leading();
    bench.endpoints(&web(), &["node3"]);
    let families = vec![Family::V4, Family::V6];
    bench.service(&web(), Some(Service { families, ..asking() }));
    bench.run(Duration::from_secs(20));
    let said = bench.shown(&web()).announced.clone().unwrap();
    assert!(said.met && said.message.contains("; no IPv6 address: "), "{said:?}");
    let n_written = bench.written.len();
    bench.endpoints(&web(), &[]);
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.written.len(), n_written + 1, "{:?}", bench.written);
}

#[test]
fn a_service_of_an_eip_that_names_no_interface_any_more_is_not_said_to_be_announced() {
    let mut bench = Bench::serving();
    bench.run(Duration::from_secs(5));
    assert!(bench.shown(&web()).announced.as_ref().unwrap().met);
    bench.edit_eip(&pool(), |eip| eip.interface = Some("a/b".to_owned()));
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.ask(188), None);
    let said = bench.shown(&web()).announced.clone().unwrap();
    assert_eq!((said.met, said.reason.as_str()), (false, "InterfaceMissing"), "{said:?}");
    assert!(said.message.contains("Eip pool names no network interface"), "{said:?}");
}

#[test]
fn a_service_that_stops_asking_shows_nothing_even_if_its_record_was_removed_by_hand() {
    let mut bench = Bench::serving();
    bench.usurp();
    bench.edit_eip(&pool(), |eip| eip.status.used.clear());
    bench.edit_service(&web(), |service| service.load_balancer = false);
    bench.run(Duration::from_secs(30));
    let service = bench.shown(&web());
    assert!(service.metadata.finalizers.is_empty(), "{service:?}");
    assert_eq!(service.ingress, []);
}

#[test]
fn a_service_that_stops_asking_shows_nothing_of_an_eip_that_is_gone() {
    let mut bench = Bench::serving();
    bench.eip(&pool(), None);
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.shown(&web()).ingress, [shows(188)], "the Eip may be made again");
    bench.edit_service(&web(), |service| service.load_balancer = false);
    bench.run(Duration::from_secs(5));
    let service = bench.shown(&web());
    assert!(service.metadata.finalizers.is_empty(), "{service:?}");
    assert_eq!(service.ingress, []);
}

//! The user guide's Service through the public border of the core: one replica, an API server that
//! says yes to everything, and a LAN on which every node answers.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::{collections::BTreeMap, time::Duration};

use bench::*;
use porter_core::{Input, Write};

/// A leader that answers for the guide's Service with one of two nodes.
fn start() -> Bench {
    let mut bench = Bench::leading();
    bench.endpoints(&web(), &["node3", "node4"]);
    bench.service(&web(), Some(asking()));
    bench.run(Duration::from_secs(1));
    bench
}

fn record(bench: &Bench) -> Option<&str> {
    bench.shown(&web()).metadata.annotations.get(RECORD).map(String::as_str)
}

#[test]
fn the_guides_service_gets_the_first_address_and_a_node_with_an_endpoint_is_answered() {
    let bench = start();
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    let node = record(&bench).unwrap();
    let expected = if node == "node3" { mac(9) } else { mac(10) };
    assert!(node == "node3" || node == "node4");
    assert_eq!(bench.ask(188), Some(expected));
    assert_eq!(bench.announced[0].mac, expected);
    assert_eq!(bench.used()[&eip(188)], [web()]);
}

#[test]
fn a_new_service_takes_three_writes_of_its_own_and_no_more() {
    let mut bench = start();
    let of_service = |write: &&Write| matches!(write, Write::Service(..));
    assert_eq!(bench.written.iter().filter(of_service).count(), 3);
    let before = bench.written.len();
    bench.run(Duration::from_secs(600));
    bench.list();
    assert_eq!(bench.written.len(), before, "nothing is written while nothing changes");
}

#[test]
fn the_answer_moves_when_the_node_has_no_endpoint_any_more_and_not_before() {
    let mut bench = start();
    let old = if record(&bench) == Some("node3") { "node3" } else { "node4" };
    let before = bench.ask(188);
    bench.endpoints(&web(), &[old, "node1"]);
    assert_eq!((record(&bench), bench.ask(188)), (Some(old), before));
    bench.announced.clear();
    bench.endpoints(&web(), &["node1"]);
    assert_eq!((record(&bench), bench.ask(188)), (Some("node1"), Some(mac(3))));
    assert_eq!(bench.announced.first().map(|is_at| is_at.mac), Some(mac(3)));
}

#[test]
fn without_endpoints_the_eip_is_silent_and_the_record_stays() {
    let mut bench = start();
    let before = record(&bench).map(str::to_owned);
    bench.endpoints(&web(), &[]);
    assert_eq!(bench.ask(188), None);
    assert_eq!(record(&bench).map(str::to_owned), before);
}

#[test]
fn a_deleted_service_falls_silent_and_gives_its_address_back() {
    let mut bench = start();
    bench.edit_service(&web(), |service| service.metadata.deleting = true);
    assert_eq!(bench.ask(188), None);
    assert!(bench.api.services.is_empty());
    assert_eq!(bench.used(), BTreeMap::new());
}

#[test]
fn a_replica_that_is_asked_to_leave_falls_silent_and_is_done() {
    let mut bench = start();
    bench.tell(Input::Leave);
    assert!(bench.left);
    assert_eq!(bench.ask(188), None);
}

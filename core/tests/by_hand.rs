//! What people and other controllers do to Eips and Services while they are in use.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Ingress, Input, Link, LinkName, ServiceName, Timestamp, Unusable, keys};

const EIP_LABEL: &str = "eip.porter.kubesphere.io/v1alpha2";

#[test]
fn an_eip_that_moves_to_another_link_is_answered_there_and_no_longer_here() {
    let mut bench = Bench::serving();
    let eth1 = LinkName::new("eth1").unwrap();
    bench.tell(Input::Link(eth1, Ok(link())));
    bench.edit_eip(&pool(), |eip| eip.interface = Some("eth1".to_owned()));
    assert_eq!((bench.ask(188), bench.ask_on(eth1, 188)), (None, Some(mac(9))));
}

#[test]
fn an_eip_without_a_link_is_not_answered() {
    let mut bench = Bench::serving();
    bench.edit_eip(&pool(), |eip| eip.interface = None);
    assert_eq!(bench.ask(188), None);
}

#[test]
fn an_eip_that_is_gone_is_not_answered_and_comes_back_as_it_was() {
    let mut bench = Bench::serving();
    let mut again = bench.api.eips[&pool()].1.clone();
    again.status = porter_core::EipStatus::default();
    bench.eip(&pool(), None);
    assert_eq!(bench.ask(188), None);
    bench.eip(&pool(), Some(again));
    assert_eq!(bench.ask(188), Some(mac(9)));
    assert_eq!(bench.used()[&eip(188)], [web()]);
}

#[test]
fn an_address_that_is_recorded_for_another_by_hand_is_answered_for_that_one_only() {
    let mut bench = Bench::serving();
    let api = ServiceName::new("default", "api");
    bench.endpoints(&api, &["node4"]);
    bench.service(&api, Some(asking()));
    assert_eq!(bench.ask(189), Some(mac(10)));
    bench.edit_eip(&pool(), |eip| {
        let web = eip.status.used.remove(&bench::eip(188)).unwrap();
        eip.status.used.insert(bench::eip(195), web);
    });
    assert_eq!((bench.ask(188), bench.ask(195)), (None, Some(mac(9))));
}

#[test]
fn a_service_that_changes_its_spelling_is_recorded_where_it_is_read() {
    let mut bench = Bench::serving();
    bench.edit_service(&web(), |service| {
        let annotations = &mut service.metadata.annotations;
        annotations.insert(keys::LOAD_BALANCER.to_owned(), "openelb".to_owned());
    });
    bench.endpoints(&web(), &["node4"]);
    assert_eq!(bench.ask(188), Some(mac(10)));
    bench.eip(&"other".into(), Some(layer2("172.22.0.201")));
    bench.edit_service(&web(), |service| {
        service.metadata.annotations.insert(EIP_LABEL.to_owned(), "other".to_owned());
    });
    assert_eq!((bench.ask(188), bench.ask(201)), (None, Some(mac(10))));
    assert_eq!(bench.shown(&web()).ingress, [shows(201)]);
}

#[test]
fn two_eips_that_overlap_never_give_one_address_twice() {
    let mut bench = Bench::serving();
    let mut second = layer2("172.22.0.188/31");
    second.metadata.created = Timestamp(1);
    bench.eip(&"a-second".into(), Some(second));
    for name in ["a", "b", "c"] {
        bench.service(&ServiceName::new("default", name), Some(asking()));
    }
    assert_eq!(bench.used().len(), 4);
    assert!(bench.used().values().all(|holders| holders.len() == 1), "{:?}", bench.used());
}

#[test]
fn a_service_whose_eip_became_another_protocols_can_be_deleted() {
    let mut bench = Bench::serving();
    bench.edit_eip(&pool(), |eip| eip.protocol = Some("bgp".to_owned()));
    assert_eq!(bench.ask(188), None);
    bench.edit_service(&web(), |service| service.metadata.deleting = true);
    assert!(!bench.api.services.contains_key(&web()));
}

#[test]
fn an_address_that_is_given_back_is_shown_no_more_whatever_else_is_shown_beside_it() {
    let mut bench = Bench::serving();
    let foreign = Ingress::Address([10, 0, 0, 1].into());
    bench.edit_service(&web(), |service| {
        service.metadata.annotations.insert(keys::LOAD_BALANCER.to_owned(), "other".to_owned());
        service.ingress.push(foreign.clone());
    });
    assert_eq!(bench.used().len(), 0);
    assert_eq!(bench.shown(&web()).ingress, [foreign]);
}

#[test]
fn a_link_that_goes_and_comes_back_with_another_mac_is_silent_and_then_told_anew() {
    let mut bench = Bench::serving();
    bench.endpoints(&web(), &["node1"]);
    assert_eq!(bench.ask(188), Some(mac(3)), "a node of this host has the MAC of its link");
    bench.tell(Input::Link(eth0(), Err(Unusable::Missing)));
    assert_eq!(bench.ask(188), None);
    bench.announced.clear();
    bench.tell(Input::Link(eth0(), Ok(Link { mac: mac(33), ..link() })));
    assert_eq!(bench.ask(188), Some(mac(33)));
    bench.run(Duration::from_secs(5));
    let told: Vec<_> = bench.announced.iter().map(|is_at| is_at.mac).collect();
    assert_eq!(told, [mac(33); 5]);
}

#[test]
fn a_service_lives_until_its_address_is_recorded_as_free() {
    let mut bench = Bench::serving();
    bench.replies = false;
    bench.edit_service(&web(), |service| service.metadata.deleting = true);
    while bench.used().contains_key(&eip(188)) {
        assert!(bench.api.services.contains_key(&web()), "gone, and holding an address");
        bench.judge(Verdict::Done);
        bench.run(Duration::from_millis(50));
    }
    bench.replies = true;
    bench.pump();
    assert!(!bench.api.services.contains_key(&web()));
}

#[test]
fn an_address_that_was_given_up_before_it_was_recorded_goes_to_the_next() {
    let mut bench = Bench::leading();
    let next = ServiceName::new("default", "next");
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188".to_owned());
    bench.replies = false;
    bench.service(&web(), Some(asking()));
    bench.service(&next, Some(asking()));
    bench.edit_service(&web(), |service| service.load_balancer = false);
    bench.replies = true;
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.shown(&next).ingress, [shows(188)]);
}

//! What people are told who ask why a Service has the address that it has, or none.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use bench::*;
use porter_core::{
    Condition, Explanation, Family, Kind, Node, NodeName, NotOurs, Observer, Service, ServiceName,
    Standing, TrafficPolicy, keys,
};

/// One that was told all that is on record.
fn observer(bench: &mut Bench) -> Observer<'static> {
    let mut observer = Observer::new();
    for kind in [Kind::Eip, Kind::Service, Kind::Namespace, Kind::Node, Kind::Slice] {
        observer.handle_input(bench.api.list(kind));
    }
    observer
}

fn explain(bench: &mut Bench, name: &ServiceName) -> Explanation {
    observer(bench).explain(name).unwrap()
}

fn standings(explanation: &Explanation) -> Vec<(String, usize, Standing)> {
    let prospects = explanation.held[0].prospects.iter();
    prospects.map(|it| (it.node.to_string(), it.endpoints, it.standing)).collect()
}

#[test]
fn every_node_is_told_with_what_speaks_for_and_against_it() {
    let mut bench = Bench::serving();
    bench.node("node5", Some(Node { ready: false, ..node(11) }));
    bench.calm();
    let explanation = explain(&mut bench, &web());
    assert_eq!(explanation.node, Some(NodeName::from("node3")));
    assert_eq!((explanation.held[0].address, &explanation.held[0].eip), (eip(188), &pool()));
    let of = |name: &str, endpoints, standing| (name.to_owned(), endpoints, standing);
    let barred = of("node5", 0, Standing::Barred("is not Ready"));
    assert_eq!(
        standings(&explanation),
        [
            of("node1", 0, Standing::Reserve),
            of("node3", 1, Standing::Candidate),
            of("node4", 0, Standing::Reserve),
            barred.clone(),
        ]
    );
    let at = &explanation.answered[0];
    assert_eq!((at.address, at.mac, at.link), (eip(188), mac(9), eth0()));

    bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
    bench.calm();
    let local = standings(&explain(&mut bench, &web()));
    assert_eq!((&local[0], &local[3]), (&of("node1", 0, Standing::NoEndpoint), &barred));
}

#[test]
fn endpoints_are_those_that_take_traffic() {
    let mut bench = Bench::serving();
    let endpoints = vec![ready("node3"), ready("node3"), draining("node4")];
    bench.slice("web", &web(), Family::V4, endpoints);
    bench.calm();
    let counts = standings(&explain(&mut bench, &web()));
    let counts: Vec<_> = counts.iter().map(|(_, endpoints, _)| *endpoints).collect();
    assert_eq!(counts, [0, 2, 0]);
}

#[test]
fn an_address_is_found_by_who_holds_it_and_by_the_eip_that_it_is_of() {
    let mut bench = Bench::serving();
    let observer = observer(&mut bench);
    assert_eq!(observer.holders(eip(188)).collect::<Vec<_>>(), [&web()]);
    assert_eq!(observer.holders(eip(189)).next(), None);
    assert_eq!((observer.pool(eip(189)), observer.pool(eip(187))), (Some(&pool()), None));
    assert_eq!(observer.owner(eip(9)), Some(&NodeName::from("node3")));
    assert_eq!(observer.explain(&named("nobody")), None);
}

#[test]
fn what_is_on_record_is_told_in_short_by_a_replica_as_by_who_reads_it() {
    let mut bench = Bench::serving();
    let (lacking, foreign) = (named("api"), named("foreign"));
    bench.service(&lacking, Some(asking()));
    bench.eip(&pool(), Some(layer2("172.22.0.188")));
    bench.service(&foreign, Some(Service { class: Some("other".to_owned()), ..asking() }));
    bench.calm();

    let told = |observer: &Observer<'_>| -> Vec<_> {
        let met = |it: Option<&Condition>| it.map(|it| (it.met, it.reason.clone()));
        let announcements = observer.announcements().map(|it| {
            let held: Vec<_> = it.held.iter().map(|(eip, at)| ((*eip).clone(), *at)).collect();
            (it.service.clone(), it.asks.is_ok(), held, met(it.announced))
        });
        announcements.collect()
    };
    let here = told(&bench.speaker.observe());
    assert_eq!(here, told(&observer(&mut bench)));
    let [api, web] = &here[..] else { panic!("two are ours: {here:?}") };
    assert_eq!((&api.0, api.1, &api.2), (&lacking, true, &vec![]));
    assert_eq!(api.3.as_ref().map(|(met, _)| *met), Some(false));
    assert_eq!((&web.0, web.1, &web.2), (&self::web(), true, &vec![(pool(), eip(188))]));
    assert_eq!(web.3, Some((true, "Announced".to_owned())));
}

#[test]
fn a_service_that_is_not_ours_says_what_it_would_take() {
    let mut bench = Bench::leading();
    let mut refused = |edit: &dyn Fn(&mut Service)| {
        let mut service = asking();
        edit(&mut service);
        bench.service(&web(), Some(service));
        let refused = explain(&mut bench, &web()).asks.unwrap_err();
        (refused.clone(), refused.to_string())
    };
    let annotate = |key: &'static str, value: &'static str| {
        move |service: &mut Service| {
            service.metadata.annotations.insert(key.to_owned(), value.to_owned());
        }
    };
    let drop_protocol = |service: &mut Service| {
        service.metadata.annotations.remove(PROTOCOL);
    };
    let (why, told) = refused(&|service| service.load_balancer = false);
    assert!(why == NotOurs::OtherType && told.ends_with("set spec.type"), "{told}");
    let (why, told) = refused(&annotate(keys::LOAD_BALANCER, "metallb"));
    assert!(
        why == NotOurs::Unasked && told.contains("lb.kubesphere.io/v1alpha1: porter, and with "),
        "{told}"
    );
    let (why, told) = refused(&|service| service.class = Some("other/class".to_owned()));
    assert!(why == NotOurs::OtherClass("other/class".to_owned()) && told.contains(keys::CLASS));
    let (why, told) = refused(&annotate(PROTOCOL, "bgp"));
    assert!(why == NotOurs::OtherProtocol("bgp".to_owned()) && told.ends_with("set it to layer2"));
    let (why, told) = refused(&drop_protocol);
    assert!(why == NotOurs::NoProtocol && told.ends_with("layer2"), "{told}");
    let (why, told) = refused(&|service| {
        drop_protocol(service);
        annotate("eip.porter.kubesphere.io/v1alpha2", "nowhere")(service);
    });
    assert!(
        why == NotOurs::NoEip("nowhere".into()) && told.contains("none of this name"),
        "{told}"
    );
}

//! What becomes of an EIP when kube-proxy on its node does not work, while the node is there.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Input, NodeName, ProxyHealth};

/// How long it takes to notice: three bad answers, one a second.
const NOTICED: Duration = Duration::from_secs(4);

/// A leader that answers for the guide's Service with node3, and could do so with others.
fn at_node3_with(others: &[&str]) -> Bench {
    let mut bench = Bench::serving();
    let nodes: Vec<_> = ["node3"].iter().chain(others).copied().collect();
    bench.endpoints(&web(), &nodes);
    bench.run(Duration::from_secs(2));
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench
}

fn says(bench: &mut Bench, node: &str, health: ProxyHealth) {
    bench.proxies.insert(NodeName::from(node), health);
}

#[test]
fn a_node_whose_kube_proxy_fails_three_times_is_left_and_the_lan_is_told() {
    for health in [ProxyHealth::Silent, ProxyHealth::Unwell] {
        let mut bench = at_node3_with(&["node4"]);
        bench.announced.clear();
        says(&mut bench, "node3", health);
        bench.run(Duration::from_millis(1_900));
        assert_eq!(bench.ask(188), Some(mac(9)), "twice is no proof");
        bench.run(Duration::from_millis(1_200));
        assert_eq!((bench.ask(188), bench.record(&web())), (Some(mac(10)), Some("node4")));
        assert!(bench.announced.iter().any(|is_at| is_at.mac == mac(10)));
    }
}

#[test]
fn a_node_whose_kube_proxy_fails_is_kept_if_there_is_no_better_one() {
    let mut bench = at_node3_with(&[]);
    says(&mut bench, "node3", ProxyHealth::Unwell);
    bench.run(NOTICED);
    assert_eq!(bench.ask(188), Some(mac(9)));

    let mut bench = at_node3_with(&["node4"]);
    for node in ["node3", "node4"] {
        says(&mut bench, node, ProxyHealth::Unwell);
    }
    let written = bench.written.len();
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.ask(188), Some(mac(9)), "the other fails as well");
    assert_eq!(bench.written.len(), written, "as is found out before anything moves");
}

#[test]
fn a_node_in_use_is_asked_each_second_and_others_now_and_then_whatever_else_changes() {
    let mut bench = at_node3_with(&["node4"]);
    bench.n_checks.clear();
    for n in 0..60 {
        bench.edit_node("node1", |node| node.cordoned = n % 2 == 0);
        bench.run(Duration::from_millis(750));
    }
    let asked = |node: &str| bench.n_checks.get(&NodeName::from(node)).copied().unwrap_or_default();
    assert!((59..=61).contains(&asked("node3")), "{:?}", bench.n_checks);
    assert!((1..=4).contains(&asked("node4")), "{:?}", bench.n_checks);
}

#[test]
fn a_node_that_comes_into_use_is_asked_at_once() {
    let mut bench = at_node3_with(&["node4"]);
    bench.run(Duration::from_secs(40));
    says(&mut bench, "node4", ProxyHealth::Unwell);
    bench.pin(&web(), "node4");
    assert_eq!(bench.ask(188), Some(mac(10)), "nobody knows yet");
    bench.run(NOTICED);
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_node_whose_kube_proxy_never_answered_is_not_left_for_one_whose_does() {
    let mut bench = Bench::new();
    says(&mut bench, "node3", ProxyHealth::Silent);
    bench.lead();
    bench.endpoints(&web(), &["node3"]);
    bench.service(&web(), Some(asking()));
    bench.endpoints(&web(), &["node3", "node4"]);
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.ask(188), Some(mac(9)), "it may not have one");
}

#[test]
fn where_nothing_ever_answered_there_may_be_no_kube_proxy() {
    let mut bench = Bench::serving();
    for (node, _) in NODES {
        says(&mut bench, node, ProxyHealth::Silent);
    }
    bench.restart();
    bench.tell(Input::Link(eth0(), Ok(link())));
    bench.list();
    bench.run(Duration::from_secs(60));
    bench.endpoints(&web(), &["node3", "node4"]);
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_node_whose_kube_proxy_works_again_is_not_returned_to_and_is_chosen_like_others() {
    let mut bench = at_node3_with(&["node4"]);
    says(&mut bench, "node3", ProxyHealth::Silent);
    bench.run(NOTICED);
    bench.service(&named("second"), Some(asking()));
    bench.endpoints(&named("second"), &["node3", "node4"]);
    assert_eq!(bench.record(&named("second")), Some("node4"), "although it has one already");

    bench.proxies.clear();
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.ask(188), Some(mac(10)));
    bench.service(&named("third"), Some(asking()));
    bench.endpoints(&named("third"), &["node3", "node4"]);
    assert_eq!(bench.record(&named("third")), Some("node3"), "which has none");
}

#[test]
fn a_pin_to_a_node_whose_kube_proxy_fails_is_rejected_and_says_why() {
    let mut bench = at_node3_with(&["node4"]);
    says(&mut bench, "node4", ProxyHealth::Unwell);
    // It is not in use, so it is asked rarely.
    bench.run(Duration::from_secs(40));
    bench.pin(&web(), "node4");
    assert_eq!((bench.ask(188), bench.record(&web())), (Some(mac(9)), Some("node3")));
    let told = bench.told("PinRejected");
    assert!(told.iter().any(|told| told.contains("kube-proxy that does not work")), "{told:?}");
}

#[test]
fn the_kube_proxy_of_a_node_that_is_alone_is_asked_every_second() {
    let mut bench = Bench::new();
    bench.tell(Input::Link(eth0(), Ok(link())));
    bench.api.put_node(&NodeName::from("node1"), Some(node(3)));
    bench.api.put_eip(&pool(), Some(layer2("172.22.0.188-172.22.0.200")));
    bench.list();
    bench.run(Duration::from_secs(8));
    bench.endpoints(&web(), &["node1"]);
    bench.service(&web(), Some(asking()));
    assert_eq!(bench.ask(188), Some(mac(3)));
    bench.n_checks.clear();
    // Nobody is probed whose turn would have it asked as well.
    bench.run(Duration::from_secs(60));
    assert!((59..=61).contains(&bench.n_checks[&NodeName::from("node1")]), "{:?}", bench.n_checks);
}

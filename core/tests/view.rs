//! What a replica lets be seen of itself: which Services moved and why, what it has not seen yet, how full
//! Eips are.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Eip, Input, Kind, Move, Pool, Probing, ProxyHealth, Unusable, WriteError};

/// Longer than it takes to find out that a node does not answer, or its kube-proxy does not work.
const NOTICED: Duration = Duration::from_secs(4);

/// A leader that answers for the guide's Service with node3, and could do so with node4.
fn at_node3() -> Bench {
    let mut bench = Bench::serving();
    bench.endpoints(&web(), &["node3", "node4"]);
    bench.run(Duration::from_secs(2));
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench
}

/// Another process takes the place of the one that led.
fn start_over(bench: &mut Bench) {
    bench.restart();
    bench.tell(Input::Link(eth0(), Ok(link())));
    bench.list();
    bench.run(Duration::from_secs(20));
    assert!(bench.speaker.leads(bench.now));
}

/// Something that makes a Service move.
type Deed = fn(&mut Bench);

/// From where to where the Service moved, and why.
fn moves(bench: &Bench) -> Vec<(&str, &str, &'static str)> {
    let told = |moved: &'_ Move| assert_eq!(moved.service, web());
    bench.moved.iter().for_each(told);
    let moves = bench.moved.iter();
    moves.map(|it| (it.from.as_str(), it.to.as_str(), it.cause.as_str())).collect()
}

#[test]
fn a_service_that_moves_tells_it_once_and_what_made_it_move() {
    let causes: [(&str, Deed); 6] = [
        ("NoEndpoint", |bench| bench.endpoints(&web(), &["node4"])),
        ("NodeSilent", |bench| {
            bench.mute.insert(eip(9));
        }),
        ("NodeUnusable", |bench| bench.edit_node("node3", |node| node.ready = false)),
        ("NodeUnusable", |bench| bench.node("node3", None)),
        ("Pinned", |bench| bench.pin(&web(), "node4")),
        ("ProxyFailed", |bench| {
            bench.proxies.insert("node3".into(), ProxyHealth::Unwell);
        }),
    ];
    for (cause, make) in causes {
        let mut bench = at_node3();
        assert_eq!(moves(&bench), [], "before {cause}");
        make(&mut bench);
        bench.run(NOTICED);
        assert_eq!(bench.ask(188), Some(mac(10)), "{cause}");
        assert_eq!(moves(&bench), [("node3", "node4", cause)]);
    }
}

#[test]
fn a_service_that_gets_its_first_node_or_finds_it_again_has_not_moved() {
    let mut bench = at_node3();
    bench.change_leader();
    start_over(&mut bench);
    assert_eq!(bench.ask(188), Some(mac(9)));
    assert_eq!(moves(&bench), []);
}

#[test]
fn a_move_that_a_new_leader_finds_necessary_is_told() {
    let mut bench = at_node3();
    bench.watches = false;
    bench.api.put_node(&"node3".into(), None);
    bench.watches = true;
    start_over(&mut bench);
    assert_eq!(bench.ask(188), Some(mac(10)));
    assert_eq!(moves(&bench), [("node3", "node4", "NodeUnusable")]);
}

#[test]
fn a_move_takes_from_the_first_question_that_a_silent_node_left_unanswered() {
    let mut bench = at_node3();
    bench.mute.insert(eip(9));
    let muted_at = bench.now;
    bench.run(NOTICED);
    let took = bench.moved[0].took;
    // Three probes, 300 ms apart, of which the last is waited for; the first came within an interval.
    let probing = Probing::default();
    assert_eq!(took, probing.interval() * 2 + probing.timeout());
    assert!(muted_at + took <= bench.now);
}

#[test]
fn a_move_takes_from_the_news_that_made_it_until_it_is_on_record() {
    let mut bench = at_node3();
    bench.replies = false;
    bench.endpoints(&web(), &["node4"]);
    bench.run(Duration::from_millis(700));
    assert_eq!(moves(&bench), []);
    bench.endpoints(&web(), &["node1"]);
    bench.judge(Verdict::Failed(WriteError::Conflict));
    bench.replies = true;
    bench.calm();
    assert_eq!(moves(&bench), [("node3", "node1", "NoEndpoint")]);
    assert!(bench.moved[0].took >= Duration::from_millis(700), "{:?}", bench.moved);
}

#[test]
fn one_that_is_back_before_the_move_is_on_record_has_not_moved() {
    let mut bench = at_node3();
    bench.replies = false;
    bench.endpoints(&web(), &["node4"]);
    bench.endpoints(&web(), &["node3"]);
    bench.judge(Verdict::Failed(WriteError::Conflict));
    bench.replies = true;
    bench.calm();
    assert_eq!(bench.ask(188), Some(mac(9)));
    assert_eq!(moves(&bench), []);
}

#[test]
fn a_replica_says_what_it_has_not_seen_yet() {
    let mut bench = Bench::new();
    assert_eq!(bench.speaker.unlisted().len(), Kind::ALL.len());
    let nodes = bench.api.list(Kind::Node);
    bench.tell(nodes);
    assert!(!bench.speaker.unlisted().contains(&Kind::Node));
    bench.tell(Input::Lease(None));
    assert!(!bench.speaker.unlisted().contains(&Kind::Lease));
    bench.list();
    assert_eq!(bench.speaker.unlisted(), []);
    bench.tell(Input::Lost(Kind::Node));
    assert_eq!(bench.speaker.broken().collect::<Vec<_>>(), [Kind::Node]);
}

#[test]
fn a_replica_says_which_links_it_lacks() {
    let mut bench = Bench::serving();
    let links = |bench: &Bench| {
        let links = bench.speaker.links();
        links.map(|(name, link)| (name, link.map(|link| link.carrier))).collect::<Vec<_>>()
    };
    assert_eq!(links(&bench), [(eth0(), Ok(true))]);
    bench.tell(Input::Link(eth0(), Err(Unusable::NoArp)));
    assert_eq!(links(&bench), [(eth0(), Err(Unusable::NoArp))]);
}

#[test]
fn a_replica_says_how_full_each_eip_of_its_own_protocol_is() {
    let mut bench = Bench::serving();
    let other = Eip { protocol: Some("bgp".to_owned()), ..layer2("10.0.0.0/24") };
    bench.eip(&"other".into(), Some(other));
    let pools = |bench: &Bench| -> Vec<_> {
        bench.speaker.pools().map(|(name, pool)| (name.to_string(), pool)).collect()
    };
    let [(name, Pool { addresses, used })] = &pools(&bench)[..] else { panic!("one Eip is ours") };
    assert_eq!((name.as_str(), *used), ("pool", 1));
    assert_eq!(*addresses, bench.status("pool").pool_size);
    bench.delete(&web());
    bench.delete_eip(&pool());
    bench.calm();
    assert_eq!(pools(&bench), []);
}

#[test]
fn a_replica_says_of_each_node_what_it_sees_and_what_speaks_against_it() {
    let mut bench = at_node3();
    bench.mute.insert(eip(9));
    bench.edit_node("node4", |node| node.ready = false);
    bench.edit_node("node1", |node| node.cordoned = true);
    bench.run(NOTICED);
    let stations: Vec<_> = bench.speaker.stations(bench.now).collect();
    let of = |name: &str| stations.iter().find(|it| it.node.as_str() == name).unwrap();

    let own = of("node1");
    assert_eq!((own.bar, own.cordoned), (None, true));
    let [sight] = &own.sights[..] else { panic!("one link, one family: {own:?}") };
    let told = (sight.link, sight.address, sight.mac, sight.obstacle);
    assert_eq!(told, (eth0(), eip(3), Some(mac(3)), None));
    let silent = &of("node3").sights[0];
    assert_eq!((silent.mac, silent.obstacle), (None, Some("does not answer on the LAN")));
    let barred = of("node4");
    assert_eq!((barred.bar, &barred.sights[..]), (Some("is not Ready"), &[][..]));

    bench.mute.clear();
    bench.run(NOTICED);
    let back = bench.speaker.stations(bench.now).find(|it| it.node.as_str() == "node3").unwrap();
    assert_eq!((back.sights[0].mac, back.sights[0].held_down), (Some(mac(9)), true));
}

//! Somebody else has an address of ours: before it is given, and afterwards.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{
    ConflictProbing, Disputes, Eip, Input, Instant, IsAt, Link, MacAddr, Node, OnConflict,
    ServiceName, Silence, Unroutable, WhoHas,
};

/// A host that is no node.
const STRANGER: MacAddr = MacAddr(2, 0x99, 0, 0, 0, 1);
const TEN_MINUTES: Duration = Duration::from_secs(600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A leader whom nobody contradicts, before its first Service.
fn leading(on_conflict: OnConflict) -> Bench {
    let mut bench = Bench::with(Some(ConflictProbing::fast()), on_conflict);
    bench.lead();
    // Who led before is not heard any more.
    bench.run(secs(6));
    bench
}

/// A leader that answers for `web` with node3, at 172.22.0.188.
fn serving(on_conflict: OnConflict) -> Bench {
    let mut bench = leading(on_conflict);
    bench.endpoints(&web(), &["node3"]);
    bench.service(&web(), Some(asking()));
    bench.run(secs(10));
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench.events.clear();
    bench.announced.clear();
    bench.probed.clear();
    bench
}

/// One that answers for `web` there since it is asked for by name.
fn serving_by_name(on_conflict: OnConflict) -> Bench {
    let mut bench = leading(on_conflict);
    bench.endpoints(&web(), &["node3"]);
    bench.service(&web(), Some(annotated(ADDRESS, "172.22.0.188")));
    bench.run(secs(10));
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench
}

/// Somebody tells everybody that an address is at `mac`.
fn claim(bench: &mut Bench, last: u8, (mac, via): (MacAddr, MacAddr)) {
    let claim = IsAt { link: eth0(), target: eip(last), mac, to: None, via };
    bench.tell(Input::Heard(claim));
}

/// Somebody who has no address yet asks who has this one.
fn probe(bench: &mut Bench, target: std::net::IpAddr, (mac, via): (MacAddr, MacAddr)) {
    let nobody = match target.is_ipv4() {
        true => std::net::Ipv4Addr::UNSPECIFIED.into(),
        false => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let question = WhoHas { link: eth0(), target, asker: (nobody, mac), via };
    bench.tell(Input::Probed(question));
}

/// What is said of who else claims an address of `web`.
fn conflict(bench: &Bench) -> Option<String> {
    let said = bench.shown(&web()).conflict.as_ref()?;
    assert!(said.met);
    Some(format!("{}: {}", said.reason, said.message))
}

// Before an address is given.

#[test]
fn an_address_is_asked_for_three_times_and_given_when_nobody_has_it() {
    let mut bench = leading(OnConflict::Defend);
    bench.endpoints(&web(), &["node3"]);
    let from = bench.now;
    bench.api.put_service(&web(), Some(asking()));
    bench.pump();
    bench.run(Duration::from_millis(400));
    assert_eq!(bench.used().len(), 0, "{:?}", bench.written);
    bench.run(Duration::from_millis(400));
    let asked = bench.probed.iter().map(|(at, to)| (at.since(from).as_millis(), *to));
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked, [(1, eip(188)), (101, eip(188)), (201, eip(188))]);
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn the_end_of_a_trial_whose_address_is_spoken_of_waits_for_nothing_else_to_happen() {
    let mut bench = serving(OnConflict::Defend);
    let other = ServiceName::new("default", "other");
    // Its node is asked for already, so that nothing comes back when it is answered.
    bench.endpoints(&other, &["node3"]);
    bench.api.put_service(&other, Some(asking()));
    bench.pump();
    bench.replies = false;
    bench.watches = false;
    bench.acknowledges = false;
    for _ in 0..100 {
        bench.run(Duration::from_millis(10));
        bench.judge(Verdict::Done);
        assert_eq!(bench.speaker.sizes().excesses().collect::<Vec<_>>(), []);
    }
    assert_eq!(bench.ask(189), Some(mac(9)));
}

#[test]
fn a_service_that_is_gone_before_its_address_is_found_in_use_leaves_nothing_behind() {
    let mut bench = leading(OnConflict::Defend);
    bench.replies = false;
    bench.service(&web(), Some(asking()));
    bench.service(&web(), None);
    claim(&mut bench, 188, (STRANGER, STRANGER));
    assert_eq!(bench.speaker.sizes().excesses().collect::<Vec<_>>(), []);
}

#[test]
fn what_was_given_is_not_tried_out_again_by_who_leads_next_nor_when_it_moves() {
    let mut bench = serving(OnConflict::Defend);
    bench.endpoints(&web(), &["node4"]);
    assert_eq!(bench.ask(188), Some(mac(10)));
    bench.restart();
    bench.prepare();
    bench.run(secs(9));
    assert_eq!(bench.ask(188), Some(mac(10)));
    assert_eq!(bench.probed, []);
}

#[test]
fn an_address_that_a_host_has_is_set_aside_and_another_is_given() {
    let mut bench = leading(OnConflict::Defend);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.apply(&web(), asking());
    bench.run(secs(1));
    assert_eq!(bench.shown(&web()).ingress, [shows(189)]);
    let found =
        format!("172.22.0.188 is set aside: a host that is no node has it on eth0, at {STRANGER}");
    assert_eq!(bench.ready("pool"), format!("True Served: served on eth0; {found}"));
    assert_eq!(bench.told("AddressInUse"), [found]);
    assert_eq!(bench.speaker.disputes(), Disputes { set_aside: 1, ..Disputes::default() });

    bench.rivals.clear();
    bench.run(TEN_MINUTES);
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
    bench.apply(&named("next"), asking());
    bench.run(secs(1));
    assert_eq!(bench.shown(&named("next")).ingress, [shows(188)]);
}

#[test]
fn who_asks_for_an_address_that_a_host_has_is_told_and_gets_it_when_it_is_free() {
    let mut bench = leading(OnConflict::Defend);
    bench.rivals.insert(eip(195), (STRANGER, STRANGER));
    bench.apply(&web(), annotated(ADDRESS, "172.22.0.195"));
    bench.run(secs(4));
    assert_eq!(bench.shown(&web()).ingress, []);
    assert_eq!(bench.said(&web()), (false, "AddressInUse"));
    let message = format!(
        "172.22.0.195 is not given: a host that is no node has it on eth0, at {STRANGER}; name \
         another, or take it off there, and it is tried again within ten minutes"
    );
    assert_eq!(bench.message(&web()), message);

    bench.rivals.clear();
    bench.run(TEN_MINUTES);
    assert_eq!(bench.shown(&web()).ingress, [shows(195)]);
    assert_eq!(bench.said(&web()), (true, "Announced"));
}

#[test]
fn a_pool_of_which_a_node_answers_for_every_address_names_that_node() {
    let mut bench = leading(OnConflict::Defend);
    bench.eip(&pool(), Some(layer2("172.22.0.188-172.22.0.189")));
    for last in [188, 189] {
        bench.rivals.insert(eip(last), (mac(10), mac(10)));
    }
    bench.apply(&web(), asking());
    bench.run(secs(4));
    assert_eq!(bench.said(&web()), (false, "AddressInUse"));
    let message = bench.message(&web());
    assert!(message.contains("172.22.0.188 is set aside: node4's kernel answers"), "{message}");
    assert!(message.contains("arp_ignore=1, and 1 more likewise"), "{message}");
}

#[test]
fn a_large_pool_of_which_somebody_has_every_address_is_refused_until_one_is_to_be_tried_again() {
    let mut bench = leading(OnConflict::Defend);
    let net = "172.22.0.3/16".parse().unwrap();
    bench.tell(Input::Link(eth0(), Ok(Link { addresses: vec![net], ..link() })));
    bench.eip(&pool(), Some(layer2("172.22.16.0-172.22.33.255")));
    for a in 16..34 {
        for b in 0..=255 {
            bench.rivals.insert([172, 22, a, b].into(), (STRANGER, STRANGER));
        }
    }
    bench.apply(&web(), asking());
    // Of 4608 addresses 500 a second are asked for.
    bench.run(secs(13));
    assert_eq!(bench.said(&web()), (false, "AddressInUse"));
    let from = bench.probed.len();
    bench.run(secs(60));
    assert_eq!(bench.probed.len() - from, 0);
    assert_eq!(bench.speaker.disputes().set_aside, 4_096);
}

#[test]
fn that_nobody_answers_on_a_link_that_is_suspected_is_no_proof_that_nobody_has_an_address() {
    let mut bench = serving(OnConflict::Defend);
    // The switch forwards nothing for a while, and the carrier stays.
    bench.mute.extend([eip(9), eip(10)]);
    bench.endpoints(&named("next"), &["node3"]);
    bench.api.put_service(&named("next"), Some(asking()));
    bench.pump();
    bench.run(secs(2));
    assert_eq!(bench.shown(&named("next")).ingress, []);
    // It forwards again, and who has the address is heard.
    bench.mute.clear();
    bench.rivals.insert(eip(189), (STRANGER, STRANGER));
    bench.run(secs(5));
    assert_eq!(
        (bench.ask(188), bench.ask(189), bench.ask(190)),
        (Some(mac(9)), None, Some(mac(9)))
    );
}

#[test]
fn where_there_is_no_other_station_an_address_is_given_all_the_same() {
    let mut bench = leading(OnConflict::Defend);
    for (name, _) in NODES.iter().filter(|(name, _)| *name != "node1") {
        bench.node(name, None);
    }
    bench.mute.extend((0..=255).map(eip));
    bench.apply(&web(), asking());
    bench.run(secs(1));
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
}

#[test]
fn an_address_is_given_untried_where_nobody_can_be_asked() {
    let mut bench = leading(OnConflict::Defend);
    bench.eip(&pool(), Some(layer2("10.7.0.1-10.7.0.9")));
    bench.apply(&web(), asking());
    assert_eq!(
        bench.shown(&web()).shown().collect::<Vec<_>>(),
        ["10.7.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(bench.probed, []);
}

#[test]
fn an_address_is_tried_out_though_its_link_is_not_told_yet() {
    let reaching = Eip {
        interface: Some("can_reach:172.22.0.1".to_owned()),
        ..layer2("172.22.0.188-172.22.0.200")
    };
    let route = |bench: &mut Bench, route| bench.tell(Input::Route(eip(1), route));
    for first in [None, Some(Err(Unroutable::NoRoute))] {
        let mut bench = leading(OnConflict::Defend);
        bench.rivals.insert(eip(188), (STRANGER, STRANGER));
        bench.endpoints(&web(), &["node3"]);
        bench.eip(&pool(), Some(reaching.clone()));
        bench.api.put_service(&web(), Some(asking()));
        bench.pump();
        if let Some(first) = first {
            route(&mut bench, first);
            bench.run(secs(4));
            assert_eq!(bench.said(&web()), (false, "NoRoute"));
        } else {
            bench.run(Duration::from_millis(50));
        }
        assert_eq!((bench.used().len(), bench.shows(&web()).len()), (0, 0));
        route(&mut bench, Ok(eth0()));
        bench.run(secs(5));
        assert_eq!((bench.ask(188), bench.ask(189)), (None, Some(mac(9))));
    }
}

#[test]
fn by_the_timers_of_rfc_5227_it_takes_seven_seconds_at_most() {
    let mut bench = Bench::with(Some(ConflictProbing::rfc5227()), OnConflict::Defend);
    assert_eq!(ConflictProbing::rfc5227().lasts_at_most(), secs(7));
    bench.lead();
    bench.apply(&web(), asking());
    bench.run(Duration::from_millis(3_700));
    assert_eq!(bench.used().len(), 0);
    bench.run(Duration::from_millis(3_550));
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    let gaps: Vec<_> = bench.probed.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    assert!(
        gaps.len() == 2 && gaps.iter().all(|gap| (secs(1)..=secs(2)).contains(gap)),
        "{gaps:?}"
    );
}

#[test]
fn an_address_that_a_host_tries_out_at_the_same_time_is_left_to_it() {
    let mut bench = leading(OnConflict::Defend);
    bench.endpoints(&web(), &["node3"]);
    bench.api.put_service(&web(), Some(asking()));
    bench.pump();
    bench.run(Duration::from_millis(10));
    for _ in 0..3 {
        probe(&mut bench, eip(188), (STRANGER, STRANGER));
        bench.run(secs(1));
    }
    // Nobody was in its way.
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(10));
    assert_eq!(bench.shown(&web()).ingress, [shows(189)]);
    let told = bench.told("AddressInUse").join("\n");
    assert!(told.starts_with("172.22.0.188 is set aside: a host"), "{told}");
    assert!(told.contains(&STRANGER.to_string()), "{told}");
}

#[test]
fn an_address_of_ipv6_that_somebody_tries_out_at_the_same_time_is_left_to_it() {
    let mut bench = leading(OnConflict::Defend);
    let mut addresses = link().addresses;
    addresses.push("fd00::3/64".parse().unwrap());
    bench.tell(Input::Link(eth0(), Ok(Link { addresses, ..link() })));
    bench.eip(&"six".into(), Some(layer2("fd00::b8-fd00::c8")));
    bench.api.put_service(
        &web(),
        Some(porter_core::Service { families: vec![porter_core::Family::V6], ..asking() }),
    );
    bench.pump();
    bench.run(Duration::from_millis(10));
    let group = (eth0(), porter_core::wire::solicited_node("fd00::b8".parse().unwrap()));
    assert!(bench.groups.contains(&group), "nobody else is heard of otherwise");
    let all_nodes = MacAddr(0x33, 0x33, 0, 0, 0, 1);
    for _ in 0..10 {
        probe(&mut bench, six(0xb8), (MacAddr::zero(), all_nodes));
        bench.run(Duration::from_millis(20));
    }
    bench.run(secs(70));
    assert!(!bench.groups.contains(&group));
    assert_eq!(bench.shown(&web()).shown().collect::<Vec<_>>(), [six(0xb9)]);
    assert_eq!(
        bench.told("AddressInUse"),
        [
            "fd00::b8 is set aside: a host that did not tell its MAC on eth0 tried it out at the same \
          time, as who takes an address does"
        ]
    );
}

#[test]
fn what_was_found_out_before_a_link_led_elsewhere_does_not_count() {
    let mut bench = leading(OnConflict::Defend);
    bench.endpoints(&web(), &["node3"]);
    // It is found out while the Service is being written.
    bench.replies = false;
    bench.api.put_service(&web(), Some(asking()));
    bench.pump();
    bench.run(Duration::from_millis(500));
    assert_eq!(bench.probed.len(), 3);
    // A bond goes on with another port, say, which leads elsewhere.
    bench.own = mac(33);
    bench.tell(Input::Link(eth0(), Ok(Link { mac: mac(33), ..link() })));
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.replies = true;
    bench.pump();
    bench.run(secs(5));
    assert_eq!(bench.shown(&web()).ingress, [shows(189)]);
}

#[test]
fn what_the_lan_sends_back_of_a_trial_is_no_contender() {
    let mut bench = leading(OnConflict::Defend);
    bench.api.put_service(&web(), Some(asking()));
    bench.pump();
    for _ in 0..10 {
        probe(&mut bench, eip(188), (mac(3), mac(3)));
        bench.run(Duration::from_millis(20));
    }
    bench.run(secs(1));
    assert_eq!(bench.used().into_keys().collect::<Vec<_>>(), [eip(188)]);
}

// Afterwards.

#[test]
fn who_tries_out_an_address_in_use_is_named_once_in_ten_minutes() {
    let mut bench = serving(OnConflict::Defend);
    let from = bench.now;
    while bench.now < from + TEN_MINUTES {
        probe(&mut bench, eip(188), (STRANGER, STRANGER));
        bench.run(secs(1));
    }
    let message = format!(
        "a host at {STRANGER} on eth0 meant to take 172.22.0.188 and was told that it is in use; that did no \
         harm, but if it is to have the address, take it out of the Eip"
    );
    assert_eq!(bench.told("AddressProbed"), [&*message]);
    assert!(bench.events.iter().all(|event| !event.warning), "{:?}", bench.events);
    assert_eq!(conflict(&bench), None);

    bench.events.clear();
    probe(&mut bench, eip(188), (mac(10), mac(10)));
    bench.run(secs(1));
    let told = bench.told("AddressProbed").concat();
    assert!(told.starts_with("node4, or another Porter there, at 02:00:00:00:00:0a"), "{told}");
}

#[test]
fn a_host_that_claims_an_address_is_named_until_it_stops() {
    let mut bench = serving(OnConflict::Defend);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(70));
    let message = format!(
        "a host that is no node of this cluster claims 172.22.0.188 on eth0, at {STRANGER}: take the \
         address off that host, or give the Service another"
    );
    assert_eq!(conflict(&bench), Some(format!("ForeignHost: {message}")));
    assert_eq!(bench.told("AddressConflict"), [&*message]);
    assert_eq!(bench.speaker.disputes().by_strangers, 1);
    // It is answered all the same.
    assert_eq!((bench.said(&web()), bench.ask(188)), ((true, "Announced"), Some(mac(9))));

    bench.rivals.clear();
    bench.run(secs(60));
    assert_eq!(conflict(&bench), None);
    assert_eq!(bench.told("AddressConflictOver").len(), 1);
    assert_eq!(bench.speaker.disputes(), Disputes::default());
}

#[test]
fn a_node_whose_kernel_answers_is_named_with_what_to_do() {
    let mut bench = serving(OnConflict::Defend);
    // Also the one that is answered with: once that is another, it will mislead.
    for last in [9, 10] {
        bench.rivals.insert(eip(188), (mac(last), mac(last)));
        bench.run(secs(110));
        let said = conflict(&bench).unwrap();
        let node = if last == 9 { "node3" } else { "node4" };
        assert!(
            said.starts_with(&format!("NodeAnswers: {node}'s kernel answers for 172.22.0.188"))
        );
        assert!(said.contains("strictARP") && said.contains("arp_ignore=1"), "{said}");
    }
    assert_eq!(bench.speaker.disputes().by_nodes, 1);
}

#[test]
fn a_node_that_may_not_be_answered_is_known_by_its_mac_nevertheless() {
    let mut bench = serving(OnConflict::Defend);
    let mut sick = node(11);
    sick.ready = false;
    bench.node("node5", Some(sick));
    bench.rivals.insert(eip(188), (mac(11), mac(11)));
    bench.run(secs(70));
    assert!(conflict(&bench).unwrap().starts_with("NodeAnswers: node5's kernel"));
}

#[test]
fn a_node_that_is_a_gateway_too_by_another_address_is_no_stranger() {
    let mut bench = serving(OnConflict::Defend);
    let gateways = [eip(1)].into();
    bench.elsewhere.insert(eip(1), mac(10));
    bench.tell(Input::Link(eth0(), Ok(Link { gateways, ..link() })));
    bench.rivals.insert(eip(188), (mac(10), mac(10)));
    bench.run(secs(75));
    let said = conflict(&bench).unwrap();
    assert!(said.starts_with("NodeAnswers: node4's kernel"), "{said}");
}

#[test]
fn of_many_nodes_that_are_not_probed_each_is_asked_for_its_mac_in_turn() {
    let mut bench = serving(OnConflict::Defend);
    let sick = |last| Node { ready: false, ..node(last) };
    for last in 20..=120 {
        bench.mute.insert(eip(last));
        bench.node(&format!("node-{last}"), Some(sick(last)));
    }
    bench.node("node-121", Some(sick(121)));
    bench.rivals.insert(eip(188), (mac(121), mac(121)));
    bench.run(secs(100));
    let said = conflict(&bench).unwrap();
    assert!(said.starts_with("NodeAnswers: node-121's kernel"), "{said}");
}

#[test]
fn another_speaker_is_told_from_a_kernel_and_named_by_the_node_it_runs_on() {
    let mut bench = serving(OnConflict::Defend);
    bench.rivals.insert(eip(188), (mac(9), mac(10)));
    bench.run(secs(70));
    let said = conflict(&bench).unwrap();
    assert!(said.starts_with("OtherSpeaker: another Porter, or another load balancer, on node4"));
    assert_eq!(bench.speaker.disputes().by_speakers, 1);
    bench.rivals.clear();
    bench.run(secs(60));
    bench.rivals.insert(eip(188), (STRANGER, MacAddr(2, 0x99, 0, 0, 0, 2)));
    bench.run(secs(70));
    let said = conflict(&bench).unwrap();
    assert!(
        said.starts_with("OtherSpeaker: another load balancer, or a proxy at 02:99:00:00:00:02"),
        "{said}"
    );
}

#[test]
fn two_porters_that_find_each_other_do_not_write_in_turns() {
    let mut bench = serving(OnConflict::Defend);
    bench.rivals.insert(eip(188), (mac(9), mac(10)));
    bench.run(secs(70));
    bench.written.clear();
    for _ in 0..20 {
        // The other one has its own words for it, or has not heard of us yet.
        for said in [None, Some("another Porter, or another load balancer, on node1 ..")] {
            bench.edit_service(&web(), |service| {
                let Some(conflict) = &mut service.conflict else { return };
                match said {
                    Some(said) => conflict.message = said.to_owned(),
                    None => conflict.reason = "NodeAnswers".to_owned(),
                }
            });
            bench.run(Duration::from_millis(500));
        }
    }
    assert!(bench.written.len() <= 15, "{}", bench.written.len());
}

#[test]
fn one_claim_is_contradicted_at_once_and_believed_only_if_it_comes_again() {
    let mut bench = serving(OnConflict::Defend);
    claim(&mut bench, 188, (STRANGER, STRANGER));
    bench.run(Duration::from_millis(10));
    assert_eq!(bench.announced.iter().map(|it| it.mac).collect::<Vec<_>>(), [mac(9)]);
    bench.run(secs(40));
    assert_eq!(conflict(&bench), None);
    assert!(bench.probed.iter().any(|(_, of)| *of == eip(188)), "it was asked for");
}

#[test]
fn an_address_is_defended_once_in_ten_seconds_however_often_it_is_claimed() {
    let mut bench = serving(OnConflict::Defend);
    let from = bench.now;
    for _ in 0..600 {
        claim(&mut bench, 188, (STRANGER, STRANGER));
        bench.run(Duration::from_millis(100));
    }
    let told = bench.announced.len();
    assert!((6..=8).contains(&told), "{told} announcements in {:?}", bench.now.since(from));
}

#[test]
fn who_says_the_same_as_we_do_is_not_contradicted() {
    let mut bench = serving(OnConflict::Defend);
    for _ in 0..100 {
        claim(&mut bench, 188, (mac(9), mac(9)));
        bench.run(Duration::from_millis(100));
    }
    assert_eq!(bench.announced, []);
}

#[test]
fn what_the_one_who_led_before_said_is_no_conflict() {
    let mut bench = Bench::with(Some(ConflictProbing::fast()), OnConflict::Defend);
    bench.endpoints(&web(), &["node3"]);
    bench.api.put_service(&web(), Some(asking()));
    bench.prepare();
    while !bench.speaker.leads(bench.now) {
        bench.run(Duration::from_millis(50));
    }
    for _ in 0..40 {
        claim(&mut bench, 188, (mac(10), mac(10)));
        bench.run(Duration::from_millis(100));
    }
    bench.run(secs(70));
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    assert_eq!((conflict(&bench), bench.told("AddressConflict").len()), (None, 0));
}

#[test]
fn a_claim_to_what_is_not_ours_is_nobody_s_business() {
    let mut bench = serving(OnConflict::Defend);
    for _ in 0..30 {
        claim(&mut bench, 190, (STRANGER, STRANGER));
        bench.run(Duration::from_millis(100));
    }
    assert_eq!((conflict(&bench), bench.speaker.disputes()), (None, Disputes::default()));
}

#[test]
fn an_address_that_is_yielded_and_not_named_is_replaced_and_left_alone_until_it_is_free() {
    let mut bench = serving(OnConflict::Yield);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert_eq!(bench.shown(&web()).ingress, [shows(189)]);
    assert_eq!((bench.ask(188), bench.ask(189)), (None, Some(mac(9))));
    assert_eq!((bench.said(&web()), conflict(&bench)), ((true, "Announced"), None));
    let set_aside =
        format!("172.22.0.188 is set aside: a host that is no node has it on eth0, at {STRANGER}");
    assert_eq!(bench.ready("pool"), format!("True Served: served on eth0; {set_aside}"));
    let left = set_aside.replace("is set aside", "is left to somebody else, and set aside");
    assert_eq!(bench.told("AddressConflict"), [left]);

    // Nobody gets it while that host has it, however often it is tried.
    bench.endpoints(&named("next"), &["node3"]);
    bench.apply(&named("next"), asking());
    bench.run(TEN_MINUTES);
    bench.apply(&named("third"), asking());
    bench.run(TEN_MINUTES);
    let all = [web(), named("next"), named("third")].map(|name| bench.shown(&name).ingress.clone());
    assert_eq!(all, [[shows(189)], [shows(190)], [shows(191)]]);
    bench.rivals.clear();
    bench.run(TEN_MINUTES);
    bench.apply(&named("last"), asking());
    bench.run(secs(1));
    assert_eq!(bench.shown(&named("last")).ingress, [shows(188)]);
    assert_eq!(bench.shown(&web()).ingress, [shows(189)]);
}

#[test]
fn what_was_claimed_while_there_was_nothing_to_answer_with_is_replaced_as_soon_as_there_is() {
    let mut bench = serving(OnConflict::Yield);
    bench.endpoints(&web(), &[]);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    bench.endpoints(&web(), &["node3"]);
    bench.pump();
    assert_eq!(bench.answers.entry(eth0(), eip(188)), None, "it waits for nothing else");
    bench.calm();
    assert_eq!((bench.ask(188), bench.ask(189)), (None, Some(mac(9))));
}

#[test]
fn where_no_other_address_is_free_a_yielded_one_is_given_back_all_the_same_and_comes_again() {
    let mut bench = serving(OnConflict::Yield);
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188".to_owned());
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert_eq!((bench.shown(&web()).ingress.len(), bench.ask(188)), (0, None));
    assert_eq!(bench.said(&web()), (false, "AddressInUse"));
    bench.rivals.clear();
    bench.run(TEN_MINUTES);
    assert_eq!(bench.ask(188), Some(mac(9)));
    assert_eq!(bench.said(&web()), (true, "Announced"));
}

#[test]
fn an_address_that_is_yielded_is_silent_until_nobody_claims_it() {
    let mut bench = serving_by_name(OnConflict::Yield);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert_eq!(bench.answers.entry(eth0(), eip(188)), Some(Err(Silence::Conflict)));
    assert_eq!(bench.said(&web()), (false, "LeftToAnother"));
    assert!(conflict(&bench).unwrap().starts_with("ForeignHost"));

    bench.rivals.clear();
    bench.run(secs(60));
    assert_eq!(bench.ask(188), Some(mac(9)));
    assert_eq!((bench.said(&web()), conflict(&bench)), ((true, "Announced"), None));
}

#[test]
fn what_a_node_s_kernel_claims_is_not_yielded() {
    let mut bench = serving(OnConflict::Yield);
    bench.rivals.insert(eip(188), (mac(10), mac(10)));
    bench.run(secs(75));
    assert!(conflict(&bench).unwrap().starts_with("NodeAnswers"));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_conflict_is_repeated_by_nobody_who_leads_next_and_ends_with_it() {
    let mut bench = serving(OnConflict::Defend);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    let said = bench.shown(&web()).conflict.clone();
    bench.restart();
    bench.prepare();
    bench.events.clear();
    bench.run(secs(80));
    assert_eq!(bench.shown(&web()).conflict, said);
    assert_eq!(bench.told("AddressConflict"), [""; 0]);
    bench.rivals.clear();
    bench.restart();
    bench.prepare();
    bench.run(secs(90));
    assert_eq!(conflict(&bench), None);
}

#[test]
fn a_service_that_goes_takes_its_conflict_along() {
    let mut bench = serving(OnConflict::Defend);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert!(conflict(&bench).is_some());
    bench.edit_service(&web(), |service| service.load_balancer = false);
    bench.calm();
    assert_eq!(conflict(&bench), None);
}

#[test]
fn a_hundred_addresses_are_asked_for_at_fifty_a_second_at_most() {
    let mut bench = leading(OnConflict::Defend);
    bench.eip(&pool(), Some(layer2("172.22.0.100-172.22.0.220")));
    let names: Vec<_> = (0..100).map(|i| format!("web-{i}")).collect();
    bench.apply_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
    bench.run(secs(2));
    bench.probed.clear();
    bench.run(secs(130));
    let times: Vec<Instant> = bench.probed.iter().map(|(at, _)| *at).collect();
    assert!((150..=250).contains(&times.len()), "{}", times.len());
    let close = times.windows(6).filter(|six| six[5].since(six[0]) < Duration::from_millis(100));
    assert_eq!(close.count(), 0, "five at once, ten times a second");
    assert_eq!(bench.speaker.sizes().excesses().count(), 0);
}

#[test]
fn what_an_earlier_leader_left_to_its_owner_is_left_to_it_by_who_leads_next() {
    let mut bench = serving_by_name(OnConflict::Yield);
    // It answers when it is asked and says nothing by itself, as Linux.
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert_eq!((bench.ask(188), bench.said(&web())), (None, (false, "LeftToAnother")));
    bench.restart();
    bench.prepare();
    bench.announced.clear();
    for _ in 0..100 {
        bench.run(secs(1));
        assert_eq!(bench.ask(188), None);
    }
    assert_eq!(bench.announced, []);

    bench.rivals.clear();
    bench.restart();
    bench.prepare();
    bench.run(secs(30));
    assert_eq!(bench.ask(188), Some(mac(9)), "nobody claims it any more");
}

#[test]
fn a_conflict_is_not_over_because_nobody_can_be_asked() {
    let mut bench = serving(OnConflict::Defend);
    bench.rivals.insert(eip(188), (STRANGER, STRANGER));
    bench.run(secs(75));
    assert!(bench.shown(&web()).conflict.is_some());
    bench.tell(Input::Link(eth0(), Ok(Link { carrier: false, ..link() })));
    bench.run(secs(90));
    assert_eq!(bench.told("AddressConflictOver"), [""; 0]);
    assert!(bench.shown(&web()).conflict.is_some());
}

#[test]
fn who_says_the_same_as_we_do_silences_nobody() {
    let mut bench = serving(OnConflict::Yield);
    // A switch that answers for those behind others, with what it has learned (EVPN, RFC 9161).
    bench.rivals.insert(eip(188), (mac(9), MacAddr(2, 0x99, 0, 0, 0, 2)));
    bench.run(secs(75));
    assert_eq!(bench.ask(188), Some(mac(9)), "{:?}", bench.said(&web()));
}

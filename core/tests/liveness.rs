//! What becomes of an EIP when its node, or this replica's own link, falls silent on the LAN.
//!
//! The bench is node1, whose LAN has two other nodes: node3 at .9 and node4 at .10.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Eip, Family, Input, Link, LinkName, Silence, TrafficPolicy};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A leader that answers for the guide's Service with node3, and could do so with others.
fn at_node3_with(others: &[&str]) -> Bench {
    let mut bench = Bench::serving();
    let nodes: Vec<_> = ["node3"].iter().chain(others).copied().collect();
    bench.endpoints(&web(), &nodes);
    bench.calm();
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench.announced.clear();
    bench
}

/// The nodes themselves.
mod nodes {
    use super::*;

    #[test]
    fn a_node_that_dies_is_left_within_a_second_and_the_lan_is_told() {
        let mut bench = at_node3_with(&["node4"]);
        bench.mute.insert(eip(9));
        bench.run(millis(1_000));
        assert_eq!(bench.ask(188), Some(mac(10)));
        assert_eq!(bench.record(&web()), Some("node4"));
        assert!(bench.announced.iter().any(|is_at| is_at.mac == mac(10)));
    }

    #[test]
    fn from_its_death_to_the_committed_move_nobody_is_sent_to_it() {
        let mut bench = at_node3_with(&["node4"]);
        bench.replies = false;
        bench.mute.insert(eip(9));
        bench.run(millis(1_000));
        assert_eq!(bench.ask(188), None);
        bench.replies = true;
        bench.run(millis(300));
        assert_eq!(bench.ask(188), Some(mac(10)));
    }

    #[test]
    fn a_node_that_is_answered_until_a_move_is_on_record_is_asked_as_often_as_before() {
        let mut bench = at_node3_with(&["node4"]);
        bench.replies = false;
        bench.endpoints(&web(), &["node4"]);
        bench.run(millis(400));
        assert_eq!(bench.ask(188), Some(mac(9)), "it passes on what arrives");
        bench.mute.insert(eip(9));
        bench.run(millis(1_000));
        assert_eq!(bench.ask(188), None);
    }

    #[test]
    fn without_another_candidate_the_record_stays_and_is_answered_when_the_node_is_back() {
        let mut bench = at_node3_with(&[]);
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
        bench.mute.insert(eip(9));
        bench.calm();
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.record(&web()), Some("node3"));
        assert_eq!(bench.said(&web()), (false, "NoUsableNode"));
        assert!(bench.message(&web()).contains("node3 does not answer on the LAN"));
        let answers = bench.speaker.answers();
        assert_eq!(answers.entry(eth0(), eip(188)), Some(Err(Silence::NodeDead)));

        bench.mute.clear();
        bench.run(millis(1_500));
        assert_eq!(bench.ask(188), Some(mac(9)));
        assert_eq!(bench.said(&web()), (true, "Announced"));
    }

    #[test]
    fn a_node_that_is_back_is_not_returned_to() {
        let mut bench = at_node3_with(&["node4"]);
        bench.mute.insert(eip(9));
        bench.run(millis(1_000));
        bench.mute.clear();
        bench.run(Duration::from_secs(300));
        assert_eq!(bench.ask(188), Some(mac(10)));
    }

    #[test]
    fn a_node_that_came_back_just_now_is_chosen_last_and_rather_than_none() {
        let mut bench = at_node3_with(&["node4"]);
        bench.mute.insert(eip(9));
        bench.run(millis(1_000));
        bench.mute.clear();
        bench.calm();

        bench.endpoints(&named("second"), &["node3", "node4"]);
        bench.service(&named("second"), Some(asking()));
        assert_eq!(bench.record(&named("second")), Some("node4"), "although it has one already");
        bench.endpoints(&named("third"), &["node3"]);
        bench.service(&named("third"), Some(asking()));
        assert_eq!(bench.record(&named("third")), Some("node3"));

        bench.run(Duration::from_secs(60));
        bench.endpoints(&named("fourth"), &["node3", "node4"]);
        bench.service(&named("fourth"), Some(asking()));
        assert_eq!(bench.record(&named("fourth")), Some("node3"), "which has fewer again");
    }

    /// A leader whose node3 died and came back, and whose node4, to which the EIP had moved, died then.
    fn where_two_come_and_go(policy: TrafficPolicy) -> Bench {
        let mut bench = at_node3_with(&["node4"]);
        bench.edit_service(&web(), |service| service.policy = policy);
        for last in [9, 10] {
            bench.mute.insert(eip(last));
            bench.run(millis(1_000));
            bench.mute.clear();
            bench.run(millis(5_000));
        }
        bench
    }

    #[test]
    fn no_eip_goes_back_and_forth_between_nodes_that_come_and_go_if_another_one_passes_it_on() {
        let mut bench = where_two_come_and_go(TrafficPolicy::Cluster);
        assert_eq!(bench.ask(188), Some(mac(3)));
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
        bench.run(Duration::from_secs(300));
        assert_eq!(bench.ask(188), Some(mac(3)), "it stays there");
    }

    #[test]
    fn under_local_it_goes_back_since_no_other_node_takes_the_traffic() {
        let bench = where_two_come_and_go(TrafficPolicy::Local);
        assert_eq!(bench.ask(188), Some(mac(9)));
    }

    /// What a node says at its other address is said by nobody else.
    #[test]
    fn a_node_of_two_families_is_no_witness_against_itself() {
        let mut bench = Bench::leading_dual();
        bench.node("node4", None);
        for (slice, family) in [("web-4", Family::V4), ("web-6", Family::V6)] {
            bench.slice(slice, &web(), family, vec![ready("node3"), ready("node1")]);
        }
        bench.service(&web(), Some(dual()));
        bench.calm();
        bench.pin(&web(), "node3");
        assert_eq!((bench.ask(188), bench.ask_six(0xb8)), (Some(mac(9)), Some(mac(9))));

        bench.mute.extend([eip(9), six(9)]);
        bench.run(millis(1_000));
        assert_eq!((bench.ask(188), bench.ask_six(0xb8)), (Some(mac(3)), Some(mac(3))));
    }

    #[test]
    fn a_pin_to_a_dead_node_is_rejected_and_says_why() {
        let mut bench = at_node3_with(&["node4"]);
        bench.mute.insert(eip(10));
        // It is not in use, so its silence is found out when it is asked next.
        bench.run(Duration::from_secs(15));
        bench.pin(&web(), "node4");
        assert_eq!(bench.ask(188), Some(mac(9)));
        assert_eq!(bench.record(&web()), Some("node3"));
        let told = bench.told("PinRejected");
        assert!(told.iter().any(|told| told.contains("does not answer on the LAN")), "{told:?}");
    }

    #[test]
    fn a_new_leader_finds_out_itself_that_the_node_on_record_is_dead() {
        let mut bench = at_node3_with(&["node4"]);
        bench.mute.insert(eip(9));
        bench.restart();
        bench.lead();
        bench.run(Duration::from_secs(8));
        assert_eq!(bench.ask(188), Some(mac(10)));
    }
}

/// The replica's own link.
mod link {
    use super::*;

    #[test]
    fn a_gateway_that_falls_silent_with_the_only_other_node_casts_doubt_on_the_link() {
        for (silent, suspect) in [(vec![9], false), (vec![9, 1], true)] {
            let mut bench = Bench::serving();
            bench.node("node4", None);
            bench.endpoints(&web(), &["node1", "node3"]);
            let gateways = [eip(1)].into();
            bench.tell(Input::Link(eth0(), Ok(Link { gateways, ..link() })));
            bench.pin(&web(), "node3");
            bench.calm();
            assert_eq!(bench.ask(188), Some(mac(9)));
            bench.mute.extend(silent.into_iter().map(eip));
            bench.run(millis(1_000));
            assert_eq!(bench.speaker.leads(bench.now), !suspect);
            assert_eq!(bench.record(&web()), Some(if suspect { "node3" } else { "node1" }));
        }
    }

    #[test]
    fn if_all_fall_silent_at_once_the_leader_falls_silent_and_hands_over() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        bench.mute.extend([eip(9), eip(10)]);
        bench.run(millis(1_500));
        assert!(!bench.speaker.leads(bench.now));
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.record(&web()), Some("node3"), "it may be well");
        let (_, lease) = bench.api.lease.as_ref().unwrap();
        assert_eq!(lease.holder, None);
    }

    #[test]
    fn it_leads_again_as_soon_as_somebody_answers() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        bench.mute.extend([eip(9), eip(10)]);
        bench.run(millis(1_500));
        bench.mute.clear();
        bench.run(millis(1_500));
        assert!(bench.speaker.leads(bench.now));
        assert_eq!(bench.ask(188), Some(mac(9)));
    }

    #[test]
    fn if_nobody_else_leads_for_two_leases_the_silent_are_dead() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        bench.mute.extend([eip(9), eip(10)]);
        bench.run(Duration::from_secs(9));
        assert!(!bench.speaker.leads(bench.now));
        bench.run(Duration::from_secs(6));
        assert!(bench.speaker.leads(bench.now));
        assert_eq!(bench.ask(188), Some(mac(3)));
        assert_eq!(bench.record(&web()), Some("node1"));
    }

    #[test]
    fn while_another_leads_it_does_not_compete() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        bench.mute.extend([eip(9), eip(10)]);
        bench.run(millis(1_500));
        bench.usurp();
        let written = bench.written.len();
        bench.run(Duration::from_secs(14));
        assert!(!bench.speaker.leads(bench.now), "the other's claim ended 9 s ago");
        assert_eq!(bench.written.len(), written);
    }

    #[test]
    fn if_a_host_is_heard_it_is_not_the_link() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        bench.mute.extend([eip(9), eip(10)]);
        for _ in 0..30 {
            bench.run(millis(50));
            bench.tell(Input::Stirred(eth0()));
        }
        assert!(bench.speaker.leads(bench.now));
        assert_eq!(bench.ask(188), Some(mac(3)));
    }

    #[test]
    fn a_link_that_loses_its_carrier_is_handed_over_at_once() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        bench.tell(Input::Link(eth0(), Ok(Link { carrier: false, ..link() })));
        assert!(!bench.speaker.leads(bench.now));
        assert_eq!(bench.ask(188), None);
        bench.tell(Input::Link(eth0(), Ok(link())));
        bench.run(millis(500));
        assert!(bench.speaker.leads(bench.now));
    }

    #[test]
    fn while_another_link_serves_only_the_silent_one_falls_silent_and_says_so() {
        let mut bench = at_node3_with(&["node1", "node4"]);
        let beside = Eip { interface: Some("eth1".into()), ..layer2("10.0.0.7") };
        bench.apply_eip("beside", beside);
        let eth1 = Link { addresses: vec!["10.0.0.3/24".parse().unwrap()], ..link() };
        bench.tell(Input::Link(LinkName::new("eth1").unwrap(), Ok(eth1)));
        bench.mute.extend([eip(9), eip(10)]);
        bench.calm();
        assert!(bench.speaker.leads(bench.now));
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.record(&web()), Some("node3"));
        assert_eq!(bench.said(&web()), (false, "InterfaceSilent"));
    }
}

//! Replicas, nodes and the API server come and go.

use std::time::Duration;

use porter_core::{NodeName, keys};
use porter_sim::{Options, Step, World};

use crate::{EIP, FAILOVER_MAX, SETTLED, service, settled};

/// The annotation that records the node of a Service.
const RECORD: &str = keys::LAYER2.spelled(keys::Spelling::Porter);

#[test]
fn a_leader_that_is_asked_to_end_hands_over_within_50_ms() {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    world.leave(leader);
    world.run(Duration::from_millis(50));
    let heir = world.leader().expect("somebody leads");
    assert_ne!(heir, leader);
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_leader_that_hands_over_says_nothing_afterwards_and_the_next_one_announces_everything() {
    let mut world = settled();
    (0..3).for_each(|i| world.step(&Step::CreateService(i)));
    world.run(SETTLED);
    let answered: Vec<_> = world.used().into_iter().map(|(eip, _)| eip).collect();
    assert_eq!(answered.len(), 3, "{answered:?}");
    let old = world.leader().expect("somebody leads");
    let before = world.transcript().len();
    world.leave(old);
    world.run(Duration::from_secs(2));

    let transcript = world.transcript()[before..].to_owned();
    let old = format!("{} → ", world.replica_name(old));
    let released = transcript.find(" released by ").expect("the Lease is released");
    let since = &transcript[released..];
    assert!(!since.contains(&format!("{old}LAN")), "{since}");
    let heir = world.replica_name(world.leader().expect("somebody leads"));
    for eip in answered {
        let announces = format!("{heir} → LAN  who-has {eip} tell {eip}");
        assert!(since.contains(&announces), "{eip} is not announced: {since}");
    }
}

#[test]
fn a_leader_cut_off_from_the_api_falls_silent_before_another_speaks() {
    let mut world = settled();
    let old = world.leader().expect("somebody leads");
    world.cut(old);
    world.run(FAILOVER_MAX);
    let new = world.leader().expect("somebody leads");
    assert_ne!(new, old);
    assert!(!world.leads(old));
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_leader_that_stood_still_does_not_speak_when_it_goes_on() {
    let mut world = settled();
    let old = world.leader().expect("somebody leads");
    world.stall(old, Duration::from_secs(8));
    world.step(&Step::Ping(0));
    world.run(FAILOVER_MAX);
    let new = world.leader().expect("somebody leads");
    assert_ne!(new, old);
    world.run(SETTLED);
    assert_eq!(world.leader(), Some(new));
}

#[test]
fn a_new_leader_announces_what_it_answers_for() {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    world.take_down(leader);
    world.run(FAILOVER_MAX);
    let heir = world.leader().expect("somebody leads");
    let announces = format!("{} → LAN  who-has {EIP} tell {EIP}", world.replica_name(heir));
    assert!(world.transcript().contains(&announces));
}

#[test]
fn whoever_asked_in_vain_is_answered_by_the_new_leader_before_asking_again() {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    world.take_down(leader);
    world.run(Duration::from_secs(3));
    while world.leader().is_none() {
        world.step(&Step::Ask(0));
        world.run_until(Duration::from_millis(900), |world| world.leader().is_some());
    }
    let before = world.transcript().len();
    world.run(Duration::from_millis(90));
    let since = &world.transcript()[before..];
    let heir = world.replica_name(world.leader().expect("somebody leads"));
    let answered =
        since.lines().filter(|line| line.contains(heir) && line.ends_with(", 172.22.0.100"));
    assert_eq!(answered.count(), 1, "{since}");
}

#[test]
fn an_api_outage_silences_everybody_and_its_end_brings_the_same_node_back() {
    let mut world = settled();
    let node = world.recorded_node(&service());
    (0..world.n_replicas()).for_each(|replica| world.cut(replica));
    world.run(SETTLED);
    assert_eq!(world.leader(), None);
    (0..world.n_replicas()).for_each(|replica| world.heal(replica));
    world.run(SETTLED);
    assert_eq!(world.recorded_node(&service()), node);
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_new_leader_asks_before_it_answers_from_what_it_knew() {
    let mut world = settled();
    assert!(world.ping(EIP).is_ok());
    let old = world.leader().expect("somebody leads");
    let heirs = (0..world.n_replicas()).filter(|replica| *replica != old);
    heirs.for_each(|heir| world.step(&Step::BreakWatch(heir, porter_core::Kind::Service, 9_000)));
    let node = world.recorded_node(&service());
    let others = world.nodes_behind(&service()).into_iter();
    let other = others.clone().find(|other| Some(other) != node.as_ref());
    world.annotate_service(&service(), RECORD, other.as_ref().map(NodeName::as_str));
    world.run(Duration::from_secs(1));
    world.leave(old);
    world.run(Duration::from_secs(1));
    world.flush_neighbours();
    assert_eq!(world.ping(EIP).ok().map(|(node, _)| node), other);
}

#[test]
fn relists_of_an_unchanged_lease_are_no_sign_of_life_of_a_dead_leader() {
    let mut world = settled();
    let dead = world.leader().expect("somebody leads");
    world.take_down(dead);
    world.run(Duration::from_secs(1));
    for replica in 0..world.n_replicas() {
        world.step(&Step::BreakWatch(replica, porter_core::Kind::Lease, 0));
    }
    world.run(FAILOVER_MAX - Duration::from_secs(1));
    assert_ne!(world.leader(), None);
}

#[test]
fn a_leader_that_cannot_list_services_for_ten_seconds_hands_over() {
    let mut world = settled();
    let blind = world.leader().expect("somebody leads");
    world.step(&Step::BreakWatch(blind, porter_core::Kind::Slice, 60_000));
    world.run(Duration::from_secs(13));
    let sighted = world.leader().expect("somebody leads");
    assert_ne!(sighted, blind);
}

#[test]
fn a_lease_that_somebody_deleted_is_waited_out_before_anybody_leads() {
    let mut world = settled();
    world.step(&Step::DeleteLease);
    world.run(Duration::from_millis(4_900));
    assert_eq!(world.leader(), None);
    world.run(FAILOVER_MAX);
    assert_ne!(world.leader(), None);
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn without_a_ready_pod_the_eip_is_not_answered_and_the_record_stays() {
    let mut world = settled();
    let node = world.recorded_node(&service());
    world.scale(&porter_core::Namespaced::new("default", "mylbapp"), 0);
    world.run(SETTLED);
    world.flush_neighbours();
    assert!(world.ping(EIP).is_err());
    assert_eq!(world.recorded_node(&service()), node);
}

#[test]
fn a_node_that_got_its_pod_back_is_not_returned_to() {
    let mut world = settled();
    let old = world.recorded_node(&service()).expect("the Service has a node");
    world.delete_pods(&old);
    world.run(SETTLED);
    let new = world.recorded_node(&service());
    assert_ne!(new.as_ref(), Some(&old));
    world.scale(&porter_core::Namespaced::new("default", "mylbapp"), 3);
    world.run(SETTLED);
    assert!(world.nodes_behind(&service()).contains(&old));
    assert_eq!(world.recorded_node(&service()), new);
}

#[test]
fn one_replica_alone_is_enough() {
    let options = Options { n_replicas: 1, ..Options::guide() };
    let mut world = World::with_guide(options, 1);
    world.run(SETTLED);
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn clocks_far_beyond_the_bound_overlap_and_that_is_counted() {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    world.set_clock(leader, -500_000);
    world.cut(leader);
    world.run(SETTLED);
    assert_ne!(world.n_overlaps(), 0);
}

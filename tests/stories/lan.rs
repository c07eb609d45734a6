//! Hosts of other kinds, strangers, switches with ideas of their own, and nodes that change: one voice
//! and the right node nevertheless, and everybody reaches it once that is over.

use std::time::Duration;

use porter_core::{MacAddr, NodeName};
use porter_sim::{Client, Options, Step, World};

use crate::{EIP, FAILOVER_MAX, SETTLED, service, settled};

/// The guide's EIP, as steps call it.
const NUMBER: u8 = 0;
/// By when everybody has heard an announcement, whatever they were told before.
const REFRESHED: Duration = Duration::from_secs(110);

fn recorded(world: &World) -> NodeName {
    world.recorded_node(&service()).expect("a node is recorded")
}

fn number(world: &World, node: &NodeName) -> usize {
    let replica = (0..world.n_replicas()).find(|id| world.replica_name(*id) == node.as_str());
    replica.expect("every node has a replica")
}

fn mac(world: &World) -> Option<MacAddr> {
    world.owed_mac(&service())
}

/// A settled world whose recorded node is not the leader's.
fn apart() -> (World, usize, usize) {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    let record = porter_core::keys::LAYER2.spelled(porter_core::keys::Spelling::Porter);
    let other = world.replica_name((leader + 1) % 3).to_owned();
    world.annotate_service(&service(), record, Some(&other));
    world.run(SETTLED);
    assert!(world.ping(EIP).is_ok());
    let target = number(&world, &recorded(&world));
    assert_ne!(target, leader);
    (world, leader, target)
}

#[test]
fn hosts_of_every_kind_learn_of_a_move_as_soon_as_their_kind_can() {
    let mut world =
        World::with_guide(Options { clients: Client::ALL.to_vec(), ..Options::guide() }, 1);
    world.run(SETTLED);
    world.step(&Step::Ask(NUMBER));
    world.run(Duration::from_secs(5));
    let (node, old) = (recorded(&world), mac(&world));
    assert!(world.neighbours(EIP).iter().all(|(_, known)| *known == old), "all know the node");
    // The leader may lose its power with that node.
    world.step(&Step::Power(number(&world, &node), false));
    world.run(FAILOVER_MAX + Duration::from_secs(1));
    let new = mac(&world);
    assert!(new.is_some() && new != old, "it moved");
    for (kind, known) in world.neighbours(EIP) {
        let deaf = kind == Client::Deaf;
        world.demand(known == if deaf { old } else { new }, &format!("{kind:?} heard of it"));
    }
    for _ in 0..60 {
        world.step(&Step::Ping(NUMBER));
        world.run(Duration::from_secs(1));
    }
    for (kind, known) in world.neighbours(EIP) {
        world.demand(known == new, &format!("{kind:?} has found it"));
    }
}

#[test]
fn a_stranger_that_claims_an_eip_is_no_node_and_when_it_leaves_all_are_told_better() {
    let (mut world, leader, target) = apart();
    let right = mac(&world);
    world.step(&Step::Claim(NUMBER, true));
    world.step(&Step::Ask(NUMBER));
    world.run(Duration::from_secs(3));
    let (_, known) = world.neighbours(EIP)[0];
    assert!(known.is_some(), "somebody answers");
    assert_eq!(mac(&world), right, "the record is about the node as before");
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(number(&world, &recorded(&world)), target);
    world.step(&Step::Claim(NUMBER, false));
    world.run(REFRESHED);
    let (_, known) = world.neighbours(EIP)[0];
    world.demand(known == right, "the host is told where it is");
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_stranger_that_announces_the_address_of_a_dead_node_does_not_revive_it() {
    let (mut world, _, target) = apart();
    world.step(&Step::Power(target, false));
    world.run(SETTLED);
    for _ in 0..200 {
        world.step(&Step::Spoof(target));
        world.run(Duration::from_millis(37));
    }
    let record = porter_core::keys::LAYER2.spelled(porter_core::keys::Spelling::Porter);
    let dead = world.replica_name(target).to_owned();
    world.annotate_service(&service(), record, Some(&dead));
    for _ in 0..100 {
        world.step(&Step::Spoof(target));
        world.run(Duration::from_millis(37));
    }
    assert_ne!(number(&world, &recorded(&world)), target, "the dead stay dead");
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_storm_of_questions_moves_nothing_and_each_host_is_answered_four_hundred_times_at_most() {
    let (mut world, leader, target) = apart();
    let told = world.transcript().len();
    world.step(&Step::Storm(NUMBER, 1_000));
    world.run(Duration::from_secs(2));
    let since = world.transcript()[told..].to_owned();
    let answers = since.lines().filter(|line| line.contains("→ LAN") && line.contains("is-at"));
    let to_somebody = answers.filter(|line| !line.contains("everybody")).count();
    // Half of them are one host's, each other is of another host.
    assert!((890..=920).contains(&to_somebody), "{to_somebody} answers");
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(number(&world, &recorded(&world)), target);
}

#[test]
fn frames_that_make_no_sense_change_nothing() {
    let (mut world, leader, target) = apart();
    let right = mac(&world);
    for seed in 0..200 {
        world.step(&Step::Garble(seed));
        world.run(Duration::from_millis(20));
    }
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(number(&world, &recorded(&world)), target);
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
    assert_eq!(world.neighbour(EIP), right);
}

#[test]
fn where_a_switch_lets_nobody_speak_for_others_nothing_moves_and_after_that_all_is_well() {
    let (mut world, leader, target) = apart();
    world.step(&Step::Inspect(true));
    world.flush_neighbours();
    assert!(world.ping(EIP).is_err(), "nobody hears where it is");
    world.run(Duration::from_secs(30));
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(number(&world, &recorded(&world)), target, "nodes are heard as before");
    world.step(&Step::Inspect(false));
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn where_a_switch_drops_announcements_hosts_find_a_move_by_asking() {
    let (mut world, _, target) = apart();
    world.step(&Step::Filter(true));
    let old = mac(&world);
    world.step(&Step::Power(target, false));
    world.run(SETTLED);
    let new = mac(&world);
    assert!(new.is_some() && new != old, "it moved");
    assert_eq!(world.neighbour(EIP), old, "nobody told the host");
    let found = (0..60).any(|_| world.ping(EIP).is_ok() && world.neighbour(EIP) == new);
    world.demand(found, "the host finds it");
}

#[test]
fn where_a_switch_takes_the_speaker_s_port_for_the_node_s_the_node_is_not_taken_for_dead() {
    let (mut world, leader, target) = apart();
    world.step(&Step::BindPorts(true));
    for _ in 0..60 {
        world.step(&Step::Ask(NUMBER));
        world.run(Duration::from_millis(500));
    }
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(number(&world, &recorded(&world)), target);
    world.step(&Step::BindPorts(false));
    world.run(Duration::from_secs(2));
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn behind_a_switch_that_forgets_and_sends_nothing_to_who_is_forgotten_the_node_stays_in_reach() {
    let fdb_age = Some(Duration::from_secs(120));
    let options = Options { fdb_age, blocks_unknown: true, ..Options::guide() };
    let mut world = World::with_guide(options, 1);
    world.run(SETTLED);
    assert!(world.ping(EIP).is_ok());
    world.run(Duration::from_secs(600));
    world.flush_neighbours();
    let (_, took) = world.ping(EIP).expect("the node is in reach");
    assert!(took < Duration::from_millis(100), "at once, not after {took:?}");
}

#[test]
fn two_nodes_with_one_mac_are_told_apart_again_when_one_gets_another() {
    let (mut world, leader, target) = apart();
    let third = 3 - leader - target;
    world.step(&Step::CloneMac(third, target));
    world.run(Duration::from_secs(30));
    world.step(&Step::SwapNic(third));
    let agreed = world.agree();
    world.demand(agreed.is_ok(), &agreed.err().unwrap_or_default());
}

#[test]
fn a_node_that_gets_another_address_is_found_there() {
    let (mut world, _, target) = apart();
    world.step(&Step::Renumber(target));
    world.run(Duration::from_secs(15));
    assert!(mac(&world).is_some());
    assert!(world.ping(EIP).is_ok());
    // Another node may be recorded since: what counts is that the first is a node as before.
    let others = (0..3).filter(|node| *node != target);
    others.for_each(|node| world.step(&Step::Proxy(node, false)));
    let record = porter_core::keys::LAYER2.spelled(porter_core::keys::Spelling::Porter);
    let name = world.replica_name(target).to_owned();
    world.annotate_service(&service(), record, Some(&name));
    world.run(Duration::from_secs(70));
    assert!(world.ping(EIP).is_ok());
    assert_eq!(number(&world, &recorded(&world)), target);
}

#[test]
fn a_node_that_answers_for_eips_itself_misleads_hosts_and_no_replica() {
    let (mut world, leader, target) = apart();
    let right = mac(&world);
    let third = 3 - leader - target;
    world.step(&Step::AnswerEips(third, true));
    for _ in 0..20 {
        world.step(&Step::Ask(NUMBER));
        world.run(Duration::from_secs(1));
    }
    assert_eq!(mac(&world), right);
    assert_eq!(number(&world, &recorded(&world)), target);
    world.step(&Step::AnswerEips(third, false));
    world.run(REFRESHED);
    world.demand(world.neighbour(EIP) == right, "the host is told where it is");
}

#[test]
fn a_leader_whose_host_is_suspended_is_replaced_and_says_nothing_when_it_wakes() {
    let (mut world, leader, _) = apart();
    world.step(&Step::Suspend(leader, 30_000));
    let replaced = world.run_until(FAILOVER_MAX + Duration::from_secs(1), |world| {
        world.leader().is_some_and(|id| id != leader)
    });
    world.demand(replaced, "another leads");
    world.run(Duration::from_secs(40));
    assert_ne!(world.leader(), Some(leader), "it woke, and the other one goes on");
    assert!(world.ping(EIP).is_ok());
}

//! Nodes lose power, cables and frames, and Porter tells a dead node from a deaf leader.

use std::time::Duration;

use porter_core::{Kind, NodeName, Probing};
use porter_sim::{Options, Step, World};

use crate::{EIP, FAILOVER_MAX, SETTLED, service, settled};

/// How long writing a move and telling the LAN of it takes on a quiet day.
const MOVE_MAX: Duration = Duration::from_millis(100);
/// How long it takes until three questions to kube-proxy have failed, one every second, and until
/// then the first is asked; and the move.
const PROXY_MAX: Duration = Duration::from_millis(4_100);

/// The number of a node.
fn number(world: &World, node: &NodeName) -> usize {
    let replica = (0..world.n_replicas()).find(|id| world.replica_name(*id) == node.as_str());
    replica.expect("every node has a replica")
}

/// A settled world, and the numbers of the leader and of the node that is answered.
fn apart() -> (World, usize, usize) {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    let other = NodeName::from(world.replica_name((leader + 1) % 3));
    let record = porter_core::keys::LAYER2.spelled(porter_core::keys::Spelling::Porter);
    world.annotate_service(&service(), record, Some(other.as_str()));
    world.run(SETTLED);
    assert!(world.ping(EIP).is_ok());
    let target = world.recorded_node(&service()).expect("a node is recorded");
    assert_eq!(target, other, "a person's wish counts");
    let target = number(&world, &target);
    (world, leader, target)
}

/// That the EIP is behind another node than `target` within `limit`, for whoever listened.
fn moves_within(mut world: World, target: usize, limit: Duration) {
    let old = world.mac_of(&NodeName::from(world.replica_name(target)));
    let moved = world.run_until(limit, |world| world.neighbour(EIP) != old);
    world.demand(moved, &format!("clients know of another node within {limit:?}"));
    let by = world.ping(EIP).map(|(by, _)| number(&world, &by));
    world.demand(by.is_ok() && by != Ok(target), "the other node serves");
}

#[test]
fn a_node_that_loses_power_is_left_as_soon_as_three_probes_are_unanswered() {
    let (mut world, _, target) = apart();
    world.step(&Step::Power(target, false));
    moves_within(world, target, Probing::default().notices_within() + MOVE_MAX);
}

#[test]
fn a_node_whose_cable_is_pulled_out_is_left_as_soon_as_three_probes_are_unanswered() {
    let (mut world, _, target) = apart();
    world.step(&Step::Cable(target, false));
    moves_within(world, target, Probing::default().notices_within() + MOVE_MAX);
}

#[test]
fn a_node_whose_kube_proxy_ends_is_left_if_kube_proxy_is_asked_and_else_is_not() {
    for checks_proxies in [true, false] {
        let mut world = World::with_guide(Options { checks_proxies, ..Options::guide() }, 1);
        world.run(SETTLED);
        let (target, _) = world.ping(EIP).expect("the guide's Service is reached");
        let target = number(&world, &target);
        let old = world.mac_of(&NodeName::from(world.replica_name(target)));
        world.step(&Step::Proxy(target, false));
        let moved = world.run_until(PROXY_MAX, |world| world.neighbour(EIP) != old);
        world.demand(moved == checks_proxies, "only who asks notices");
        assert_eq!(world.ping(EIP).is_ok(), checks_proxies);
    }
}

#[test]
fn a_new_leader_asks_a_node_again_before_it_names_its_mac() {
    let (mut world, leader, target) = apart();
    world.take_down(target);
    world.step(&Step::SwapNic(target));
    world.run(Duration::from_secs(2));
    let mac = world.mac_of(&NodeName::from(world.replica_name(target)));
    assert_eq!(world.neighbour(EIP), mac, "the leader has noticed");
    world.leave(leader);
    world.run(Duration::from_millis(200));
    assert!(world.leader().is_some_and(|heir| heir != leader));
    assert_eq!(world.neighbour(EIP), mac, "nobody was told of the old one again");
}

#[test]
fn a_node_that_is_the_leader_s_too_is_left_once_there_is_another_leader() {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    let record = porter_core::keys::LAYER2.spelled(porter_core::keys::Spelling::Porter);
    let name = world.replica_name(leader).to_owned();
    world.annotate_service(&service(), record, Some(&name));
    world.run(SETTLED);
    assert!(world.ping(EIP).is_ok());
    world.step(&Step::Power(leader, false));
    moves_within(world, leader, FAILOVER_MAX + Probing::default().notices_within() + MOVE_MAX);
}

#[test]
fn a_leader_that_hears_nobody_takes_nobody_for_dead() {
    let (mut world, leader, target) = apart();
    for other in (0..4).filter(|port| *port != leader) {
        world.step(&Step::Part(other, leader));
    }
    world.run(Duration::from_secs(20));
    let node = world.recorded_node(&service()).map(|node| number(&world, &node));
    world.demand(node == Some(target), "the record stays");
}

#[test]
fn a_node_that_only_the_leader_cannot_hear_is_left_all_the_same() {
    let (mut world, leader, target) = apart();
    world.step(&Step::Part(target, leader));
    moves_within(world, target, Probing::default().notices_within() + MOVE_MAX);
}

#[test]
fn a_node_that_comes_back_is_not_returned_to() {
    let (mut world, _, target) = apart();
    world.step(&Step::Power(target, false));
    world.run(SETTLED);
    world.step(&Step::Power(target, true));
    world.run(Duration::from_secs(30));
    let node = world.recorded_node(&service()).map(|node| number(&world, &node));
    world.demand(node.is_some() && node != Some(target), "the new node stays");
}

#[test]
fn watches_that_repeat_themselves_change_nothing() {
    let (mut world, _, target) = apart();
    let said = world.transcript().len();
    let kinds = [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];
    for replica in 0..3 {
        for kind in kinds {
            world.step(&Step::RepeatWatch(replica, kind, 9));
        }
    }
    world.run(Duration::from_secs(10));
    let node = world.recorded_node(&service()).map(|node| number(&world, &node));
    world.demand(node == Some(target), "the record stays");
    let since = world.transcript()[said..].to_owned();
    assert!(!since.contains(" → API  Service"), "a Service is written: {since}");
}

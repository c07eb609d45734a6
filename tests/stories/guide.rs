//! What the user guide says, statement by statement.

use std::time::Duration;

use porter_sim::{Manifest, Options, Step, Unreachable, tell};

use crate::{EIP, FAILOVER_MAX, SETTLED, service, settled};

#[test]
fn the_eip_is_listed_with_its_range() {
    let world = settled();
    let eips = world.get_eips();
    assert!(eips.contains("eip-sample-layer2   172.22.0.188-172.22.0.200   1       13"), "{eips}");
}

#[test]
fn the_service_gets_the_first_address_of_the_pool() {
    let world = settled();
    assert_eq!(world.external_ip(&service()), [EIP]);
    assert_eq!(world.used(), [(EIP, service())]);
    let services = world.get_services();
    assert!(services.contains("   172.22.0.188   8088:"), "{services}");
}

#[test]
fn the_deployment_s_two_pods_are_ready_on_nodes() {
    let world = settled();
    assert_eq!(world.nodes_behind(&service()).len(), 2);
}

#[test]
fn a_ping_from_outside_the_cluster_is_answered() {
    let mut world = settled();
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_host_outside_sees_one_mac_for_the_eip_and_for_the_node_s_own_address() {
    let mut world = settled();
    let (node, _) = world.ping(EIP).expect("the EIP is answered");
    let address = world.address_of(&node).expect("a node has an address");
    assert!(world.ping(address).is_ok());
    assert_eq!(world.neighbour(EIP), world.mac_of(&node));
    assert_eq!(world.neighbour(EIP), world.neighbour(address));
}

#[test]
fn the_node_that_is_answered_holds_a_ready_endpoint_and_is_recorded_on_the_service() {
    let mut world = settled();
    let (node, _) = world.ping(EIP).expect("the EIP is answered");
    assert!(world.nodes_behind(&service()).contains(&node));
    assert_eq!(world.recorded_node(&service()), Some(node));
}

#[test]
fn exactly_one_replica_answers_and_it_holds_the_lease() {
    let mut world = settled();
    assert!(world.ping(EIP).is_ok());
    let leader = world.leader().expect("somebody leads");
    assert_eq!(world.holder(), world.identity(leader));
    let reply = format!("→ LAN  {EIP} is-at ");
    let transcript = world.transcript();
    let mut replies = transcript.lines().filter(|line| line.contains(&reply));
    assert!(replies.all(|line| line.contains(&format!("{} {reply}", world.replica_name(leader)))));
}

#[test]
fn asked_again_later_the_mac_is_the_same() {
    let mut world = settled();
    assert!(world.ping(EIP).is_ok());
    let mac = world.neighbour(EIP);
    world.run(Duration::from_secs(600));
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
    assert_eq!(world.neighbour(EIP), mac);
}

#[test]
fn when_the_node_loses_its_pod_the_answer_moves_and_a_host_s_cache_follows_at_once() {
    let mut world = settled();
    let (old, _) = world.ping(EIP).expect("the EIP is answered");
    world.cordon(&old, true);
    world.delete_pods(&old);
    world.run(Duration::from_millis(100));
    let new = world.recorded_node(&service()).expect("the Service has a node");
    assert_ne!(new, old);
    assert!(world.nodes_behind(&service()).contains(&new));
    assert_eq!(world.neighbour(EIP), world.mac_of(&new));
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn when_the_leader_is_killed_another_answers_a_fresh_host_within_its_lease_and_half_a_second() {
    let mut world = settled();
    let (leader, holder) = (world.leader().expect("somebody leads"), world.holder());
    world.crash(leader);
    world.run(FAILOVER_MAX);
    assert_ne!(world.leader(), None);
    assert_ne!(world.holder(), holder);
    world.flush_neighbours();
    let (_, took) = world.ping(EIP).expect("the new leader answers");
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn when_the_service_is_deleted_the_eip_falls_silent_and_its_address_is_free() {
    let mut world = settled();
    assert!(world.ping(EIP).is_ok());
    world.delete_service(&service());
    world.run(Duration::from_millis(100));
    assert!(!world.has_service(&service()));
    assert_eq!(world.used(), []);
    world.flush_neighbours();
    assert_eq!(world.ping(EIP), Err(Unreachable));
}

#[test]
fn a_freed_address_goes_to_the_next_service() {
    let mut world = settled();
    world.delete_service(&service());
    world.run(SETTLED);
    world.step(&Step::CreateService(1));
    world.run(SETTLED);
    assert_eq!(world.used().first().map(|(eip, _)| *eip), Some(EIP));
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn the_same_manifests_and_seed_print_the_same_story_and_another_seed_another() {
    let eip = include_str!("../../deploy/examples/eip-sample-layer2.yaml");
    let service = include_str!("../../deploy/examples/mylbapp.yaml");
    let manifests = [eip, service].map(|yaml| Manifest::read(yaml).expect("it is the guide's"));
    let story = |seed| tell(Options::guide(), &manifests.concat(), seed, true).text;
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
    assert!(story(7).contains("64 bytes from 172.22.0.188: icmp_seq=1"));
}

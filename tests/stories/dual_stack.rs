//! A Service of two families: both addresses are at one node, whatever happens, and hosts reach it by
//! neighbor discovery as they do by ARP.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use porter_core::{MacAddr, NodeName};
use porter_sim::{Client, Options, Step, World};

use crate::{EIP, FAILOVER_MAX, SETTLED, service};

/// The IPv6 address that goes with the guide's.
const EIP_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd22, 0, 0, 0, 0, 0, 0, 188));
/// Both, as steps call them.
const NUMBER: u8 = 0;

/// The guide's cluster with addresses of both families, and a host of every kind.
fn dual_stack() -> World {
    let clients = Client::ALL.to_vec();
    let mut world = World::with_guide(Options { dual_stack: true, clients, ..Options::guide() }, 1);
    world.run(SETTLED);
    world
}

fn recorded(world: &World) -> (NodeName, MacAddr) {
    let node = world.recorded_node(&service()).expect("a node is recorded");
    (node, world.owed_mac(&service()).expect("it can serve"))
}

fn number(world: &World, node: &NodeName) -> usize {
    let replica = (0..world.n_replicas()).find(|id| world.replica_name(*id) == node.as_str());
    replica.expect("every node has a replica")
}

/// Who is at work behind both addresses.
fn reached(world: &mut World) -> Vec<NodeName> {
    [EIP, EIP_6].into_iter().filter_map(|eip| world.ping(eip).ok()).map(|(node, _)| node).collect()
}

#[test]
fn a_service_of_two_families_is_reached_over_both_at_one_node() {
    let mut world = dual_stack();
    assert_eq!(world.external_ip(&service()), [EIP, EIP_6]);
    let (node, mac) = recorded(&world);
    assert_eq!(reached(&mut world), [node.clone(), node]);
    assert_eq!(world.neighbour(EIP_6), Some(mac));
    let transcript = world.transcript();
    assert!(transcript.contains("client → LAN  who-has fd22::bc tell fd22::64"), "{transcript}");
    assert!(transcript.contains("fd22::bc is-at"), "{transcript}");
}

#[test]
fn a_node_that_dies_takes_neither_address_along_and_all_who_heed_announcements_hear_of_it() {
    let mut world = dual_stack();
    world.step(&Step::Ask(NUMBER));
    world.run(Duration::from_secs(2));
    let (node, old) = recorded(&world);
    world.step(&Step::Power(number(&world, &node), false));
    world.run(FAILOVER_MAX + Duration::from_secs(1));
    let (other, new) = recorded(&world);
    assert!(other != node && new != old);
    assert_eq!(reached(&mut world), [other.clone(), other]);
    for (kind, known) in world.neighbours(EIP_6) {
        let owed = if kind == Client::Deaf { old } else { new };
        world.demand(known == Some(owed), &format!("{kind:?} heard of it"));
    }
}

#[test]
fn a_leader_that_is_killed_is_replaced_for_both_families() {
    let mut world = dual_stack();
    let leader = world.leader().expect("somebody leads");
    let (node, _) = recorded(&world);
    world.take_down(leader);
    world.run(FAILOVER_MAX);
    assert_ne!(world.leader(), Some(leader));
    world.run(SETTLED); // No announcement is due by then that would answer for an answer.
    world.flush_neighbours();
    assert_eq!(reached(&mut world), [node.clone(), node]);
}

#[test]
fn a_stale_neighbour_is_asked_for_at_its_node_in_vain_and_then_in_its_group() {
    let mut world = dual_stack();
    let (node, mac) = recorded(&world);
    assert!(world.ping(EIP_6).is_ok());
    world.run(Duration::from_secs(50));
    assert!(world.ping(EIP_6).is_ok(), "a stale entry is used");
    let before = world.transcript().len();
    // The node does not know the EIP for its own, so that the host gives its entry up.
    world.run(Duration::from_secs(10));
    let since = world.transcript()[before..].to_owned();
    assert!(
        since.contains(&format!("client → LAN  who-has fd22::bc tell fd22::64 (asking {mac})"))
    );
    assert_eq!(world.neighbour(EIP_6), None, "{since}");
    assert_eq!(world.ping(EIP_6).map(|(by, _)| by), Ok(node));
}

#[test]
fn a_host_that_wants_an_eip_for_its_own_is_told_that_it_is_taken() {
    let mut world = dual_stack();
    let (node, _) = recorded(&world);
    world.step(&Step::Claim(NUMBER, true));
    world.run(Duration::from_secs(5));
    let transcript = world.transcript();
    assert!(transcript.contains("stranger → LAN  who-has fd22::bc tell ::"), "{transcript}");
    assert!(!transcript.contains("stranger → LAN  fd22::bc is-at"), "it does not take it");
    world.flush_neighbours();
    assert_eq!(world.ping(EIP_6).map(|(by, _)| by), Ok(node));
}

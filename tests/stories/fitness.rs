//! Who can serve most comes to lead; if nobody can serve anything, somebody says so.

use std::time::Duration;

use porter_sim::{Manifest, Step, World};

use crate::{EIP, SETTLED, service, settled};

/// How long nobody takes the Lease whose cable is out: it is missed, waited out, and left to those who
/// could serve, to those who may not, and to who gave it up since it heard nobody.
const NOBODY_FIT: Duration = Duration::from_secs(25);

/// An Eip on an interface that no node has.
const ELSEWHERE: &str = "
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: elsewhere
spec:
  address: 172.23.0.1-172.23.0.9
  interface: eth9
  protocol: layer2
";

/// A cluster in which every node but the host's has lost its cable, led by somebody all the same.
fn dark() -> (World, usize) {
    let mut world = settled();
    (0..3).for_each(|node| world.step(&Step::Cable(node, false)));
    world.run(NOBODY_FIT);
    let leader = world.leader().expect("somebody leads");
    (world, leader)
}

#[test]
fn a_leader_whose_cable_is_out_makes_room_for_one_that_can_serve() {
    let mut world = settled();
    let old = world.leader().expect("somebody leads");
    world.step(&Step::Cable(old, false));
    world.run(Duration::from_secs(1));
    let new = world.leader().expect("somebody leads");
    assert_ne!(new, old);
    world.run(SETTLED);
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
    world.step(&Step::Cable(old, true));
    world.run(Duration::from_secs(120));
    assert_eq!(world.leader(), Some(new), "nobody is fitter");
}

#[test]
fn a_leader_whose_cable_is_out_makes_room_though_other_eips_are_on_links_that_nobody_has() {
    let mut world = settled();
    for manifest in Manifest::read(ELSEWHERE).expect("this is an Eip") {
        world.apply(&manifest);
    }
    world.run(SETTLED);
    let old = world.leader().expect("somebody leads");
    world.step(&Step::Cable(old, false));
    world.run(Duration::from_secs(1));
    assert!(world.leader().is_some_and(|new| new != old));
}

#[test]
fn the_last_one_on_the_lan_comes_to_lead_though_it_hears_nobody() {
    let mut world = settled();
    let old = world.leader().expect("somebody leads");
    let last = (old + 1) % 3;
    world.step(&Step::Cable(old, false));
    world.step(&Step::Cable((old + 2) % 3, false));
    // One whose link was down before it started knows no more of it than that.
    world.step(&Step::Crash((old + 2) % 3));
    world.run(NOBODY_FIT);
    assert_eq!(world.leader(), Some(last));
    let node = world.recorded_node(&service()).expect("a node is recorded");
    assert_eq!(node.as_str(), world.replica_name(last), "it takes the others for dead");
}

#[test]
fn where_all_are_fit_nobody_wishes_for_anything() {
    let mut world = settled();
    let leader = world.leader();
    world.run(Duration::from_secs(120));
    assert_eq!(world.leader(), leader);
    assert!(!world.transcript().contains("wanted by"));
}

#[test]
fn if_nobody_can_serve_somebody_leads_and_says_why() {
    let (mut world, leader) = dark();
    world.run(Duration::from_secs(60));
    assert_eq!(world.leader(), Some(leader), "none is fitter than another");
    let transcript = world.transcript();
    assert!(transcript.contains("not announced: InterfaceMissing"), "{transcript}");
}

#[test]
fn a_leader_that_can_serve_nothing_hands_over_to_the_first_that_can() {
    let (mut world, leader) = dark();
    let before = world.transcript().len();
    // Two, since a link on which nobody else is heard is still suspect.
    (1..3).for_each(|beside| world.step(&Step::Cable((leader + beside) % 3, true)));
    world.run(Duration::from_secs(4));
    assert_eq!(world.leader(), Some(leader), "it has to last");
    world.run(Duration::from_secs(6));
    let fitter = world.leader().expect("somebody leads");
    assert_ne!(fitter, leader);
    let since = world.transcript()[before..].to_owned();
    let wish = format!(", wanted by {}", world.identity(fitter).expect("it runs"));
    assert!(since.contains(&wish), "{since}");
    world.run(SETTLED);
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_leader_whose_link_is_down_hands_over_to_one_that_merely_hears_nobody_and_that_one_serves() {
    let (mut world, leader) = dark();
    let alone = (leader + 1) % 3;
    world.step(&Step::Cable(alone, true));
    world.run(Duration::from_secs(10));
    assert_eq!(world.leader(), Some(alone));
    world.run(SETTLED);
    let node = world.recorded_node(&service()).expect("a node is recorded");
    assert_eq!(node.as_str(), world.replica_name(alone), "it takes the others for dead");
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
    world.run(Duration::from_secs(120));
    assert_eq!(world.leader(), Some(alone), "those that could serve nothing want nothing");
}

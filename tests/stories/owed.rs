//! What is owed once faults have stopped, tried out in a cluster of which it is known what happens.

use std::time::Duration;

use porter_sim::{Step, Trial, World};

use crate::{SETTLED, settled};

/// The guide's cluster with some more Services, after something was tried out there.
fn tried(trial: Trial) -> World {
    let mut world = settled();
    (1..6).for_each(|i| world.step(&Step::CreateService(i)));
    world.run(SETTLED);
    let kept = world.attempt(trial);
    world.demand(kept.is_ok(), &kept.err().unwrap_or_default());
    world
}

#[test]
fn a_node_that_dies_is_left_and_the_lan_told_in_time() {
    assert!(tried(Trial::Target).transcript().contains("loses its power"));
}

#[test]
fn a_leader_that_dies_is_replaced_in_time() {
    assert!(tried(Trial::Successor).transcript().contains("is killed"));
}

#[test]
fn a_leader_that_leaves_is_replaced_in_time() {
    assert!(tried(Trial::Handover).transcript().contains("is asked to end"));
}

#[test]
fn a_node_that_comes_moves_nothing_and_one_with_a_bad_cable_little() {
    assert!(tried(Trial::Steadiness).transcript().contains("of a thousand frames"));
}

#[test]
fn new_services_go_to_the_nodes_that_have_least() {
    assert!(tried(Trial::Balance).transcript().contains("default/web-45"));
}

#[test]
fn those_that_are_not_mended_keep_nobody_from_agreeing() {
    let mut world = settled();
    world.step(&Step::Power(2, false));
    world.step(&Step::Cut(1));
    world.leave_outside([1, 2]);
    let agreed = world.agree();
    world.demand(agreed.is_ok(), &agreed.err().unwrap_or_default());
    assert_eq!(world.leader(), Some(0));
    world.run(Duration::from_secs(60));
    assert_eq!(world.leader(), Some(0));
}

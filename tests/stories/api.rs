//! An API server that is there and does not do what it is asked.

use std::time::Duration;

use porter_core::Kind;
use porter_sim::{Step, World};

use crate::{EIP, FAILOVER_MAX, SETTLED, service, settled};

/// That an EIP is served now, and by a leader.
fn serves(world: &mut World) {
    assert!(world.leader().is_some());
    world.flush_neighbours();
    assert!(world.ping(EIP).is_ok());
}

#[test]
fn a_leader_that_is_refused_for_less_than_its_lease_goes_on() {
    for refuse in [Step::Busy, Step::Fail, Step::Forbid] {
        let mut world = settled();
        let leader = world.leader().expect("somebody leads");
        world.step(&refuse(leader, 1_000));
        world.run(Duration::from_secs(10));
        assert_eq!(world.leader(), Some(leader), "{:?}", refuse(0, 0));
        serves(&mut world);
    }
}

#[test]
fn a_leader_that_is_refused_for_long_is_replaced_by_one_that_is_not() {
    for refuse in [Step::Busy, Step::Fail, Step::Forbid] {
        let mut world = settled();
        let leader = world.leader().expect("somebody leads");
        world.step(&refuse(leader, 60_000));
        let replaced = world
            .run_until(2 * FAILOVER_MAX, |world| world.leader().is_some_and(|id| id != leader));
        world.demand(replaced, &format!("another leads after {:?}", refuse(0, 0)));
        world.run(Duration::from_secs(1));
        serves(&mut world);
    }
}

#[test]
fn an_api_server_that_stands_still_for_ten_seconds_is_waited_for() {
    let mut world = settled();
    let node = world.recorded_node(&service());
    world.step(&Step::StallApi(10_000));
    world.run(SETTLED + Duration::from_secs(6));
    serves(&mut world);
    assert_eq!(world.recorded_node(&service()), node);
}

#[test]
fn a_watch_that_expires_or_begins_with_an_old_list_takes_nothing_back() {
    let kinds = [Kind::Eip, Kind::Lease, Kind::Namespace, Kind::Node, Kind::Service, Kind::Slice];
    let mut world = settled();
    let (leader, node) = (world.leader(), world.recorded_node(&service()));
    for kind in kinds {
        for replica in 0..3 {
            world.step(&Step::Expire(replica, kind));
            world.run(Duration::from_secs(1));
            world.step(&Step::StaleList(replica, kind, 20));
            world.run(Duration::from_secs(1));
        }
    }
    assert_eq!(world.leader(), leader);
    assert_eq!(world.recorded_node(&service()), node);
    serves(&mut world);
}

#[test]
fn wall_clocks_that_jump_decide_nothing() {
    let mut world = settled();
    let (leader, node) = (world.leader(), world.recorded_node(&service()));
    for host in 0..4 {
        world.step(&Step::WallClock(host, if host % 2 == 0 { 86_400 } else { -86_400 }));
    }
    world.run(Duration::from_secs(60));
    assert_eq!(world.leader(), leader);
    // Who starts now has the stepped clock.
    for replica in 0..3 {
        world.step(&Step::Crash(replica));
    }
    world.run(SETTLED);
    assert_eq!(world.recorded_node(&service()), node);
    serves(&mut world);
}

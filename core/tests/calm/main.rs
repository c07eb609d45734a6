//! The law of the whole replica: whatever people, the API server, the watch and the clock do, it
//! keeps to its order while they do it, and when they calm down everything is as it should be.
//!
//! What should be is said by an oracle that looks at the objects alone and shares no code with the
//! core: `owed` says who holds what, `told` what the LAN and people are told of it.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

#[path = "../bench/mod.rs"]
mod bench;
mod order;
mod owed;
mod step;
mod told;
mod world;

use std::time::Duration;

use porter_core::{Family, Kind};
use proptest::prelude::*;

use crate::{
    step::{Change, Edit, NodeIs, Step, step},
    world::{KINDS, World, service_name},
};

/// As many cases as `PROPTEST_CASES` says, else so many that a debug build takes seconds.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::with_cases(cases.unwrap_or(200))
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_in_the_end_everybody_has_what_they_can_have(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.calm();
        world.check_owed();
        world.check_told();
        stays_calm(&mut world);
    }
}

#[test]
fn a_node_that_comes_back_to_an_address_that_was_given_meanwhile_is_what_stands_in_the_way() {
    let mut world = World::new();
    let (a, node3) = (0, 1);
    let back = NodeIs::There { ready: true, cordoned: false, excluded: false };
    let steps = [
        Step::Node(node3, NodeIs::Gone),
        Step::Eip(0, Change::Range(3)),
        Step::Service(a, Edit::Ask(None)),
        Step::Service(a, Edit::Ask(Some(3))),
        Step::Endpoints(a, Family::V4, vec![0]),
        Step::Rest,
        Step::Node(node3, back),
    ];
    for step in steps {
        world.step(step);
    }
    world.calm();
    world.check_owed();
    world.check_told();
    let (_, service) = &world.bench.api.services[&service_name(a)];
    assert_eq!(service.announced.as_ref().unwrap().reason, "NodeAddress");
}

/// Nothing is written and nobody is told anything, however often everything is listed.
fn stays_calm(world: &mut World) {
    let bench = &mut world.bench;
    let (n_written, n_events) = (bench.written.len(), bench.events.len());
    for kind in KINDS.into_iter().chain([Kind::Lease]) {
        bench.run(Duration::from_secs(10));
        let listing = bench.api.list(kind);
        bench.tell(listing);
    }
    assert_eq!(bench.written.len(), n_written, "{:?}", bench.written.last());
    assert_eq!(bench.events.len(), n_events, "{:?}", bench.events.last());
}

//! Others who have an address of ours: found before it is given, and named afterwards.

use std::{net::IpAddr, time::Duration};

use porter_core::{Condition, ConflictProbing, OnConflict};
use porter_sim::{Options, Step, World};

use crate::{EIP, SETTLED, service, settled};

/// The guide's EIP, as steps call it.
const NUMBER: u8 = 0;
/// By when every EIP was asked for, and whoever answered was seen twice.
const NOTICED: Duration = Duration::from_secs(80);
/// By when it was asked for often enough to know that nobody answers any more.
const OVER: Duration = Duration::from_secs(45);

fn conflict(world: &World) -> Option<&Condition> {
    world.conflict(&service())
}

fn reason(world: &World) -> Option<&str> {
    conflict(world).map(|condition| condition.reason.as_str())
}

#[test]
fn an_address_that_a_host_has_is_left_to_it_and_the_next_one_is_given() {
    let mut world = World::guide(1);
    world.step(&Step::Claim(NUMBER, true));
    world.run(SETTLED);

    let next = IpAddr::from([172, 22, 0, 189]);
    assert_eq!(world.external_ip(&service()), [next]);
    assert!(world.ping(next).is_ok());
    let transcript = world.transcript();
    assert!(transcript.contains("who-has 172.22.0.188 tell 0.0.0.0"), "{transcript}");
    assert!(transcript.contains("AddressInUse"), "{transcript}");
}

#[test]
fn a_strange_host_is_named_while_it_claims_an_eip_and_contradicted() {
    let mut world = settled();
    world.run(NOTICED);
    assert!(world.ping(EIP).is_ok());
    world.step(&Step::Claim(NUMBER, true));
    world.run(NOTICED);
    world.demand(reason(&world) == Some("ForeignHost"), "the host is named");
    assert_eq!(world.neighbour(EIP), world.owed_mac(&service()), "the client was told better");

    world.step(&Step::Claim(NUMBER, false));
    world.run(OVER);
    world.demand(conflict(&world).is_none(), "it is over");
}

#[test]
fn a_node_whose_kernel_answers_is_named_with_the_remedy() {
    let mut world = settled();
    let leader = world.leader().expect("somebody leads");
    let other = (leader + 1) % 3;
    world.step(&Step::AnswerEips(other, true));
    world.run(NOTICED);
    let said = conflict(&world).map(|it| it.message.clone()).unwrap_or_default();
    let name = world.replica_name(other).to_owned();
    world.demand(reason(&world) == Some("NodeAnswers"), "the kernel is told from a host");
    assert!(said.contains(&format!("{name}'s kernel answers for 172.22.0.188")), "{said}");
    assert!(said.contains("arp_ignore=1"), "{said}");

    world.step(&Step::AnswerEips(other, false));
    world.run(OVER);
    world.demand(conflict(&world).is_none(), "it is over");
}

#[test]
fn an_eip_that_is_yielded_is_the_strange_host_s_and_the_service_is_given_another() {
    let options = Options { on_conflict: OnConflict::Yield, ..Options::guide() };
    let mut world = World::with_guide(options, 1);
    world.run(SETTLED);
    world.run(NOTICED);
    world.step(&Step::Claim(NUMBER, true));
    world.run(NOTICED);
    let next = IpAddr::from([172, 22, 0, 189]);
    assert_eq!(world.external_ip(&service()), [next]);
    assert!(world.ping(next).is_ok());
    assert!(world.transcript().contains("AddressConflict"), "it is told to whom it was left");
}

#[test]
fn a_failover_asks_nobody_for_what_was_given_before() {
    let strict = Some(ConflictProbing::rfc5227());
    let mut world = World::with_guide(Options { conflict_probing: strict, ..Options::guide() }, 1);
    world.run(SETTLED);
    world.run(SETTLED);
    assert!(world.ping(EIP).is_ok());
    let leader = world.leader().expect("somebody leads");
    world.step(&Step::Crash(leader));
    // Were it tried out again, that would take four seconds at least.
    world.run(crate::FAILOVER_MAX);
    assert!(world.ping(EIP).is_ok());
}

//! What a new leader makes of the records.

use super::*;

fn recording(eip: Eip, used: &[(&str, &[&str])]) -> Eip {
    let used = used.iter().map(|(address, holders)| {
        let holders = holders.iter().map(|name| named(name)).collect();
        (address.parse().unwrap(), holders)
    });
    let mut eip = eip;
    eip.status.used = used.collect();
    eip
}

fn restored(eips: &[(&str, Eip)], services: &[(&str, Service)]) -> World {
    let mut world = World::new(eips);
    for (name, service) in services {
        world.service(&named(name), service.clone());
    }
    world.ipam = Ipam::restore(world.eips.iter(), &world.services, BTreeSet::new());
    world
}

fn held(world: &World, name: &str) -> Vec<String> {
    let held = world.ipam.holdings_of(&named(name));
    held.map(|holding| format!("{} {}", holding.eip, holding.address)).collect()
}

#[test]
fn what_is_recorded_is_taken_over_and_not_given_again() {
    let used: &[(&str, &[&str])] = &[("10.0.0.0", &["a", "b"]), ("10.0.9.9", &["c"])];
    let mut world = restored(&[("pool", recording(eip("10.0.0.0/30"), used))], &[]);
    let recorded = &world.eips[&EipName::from("pool")].status.used;
    assert_eq!(world.ipam.used(&"pool".into()), recorded);
    assert_eq!(world.ask("new", web()), "pool 10.0.0.1");
}

#[test]
fn of_two_records_of_one_service_the_one_that_it_shows_counts_else_the_first() {
    let used: &[(&str, &[&str])] =
        &[("10.0.0.1", &["a", "b"]), ("10.0.0.2", &["a", "b"]), ("fd00::1", &["a"])];
    let eips = [("pool", recording(eip("10.0.0.0/30"), used))];
    let world = restored(&eips, &[("a", showing("10.0.0.2", web()))]);
    assert_eq!(held(&world, "a"), ["pool 10.0.0.2", "pool fd00::1"]);
    assert_eq!(held(&world, "b"), ["pool 10.0.0.1"]);
    let kept: Vec<_> = world.ipam.holders_of([10, 0, 0, 2].into()).collect();
    assert_eq!(kept, [&named("a")]);
}

#[test]
fn of_two_eips_that_record_one_address_the_one_that_is_shown_counts_else_the_older() {
    let young =
        recording(aged(2, eip("10.0.0.1-10.0.0.2")), &[("10.0.0.1", &["a"]), ("10.0.0.2", &["b"])]);
    let old =
        recording(aged(1, eip("10.0.0.1-10.0.0.2")), &[("10.0.0.1", &["c"]), ("10.0.0.2", &["d"])]);
    let eips = [("a-young", young), ("z-old", old)];
    let world = restored(&eips, &[("a", showing("10.0.0.1", web()))]);
    let all = ["a", "b", "c", "d"].map(|name| held(&world, name).join(""));
    assert_eq!(all, ["a-young 10.0.0.1", "", "", "z-old 10.0.0.2"]);
}

#[test]
fn what_another_protocols_eip_records_is_left_alone() {
    let bgp = Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.0.0/30") };
    let world = restored(&[("bgp", recording(bgp, &[("10.0.0.1", &["a"])]))], &[]);
    assert_eq!(world.ipam.holders().count(), 0);
}

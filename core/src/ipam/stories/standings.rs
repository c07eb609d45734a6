//! Which Eips are served.

use super::*;

fn standing(world: &World, name: &str) -> String {
    world.ipam.standing(&name.into()).unwrap().to_string()
}

#[test]
fn the_younger_of_two_eips_that_overlap_is_not_served_until_the_older_makes_room() {
    let young = aged(2, eip("10.0.0.9-10.0.0.20"));
    let old = aged(1, eip("10.0.0.1-10.0.0.9"));
    let mut world = World::new(&[("a-young", young), ("z-old", old)]);
    assert_eq!(
        standing(&world, "a-young"),
        "spec.address 10.0.0.9-10.0.0.20 overlaps the older Eip z-old (10.0.0.1-10.0.0.9); \
         change the range of one of them"
    );
    assert_eq!(world.ask("a", web()), "z-old 10.0.0.1");
    let refused = world.ask("b", of("a-young", web()));
    assert_eq!(reason(&refused), "EipNotServed");
    world.edit("z-old", |eip| eip.address = "10.0.0.1-10.0.0.8".to_owned());
    assert_eq!(world.ask("b", of("a-young", web())), "a-young 10.0.0.9");
}

#[test]
fn an_older_eip_of_any_protocol_counts_and_a_younger_one_does_not() {
    let bgp = |age| aged(age, Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.0.0/24") });
    let pool = ("pool", aged(5, eip("10.0.0.1")));
    let world = World::new(&[("bgp", bgp(1)), pool.clone()]);
    assert!(matches!(world.ipam.standing(&"pool".into()), Some(Standing::Overlaps { .. })));
    let world = World::new(&[("bgp", bgp(9)), pool]);
    assert_eq!(world.ipam.standing(&"pool".into()), Some(&Standing::Served));
}

#[test]
fn what_the_elder_took_over_by_a_change_of_range_stays_with_its_holder() {
    let old = ("old", aged(1, eip("10.0.0.1")));
    let young = ("young", aged(2, eip("10.0.0.2-10.0.0.3")));
    let mut world = World::new(&[old, young]);
    assert_eq!(world.ask("a", of("young", web())), "young 10.0.0.2");
    world.edit("old", |eip| eip.address = "10.0.0.1-10.0.0.3".to_owned());
    assert!(world.meets("a"));
    assert_eq!(world.ask("b", web()), "old 10.0.0.1");
    assert_eq!(world.ask("c", web()), "old 10.0.0.3");
    assert_eq!(reason(&world.ask("d", web())), "Exhausted");
    world.release("a");
    assert_eq!(world.ask("d", web()), "old 10.0.0.2");
}

#[test]
fn two_eips_may_swap_their_ranges() {
    let mut world = World::new(&[("a", eip("10.0.0.1")), ("b", eip("10.0.0.2"))]);
    world.edit("a", |eip| eip.address = "10.0.0.2".to_owned());
    assert!(matches!(world.ipam.standing(&"b".into()), Some(Standing::Overlaps { .. })));
    world.edit("b", |eip| eip.address = "10.0.0.1".to_owned());
    assert_eq!(world.ask("x", of("a", web())), "a 10.0.0.2");
    assert_eq!(world.ask("y", of("b", web())), "b 10.0.0.1");
}

#[test]
fn an_eip_says_what_keeps_it_from_being_served() {
    let on_link = |interface: Option<&str>| Eip {
        interface: interface.map(str::to_owned),
        ..eip("10.0.0.1")
    };
    for (eip, said) in [
        (on_link(None), "spec.interface is empty"),
        (on_link(Some(" ")), "spec.interface is empty"),
        (on_link(Some("eth0:1")), "is no name of a network interface"),
        (on_link(Some("can_reach:eth0")), "names no address"),
        (Eip { address: "ten".to_owned(), ..on_link(Some("eth0")) }, "is no address, CIDR"),
    ] {
        let mut world = World::new(&[("pool", eip)]);
        assert!(standing(&world, "pool").contains(said), "{said}");
        assert_eq!(reason(&world.ask("a", web())), "NoEip");
        let by_name = world.ask("a", of("pool", web()));
        assert!(by_name.starts_with("EipNotServed: Eip pool is not served"), "{by_name}");
        assert!(by_name.contains(said), "{by_name}");
    }
}

//! Which address of an Eip is given, and what becomes of it.

use super::*;

#[test]
fn the_lowest_free_address_is_given_and_a_freed_one_at_once_again() {
    let mut world = World::new(&[("pool", eip("172.22.0.188-172.22.0.190"))]);
    for (name, last) in [("a", 188), ("b", 189), ("c", 190)] {
        assert_eq!(world.ask(name, web()), format!("pool 172.22.0.{last}"));
    }
    assert_eq!(
        world.ask("d", web()),
        "Exhausted: no address is free in Eip pool (172.22.0.188-172.22.0.190, 3 addresses); \
         enlarge spec.address, create another layer2 Eip, or delete a Service that needs none"
    );
    world.release("b");
    assert_eq!(world.ask("d", web()), "pool 172.22.0.189");
}

#[test]
fn the_first_and_the_last_address_of_a_network_are_given_like_any_other() {
    let mut world = World::new(&[("pool", eip("10.0.0.0/24"))]);
    assert_eq!(world.ask("a", web()), "pool 10.0.0.0");
    assert_eq!(world.ask("b", at("10.0.0.255", web())), "pool 10.0.0.255");
}

#[test]
fn a_pool_may_be_as_large_as_its_family() {
    let mut world = World::new(&[("four", eip("0.0.0.0/0")), ("six", eip("::/0"))]);
    assert_eq!(world.ask("a", web()), "four 0.0.0.0");
    assert_eq!(world.ask("b", at("255.255.255.255", web())), "four 255.255.255.255");
    assert_eq!(world.ask_of(&named("c"), web(), Family::V6), "six ::");
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let asks = at(last, web());
    assert_eq!(world.ask_of(&named("d"), asks, Family::V6), format!("six {last}"));
    world.release("c");
    assert_eq!(world.ask_of(&named("e"), web(), Family::V6), "six ::");
}

#[test]
fn the_address_of_a_node_is_skipped_refused_by_name_and_kept_by_who_holds_it() {
    let mut world = World::new(&[("pool", eip("10.0.0.1-10.0.0.4"))]);
    assert_eq!(world.ask("a", web()), "pool 10.0.0.1");
    let node = |last| [10, 0, 0, last].into();
    world.ipam.handle_node_addresses(BTreeSet::from([node(1), node(2)]));
    assert_eq!(world.ask("b", web()), "pool 10.0.0.3");
    assert_eq!(
        world.ask("c", at("10.0.0.2", web())),
        "AddressIsNodes: 10.0.0.2 is the address of a node of this cluster; name another address"
    );
    assert_eq!(world.ipam.used(&"pool".into()).len(), 2);
    world.release("a");
    assert_eq!(world.ask("d", web()), "pool 10.0.0.4");
    world.ipam.handle_node_addresses(BTreeSet::new());
    assert_eq!(world.ask("e", web()), "pool 10.0.0.1");
    assert_eq!(world.ask("f", web()), "pool 10.0.0.2");
}

#[test]
fn what_a_smaller_range_leaves_outside_is_held_on_and_not_given_again() {
    let mut world = World::new(&[("pool", eip("10.0.0.1-10.0.0.4"))]);
    for name in ["a", "b", "c"] {
        world.ask(name, web());
    }
    world.edit("pool", |eip| eip.address = "10.0.0.3-10.0.0.4".to_owned());
    assert_eq!(world.ipam.used(&"pool".into()).len(), 3);
    assert!(world.meets("a"));
    assert_eq!(world.ask("d", web()), "pool 10.0.0.4");
    world.release("a");
    assert_eq!(reason(&world.ask("e", web())), "Exhausted");
    world.edit("pool", |eip| eip.address = "10.0.0.1-10.0.0.4".to_owned());
    assert_eq!(world.ask("e", web()), "pool 10.0.0.1");
}

#[test]
fn what_one_eip_holds_no_other_gives_whatever_the_ranges_have_become() {
    let mut world = World::new(&[("first", eip("10.0.0.1")), ("second", eip("10.0.9.9"))]);
    assert_eq!(world.ask("a", of("first", web())), "first 10.0.0.1");
    world.edit("first", |eip| eip.address = "10.0.8.8".to_owned());
    world.edit("second", |eip| eip.address = "10.0.0.1-10.0.0.2".to_owned());
    assert_eq!(world.ask("b", of("second", web())), "second 10.0.0.2");
    assert_eq!(
        world.ask("c", on(81, at("10.0.0.1", web()))),
        "NotShareable: 10.0.0.1 is held by Service default/a of Eip first, whose range no \
         longer has it; name another address until that one is given back"
    );
    world.release("a");
    assert_eq!(world.ask("c", web()), "first 10.0.8.8");
    assert_eq!(world.ask("d", web()), "second 10.0.0.1");
}

#[test]
fn an_eip_that_is_gone_is_held_on_until_the_last_address_is_released() {
    let mut world = World::new(&[("pool", eip("10.0.0.1"))]);
    world.ask("a", web());
    world.eip("pool", None);
    assert_eq!(world.ipam.standing(&"pool".into()), None);
    assert!(world.ipam.in_use(&"pool".into()) && !world.meets("a"));
    world.eip("other", Some(eip("10.0.0.1-10.0.0.2")));
    assert_eq!(world.ask("b", web()), "other 10.0.0.2");
    world.release("a");
    assert!(!world.ipam.in_use(&"pool".into()));
    assert_eq!(world.ask("c", web()), "other 10.0.0.1");
}

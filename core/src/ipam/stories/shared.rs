//! Who shares an address with whom.

use super::*;

const ONE: &str = "10.0.0.1";

fn pool() -> World {
    World::new(&[("pool", eip("10.0.0.0/30"))])
}

#[test]
fn services_that_name_one_address_share_it_until_the_last_one_leaves() {
    let mut world = pool();
    assert_eq!(world.ask("a", at(ONE, web())), "pool 10.0.0.1");
    assert_eq!(world.ask("b", on(443, at(ONE, web()))), "pool 10.0.0.1");
    assert_eq!(world.ipam.used(&"pool".into()).len(), 1);
    assert_eq!(world.ipam.record(&"pool".into()).services, 2);
    assert_eq!(world.ipam.holders_of(ONE.parse().unwrap()).count(), 2);
    world.release("a");
    assert_eq!(reason(&world.ask("c", on(443, at(ONE, web())))), "NotShareable");
    world.release("b");
    assert_eq!(world.ask("c", at(ONE, web())), "pool 10.0.0.1");
}

#[test]
fn who_does_not_name_its_address_shares_it_with_nobody() {
    let mut world = pool();
    world.ask("a", web());
    assert_eq!(
        world.ask("b", on(443, at("10.0.0.0", web()))),
        "AddressTaken: 10.0.0.0 is held by Service default/a; name a free address, or set \
         spec.loadBalancerIP: 10.0.0.0 on default/a too if both are to share it"
    );
}

#[test]
fn a_rule_that_sharers_would_break_is_named_with_the_other_service() {
    let local = TrafficPolicy::Local;
    let cluster = TrafficPolicy::Cluster;
    let mut world = pool();
    world.ask("a", selecting("web", local, at(ONE, web())));
    assert_eq!(
        world.ask("b", at(ONE, web())),
        "NotShareable: 10.0.0.1 cannot be shared with Service default/a: both have port \
         80/TCP; change spec.ports of one of them, or name another address"
    );
    for (app, policy) in [("other", cluster), ("other", local)] {
        assert_eq!(
            world.ask("c", selecting(app, policy, on(81, at(ONE, web())))),
            "NotShareable: 10.0.0.1 cannot be shared with Service default/a: all sharers must \
             have spec.externalTrafficPolicy: Cluster, or all the same spec.selector; change \
             that, or name another address"
        );
    }
    let elsewhere = ServiceName::new("shop", "d");
    let refused = world.ask_of(&elsewhere, on(82, at(ONE, web())), Family::V4);
    assert!(refused.contains("only Services of one namespace share an address"), "{refused}");
    assert_eq!(world.ask("e", selecting("web", cluster, on(83, at(ONE, web())))), "pool 10.0.0.1");
}

#[test]
fn services_without_a_selector_share_no_pods() {
    let mut world = pool();
    let local = |service| Service { policy: TrafficPolicy::Local, ..service };
    world.ask("a", local(at(ONE, web())));
    assert_eq!(reason(&world.ask("b", local(on(81, at(ONE, web()))))), "NotShareable");
}

#[test]
fn nobody_joins_one_who_leaves() {
    let mut world = pool();
    world.ask("a", at(ONE, web()));
    let mut leaving = at(ONE, web());
    leaving.metadata.deleting = true;
    world.service(&named("a"), leaving);
    assert_eq!(
        world.ask("b", on(81, at(ONE, web()))),
        "NotShareable: 10.0.0.1 is being given back by Service default/a; it is free in a \
         moment"
    );
}

#[test]
fn the_youngest_that_do_not_go_with_their_elders_give_way_and_nobody_else() {
    let mut world = pool();
    let aged = |age, service: Service| Service {
        metadata: Metadata { created: Timestamp(age), ..service.metadata.clone() },
        ..service
    };
    let sharer = |age, port| aged(age, on(port, at(ONE, web())));
    for (name, age) in [("z", 1), ("m", 2), ("a", 3)] {
        world.ask(name, sharer(age, 80 + u16::try_from(age).unwrap()));
    }
    assert_eq!(["z", "m", "a"].map(|name| world.conflict(name)), [None, None, None]);
    // The second takes a port of the first, and so of the third's only rival.
    let ports = [81, 83].map(|number| Port { protocol: "TCP".to_owned(), number });
    let greedy = Service { ports: ports.into(), ..sharer(2, 82) };
    world.service(&named("m"), greedy);
    assert!(world.conflict("m").unwrap().contains("default/z: both have port 81/TCP"));
    assert_eq!(["z", "a"].map(|name| world.conflict(name)), [None, None]);
    // One who ceases to name it gives way to an elder, and is given way to.
    world.service(&named("m"), sharer(2, 82));
    world.service(&named("a"), aged(3, on(83, web())));
    assert!(world.conflict("a").unwrap().contains("set spec.loadBalancerIP: 10.0.0.1"));
    world.service(&named("z"), aged(1, on(81, web())));
    assert_eq!(world.conflict("z"), None);
    assert_eq!(reason(&world.conflict("m").unwrap()), "AddressTaken");
}

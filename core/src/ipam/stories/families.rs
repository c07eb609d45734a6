//! What dual-stack Services get, and those of one family.

use super::*;

const DUAL: [Family; 2] = [Family::V4, Family::V6];

fn both() -> World {
    World::new(&[
        ("four", eip("10.0.0.0/30")),
        ("six", eip("fd00::/126")),
        ("six-too", eip("fd01::/126")),
    ])
}

fn pair(world: &mut World, name: &str, service: Service) -> [String; 2] {
    DUAL.map(|family| world.ask_of(&named(name), families(&DUAL, service.clone()), family))
}

#[test]
fn a_dual_stack_service_gets_an_address_of_each_family() {
    let mut world = both();
    assert_eq!(pair(&mut world, "a", web()), ["four 10.0.0.0", "six fd00::"]);
    let held: Vec<_> = world.ipam.holdings_of(&named("a")).collect();
    assert_eq!(held[0].address.to_string(), "10.0.0.0");
    assert_eq!(held.len(), 2);
    world.ipam.release(&named("a"), Family::V4);
    assert_eq!(world.ipam.holdings_of(&named("a")).count(), 1);
    assert_eq!(world.ipam.holders().count(), 1);
}

#[test]
fn what_is_named_concerns_its_own_family_only() {
    let mut world = both();
    let by_eip = of("six-too", web());
    assert_eq!(pair(&mut world, "a", by_eip), ["four 10.0.0.0", "six-too fd01::"]);
    let by_address = at("10.0.0.3", web());
    assert_eq!(pair(&mut world, "b", by_address), ["four 10.0.0.3", "six fd00::"]);
    let by_both = at("10.0.0.2", of("six-too", web()));
    assert_eq!(pair(&mut world, "c", by_both), ["four 10.0.0.2", "six-too fd01::1"]);
    assert!(["a", "b", "c"].iter().all(|name| world.meets(name)));
}

#[test]
fn a_service_of_one_family_that_names_the_other_is_refused() {
    let mut world = both();
    let v4 = |service| families(&[Family::V4], service);
    assert_eq!(
        world.ask("a", v4(of("six", web()))),
        "FamilyMismatch: eip.porter.kubesphere.io/v1alpha2 names Eip six, which is IPv6, but \
         the Service asks for IPv4; name an IPv4 one, or add IPv6 to spec.ipFamilies"
    );
    let refused = world.ask("a", v4(at("fd00::1", web())));
    assert!(
        refused.starts_with("FamilyMismatch: spec.loadBalancerIP names address fd00::1"),
        "{refused}"
    );
}

#[test]
fn a_service_that_names_no_family_has_the_one_of_what_it_can_have() {
    let mut world = both();
    let mut family = |service: Service| {
        world.service(&named("a"), service);
        world.with(&named("a"), |ipam, asker| ipam.families(asker).to_vec())
    };
    assert_eq!(family(web()), [Family::V4]);
    assert_eq!(family(of("six", web())), [Family::V6]);
    assert_eq!(family(at("fd00::1", web())), [Family::V6]);
    assert_eq!(family(showing("fd00::1", web())), [Family::V6]);
    assert_eq!(family(families(&[Family::V6, Family::V4], web())), [Family::V6, Family::V4]);
    world.edit("four", |eip| eip.disable = true);
    world.service(&named("a"), web());
    let chosen = world.with(&named("a"), |ipam, asker| ipam.families(asker).to_vec());
    assert_eq!(chosen, [Family::V6]);
}

#[test]
fn what_a_service_does_not_ask_for_any_more_does_not_meet_it() {
    let mut world = both();
    world.ask("a", web());
    for (service, meets) in [
        (web(), true),
        (at("10.0.0.0", web()), true),
        (at("10.0.0.1", web()), false),
        (at("nonsense", web()), true),
        (of("four", web()), true),
        (of("six", web()), false),
        (families(&[Family::V6], web()), false),
        (families(&DUAL, of("six", web())), true),
    ] {
        world.service(&named("a"), service.clone());
        assert_eq!(world.meets("a"), meets, "{service:?}");
    }
    world.service(&named("a"), web());
    world.edit("four", |eip| eip.protocol = None);
    assert!(!world.meets("a"));
}

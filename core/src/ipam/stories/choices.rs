//! Which Eip a Service gets an address of, and what it is told if none.

use super::*;

#[test]
fn bound_eips_come_first_then_the_default_then_the_unbound_each_by_priority_and_name() {
    let unbound = |priority, address| Eip { priority, ..eip(address) };
    let mut world = World::new(&[
        ("unbound-b", unbound(1, "10.0.0.5")),
        ("unbound-a", unbound(1, "10.0.0.4")),
        ("unbound-z", unbound(0, "10.0.0.3")),
        ("default", default_eip("10.0.0.2")),
        ("elsewhere", bound("shop", 0, "10.0.0.6")),
        ("bound-a", bound("default", 7, "10.0.0.1")),
        ("bound-z", bound("default", 3, "10.0.0.0")),
    ]);
    for last in 0..6 {
        let given = world.ask(&format!("s{last}"), web());
        assert!(given.ends_with(&format!(" 10.0.0.{last}")), "{last}: {given}");
    }
    let refused = world.ask("s6", web());
    assert!(refused.starts_with("Exhausted: no address is free in Eip bound-z"), "{refused}");
    assert!(!refused.contains("elsewhere"), "{refused}");
}

#[test]
fn a_selector_binds_to_namespaces_with_all_of_its_labels() {
    let team = |pairs: &[(&str, &str)]| -> Texts {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let selector = team(&[("team", "web"), ("stage", "live")]);
    let mut world =
        World::new(&[("pool", Eip { namespace_selector: selector, ..eip("10.0.0.1") })]);
    assert_eq!(
        world.ask("a", web()),
        "NoEip: no Eip gives IPv4 addresses to namespace default: Eip pool is bound to other \
         namespaces; create a layer2 Eip for it, or change one of these"
    );
    world.labels = team(&[("team", "web")]);
    assert_eq!(reason(&world.ask("a", web())), "NoEip");
    world.labels = team(&[("team", "web"), ("stage", "live"), ("more", "yes")]);
    assert_eq!(world.ask("a", web()), "pool 10.0.0.1");
}

#[test]
fn a_name_ignores_to_which_namespaces_an_eip_is_bound() {
    let mut world = World::new(&[("shop", bound("shop", 0, "10.0.0.1-10.0.0.2"))]);
    assert_eq!(reason(&world.ask("a", web())), "NoEip");
    assert_eq!(world.ask("a", of("shop", web())), "shop 10.0.0.1");
    assert_eq!(world.ask("b", at("10.0.0.2", web())), "shop 10.0.0.2");
}

#[test]
fn an_address_that_is_shown_is_kept_if_it_may_be_had() {
    let mut world = World::new(&[
        ("default", default_eip("10.0.0.0/30")),
        ("other", eip("10.0.1.0/30")),
        ("shop", bound("shop", 0, "10.0.2.0/30")),
    ]);
    assert_eq!(world.ask("a", showing("10.0.1.2", web())), "other 10.0.1.2");
    assert_eq!(world.ask("b", showing("10.0.1.2", web())), "default 10.0.0.0");
    assert_eq!(world.ask("c", showing("10.0.2.1", web())), "default 10.0.0.1");
    let named = of("other", showing("10.0.0.3", web()));
    assert_eq!(world.ask("d", named), "other 10.0.1.0");
    let asked = at("10.0.1.3", showing("10.0.0.3", web()));
    assert_eq!(world.ask("e", asked), "other 10.0.1.3");
}

#[test]
fn a_disabled_eip_gives_nothing_but_what_is_shown_already() {
    let mut world = World::new(&[("pool", Eip { disable: true, ..eip("10.0.0.0/30") })]);
    assert_eq!(reason(&world.ask("a", web())), "NoEip");
    assert_eq!(
        world.ask("a", of("pool", web())),
        "EipDisabled: Eip pool is disabled; enable it: kubectl patch eip pool --type merge -p \
         '{\"spec\":{\"disable\":false}}'"
    );
    assert_eq!(reason(&world.ask("a", at("10.0.0.1", web()))), "EipDisabled");
    assert_eq!(world.ask("b", showing("10.0.0.2", web())), "pool 10.0.0.2");
    assert_eq!(world.ask("c", at("10.0.0.3", showing("10.0.0.3", web()))), "pool 10.0.0.3");
    world.edit("pool", |eip| eip.metadata.deleting = true);
    assert_eq!(reason(&world.ask("d", showing("10.0.0.0", web()))), "NoEip");
    assert_eq!(reason(&world.ask("d", of("pool", web()))), "EipDeleting");
}

#[test]
fn what_is_shown_is_taken_back_unless_it_is_held_or_something_else_is_asked_for() {
    let mut world = World::new(&[("pool", eip("10.0.0.0/30"))]);
    let two = [10, 0, 0, 2].into();
    let mut take_back = |name: &str, service: Service| {
        world.service(&named(name), service);
        world.with(&named(name), |ipam, asker| ipam.take_back(asker, two))
    };
    assert!(!take_back("a", at("10.0.0.1", showing("10.0.0.2", web()))));
    assert!(!take_back("a", of("other", showing("10.0.0.2", web()))));
    assert!(take_back("b", showing("10.0.0.2", web())));
    assert!(!take_back("b", showing("10.0.0.2", web())));
    assert!(!take_back("c", showing("10.0.0.2", web())));
}

#[test]
fn what_a_service_names_wrongly_is_refused_with_a_remedy() {
    let bgp = Eip { protocol: None, ..eip("10.0.9.0/24") };
    let mut world = World::new(&[("pool", eip("10.0.0.0/30")), ("bgp", bgp)]);
    for (service, expected) in [
        (
            at("10.0.0.300", web()),
            "MalformedAddress: spec.loadBalancerIP is \"10.0.0.300\", which is no IP address; \
             set it to one address, such as 192.0.2.1, or remove it",
        ),
        (
            at("10.0.1.1", web()),
            "AddressInNoEip: 10.0.1.1 is in no Eip; name an address of one (kubectl get eip), \
             or create a layer2 Eip with it",
        ),
        (
            at("10.0.1.1", of("pool", web())),
            "AddressOutsideEip: 10.0.1.1 is not in Eip pool (10.0.0.0-10.0.0.3); name an \
             address of it, or drop the name of the address or of the Eip",
        ),
        (
            of("pol", web()),
            "NoSuchEip: there is no Eip pol; create it, or correct the annotation \
             eip.porter.kubesphere.io/v1alpha2 (kubectl get eip lists all)",
        ),
        (
            of("bgp", web()),
            "EipNotLayer2: Eip bgp is of protocol bgp (the default); name a layer2 Eip, or set \
             spec.protocol: layer2 on it",
        ),
    ] {
        assert_eq!(world.ask("a", service), expected);
    }
    assert_eq!(reason(&world.ask("a", at("10.0.9.1", web()))), "EipNotLayer2");
}

#[test]
fn without_any_layer2_eip_it_is_said_what_to_create() {
    let bgp = Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.9.0/24") };
    assert_eq!(
        World::new(&[("bgp", bgp)]).ask("a", web()),
        "NoEip: there is no layer2 Eip; create one with spec.protocol: layer2, spec.address \
         and spec.interface"
    );
}

#[test]
fn a_list_of_eips_stays_readable_however_many_there_are() {
    let eips: Vec<_> = (0..9).map(|i| (format!("e{i}"), eip(&format!("fd00::{i}")))).collect();
    let eips: Vec<_> = eips.iter().map(|(name, eip)| (name.as_str(), eip.clone())).collect();
    let refused = World::new(&eips).ask("a", web());
    assert!(refused.contains("Eip e3 has IPv6 addresses and 5 more; create"), "{refused}");
}

#[test]
fn a_record_that_would_outgrow_the_object_is_refused_before_it_does() {
    let mut world = World::new(&[("pool", eip("10.0.0.0/16"))]);
    let name = |i: usize| ServiceName::new(&"n".repeat(63), &format!("{i:063}"));
    let mut count = 0;
    let refused = loop {
        let given = world.ask_of(&name(count), web(), Family::V4);
        if !given.starts_with("pool ") {
            break given;
        }
        count += 1;
    };
    assert!(
        refused.starts_with(&format!("TooManyRecorded: Eip pool has {count} Services on record"))
    );
    let record = world.ipam.record(&"pool".into());
    assert!(record.bytes <= Record::BYTES_MAX && record.is_high());
    world.ipam.release(&name(0), Family::V4);
    assert_eq!(world.ask_of(&name(count), web(), Family::V4), "pool 10.0.0.0");
}

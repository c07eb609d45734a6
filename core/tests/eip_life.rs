//! The life of an Eip: created, edited, disabled, deleted while in use, and created again.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{
    Eip, EipName, EipStatus, Input, LinkName, Service, ServiceName, Silence, Unusable, keys,
};

#[test]
fn an_eip_gets_its_finalizer_and_its_status_in_two_writes_and_is_told_of_once() {
    let mut bench = Bench::leading();
    let written = bench.writes_in(|bench| {
        bench.apply_eip("other", layer2("172.22.0.210"));
        bench.calm();
        bench.list();
        bench.calm();
    });
    assert_eq!(written.len(), 2, "{written:?}");
    let (_, eip) = &bench.api.eips[&EipName::from("other")];
    assert_eq!(eip.metadata.finalizers, [keys::EIP_FINALIZER]);
    let of_other = bench.take_told().into_iter().filter(|told| told.contains("Eip/other"));
    let of_other: Vec<_> = of_other.collect();
    assert_eq!(of_other, ["Normal Eip/other ConfigSpeaker: served on eth0"]);
}

#[test]
fn a_finalizer_that_was_removed_from_an_eip_by_hand_comes_back_beside_the_others() {
    let mut bench = Bench::serving();
    let foreign = "example.com/audit".to_owned();
    bench.edit_eip(&pool(), |eip| eip.metadata.finalizers = vec![foreign.clone()]);
    let (_, eip) = &bench.api.eips[&pool()];
    assert_eq!(eip.metadata.finalizers, [&foreign, keys::EIP_FINALIZER]);
}

#[test]
fn a_status_that_was_changed_by_hand_is_put_right() {
    let mut bench = Bench::serving();
    let before = bench.status("pool").clone();
    bench.edit_eip(&pool(), |eip| {
        eip.status = EipStatus { used: eip.status.used.clone(), ..EipStatus::default() };
    });
    assert_eq!(
        EipStatus { ready: None, ..bench.status("pool").clone() },
        EipStatus { ready: None, ..before }
    );
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
}

#[test]
fn what_an_eip_records_for_a_service_that_does_not_exist_or_does_not_ask_is_given_back() {
    let mut bench = Bench::leading();
    let plain = ServiceName::new("default", "plain");
    bench.service(&plain, Some(Service::default()));
    bench.edit_eip(&pool(), |eip| {
        eip.status.used.insert(bench::eip(190), [named("ghost")].into());
        eip.status.used.insert(bench::eip(191), [plain.clone()].into());
    });
    bench.calm();
    assert_eq!((bench.used().len(), bench.status("pool").usage()), (0, 0));
}

#[test]
fn a_disabled_eip_keeps_whom_it_has_and_takes_nobody_new() {
    let mut bench = Bench::serving();
    bench.edit_eip(&pool(), |eip| eip.disable = true);
    bench.apply(&named("new"), asking());
    bench.calm();
    assert_eq!(
        bench.ready("pool"),
        "True Disabled: hands out no new address while spec.disable is true"
    );
    assert_eq!((bench.ask(188), bench.shows(&web())), (Some(mac(9)), vec!["172.22.0.188".into()]));
    assert_eq!(bench.shows(&named("new")), [""; 0]);
    assert!(bench.word(&named("new")).contains("Eip pool is disabled"));
}

#[test]
fn an_eip_that_is_disabled_and_then_deleted_goes_with_its_last_service() {
    let mut bench = Bench::serving();
    bench.edit_eip(&pool(), |eip| eip.disable = true);
    bench.delete_eip(&pool());
    bench.calm();
    assert_eq!(
        bench.ready("pool"),
        "False Deleting: goes when its last address is given back; held by default/web \
         (172.22.0.188)"
    );
    assert_eq!((bench.ask(188), bench.shows(&web())), (Some(mac(9)), vec!["172.22.0.188".into()]));
    bench.delete(&web());
    bench.calm();
    assert!(!bench.has_eip("pool") && bench.api.services.is_empty());
}

#[test]
fn a_deleted_eip_that_is_in_use_names_its_holders_and_serves_nobody_new() {
    let mut bench = Bench::leading();
    bench.apply_all(&["a", "b", "c", "d"]);
    bench.delete_eip(&pool());
    bench.apply(&named("late"), asking());
    bench.calm();
    assert_eq!(
        bench.ready("pool"),
        "False Deleting: goes when its last address is given back; held by default/a \
         (172.22.0.188), default/b (172.22.0.189), default/c (172.22.0.190) and 1 more"
    );
    assert!(bench.word(&named("late")).contains("Eip pool is being deleted"));
    bench.delete(&named("a"));
    bench.delete(&named("b"));
    bench.delete(&named("c"));
    bench.calm();
    assert!(bench.ready("pool").ends_with("held by default/d (172.22.0.191)"));
    assert!(bench.word(&named("d")).starts_with("True Announced"));
    bench.delete(&named("d"));
    bench.calm();
    assert!(!bench.has_eip("pool"));
}

#[test]
fn an_eip_that_goes_takes_no_other_on_its_interface_with_it() {
    let mut bench = Bench::serving();
    bench.apply_eip("other", layer2("172.22.0.210"));
    bench.delete_eip(&EipName::from("other"));
    assert!(!bench.has_eip("other"), "an Eip without holders goes at once");
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_link_is_listened_on_for_as_long_as_an_eip_is_on_it() {
    let mut bench = Bench::leading();
    assert_eq!(bench.listening, [eth0()].into());
    // What it was is told by the verdict on the write that let it go, and once more by the watch.
    bench.delete_eip(&pool());
    bench.calm();
    assert_eq!(bench.listening, [].into());
}

#[test]
fn an_eip_and_its_service_that_are_deleted_together_leave_nothing() {
    let mut bench = Bench::serving();
    bench.watches = false;
    bench.delete(&web());
    bench.delete_eip(&pool());
    bench.watches = true;
    bench.pump();
    bench.calm();
    assert!(bench.api.eips.is_empty() && bench.api.services.is_empty());
    assert_eq!(bench.ask(188), None);
}

#[test]
fn an_eip_that_is_created_again_takes_back_the_addresses_that_services_show() {
    let mut bench = Bench::leading();
    bench.apply_all(&["a", "b"]);
    bench.delete(&named("a"));
    bench.eip(&pool(), None);
    bench.calm();
    assert_eq!(bench.shows(&named("b")), ["172.22.0.189"], "shown on, whoever removed its Eip");
    bench.apply_eip("pool", layer2("172.22.0.188-172.22.0.200"));
    bench.apply(&named("c"), asking());
    assert_eq!(bench.shows(&named("b")), ["172.22.0.189"]);
    assert_eq!(bench.used()[&eip(189)], [named("b")]);
    assert_eq!(bench.shows(&named("c")), ["172.22.0.188"], "what is free is free");
}

#[test]
fn a_service_outside_of_the_range_that_its_eip_has_now_keeps_its_address_until_it_goes() {
    let mut bench = Bench::leading();
    bench.apply_all(&["a", "b", "c"]);
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.190-172.22.0.191".to_owned());
    bench.calm();
    assert_eq!(
        ["a", "b", "c"].map(|name| bench.shows(&named(name)).concat()),
        ["172.22.0.188", "172.22.0.189", "172.22.0.190"]
    );
    let status = bench.status("pool");
    assert_eq!((status.pool_size, status.usage()), (2, 3));
    assert!(bench.ask(188).is_some());

    bench.delete(&named("a"));
    bench.apply(&named("d"), asking());
    bench.apply(&named("e"), asking());
    bench.calm();
    assert_eq!(bench.shows(&named("d")), ["172.22.0.191"]);
    assert!(bench.word(&named("e")).starts_with("False Exhausted: no address is free in Eip pool"));
}

#[test]
fn a_full_eip_says_so_and_one_with_room_again_does_not() {
    let mut bench = Bench::leading();
    bench.apply_eip("pool", layer2("172.22.0.188"));
    bench.apply(&web(), asking());
    bench.calm();
    let full = "True Full: every address is in use; enlarge spec.address or add an Eip";
    assert_eq!(bench.ready("pool"), full);
    assert_eq!((bench.status("pool").occupied(), bench.status("pool").is_ready()), (true, true));
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188/31".to_owned());
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
    assert!(!bench.status("pool").occupied());
}

#[test]
fn an_eip_of_another_protocol_is_left_alone_with_its_status() {
    let mut bench = Bench::leading();
    let written = bench.writes_in(|bench| {
        let mut bgp = Eip { protocol: Some("bgp".to_owned()), ..layer2("10.0.0.0/24") };
        bgp.status.used.insert([10, 0, 0, 1].into(), [named("routed")].into());
        bench.apply_eip("bgp", bgp);
        let unnamed = Eip { protocol: None, ..layer2("10.0.1.0/24") };
        bench.apply_eip("default-protocol", unnamed);
        bench.calm();
    });
    assert_eq!(written, []);
    assert_eq!(bench.status("bgp").used.len(), 1);
}

#[test]
fn any_field_of_an_eip_may_be_edited_at_once_and_its_status_follows() {
    let mut bench = Bench::serving();
    let eth1 = LinkName::new("eth1").unwrap();
    bench.tell(Input::Link(eth1, Ok(link())));
    bench.edit_eip(&pool(), |eip| {
        eip.disable = true;
        eip.address = "172.22.0.180-172.22.0.190".to_owned();
        eip.interface = Some("eth1".to_owned());
    });
    bench.calm();
    let status = bench.status("pool");
    assert_eq!((status.pool_size, status.first), (11, Some(eip(180))));
    assert_eq!((bench.ask(188), bench.ask_on(eth1, 188)), (None, Some(mac(9))));
}

#[test]
fn a_trouble_that_passes_within_two_seconds_is_not_written_at_all() {
    let mut bench = Bench::serving();
    let written = bench.writes_in(|bench| {
        bench.tell(Input::Link(eth0(), Err(Unusable::Missing)));
        bench.run(Duration::from_millis(1_900));
        bench.tell(Input::Link(eth0(), Ok(link())));
        bench.calm();
    });
    assert_eq!(written, []);
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn an_address_that_a_node_takes_stays_with_its_service_and_is_answered_when_the_node_gives_it_up() {
    let mut bench = Bench::serving();

    bench.node("node5", Some(node(188)));
    bench.calm();
    let message = "172.22.0.188 is not answered: node5 has it for its own address; give that node \
                   another, or name another on the Service";
    assert_eq!((bench.ask(188), bench.shows(&web())), (None, vec!["172.22.0.188".into()]));
    assert_eq!((bench.used().len(), bench.said(&web())), (1, (false, "NodeAddress")));
    assert_eq!(bench.message(&web()), message);
    let event = bench.events.iter().find(|event| event.message == message);
    assert!(event.is_some_and(|event| event.warning && event.reason == "SetBalancer"));

    bench.node("node5", Some(node(5)));
    bench.calm();
    assert_eq!((bench.ask(188), bench.said(&web())), (Some(mac(9)), (true, "Announced")));
}

#[test]
fn a_node_that_takes_an_address_in_use_is_heeded_at_once_even_if_nothing_can_be_written() {
    let mut bench = Bench::serving();
    bench.replies = false;

    bench.node("node5", Some(node(188)));
    assert_eq!(bench.answers.entry(eth0(), eip(188)), Some(Err(Silence::NodeAddress)));
    bench.node("node5", None);
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn an_address_that_several_nodes_show_is_no_node_s_own_and_is_answered() {
    let mut bench = Bench::serving();

    bench.node("node5", Some(node(188)));
    bench.node("node6", Some(node(188)));
    bench.calm();
    assert_eq!((bench.ask(188), bench.said(&web())), (Some(mac(9)), (true, "Announced")));
}

#[test]
fn a_condition_says_of_which_generation_it_is_and_since_when_it_is_met() {
    let mut bench = Bench::leading();
    bench.calm();
    let before = bench.status("pool").ready.clone().unwrap();
    bench.edit_eip(&pool(), |eip| {
        eip.metadata.generation = 2;
        eip.disable = true;
    });
    let edited = bench.status("pool").ready.clone().unwrap();
    assert_eq!((edited.met, edited.generation, edited.since), (true, 2, before.since));

    bench.tell(Input::Link(eth0(), Err(Unusable::Missing)));
    bench.nobody_else_leads();
    let broken = bench.status("pool").ready.clone().unwrap();
    assert!(!broken.met && broken.since > before.since, "{broken:?}");
}

#[test]
fn an_eip_that_is_being_deleted_gives_nothing_to_who_names_it() {
    let mut bench = Bench::serving();
    bench.delete_eip(&pool());
    bench.apply(&named("late"), annotated(EIP, "pool"));
    bench.calm();
    assert_eq!(
        bench.word(&named("late")),
        "False EipDeleting: Eip pool is being deleted; name another Eip or none"
    );
}

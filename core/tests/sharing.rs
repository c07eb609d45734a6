//! Several Services at one address: who may, which node is answered for all, who hands on to whom.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::{collections::BTreeMap, time::Duration};

use bench::*;
use porter_core::{Family, Service, ServiceName, TrafficPolicy, Write, WriteError, keys};

/// Long enough for what is wrong to be said.
const A_WHILE: Duration = Duration::from_secs(3);

/// A name that comes after that of [`web`] in the alphabet, and one that comes before.
fn younger() -> ServiceName {
    ServiceName::new("default", "zebra")
}

fn older() -> ServiceName {
    ServiceName::new("default", "ant")
}

/// A leader that answers for [`web`] and a younger Service at 172.22.0.188 with node3, which node4
/// could serve as well.
fn shared() -> Bench {
    let mut bench = Bench::leading();
    bench.endpoints(&web(), &["node3"]);
    bench.service(&web(), Some(sharing(5, 80)));
    bench.endpoints(&younger(), &["node3", "node4"]);
    bench.service(&younger(), Some(sharing(6, 443)));
    bench.endpoints(&web(), &["node3", "node4"]);
    assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench
}

/// Lets everything be written for two seconds but what is written of one Service.
fn refuse_writes_of(bench: &mut Bench, name: &ServiceName) {
    bench.replies = false;
    for _ in 0..20 {
        for _ in 0..bench.writes.len() {
            let of_it = matches!(&bench.writes[0].1, Write::Service(it, ..) if it == name);
            let refused = Verdict::Failed(WriteError::Rejected("no".to_owned()));
            bench.judge(if of_it { refused } else { Verdict::Done });
        }
        bench.run(Duration::from_millis(100));
    }
}

fn selects(service: &mut Service, app: &str) {
    service.selector = [("app".to_owned(), app.to_owned())].into_iter().collect();
}

#[test]
fn whoever_shares_says_what_is_answered_even_if_the_oldest_was_placed_by_another_family() {
    let mut bench = Bench::leading_dual();
    let families = vec![Family::V4, Family::V6];
    bench.slice("web-6", &web(), Family::V6, vec![ready("node3")]);
    bench.service(&web(), Some(Service { families, ..sharing(5, 80) }));
    bench.endpoints(&younger(), &["node1"]);
    bench.pin(&web(), "node3");
    bench.service(&younger(), Some(sharing(6, 443)));
    bench.run(A_WHILE);
    let at = bench.ask(188);
    assert!(at.is_some());
    assert_eq!(bench.said(&web()), (true, "Announced"));
    assert_eq!(bench.said(&younger()), (true, "Announced"), "{}", bench.message(&younger()));
}

mod consent {
    use super::*;

    /// A younger Service that asks for the address of [`web`] and does not get it.
    fn refused(host: impl FnOnce(&mut Service), guest: impl FnOnce(&mut Service)) -> Bench {
        let mut bench = Bench::leading();
        let (mut one, mut other) = (sharing(5, 80), sharing(6, 443));
        host(&mut one);
        guest(&mut other);
        bench.service(&web(), Some(one));
        bench.service(&younger(), Some(other));
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [web()]);
        assert_eq!(bench.shown(&younger()).ingress, []);
        assert!(!bench.said(&younger()).0);
        bench
    }

    #[test]
    fn two_services_of_one_namespace_with_other_ports_share_an_address_and_both_show_it() {
        let mut bench = shared();
        bench.run(A_WHILE);
        assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
        assert_eq!(bench.shown(&younger()).ingress, [shows(188)]);
        assert_eq!(bench.said(&web()), (true, "Announced"));
        assert_eq!(bench.said(&younger()), (true, "Announced"));
    }

    #[test]
    fn a_service_that_is_refused_shares_as_soon_as_the_holder_consents_or_makes_room() {
        let asks = |service: &mut Service| service.requested_ip = Some("172.22.0.188".to_owned());
        let mut bench = refused(|host| host.requested_ip = None, |_| {});
        bench.edit_service(&web(), asks);
        assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
        let ports = sharing(5, 80).ports;
        let mut bench = refused(|_| {}, |guest| guest.ports = ports);
        bench.edit_service(&web(), |host| host.ports = sharing(5, 8080).ports);
        assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
    }

    #[test]
    fn one_port_with_two_protocols_is_two_ports() {
        let mut bench = Bench::leading();
        let mut udp = sharing(6, 80);
        udp.ports = [porter_core::Port { protocol: "UDP".to_owned(), number: 80 }].into();
        bench.service(&web(), Some(sharing(5, 80)));
        bench.service(&younger(), Some(udp));
        assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
    }

    #[test]
    fn a_port_in_common_is_refused() {
        let bench = refused(|_| {}, |guest| guest.ports = sharing(6, 80).ports);
        assert!(bench.message(&younger()).contains("80/TCP"), "{}", bench.message(&younger()));
    }

    #[test]
    fn an_address_that_its_holder_does_not_name_is_refused() {
        refused(|host| host.requested_ip = None, |_| {});
    }

    #[test]
    fn other_pods_under_local_are_refused() {
        refused(
            |host| selects(host, "a"),
            |guest| {
                selects(guest, "b");
                guest.policy = TrafficPolicy::Local;
            },
        );
    }

    #[test]
    fn no_selector_under_local_is_refused() {
        refused(|_| {}, |guest| guest.policy = TrafficPolicy::Local);
    }

    #[test]
    fn another_namespace_is_refused() {
        let mut bench = Bench::leading();
        let stranger = ServiceName::new("other", "web");
        bench.service(&web(), Some(sharing(5, 80)));
        bench.service(&stranger, Some(sharing(6, 443)));
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [web()]);
        assert!(!bench.said(&stranger).0);
    }

    #[test]
    fn the_same_pods_may_share_under_local() {
        let mut bench = Bench::leading();
        let mut local = [sharing(5, 80), sharing(6, 443)];
        for service in &mut local {
            selects(service, "a");
            service.policy = TrafficPolicy::Local;
        }
        let [one, other] = local;
        bench.service(&web(), Some(one));
        bench.service(&younger(), Some(other));
        assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
    }

    /// An edit after which the two may not share: the younger one leaves, the answer stays.
    fn parts(edits: impl FnOnce(&mut Bench)) {
        let mut bench = shared();
        edits(&mut bench);
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [web()]);
        assert_eq!(bench.shown(&younger()).ingress, []);
        assert!(!bench.said(&younger()).0);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn the_younger_leaves_when_it_takes_a_port_of_the_older() {
        parts(|bench| bench.edit_service(&younger(), |it| it.ports = sharing(0, 80).ports));
    }

    #[test]
    fn the_younger_leaves_when_the_older_takes_a_port_of_it() {
        parts(|bench| bench.edit_service(&web(), |it| it.ports = sharing(0, 443).ports));
    }

    #[test]
    fn the_younger_leaves_when_it_becomes_local() {
        parts(|bench| bench.edit_service(&younger(), |it| it.policy = TrafficPolicy::Local));
    }

    #[test]
    fn the_younger_leaves_when_the_older_becomes_local() {
        parts(|bench| bench.edit_service(&web(), |it| it.policy = TrafficPolicy::Local));
    }

    #[test]
    fn the_younger_leaves_when_the_older_names_the_address_no_more() {
        parts(|bench| bench.edit_service(&web(), |it| it.requested_ip = None));
    }

    #[test]
    fn the_younger_leaves_when_their_selectors_part_under_local() {
        parts(|bench| {
            for name in [web(), younger()] {
                bench.edit_service(&name, |it| selects(it, "a"));
            }
            for name in [web(), younger()] {
                bench.edit_service(&name, |it| it.policy = TrafficPolicy::Local);
            }
            assert_eq!(bench.used()[&eip(188)].len(), 2);
            bench.edit_service(&web(), |it| selects(it, "b"));
        });
    }

    #[test]
    fn one_that_was_refused_gets_the_address_when_it_gives_way() {
        let mut bench = refused(|_| {}, |guest| guest.ports = sharing(6, 80).ports);
        bench.endpoints(&younger(), &["node4"]);
        bench.edit_service(&younger(), |it| it.ports = sharing(0, 443).ports);
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
        assert_eq!(bench.said(&younger()), (true, "Announced"));
    }
}

mod node {
    use super::*;

    #[test]
    fn the_younger_carries_a_copy_which_is_never_read() {
        let mut bench = shared();
        assert_eq!(bench.record(&younger()), Some("node3"));
        bench.pin(&younger(), "node4");
        bench.run(A_WHILE);
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        bench.usurp();
        bench.pin(&younger(), "node4");
        bench.run(Duration::from_secs(20));
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn the_oldest_is_pinned_and_the_younger_follows() {
        let mut bench = shared();
        bench.pin(&web(), "node4");
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node4"), Some(mac(10))));
    }

    #[test]
    fn an_older_one_that_joins_takes_over_the_node_that_is_answered() {
        let mut bench = shared();
        bench.announced.clear();
        bench.endpoints(&older(), &["node4", "node3"]);
        bench.service(&older(), Some(sharing(1, 8080)));
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [older(), web(), younger()]);
        assert_eq!((bench.record(&older()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert!(bench.announced.iter().all(|is_at| is_at.mac == mac(9)));
        assert_eq!(bench.said(&web()), (true, "Announced"));
    }

    #[test]
    fn an_older_one_that_joins_brings_no_record_of_another_address_with_it() {
        let mut bench = shared();
        bench.endpoints(&older(), &["node4"]);
        bench.service(&older(), Some(Service { requested_ip: None, ..sharing(1, 8080) }));
        assert_eq!((bench.record(&older()), bench.ask(189)), (Some("node4"), Some(mac(10))));
        bench.endpoints(&older(), &["node4", "node3"]);
        bench.edit_service(&older(), |it| it.requested_ip = sharing(1, 1).requested_ip);
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [older(), web(), younger()]);
        assert_eq!((bench.record(&older()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.told("PinRejected"), [""; 0]);
    }

    #[test]
    fn the_answer_follows_the_world_while_an_older_one_cannot_be_written() {
        let mut bench = shared();
        bench.replies = false;
        bench.endpoints(&older(), &["node3"]);
        bench.service(&older(), Some(sharing(1, 8080)));
        bench.edit_node("node3", |node| node.ready = false);
        bench.edit_node("node4", |node| node.ready = false);
        bench.edit_node("node1", |node| node.ready = false);
        assert_eq!(bench.ask(188), None);
    }

    #[test]
    fn an_oldest_without_a_record_goes_on_with_the_copy_of_the_next_under_a_new_leader() {
        let mut bench = shared();
        let api = ServiceName::new("default", "api");
        bench.endpoints(&api, &["node3"]);
        bench.service(&api, Some(asking()));
        bench.run(A_WHILE);
        bench.usurp();
        bench.edit_service(&web(), |service| {
            service.metadata.annotations.remove(RECORD);
        });
        bench.run(Duration::from_secs(20));
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn a_node_with_endpoints_of_all_is_taken() {
        let mut bench = shared();
        bench.endpoints(&younger(), &["node4"]);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
        assert_eq!(bench.record(&younger()), Some("node4"));
    }

    #[test]
    fn a_node_with_endpoints_of_any_is_taken_where_none_has_those_of_all() {
        let mut bench = shared();
        bench.endpoints(&web(), &["node3"]);
        bench.endpoints(&younger(), &["node4"]);
        bench.run(A_WHILE);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.said(&younger()), (true, "Announced"));
    }

    #[test]
    fn one_without_endpoints_does_not_count_and_the_address_is_silent_only_without_any() {
        let mut bench = shared();
        bench.endpoints(&web(), &[]);
        bench.endpoints(&younger(), &["node4"]);
        bench.run(A_WHILE);
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node4"), Some(mac(10))));
        bench.endpoints(&younger(), &[]);
        bench.run(A_WHILE);
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.said(&web()), (false, "NoReadyEndpoint"));
        assert_eq!(bench.said(&younger()), (false, "NoReadyEndpoint"));
        assert_eq!(bench.record(&web()), Some("node4"));
    }

    #[test]
    fn under_local_only_a_node_with_endpoints_of_all_will_do() {
        let mut bench = shared();
        for name in [web(), younger()] {
            bench.edit_service(&name, |it| selects(it, "a"));
        }
        for name in [web(), younger()] {
            bench.edit_service(&name, |it| it.policy = TrafficPolicy::Local);
        }
        bench.endpoints(&web(), &["node3"]);
        bench.endpoints(&younger(), &["node4"]);
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (None, (false, "NoUsableNode")));
    }

    #[test]
    fn a_shared_address_counts_once_for_its_node() {
        let mut bench = shared();
        let api = ServiceName::new("default", "api");
        bench.endpoints(&api, &["node4"]);
        bench.service(&api, Some(asking()));
        bench.endpoints(&api, &["node3", "node4"]);
        let next = ServiceName::new("default", "next");
        bench.endpoints(&next, &["node4"]);
        bench.service(&next, Some(asking()));
        let last = ServiceName::new("default", "last");
        bench.endpoints(&last, &["node3", "node4"]);
        bench.service(&last, Some(asking()));
        assert_eq!(bench.record(&last), Some("node3"));
    }

    #[test]
    fn sharers_stay_where_they_are_over_a_leader_change_and_nothing_is_written() {
        let mut bench = shared();
        bench.run(A_WHILE);
        bench.written.clear();
        bench.change_leader();
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.written, []);
    }

    #[test]
    fn a_move_of_a_shared_address_is_answered_when_its_oldest_sharer_says_so() {
        let mut bench = shared();
        bench.replies = false;
        bench.edit_node("node3", |node| node.ready = false);
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.writes.len(), 1, "the oldest's alone");
        bench.judge(Verdict::Done);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
        assert_eq!(bench.record(&younger()), Some("node3"), "the copy comes afterwards");
    }

    #[test]
    fn nothing_wrong_is_said_of_the_younger_while_the_record_of_the_oldest_is_on_its_way() {
        let mut bench = shared();
        bench.run(A_WHILE);
        bench.replies = false;
        bench.edit_node("node3", |node| node.ready = false);
        bench.run(A_WHILE);
        bench.judge(Verdict::Done);
        bench.replies = true;
        bench.run(A_WHILE);
        assert!(bench.events.iter().all(|event| !event.warning), "{:?}", bench.events);
        assert_eq!(bench.said(&younger()), (true, "Announced"));
    }
}

mod leaving {
    use super::*;

    #[test]
    fn an_older_service_that_leaves_before_it_is_on_record_decides_nothing() {
        let mut bench = Bench::leading();
        bench.endpoints(&web(), &["node4"]);
        bench.service(&younger(), Some(sharing(6, 443)));
        bench.run(A_WHILE);
        bench.replies = false;
        let mut older = sharing(5, 80);
        older.metadata.finalizers.push(keys::SERVICE_FINALIZER.to_owned());
        older
            .metadata
            .labels
            .insert(keys::EIP.spelled(Default::default()).to_owned(), "pool".into());
        older.metadata.annotations.insert(RECORD.to_owned(), "node4".to_owned());
        bench.service(&web(), Some(older));
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        assert_eq!(bench.ask(188), None);
        bench.replies = true;
        bench.run(A_WHILE);
        assert!(!bench.api.services.contains_key(&web()));
        assert_eq!(bench.used()[&eip(188)], [younger()]);
    }

    /// The oldest goes: the younger carries the node before, and is answered with it all the time.
    fn hands_on(goes: impl FnOnce(&mut Service)) -> Bench {
        let mut bench = shared();
        bench.announced.clear();
        bench.edit_service(&web(), goes);
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [younger()]);
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert!(bench.announced.iter().all(|is_at| is_at.mac == mac(9)));
        bench
    }

    #[test]
    fn an_oldest_that_is_deleted_hands_its_node_on() {
        let bench = hands_on(|service| service.metadata.deleting = true);
        assert!(!bench.api.services.contains_key(&web()));
    }

    #[test]
    fn an_oldest_that_is_retyped_hands_its_node_on_and_shows_nothing() {
        let bench = hands_on(|service| service.load_balancer = false);
        assert_eq!(bench.shown(&web()).ingress, []);
        assert_eq!(bench.record(&web()), None);
    }

    #[test]
    fn an_oldest_that_asks_for_another_address_hands_its_node_on() {
        let bench = hands_on(|service| service.requested_ip = Some("172.22.0.190".to_owned()));
        assert_eq!(bench.shown(&web()).ingress, [shows(190)]);
        assert!(bench.ask(190).is_some());
    }

    #[test]
    fn a_younger_one_that_goes_changes_nothing_for_the_oldest() {
        let mut bench = shared();
        bench.edit_service(&younger(), |service| service.metadata.deleting = true);
        bench.run(A_WHILE);
        assert!(!bench.api.services.contains_key(&younger()));
        assert_eq!(bench.used()[&eip(188)], [web()]);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    }

    #[test]
    fn an_oldest_that_is_deleted_lives_until_the_next_carries_its_node() {
        let mut bench = shared();
        bench.replies = false;
        bench.pin(&younger(), "node4");
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        refuse_writes_of(&mut bench, &younger());
        assert_eq!(bench.used()[&eip(188)], [web(), younger()]);
        assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
        assert_eq!(bench.ask(188), Some(mac(9)));
        bench.replies = true;
        bench.run(A_WHILE);
        assert!(!bench.api.services.contains_key(&web()));
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn an_oldest_that_is_deleted_hands_its_node_on_to_the_next_also_under_a_new_leader() {
        let mut bench = shared();
        bench.usurp();
        bench.edit_service(&younger(), |service| {
            service.metadata.annotations.remove(RECORD);
        });
        bench.endpoints(&younger(), &["node4", "node3"]);
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        bench.pin(&younger(), "node4");
        bench.run(Duration::from_secs(20));
        assert!(!bench.api.services.contains_key(&web()));
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn the_answer_follows_the_world_while_an_oldest_that_goes_waits_for_the_next() {
        let mut bench = shared();
        bench.replies = false;
        bench.pin(&younger(), "node4");
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        bench.edit_node("node3", |node| node.ready = false);
        assert_eq!(bench.ask(188), None);
    }

    #[test]
    fn one_that_goes_too_is_not_waited_for() {
        let mut bench = shared();
        let third = ServiceName::new("default", "moth");
        bench.endpoints(&third, &["node3", "node4"]);
        bench.service(&third, Some(sharing(7, 25)));
        bench.run(A_WHILE);
        bench.usurp();
        bench.pin(&younger(), "node4");
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        bench.edit_service(&younger(), |service| service.metadata.deleting = true);
        bench.run(Duration::from_secs(20));
        assert_eq!(bench.used()[&eip(188)], std::slice::from_ref(&third));
        assert_eq!((bench.record(&third), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn all_may_go_at_once_and_the_address_is_free() {
        let mut bench = shared();
        bench.watches = false;
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        bench.edit_service(&younger(), |service| service.metadata.deleting = true);
        bench.watches = true;
        bench.pump();
        bench.run(A_WHILE);
        assert!(bench.api.services.is_empty());
        assert_eq!((bench.used(), bench.ask(188)), (BTreeMap::new(), None));
    }

    #[test]
    fn an_oldest_that_vanishes_without_a_word_leaves_the_address_to_the_next() {
        let mut bench = shared();
        bench.service(&web(), None);
        bench.run(A_WHILE);
        assert_eq!(bench.used()[&eip(188)], [younger()]);
        assert_eq!((bench.record(&younger()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn of_three_the_second_oldest_inherits_and_the_third_follows_it() {
        let mut bench = shared();
        let third = ServiceName::new("default", "moth");
        bench.endpoints(&third, &["node3", "node4"]);
        bench.service(&third, Some(sharing(7, 25)));
        bench.edit_service(&web(), |service| service.metadata.deleting = true);
        bench.run(A_WHILE);
        bench.pin(&younger(), "node4");
        bench.run(A_WHILE);
        assert_eq!((bench.record(&third), bench.ask(188)), (Some("node4"), Some(mac(10))));
        bench.slice("zebra", &younger(), Family::V4, vec![ready("node4")]);
        assert_eq!(bench.ask(188), Some(mac(10)));
    }
}

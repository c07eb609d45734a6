//! Which node is answered for a Service: who is a candidate, who is usable, who is picked, who stays.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{
    Endpoint, Family, Node, ServiceName, Slice, SliceName, TrafficPolicy, WriteError, keys,
};

const OPENELB_RECORD: &str = "layer2.openelb.kubesphere.io/v1alpha1";

/// Long enough for what is wrong to be said.
const A_WHILE: Duration = Duration::from_secs(3);

/// A leader that answers for the guide's Service with node3, which node4 could serve as well.
fn at_node3() -> Bench {
    let mut bench = Bench::serving();
    bench.endpoints(&web(), &["node3", "node4"]);
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench
}

/// A leader that answers with a node without an endpoint, since the only one with one is not Ready.
fn at_a_fallback() -> Bench {
    let mut bench = Bench::serving();
    bench.edit_node("node3", |node| node.ready = false);
    assert_ne!(bench.record(&web()), Some("node3"));
    assert!(bench.ask(188).is_some());
    bench
}

fn mac_of(node: &str) -> porter_core::MacAddr {
    mac(NODES.iter().find(|(name, _)| *name == node).unwrap().1)
}

mod candidates {
    use super::*;

    #[test]
    fn the_endpoints_of_several_slices_count_together() {
        let mut bench = Bench::leading();
        bench.slice("web-1", &web(), Family::V4, vec![Endpoint { ready: false, ..ready("node3") }]);
        bench.slice("web-2", &web(), Family::V4, vec![ready("node4")]);
        bench.service(&web(), Some(asking()));
        assert_eq!(bench.ask(188), Some(mac(10)));
        bench.slice("web-1", &web(), Family::V4, vec![ready("node3")]);
        assert_eq!(bench.ask(188), Some(mac(10)));
        bench.slice("web-2", &web(), Family::V4, vec![]);
        assert_eq!(bench.ask(188), Some(mac(9)));
    }

    #[test]
    fn a_slice_that_becomes_another_services_counts_for_that_one_only() {
        let mut bench = Bench::serving();
        let api = ServiceName::new("default", "api");
        bench.service(&api, Some(asking()));
        assert_eq!(bench.ask(189), None);
        bench.slice("web", &api, Family::V4, vec![ready("node4")]);
        assert_eq!((bench.ask(188), bench.ask(189)), (None, Some(mac(10))));
    }

    #[test]
    fn slices_that_come_before_their_service_count_from_its_beginning() {
        let mut bench = Bench::leading();
        bench.slice("web-1", &web(), Family::V4, vec![ready("node4")]);
        bench.change_leader();
        bench.service(&web(), Some(asking()));
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
    }

    #[test]
    fn an_endpoint_that_drains_counts_only_while_none_is_ready() {
        let mut bench = Bench::leading();
        bench.slice("web", &web(), Family::V4, vec![draining("node3"), ready("node4")]);
        bench.service(&web(), Some(asking()));
        assert_eq!(bench.ask(188), Some(mac(10)));
        bench.slice("web", &web(), Family::V4, vec![draining("node3"), draining("node4")]);
        assert_eq!(bench.ask(188), Some(mac(10)), "what drains is kept while nothing is ready");
        bench.slice("web", &web(), Family::V4, vec![draining("node3")]);
        assert_eq!(bench.ask(188), Some(mac(9)));
    }

    #[test]
    fn an_endpoint_that_neither_is_ready_nor_drains_is_none() {
        let mut bench = Bench::serving();
        let started = Endpoint { ready: false, ..ready("node3") };
        let ended = Endpoint { serving: false, ..draining("node3") };
        bench.slice("web", &web(), Family::V4, vec![started, ended]);
        bench.run(A_WHILE);
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.said(&web()), (false, "NoReadyEndpoint"));
    }

    #[test]
    fn an_endpoint_without_a_node_leaves_any_node_to_cluster_and_none_to_local() {
        let mut bench = Bench::leading();
        bench.slice("web", &web(), Family::V4, vec![Endpoint { node: None, ..ready("") }]);
        bench.service(&web(), Some(asking()));
        assert!(bench.ask(188).is_some());
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
        bench.run(A_WHILE);
        assert_eq!(bench.ask(188), None);
        assert_eq!(bench.said(&web()), (false, "NoUsableNode"));
    }

    #[test]
    fn a_change_of_the_traffic_policy_moves_nothing_that_may_stay() {
        let mut bench = at_node3();
        bench.written.clear();
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Cluster);
        bench.run(A_WHILE);
        assert_eq!(bench.ask(188), Some(mac(9)));
        assert_eq!(bench.written, []);
    }

    #[test]
    fn a_node_without_an_endpoint_serves_cluster_and_is_silent_under_local() {
        let mut bench = at_a_fallback();
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (None, (false, "NoUsableNode")));
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Cluster);
        assert!(bench.ask(188).is_some());
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
    }

    #[test]
    fn one_that_serves_no_slice_of_the_addresss_family_is_silent() {
        let mut bench = Bench::serving();
        bench.slice("web", &web(), Family::V6, vec![ready("node3")]);
        assert_eq!(bench.ask(188), None);
    }
}

mod usable {
    use super::*;

    /// Something happens to node3: node4 takes over, and keeps it when node3 is well again.
    fn moves(harm: impl FnOnce(&mut Node)) {
        let mut bench = at_node3();
        let well = node(9);
        bench.edit_node("node3", harm);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
        bench.node("node3", Some(well));
        bench.run(A_WHILE);
        bench.change_leader();
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
    }

    #[test]
    fn a_node_that_is_not_ready_is_left_for_good() {
        moves(|node| node.ready = false);
    }

    #[test]
    fn a_node_whose_network_is_unavailable_is_left_for_good() {
        moves(|node| node.network_unavailable = true);
    }

    #[test]
    fn a_node_that_is_excluded_from_load_balancers_is_left_for_good() {
        moves(|node| node.excluded = true);
    }

    #[test]
    fn a_node_that_is_out_of_service_is_left_for_good() {
        moves(|node| node.out_of_service = true);
    }

    #[test]
    fn a_node_that_is_being_deleted_is_left_for_good() {
        moves(|node| node.metadata.deleting = true);
    }

    #[test]
    fn a_node_that_has_no_address_on_the_link_any_more_is_left_for_good() {
        moves(|node| node.addresses = vec![[10, 0, 0, 9].into()]);
    }

    #[test]
    fn a_node_whose_annotation_leaves_none_of_its_addresses_is_left_for_good() {
        moves(|node| {
            node.metadata.annotations.insert(RECORD.to_owned(), "10.0.0.0/8".to_owned());
        });
    }

    #[test]
    fn a_node_that_is_gone_is_left_for_good() {
        let mut bench = at_node3();
        bench.node("node3", None);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
        bench.node("node3", Some(node(9)));
        assert_eq!(bench.ask(188), Some(mac(10)));
    }

    #[test]
    fn the_label_that_excludes_nodes_means_nothing_where_all_have_it() {
        let mut bench = at_node3();
        bench.edit_node("node1", |node| node.excluded = true);
        bench.edit_node("node4", |node| node.excluded = true);
        bench.edit_node("node3", |node| node.excluded = true);
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (Some(mac(9)), (true, "Announced")));
        bench.edit_node("node1", |node| node.excluded = false);
        bench.run(A_WHILE);
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
        assert_eq!(bench.ask(188), Some(mac(3)));
    }

    #[test]
    fn the_label_is_named_where_it_stands_in_the_way() {
        let mut bench = Bench::serving();
        bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
        bench.edit_node("node3", |node| node.excluded = true);
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (None, (false, "NoUsableNode")));
        let label = "node3 has the label node.kubernetes.io/exclude-from-external-load-balancers";
        assert!(bench.message(&web()).contains(label), "{}", bench.message(&web()));
    }

    #[test]
    fn a_cordoned_node_keeps_what_it_has_over_a_leader_change_and_gets_nothing_new() {
        let mut bench = at_node3();
        bench.edit_node("node3", |node| node.cordoned = true);
        bench.change_leader();
        assert_eq!(bench.ask(188), Some(mac(9)));
        let service = |i: u8| ServiceName::new("default", &format!("s{i}"));
        (0..4).for_each(|i| bench.endpoints(&service(i), &["node3", "node4"]));
        (0..4).for_each(|i| bench.service(&service(i), Some(asking())));
        assert_eq!(bench.spread(), [("node3", 1), ("node4", 4)].into());
    }

    #[test]
    fn a_cordoned_node_gets_what_is_pinned_to_it() {
        let mut bench = at_node3();
        bench.edit_node("node4", |node| node.cordoned = true);
        bench.pin(&web(), "node4");
        assert_eq!(bench.ask(188), Some(mac(10)));
        assert_eq!(bench.told("PinRejected"), [""; 0]);
    }

    #[test]
    fn a_service_whose_only_endpoint_is_on_a_cordoned_node_is_served_through_another() {
        let mut bench = Bench::leading();
        bench.edit_node("node3", |node| node.cordoned = true);
        bench.endpoints(&web(), &["node3"]);
        bench.service(&web(), Some(asking()));
        bench.run(A_WHILE);
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
        assert_ne!(bench.ask(188), Some(mac(9)));
    }

    #[test]
    fn a_service_whose_only_endpoint_is_on_a_silent_node_is_served_through_another() {
        let mut bench = Bench::new();
        bench.mute.insert(eip(9));
        bench.lead();
        bench.endpoints(&web(), &["node3"]);
        bench.service(&web(), Some(asking()));
        bench.run(A_WHILE);
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
        assert_ne!(bench.record(&web()), Some("node3"));
        bench.change_leader();
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
    }

    #[test]
    fn a_node_is_answered_with_the_mac_at_the_address_that_its_annotation_names() {
        let mut bench = Bench::serving();
        bench.edit_node("node3", |node| {
            node.metadata.annotations.insert(OPENELB_RECORD.to_owned(), "172.22.0.50".to_owned());
        });
        assert_eq!(bench.ask(188), Some(mac(50)));
    }

    #[test]
    fn a_node_is_answered_with_the_mac_at_its_address_in_the_subnet_that_its_annotation_names() {
        let mut bench = Bench::serving();
        bench.edit_node("node3", |node| {
            node.addresses = vec![[10, 0, 0, 9].into(), eip(9), eip(60)];
            node.metadata.annotations.insert(RECORD.to_owned(), "172.22.0.48/28".to_owned());
        });
        assert_eq!(bench.ask(188), Some(mac(60)));
    }
}

mod pick {
    use super::*;

    #[test]
    fn services_are_spread_over_the_nodes_that_can_serve_them() {
        let mut bench = Bench::leading();
        let service = |i: u8| ServiceName::new("default", &format!("s{i}"));
        (0..6).for_each(|i| bench.endpoints(&service(i), &["node1", "node3", "node4"]));
        (0..6).for_each(|i| bench.service(&service(i), Some(asking())));
        assert_eq!(bench.spread(), [("node1", 2), ("node3", 2), ("node4", 2)].into());
        bench.edit_node("node4", |node| node.ready = false);
        assert_eq!(bench.spread(), [("node1", 3), ("node3", 3)].into());
    }

    #[test]
    fn the_load_is_known_again_after_a_leader_change() {
        let mut bench = Bench::serving();
        bench.endpoints(&web(), &["node3", "node4"]);
        bench.change_leader();
        let api = ServiceName::new("default", "api");
        bench.endpoints(&api, &["node3", "node4"]);
        bench.service(&api, Some(asking()));
        assert_eq!(bench.spread(), [("node3", 1), ("node4", 1)].into());
    }

    #[test]
    fn a_node_with_less_to_do_does_not_draw_a_service_to_itself() {
        let mut bench = Bench::serving();
        let api = ServiceName::new("default", "api");
        bench.endpoints(&api, &["node3"]);
        bench.service(&api, Some(asking()));
        bench.endpoints(&api, &["node3", "node4"]);
        bench.endpoints(&web(), &["node3", "node4"]);
        bench.run(A_WHILE);
        bench.change_leader();
        assert_eq!(bench.spread(), [("node3", 2)].into());
    }

    #[test]
    fn a_node_that_has_just_joined_is_waited_for_before_another_is_taken() {
        let mut bench = Bench::leading();
        bench.mute.insert(eip(11));
        bench.api.put_node(&"node5".into(), Some(node(11)));
        let endpoints = vec![ready("node5")];
        let slice = Slice { service: web(), family: Family::V4, endpoints };
        bench.api.put_slice(&SliceName::new("default", "web"), slice);
        bench.service(&web(), Some(asking()));
        assert_eq!(bench.ask(188), None);
        bench.mute.clear();
        bench.run(Duration::from_secs(1));
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node5"), Some(mac(11))));
    }

    #[test]
    fn a_node_that_is_not_committed_is_not_answered() {
        let mut bench = Bench::serving();
        bench.replies = false;
        bench.endpoints(&web(), &["node4"]);
        assert_eq!(bench.ask(188), Some(mac(9)), "it passes on what arrives meanwhile");
        bench.judge(Verdict::DoneUnheard);
        bench.watches = true;
        bench.replies = true;
        bench.run(Duration::from_secs(1));
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
    }

    #[test]
    fn a_move_whose_verdict_is_lost_with_its_leader_is_the_next_ones() {
        let mut bench = at_node3();
        bench.replies = false;
        bench.endpoints(&web(), &["node4"]);
        bench.judge(Verdict::DoneUnheard);
        bench.endpoints(&web(), &["node3", "node4"]);
        bench.replies = true;
        bench.change_leader();
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
    }

    #[test]
    fn a_pin_moves_a_service_and_stays_over_a_leader_change() {
        let mut bench = at_node3();
        bench.announced.clear();
        bench.pin(&web(), "node4");
        assert_eq!(bench.ask(188), Some(mac(10)));
        assert_eq!(bench.announced.first().map(|is_at| is_at.mac), Some(mac(10)));
        bench.change_leader();
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node4"), Some(mac(10))));
        assert_eq!(bench.told("PinRejected"), [""; 0]);
    }

    #[test]
    fn a_pin_to_a_node_that_cannot_serve_is_taken_back_and_the_answer_stays_meanwhile() {
        let mut bench = at_node3();
        bench.replies = false;
        bench.pin(&web(), "node1");
        assert_eq!(bench.ask(188), Some(mac(9)));
        bench.replies = true;
        bench.run(A_WHILE);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.told("PinRejected").len(), 1);
        assert_eq!(bench.said(&web()), (true, "Announced"));
    }

    #[test]
    fn a_pin_that_is_rejected_is_told_with_the_reason() {
        let mut bench = at_node3();
        bench.pin(&web(), "nowhere");
        bench.pin(&web(), "node1");
        bench.edit_node("node4", |node| node.ready = false);
        bench.pin(&web(), "node4");
        let told = bench.told("PinRejected");
        assert!(told[0].contains("nowhere is no Node of the cluster"), "{told:?}");
        assert!(told[1].contains("node1 has no endpoint"), "{told:?}");
        assert!(told[2].contains("node4 is not Ready"), "{told:?}");
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn a_pin_to_a_node_that_does_not_answer_is_rejected() {
        let mut bench = Bench::new();
        bench.mute.insert(eip(10));
        bench.lead();
        bench.endpoints(&web(), &["node3", "node4"]);
        bench.service(&web(), Some(asking()));
        bench.run(A_WHILE);
        assert_eq!(bench.ask(188), Some(mac(9)));
        bench.pin(&web(), "node4");
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.told("PinRejected").len(), 1);
    }

    #[test]
    fn a_pin_that_a_new_leader_finds_is_no_pin_if_the_node_cannot_serve() {
        let mut bench = at_node3();
        bench.usurp();
        bench.pin(&web(), "nowhere");
        bench.run(Duration::from_secs(20));
        let record = bench.record(&web()).unwrap().to_owned();
        assert!(["node3", "node4"].contains(&record.as_str()));
        assert_eq!(bench.ask(188), Some(mac_of(&record)));
    }

    #[test]
    fn a_pin_that_a_new_leader_finds_is_no_pin_if_the_node_has_no_endpoint() {
        let mut bench = Bench::serving();
        bench.usurp();
        bench.pin(&web(), "node1");
        bench.run(Duration::from_secs(20));
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn a_record_that_is_removed_comes_back_and_the_answer_stays_meanwhile() {
        let mut bench = at_node3();
        bench.replies = false;
        bench.edit_service(&web(), |service| {
            service.metadata.annotations.retain(|key, _| key != RECORD)
        });
        assert_eq!((bench.record(&web()), bench.ask(188)), (None, Some(mac(9))));
        bench.replies = true;
        bench.run(A_WHILE);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }

    #[test]
    fn of_two_spellings_of_a_record_porter_counts_and_the_other_is_corrected_with_one_write() {
        let mut bench = at_node3();
        bench.written.clear();
        bench.edit_service(&web(), |service| {
            service.metadata.annotations.insert(OPENELB_RECORD.to_owned(), "node4".to_owned());
        });
        let annotations = &bench.shown(&web()).metadata.annotations;
        assert_eq!(annotations.get(OPENELB_RECORD).unwrap(), "node3");
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.written.len(), 1);
        bench.endpoints(&web(), &["node4"]);
        let annotations = &bench.shown(&web()).metadata.annotations;
        assert_eq!(
            [OPENELB_RECORD, RECORD].map(|key| annotations.get(key).unwrap()),
            ["node4", "node4"]
        );
    }

    #[test]
    fn a_service_that_speaks_openelb_is_recorded_in_that_spelling() {
        let mut bench = Bench::leading();
        bench.endpoints(&web(), &["node3"]);
        let mut service = asking();
        service.metadata.annotations.insert(keys::LOAD_BALANCER.to_owned(), "openelb".to_owned());
        bench.service(&web(), Some(service));
        assert_eq!(bench.shown(&web()).metadata.annotations.get(OPENELB_RECORD).unwrap(), "node3");
        assert_eq!(bench.record(&web()), None);
    }

    #[test]
    fn a_service_without_endpoints_returns_to_its_node_also_under_another_leader() {
        let mut bench = at_node3();
        bench.endpoints(&web(), &[]);
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (None, (false, "NoReadyEndpoint")));
        bench.change_leader();
        assert_eq!(bench.record(&web()), Some("node3"));
        bench.endpoints(&web(), &["node4", "node3"]);
        assert_eq!(bench.ask(188), Some(mac(9)));
    }

    #[test]
    fn an_answer_is_taken_back_at_once_even_if_nothing_of_the_service_can_be_written() {
        let mut bench = Bench::serving();
        bench.replies = false;
        bench.edit_service(&web(), |service| service.metadata.labels.clear());
        bench.judge(Verdict::Failed(WriteError::Rejected("no".to_owned())));
        bench.endpoints(&web(), &[]);
        assert_eq!(bench.ask(188), None);
    }

    #[test]
    fn an_answer_is_taken_back_at_once_even_if_the_address_is_shown_no_more() {
        let mut bench = Bench::serving();
        bench.change_leader();
        bench.replies = false;
        bench.edit_service(&web(), |service| service.ingress.clear());
        bench.endpoints(&web(), &[]);
        assert_eq!(bench.ask(188), None);
    }

    #[test]
    fn nothing_is_written_or_said_while_unrelated_things_change() {
        let mut bench = at_node3();
        bench.run(A_WHILE);
        bench.written.clear();
        bench.announced.clear();
        bench.edit_node("node1", |node| node.ready = false);
        bench.node("node5", Some(node(11)));
        bench.endpoints(&ServiceName::new("default", "other"), &["node4"]);
        bench.endpoints(&web(), &["node5", "node4", "node3"]);
        bench.change_leader();
        bench.list();
        assert_eq!(bench.ask(188), Some(mac(9)));
        assert_eq!(bench.written, []);
        assert!(bench.announced.iter().all(|is_at| is_at.mac == mac(9)));
    }

    #[test]
    fn late_and_repeated_news_of_nodes_and_slices_move_nothing() {
        let mut bench = at_node3();
        bench.watches = false;
        bench.edit_node("node3", |node| node.ready = false);
        bench.edit_node("node3", |node| node.ready = true);
        bench.slice("web", &web(), Family::V4, vec![ready("node4")]);
        bench.slice("web", &web(), Family::V4, vec![ready("node3"), ready("node4")]);
        let late: Vec<_> = bench.api.watch.drain(..).collect();
        bench.list();
        late.into_iter().for_each(|event| bench.tell(event));
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
    }
}

mod fallback {
    use super::*;

    #[test]
    fn the_node_on_record_is_answered_on_if_it_is_taken_again_for_lack_of_an_endpoint() {
        let mut bench = Bench::leading();
        bench.endpoints(&web(), &["node3"]);
        bench.service(&web(), Some(asking()));
        bench.node("node1", None);
        bench.edit_node("node4", |node| node.cordoned = true);
        bench.endpoints(&web(), &["node4"]);
        bench.run(A_WHILE);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
    }

    #[test]
    fn a_node_taken_for_lack_of_an_endpoint_stays_over_a_leader_change() {
        let mut bench = at_a_fallback();
        let taken = bench.record(&web()).unwrap().to_owned();
        bench.run(A_WHILE);
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
        bench.edit_node("node3", |node| node.ready = true);
        bench.run(A_WHILE);
        assert_eq!(bench.ask(188), Some(mac_of(&taken)));
        bench.change_leader();
        assert_eq!(bench.record(&web()), Some(&*taken));
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
        assert_eq!(bench.ask(188), Some(mac_of(&taken)));
    }

    #[test]
    fn a_node_taken_for_lack_of_an_endpoint_is_left_when_it_is_unusable_itself() {
        let mut bench = at_a_fallback();
        let taken = bench.record(&web()).unwrap().to_owned();
        bench.edit_node("node3", |node| node.ready = true);
        bench.change_leader();
        bench.edit_node(&taken, |node| node.ready = false);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        bench.run(A_WHILE);
        assert_eq!(bench.said(&web()), (true, "Announced"));
    }

    #[test]
    fn a_node_taken_for_lack_of_an_endpoint_that_gets_one_is_like_any_other() {
        let mut bench = at_a_fallback();
        let taken = bench.record(&web()).unwrap().to_owned();
        bench.endpoints(&web(), &["node3", &taken]);
        bench.run(A_WHILE);
        assert_eq!(bench.said(&web()), (true, "Announced"));
        bench.edit_node("node3", |node| node.ready = true);
        bench.endpoints(&web(), &["node3"]);
        assert_eq!(bench.ask(188), Some(mac(9)));
    }

    #[test]
    fn a_node_taken_for_lack_of_an_endpoint_can_be_left_by_a_pin() {
        let mut bench = at_a_fallback();
        bench.edit_node("node3", |node| node.ready = true);
        bench.pin(&web(), "node3");
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (Some(mac(9)), (true, "Announced")));
    }

    #[test]
    fn a_node_that_loses_its_endpoint_stays_if_no_node_with_one_is_usable() {
        let mut bench = Bench::serving();
        bench.edit_node("node4", |node| node.ready = false);
        bench.endpoints(&web(), &["node4"]);
        bench.run(A_WHILE);
        assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), Some(mac(9))));
        assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
    }

    #[test]
    fn without_any_usable_node_the_eip_is_silent_and_each_obstacle_is_named() {
        let mut bench = Bench::serving();
        bench.edit_node("node1", |node| node.network_unavailable = true);
        bench.edit_node("node3", |node| node.ready = false);
        bench.edit_node("node4", |node| node.out_of_service = true);
        bench.run(A_WHILE);
        assert_eq!((bench.ask(188), bench.said(&web())), (None, (false, "NoUsableNode")));
        let message = bench.message(&web());
        assert!(message.contains("node1 has its network unavailable"), "{message}");
        assert!(message.contains("node3 is not Ready"), "{message}");
        let taint = "node4 has the taint node.kubernetes.io/out-of-service";
        assert!(message.contains(taint), "{message}");
    }
}

#[test]
fn a_slice_that_is_gone_counts_no_more() {
    let mut bench = at_node3();
    bench.api.slices.remove(&SliceName::new("default", "web"));
    bench.list();
    assert_eq!((bench.record(&web()), bench.ask(188)), (Some("node3"), None));
}

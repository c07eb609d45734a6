//! What becomes of a Service that is created, changed and deleted, step by step, and what is not
//! written because nothing has changed.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{
    Eip, EipChange, EipName, EipStatus, Ingress, Service, ServiceChange, Write, WriteError, keys,
};

/// A write, as the step of the ladder that it is.
fn step(write: &Write) -> &'static str {
    match write {
        Write::Eip(_, _, EipChange::Metadata(_)) => "Eip finalizer",
        Write::Eip(_, _, EipChange::Status(status)) if status.used.is_empty() => "Eip free",
        Write::Eip(_, _, EipChange::Status(_)) => "Eip used",
        Write::Lease(..) => "Lease",
        Write::Service(_, _, ServiceChange::Metadata(change)) if change.finalizers.is_none() => {
            "Service node"
        }
        Write::Service(_, _, ServiceChange::Metadata(change)) => {
            match change.finalizers.as_ref().unwrap().is_empty() {
                true => "Service let go",
                false => "Service finalizer and label",
            }
        }
        Write::Service(_, _, ServiceChange::Status(status)) if status.ingress.is_empty() => {
            "Service shows nothing"
        }
        Write::Service(_, _, ServiceChange::Status(_)) => "Service status",
    }
}

fn steps(written: &[Write]) -> Vec<&'static str> {
    written.iter().map(step).collect()
}

/// A Service that was served is not any more: nothing of us is left on it, nothing is recorded or
/// answered, and people were told once.
fn assert_released(bench: &mut Bench) {
    bench.calm();
    assert_eq!(bench.traces(&web()), [""; 0]);
    assert_eq!((bench.ask(188), bench.used().len(), bench.status("pool").usage()), (None, 0, 0));
    let told = bench.take_told().into_iter().filter(|told| told.contains(" ReleaseIP: "));
    assert_eq!(told.collect::<Vec<_>>(), ["Normal Service/web ReleaseIP: released 172.22.0.188"]);
}

// In which order is written.

#[test]
fn a_service_is_marked_then_recorded_then_placed_and_only_then_shown() {
    let mut bench = Bench::leading();
    bench.endpoints(&web(), &["node3"]);
    bench.take_told();
    let written = bench.writes_in(|bench| {
        bench.service(&web(), Some(asking()));
        bench.calm();
    });
    let up = ["Service finalizer and label", "Eip used", "Service node", "Service status"];
    assert_eq!(steps(&written), up);
    let layer2 = "layer2.porter.kubesphere.io/v1alpha1=node3";
    let label = "eip.porter.kubesphere.io/v1alpha2=pool";
    let expected = [keys::SERVICE_FINALIZER, label, layer2, "172.22.0.188", "Announced"];
    assert_eq!(bench.traces(&web()), expected);
    let announced = "172.22.0.188 is at node3 (02:00:00:00:00:09) on eth0";
    assert_eq!(bench.word(&web()), format!("True Announced: {announced}"));
    assert_eq!(
        bench.take_told(),
        [
            "Normal Service/web AssignIP: assigned 172.22.0.188 of Eip pool".to_owned(),
            format!("Normal Service/web SetBalancer: {announced}"),
        ]
    );
}

#[test]
fn a_service_that_goes_is_silent_then_shown_no_more_then_freed_and_only_then_let_go() {
    let mut bench = Bench::serving();
    bench.acknowledges = false;
    bench.delete(&web());
    bench.run(Duration::from_secs(1));
    assert_eq!(bench.ask(188), None);
    assert_eq!(bench.shows(&web()), ["172.22.0.188"], "a responder may still be about to answer");
    let written = bench.writes_in(|bench| {
        bench.acknowledges = true;
        bench.pump();
        bench.calm();
    });
    assert_eq!(steps(&written), ["Service shows nothing", "Eip free", "Service let go"]);
    assert!(bench.api.services.is_empty());
}

#[test]
fn an_address_that_could_not_be_recorded_is_not_shown() {
    let mut bench = Bench::leading();
    bench.endpoints(&web(), &["node3"]);
    bench.replies = false;
    bench.service(&web(), Some(asking()));
    bench.judge(Verdict::Done);
    bench.judge(Verdict::Failed(WriteError::Rejected("too many requests".to_owned())));
    bench.run(Duration::from_millis(100));
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec![], None));
    bench.replies = true;
    bench.calm();
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.188".into()], Some(mac(9))));
}

#[test]
fn a_service_without_endpoints_has_its_address_and_is_told_what_is_missing() {
    let mut bench = Bench::leading();
    bench.service(&web(), Some(asking()));
    bench.calm();
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.188".into()], None));
    assert_eq!(
        bench.word(&web()),
        "False NoReadyEndpoint: 172.22.0.188 is not answered: the Service has no IPv4 endpoint; \
         check that its selector matches the labels of running pods"
    );
    bench.endpoints(&web(), &["node4"]);
    assert!(bench.word(&web()).starts_with("True Announced"));
}

#[test]
fn a_service_that_is_deleted_between_any_two_steps_leaves_nothing() {
    for n_verdicts in 0..6 {
        let mut bench = Bench::leading();
        bench.endpoints(&web(), &["node3"]);
        bench.replies = false;
        bench.service(&web(), Some(asking()));
        for _ in 0..n_verdicts {
            bench.judge(Verdict::Done);
            bench.run(Duration::from_millis(50));
        }
        bench.delete(&web());
        bench.replies = true;
        bench.pump();
        bench.calm();
        assert!(bench.api.services.is_empty(), "after {n_verdicts} verdicts");
        assert_eq!((bench.used().len(), bench.ask(188)), (0, None), "after {n_verdicts} verdicts");
    }
}

#[test]
fn a_service_that_is_removed_without_its_finalizer_gives_its_address_back() {
    let mut bench = Bench::serving();
    bench.service(&web(), None);
    bench.calm();
    assert_eq!((bench.used().len(), bench.ask(188)), (0, None));
}

// What people change.

#[test]
fn without_its_annotations_a_service_is_released() {
    let mut bench = Bench::serving();
    bench.edit_service(&web(), |service| service.metadata.annotations.clear());
    assert_released(&mut bench);
}

#[test]
fn with_another_value_of_the_annotation_a_service_is_released() {
    let mut bench = Bench::serving();
    bench.edit_service(&web(), |service| {
        let key = keys::LOAD_BALANCER.to_owned();
        service.metadata.annotations.insert(key, "metallb".to_owned());
    });
    assert_released(&mut bench);
}

#[test]
fn a_service_of_another_type_is_released_and_served_again_when_it_comes_back() {
    let mut bench = Bench::serving();
    bench.edit_service(&web(), |service| service.load_balancer = false);
    assert_released(&mut bench);
    bench.edit_service(&web(), |service| service.load_balancer = true);
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.188".into()], Some(mac(9))));
}

#[test]
fn a_service_of_another_protocol_is_released() {
    let mut bench = Bench::serving();
    bench.edit_service(&web(), |service| {
        service.metadata.annotations.insert(PROTOCOL.to_owned(), "bgp".to_owned());
    });
    assert_released(&mut bench);
}

#[test]
fn a_service_that_is_created_again_with_another_class_is_not_ours_any_more() {
    let mut bench = Bench::serving();
    bench.delete(&web());
    let class = Some("example.com/lb".to_owned());
    bench.service(&web(), Some(Service { class, ..asking() }));
    assert_released(&mut bench);
}

#[test]
fn a_service_that_names_another_eip_moves_there_and_back_when_it_names_none() {
    let mut bench = Bench::serving();
    bench.apply_eip("other", Eip { priority: 9, ..layer2("172.22.0.210-172.22.0.219") });
    bench.take_told();
    bench.edit_service(&web(), |service| {
        service.metadata.annotations.insert(EIP.to_owned(), "other".to_owned());
    });
    bench.calm();
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.210".into()], None));
    assert_eq!(bench.shown(&web()).metadata.labels.get(EIP).unwrap(), "other");
    assert_eq!((bench.status("pool").usage(), bench.status("other").usage()), (0, 1));
    let told = bench.take_told();
    assert!(told.contains(&"Normal Service/web ReleaseIP: released 172.22.0.188".to_owned()));
    let assigned = "Normal Service/web AssignIP: assigned 172.22.0.210 of Eip other".to_owned();
    assert!(told.contains(&assigned), "{told:?}");

    bench.edit_service(&web(), |service| _ = service.metadata.annotations.remove(EIP));
    bench.calm();
    assert_eq!(bench.shows(&web()), ["172.22.0.210"], "it asks for nothing else");
}

#[test]
fn a_service_that_names_another_address_gets_it_and_keeps_it_when_it_names_none() {
    let mut bench = Bench::serving();
    bench.edit_service(&web(), |service| service.requested_ip = Some("172.22.0.195".to_owned()));
    bench.calm();
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.195".into()], None));
    assert_eq!(bench.ask(195), Some(mac(9)));
    bench.edit_service(&web(), |service| service.requested_ip = None);
    bench.calm();
    assert_eq!(bench.shows(&web()), ["172.22.0.195"]);
    assert_eq!(bench.used().len(), 1);
}

#[test]
fn a_service_that_names_an_address_by_mistake_keeps_the_one_it_has_and_is_told_once() {
    let mut bench = Bench::serving();
    bench.take_told();
    bench.edit_service(&web(), |service| service.requested_ip = Some("oops".to_owned()));
    let remark = "spec.loadBalancerIP is \"oops\", which is no IP address, so what is held stays; \
                  set it to one address, or remove it";
    let written = bench.writes_in(|bench| {
        bench.calm();
        bench.list();
        bench.run(Duration::from_secs(600));
    });
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.188".into()], Some(mac(9))));
    assert_eq!(written, []);
    let announced = "172.22.0.188 is at node3 (02:00:00:00:00:09) on eth0";
    assert_eq!(bench.word(&web()), format!("True Announced: {announced}; {remark}"));
    assert_eq!(bench.told("ConstructRequest"), [remark]);
}

#[test]
fn a_label_and_a_finalizer_that_were_removed_by_hand_come_back_beside_foreign_ones() {
    let mut bench = Bench::serving();
    let foreign = "example.com/audit".to_owned();
    bench.edit_service(&web(), |service| {
        service.metadata.labels.clear();
        service.metadata.finalizers = vec![foreign.clone()];
    });
    let metadata = &bench.shown(&web()).metadata;
    assert_eq!(metadata.labels.get(EIP).unwrap(), "pool");
    assert_eq!(metadata.finalizers, [&foreign, keys::SERVICE_FINALIZER]);
    assert_eq!((bench.ask(188), bench.used().len()), (Some(mac(9)), 1));
}

#[test]
fn a_label_that_was_changed_by_hand_is_put_right_and_moves_nothing() {
    let mut bench = Bench::serving();
    bench.apply_eip("other", layer2("172.22.0.210"));
    bench.edit_service(&web(), |service| {
        service.metadata.labels.insert(EIP.to_owned(), "other".to_owned());
    });
    assert_eq!(bench.shown(&web()).metadata.labels.get(EIP).unwrap(), "pool");
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);
}

#[test]
fn an_ingress_and_a_condition_that_were_removed_by_hand_are_shown_again() {
    let mut bench = Bench::serving();
    let word = bench.word(&web());
    bench.edit_service(&web(), |service| {
        service.ingress.clear();
        service.announced = None;
    });
    bench.calm();
    assert_eq!((bench.shows(&web()), bench.word(&web())), (vec!["172.22.0.188".into()], word));
}

#[test]
fn ingress_entries_of_others_stay_from_the_first_write_to_the_last() {
    let mut bench = Bench::leading();
    let foreign = Ingress::Other("{\"hostname\":\"lb.example.com\"}".to_owned());
    bench.apply(&web(), Service { ingress: vec![foreign.clone()], ..asking() });
    bench.calm();
    assert_eq!(bench.shown(&web()).ingress, [shows(188), foreign.clone()]);
    bench.edit_service(&web(), |service| service.load_balancer = false);
    bench.calm();
    assert_eq!(bench.shown(&web()).ingress, [foreign]);
    assert_eq!(bench.used().len(), 0);
}

// What stays through restarts and changes of leader.

#[test]
fn a_new_leader_repeats_neither_a_write_nor_a_word() {
    let mut bench = Bench::serving();
    bench.apply_eip("broken", layer2("oops"));
    bench.apply(&named("waits"), annotated(EIP, "nowhere"));
    bench.service(&named("silent"), Some(asking()));
    bench.calm();
    bench.take_told();
    let written = bench.writes_in(|bench| {
        bench.change_leader();
        bench.calm();
        bench.list();
        bench.run(Duration::from_secs(3_600));
        bench.list();
    });
    assert_eq!((written, bench.take_told()), (vec![], vec![]));
}

#[test]
fn after_a_restart_every_service_has_the_address_and_the_node_that_it_had() {
    let mut bench = Bench::leading();
    bench.apply_all(&["a", "b", "c"]);
    bench.delete(&named("a"));
    let held = ["b", "c"].map(|name| bench.traces(&named(name)));
    bench.restart();
    bench.lead();
    bench.apply_all(&["d"]);
    bench.calm();
    assert_eq!(["b", "c"].map(|name| bench.traces(&named(name))), held);
    assert_eq!(bench.shows(&named("d")), ["172.22.0.188"]);
}

#[test]
fn a_service_that_lost_its_record_takes_back_what_it_shows_before_anybody_else_gets_it() {
    let mut bench = Bench::leading();
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188-172.22.0.189".to_owned());
    bench.apply(&named("a"), created(20));
    bench.apply(&named("b"), created(30));
    bench.apply(&named("c"), created(10));
    bench.calm();
    bench.edit_eip(&pool(), |eip| eip.status = EipStatus::default());
    bench.calm();
    let shown = ["a", "b", "c"].map(|name| bench.shows(&named(name)).concat());
    assert_eq!(shown, ["172.22.0.188", "172.22.0.189", ""]);
    assert_eq!(bench.used().len(), 2);
}

#[test]
fn a_service_whose_eip_became_another_one_is_labelled_with_the_new_name_in_the_end() {
    let mut bench = Bench::serving();
    let renamed = bench.api.eips[&pool()].1.address.clone();
    bench.eip(&pool(), None);
    bench.eip(&EipName::from("renamed"), Some(layer2(&renamed)));
    bench.calm();
    assert_eq!(bench.shown(&web()).metadata.labels.get(EIP).unwrap(), "renamed");
    assert_eq!((bench.shows(&web()), bench.ask(188)), (vec!["172.22.0.188".into()], Some(mac(9))));
}

/// A Service that was deleted while the write that records its address is under way.
fn deleted_while_recorded() -> Bench {
    let mut bench = Bench::leading();
    bench.replies = false;
    bench.service(&web(), Some(asking()));
    bench.judge(Verdict::Done);
    let recording = bench.writes.iter().any(|(_, write)| matches!(write, Write::Eip(..)));
    assert!(recording, "{:?}", bench.writes);
    bench.edit_service(&web(), |service| service.metadata.deleting = true);
    bench
}

fn assert_let_go(mut bench: Bench) {
    bench.replies = true;
    bench.pump();
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.used().len(), 0);
    let held = bench.api.services.get(&web());
    assert!(held.is_none_or(|(_, service)| service.metadata.finalizers.is_empty()), "{held:?}");
}

#[test]
fn a_service_that_is_deleted_while_it_is_put_on_record_is_held_until_that_is_over() {
    let bench = deleted_while_recorded();
    let lets_go = bench.writes.iter().any(|(_, write)| matches!(write, Write::Service(..)));
    assert!(!lets_go, "{:?}", bench.writes);
    assert_let_go(bench);
}

#[test]
fn a_service_that_is_deleted_while_it_is_put_on_record_goes_though_nobody_hears_of_that() {
    for verdict in [Verdict::DoneUnheard, Verdict::Failed(WriteError::Unknown)] {
        let mut bench = deleted_while_recorded();
        bench.judge(verdict);
        assert_let_go(bench);
    }
}

/// The record is written once more, to learn what became of the first time; until that is known the Service
/// may yet be put on record.
#[test]
fn a_service_that_is_deleted_is_held_until_it_is_known_whether_it_was_put_on_record() {
    for lands in [false, true] {
        let mut bench = deleted_while_recorded();
        bench.judge(Verdict::DoneLate);
        bench.run(Duration::from_secs(1));
        assert!(matches!(&bench.writes[0], (_, Write::Eip(..))), "{:?}", bench.writes);
        let now = bench.now;
        bench.speaker.look_again(now);
        bench.pump();
        let lets_go = bench.writes.iter().any(|(_, write)| matches!(write, Write::Service(..)));
        assert!(!lets_go, "{:?}", bench.writes);
        if lands {
            bench.land();
        }
        assert_let_go(bench);
    }
}

//! What arrives late, in another order, or not at all: sightings, verdicts, acknowledgements.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Input, Kind, TrafficPolicy, WriteError};

/// Lets the watch deliver one event.
fn hear_one(bench: &mut Bench) {
    let event = bench.api.watch.pop_front().unwrap();
    bench.tell(event);
}

#[test]
fn an_old_node_is_not_announced_after_a_new_one_is_answered() {
    let mut bench = Bench::serving();
    bench.run(Duration::from_millis(50));
    bench.acknowledges = false;
    bench.announced.clear();
    bench.endpoints(&web(), &["node4"]);
    assert_eq!(bench.ask(188), Some(mac(10)), "as a responder does that is ahead of the others");
    bench.run(Duration::from_millis(500));
    assert_eq!(bench.announced, [], "not before every responder has come as far");
    bench.acknowledges = true;
    bench.pump();
    assert_eq!(bench.announced.iter().map(|is_at| is_at.mac).next(), Some(mac(10)));
}

#[test]
fn a_conflict_does_not_make_old_news_count() {
    let mut bench = Bench::serving();
    bench.watches = false;
    // A change that is heard of late: the record is still node3.
    bench.edit_service(&web(), |service| service.requested_ip = Some("172.22.0.188".to_owned()));
    let late = bench.api.watch.pop_front().unwrap();
    bench.tell(late.clone());
    bench.endpoints(&web(), &["node4"]);
    hear_one(&mut bench);
    assert_eq!(bench.ask(188), Some(mac(10)));
    bench.endpoints(&web(), &["node3", "node4"]);
    // Two changes by hand; of the first one the replica hears, and its answer to it conflicts.
    bench.api.watch.retain(|event| matches!(event, Input::Slice(..)));
    hear_one(&mut bench);
    bench.edit_service(&web(), |service| service.ingress.clear());
    bench.edit_service(&web(), |service| service.ingress = vec![shows(188)]);
    hear_one(&mut bench);
    assert_eq!(bench.ask(188), Some(mac(10)));
    bench.tell(late);
    assert_eq!(bench.ask(188), Some(mac(10)), "the answer went back to an earlier record");
}

#[test]
fn a_conflict_without_a_cause_is_overcome() {
    let mut bench = Bench::serving();
    bench.replies = false;
    bench.endpoints(&web(), &["node4"]);
    bench.judge(Verdict::Failed(WriteError::Conflict));
    bench.replies = true;
    bench.run(Duration::from_secs(2));
    assert_eq!(bench.ask(188), Some(mac(10)));
}

#[test]
fn a_deleted_service_does_not_come_back_with_late_news_of_its_life() {
    let mut bench = Bench::serving();
    bench.watches = false;
    bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
    bench.edit_service(&web(), |service| service.metadata.deleting = true);
    let alive = bench.api.watch.pop_front().unwrap();
    hear_one(&mut bench);
    assert!(bench.api.services.is_empty());
    let before = bench.written.len();
    bench.tell(alive);
    bench.run(Duration::from_millis(200));
    assert_eq!(bench.written.len(), before, "{:?}", &bench.written[before..]);
    bench.watches = true;
    bench.run(Duration::from_millis(10));
    // A namesake is another Service.
    bench.service(&web(), Some(asking()));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_verdict_that_is_heard_after_the_end_of_its_eip_brings_nothing_back() {
    let mut bench = Bench::leading();
    bench.replies = false;
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188/32".to_owned());
    let (id, write) = bench.writes.pop_front().unwrap();
    let done = bench.api.write(write);
    bench.eip(&pool(), None);
    bench.tell(Input::Written(id, done));
    bench.service(&web(), Some(asking()));
    assert!(bench.writes.is_empty(), "an Eip that is gone has nothing to give");
}

#[test]
fn an_old_list_does_not_bring_back_a_service_that_the_watch_said_is_gone() {
    let mut bench = Bench::serving();
    let old = bench.api.list(Kind::Service);
    bench.edit_service(&web(), |service| service.metadata.deleting = true);
    bench.run(Duration::from_secs(1));
    assert!(bench.api.services.is_empty());
    let before = bench.written.len();
    bench.tell(old);
    bench.run(Duration::from_secs(1));
    assert_eq!(bench.written.len(), before, "{:?}", &bench.written[before..]);
    assert_eq!(bench.ask(188), None);
    // A namesake is another Service.
    bench.service(&web(), Some(asking()));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

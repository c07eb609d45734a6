//! How a replica begins to lead, goes on with little to go by, and stops.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{EipStatus, Identity, Input, Instant, Kind, Read, ReadError, ServiceName};

/// How many of the next 120 seconds begin with an answer.
fn seconds_answered(bench: &mut Bench) -> usize {
    let mut answered = 0;
    for _ in 0..120 {
        answered += usize::from(bench.ask(188).is_some());
        bench.run(Duration::from_secs(1));
    }
    answered
}

#[test]
fn a_replica_that_was_not_told_of_every_kind_of_object_does_not_compete() {
    for unlisted in [Kind::Eip, Kind::Service, Kind::Namespace, Kind::Node, Kind::Slice] {
        let mut bench = Bench::new();
        bench.tell(Input::Link(eth0(), Ok(link())));
        let kinds = [Kind::Eip, Kind::Service, Kind::Namespace, Kind::Node, Kind::Slice];
        for kind in kinds.into_iter().filter(|kind| *kind != unlisted) {
            let listing = bench.api.list(kind);
            bench.tell(listing);
        }
        let no_lease = bench.api.list(Kind::Lease);
        bench.tell(no_lease);
        bench.run(Duration::from_secs(20));
        assert_eq!(bench.api.lease, None, "without {}", unlisted.as_str());
        let listing = bench.api.list(unlisted);
        bench.tell(listing);
        bench.run(Duration::from_secs(20));
        assert!(bench.speaker.leads(bench.now));
    }
}

#[test]
fn a_blind_leader_that_nobody_relieves_goes_on_with_what_it_knows() {
    let mut bench = Bench::serving();
    bench.tell(Input::Lost(Kind::Slice));
    let answered = seconds_answered(&mut bench);
    assert!(answered > 90, "{answered} of 120 s");
}

#[test]
fn a_leader_that_is_blind_for_ten_seconds_leaves_the_lease_to_others_for_as_long_once_a_minute() {
    let mut bench = Bench::serving();
    bench.tell(Input::Lost(Kind::Slice));
    let leads_after = |bench: &mut Bench, millis| {
        bench.run(Duration::from_millis(millis));
        bench.speaker.leads(bench.now)
    };
    assert!(leads_after(&mut bench, 9_900));
    assert!(!leads_after(&mut bench, 200), "10.1 s");
    assert_eq!(bench.api.lease.as_ref().unwrap().1.holder, None);
    assert!(!leads_after(&mut bench, 9_800), "19.9 s");
    assert!(leads_after(&mut bench, 600), "20.5 s: nobody wanted it");
    assert!(leads_after(&mut bench, 49_000), "69.5 s");
    assert!(!leads_after(&mut bench, 1_000), "70.5 s");
}

#[test]
fn an_eip_that_is_made_again_gives_its_addresses_to_those_who_show_them() {
    let mut bench = Bench::serving();
    let mut again = bench.api.eips[&pool()].1.clone();
    again.status = EipStatus::default();
    bench.eip(&pool(), None);
    let early = ServiceName::new("default", "early");
    bench.service(&early, Some(asking()));
    bench.eip(&pool(), Some(again));
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    assert_eq!(bench.shown(&early).ingress, [shows(189)]);
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_new_leader_leaves_the_addresses_that_are_shown_to_those_who_show_them() {
    let mut bench = Bench::new();
    let mut showing = asking();
    showing.ingress = vec![shows(188)];
    bench.watches = false;
    bench.api.put_service(&web(), Some(showing));
    bench.api.put_service(&ServiceName::new("default", "early"), Some(asking()));
    bench.watches = true;
    bench.lead();
    assert_eq!(bench.shown(&web()).ingress, [shows(188)]);
    assert_eq!(bench.used().len(), 2);
}

#[test]
fn a_replica_that_leads_again_at_once_speaks_only_when_its_old_answers_are_silenced() {
    let mut bench = Bench::serving();
    bench.acknowledges = false;
    // An old sighting: a read shows that the claim still stands.
    bench.tell(Input::Lease(None));
    assert!(bench.speaker.leads(bench.now), "it leads in a new term");
    assert_eq!(bench.until, Instant::ZERO, "a responder may still answer from the old one");
    bench.acknowledges = true;
    bench.pump();
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_replica_that_does_not_lead_any_more_takes_back_every_answer() {
    let mut bench = Bench::serving();
    bench.usurp();
    assert_eq!(bench.until, Instant::ZERO);
    assert_eq!(bench.answers.entry(eth0(), eip(188)), None);
}

#[test]
fn a_replica_that_leads_again_names_no_mac_that_it_was_not_shown_since() {
    let mut bench = Bench::serving();
    bench.mute.insert(eip(9));
    bench.tell(Input::Lease(None));
    assert!(bench.speaker.leads(bench.now), "it leads in a new term");
    assert_eq!(bench.ask(188), None, "another may have led meanwhile, and know a newer one");
    bench.mute.clear();
    bench.run(Duration::from_millis(300));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn a_read_that_was_asked_for_in_an_earlier_term_does_not_speak_for_this_one() {
    let mut bench = Bench::new();
    bench.prepare();
    bench.run(Duration::from_secs(4));
    bench.replies = false;
    bench.run(Duration::from_secs(2));
    while bench.reads.is_empty() {
        bench.judge(Verdict::Done);
        bench.run(Duration::from_millis(100));
    }
    let early = bench.reads.pop_front().unwrap();
    bench.tell(Input::Lease(None));
    bench.answer_read();
    let late = bench.reads.pop_front().unwrap();
    assert_eq!((&early.1, &late.1), (&Read::Services, &Read::Services));

    bench.reads = [early].into();
    bench.answer_read();
    assert!(!bench.speaker.leads(bench.now));
    bench.reads = [late].into();
    bench.answer_read();
    assert!(bench.speaker.leads(bench.now));
}

#[test]
fn a_standby_leaves_at_once_though_it_has_led_before() {
    let mut bench = Bench::serving();
    bench.usurp();
    bench.run(Duration::from_millis(100));
    bench.tell(Input::Leave);
    assert!(bench.left);
}

#[test]
fn a_leader_that_hears_of_nothing_is_silent_from_its_very_deadline_on() {
    let mut bench = Bench::serving();
    bench.now = bench.until - Duration::from_nanos(1);
    assert_eq!(bench.ask(188), Some(mac(9)));
    bench.now = bench.until;
    assert_eq!(bench.ask(188), None);
}

#[test]
fn a_leaver_lets_go_of_the_lease_only_when_every_responder_is_silent() {
    let mut bench = Bench::serving();
    bench.acknowledges = false;
    bench.tell(Input::Leave);
    bench.run(Duration::from_millis(500));
    assert_eq!(bench.api.lease.as_ref().unwrap().1.holder, Some(Identity::from("node1")));
    assert!(!bench.left);
    bench.acknowledges = true;
    bench.pump();
    assert_eq!(bench.api.lease.as_ref().unwrap().1.holder, None);
    assert!(bench.left);
}

#[test]
fn a_replica_that_leaves_in_doubt_of_its_claim_leaves_no_claim_behind() {
    let mut bench = Bench::new();
    bench.prepare();
    bench.replies = false;
    let claimed = |bench: &Bench| bench.api.lease.as_ref().is_some_and(|(_, l)| l.holder.is_some());
    while !claimed(&bench) {
        bench.answer_read();
        bench.run(Duration::from_millis(100));
        bench.judge(Verdict::DoneUnheard);
    }
    // Its claim is in the Lease, and it does not know.
    bench.tell(Input::Leave);
    assert!(!bench.left, "what it does not know is whether it holds the Lease");
    bench.replies = true;
    bench.run(Duration::from_secs(6));
    assert!(bench.left);
    assert_eq!(bench.api.lease.unwrap().1.holder, None);
}

#[test]
fn a_write_that_changes_nothing_is_not_repeated_at_once() {
    let mut bench = Bench::serving();
    bench.replies = false;
    bench.edit_service(&web(), |service| service.metadata.labels.clear());
    let before = bench.written.len();
    for _ in 0..1_000 {
        bench.judge(Verdict::Undone);
        bench.run(Duration::from_millis(10));
    }
    let writes = bench.written.len() - before;
    assert!(writes < 20, "{writes} writes in 10 s");
    bench.replies = true;
    bench.run(Duration::from_secs(10));
    assert!(!bench.shown(&web()).metadata.labels.is_empty());
}

#[test]
fn a_new_leader_that_knows_an_old_record_does_not_act_on_it() {
    let mut bench = Bench::serving();
    let other = ServiceName::new("default", "other");
    // Another leads, passes 172.22.0.188 on and gives the first Service the next address; of the
    // Eip, this replica does not hear.
    bench.usurp();
    bench.watches = false;
    bench.edit_eip(&pool(), |eip| {
        let used = [(188, &other), (189, &web())];
        let used = used.map(|(last, name)| (bench::eip(last), [name.clone()].into()));
        eip.status.used = used.into();
    });
    let heard_late = bench.api.watch.pop_back().unwrap();
    bench.edit_service(&web(), |service| service.ingress = vec![shows(189)]);
    let mut passed_on = bench.shown(&web()).clone();
    passed_on.ingress = vec![shows(188)];
    passed_on.announced = None;
    bench.service(&other, Some(passed_on));
    bench.watches = true;
    bench.run(Duration::from_secs(8));
    assert!(bench.speaker.leads(bench.now));
    assert_eq!((bench.ask(188), &bench.shown(&web()).ingress), (None, &vec![shows(189)]));
    bench.endpoints(&other, &["node4"]);
    bench.tell(heard_late);
    bench.run(Duration::from_secs(2));
    assert_eq!((bench.ask(188), bench.ask(189)), (Some(mac(10)), Some(mac(9))));
    assert_eq!(bench.shown(&web()).ingress, [shows(189)]);
}

#[test]
fn a_new_leader_finds_everything_in_place_and_writes_nothing() {
    let mut bench = Bench::serving();
    let before = bench.written.len();
    bench.usurp();
    assert_eq!(bench.ask(188), None);
    bench.run(Duration::from_secs(8));
    assert_eq!(bench.ask(188), Some(mac(9)));
    assert_eq!(bench.written.len(), before);
}

#[test]
fn a_new_leader_whose_reads_fail_asks_less_and_less_often_and_as_late_as_it_is_told_to() {
    let mut bench = Bench::new();
    bench.prepare();
    bench.run(Duration::from_secs(4));
    bench.replies = false;
    bench.run(Duration::from_secs(2));
    while bench.reads.is_empty() {
        bench.judge(Verdict::Done);
        bench.run(Duration::from_millis(100));
    }
    let waits = |bench: &mut Bench, error: ReadError| {
        bench.refuse_read(error);
        let failed_at = bench.now;
        while !bench.reads.iter().any(|(_, read)| *read == Read::Services) {
            bench.judge(Verdict::Done);
            bench.run(Duration::from_millis(10));
        }
        bench.now.since(failed_at).as_millis()
    };
    let failed = || ReadError::Failed("timed out".to_owned());

    let gaps = [(); 3].map(|()| waits(&mut bench, failed()));
    assert!(gaps[0] <= 260 && gaps[1] >= 500 && gaps[2] >= 1_000, "{gaps:?}");
    let busy = waits(&mut bench, ReadError::Busy(Duration::from_secs(3)));
    assert!((3_000..3_100).contains(&busy), "{busy}");
    let hour = waits(&mut bench, ReadError::Busy(Duration::from_secs(3_600)));
    assert!(hour <= 5_100, "{hour}");
    bench.replies = true;
    bench.run(Duration::from_secs(6));
    assert!(bench.speaker.leads(bench.now));
}

//! The election of one replica, as stories. Several that share a Lease are in `one_voice.rs`.

use std::time::Duration;

use porter_core::{
    Config, Election, Identity, Instant, LeaseRecord, LeaseTiming, OnConflict, Probing, ReadError,
    Timestamp, Version, Wanted, WriteError,
};

const DURATION: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_millis(5_050);
const SPEAK: Duration = Duration::from_millis(4_850);

fn election(name: &str) -> Election {
    let identity = Identity::from(name);
    let config = Config {
        identity,
        epoch: Timestamp(0),
        lease: LeaseTiming::default(),
        probing: Probing::default(),
        checks_proxies: false,
        conflict_probing: None,
        on_conflict: OnConflict::Defend,
    };
    Election::new(&config, 1)
}

fn record(holder: Option<&str>, renewed: i64) -> LeaseRecord {
    LeaseRecord {
        holder: holder.map(Identity::from),
        duration: DURATION,
        acquired: Timestamp(0),
        renewed: Timestamp(renewed),
        transitions: 3,
        released_by: None,
        ..LeaseRecord::default()
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A replica that campaigns and has seen that another holds the Lease, at 0 s.
fn challenger() -> Election {
    let mut election = election("b");
    election.handle_campaign(true, at(0));
    election.handle_seen(Some((Version(1), record(Some("a"), 1))), at(0));
    election
}

/// A replica that holds the Lease as version 2, by a write sent at 5.05 s.
fn leader() -> Election {
    let mut election = challenger();
    let sent_at = at(0) + WAIT;
    election.handle_timeout(sent_at);
    let Some(Wanted::Write(Some(Version(1)), record)) = election.poll_output() else {
        panic!("a challenger asks for the Lease when it is free");
    };
    election.handle_written(Ok((Version(2), record)), sent_at);
    assert!(election.leads(sent_at));
    election
}

fn write(election: &mut Election, now: Instant) -> Option<(Option<Version>, LeaseRecord)> {
    election.handle_timeout(now);
    match election.poll_output() {
        Some(Wanted::Write(version, record)) => Some((version, record)),
        Some(Wanted::Read) | None => None,
    }
}

#[test]
fn a_challenger_waits_for_the_whole_claim_from_when_it_saw_it() {
    let mut b = challenger();
    assert_eq!(b.poll_timeout(), Some(at(0) + WAIT));
    assert_eq!(write(&mut b, at(5_049)), None);
    let (version, record) = write(&mut b, at(5_050)).unwrap();
    assert_eq!((version, record.transitions), (Some(Version(1)), 4));
    assert_eq!(record.holder, Some(Identity::from("b")));
}

#[test]
fn a_renewal_starts_the_wait_again_and_an_unchanged_record_does_not() {
    let mut b = challenger();
    b.handle_seen(Some((Version(1), record(Some("a"), 1))), at(3_000));
    assert_eq!(b.poll_timeout(), Some(at(0) + WAIT));
    b.handle_seen(Some((Version(2), record(Some("a"), 2))), at(3_000));
    assert_eq!(b.poll_timeout(), Some(at(3_000) + WAIT));
}

#[test]
fn a_claim_counts_from_the_sending_of_the_write_not_from_its_verdict() {
    let mut b = challenger();
    let (_, record) = write(&mut b, at(5_050)).unwrap();
    b.handle_written(Ok((Version(2), record)), at(6_000));
    assert_eq!(b.until(), Some(at(5_050) + SPEAK));
}

#[test]
fn a_renewal_is_no_transition_and_keeps_since_when_the_lease_is_held() {
    let mut b = leader();
    let claim = claim_of(&b);
    let (_, renewal) = write(&mut b, at(7_000)).unwrap();
    assert_eq!(renewal.transitions, claim.transitions);
    assert_eq!(renewal.acquired, claim.acquired);
    assert!(renewal.renewed > claim.renewed);
}

#[test]
fn a_claim_that_somebody_restored_after_it_had_lapsed_is_waited_out_like_any_other() {
    let mut b = leader();
    let claim = claim_of(&b);
    // It was cut off, and another has held the Lease since, by whose claim it may still be held.
    assert!(write(&mut b, at(100_000)).is_some());
    b.handle_written(Err(WriteError::Conflict), at(100_000));
    b.handle_timeout(at(100_000));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(Some((Version(9), claim))), at(100_100));
    assert_eq!((b.poll_output(), b.poll_timeout()), (None, Some(at(100_100) + WAIT)));
    assert!(write(&mut b, at(100_100) + WAIT).is_some());
}

#[test]
fn a_leader_stops_at_its_deadline_even_if_nobody_wakes_it() {
    let b = leader();
    let until = b.until().unwrap();
    assert!(b.leads(until - Duration::from_nanos(1)));
    assert!(!b.leads(until));
}

#[test]
fn a_lost_verdict_is_looked_up_and_counts_from_its_sending() {
    let mut b = leader();
    let (_, renewal) = write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Unknown), at(7_800));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(Some((Version(3), renewal))), at(7_900));
    assert_eq!(b.until(), Some(at(6_800) + SPEAK));
}

#[test]
fn a_leader_that_does_not_find_itself_in_the_lease_has_lost_it() {
    let mut b = leader();
    write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Conflict), at(6_900));
    assert!(b.leads(at(6_900)), "its claim goes on until it is known what changed");
    b.handle_read(Ok(Some((Version(9), record(Some("a"), 9)))), at(7_000));
    assert!(!b.leads(at(7_000)));
    assert_eq!(b.poll_timeout(), Some(at(7_000) + WAIT), "a conflict does not shorten the wait");
}

#[test]
fn a_leader_falls_silent_when_the_lease_is_changed_or_gone_and_speaks_again_if_it_was_not() {
    let changed = Some((Version(7), record(Some("a"), 7)));
    for seen in [changed, None] {
        let mut b = leader();
        let (version, ours) = (Version(2), claim_of(&b));
        b.handle_seen(seen, at(5_500));
        assert!(!b.leads(at(5_500)));
        assert_eq!(b.poll_output(), Some(Wanted::Read));
        b.handle_read(Ok(Some((version, ours))), at(5_600));
        assert!(b.leads(at(5_600)));
        assert_eq!(b.until(), Some(at(5_050) + SPEAK));
    }
}

/// The record by which [`leader`] leads.
fn claim_of(leader: &Election) -> LeaseRecord {
    let stamp = Timestamp(5_050_000);
    let holder = leader.holder().cloned();
    LeaseRecord { holder, acquired: stamp, renewed: stamp, transitions: 4, ..record(None, 0) }
}

#[test]
fn a_leader_that_is_refused_tries_less_and_less_often_but_again_before_its_claim_ends() {
    let refusals = [
        WriteError::Forbidden("no".to_owned()),
        WriteError::Rejected("no".to_owned()),
        WriteError::Unknown,
    ];
    for refusal in refusals {
        let mut b = leader();
        let mut asked = Vec::new();
        while let Some(now) = b.poll_timeout().filter(|now| b.leads(*now)) {
            b.handle_timeout(now);
            match b.poll_output() {
                Some(Wanted::Write(..)) => {
                    asked.push(now);
                    b.handle_written(Err(refusal.clone()), now);
                    if b.poll_output() == Some(Wanted::Read) {
                        b.handle_read(Ok(Some((Version(2), claim_of(&b)))), now);
                    }
                }
                Some(Wanted::Read) | None => {}
            }
        }
        let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        assert!((3..=6).contains(&asked.len()), "{refusal:?}: {gaps:?}");
        assert!(gaps.windows(2).all(|pair| pair[0] < pair[1]), "{refusal:?}: {gaps:?}");
    }
}

#[test]
fn whoever_is_asked_to_wait_waits_and_does_not_speak_longer_for_it() {
    let mut b = leader();
    let until = b.until().unwrap();
    write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Busy(Duration::from_secs(2))), at(6_900));
    assert_eq!(b.poll_output(), None, "nothing came of it, so that there is nothing to look up");
    assert_eq!(b.until(), Some(until));
    assert_eq!(write(&mut b, at(8_899)), None);
    assert!(write(&mut b, at(8_900)).is_some());
    b.handle_written(Err(WriteError::Busy(Duration::from_secs(3_600))), at(9_000));
    assert!(!b.leads(until));
    assert_eq!(write(&mut b, at(13_999)), None);
    b.handle_timeout(at(14_000));
    assert!(b.poll_output().is_some(), "no server keeps a replica out for an hour");
}

#[test]
fn whoever_is_asked_to_wait_with_a_read_waits_and_each_failure_makes_it_wait_longer() {
    let mut b = leader();
    write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Unknown), at(6_900));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Err(ReadError::Busy(Duration::from_secs(2))), at(7_000));
    b.handle_timeout(at(8_999));
    assert_eq!(b.poll_output(), None);
    b.handle_timeout(at(9_000));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Err(ReadError::Busy(Duration::from_secs(3_600))), at(9_000));
    b.handle_timeout(at(14_000));
    assert_eq!(b.poll_output(), Some(Wanted::Read), "no server keeps a replica out for an hour");

    let (mut gaps, mut asked_at) = (Vec::new(), at(14_000));
    for _ in 0..3 {
        b.handle_read(Err(ReadError::Forbidden("no".to_owned())), asked_at);
        let again_at = b.poll_timeout().unwrap();
        gaps.push(again_at.since(asked_at));
        asked_at = again_at;
        b.handle_timeout(again_at);
        assert_eq!(b.poll_output(), Some(Wanted::Read));
    }
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(750)), "{gaps:?}");
}

#[test]
fn a_challenger_that_was_paused_reads_before_it_writes() {
    for (woken_at, paused) in [(5_250, false), (5_400, true)] {
        let mut b = challenger();
        b.handle_timeout(at(woken_at));
        let wanted = b.poll_output();
        assert_eq!(wanted == Some(Wanted::Read), paused, "{wanted:?}");
        assert_eq!(b.pauses(), u64::from(paused));
    }
    let mut b = challenger();
    b.handle_timeout(at(9_000));
    let renewed = Some((Version(8), record(Some("a"), 8)));
    b.handle_read(Ok(renewed), at(9_100));
    assert_eq!(b.poll_timeout(), Some(at(9_100) + WAIT));
}

#[test]
fn a_read_that_was_overtaken_by_a_sighting_is_no_proof() {
    let mut b = leader();
    let ours = claim_of(&b);
    let (_, renewal) = write(&mut b, at(6_800)).unwrap();
    b.handle_written(Err(WriteError::Unknown), at(7_800));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    let theirs = Some((Version(9), record(Some("a"), 9)));
    b.handle_seen(theirs.clone(), at(7_850));
    b.handle_read(Ok(Some((Version(3), renewal))), at(7_900));
    assert!(!b.leads(at(7_900)), "it was read before the Lease became another's");
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(theirs), at(8_000));
    assert_eq!(b.poll_timeout(), Some(at(7_850) + WAIT));
    b.handle_seen(Some((Version(2), ours)), at(8_100));
    assert!(!b.leads(at(8_100)));
}

#[test]
fn what_the_lease_was_before_our_claims_is_no_news_however_late_it_is_seen() {
    let mut b = leader();
    let first = (Version(2), claim_of(&b));
    for (version, now) in [(3, 6_800), (4, 8_600), (5, 10_400)] {
        let (_, renewal) = write(&mut b, at(now)).unwrap();
        b.handle_written(Ok((Version(version), renewal)), at(now));
    }
    for late in [(Version(1), record(Some("a"), 1)), first] {
        b.handle_seen(Some(late), at(10_500));
        assert!(b.leads(at(10_500)));
        assert_eq!(b.poll_output(), None);
    }
}

#[test]
fn an_old_claim_of_ours_that_was_written_again_by_hand_is_news() {
    let mut b = leader();
    let first = claim_of(&b);
    for (version, now) in [(3, 6_800), (4, 8_600)] {
        let (_, renewal) = write(&mut b, at(now)).unwrap();
        b.handle_written(Ok((Version(version), renewal)), at(now));
    }
    b.handle_seen(Some((Version(5), first)), at(8_700));
    assert!(!b.leads(at(8_700)));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
}

#[test]
fn a_lease_that_is_emptied_or_rewritten_is_waited_out_in_full() {
    let emptied = Some((Version(2), record(None, 1)));
    let mut short = record(Some("a"), 2);
    short.duration = Duration::from_secs(1);
    for seen in [emptied, Some((Version(2), short))] {
        let mut b = challenger();
        b.handle_seen(seen, at(2_000));
        assert_eq!(b.poll_timeout(), Some(at(2_000) + WAIT));
    }
}

#[test]
fn a_release_by_its_holder_is_taken_at_once_and_by_anyone_else_is_not() {
    for (released_by, free_at) in [("a", at(2_000)), ("c", at(2_000) + WAIT)] {
        let mut b = challenger();
        let mut released = record(None, 1);
        released.released_by = Some(Identity::from(released_by));
        b.handle_seen(Some((Version(2), released)), at(2_000));
        let asks = b.poll_output().is_some();
        assert_eq!(asks, free_at == at(2_000), "released by {released_by}");
    }
}

#[test]
fn a_conflict_that_is_heard_after_the_winner_was_seen_does_not_shorten_the_wait() {
    let mut b = challenger();
    write(&mut b, at(5_050)).unwrap();
    let winner = Some((Version(2), record(Some("c"), 2)));
    b.handle_seen(winner.clone(), at(5_060));
    b.handle_written(Err(WriteError::Conflict), at(5_070));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(winner), at(5_080));
    assert_eq!(b.poll_timeout(), Some(at(5_060) + WAIT));
}

#[test]
fn a_claim_that_was_overtaken_before_its_verdict_is_looked_up() {
    let mut b = challenger();
    let (_, ours) = write(&mut b, at(5_050)).unwrap();
    let theirs = Some((Version(3), record(Some("c"), 3)));
    b.handle_seen(theirs.clone(), at(5_060));
    b.handle_written(Ok((Version(2), ours)), at(5_070));
    assert!(!b.leads(at(5_070)));
    assert_eq!(b.poll_output(), Some(Wanted::Read));
    b.handle_read(Ok(theirs), at(5_080));
    assert!(!b.leads(at(5_080)));
}

#[test]
fn a_leaving_leader_is_silent_before_it_releases() {
    let mut b = leader();
    b.handle_yield(at(6_000));
    assert!(!b.leads(at(6_000)));
    assert_eq!(b.poll_output(), None);
    b.handle_release(at(6_010));
    let Some(Wanted::Write(Some(Version(2)), record)) = b.poll_output() else {
        panic!("a silent leader that may release its claim does");
    };
    assert_eq!((record.holder, record.released_by), (None, Some(Identity::from("b"))));
}

#[test]
fn a_lease_that_is_missing_is_created_without_a_holder_and_waited_out_in_full() {
    for (mut b, seen_at) in [(election("b"), 0), (challenger(), 4_000), (leader(), 6_000)] {
        b.handle_campaign(true, at(seen_at));
        b.handle_seen(None, at(seen_at));
        let mut wanted = b.poll_output();
        if wanted == Some(Wanted::Read) {
            b.handle_read(Ok(None), at(seen_at));
            wanted = b.poll_output();
        }
        let Some(Wanted::Write(version, record)) = wanted else {
            panic!("whoever campaigns creates the Lease that is missing");
        };
        assert_eq!((version, &record.holder, &record.released_by), (None, &None, &None));
        assert_eq!(record.duration, LeaseTiming::default().duration());
        let created_at = at(seen_at + 100);
        b.handle_written(Ok((Version(9), record)), created_at);
        assert!(!b.leads(created_at));
        assert_eq!(b.poll_timeout(), Some(created_at + WAIT));
    }
}

//! Who is to lead rather than another, as stories of one election.

use std::time::Duration;

use porter_core::{
    Config, Election, Fitness, Identity, Instant, LeaseRecord, LeaseTiming, OnConflict, Probing,
    Timestamp, Version, Wanted,
};

const DURATION: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_millis(1_500);
const SPEAK: Duration = Duration::from_millis(4_850);
const WAIT: Duration = Duration::from_millis(5_050);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A replica that campaigns and could do this.
fn replica(fitness: Fitness) -> Election {
    let config = Config {
        identity: Identity::from("b"),
        epoch: Timestamp(0),
        lease: LeaseTiming::default(),
        probing: Probing::default(),
        checks_proxies: false,
        conflict_probing: None,
        on_conflict: OnConflict::Defend,
    };
    let mut election = Election::new(&config, 1);
    election.handle_fitness(fitness, at(0));
    election.handle_campaign(true, at(0));
    election
}

/// A claim of `a`, who could do this.
fn claim(fitness: Option<Fitness>, renewed: i64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(Identity::from("a")),
        duration: DURATION,
        renewed: Timestamp(renewed),
        fitness,
        ..LeaseRecord::default()
    }
}

/// The same Lease, with a wish.
fn wished_by(identity: &str, record: LeaseRecord) -> LeaseRecord {
    LeaseRecord { wanted_by: Some(Identity::from(identity)), ..record }
}

/// The same Lease, given up by its holder.
fn released(record: LeaseRecord) -> LeaseRecord {
    let (released_by, renewed) = (record.holder, Timestamp(record.renewed.0 + 1));
    LeaseRecord { holder: None, released_by, renewed, fitness: None, ..record }
}

/// Shows `b` the renewals of `a` every 1.5 s up to 30 s; says when `b` wrote, and what.
fn wishes(b: &mut Election, theirs: Option<Fitness>) -> Vec<(u64, Option<Version>, LeaseRecord)> {
    let mut written = Vec::new();
    for n in 0..=20 {
        let now = at(n * 1_500);
        b.handle_seen(Some((Version(n), claim(theirs, n as i64))), now);
        if let Some(Wanted::Write(version, record)) = b.poll_output() {
            written.push((n, version, record.clone()));
            // It came too late.
            b.handle_written(Err(porter_core::WriteError::Conflict), now);
        }
    }
    written
}

/// A replica that leads in version 2, and its claim: since 5.05 s, or 20.05 s if it could serve nothing.
fn leader(fitness: Fitness) -> (Election, LeaseRecord) {
    let mut b = replica(fitness);
    b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(0)), 1))), at(0));
    let sent_at = b.poll_timeout().expect("the claim of another ends");
    b.handle_timeout(sent_at);
    let Some(Wanted::Write(_, record)) = b.poll_output() else { panic!("the Lease is free") };
    b.handle_written(Ok((Version(2), record.clone())), sent_at);
    assert!(b.leads(sent_at));
    (b, record)
}

/// A wish: what is fitter for a while asks for the Lease.
mod wish {
    use super::*;

    #[test]
    fn who_has_been_fitter_for_five_seconds_says_so_when_the_holder_renews_and_again_later() {
        let written = wishes(&mut replica(Fitness::Fit(2)), Some(Fitness::Fit(1)));
        let moments: Vec<_> = written.iter().map(|(n, ..)| *n).collect();
        assert_eq!(moments, [4, 8, 12, 16, 20], "every fourth renewal comes 6 s later");
        for (n, version, record) in written {
            assert_eq!(version, Some(Version(n)), "on condition of what it saw");
            assert_eq!(
                record,
                wished_by("b", claim(Some(Fitness::Fit(1)), n as i64)),
                "it changes nothing else"
            );
        }
    }

    #[test]
    fn who_is_as_fit_or_less_or_does_not_know_says_nothing() {
        for (ours, theirs) in [(1, Some(1)), (0, Some(1)), (1, None)] {
            let theirs = theirs.map(Fitness::Fit);
            assert_eq!(wishes(&mut replica(Fitness::Fit(ours)), theirs), [], "{ours} {theirs:?}");
        }
        assert_eq!(wishes(&mut replica(Fitness::Unfit), Some(Fitness::Fit(0))), []);
    }

    #[test]
    fn who_hears_nobody_wants_the_lease_of_one_that_could_serve_none_for_certain_and_nobody_else() {
        use Fitness::{CutOff, Deaf, Fit, Unfit};
        for theirs in [CutOff, Unfit] {
            assert!(!wishes(&mut replica(Deaf), Some(theirs)).is_empty(), "{theirs:?}");
        }
        for (ours, theirs) in [(Deaf, Deaf), (Deaf, Fit(0)), (CutOff, Unfit), (Unfit, CutOff)] {
            assert_eq!(wishes(&mut replica(ours), Some(theirs)), [], "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn who_does_not_campaign_says_nothing() {
        let mut b = replica(Fitness::Fit(2));
        b.handle_campaign(false, at(0));
        assert_eq!(wishes(&mut b, Some(Fitness::Fit(1))), []);
    }

    #[test]
    fn it_is_another_five_seconds_after_having_been_no_fitter_in_between() {
        let mut b = replica(Fitness::Fit(2));
        for (n, theirs) in [(0, 1), (4, 2), (5, 1), (9, 1)] {
            let now = at(n * 1_000);
            b.handle_seen(Some((Version(n), claim(Some(Fitness::Fit(theirs)), n as i64))), now);
            assert_eq!(b.poll_output(), None, "after {n} s");
        }
        b.handle_seen(Some((Version(10), claim(Some(Fitness::Fit(1)), 10))), at(10_000));
        assert!(b.poll_output().is_some());
    }

    #[test]
    fn nobody_wishes_but_when_a_renewal_is_seen_lest_a_dead_holder_be_waited_for_longer() {
        let mut b = replica(Fitness::Fit(2));
        b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(1)), 1))), at(0));
        b.handle_timeout(at(5_000));
        assert_eq!(b.poll_output(), None);
        let other = wished_by("c", claim(Some(Fitness::Fit(1)), 1));
        b.handle_seen(Some((Version(2), other)), at(5_020));
        assert_eq!(b.poll_output(), None, "another's wish is no renewal");
        assert_eq!(b.poll_timeout(), Some(at(5_020) + WAIT), "and yet a version to be waited out");
    }

    #[test]
    fn whoever_waits_for_the_verdict_on_a_wish_does_not_wish_again() {
        let mut b = replica(Fitness::Fit(2));
        b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(1)), 1))), at(0));
        b.handle_seen(Some((Version(2), claim(Some(Fitness::Fit(1)), 2))), at(5_000));
        assert!(b.poll_output().is_some());
        b.handle_seen(Some((Version(3), claim(Some(Fitness::Fit(1)), 3))), at(10_000));
        assert_eq!(b.poll_output(), None);
    }

    #[test]
    fn the_wait_begins_anew_with_our_own_wish_too() {
        let mut b = replica(Fitness::Fit(2));
        b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(1)), 1))), at(0));
        b.handle_seen(Some((Version(2), claim(Some(Fitness::Fit(1)), 2))), at(5_000));
        let Some(Wanted::Write(_, record)) = b.poll_output() else { panic!("it wishes") };
        assert!(!b.holds(at(5_000)), "a wish is no claim");
        b.handle_written(Ok((Version(3), record)), at(5_010));
        assert_eq!(b.poll_timeout(), Some(at(5_010) + WAIT));
    }
}

/// The holder of a Lease that another wishes for.
mod holder {
    use super::*;

    #[test]
    fn it_speaks_on_until_it_has_read_the_wish_then_is_silent_and_releases_in_that_name() {
        let (mut b, record) = leader(Fitness::Fit(1));
        assert_eq!(record.fitness, Some(Fitness::Fit(1)), "its fitness is on record");
        let wish = Some((Version(3), wished_by("c", record)));
        b.handle_seen(wish.clone(), at(6_000));
        assert!(b.leads(at(6_000)), "a sighting proves nothing");
        assert_eq!(b.poll_output(), Some(Wanted::Read));
        b.handle_read(Ok(wish), at(6_010));
        assert!(!b.leads(at(6_010)));
        assert_eq!(b.poll_output(), None, "somebody may still answer");
        b.handle_release(at(6_020));
        let Some(Wanted::Write(Some(Version(3)), record)) = b.poll_output() else {
            panic!("who is silent releases");
        };
        assert_eq!((record.holder, record.released_by), (None, Some(Identity::from("b"))));
        assert_eq!(record.wanted_by, Some(Identity::from("c")));
    }

    #[test]
    fn a_wish_that_only_a_conflict_tells_of_is_heard_as_well() {
        let (mut b, record) = leader(Fitness::Fit(1));
        b.handle_timeout(at(7_000));
        assert!(matches!(b.poll_output(), Some(Wanted::Write(Some(Version(2)), _))));
        b.handle_written(Err(porter_core::WriteError::Conflict), at(7_010));
        assert_eq!(b.poll_output(), Some(Wanted::Read));
        b.handle_read(Ok(Some((Version(3), wished_by("c", record)))), at(7_020));
        assert!(!b.leads(at(7_020)));
    }

    #[test]
    fn who_became_fitter_meanwhile_keeps_it_for_no_longer_than_without_the_wish() {
        let (mut b, record) = leader(Fitness::Fit(1));
        let until = b.until();
        b.handle_fitness(Fitness::Fit(2), at(5_500));
        let wish = Some((Version(3), wished_by("c", record.clone())));
        b.handle_seen(wish.clone(), at(6_000));
        assert_eq!(b.poll_output(), Some(Wanted::Read));
        b.handle_read(Ok(wish), at(6_010));
        assert_eq!((b.until(), until), (Some(at(5_050) + SPEAK), Some(at(5_050) + SPEAK)));
        b.handle_timeout(at(7_000));
        let Some(Wanted::Write(Some(Version(3)), renewal)) = b.poll_output() else {
            panic!("it renews what it read");
        };
        assert_eq!((renewal.fitness, &renewal.wanted_by), (Some(Fitness::Fit(2)), &None));
        b.handle_written(Ok((Version(4), renewal)), at(7_010));
        // The watch lags.
        b.handle_seen(Some((Version(2), record.clone())), at(7_020));
        b.handle_seen(Some((Version(3), wished_by("c", record))), at(7_030));
        assert!(b.leads(at(7_030)), "what its claims replaced is no news");
        assert_eq!(b.poll_output(), None);
    }

    #[test]
    fn who_could_serve_nothing_hands_over_unless_it_came_to_hear_somebody_meanwhile() {
        let cases =
            [(Fitness::CutOff, Fitness::CutOff, true), (Fitness::CutOff, Fitness::Deaf, false)];
        for (before, since, hands_over) in cases {
            let (mut b, record) = leader(before);
            b.handle_fitness(since, at(21_000));
            let wish = Some((Version(3), wished_by("c", record)));
            b.handle_seen(wish.clone(), at(21_100));
            assert_eq!(b.poll_output(), Some(Wanted::Read));
            b.handle_read(Ok(wish), at(21_110));
            assert_eq!(b.leads(at(21_110)), !hands_over, "{since:?}");
        }
    }

    #[test]
    fn who_got_it_by_a_wish_does_not_hand_it_on_for_a_minute() {
        let mut b = replica(Fitness::Fit(1));
        b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(0)), 1))), at(0));
        let given = released(wished_by("b", claim(Some(Fitness::Fit(0)), 1)));
        b.handle_seen(Some((Version(2), given)), at(1_000));
        let Some(Wanted::Write(_, record)) = b.poll_output() else { panic!("it is promised") };
        b.handle_written(Ok((Version(3), record.clone())), at(1_010));
        let (mut version, mut record, mut handed_over_at) = (3, record, None);
        while handed_over_at.is_none() {
            // Another wishes each time.
            version += 1;
            let wish = (Version(version), wished_by("c", record.clone()));
            let now = b.poll_timeout().expect("it renews");
            b.handle_seen(Some(wish.clone()), now);
            assert_eq!(b.poll_output(), Some(Wanted::Read));
            b.handle_read(Ok(Some(wish)), now);
            match b.poll_output() {
                Some(Wanted::Write(_, renewal)) => {
                    version += 1;
                    record = renewal.clone();
                    b.handle_written(Ok((Version(version), renewal)), now);
                }
                Some(Wanted::Read) | None => handed_over_at = (!b.leads(now)).then_some(now),
            }
            assert!(now < at(70_000), "it never hands over");
        }
        assert!(handed_over_at >= Some(at(61_000)), "{handed_over_at:?}");
    }
}

/// The others, when a Lease is free.
mod turn {
    use super::*;

    #[test]
    fn a_lease_that_was_released_in_a_name_is_left_to_that_one_for_a_moment() {
        for (name, turn_at) in [("b", at(1_000)), ("c", at(1_000) + RENEW)] {
            let mut b = replica(Fitness::Fit(1));
            b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(0)), 1))), at(0));
            let given = released(wished_by(name, claim(Some(Fitness::Fit(0)), 1)));
            b.handle_seen(Some((Version(2), given)), at(1_000));
            let asks = b.poll_output().is_some();
            assert_eq!(asks, turn_at == at(1_000), "released for {name}");
            assert!(asks || b.poll_timeout() == Some(turn_at));
        }
    }

    #[test]
    fn who_could_serve_nothing_waits_longer_and_is_quick_once_it_can() {
        for (unfit, durations) in [(Fitness::Deaf, 1), (Fitness::Unfit, 3), (Fitness::CutOff, 3)] {
            let mut b = replica(unfit);
            b.handle_seen(Some((Version(1), claim(Some(Fitness::Fit(0)), 1))), at(0));
            assert_eq!(b.poll_timeout(), Some(at(0) + WAIT + DURATION * durations));
            b.handle_timeout(at(6_000));
            assert_eq!(b.poll_output(), None);
            b.handle_fitness(Fitness::Fit(1), at(6_000));
            assert!(b.poll_output().is_some());
        }
    }

    #[test]
    fn who_hears_nobody_waits_for_nobody_if_the_lease_was_released_in_its_name() {
        for (name, asks) in [("b", true), ("c", false)] {
            let mut b = replica(Fitness::Deaf);
            b.handle_seen(Some((Version(1), claim(Some(Fitness::CutOff), 1))), at(0));
            let given = released(wished_by(name, claim(Some(Fitness::CutOff), 1)));
            b.handle_seen(Some((Version(2), given)), at(1_000));
            assert_eq!(b.poll_output().is_some(), asks, "released for {name}");
        }
    }

    #[test]
    fn who_got_it_by_a_wish_though_it_hears_nobody_hands_it_on_as_soon_as_somebody_is_fitter() {
        let mut b = replica(Fitness::Deaf);
        b.handle_seen(Some((Version(1), claim(Some(Fitness::CutOff), 1))), at(0));
        let given = released(wished_by("b", claim(Some(Fitness::CutOff), 1)));
        b.handle_seen(Some((Version(2), given)), at(1_000));
        let Some(Wanted::Write(_, record)) = b.poll_output() else { panic!("it is promised") };
        b.handle_written(Ok((Version(3), record.clone())), at(1_010));
        assert!(b.leads(at(1_010)));
        let wish = Some((Version(4), wished_by("c", record)));
        b.handle_seen(wish.clone(), at(2_000));
        assert_eq!(b.poll_output(), Some(Wanted::Read));
        b.handle_read(Ok(wish), at(2_010));
        assert!(!b.leads(at(2_010)));
    }

    #[test]
    fn a_leader_that_hears_nobody_gives_up_and_comes_last_but_for_those_whose_links_are_down() {
        let (mut b, _) = leader(Fitness::Fit(1));
        b.handle_fitness(Fitness::Deaf, at(6_000));
        assert!(!b.leads(at(6_000)));
        b.handle_release(at(6_000));
        let Some(Wanted::Write(_, record)) = b.poll_output() else { panic!("it releases") };
        b.handle_written(Ok((Version(3), record)), at(6_010));
        assert_eq!(b.poll_timeout(), Some(at(6_010) + DURATION * 2));
        b.handle_timeout(at(16_010));
        let Some(Wanted::Write(_, record)) = b.poll_output() else { panic!("nobody else does") };
        assert_eq!(record.fitness, Some(Fitness::Deaf));
        b.handle_written(Ok((Version(4), record)), at(16_020));
        assert!(b.leads(at(16_020)), "who takes it although it is cut off keeps it");
    }

    #[test]
    fn a_leader_that_serves_less_than_before_goes_on() {
        let (mut b, _) = leader(Fitness::Fit(2));
        for less in [Fitness::Fit(1), Fitness::Unfit] {
            b.handle_fitness(less, at(6_000));
            assert!(b.leads(at(6_000)), "{less:?}");
        }
    }
}

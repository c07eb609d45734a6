//! Stories of one address on one link.

use super::{trials::STAND_OFFS_MAX, *};

const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const OTHER: MacAddr = MacAddr(2, 0x99, 0, 0, 0, 1);

fn eth0() -> LinkName {
    LinkName::new("eth0").unwrap()
}

fn place(last: u8) -> Place {
    (eth0(), [172, 22, 0, last].into())
}

fn links() -> BTreeMap<LinkName, Link> {
    let net = "172.22.0.3/24".parse().unwrap();
    let gateways = BTreeSet::new();
    BTreeMap::from([(eth0(), Link { mac: OWN, addresses: vec![net], gateways, carrier: true })])
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn conflicts(on_conflict: OnConflict) -> Conflicts {
    Conflicts::new(Some(ConflictProbing::fast()), on_conflict, 1)
}

/// An answer to our own question, or a word to everybody.
fn claim(last: u8, answers: bool) -> IsAt {
    let (link, target) = place(last);
    let to = answers.then_some((Ipv4Addr::UNSPECIFIED.into(), OWN));
    IsAt { link, target, mac: OTHER, to, via: OTHER }
}

fn poll(conflicts: &mut Conflicts) -> usize {
    std::iter::from_fn(|| conflicts.poll_output()).count()
}

/// Tries one address out, woken so late each time. Says when it is clear, and after how many probes.
fn tried_out(late: u64) -> (Instant, usize) {
    let mut conflicts = conflicts(OnConflict::Defend);
    let mut now = at(0);
    let mut probes = 0;
    while !conflicts.try_out(place(188), &links(), now) {
        now = conflicts.poll_timeout().unwrap() + Duration::from_millis(late);
        conflicts.handle_timeout(&links(), now);
        probes += poll(&mut conflicts);
    }
    (now, probes)
}

#[test]
fn a_trial_whose_end_is_noticed_late_asks_again_but_not_for_ever() {
    assert_eq!(tried_out(0), (at(401), 3));
    let (_, probes) = tried_out(500);
    assert_eq!(probes, 6);
}

#[test]
fn a_trial_is_not_due_as_it_begins() {
    for probing in [ConflictProbing::fast(), ConflictProbing::rfc5227()] {
        for seed in 0..2_000 {
            let mut conflicts = Conflicts::new(Some(probing), OnConflict::Defend, seed);
            conflicts.try_out(place(188), &links(), at(7));
            assert!(conflicts.poll_timeout().unwrap() > at(7), "{seed}");
        }
    }
}

#[test]
fn what_is_said_unasked_of_an_address_counts_unless_a_leader_before_may_have_said_it() {
    let node = || Claimant::Node(NodeName::from("node3"));
    for (who, now, counts) in
        [(Claimant::Stranger, 0, true), (node(), 0, false), (node(), 5_000, true)]
    {
        let mut conflicts = conflicts(OnConflict::Defend);
        conflicts.try_out(place(188), &links(), at(0));
        conflicts.handle_heard(&claim(188, false), who.clone(), None, at(now));
        assert_eq!(conflicts.poll_found().is_some(), counts, "{who:?} at {now}");
    }
    let mut conflicts = conflicts(OnConflict::Defend);
    conflicts.try_out(place(188), &links(), at(0));
    conflicts.handle_heard(&claim(188, true), node(), None, at(0));
    assert!(conflicts.poll_found().is_some(), "an answer to our own question is no late word");
}

#[test]
fn an_address_on_a_link_that_is_down_is_not_tried_out() {
    let mut down = links();
    down.get_mut(&eth0()).unwrap().carrier = false;
    let mut conflicts = conflicts(OnConflict::Defend);
    assert!(conflicts.try_out(place(188), &down, at(0)));
    // One that goes down meanwhile holds nothing up.
    assert!(!conflicts.try_out(place(188), &links(), at(0)));
    conflicts.handle_timeout(&down, at(1));
    assert!(conflicts.is_clear(place(188), &links()) == Some(true));
}

#[test]
fn a_flood_of_claims_fills_no_memory() {
    let mut conflicts = conflicts(OnConflict::Defend);
    conflicts.handle_spoken(place(188), Some(Err(Silence::NoNode)), at(0));
    for i in 0..=255 {
        let mac = MacAddr(2, 0x99, 0, 0, 0, i);
        let claim = IsAt { mac, via: mac, ..claim(188, false) };
        conflicts.handle_heard(&claim, Claimant::Stranger, Some(OWN), at(6_000));
    }
    for last in 0..=255 {
        conflicts.handle_heard(&claim(last, false), Claimant::Stranger, None, at(6_000));
        let asked = last != 188 && !conflicts.try_out(place(last), &links(), at(6_000));
        assert_eq!(asked, last != 188);
    }
    assert!(conflicts.sizes(1).iter().all(|size| size.entries <= size.at_most));
    conflicts.handle_spoken(place(188), None, at(7_000));
    assert!(conflicts.sizes(0).iter().all(|size| size.entries == 0));
}

#[test]
fn nothing_is_asked_when_the_term_is_over() {
    let mut conflicts = conflicts(OnConflict::Defend);
    conflicts.handle_spoken(place(188), Some(Err(Silence::NoNode)), at(0));
    conflicts.try_out(place(189), &links(), at(0));
    conflicts.handle_term(at(10));
    assert_eq!(conflicts.poll_timeout(), None);
}

#[test]
fn the_timers_of_the_rfc_stay_within_what_it_says() {
    let mut random = Random::new(3);
    let probing = ConflictProbing::rfc5227();
    let second = Duration::from_secs(1);
    for _ in 0..100 {
        assert!(probing.wait(&mut random) <= second);
        assert!((second..=2 * second).contains(&probing.gap(&mut random)));
    }
    assert_eq!((probing.count(), probing.settle()), (3, 2 * second));
}

/// The links, with a subnet of 65536 addresses.
fn wide() -> BTreeMap<LinkName, Link> {
    let mut links = links();
    links.get_mut(&eth0()).unwrap().addresses = vec!["172.22.0.3/16".parse().unwrap()];
    links
}

/// Tries a thousand addresses out at once, woken so late after five seconds and never else. Says how
/// many probes went out at once at most, and how many in all.
fn tried_out_at_once(late: u64) -> (usize, usize) {
    let mut conflicts = conflicts(OnConflict::Defend);
    for i in 0..1_000_u16 {
        let [a, b] = i.to_be_bytes();
        assert!(!conflicts.try_out((eth0(), [172, 22, 16 + a, b].into()), &wide(), at(0)));
    }
    let (mut most, mut total) = (0, 0);
    let mut now = at(0);
    let mut stalls_at = Some(at(5_000));
    while let Some(next) = conflicts.poll_timeout().filter(|next| *next < at(20_000)) {
        now = now.max(next);
        if stalls_at.take_if(|at| now >= *at).is_some() {
            now += Duration::from_millis(late);
        }
        conflicts.handle_timeout(&wide(), now);
        let probes = poll(&mut conflicts);
        most = most.max(probes);
        total += probes;
    }
    (most, total)
}

#[test]
fn what_is_asked_again_keeps_the_pace_too() {
    assert_eq!(tried_out_at_once(0), (1, 3_000), "who waits for its turn is not late");
    // Of a half, all had been asked that there is to ask.
    assert_eq!(tried_out_at_once(500), (1, 3_500));
}

/// Two that hand out the same addresses try one at once, the second so much later. Says who gets it: an
/// address that is clear is on record, and answered, 200 ms later.
fn both_try(seed: u64, later: u64) -> [bool; 2] {
    let macs = [OWN, OTHER];
    let links = macs.map(|mac| {
        let mut links = links();
        links.get_mut(&eth0()).unwrap().mac = mac;
        links
    });
    let mut both = [2 * seed, 2 * seed + 1]
        .map(|seed| Conflicts::new(Some(ConflictProbing::fast()), OnConflict::Defend, seed));
    let (mut clear_at, mut has) = ([None; 2], [false; 2]);
    for now in (6_000..30_000).step_by(10).map(at) {
        for (i, j) in [(0, 1), (1, 0)] {
            if now == at(6_000 + later * i as u64) {
                both[i].try_out(place(188), &links[i], now);
            }
            both[i].handle_timeout(&links[i], now);
            for _ in 0..poll(&mut both[i]) {
                if has[j] {
                    let answer = IsAt { mac: macs[j], via: macs[j], ..claim(188, true) };
                    both[i].handle_heard(&answer, Claimant::Stranger, None, now);
                } else if both[j].minds(place(188)) {
                    let prober = Prober { mac: Some(macs[i]), node: None };
                    both[j].handle_probed(place(188), prober, None, now);
                }
            }
            clear_at[i] = match both[i].is_clear(place(188), &links[i]) == Some(true) {
                true => clear_at[i].or(Some(now)),
                false => None,
            };
            has[i] |= clear_at[i].is_some_and(|at| now >= at + Duration::from_millis(200));
        }
    }
    has
}

#[test]
fn two_that_try_one_address_at_once_do_not_both_get_it_and_mostly_one_does() {
    let runs = (0..20).flat_map(|seed| [0, 50, 150, 300, 450, 550].map(|later| (seed, later)));
    let mut neither = 0;
    for (seed, later) in runs.clone() {
        let has = both_try(seed, later);
        assert_ne!(has, [true; 2], "seed {seed}, the second {later} ms later");
        neither += usize::from(has == [false; 2]);
    }
    assert!(neither < runs.count() / 2, "{neither} times neither");
}

/// A host tries an address out at the same time, by the timers of RFC 5227, and has it four seconds later.
/// Says whether it has it left to it, and is not overtaken.
fn a_host_takes_its_time(seed: u64) -> bool {
    let mut conflicts = Conflicts::new(Some(ConflictProbing::fast()), OnConflict::Defend, seed);
    conflicts.try_out(place(188), &links(), at(6_000));
    for now in (6_000..30_000).step_by(10).map(at) {
        let asks = [6_010, 7_010, 8_010].map(at).contains(&now);
        if asks && conflicts.minds(place(188)) {
            let prober = Prober { mac: Some(OTHER), node: None };
            conflicts.handle_probed(place(188), prober, None, now);
        }
        conflicts.handle_timeout(&links(), now);
        if poll(&mut conflicts) > 0 && now >= at(10_010) {
            conflicts.handle_heard(&claim(188, true), Claimant::Stranger, None, now);
        }
        if conflicts.is_clear(place(188), &links()) == Some(true) {
            return false;
        }
    }
    conflicts.poll_found().is_some()
}

#[test]
fn a_host_that_takes_its_time_with_an_address_is_not_overtaken() {
    assert_eq!((0..50).find(|seed| !a_host_takes_its_time(*seed)), None);
}

#[test]
fn who_goes_on_trying_an_address_out_has_it_left_to_it() {
    let mut conflicts = conflicts(OnConflict::Defend);
    conflicts.try_out(place(188), &links(), at(6_000));
    let prober = Prober { mac: None, node: None };
    for i in 0..=u64::from(STAND_OFFS_MAX) {
        conflicts.handle_probed(place(188), prober.clone(), None, at(6_000 + 100 * i));
    }
    assert_eq!(conflicts.poll_found(), Some((place(188), Contender::Tries(prober))));
    assert!(!conflicts.minds(place(188)));
}

#[test]
fn what_the_leader_before_tried_out_is_no_contender() {
    for (mac, node) in [(None, None), (Some(OTHER), Some(NodeName::from("node3")))] {
        let mut conflicts = conflicts(OnConflict::Defend);
        conflicts.handle_term(at(1_000));
        conflicts.try_out(place(188), &links(), at(1_000));
        for _ in 0..10 {
            let prober = Prober { mac, node: node.clone() };
            conflicts.handle_probed(place(188), prober, None, at(1_100));
        }
        assert_eq!(conflicts.poll_found(), None);
    }
}

#[test]
fn a_storm_of_probes_is_told_seldom_and_fills_no_memory() {
    let mut conflicts = conflicts(OnConflict::Defend);
    for last in 0..=255 {
        conflicts.handle_spoken(place(last), Some(Ok(OWN)), at(0));
    }
    let told = |conflicts: &mut Conflicts, now| {
        for last in 0..=255 {
            for i in 0..=255 {
                let prober = Prober { mac: Some(MacAddr(2, 0x99, 0, 0, 0, i)), node: None };
                conflicts.handle_probed(place(last), prober, Some(OWN), at(now));
            }
        }
        std::iter::from_fn(|| conflicts.poll_prober()).count()
    };
    assert_eq!(told(&mut conflicts, 1_000), 0, "the leader before may have asked");
    assert_eq!(told(&mut conflicts, 6_000), 1);
    assert_eq!(told(&mut conflicts, 15_000), 0);
    assert_eq!(told(&mut conflicts, 16_000), 1);
    let prober = Prober { mac: Some(OWN), node: None };
    conflicts.handle_probed(place(7), prober, Some(OWN), at(60_000));
    assert_eq!(conflicts.poll_prober(), None, "who is not answered may take it");
}

/// One of 65536 addresses.
fn far_place(number: u16) -> Place {
    let [a, b] = number.to_be_bytes();
    (eth0(), [172, 22, a, b].into())
}

#[test]
fn who_finds_no_room_for_a_trial_is_called_when_there_is_some() {
    let mut conflicts = conflicts(OnConflict::Defend);
    let max = u16::try_from(TRIALS_MAX).unwrap();
    for number in 0..max {
        assert!(!conflicts.try_out(far_place(number), &wide(), at(0)));
    }
    let late = far_place(max);
    assert!(!conflicts.try_out(late, &wide(), at(0)));
    assert_eq!(conflicts.is_clear(late, &wide()), Some(false));
    for number in 0..max / 2 {
        assert!(!conflicts.take_room());
        conflicts.handle_spoken(far_place(number), Some(Ok(OWN)), at(1));
    }
    assert!(conflicts.take_room() && !conflicts.take_room());
    assert_eq!(conflicts.is_clear(late, &wide()), None, "it is to be tried out");
    assert!(!conflicts.try_out(late, &wide(), at(1)));
    assert_eq!(conflicts.is_clear(late, &wide()), Some(false));
}

#[test]
fn of_ten_thousand_eips_one_that_is_claimed_is_asked_for_in_time() {
    let mut conflicts = conflicts(OnConflict::Defend);
    for number in 0..10_000 {
        conflicts.handle_spoken(far_place(number), Some(Ok(OWN)), at(0));
    }
    let claimed = far_place(5_000);
    let run = |conflicts: &mut Conflicts, until| {
        while let Some(now) = conflicts.poll_timeout().filter(|now| *now < until) {
            conflicts.handle_timeout(&wide(), now);
            while let Some(probe) = conflicts.poll_output() {
                let answer = IsAt { target: claimed.1, ..claim(0, true) };
                if probe.target == claimed.1 && now > at(100_000) {
                    conflicts.handle_heard(&answer, Claimant::Stranger, Some(OWN), now);
                }
            }
        }
    };
    run(&mut conflicts, at(100_000));
    let claim = IsAt { target: claimed.1, ..claim(0, false) };
    conflicts.handle_heard(&claim, Claimant::Stranger, Some(OWN), at(100_000));
    run(&mut conflicts, at(103_000));
    assert!(conflicts.rivals(claimed).is_some_and(|rivals| rivals.len() == 1));
}

//! Stories of one address on one link.

use super::*;

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
    assert_eq!(tried_out(0), (at(400), 3));
    let (_, probes) = tried_out(500);
    assert_eq!(probes, 6);
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
    conflicts.handle_timeout(&down, at(0));
    assert!(conflicts.is_clear(place(188), &links()));
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

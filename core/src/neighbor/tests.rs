//! Stories of one node on one link, of its witnesses, and of the link.

use super::*;

const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 9));
const SELF: (IpAddr, MacAddr) =
    (IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 3)), MacAddr(2, 0, 0, 0, 0, 3));
const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const OTHER: MacAddr = MacAddr(2, 0, 0, 0, 0, 99);

fn target() -> Target {
    (LinkName::new("eth0").unwrap(), NODE)
}

fn reply(mac: MacAddr) -> IsAt {
    IsAt { link: target().0, target: NODE, mac, to: Some(SELF), via: mac }
}

fn looking() -> Neighbors {
    let mut neighbors = Neighbors::new(Probing::default(), 1);
    neighbors.handle_targets(&BTreeMap::from([(target(), SELF)]), Instant::ZERO);
    neighbors
}

/// Lets time pass up to `until`; `answer` says who answers each probe.
fn run(neighbors: &mut Neighbors, until: Instant, answer: impl Fn(&Probe) -> Vec<MacAddr>) {
    loop {
        let now = neighbors.poll_timeout().unwrap();
        if now > until {
            return;
        }
        neighbors.handle_timeout(now);
        while let Some(probe) = neighbors.poll_output() {
            for mac in answer(&probe) {
                neighbors.handle_heard(&reply(mac), now + Duration::from_millis(1));
            }
        }
    }
}

/// What last became of anything.
fn last_change(neighbors: &mut Neighbors) -> Option<Obstacle> {
    std::iter::from_fn(|| neighbors.poll_change()).last().and_then(|(_, obstacle)| obstacle)
}

/// Whether it is news what a claim says.
fn is_news(neighbors: &mut Neighbors, claim: &IsAt, now: Instant) -> bool {
    neighbors.take_news();
    neighbors.handle_heard(claim, now);
    neighbors.take_news() != News::default()
}

#[test]
fn a_node_is_asked_by_broadcast_and_learned_from_its_answer() {
    let mut neighbors = looking();
    let probe = neighbors.poll_output().unwrap();
    assert_eq!((probe.target, probe.to, probe.sender), (NODE, None, SELF));
    assert!(is_news(&mut neighbors, &reply(MAC), Instant::from_millis(1)));
    assert_eq!(neighbors.mac(target()), Some(MAC));
}

#[test]
fn a_node_that_is_used_while_its_first_answer_is_weighed_is_asked_as_often_as_any() {
    let mut neighbors = looking();
    assert!(neighbors.poll_output().is_some());
    neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
    // Until the time of the first probe is over another may claim to be the node.
    neighbors.handle_used(BTreeSet::from([target()]), Instant::from_millis(2));
    let asked = std::cell::Cell::new(0);
    run(&mut neighbors, Instant::from_millis(1_100), |_| {
        asked.set(asked.get() + 1);
        vec![MAC]
    });
    assert_eq!(asked.get(), 4, "one each 250 ms");
}

#[test]
fn a_claim_that_nobody_asked_for_teaches_nothing() {
    let mut neighbors = looking();
    let late = Instant::ZERO + Probing::default().timeout();
    assert!(!is_news(&mut neighbors, &reply(MAC), late));
    let announced = IsAt { to: None, ..reply(MAC) };
    assert!(!is_news(&mut neighbors, &announced, Instant::from_millis(1)));
    let forged = IsAt { via: OTHER, ..reply(MAC) };
    assert!(!is_news(&mut neighbors, &forged, Instant::from_millis(1)));
    assert_eq!(neighbors.mac(target()), None);
}

#[test]
fn a_known_mac_is_not_displaced_by_another_that_answers_too() {
    let mut neighbors = looking();
    assert!(neighbors.poll_output().is_some());
    neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
    run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
        Some(known) => vec![known],
        None => vec![OTHER, MAC],
    });
    assert_eq!(neighbors.mac(target()), Some(MAC));
}

#[test]
fn a_new_mac_is_adopted_once_the_known_one_is_silent() {
    let mut neighbors = looking();
    assert!(neighbors.poll_output().is_some());
    neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
    run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
        Some(MAC) => vec![],
        Some(_) | None => vec![OTHER],
    });
    assert_eq!(neighbors.mac(target()), Some(OTHER));
}

#[test]
fn of_two_rivals_nobody_can_tell_which_is_the_node() {
    let mut neighbors = looking();
    assert!(neighbors.poll_output().is_some());
    neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
    let third = MacAddr(2, 0, 0, 0, 0, 98);
    run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
        Some(_) => vec![],
        None => vec![OTHER, third],
    });
    assert_eq!(neighbors.mac(target()), None);
    assert_eq!(last_change(&mut neighbors), Some(Obstacle::AmbiguousMac));
}

#[test]
fn a_node_whose_rival_is_gone_is_asked_as_often_as_any_from_then_on() {
    let mut neighbors = looking();
    neighbors.handle_used(BTreeSet::from([target()]), Instant::ZERO);
    run(&mut neighbors, Instant::from_millis(5_000), |_| vec![MAC, OTHER]);
    assert_eq!(last_change(&mut neighbors), Some(Obstacle::AmbiguousMac));
    let known_at = (5_000..).map(Instant::from_millis).find(|now| {
        run(&mut neighbors, *now, |_| vec![MAC]);
        neighbors.mac(target()).is_some()
    });
    let asked_at = neighbors.poll_timeout().unwrap();
    assert!(asked_at <= known_at.unwrap() + Probing::default().interval(), "{asked_at}");
}

#[test]
fn rivals_that_take_turns_displace_nobody() {
    let mut neighbors = looking();
    assert!(neighbors.poll_output().is_some());
    neighbors.handle_heard(&reply(MAC), Instant::from_millis(1));
    let third = MacAddr(2, 0, 0, 0, 0, 98);
    let last = std::cell::Cell::new(third);
    run(&mut neighbors, Instant::from_millis(60_000), |probe| match probe.to {
        Some(_) => vec![],
        None => {
            last.set(if last.get() == OTHER { third } else { OTHER });
            vec![last.get()]
        }
    });
    assert_eq!(neighbors.mac(target()), Some(MAC));
}

#[test]
fn a_node_that_never_answers_is_settled_after_the_first_probes_and_asked_on() {
    let mut neighbors = looking();
    assert!(!neighbors.settled(target()));
    run(&mut neighbors, Instant::from_millis(1_000), |_| vec![]);
    assert!(neighbors.settled(target()));
    run(&mut neighbors, Instant::from_millis(5_000), |_| vec![MAC]);
    assert_eq!(neighbors.mac(target()), Some(MAC));
}

/// Several nodes on one LAN, each of which answers as long as it is not dead.
struct Lan {
    neighbors: Neighbors,
    now: Instant,
    dead: BTreeSet<u8>,
    /// How late this replica is whenever it is woken.
    late: Duration,
    /// When each node was given up.
    deaths: BTreeMap<u8, Instant>,
    probes: Vec<(u8, Instant, bool)>,
}

fn address(number: u8) -> IpAddr {
    [172, 22, 0, number].into()
}

fn at(number: u8) -> Target {
    (target().0, address(number))
}

fn mac(number: u8) -> MacAddr {
    MacAddr(2, 0, 0, 0, 0, number)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Lan {
    /// A LAN with these nodes, of which the first is the one that is answered.
    fn of(nodes: &[u8], probing: Probing) -> Self {
        let mut neighbors = Neighbors::new(probing, 7);
        let targets = nodes.iter().map(|number| (at(*number), SELF)).collect();
        neighbors.handle_targets(&targets, Instant::ZERO);
        neighbors.handle_used(BTreeSet::from([at(nodes[0])]), Instant::ZERO);
        Self {
            neighbors,
            now: Instant::ZERO,
            dead: BTreeSet::new(),
            late: Duration::ZERO,
            deaths: BTreeMap::new(),
            probes: Vec::new(),
        }
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        self.drain();
        while let Some(at) = self.neighbors.poll_timeout().filter(|at| *at + self.late <= until) {
            self.now = self.now.max(at + self.late);
            self.neighbors.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(Probe { target, to, .. }) = self.neighbors.poll_output() {
            let IpAddr::V4(address) = target else { continue };
            let number = address.octets()[3];
            self.probes.push((number, self.now, to.is_some()));
            if !self.dead.contains(&number) {
                let link = at(number).0;
                let mac = mac(number);
                let answer = IsAt { link, target, mac, to: Some(SELF), via: mac };
                self.neighbors.handle_heard(&answer, self.now + millis(1));
            }
        }
        while let Some(((_, address), obstacle)) = self.neighbors.poll_change() {
            let IpAddr::V4(address) = address else { continue };
            let number = address.octets()[3];
            match obstacle {
                Some(Obstacle::Dead) => drop(self.deaths.insert(number, self.now)),
                _ => drop(self.deaths.remove(&number)),
            }
        }
    }

    /// A node dies right after it has answered a probe. Returns when.
    fn kill_after_an_answer(&mut self, number: u8) -> Instant {
        let probes = self.probes.len();
        while !self.probes[probes..].iter().any(|(to, ..)| *to == number) {
            self.run(millis(1));
        }
        self.dead.insert(number);
        self.now + millis(1)
    }

    fn is_suspect(&self) -> bool {
        self.neighbors.is_suspect(at(0).0)
    }
}

#[test]
fn a_node_that_dies_right_after_an_answer_is_given_up_in_time() {
    for probing in [Probing::default(), Probing::fast()] {
        let mut lan = Lan::of(&[9, 10, 11], probing);
        lan.run(millis(5_000));
        let died_at = lan.kill_after_an_answer(9);
        lan.run(millis(2_000));
        assert!(lan.deaths[&9].since(died_at) <= probing.notices_within());
        assert_eq!(lan.deaths.len(), 1);
        assert_eq!(lan.neighbors.mac(at(9)), None);
    }
}

#[test]
fn of_three_probes_in_a_row_the_last_asks_everybody() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.probes.clear();
    let died_at = lan.kill_after_an_answer(9);
    lan.run(millis(950));
    let asked = lan.probes.iter().filter(|(to, at, _)| *to == 9 && *at >= died_at);
    let directly: Vec<_> = asked.map(|(_, _, directly)| *directly).take(3).collect();
    assert_eq!(directly, [true, true, false]);
}

#[test]
fn a_node_that_misses_two_probes_is_not_given_up() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.kill_after_an_answer(9);
    lan.run(millis(700));
    lan.dead.clear();
    lan.run(millis(3_000));
    assert!(lan.deaths.is_empty());
    assert_eq!(lan.neighbors.mac(at(9)), Some(mac(9)));
}

#[test]
fn a_node_that_is_answered_is_asked_often_and_another_seldom() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.probes.clear();
    lan.run(millis(20_000));
    let asked = |number| lan.probes.iter().filter(|(to, ..)| *to == number).count();
    assert!((75..=80).contains(&asked(9)), "{}", asked(9));
    assert!((1..=3).contains(&asked(10)), "{}", asked(10));
}

#[test]
fn a_rack_that_fails_is_told_from_the_own_link_by_any_of_those_that_are_left() {
    let rack: Vec<_> = (10..30).collect();
    let rest: Vec<_> = (30..50).collect();
    let mut lan = Lan::of(&[&[9], &rack[..], &rest[..]].concat(), Probing::default());
    lan.run(millis(30_000));
    let died_at = lan.kill_after_an_answer(9);
    lan.dead.extend(rack);
    lan.run(millis(1_000));
    assert!(!lan.is_suspect());
    assert!(lan.deaths[&9].since(died_at) <= Probing::default().notices_within());
}

/// The table in `docs/what-goes-wrong.md`: a node falls silent, and with it some of its witnesses.
#[test]
fn what_a_silence_means_depends_on_who_else_is_heard() {
    let (dead, suspect) = ((true, false), (false, true));
    for (n_others, n_silent, frames, carrier, verdict) in [
        (0, 0, false, true, dead),
        (0, 0, false, false, suspect),
        (1, 0, false, true, dead),
        (1, 1, false, true, suspect),
        (1, 1, true, true, dead),
        (1, 1, true, false, suspect),
        (2, 1, false, true, dead),
        (2, 2, false, true, suspect),
        (2, 2, true, true, dead),
        (9, 8, false, true, dead),
        (9, 9, false, true, suspect),
        (9, 9, false, false, suspect),
    ] {
        let others: Vec<_> = (10..10 + n_others).collect();
        let mut lan = Lan::of(&[&[9], &others[..]].concat(), Probing::default());
        lan.run(millis(30_000));
        lan.dead.insert(9);
        lan.dead.extend(&others[..n_silent]);
        lan.neighbors.handle_carrier(at(0).0, carrier);
        for _ in 0..30 {
            lan.run(millis(100));
            if frames {
                lan.neighbors.handle_stirred(at(0).0, lan.now);
            }
        }
        let found = (lan.deaths.contains_key(&9), lan.is_suspect());
        assert_eq!(found, verdict, "{n_silent} of {n_others}, frames {frames}, carrier {carrier}");
    }
}

#[test]
fn the_only_other_node_is_given_up_as_long_as_there_is_carrier() {
    let mut lan = Lan::of(&[9], Probing::default());
    lan.run(millis(5_000));
    lan.dead.insert(9);
    lan.run(millis(1_000));
    assert!(lan.deaths.contains_key(&9));
    assert!(!lan.is_suspect());
}

#[test]
fn if_two_nodes_fall_silent_at_once_it_is_the_link() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.dead.extend([9, 10]);
    lan.run(millis(1_500));
    assert!(lan.is_suspect());
    assert!(lan.deaths.is_empty());
}

#[test]
fn if_anybody_is_heard_meanwhile_it_is_the_nodes() {
    for witnesses in [&[9, 10][..], &[9, 10, 11, 12]] {
        let mut lan = Lan::of(witnesses, Probing::default());
        lan.run(millis(5_000));
        lan.dead.extend(witnesses);
        for _ in 0..40 {
            lan.run(millis(100));
            lan.neighbors.handle_stirred(at(0).0, lan.now);
        }
        assert!(!lan.is_suspect());
        assert!(lan.deaths.contains_key(&9));
    }
}

#[test]
fn a_third_node_that_answers_tells_the_link_from_the_node() {
    let mut lan = Lan::of(&[9, 10, 11], Probing::default());
    lan.run(millis(5_000));
    lan.dead.extend([9, 10]);
    lan.run(millis(1_500));
    assert!(!lan.is_suspect());
    assert!(lan.deaths.contains_key(&9));
}

#[test]
fn a_link_that_was_suspected_is_trusted_again_with_the_first_frame() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.dead.extend([9, 10]);
    lan.run(millis(3_000));
    assert!(lan.is_suspect());
    lan.dead.remove(&10);
    lan.run(millis(1_000));
    assert!(!lan.is_suspect());
    lan.run(millis(2_000));
    assert!(lan.deaths.contains_key(&9), "and the node that stays silent is dead");
    assert!(!lan.deaths.contains_key(&10));
}

#[test]
fn who_begins_to_lead_behind_a_suspected_link_takes_the_silent_for_dead() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.dead.extend([9, 10]);
    lan.run(millis(3_000));
    lan.neighbors.handle_term();
    lan.run(millis(1_000));
    assert!(!lan.is_suspect());
    assert!(lan.deaths.contains_key(&9));
}

#[test]
fn who_leads_once_more_behind_that_link_still_hears_nobody() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.dead.extend([9, 10]);
    lan.run(millis(3_000));
    lan.neighbors.handle_term();
    lan.run(millis(1_000));
    lan.neighbors.handle_term();
    assert!(lan.neighbors.is_silent(at(9).0));
}

#[test]
fn a_link_on_which_nobody_was_ever_heard_is_silent_if_there_are_two_to_be_heard() {
    for (nodes, silent) in [(&[9, 10][..], true), (&[9], false)] {
        let mut lan = Lan::of(nodes, Probing::default());
        lan.dead.extend(nodes);
        lan.run(millis(10_000));
        assert_eq!(lan.neighbors.is_silent(at(9).0), silent);
        lan.neighbors.handle_stirred(at(9).0, lan.now);
        assert!(!lan.neighbors.is_silent(at(9).0));
    }
}

#[test]
fn a_node_that_was_asked_while_the_link_was_silent_is_not_dead_for_the_first_frame_after() {
    let mut lan = Lan::of(&[9, 10, 11], Probing::default());
    lan.run(millis(5_000));
    lan.dead.extend([9, 10, 11]);
    lan.run(millis(3_000));
    assert!(lan.is_suspect());
    while lan.neighbors.stations[&at(9)].is_idle() {
        lan.run(millis(10));
    }
    lan.dead.clear();
    lan.neighbors.handle_stirred(at(0).0, lan.now);
    lan.run(millis(200));
    assert!(lan.deaths.is_empty());
}

#[test]
fn a_node_that_nobody_is_answered_with_is_confirmed_without_a_word() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(15_000));
    lan.neighbors.handle_term();
    let word = |lan: &mut Lan, number| {
        while lan.neighbors.stations[&at(number)].is_idle() {
            let now = lan.neighbors.poll_timeout().expect("somebody is asked");
            lan.neighbors.handle_timeout(now);
            lan.now = now;
        }
        let stations = &lan.neighbors.stations;
        let to = Some(stations[&at(number)].sender);
        let (link, target) = at(number);
        let claim = IsAt { link, target, mac: mac(number), to, via: mac(number) };
        is_news(&mut lan.neighbors, &claim, lan.now)
    };
    assert!(word(&mut lan, 9));
    assert!(!word(&mut lan, 10));
    assert_eq!(lan.neighbors.confirmed_mac(at(10)), Some(mac(10)));
}

#[test]
fn a_window_whose_end_was_noticed_late_counts_for_nothing() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.late = millis(200);
    lan.dead.insert(9);
    lan.run(millis(20_000));
    assert!(lan.deaths.is_empty());
    lan.late = Duration::ZERO;
    lan.run(millis(2_000));
    assert!(lan.deaths.contains_key(&9));
}

#[test]
fn a_node_that_never_answered_is_given_up_once_the_link_is_proved() {
    let mut lan = Lan::of(&[9], Probing::default());
    lan.dead.insert(9);
    lan.run(millis(10_000));
    assert!(lan.deaths.is_empty(), "nothing at all is heard");
    for _ in 0..50 {
        lan.run(millis(100));
        lan.neighbors.handle_stirred(at(0).0, lan.now);
    }
    assert!(lan.deaths.contains_key(&9));
}

#[test]
fn a_node_that_never_answered_is_given_up_with_any_frame_since_it_was_asked() {
    let mut lan = Lan::of(&[9], Probing::default());
    lan.dead.insert(9);
    lan.run(millis(10_000));
    // Between two probes, when no answer is waited for.
    while lan.neighbors.stations[&at(9)].next_at() < lan.now + millis(300) {
        lan.run(millis(10));
    }
    lan.neighbors.handle_stirred(at(0).0, lan.now);
    lan.run(millis(3_000));
    assert!(lan.deaths.contains_key(&9));
}

#[test]
fn a_node_that_comes_back_is_held_down_and_longer_each_time() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    let mut held = Vec::new();
    lan.run(millis(5_000));
    assert!(!lan.neighbors.is_held_down(at(9), lan.now));
    for _ in 0..3 {
        lan.dead.insert(9);
        lan.run(millis(5_000));
        lan.dead.clear();
        lan.run(millis(5_000));
        assert_eq!(lan.neighbors.mac(at(9)), Some(mac(9)));
        let from = lan.now;
        while lan.neighbors.is_held_down(at(9), lan.now) {
            lan.run(millis(1_000));
        }
        held.push(lan.now.since(from).as_secs());
    }
    assert!((54..=60).contains(&held[0]), "{held:?}");
    assert!((114..=120).contains(&held[1]), "{held:?}");
    assert!((234..=240).contains(&held[2]), "{held:?}");
}

#[test]
fn a_node_that_stayed_well_for_long_is_held_down_like_the_first_time() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    for _ in 0..2 {
        lan.dead.insert(9);
        lan.run(millis(5_000));
        lan.dead.clear();
        lan.run(millis(5_000));
        let from = lan.now;
        while lan.neighbors.is_held_down(at(9), lan.now) {
            lan.run(millis(1_000));
        }
        assert!(lan.now.since(from) <= millis(60_000));
        lan.run(millis(120_000));
    }
}

#[test]
fn a_dead_node_is_asked_now_and_then() {
    let mut lan = Lan::of(&[9, 10], Probing::default());
    lan.run(millis(5_000));
    lan.dead.insert(9);
    lan.run(millis(5_000));
    lan.probes.clear();
    lan.run(millis(20_000));
    let asked = lan.probes.iter().filter(|(to, ..)| *to == 9).count();
    assert!((15..=25).contains(&asked), "{asked}");
}

#[test]
fn behind_a_suspected_link_each_node_is_asked_about_once_a_second() {
    let nodes: Vec<_> = (1..=100).collect();
    let mut lan = Lan::of(&nodes, Probing::default());
    lan.run(millis(30_000));
    lan.dead.extend(nodes);
    lan.run(millis(15_000));
    assert!(lan.neighbors.is_suspect(at(1).0));
    lan.probes.clear();
    lan.run(millis(10_000));
    assert!((900..=1_200).contains(&lan.probes.len()), "{}", lan.probes.len());
}

#[test]
fn a_flood_of_claims_fills_no_memory() {
    let mut neighbors = looking();
    assert!(neighbors.poll_output().is_some());
    for number in 0..1_000_u16 {
        let [high, low] = number.to_be_bytes();
        let claim = reply(MacAddr(2, 0, 0, 1, high, low));
        neighbors.handle_heard(&claim, Instant::from_millis(1));
    }
    assert!(neighbors.sizes(1, 1).iter().all(|size| size.entries <= size.at_most));
    run(&mut neighbors, Instant::from_millis(200), |_| vec![]);
    assert_eq!(last_change(&mut neighbors), Some(Obstacle::AmbiguousMac));
}

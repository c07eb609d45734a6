//! Responders on pairs of local sockets, which need no privilege and no link.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use porter_core::{Link, MacAddr, Silence, Unusable};
use rustix::{io::Errno, net::RecvFlags};
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

use super::*;
use crate::clock;
use groups::Groups;
use survey::Seen;

const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 100);
const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));

/// Longer than any machine takes.
const SOON: Duration = Duration::from_secs(20);

/// The far ends of a station's sockets.
struct Wire {
    towards: Socket,
    from: Socket,
}

fn name() -> LinkName {
    LinkName::new("eth0").expect("a good name")
}

fn other_name() -> LinkName {
    LinkName::new("eth1").expect("a good name")
}

fn seen() -> Seen {
    Seen {
        index: 1,
        link: Link { mac: OWN, addresses: Vec::new(), gateways: BTreeSet::new(), carrier: true },
    }
}

/// A LAN on whose two links the EIP may be answered for the next hour.
fn lan() -> (Lan, watch::Sender<Survey>) {
    let interfaces = [name(), other_name()].map(|name| (name, Ok(seen()))).into();
    let (surveyor, surveys) = watch::channel(Survey { interfaces, ..Survey::default() });
    let mut lan = Lan::over(surveys, watch::Sender::default());
    lan.wanted = BTreeSet::from([name(), other_name()]);
    lan.permit(clock::now() + Duration::from_secs(3600));
    (lan, surveyor)
}

fn station(lan: &Lan) -> (Station, Wire) {
    let pair = || Socket::pair(Domain::UNIX, Type::DGRAM, None).expect("sockets can be made");
    let ((listener, towards), (speaker, from)) = (pair(), pair());
    from.set_read_timeout(Some(SOON)).expect("sockets have a timeout");
    let station = Station::over((listener, speaker), None, name(), &seen(), lan.common.clone());
    (station.expect("an eventfd can be made"), Wire { towards, from })
}

fn groups() -> Groups {
    Groups::new(1, BTreeSet::new())
}

fn answers(answer: Result<MacAddr, Silence>) -> Arc<Answers> {
    Arc::new([(name(), EIP, answer)].into_iter().collect())
}

impl Wire {
    /// Asks for the EIP as a host on the LAN does.
    fn ask(&self) {
        let client = (IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100)), CLIENT);
        let question = Probe { link: name(), target: EIP, to: None, sender: client };
        let frame = porter_core::wire::probe(&question).expect("ARP can ask for it");
        self.towards.send(frame.bytes()).expect("the station is there");
    }

    /// The ARP sender of the next frame that is sent.
    fn hear(&self) -> MacAddr {
        let mut frame = [0; 60];
        rustix::net::recv(&self.from, &mut frame, RecvFlags::empty())
            .expect("an answer comes soon");
        let [.., a, b, c, d, e, f] = frame[..28] else { unreachable!("a frame has 60 bytes") };
        MacAddr(a, b, c, d, e, f)
    }
}

/// A responder on the one link that is wanted, and the far ends of its sockets.
fn responding(lan: &mut Lan) -> Wire {
    lan.wanted = BTreeSet::from([name()]);
    let (station, wire) = station(lan);
    let responder = Responder::at(station, groups(), Station::respond).expect("a thread can start");
    lan.responders.insert(name(), responder);
    wire
}

/// Waits until some frame has met this outcome.
async fn comes_to(lan: &Lan, outcome: Outcome) {
    soon(async {
        while lan.outcomes().count(outcome) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn silenced(lan: &mut Lan, generation: Generation) {
    let reached = |input: Input| matches!(input, Input::Silenced(at) if at >= generation);
    soon(async { while !reached(lan.next().await) {} }).await;
}

async fn soon(happens: impl Future<Output = ()>) {
    timeout(SOON, happens).await.expect("it happens soon");
}

/// A responder that does nothing until it is told to go.
fn stuck(station: Station) -> (Responder, std::sync::mpsc::Sender<()>) {
    let (go, gone) = std::sync::mpsc::channel();
    let responder = Responder::at(station, groups(), move |station| {
        gone.recv().map_err(io::Error::other)?;
        station.respond()
    });
    (responder.expect("a thread can start"), go)
}

#[tokio::test]
async fn the_slowest_responder_decides_what_is_acknowledged() {
    let (mut lan, _surveyor) = lan();
    let ((quick, _), (slow, wire)) = (station(&lan), station(&lan));
    let quick = Responder::at(quick, groups(), Station::respond).expect("a thread can start");
    let (slow, go) = stuck(slow);
    lan.responders = BTreeMap::from([(other_name(), quick), (name(), slow)]);

    lan.publish(answers(Ok(NODE)), Generation(1));
    soon(async {
        while lan.responders[&other_name()].station.newest() < Generation(1) {
            lan.common.progress.notified().await;
        }
    })
    .await;
    assert_eq!(lan.silenced(), None);

    go.send(()).expect("the slow responder waits for it");
    soon(async { while !matches!(lan.next().await, Input::Silenced(Generation(1))) {} }).await;
    assert_eq!(lan.silenced(), None, "what was told once is not told again");
    wire.ask();
    assert_eq!(wire.hear(), NODE);
}

#[tokio::test]
async fn who_asked_before_anything_might_be_said_is_answered_once_it_may() {
    let (mut lan, _surveyor) = lan();
    let wire = responding(&mut lan);
    lan.permit(Instant::ZERO);
    wire.ask();
    comes_to(&lan, Outcome::Silent(Silence::NotLeader)).await;

    lan.publish(answers(Ok(NODE)), Generation(1));
    silenced(&mut lan, Generation(1)).await;
    assert_eq!(lan.outcomes().count(Outcome::Answered), 0);
    lan.permit(clock::now() + Duration::from_secs(3600));
    assert_eq!(wire.hear(), NODE);

    lan.publish(answers(Ok(NODE)), Generation(2));
    silenced(&mut lan, Generation(2)).await;
    // As long as a second answer would have to wait for the pace, and a little more.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let more = rustix::net::recv(&wire.from, &mut [0; 1], RecvFlags::DONTWAIT);
    assert_eq!(more.err(), Some(Errno::AGAIN), "each question has one answer");
}

#[tokio::test]
async fn who_asked_while_there_was_no_answer_is_answered_with_the_snapshot_that_has_one() {
    let (mut lan, _surveyor) = lan();
    let wire = responding(&mut lan);
    lan.publish(answers(Err(Silence::Uncommitted)), Generation(1));
    silenced(&mut lan, Generation(1)).await;
    wire.ask();
    comes_to(&lan, Outcome::Silent(Silence::Uncommitted)).await;

    lan.publish(answers(Ok(NODE)), Generation(2));
    assert_eq!(wire.hear(), NODE);
}

#[tokio::test]
async fn what_was_asked_for_is_told_before_the_acknowledgement_that_it_comes_with() {
    let (mut lan, _surveyor) = lan();
    let wire = responding(&mut lan);
    let before = clock::now();
    wire.ask();
    comes_to(&lan, Outcome::Silent(Silence::NotAnEip)).await;

    lan.publish(answers(Ok(NODE)), Generation(1));
    let mut told = Vec::new();
    soon(async {
        while !matches!(told.last(), Some(Input::Silenced(Generation(1)))) {
            told.push(lan.next().await);
        }
    })
    .await;
    let asked = told.iter().find_map(|input| {
        let Input::Asked(link, asked) = input else { return None };
        (*link == name()).then_some(asked.as_slice())
    });
    let Some([(EIP, asked_at)]) = asked else { panic!("{told:?}") };
    assert!(before <= *asked_at && *asked_at <= clock::now());
}

#[tokio::test]
async fn a_responder_that_died_holds_nothing_back_and_is_not_kept() {
    let (mut lan, _surveyor) = lan();
    let (station, _wire) = station(&lan);
    let dead = Responder::at(station, groups(), |_| Err(io::Error::other("the link burnt down")));
    lan.responders.insert(name(), dead.expect("a thread can start"));

    lan.publish(answers(Ok(NODE)), Generation(1));
    soon(async {
        while lan.silenced() != Some(Generation(1)) {
            lan.common.progress.notified().await;
        }
        while lan.responders.values().any(Responder::lives) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    lan.staff();
    assert!(lan.responders.is_empty());
}

#[tokio::test]
async fn a_responder_is_at_its_end_when_it_is_dropped() {
    let (lan, _surveyor) = lan();
    let (station, wire) = station(&lan);
    let responder = Responder::at(station, groups(), Station::respond).expect("a thread can start");
    let station = Arc::clone(&responder.station);
    drop(responder);
    assert_eq!(station.newest(), Generation(u64::MAX));

    wire.ask();
    assert_eq!(Outcome::all().map(|outcome| lan.outcomes().count(outcome)).sum::<u64>(), 0);
}

#[test]
fn a_link_is_told_when_it_changes_and_not_whenever_it_is_looked_up() {
    let (mut lan, _surveyor) = lan();
    lan.wanted.clear();
    let mut told = |survey: &[(LinkName, Seen)]| {
        let interfaces = survey.iter().cloned().map(|(name, seen)| (name, Ok(seen))).collect();
        lan.handle_survey(Survey { interfaces, ..Survey::default() });
        lan.news.drain(..).map(|input| format!("{input:?}")).collect::<Vec<_>>()
    };
    let up = seen();
    let down = Seen { link: Link { carrier: false, ..up.link.clone() }, ..up.clone() };
    let made_again = Seen { index: 2, ..down.clone() };

    assert_eq!(told(&[(name(), up)]).len(), 1);
    assert_eq!(told(&[(name(), seen())]).len(), 0);
    assert_eq!(told(&[(name(), down.clone()), (other_name(), seen())]).len(), 2);
    assert_eq!(told(&[(name(), made_again), (other_name(), seen())]).len(), 0);
    assert_eq!(
        told(&[(name(), down)]),
        [format!("{:?}", Input::Link(other_name(), Err(Unusable::Missing)))]
    );
    assert_eq!(told(&[]).len(), 1);
}

#[test]
fn the_link_of_an_address_is_told_when_it_changes_and_anew_to_who_asks_again() {
    let (mut lan, _surveyor) = lan();
    let [asked, other] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(172, 22, 0, last)));
    let told = |lan: &mut Lan, link| {
        let routes = [(asked, link), (other, link)].into();
        lan.handle_survey(Survey { routes, interfaces: lan.survey.interfaces.clone() });
        let routes = lan.news.drain(..).filter_map(|input| {
            let Input::Route(address, link) = input else { return None };
            Some((address, link))
        });
        routes.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut lan, Ok(name())), []);
    lan.route([asked].into());
    assert_eq!(told(&mut lan, Ok(name())), [(asked, Ok(name()))]);
    assert_eq!(told(&mut lan, Ok(name())), []);
    assert_eq!(told(&mut lan, Err(Unroutable::Own)), [(asked, Err(Unroutable::Own))]);
    lan.route([].into());
    lan.route([asked].into());
    assert_eq!(told(&mut lan, Err(Unroutable::Own)), [(asked, Err(Unroutable::Own))]);
}

#[test]
fn a_deadline_between_deciding_and_sending_is_kept() {
    let (mut lan, _surveyor) = lan();
    let (station, wire) = station(&lan);
    let is_at = IsAt { link: name(), target: EIP, mac: NODE, to: None, via: MacAddr::broadcast() };
    assert_eq!(station.announce(&is_at), Outcome::Announced);
    lan.permit(clock::now());
    assert_eq!(station.announce(&is_at), Outcome::Late);

    assert_eq!([wire.hear(), wire.hear()], [NODE, NODE]);
    let more = rustix::net::recv(&wire.from, &mut [0; 1], RecvFlags::DONTWAIT);
    assert_eq!(more.err(), Some(Errno::AGAIN));
}

#[tokio::test]
async fn a_responder_goes_round_when_it_is_asked_and_one_that_is_stuck_does_not() {
    let (lan, _surveyor) = lan();
    let ((quick, _near), (slow, _far)) = (station(&lan), station(&lan));
    let quick = Responder::at(quick, groups(), Station::respond).expect("a thread can start");
    let (slow, go) = stuck(slow);
    let pulse = |responder: &Responder| Ok(Arc::clone(responder.station.pulse()));
    let roster = BTreeMap::from([(other_name(), pulse(&quick)), (name(), pulse(&slow))]);
    let responders = Responders(watch::channel(roster).1);
    let goes_round = async |round: &Round, link: LinkName| {
        let stuck = || round.stuck().any(|stuck| stuck == link);
        soon(async {
            while stuck() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    };

    for _ in 0..3 {
        let round = responders.ask();
        goes_round(&round, other_name()).await;
        assert_eq!(round.stuck().collect::<Vec<_>>(), [name()]);
    }
    let round = responders.ask();
    go.send(()).expect("the slow responder waits for it");
    goes_round(&round, name()).await;

    drop(slow);
    assert!(responders.lack(name()).is_some_and(|reason| reason.contains("has ended")));
    assert_eq!(responders.lack(other_name()), None);
}

//! What a host on the LAN is told, and what is told to the core.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use ipnet::IpNet;
use porter_backends::{
    clock,
    link::{Lan, Outcome},
    port::Links,
};
use porter_core::{
    Answers, Generation, Input, IsAt, Link, LinkName, MacAddr, Probe, Silence, WhoHas, wire,
};
use tokio::time;

use crate::{
    apart::apart,
    filter::with,
    host::{Cable, Host, SOON, eventually, plug_in},
};

pub(crate) const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
pub(crate) const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
pub(crate) const OTHER_NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 10);
pub(crate) const OWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 3));
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100));
pub(crate) const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));
const OTHER_EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 189));
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_host_that_asks_for_an_eip_learns_the_mac_of_the_node() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let lan = leading([(EIP, Ok(NODE))]).await;

        client.learns(EIP, NODE).await;

        comes_to(&lan, Outcome::Answered).await;
    });
}

#[test]
fn a_deadline_that_has_passed_silences_a_snapshot_that_would_answer() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE)), (OTHER_EIP, Ok(NODE))]).await;
        client.learns(EIP, NODE).await;
        comes_to(&lan, Outcome::Answered).await;
        let answered = lan.outcomes().count(Outcome::Answered);

        lan.permit(clock::now());
        client.ask(OTHER_EIP);

        comes_to(&lan, Outcome::Silent(Silence::NotLeader)).await;
        assert_eq!(client.neighbour(OTHER_EIP).await, None);
        assert_eq!(lan.outcomes().count(Outcome::Answered), answered);

        lan.permit(clock::now() + LONG);
        client.learns(OTHER_EIP, NODE).await;
    });
}

#[test]
fn a_host_that_asked_before_there_was_a_leader_is_answered_once_there_is_one() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = listening().await;
        client.send(&[&with(0, &[])]);
        comes_to(&lan, Outcome::Silent(Silence::NotLeader)).await;
        assert_eq!(lan.outcomes().count(Outcome::Answered), 0);

        lan.publish(answers([(EIP, Ok(NODE))]), Generation(1));
        lan.permit(clock::now() + LONG);

        comes_to(&lan, Outcome::Answered).await;
        silenced(&mut lan, Generation(1)).await;
        lan.publish(answers([(EIP, Ok(NODE))]), Generation(2));
        silenced(&mut lan, Generation(2)).await;
        assert_eq!(lan.outcomes().count(Outcome::Answered), 1, "it asked once");
    });
}

#[test]
fn a_snapshot_is_acknowledged_and_silences_the_one_before() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE)), (OTHER_EIP, Ok(NODE))]).await;
        client.learns(EIP, NODE).await;

        lan.publish(answers([(OTHER_EIP, Err(Silence::NoEndpoint))]), Generation(2));
        silenced(&mut lan, Generation(2)).await;
        client.ask(OTHER_EIP);

        comes_to(&lan, Outcome::Silent(Silence::NoEndpoint)).await;
        assert_eq!(client.neighbour(OTHER_EIP).await, None);
    });
}

#[test]
fn without_a_link_every_snapshot_is_acknowledged_at_once() {
    apart(async || {
        let mut lan = Lan::open().expect("packet sockets are allowed to root");
        lan.listen(BTreeSet::from([name()]));
        lan.publish(answers([]), Generation(1));
        assert!(matches!(next(&mut lan).await, Input::Silenced(Generation(1))));
        lan.publish(answers([]), Generation(2));
        lan.publish(answers([]), Generation(3));
        assert!(matches!(next(&mut lan).await, Input::Silenced(Generation(3))));
    });
}

#[test]
fn an_announcement_moves_what_a_host_believes_until_the_deadline() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;
        client.learns(EIP, NODE).await;
        let announcement =
            |mac| IsAt { link: name(), target: EIP, mac, to: None, via: MacAddr::broadcast() };

        lan.announce(&announcement(OTHER_NODE));
        assert_eq!(lan.outcomes().count(Outcome::Announced), 1);
        let moved = eventually(async || client.neighbour(EIP).await == Some(OTHER_NODE));
        assert!(moved.await, "EIP is at {:?}", client.neighbour(EIP).await);

        lan.permit(clock::now());
        lan.announce(&announcement(NODE));
        assert_eq!(lan.outcomes().count(Outcome::Announced), 1);
        assert_eq!(lan.outcomes().count(Outcome::Late), 1);
    });
}

#[test]
fn a_probed_host_is_heard_though_nothing_may_be_answered() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = listening().await;

        for to in [None, Some(client.mac)] {
            lan.probe(&Probe { link: name(), target: CLIENT, to, sender: (OWN_ADDRESS, OWN) });
            let heard = heard(&mut lan).await;
            let to = Some((OWN_ADDRESS, OWN));
            let reply = IsAt { link: name(), target: CLIENT, mac: client.mac, to, via: client.mac };
            assert_eq!(heard, reply);
        }
    });
}

#[test]
fn a_link_is_told_as_it_comes_changes_and_goes() {
    apart(async || {
        let mut lan = Lan::open().expect("packet sockets are allowed to root");
        let (cable, client) = eth0().await;
        let link = settled(&mut lan, |seen| seen.is_some_and(|seen| seen.carrier)).await;
        let Link { mac, addresses, .. } = link.expect("it is there");
        assert_eq!(mac, OWN);
        assert_eq!(addresses.first(), Some(&net(OWN_ADDRESS)));

        client.down().await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| !seen.carrier)).await;

        cable.tear().await;
        assert_eq!(settled(&mut lan, |seen| seen.is_none()).await, None);
    });
}

#[test]
fn the_gateway_of_a_default_route_is_told_with_its_link_as_long_as_there_is_one() {
    apart(async || {
        let mut lan = Lan::open().expect("packet sockets are allowed to root");
        let (cable, _client) = eth0().await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| seen.carrier)).await;
        let IpAddr::V4(gateway) = CLIENT else { panic!("a client with an IPv4 address") };
        cable.route_by(gateway).await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| seen.gateways == [CLIENT].into())).await;
        // The kernel drops the routes of a link that goes down.
        cable.down().await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| seen.gateways.is_empty())).await;
    });
}

#[test]
fn a_link_that_is_renamed_is_gone_until_it_has_its_name_again() {
    apart(async || {
        let (cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;
        cable.rename("lan0").await;
        settled(&mut lan, |seen| seen.is_none()).await;
        cable.rename("eth0").await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| seen.carrier)).await;
        tokio::select! {
            () = client.learns(EIP, NODE) => {}
            () = async { loop { lan.next().await; } } => {}
        }
    });
}

#[test]
fn a_link_that_was_down_is_answered_on_again() {
    apart(async || {
        let (cable, client) = eth0().await;
        let lan = leading([(EIP, Ok(NODE)), (OTHER_EIP, Ok(NODE))]).await;
        client.learns(EIP, NODE).await;

        cable.down().await;
        cable.up().await;

        client.learns(OTHER_EIP, NODE).await;
        assert_eq!(lan.outcomes().count(Outcome::Unsent), 0);
    });
}

#[test]
fn a_link_that_was_made_again_is_answered_on_again() {
    apart(async || {
        let (cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;
        client.learns(EIP, NODE).await;

        cable.tear().await;
        let (_cable, client) = eth0().await;
        client.ask(EIP);
        let learning = client.learns(EIP, NODE);
        tokio::select! {
            () = learning => {}
            () = async { loop { lan.next().await; } } => {}
        }

        lan.publish(answers([]), Generation(2));
        silenced(&mut lan, Generation(2)).await;
    });
}

#[test]
fn a_link_with_another_mac_is_spoken_on_as_that() {
    apart(async || {
        let (cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;

        cable.change_mac(OTHER_NODE).await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| seen.mac == OTHER_NODE)).await;
        client.send(&[&with(0, &OTHER_NODE.octets())]);

        comes_to(&lan, Outcome::Answered).await;
    });
}

#[test]
fn arping_finds_the_node_and_the_address_taken() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let _lan = leading([(EIP, Ok(NODE))]).await;
        let eip = EIP.to_string();
        let arping = |flags: &[&str], address: &str| {
            let patience = ["-w", "10", "-I", "eth0", address];
            client.run("arping", &[flags, &patience].concat())
        };

        let Some((said, found)) = arping(&["-b", "-c", "2"], &eip) else { return };
        assert!(found && said.contains("02:00:00:00:00:09"), "{said}");

        let (said, free) = arping(&["-D", "-c", "2"], &eip).expect("it was there");
        assert!(!free && said.contains("02:00:00:00:00:09"), "{said}");
    });
}

/// `arping -U` speaks for an address of its own only.
#[test]
fn arping_that_announces_an_eip_is_heard_as_a_claim_and_not_answered() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;
        let eip = EIP.to_string();
        let Some((said, owned)) = client.run("ip", &["address", "add", &eip, "dev", "eth0"]) else {
            return;
        };
        assert!(owned, "{said}");

        let announce = ["-U", "-c", "1", "-w", "2", "-s", &eip, "-I", "eth0", &eip];
        let Some(_) = client.run("arping", &announce) else { return };

        let (link, mac) = (name(), client.mac);
        let claim = IsAt { link, target: EIP, mac, to: None, via: mac };
        assert_eq!(heard(&mut lan).await, claim);
        assert_eq!(lan.outcomes().count(Outcome::Answered), 0);
    });
}

#[test]
fn who_tries_out_an_address_that_is_tried_out_here_or_is_an_eip_is_told_and_nobody_else() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;
        let sender = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), OWN);
        lan.probe(&Probe { link: name(), target: OTHER_EIP, to: None, sender });

        let none = Ipv4Addr::new(172, 22, 0, 190).to_string();
        for address in [&none, &OTHER_EIP.to_string(), &EIP.to_string()] {
            let arping = ["-D", "-c", "1", "-w", "2", "-I", "eth0", address];
            let Some(_) = client.run("arping", &arping) else { return };
        }
        // What comes from here is not heard, and it is not told twice at once.
        let told = [probed(&mut lan).await, probed(&mut lan).await];
        let asker = (sender.0, client.mac);
        let question = |target| WhoHas { link: name(), target, asker, via: client.mac };
        assert_eq!(told, [question(OTHER_EIP), question(EIP)]);
    });
}

#[test]
fn a_storm_of_probes_is_told_seldom_and_keeps_no_answer_waiting() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let mut lan = leading([(EIP, Ok(NODE))]).await;
        let sender = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), client.mac);
        let probe = Probe { link: name(), target: EIP, to: None, sender };
        let frame = wire::probe(&probe).expect("an address of IPv4 can be asked for");
        let many = vec![frame.bytes(); 3_000];
        client.send(&many);
        let met = eventually(async || {
            let of = |outcome| lan.outcomes().count(outcome);
            of(Outcome::Answered) + of(Outcome::Silent(Silence::TooOften)) >= 3_000
        });
        assert!(met.await);
        let mut told = 0;
        while let Ok(input) = time::timeout(Duration::from_millis(100), lan.next()).await {
            told += usize::from(matches!(input, Input::Probed(_)));
        }
        assert!((1..=64).contains(&told), "{told}");
    });
}

#[test]
fn no_fact_is_lost_with_a_future_that_is_dropped() {
    apart(async || {
        let (_cable, _client) = eth0().await;
        let mut lan = Lan::open().expect("packet sockets are allowed to root");
        lan.listen(BTreeSet::from([name()]));
        lan.publish(answers([]), Generation(1));
        let (mut link, mut acknowledged, mut claim) = (false, false, false);
        let hearing = time::timeout(SOON, async {
            while !(link && acknowledged && claim) {
                match tokio_test::task::spawn(lan.next()).poll() {
                    Poll::Pending => {}
                    Poll::Ready(Input::Link(..)) => link = true,
                    Poll::Ready(Input::Silenced(Generation(1))) => acknowledged = true,
                    Poll::Ready(Input::Heard(_)) => claim = true,
                    Poll::Ready(other) => panic!("{other:?} is no fact from a LAN"),
                }
                if link && acknowledged {
                    let sender = (OWN_ADDRESS, OWN);
                    lan.probe(&Probe { link: name(), target: CLIENT, to: None, sender });
                }
                time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(hearing.await.is_ok(), "{link} {acknowledged} {claim}");
    });
}

pub(crate) fn name() -> LinkName {
    LinkName::new("eth0").expect("a good name")
}

fn net(address: IpAddr) -> IpNet {
    IpNet::new(address, 24).expect("a good prefix")
}

/// A link here and a host at its other end.
pub(crate) async fn eth0() -> (Cable, Host) {
    plug_in("eth0", OWN, OWN_ADDRESS, CLIENT).await
}

/// Another link here, to another LAN of the same subnet, with a host at its other end.
pub(crate) async fn eth1() -> (Cable, Host) {
    let [near, far] = [4, 101].map(|last| IpAddr::V4(Ipv4Addr::new(172, 22, 0, last)));
    plug_in("eth1", MacAddr(2, 0, 0, 0, 1, 3), near, far).await
}

pub(crate) fn answers<const N: usize>(
    entries: [(IpAddr, Result<MacAddr, Silence>); N],
) -> Arc<Answers> {
    Arc::new(entries.into_iter().map(|(eip, answer)| (name(), eip, answer)).collect())
}

/// A LAN that is listened to on eth0, without permission to speak.
pub(crate) async fn listening() -> Lan {
    let mut lan = Lan::open().expect("packet sockets are allowed to root");
    lan.listen(BTreeSet::from([name()]));
    settled(&mut lan, |seen| seen.is_some_and(|seen| seen.carrier)).await;
    lan
}

/// A LAN on which these answers may be given for a long time, published as generation 1.
pub(crate) async fn leading<const N: usize>(
    entries: [(IpAddr, Result<MacAddr, Silence>); N],
) -> Lan {
    let mut lan = listening().await;
    lan.permit(clock::now() + LONG);
    lan.publish(answers(entries), Generation(1));
    silenced(&mut lan, Generation(1)).await;
    lan
}

async fn next(lan: &mut Lan) -> Input {
    time::timeout(SOON, lan.next()).await.expect("a fact comes soon")
}

/// Waits for the link to be told as wanted. Returns how it was told.
pub(crate) async fn settled(lan: &mut Lan, wanted: impl Fn(Option<&Link>) -> bool) -> Option<Link> {
    loop {
        if let Input::Link(link, seen) = next(lan).await
            && link == name()
            && wanted(seen.as_ref().ok())
        {
            return seen.ok();
        }
    }
}

pub(crate) async fn silenced(lan: &mut Lan, generation: Generation) {
    while !matches!(next(lan).await, Input::Silenced(reached) if reached >= generation) {}
}

/// Waits for somebody to try an address out.
pub(crate) async fn probed(lan: &mut Lan) -> WhoHas {
    loop {
        if let Input::Probed(question) = next(lan).await {
            return question;
        }
    }
}

pub(crate) async fn heard(lan: &mut Lan) -> IsAt {
    loop {
        if let Input::Heard(is_at) = next(lan).await {
            return is_at;
        }
    }
}

/// Waits until some frame has met this outcome.
pub(crate) async fn comes_to(lan: &Lan, outcome: Outcome) {
    comes_to_many(lan, outcome, 1).await;
}

/// Waits until so many frames have come to this. A frame is counted only once it has been sent: whoever
/// got it may be looked at before.
pub(crate) async fn comes_to_many(lan: &Lan, outcome: Outcome, count: u64) {
    let met = eventually(async || lan.outcomes().count(outcome) >= count).await;
    let counted = lan.outcomes().count(outcome);
    assert!(met, "{counted} frames have come to {outcome:?}, and not {count}");
}

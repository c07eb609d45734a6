//! What becomes of the interfaces of a host: which of them can be answered on, and what is told of the
//! others.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use porter_backends::{
    check::{self, Verdict},
    clock,
    link::{Lan, Outcome},
    port::Links,
};
use porter_core::{Answers, Generation, Input, Link, LinkName, MacAddr, Unroutable, Unusable};
use tokio::time;

use crate::{
    apart::apart,
    host::SOON,
    lan::{CLIENT, EIP, NODE, OWN_ADDRESS, comes_to_many, eth0, eth1},
};

const LEAF: MacAddr = MacAddr(2, 0, 0, 0, 0, 33);
/// On no LAN of these tests.
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_link_that_became_a_port_of_a_bridge_says_so_and_the_bridge_is_answered_on() {
    apart(async || {
        let (cable, client) = eth0().await;
        let mut lan = answering_on(&["eth0", "br0"]);
        told(&mut lan, "eth0", carries).await;

        cable.plug_into_bridge("br0").await;
        let port = Err(Unusable::Port { of: named("br0") });
        told(&mut lan, "eth0", |seen| *seen == port).await;
        told(&mut lan, "br0", carries).await;
        meanwhile(&mut lan, client.learns(EIP, NODE)).await;

        cable.unplug_from_bridge().await;
        told(&mut lan, "eth0", carries).await;
    });
}

#[test]
fn a_check_of_a_host_tells_each_interface_from_one_that_is_missing() {
    apart(async || {
        let (_cable, _client) = eth0().await;
        let (_other_cable, _other_client) = eth1().await;
        let names = ["eth0", "eth0.5", "eth1"];
        let findings = check::host(names.map(named).into(), &[]).await;
        let verdict = |name: &str| {
            let of = |told: &str| told.split(' ').any(|word| word == name);
            let mut interfaces = findings.iter().filter(|it| it.about == "interface");
            interfaces.find(|it| of(&it.told)).map(|it| it.verdict)
        };
        let wanted = [Verdict::Fine, Verdict::Wrong, Verdict::Fine].map(Some);
        assert_eq!(names.map(verdict), wanted, "{findings:?}");
    });
}

#[test]
fn a_macvlan_leaf_is_answered_on() {
    apart(async || {
        let (cable, client) = eth0().await;
        let mut lan = answering_on(&["leaf"]);
        cable.add_macvlan("leaf", LEAF).await;
        told(&mut lan, "leaf", carries).await;
        meanwhile(&mut lan, client.learns(EIP, NODE)).await;

        // Whatever the parent loses its leaves lose.
        cable.down().await;
        told(&mut lan, "leaf", |seen| matches!(seen, Ok(link) if !link.carrier)).await;
    });
}

#[test]
fn a_link_without_arp_is_refused_and_taken_again_when_it_has_it() {
    apart(async || {
        let (cable, client) = eth0().await;
        let mut lan = answering_on(&["eth0"]);
        cable.arp(false).await;
        told(&mut lan, "eth0", |seen| *seen == Err(Unusable::NoArp)).await;
        cable.arp(true).await;
        told(&mut lan, "eth0", carries).await;
        meanwhile(&mut lan, client.learns(EIP, NODE)).await;
    });
}

#[test]
fn the_loopback_interface_is_no_link() {
    apart(async || {
        let mut lan = answering_on(&["lo"]);
        told(&mut lan, "lo", |seen| *seen == Err(Unusable::Loopback)).await;
    });
}

#[test]
fn several_links_are_answered_on_and_each_as_long_as_it_is_there() {
    apart(async || {
        let (_cable, client) = eth0().await;
        let (other_cable, other) = eth1().await;
        let mut lan = answering_on(&["eth0", "eth1"]);
        told(&mut lan, "eth1", carries).await;
        meanwhile(&mut lan, client.learns(EIP, NODE)).await;
        meanwhile(&mut lan, other.learns(EIP, NODE)).await;
        comes_to_many(&lan, Outcome::Answered, 2).await;
        let answered = lan.outcomes().count(Outcome::Answered);

        other_cable.tear().await;
        told(&mut lan, "eth1", |seen| *seen == Err(Unusable::Missing)).await;
        client.forgets(EIP).await;
        meanwhile(&mut lan, client.learns(EIP, NODE)).await;
        comes_to_many(&lan, Outcome::Answered, answered + 1).await;
    });
}

#[test]
fn the_link_by_which_an_address_is_reached_is_told_as_its_routes_change() {
    apart(async || {
        let mut lan = Lan::open().expect("packet sockets are allowed to root");
        lan.route([FAR, CLIENT].into());
        reached(&mut lan, FAR, Err(Unroutable::NoRoute)).await;

        let (cable, _client) = eth0().await;
        let (other_cable, _other) = eth1().await;
        reached(&mut lan, CLIENT, Ok(named("eth0"))).await;
        cable.route_to(FAR).await;
        reached(&mut lan, FAR, Ok(named("eth0"))).await;
        cable.forget_route_to(FAR).await;
        reached(&mut lan, FAR, Err(Unroutable::NoRoute)).await;
        other_cable.route_to(FAR).await;
        reached(&mut lan, FAR, Ok(named("eth1"))).await;

        other_cable.rename("lan1").await;
        other_cable.route_to(FAR).await;
        reached(&mut lan, FAR, Ok(named("lan1"))).await;
        other_cable.tear().await;
        reached(&mut lan, FAR, Err(Unroutable::NoRoute)).await;

        lan.route([OWN_ADDRESS].into());
        reached(&mut lan, OWN_ADDRESS, Err(Unroutable::Own)).await;
    });
}

fn named(name: &str) -> LinkName {
    LinkName::new(name).expect("a good name")
}

fn carries(seen: &Result<Link, Unusable>) -> bool {
    seen.as_ref().is_ok_and(|link| link.carrier)
}

/// A LAN on which the EIP may be answered for a long time, wherever one of these links is.
fn answering_on(links: &[&str]) -> Lan {
    let mut lan = Lan::open().expect("packet sockets are allowed to root");
    let links: BTreeSet<_> = links.iter().map(|link| named(link)).collect();
    let answers: Answers = links.iter().map(|link| (*link, EIP, Ok(NODE))).collect();
    lan.listen(links);
    lan.permit(clock::now() + LONG);
    lan.publish(Arc::new(answers), Generation(1));
    lan
}

/// Waits for an interface to be told as wanted.
async fn told(lan: &mut Lan, name: &str, wanted: impl Fn(&Result<Link, Unusable>) -> bool) {
    let telling = time::timeout(SOON, async {
        loop {
            if let Input::Link(link, seen) = lan.next().await
                && link == named(name)
                && wanted(&seen)
            {
                return;
            }
        }
    });
    assert!(telling.await.is_ok(), "{name} is not told as wanted");
}

/// Waits for the link to be told by which an address is reached.
async fn reached(lan: &mut Lan, address: IpAddr, link: Result<LinkName, Unroutable>) {
    let telling = time::timeout(SOON, async {
        loop {
            if let Input::Route(told, by) = lan.next().await
                && (told, by) == (address, link)
            {
                return;
            }
        }
    });
    assert!(telling.await.is_ok(), "{address} is not told to be reached by {link:?}");
}

/// Waits for something that happens while facts are taken in.
async fn meanwhile(lan: &mut Lan, happens: impl Future<Output = ()>) {
    tokio::select! {
        () = happens => {}
        () = async { loop { lan.next().await; } } => {}
    }
}

//! What hosts make of frames.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));
const SELF: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100));
const EIP_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd22, 0, 0, 0, 0, 0, 0, 0xbc));
const SELF_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd22, 0, 0, 0, 0, 0, 0, 100));
const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 100);
const SPEAKER: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const OLD: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const NEW: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);

fn at(millis: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(millis)
}

fn reply(mac: MacAddr) -> Frame {
    let says = Says::IsAt { target: EIP, mac, to: (SELF, CLIENT) };
    Frame { src: SPEAKER, dst: CLIENT, says }
}

fn host(kind: Client) -> Host {
    Host::new("client", kind, (SELF, Some(SELF_6), CLIENT), Duration::from_secs(30))
}

/// A host that has just learned that the EIP is at `OLD`.
fn host_that_knows(kind: Client) -> Host {
    let mut host = host(kind);
    host.ping(EIP, at(0));
    host.handle_frame(&reply(OLD), at(1));
    while host.poll_frame().is_some() {}
    host
}

fn drive(host: &mut Host, until: Moment) -> Vec<(Moment, Frame)> {
    let mut sent = Vec::new();
    while let Some(due_at) = host.poll_timeout().filter(|due_at| *due_at <= until) {
        host.handle_timeout(due_at);
        while let Some(frame) = host.poll_frame() {
            sent.push((due_at, frame));
        }
    }
    sent
}

#[test]
fn a_host_asks_three_times_and_then_gives_up() {
    let mut host = host(Client::Linux);
    let ping = host.ping(EIP, at(0));
    assert_eq!(host.poll_frame(), Some(Frame::who_has(EIP, (SELF, CLIENT))));
    let asked_again: Vec<_> = drive(&mut host, at(9_000)).into_iter().map(|(t, _)| t).collect();
    assert_eq!(asked_again, [at(1_000), at(2_000)]);
    assert_eq!(*host.outcome(ping), Outcome::Unreachable);
    assert_eq!(host.neighbour(EIP), None);
}

#[test]
fn within_the_locktime_only_a_gratuitous_frame_replaces_a_mac() {
    let to_everybody = |mut frame: Frame, to: MacAddr| {
        frame.dst = MacAddr::broadcast();
        frame.says = Says::IsAt { target: EIP, mac: NEW, to: (EIP, to) };
        frame
    };
    let [request, reply_to_itself] = Frame::announcement(SPEAKER, EIP, NEW);
    let reply_to_broadcast = to_everybody(reply(NEW), MacAddr::broadcast());
    let cases = [
        (request.clone(), 200, NEW),
        (reply_to_itself, 200, NEW),
        (reply_to_broadcast.clone(), 200, OLD),
        (reply_to_broadcast, 1_300, NEW),
        (reply(NEW), 200, OLD),
        (reply(NEW), 1_300, NEW),
    ];
    for (frame, age, mac) in cases {
        let mut host = host_that_knows(Client::Linux);
        host.handle_frame(&frame, at(1 + age));
        assert_eq!(host.neighbour(EIP), Some(mac), "{frame} after {age} ms");
    }
}

#[test]
fn an_announcement_completes_a_host_that_waits_and_starts_no_entry_otherwise() {
    let [request, _] = Frame::announcement(SPEAKER, EIP, NEW);
    let mut host = host(Client::Linux);
    host.handle_frame(&request, at(0));
    assert_eq!(host.neighbour(EIP), None);

    let ping = host.ping(EIP, at(10));
    host.handle_frame(&request, at(400));
    assert_eq!(host.neighbour(EIP), Some(NEW));
    let says = Says::Ping { from: SELF, target: EIP, number: ping };
    assert_eq!(host.poll_frame().map(|frame| frame.dst), Some(MacAddr::broadcast()));
    assert_eq!(host.poll_frame(), Some(Frame { src: CLIENT, dst: NEW, says }));
}

#[test]
fn a_stale_entry_is_probed_at_its_mac_before_everybody_is_asked() {
    let mut host = host_that_knows(Client::Linux);
    drive(&mut host, at(31_000));
    host.ping(EIP, at(40_000));
    assert_eq!(host.poll_frame().map(|frame| frame.dst), Some(OLD));
    let sent = drive(&mut host, at(60_000));
    let asked: Vec<_> = sent.iter().map(|(t, frame)| (*t, frame.dst)).collect();
    assert_eq!(asked, [(at(45_000), OLD), (at(46_000), OLD), (at(47_000), OLD)]);
    host.ping(EIP, at(60_000));
    assert_eq!(host.poll_frame(), Some(Frame::who_has(EIP, (SELF, CLIENT))));
}

#[test]
fn hosts_differ_in_which_frames_replace_a_mac() {
    use Client::{Deaf, HeedsReplies, HeedsRequests, Linux, Router, Windows};
    let [request, reply_to_itself] = Frame::announcement(SPEAKER, EIP, NEW);
    let cases = [
        (request, [Linux, Windows, Router, HeedsRequests].as_slice()),
        (reply_to_itself, &[Linux, Windows, Router, HeedsReplies]),
        (reply(NEW), &[Windows, Router]),
    ];
    assert!(!cases.iter().any(|(_, takers)| takers.contains(&Deaf)));
    for (frame, takers) in cases {
        for kind in Client::ALL {
            let mut host = host_that_knows(kind);
            host.handle_frame(&frame, at(201));
            let mac = if takers.contains(&kind) { NEW } else { OLD };
            assert_eq!(host.neighbour(EIP), Some(mac), "{frame} at {kind:?}");
        }
    }
}

#[test]
fn a_router_asks_after_four_hours_where_it_knows_and_then_forgets() {
    let mut host = host_that_knows(Client::Router);
    let old = 4 * 3_600_000 + 1;
    let sent = drive(&mut host, at(old + 60_000));
    let asked: Vec<_> = sent.iter().map(|(t, frame)| (*t, frame.dst)).collect();
    assert_eq!(asked, [0, 1_000, 2_000].map(|later| (at(old + later), OLD)));
    assert_eq!(host.neighbour(EIP), None);
}

#[test]
fn a_host_that_claims_an_address_says_so_and_answers_for_it_until_it_leaves_it() {
    let mut stranger = host(Client::Linux);
    assert!(stranger.claim(EIP, true, at(0)));
    let announced: Vec<_> = std::iter::from_fn(|| stranger.poll_frame()).collect();
    assert_eq!(announced, Frame::announcement(CLIENT, EIP, CLIENT));
    let question = Frame::who_has(EIP, (IpAddr::from([172, 22, 0, 7]), OLD));
    stranger.handle_frame(&question, at(0));
    assert_eq!(stranger.poll_frame().and_then(|it| it.claim()), Some((EIP, CLIENT)));
    assert!(stranger.claim(EIP, false, at(1)));
    stranger.handle_frame(&question, at(1));
    assert_eq!(stranger.poll_frame(), None);
}

/// A host that has just learned that the EIP of IPv6 is at `OLD`.
fn host_that_knows_6(kind: Client) -> Host {
    let mut host = host(kind);
    host.ping(EIP_6, at(0));
    host.handle_frame(&solicited(OLD), at(1));
    while host.poll_frame().is_some() {}
    host
}

fn solicited(mac: MacAddr) -> Frame {
    let says = Says::IsAt { target: EIP_6, mac, to: (SELF_6, CLIENT) };
    Frame { src: SPEAKER, dst: CLIENT, says }
}

/// The state that `ip neigh` shows.
fn state(host: &Host) -> String {
    host.to_string().split_whitespace().last().map(str::to_owned).unwrap_or_default()
}

#[test]
fn the_flags_of_an_advertisement_decide_at_any_age_whether_it_replaces_a_mac() {
    let [to_nodes, to_routers] = Frame::announcement(SPEAKER, EIP_6, NEW);
    let weak =
        |mac| Frame { dst: ALL_ROUTERS, ..Frame::announcement(SPEAKER, EIP_6, mac)[0].clone() };
    assert_eq!(weak(NEW), to_routers);
    let cases = [
        (Client::Linux, to_nodes.clone(), NEW, "STALE"),
        (Client::Windows, to_nodes.clone(), NEW, "STALE"),
        (Client::Linux, solicited(NEW), NEW, "REACHABLE"),
        (Client::Linux, to_routers.clone(), OLD, "REACHABLE"),
        (Client::Router, to_routers, OLD, "STALE"),
        (Client::Router, weak(OLD), OLD, "REACHABLE"),
        (Client::Deaf, to_nodes, OLD, "REACHABLE"),
    ];
    for (kind, frame, mac, shown) in cases {
        let mut host = host_that_knows_6(kind);
        host.handle_frame(&frame, at(3));
        assert_eq!(host.neighbour(EIP_6), Some(mac), "{frame} at {kind:?}");
        assert_eq!(state(&host), shown, "{frame} at {kind:?}");
    }
}

#[test]
fn a_router_begins_to_know_what_all_routers_are_told_and_a_host_does_not() {
    for (kind, known) in [(Client::Router, Some(NEW)), (Client::Linux, None)] {
        let mut host = host(kind);
        for frame in Frame::announcement(SPEAKER, EIP_6, NEW) {
            host.handle_frame(&frame, at(0));
        }
        assert_eq!(host.neighbour(EIP_6), known, "{kind:?}");
    }
}

#[test]
fn an_address_of_ipv6_is_asked_for_in_its_group_and_when_it_is_stale_at_its_mac() {
    let mut host = host(Client::Linux);
    host.ping(EIP_6, at(0));
    let group = MacAddr(0x33, 0x33, 0xff, 0, 0, 0xbc);
    assert_eq!(host.poll_frame().map(|frame| frame.dst), Some(group));

    let mut host = host_that_knows_6(Client::Linux);
    drive(&mut host, at(31_000));
    host.ping(EIP_6, at(40_000));
    assert_eq!(host.poll_frame().map(|frame| frame.dst), Some(OLD));
    let asked = drive(&mut host, at(60_000)).into_iter().map(|(t, frame)| (t, frame.dst));
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked, [(at(45_000), OLD), (at(46_000), OLD), (at(47_000), OLD)]);
}

#[test]
fn a_host_that_wants_an_address_of_ipv6_leaves_it_if_anybody_answers() {
    let mut stranger = host(Client::Linux);
    assert!(stranger.claim(EIP_6, true, at(0)));
    let question = stranger.poll_frame().expect("it asks");
    assert_eq!(question, Frame::is_free(CLIENT, EIP_6));
    assert!(question.is_conflict_probe());

    let nobody = (Ipv6Addr::UNSPECIFIED.into(), MacAddr::zero());
    let says = Says::IsAt { target: EIP_6, mac: NEW, to: nobody };
    stranger.handle_frame(&Frame { src: SPEAKER, dst: ALL_NODES, says }, at(500));
    assert_eq!(drive(&mut stranger, at(9_000)), []);
    assert!(stranger.claims().is_empty());

    assert!(stranger.claim(EIP_6, true, at(10_000)));
    stranger.poll_frame();
    let announced = drive(&mut stranger, at(19_000)).into_iter().map(|(_, frame)| frame);
    let announced: Vec<_> = announced.collect();
    assert_eq!(announced, Frame::announcement(CLIENT, EIP_6, CLIENT));
}

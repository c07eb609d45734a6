//! Frames as they stand on the wire, and what they mean.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 100);
const BROADCAST: MacAddr = MacAddr(255, 255, 255, 255, 255, 255);
const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));
const OWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 3));
const CLIENT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100));

/// The client asks everybody for the EIP. No padding: it was cut off on the way up.
#[rustfmt::skip]
const QUESTION: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  0x08, 0x06,
    0x00, 0x01,  0x08, 0x00,  6,  4,  0x00, 0x01,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  172, 22, 0, 100,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  172, 22, 0, 188,
];

/// The client is told that the EIP is at the node.
#[rustfmt::skip]
const ANSWER: [u8; 60] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  0x02, 0x00, 0x00, 0x00, 0x00, 0x03,  0x08, 0x06,
    0x00, 0x01,  0x08, 0x00,  6,  4,  0x00, 0x02,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x09,  172, 22, 0, 188,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  172, 22, 0, 100,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Everybody is told that the EIP is at the node: the request form.
#[rustfmt::skip]
const ANNOUNCEMENT: [u8; 60] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  0x02, 0x00, 0x00, 0x00, 0x00, 0x03,  0x08, 0x06,
    0x00, 0x01,  0x08, 0x00,  6,  4,  0x00, 0x01,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x09,  172, 22, 0, 188,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  172, 22, 0, 188,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// The reply form of the same.
#[rustfmt::skip]
const ANNOUNCEMENT_AS_REPLY: [u8; 60] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  0x02, 0x00, 0x00, 0x00, 0x00, 0x03,  0x08, 0x06,
    0x00, 0x01,  0x08, 0x00,  6,  4,  0x00, 0x02,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x09,  172, 22, 0, 188,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x09,  172, 22, 0, 188,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// The link asks the node whether it is still there.
#[rustfmt::skip]
const PROBE: [u8; 60] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x09,  0x02, 0x00, 0x00, 0x00, 0x00, 0x03,  0x08, 0x06,
    0x00, 0x01,  0x08, 0x00,  6,  4,  0x00, 0x01,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x03,  172, 22, 0, 3,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  172, 22, 0, 9,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn eth0() -> LinkName {
    LinkName::new("eth0").unwrap()
}

fn question() -> WhoHas {
    WhoHas { link: eth0(), target: EIP, asker: (CLIENT_ADDRESS, CLIENT), via: CLIENT }
}

fn claim(to: Option<(IpAddr, MacAddr)>, via: MacAddr) -> IsAt {
    IsAt { link: eth0(), target: EIP, mac: NODE, to, via }
}

/// What is heard on eth0 of `frame` with some bytes replaced from `at` on.
fn hear(frame: &[u8], at: usize, bytes: &[u8]) -> Result<Heard, Dropped> {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    parse(eth0(), OWN, &frame)
}

#[test]
fn a_question_is_heard() {
    assert_eq!(parse(eth0(), OWN, &QUESTION), Ok(Heard::WhoHas(question())));
    let padded = [&QUESTION[..], &[0xaa; 18]].concat();
    assert_eq!(parse(eth0(), OWN, &padded), Ok(Heard::WhoHas(question())));
}

#[test]
fn a_question_to_us_alone_is_heard() {
    assert_eq!(hear(&QUESTION, 0, &OWN.octets()), Ok(Heard::WhoHas(question())));
    assert_eq!(hear(&QUESTION, 0, &NODE.octets()), Err(Dropped::NotToUs));
    let group = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01];
    assert_eq!(hear(&QUESTION, 0, &group), Err(Dropped::NotToUs));
}

#[test]
fn a_question_that_a_relay_passed_on_is_heard() {
    let relayed = WhoHas { via: NODE, ..question() };
    assert_eq!(hear(&QUESTION, 6, &NODE.octets()), Ok(Heard::WhoHas(relayed)));
}

#[test]
fn a_probe_for_the_eip_is_a_question_from_nowhere() {
    let nowhere = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), CLIENT);
    let probed = WhoHas { asker: nowhere, ..question() };
    assert_eq!(hear(&QUESTION, 28, &[0; 4]), Ok(Heard::WhoHas(probed)));

    let answer = answer(&OWN.into(), &claim(Some(nowhere), CLIENT)).unwrap();
    assert_eq!(answer.bytes()[38..42], [0; 4]);
}

#[test]
fn the_answer_names_the_node_and_comes_from_us() {
    let is_at = claim(Some((CLIENT_ADDRESS, CLIENT)), CLIENT);
    assert_eq!(answer(&OWN.into(), &is_at).unwrap().bytes(), ANSWER);
}

#[test]
fn the_announcement_has_two_forms() {
    let [request, reply] = announcements(&OWN.into(), &claim(None, BROADCAST)).unwrap();
    assert_eq!(request.bytes(), ANNOUNCEMENT);
    assert_eq!(reply.bytes(), ANNOUNCEMENT_AS_REPLY);
}

#[test]
fn both_forms_of_an_announcement_are_heard_as_a_claim_to_everybody() {
    let heard = Ok(Heard::IsAt(claim(None, OWN)));
    assert_eq!(parse(eth0(), CLIENT, &ANNOUNCEMENT), heard);
    assert_eq!(parse(eth0(), CLIENT, &ANNOUNCEMENT_AS_REPLY), heard);
}

#[test]
fn a_reply_is_heard_with_whom_it_is_for_and_who_sent_it() {
    let is_at = claim(Some((CLIENT_ADDRESS, CLIENT)), OWN);
    assert_eq!(parse(eth0(), CLIENT, &ANSWER), Ok(Heard::IsAt(is_at)));
}

#[test]
fn a_probe_asks_one_mac_or_everybody_in_our_own_name() {
    let target = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 9));
    let question = Probe { link: eth0(), target, to: Some(NODE), sender: (OWN_ADDRESS, OWN) };
    assert_eq!(probe(&question).unwrap().bytes(), PROBE);

    let everybody = probe(&Probe { to: None, ..question }).unwrap();
    assert_eq!(everybody.bytes()[..6], BROADCAST.octets());
    assert_eq!(everybody.bytes()[6..], PROBE[6..]);
}

#[test]
fn addresses_of_two_families_are_not_spoken_of_together() {
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    assert_eq!(answer(&OWN.into(), &claim(Some((v6, CLIENT)), CLIENT)), None);
    assert_eq!(answer(&OWN.into(), &claim(None, CLIENT)), None);
    let question = Probe { link: eth0(), target: EIP, to: None, sender: (v6, OWN) };
    assert_eq!(probe(&question), None);
}

#[test]
fn a_priority_tag_is_read_over_and_a_vlan_is_not_ours() {
    let tagged = |tag: &[u8]| {
        let frame = [&QUESTION[..12], tag, &QUESTION[12..]].concat();
        parse(eth0(), OWN, &frame)
    };
    assert_eq!(tagged(&[0x81, 0x00, 0xe0, 0x00]), Ok(Heard::WhoHas(question())));
    assert_eq!(tagged(&[0x81, 0x00, 0x00, 0x07]), Err(Dropped::Tagged));
    assert_eq!(tagged(&[0x81, 0x00, 0x01, 0x00]), Err(Dropped::Tagged));
    assert_eq!(tagged(&[0x88, 0xa8, 0x00, 0x00]), Err(Dropped::Tagged));
    assert_eq!(tagged(&[0x81, 0x00, 0x00, 0x00, 0x81, 0x00, 0x00, 0x00]), Err(Dropped::Tagged));
}

#[test]
fn every_frame_that_was_cut_off_is_too_short() {
    let tagged = [&QUESTION[..12], &[0x81, 0x00, 0x00, 0x00], &QUESTION[12..]].concat();
    for frame in [&QUESTION[..], &tagged[..]] {
        for len in 0..frame.len() {
            let heard = parse(eth0(), OWN, &frame[..len]);
            assert_eq!(heard, Err(Dropped::TooShort), "{len} bytes");
        }
    }
}

#[test]
fn what_is_not_arp_for_ipv4_on_ethernet_is_dropped() {
    assert_eq!(hear(&QUESTION, 12, &[0x08, 0x00]), Err(Dropped::OtherProtocol));
    assert_eq!(hear(&QUESTION, 14, &[0x00, 0x06]), Err(Dropped::OtherAddressing));
    assert_eq!(hear(&QUESTION, 16, &[0x86, 0xdd]), Err(Dropped::OtherAddressing));
    assert_eq!(hear(&QUESTION, 18, &[8]), Err(Dropped::OtherAddressing));
    assert_eq!(hear(&QUESTION, 19, &[16]), Err(Dropped::OtherAddressing));
    for operation in [0, 3, 8, 9, 255] {
        assert_eq!(hear(&QUESTION, 21, &[operation]), Err(Dropped::OtherOperation));
    }
    assert_eq!(hear(&QUESTION, 20, &[1, 1]), Err(Dropped::OtherOperation));
}

#[test]
fn nobody_can_speak_as_a_group_or_as_nobody() {
    let group = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01];
    for mac in [[0; 6], [0xff; 6], group] {
        assert_eq!(hear(&QUESTION, 6, &mac), Err(Dropped::SourceMac));
        assert_eq!(hear(&QUESTION, 22, &mac), Err(Dropped::SenderMac));
        assert_eq!(hear(&ANNOUNCEMENT, 22, &mac), Err(Dropped::SenderMac));
    }
    for address in [[255, 255, 255, 255], [224, 0, 0, 1], [239, 255, 255, 255], [127, 0, 0, 1]] {
        assert_eq!(hear(&QUESTION, 28, &address), Err(Dropped::SenderAddress));
        assert_eq!(hear(&ANNOUNCEMENT_AS_REPLY, 28, &address), Err(Dropped::SenderAddress));
    }
    assert_eq!(hear(&ANNOUNCEMENT_AS_REPLY, 28, &[0; 4]), Err(Dropped::SenderAddress));
    assert_eq!(hear(&QUESTION, 28, &[0; 14]), Err(Dropped::SenderAddress));
}

//! Neighbor discovery as it stands on the wire, laid out by the offsets of the RFCs.

use ipnet::Ipv6Net;

use super::*;
use crate::wire::{announcements, answer, answer_icmpv6, parse, parse_icmpv6, probe};

const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 3);
const EIP: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x0188);
const CLIENT_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x0100);
const NODE_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
const OWN_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x0188);

/// Where things are in a frame.
const ETHERTYPE: usize = 12;
const PAYLOAD_LENGTH: usize = 18;
const NEXT_HEADER: usize = 20;
const HOPS: usize = 21;
const SOURCE: usize = 22;
const DESTINATION: usize = 38;
const MESSAGE: usize = 54;
const TARGET: usize = MESSAGE + 8;
const OPTION: usize = MESSAGE + 24;

fn eth0() -> LinkName {
    LinkName::new("eth0").unwrap()
}

fn own() -> Own {
    let addresses = [net(LINK_LOCAL), net(OWN_ADDRESS)].to_vec();
    Own { mac: OWN, addresses }
}

fn net(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::new(address, 64).unwrap()
}

/// The client asks the EIP's group for it.
#[rustfmt::skip]
fn question() -> Vec<u8> {
    let mut frame = vec![
        0x33, 0x33, 0xff, 0x00, 0x01, 0x88,  0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  0x86, 0xdd,
        0x60, 0x00, 0x00, 0x00,  0x00, 0x20,  58, 255,
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00,
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff, 0x00, 0x01, 0x88,
        135, 0,  0, 0,  0, 0, 0, 0,
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x88,
        1, 1,  0x02, 0x00, 0x00, 0x00, 0x00, 0x64,
    ];
    seal(&mut frame);
    frame
}

/// A host that means to take the EIP asks whether anybody has it: no address, no MAC, and a nonce
/// (RFC 7527).
fn detection() -> Vec<u8> {
    let nonce = [14, 1, 0x5e, 0x1b, 0xad, 0xc0, 0xff, 0xee];
    changed(&question(), &[(SOURCE, &[0; 16]), (OPTION, &nonce)])
}

/// The node tells the link that it has its own address, being asked.
fn advertisement() -> Vec<u8> {
    let node = NODE_ADDRESS.octets();
    let mut frame = question();
    frame[..6].copy_from_slice(&OWN.octets());
    frame[6..12].copy_from_slice(&NODE.octets());
    let own = OWN_ADDRESS.octets();
    let option = [2, 1, 2, 0, 0, 0, 0, 9];
    let head = [136, 0, 0, 0, 0x60, 0, 0, 0];
    changed(
        &frame,
        &[
            (SOURCE, &node),
            (DESTINATION, &own),
            (MESSAGE, &head),
            (TARGET, &node),
            (OPTION, &option),
        ],
    )
}

/// A frame with other bytes at these places, and a checksum that fits.
fn changed(frame: &[u8], changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for (at, bytes) in changes {
        frame[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    seal(&mut frame);
    frame
}

/// A frame with another message, and lengths and a checksum that fit.
fn with_message(frame: &[u8], message: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..MESSAGE], message].concat();
    let len = u16::try_from(message.len()).unwrap();
    frame[PAYLOAD_LENGTH..NEXT_HEADER].copy_from_slice(&len.to_be_bytes());
    seal(&mut frame);
    frame
}

/// The checksum of RFC 1071 over the pseudo-header of RFC 8200 section 8.1, by the letter.
fn seal(frame: &mut [u8]) {
    frame[MESSAGE + 2..MESSAGE + 4].fill(0);
    let len = frame.len() - MESSAGE;
    let pseudo =
        [&frame[SOURCE..MESSAGE], &u32::try_from(len).unwrap().to_be_bytes(), &[0, 0, 0, 58]];
    let bytes = [pseudo.concat().as_slice(), &frame[MESSAGE..]].concat();
    let words =
        bytes.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(*it.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap();
    frame[MESSAGE + 2..MESSAGE + 4].copy_from_slice(&checksum.to_be_bytes());
}

fn hear(frame: &[u8]) -> Result<Heard, Dropped> {
    parse(eth0(), OWN, frame)
}

fn asked() -> WhoHas {
    let asker = (CLIENT_ADDRESS.into(), CLIENT);
    WhoHas { link: eth0(), target: EIP.into(), asker, via: CLIENT }
}

fn claim(to: Option<(Ipv6Addr, MacAddr)>, via: MacAddr) -> IsAt {
    let to = to.map(|(address, mac)| (address.into(), mac));
    IsAt { link: eth0(), target: EIP.into(), mac: NODE, to, via }
}

#[test]
fn a_solicitation_is_heard_by_the_group_and_by_unicast() {
    assert_eq!(hear(&question()), Ok(Heard::WhoHas(asked())));
    let unicast = changed(&question(), &[(0, &OWN.octets()), (DESTINATION, &EIP.octets())]);
    assert_eq!(hear(&unicast), Ok(Heard::WhoHas(asked())));
    let padded = [question(), vec![0xaa; 9]].concat();
    assert_eq!(hear(&padded), Ok(Heard::WhoHas(asked())));
}

#[test]
fn who_does_not_tell_its_mac_is_heard_without_one() {
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let heard = hear(&changed(&question(), &[(OPTION, &nonce)]));
    let asker = (CLIENT_ADDRESS.into(), MacAddr::zero());
    assert_eq!(heard, Ok(Heard::WhoHas(WhoHas { asker, via: MacAddr::zero(), ..asked() })));
}

#[test]
fn duplicate_address_detection_is_a_question_from_nowhere_that_all_hear_the_answer_to() {
    let nowhere = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), MacAddr::zero());
    let via = MacAddr(0x33, 0x33, 0, 0, 0, 1);
    let question = WhoHas { asker: nowhere, via, ..asked() };
    assert_eq!(hear(&detection()), Ok(Heard::WhoHas(question)));

    let answer = answer(&own(), &IsAt { to: Some(nowhere), ..claim(None, via) }).unwrap();
    let bytes = answer.bytes();
    assert_eq!(bytes[..6], via.octets());
    assert_eq!(bytes[DESTINATION..MESSAGE], ALL_NODES.octets());
    assert_eq!(bytes[MESSAGE + 4], 0x20, "override, and not solicited");
    assert_eq!(parse(eth0(), CLIENT, bytes), Ok(Heard::IsAt(claim(None, MacAddr::zero()))));
}

#[test]
#[rustfmt::skip]
fn the_answer_names_the_node_and_comes_from_us() {
    let is_at = claim(Some((CLIENT_ADDRESS, CLIENT)), CLIENT);
    let mut expected = vec![
        0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  0x02, 0x00, 0x00, 0x00, 0x00, 0x03,  0x86, 0xdd,
        0x60, 0x00, 0x00, 0x00,  0x00, 0x20,  58, 255,
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x88,
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00,
        136, 0,  0, 0,  0x60, 0, 0, 0,
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x88,
        2, 1,  0x02, 0x00, 0x00, 0x00, 0x00, 0x09,
    ];
    seal(&mut expected);
    assert_eq!(answer(&own(), &is_at).unwrap().bytes(), expected);
    let message = answer_icmpv6(&is_at).unwrap();
    assert_eq!((&message[..2], &message[4..]), (&expected[MESSAGE..MESSAGE + 2], &expected[MESSAGE + 4..]));
}

#[test]
fn all_are_told_from_the_subnet_or_the_link_and_only_else_from_the_address_spoken_for() {
    let is_at = claim(None, MacAddr::broadcast());
    let elsewhere = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 3);
    let cases: [(&[Ipv6Addr], Ipv6Addr); 4] = [
        (&[elsewhere, LINK_LOCAL, OWN_ADDRESS], OWN_ADDRESS),
        (&[elsewhere, LINK_LOCAL], LINK_LOCAL),
        (&[elsewhere], EIP),
        (&[], EIP),
    ];
    for (addresses, source) in cases {
        let addresses = addresses.iter().map(|address| net(*address)).collect();
        let [nodes, _] = announcements(&Own { mac: OWN, addresses }, &is_at).unwrap();
        assert_eq!(nodes.bytes()[SOURCE..DESTINATION], source.octets());
    }
}

#[test]
fn the_announcement_overrides_for_all_nodes_and_does_not_for_routers() {
    let [nodes, routers] = announcements(&own(), &claim(None, MacAddr::broadcast())).unwrap();
    for (frame, group, flags) in [(nodes, ALL_NODES, 0x20), (routers, ALL_ROUTERS, 0)] {
        let bytes = frame.bytes();
        assert_eq!(bytes[..6], group_mac(group).octets());
        assert_eq!(bytes[6..12], OWN.octets());
        assert_eq!(bytes[SOURCE..DESTINATION], OWN_ADDRESS.octets());
        assert_eq!(bytes[DESTINATION..MESSAGE], group.octets());
        assert_eq!(bytes[MESSAGE + 4], flags);
        let mut again = bytes.to_vec();
        seal(&mut again);
        assert_eq!(again, bytes, "the checksum is right");
        assert_eq!(parse(eth0(), CLIENT, bytes), Ok(Heard::IsAt(claim(None, MacAddr::zero()))));
    }
}

#[test]
fn a_node_is_asked_in_its_group_and_alone_by_its_mac() {
    let sender = (OWN_ADDRESS.into(), OWN);
    let target = NODE_ADDRESS.into();
    for (to, mac) in [(None, [0x33, 0x33, 0xff, 0, 0, 9]), (Some(NODE), NODE.octets())] {
        let frame = probe(&Probe { link: eth0(), target, to, sender }).unwrap();
        assert_eq!(frame.bytes()[..6], mac);
        assert_eq!(frame.bytes()[DESTINATION..MESSAGE], solicited_node(NODE_ADDRESS).octets());
        let heard = WhoHas { link: eth0(), target, asker: sender, via: OWN };
        assert_eq!(parse(eth0(), NODE, frame.bytes()), Ok(Heard::WhoHas(heard)));
    }
}

#[test]
fn an_address_is_asked_for_from_nowhere_without_a_mac() {
    let sender = (Ipv6Addr::UNSPECIFIED.into(), OWN);
    let question = Probe { link: eth0(), target: EIP.into(), to: None, sender };
    let frame = probe(&question).unwrap();
    let bytes = frame.bytes();
    assert_eq!(bytes[OPTION..], [[14, 1].as_slice(), &OWN.octets()].concat());
    let heard = parse(eth0(), CLIENT, bytes);
    let nobody = (sender.0, MacAddr::zero());
    assert!(matches!(heard, Ok(Heard::WhoHas(it)) if it.asker == nobody), "{heard:?}");
    assert_eq!(parse(eth0(), OWN, bytes), Err(Dropped::Own), "the LAN sent it back");
}

#[test]
fn what_a_node_says_of_itself_proves_it_to_whom_it_is_said() {
    let to = Some((OWN_ADDRESS.into(), OWN));
    let is_at = IsAt { target: NODE_ADDRESS.into(), to, ..claim(None, NODE) };
    assert_eq!(hear(&advertisement()), Ok(Heard::IsAt(is_at)));
    let unasked = changed(&advertisement(), &[(MESSAGE + 4, &[0x20])]);
    assert_eq!(hear(&unasked), Ok(Heard::IsAt(IsAt { to: None, ..is_at })));
    let by_another = changed(&advertisement(), &[(SOURCE, &CLIENT_ADDRESS.octets())]);
    assert_eq!(hear(&by_another), Ok(Heard::IsAt(IsAt { via: MacAddr::zero(), ..is_at })));
}

#[test]
fn every_frame_that_was_cut_off_is_too_short() {
    for frame in [question(), advertisement()] {
        for len in 0..frame.len() {
            assert_eq!(hear(&frame[..len]), Err(Dropped::TooShort), "{len} bytes");
        }
    }
}

#[test]
fn every_message_that_was_cut_off_is_dropped() {
    for frame in [question(), advertisement()] {
        for len in (0..24).filter(|len| *len >= 4) {
            let heard = hear(&with_message(&frame, &frame[MESSAGE..][..len]));
            assert_eq!(heard, Err(Dropped::TooShort), "{len} bytes");
        }
        for len in 25..32 {
            let heard = hear(&with_message(&frame, &frame[MESSAGE..][..len]));
            assert_eq!(heard, Err(Dropped::BrokenOption), "{len} bytes");
        }
    }
}

#[test]
fn what_this_host_asks_itself_is_not_for_us() {
    let own = OWN.octets();
    assert_eq!(hear(&changed(&question(), &[(OPTION + 2, &own)])), Err(Dropped::Own));
}

/// RFC 4861 sections 7.1.1 and 7.1.2, rule by rule.
#[test]
fn what_must_be_discarded_is_dropped() {
    let group = MacAddr(0x33, 0x33, 0, 0, 0, 1).octets();
    for frame in [question(), advertisement()] {
        assert_eq!(hear(&changed(&frame, &[(HOPS, &[254])])), Err(Dropped::HopLimit));
        assert_eq!(hear(&changed(&frame, &[(MESSAGE + 1, &[1])])), Err(Dropped::OtherOperation));
        let mut broken = frame.clone();
        broken[MESSAGE + 2] ^= 1;
        assert_eq!(hear(&broken), Err(Dropped::Checksum));
        for target in [ALL_NODES, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED] {
            let heard = hear(&changed(&frame, &[(TARGET, &target.octets())]));
            assert_eq!(heard, Err(Dropped::Target));
        }
        for units in [0, 2, 5, 32, 255] {
            let heard = hear(&changed(&frame, &[(OPTION + 1, &[units])]));
            assert_eq!(heard, Err(Dropped::BrokenOption), "{units} units");
        }
        for source in [ALL_NODES, Ipv6Addr::LOCALHOST] {
            let heard = hear(&changed(&frame, &[(SOURCE, &source.octets())]));
            assert_eq!(heard, Err(Dropped::SenderAddress));
        }
        for mac in [[0; 6], [0xff; 6], group] {
            assert_eq!(hear(&changed(&frame, &[(OPTION + 2, &mac)])), Err(Dropped::SenderMac));
            assert_eq!(hear(&changed(&frame, &[(6, &mac)])), Err(Dropped::SourceMac));
        }
    }
    let with_mac = changed(&detection(), &[(OPTION, &[1, 1, 2, 0, 0, 0, 0, 0x64])]);
    assert_eq!(hear(&with_mac), Err(Dropped::SenderAddress));
    for destination in [EIP, ALL_NODES, solicited_node(CLIENT_ADDRESS)] {
        let heard = hear(&changed(&detection(), &[(DESTINATION, &destination.octets())]));
        assert_eq!(heard, Err(Dropped::SenderAddress), "{destination}");
    }
    let to_all = [(DESTINATION, &ALL_NODES.octets()[..])];
    assert_eq!(hear(&changed(&advertisement(), &to_all)), Err(Dropped::Solicited));
    let from_nowhere = [(SOURCE, &[0; 16][..])];
    assert_eq!(hear(&changed(&advertisement(), &from_nowhere)), Err(Dropped::SenderAddress));
}

#[test]
fn an_advertisement_that_names_no_mac_says_nothing() {
    let without = with_message(&advertisement(), &advertisement()[MESSAGE..][..LEN]);
    assert_eq!(hear(&without), Err(Dropped::NoMac));
    let of_the_source = changed(&advertisement(), &[(OPTION, &[1])]);
    assert_eq!(hear(&of_the_source), Err(Dropped::NoMac));
}

#[test]
fn options_that_say_two_things_say_nothing() {
    for frame in [question(), advertisement()] {
        let twice = [&frame[MESSAGE..], &frame[OPTION..]].concat();
        assert_eq!(hear(&with_message(&frame, &twice)), hear(&frame));
        let mut contradicting = twice;
        *contradicting.last_mut().unwrap() ^= 1;
        let heard = hear(&with_message(&frame, &contradicting));
        assert_eq!(heard, Err(Dropped::BrokenOption));
    }
}

#[test]
fn what_is_no_neighbor_discovery_is_dropped() {
    for (at, byte, reason) in [
        (ETHERTYPE + 1, 0x00, Dropped::NotToUs),
        (14, 0x45, Dropped::OtherAddressing),
        (NEXT_HEADER, 0, Dropped::OtherProtocol),
        (NEXT_HEADER, 44, Dropped::OtherProtocol),
        (MESSAGE, 133, Dropped::OtherOperation),
        (MESSAGE, 137, Dropped::OtherOperation),
    ] {
        assert_eq!(hear(&changed(&question(), &[(at, &[byte])])), Err(reason), "{byte} at {at}");
    }
    assert_eq!(hear(&changed(&question(), &[(0, &NODE.octets())])), Err(Dropped::NotToUs));
    assert_eq!(hear(&changed(&question(), &[(0, &[0xff; 6])])), Err(Dropped::NotToUs));
}

#[test]
fn a_message_without_its_headers_says_the_same() {
    let delivery = Delivery { source: CLIENT_ADDRESS, destination: GROUP, hop_limit: HOP_LIMIT };
    let heard = parse_icmpv6(eth0(), &own(), &delivery, &question()[MESSAGE..]);
    assert_eq!(heard, Ok(Heard::WhoHas(asked())));
    let routed = Delivery { hop_limit: 64, ..delivery };
    let heard = parse_icmpv6(eth0(), &own(), &routed, &question()[MESSAGE..]);
    assert_eq!(heard, Err(Dropped::HopLimit));
}

#[test]
fn what_is_for_all_and_comes_back_is_known_by_its_source() {
    let [nodes, _] = announcements(&own(), &claim(None, MacAddr::broadcast())).unwrap();
    let delivery = Delivery { source: OWN_ADDRESS, destination: ALL_NODES, hop_limit: HOP_LIMIT };
    let heard = |own: &Own| parse_icmpv6(eth0(), own, &delivery, &nodes.bytes()[MESSAGE..]);
    assert_eq!(heard(&own()), Err(Dropped::Own));
    assert_eq!(heard(&CLIENT.into()), Ok(Heard::IsAt(claim(None, MacAddr::zero()))));
}

#[test]
fn addresses_of_two_families_are_not_spoken_of_together() {
    let v4 = IpAddr::from([172, 22, 0, 100]);
    assert_eq!(answer(&own(), &IsAt { to: Some((v4, CLIENT)), ..claim(None, CLIENT) }), None);
    assert_eq!(answer(&own(), &claim(None, CLIENT)), None);
    let question = Probe { link: eth0(), target: EIP.into(), to: None, sender: (v4, OWN) };
    assert_eq!(probe(&question), None);
}

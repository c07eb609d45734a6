//! Which frames wake a responder: crafted ones, put on the wire by another host.

use std::net::IpAddr;

use porter_backends::{
    link::{Lan, Outcome},
    port::Links as _,
};
use porter_core::{Heed, Silence};

use crate::{
    apart::apart,
    host::{Host, eventually},
    lan::{EIP, NODE, OTHER_NODE, OWN, eth0, leading, name, settled},
};

/// Somebody asks everybody for the EIP. A test that looks for something else changes some bytes.
#[rustfmt::skip]
const QUESTION: [u8; 60] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  0x08, 0x06,
    0x00, 0x01,  0x08, 0x00,  6,  4,  0x00, 0x01,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x64,  172, 22, 0, 100,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  172, 22, 0, 188,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

const EIP_ASKED_FOR: Outcome = Outcome::Silent(Silence::NoEndpoint);
const SOMETHING_ELSE_ASKED_FOR: Outcome = Outcome::Silent(Silence::NotAnEip);

#[test]
fn questions_and_claims_to_us_and_to_all_pass() {
    apart(async || {
        let (_cable, other) = eth0().await;
        let lan = leading([(EIP, Err(Silence::NoEndpoint))]).await;

        for (frame, outcome) in [
            (with(0, &[]), EIP_ASKED_FOR),
            (with(0, &OWN.octets()), EIP_ASKED_FOR),
            (tagged(&[0x81, 0x00, 0xe0, 0x00]), EIP_ASKED_FOR),
            (with(21, &[2]), Outcome::Heard),
        ] {
            let before = lan.outcomes().count(outcome);
            put(&other, &lan, &frame).await;
            assert_eq!(lan.outcomes().count(outcome), before + 1, "{outcome:?} of {frame:02x?}");
        }
    });
}

#[test]
fn a_question_with_a_priority_is_answered_and_one_of_another_vlan_never() {
    apart(async || {
        let (_cable, other) = eth0().await;
        let lan = leading([(EIP, Ok(NODE))]).await;
        let answered = || lan.outcomes().count(Outcome::Answered);

        put(&other, &lan, &tagged(&[0x81, 0x00, 0xe0, 0x00])).await;
        assert_eq!(answered(), 1);
        put(&other, &lan, &tagged(&[0x81, 0x00, 0xe0, 0x07])).await;
        put(&other, &lan, &tagged(&[0x88, 0xa8, 0x00, 0x07])).await;
        put(&other, &lan, &tagged(&[0x88, 0xa8, 0x00, 0x00, 0x81, 0x00, 0x00, 0x07])).await;
        assert_eq!(answered(), 1);
        put(&other, &lan, &with(0, &[])).await;
        assert_eq!(answered(), 2);
    });
}

#[test]
fn what_is_strangers_business_wakes_nobody() {
    apart(async || {
        let (_cable, other) = eth0().await;
        let lan = leading([(EIP, Err(Silence::NoEndpoint))]).await;

        for frame in [
            with(0, &[0x02, 0, 0, 0, 0, 0x09]),
            tagged(&[0x81, 0x00, 0x00, 0x07]),
            with(21, &[3]),
            with(20, &[1, 1]),
            with(12, &[0x08, 0x00]),
            QUESTION[..20].to_vec(),
        ] {
            let before = met(&lan);
            put(&other, &lan, &frame).await;
            assert_eq!(met(&lan), before + 1, "{frame:02x?}");
        }
    });
}

#[test]
fn questions_that_need_not_be_heard_wake_nobody_be_the_responder_old_or_new() {
    apart(async || {
        let (cable, other) = eth0().await;
        let mut lan = leading([(EIP, Err(Silence::NoEndpoint))]).await;
        let outcomes = lan.outcomes();
        let count = |outcome| outcomes.count(outcome);
        let hears = async |lan: &Lan, frame: &[u8]| {
            let (before, asked) = (met(lan), count(EIP_ASKED_FOR));
            other.send(&[frame, &with(0, &[])]);
            let seen = eventually(async || count(EIP_ASKED_FOR) > asked);
            assert!(seen.await, "a question about the EIP has not passed");
            met(lan) > before + 1
        };
        let about_another = with(41, &[1]);
        let gratuitous = with(38, &[172, 22, 0, 100]);

        assert!(hears(&lan, &about_another).await);
        let IpAddr::V4(eip) = EIP else { unreachable!("it is one of IPv4") };
        lan.heed(name(), Heed::Only([eip..=eip].into()));
        assert!(!hears(&lan, &about_another).await);
        assert!(hears(&lan, &gratuitous).await);
        cable.change_mac(OTHER_NODE).await;
        settled(&mut lan, |seen| seen.is_some_and(|seen| seen.mac == OTHER_NODE)).await;
        assert!(!hears(&lan, &about_another).await);
        lan.heed(name(), Heed::Everything);
        assert!(hears(&lan, &about_another).await);
    });
}

/// The question with other bytes from `at` on.
pub(crate) fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = QUESTION.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

fn tagged(tag: &[u8]) -> Vec<u8> {
    [&QUESTION[..12], tag, &QUESTION[12..]].concat()
}

/// Puts a frame on the wire, and then a question that passes for certain, by whose outcome one can
/// tell that the frame before it has met its own.
async fn put(other: &Host, lan: &Lan, frame: &[u8]) {
    let outcomes = lan.outcomes();
    let before = outcomes.count(SOMETHING_ELSE_ASKED_FOR);
    other.send(&[frame, &with(41, &[1])]);
    let seen = eventually(async || outcomes.count(SOMETHING_ELSE_ASKED_FOR) > before);
    assert!(seen.await, "a plain question has not passed");
}

/// How many frames have met any outcome.
fn met(lan: &Lan) -> u64 {
    Outcome::all().map(|outcome| lan.outcomes().count(outcome)).sum()
}

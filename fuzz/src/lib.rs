//! What must hold for any input, as plain functions: a fuzzer calls them with inputs that it makes
//! up, and a test with those in `corpus`, which a person has named.

use std::net::IpAddr;

use porter_core::{
    IsAt, LinkName, MacAddr, Probe, WhoHas,
    wire::{self, Dropped, Frame, Heard},
};

/// The MAC of the link on which everything is heard.
pub const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);

/// Hears a frame, and says something about the same addresses.
///
/// Whatever the frame is, nothing panics, padding changes nothing, and what is said is heard by
/// others as it was meant. Returns what was heard.
pub fn frame(bytes: &[u8]) -> Result<Heard, Dropped> {
    let heard = hear(OWN, bytes);
    if heard != Err(Dropped::TooShort) {
        let padded = [bytes, &[0xa5; 18]].concat();
        assert_eq!(hear(OWN, &padded), heard, "padding was read");
    }
    match heard {
        Ok(Heard::WhoHas(question)) => answer(question),
        Ok(Heard::IsAt(is_at)) => repeat(is_at),
        Err(_) => {}
    }
    heard
}

fn answer(question: WhoHas) {
    let WhoHas { link, target, asker, via } = question;
    assert!(is_host(asker.1) && is_host(via), "{question:?} has no sender");

    let is_at = IsAt { link, target, mac: NODE, to: Some(asker), via };
    let answer = wire::answer(OWN, &is_at).expect("a question can be answered in its own family");
    expect(via, &answer, &Heard::IsAt(IsAt { via: OWN, ..is_at }));

    let probe = Probe { link, target, to: Some(NODE), sender: asker };
    let frame = wire::probe(&probe).expect("what was asked can be asked again");
    expect(NODE, &frame, &Heard::WhoHas(WhoHas { via: asker.1, ..question }));
}

fn repeat(is_at: IsAt) {
    assert!(is_host(is_at.mac) && is_host(is_at.via), "{is_at:?} has no sender");
    let again = Heard::IsAt(IsAt { via: OWN, ..is_at });
    if is_at.to.is_some() {
        let reply = wire::answer(OWN, &is_at).expect("a reply can be repeated");
        expect(is_at.via, &reply, &again);
    } else {
        let is_at = IsAt { via: MacAddr::broadcast(), ..is_at };
        let forms = wire::announcements(OWN, &is_at).expect("an announcement can be repeated");
        forms.iter().for_each(|form| expect(NODE, form, &again));
    }
}

/// The host with this MAC hears this. Nobody hears of an address that no host can have, which a
/// question may well be about.
fn expect(own: MacAddr, frame: &Frame, meant: &Heard) {
    assert!(frame.bytes().len() >= 60, "{frame:?} is too short for Ethernet");
    let heard = hear(own, frame.bytes());
    match meant {
        Heard::IsAt(is_at) if !is_unicast(is_at.target) => {
            assert_eq!(heard, Err(Dropped::SenderAddress), "{frame:?}");
        }
        Heard::IsAt(_) | Heard::WhoHas(_) => assert_eq!(heard, Ok(*meant), "{frame:?}"),
    }
}

fn hear(own: MacAddr, frame: &[u8]) -> Result<Heard, Dropped> {
    let link = LinkName::new("eth0").expect("a good name");
    wire::parse(link, own, frame)
}

fn is_host(mac: MacAddr) -> bool {
    mac.is_unicast() && !mac.is_zero()
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !broadcast && !address.is_multicast() && !address.is_loopback() && !address.is_unspecified()
}

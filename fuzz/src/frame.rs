//! Frames from the LAN, and what is said there.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use porter_core::{
    IsAt, LinkName, MacAddr, Probe, WhoHas,
    wire::{self, Delivery, Dropped, Frame, Heard, Own},
};

/// The MAC of the link on which everything is heard.
pub const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const OWN_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);

/// Hears a frame, and says something about the same addresses.
///
/// Whatever the frame is, nothing panics, padding changes nothing, and what is said is heard by
/// others as it was meant. Takes the bytes for addresses, too, and says something about these.
/// Returns what was heard.
pub fn frame(bytes: &[u8]) -> Result<Heard, Dropped> {
    say(bytes);
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

/// As whom everything is said.
fn own() -> Own {
    Own { mac: OWN, addresses: vec![Ipv6Net::from(OWN_ADDRESS)] }
}

fn answer(question: WhoHas) {
    let WhoHas { link, target, asker, via } = question;
    let told = IsAt { link, target, mac: NODE, to: Some(asker), via };
    if target.is_ipv6() {
        return answer_solicitation(question, told);
    }
    assert!(is_host(asker.1) && is_host(via), "{question:?} has no sender");
    let answer = wire::answer(&own(), &told).expect("a question can be answered in its own family");
    expect(via, &answer, &Heard::IsAt(IsAt { via: OWN, ..told }));

    let probe = Probe { link, target, to: Some(NODE), sender: asker };
    let frame = wire::probe(&probe).expect("what was asked can be asked again");
    expect(NODE, &frame, &Heard::WhoHas(WhoHas { via: asker.1, ..question }));
}

/// Who asks for an address of IPv6 may not tell its MAC, and then the kernel has to know it; who has no
/// address yet is told with everybody else.
fn answer_solicitation(question: WhoHas, told: IsAt) {
    let WhoHas { link, target, asker: (address, mac), via } = question;
    let has_address = !address.is_unspecified();
    let heard = |to: MacAddr| {
        let is_at = IsAt { to: has_address.then_some((address, to)), ..told };
        Heard::IsAt(IsAt { via: speaker(&is_at), ..is_at })
    };
    if is_host(mac) || !has_address {
        let answer = wire::answer(&own(), &told).expect("a solicitation can be answered");
        expect(mac, &answer, &heard(mac));
    } else {
        assert!(via.is_zero(), "{question:?} is from nobody");
    }
    if let (IpAddr::V6(source), IpAddr::V6(destination), true) = (target, address, has_address) {
        let message = wire::answer_icmpv6(&told).expect("a solicitation can be answered");
        let by = Delivery { source, destination, hop_limit: 255 };
        let by_kernel = wire::parse_icmpv6(link, &mac.into(), &by, &message);
        assert_eq!(by_kernel, Ok(heard(mac)), "{message:?}");
    }
    if is_host(mac) {
        let probe = Probe { link, target, to: Some(NODE), sender: (address, mac) };
        let frame = wire::probe(&probe).expect("what was asked can be asked again");
        expect(NODE, &frame, &Heard::WhoHas(question));
    }
}

/// Who is heard to speak of an address of IPv6. One host is told from the address itself; all are told from
/// this link, which is nobody for whom it is about, unless it is about its own.
fn speaker(is_at: &IsAt) -> MacAddr {
    match is_at.to.is_some() || is_at.target == IpAddr::V6(OWN_ADDRESS) {
        true => is_at.mac,
        false => MacAddr::zero(),
    }
}

fn repeat(is_at: IsAt) {
    let v6 = is_at.target.is_ipv6();
    let via_host = is_host(is_at.via) || v6 && is_at.via.is_zero();
    assert!(is_host(is_at.mac) && via_host, "{is_at:?} has no sender");
    let via = if v6 { speaker(&is_at) } else { OWN };
    let again = Heard::IsAt(IsAt { via, ..is_at });
    if let Some((_, mac)) = is_at.to {
        let to_whom = if v6 { mac } else { is_at.via };
        let reply = wire::answer(&own(), &IsAt { via: to_whom, ..is_at });
        expect(to_whom, &reply.expect("a reply can be repeated"), &again);
    } else {
        let is_at = IsAt { via: MacAddr::broadcast(), ..is_at };
        let forms = wire::announcements(&own(), &is_at).expect("an announcement can be repeated");
        forms.iter().for_each(|form| expect(NODE, form, &again));
    }
}

/// Says something about whatever addresses that hosts can have, of either family.
fn say(mut bytes: &[u8]) {
    let link = link();
    let is_v6 = take::<1>(&mut bytes)[0] & 2 != 0;
    let (target, asker): (IpAddr, IpAddr) = match is_v6 {
        false => (take::<4>(&mut bytes).into(), take::<4>(&mut bytes).into()),
        true => (take::<16>(&mut bytes).into(), take::<16>(&mut bytes).into()),
    };
    let macs: [MacAddr; 3] = [(); 3].map(|()| take::<6>(&mut bytes).into());
    let [mac, asker_mac, via] = macs;
    let are_apart = is_unicast(target) && is_unicast(asker) && asker != target;
    if are_apart && macs.into_iter().all(is_host) {
        // A solicitation comes from who asks, and relays are unknown to IPv6.
        let via = if is_v6 { asker_mac } else { via };
        let asker = (asker, asker_mac);
        answer(WhoHas { link, target, asker, via });
        repeat(IsAt { link, target, mac, to: Some(asker), via });
        repeat(IsAt { link, target, mac, to: None, via });
    }
}

/// The first bytes, and zeros where there are none.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (first, rest) = bytes.split_at(N.min(bytes.len()));
    *bytes = rest;
    let mut taken = [0; N];
    taken[..first.len()].copy_from_slice(first);
    taken
}

/// The host with this MAC hears this. Nobody hears of an address that no host can have, which a
/// question may well be about, nor its own solicitation.
fn expect(own: MacAddr, frame: &Frame, meant: &Heard) {
    assert!(frame.bytes().len() >= 60, "{frame:?} is too short for Ethernet");
    let heard = hear(own, frame.bytes());
    match meant {
        Heard::IsAt(is_at) if !is_unicast(is_at.target) => {
            assert_eq!(heard, Err(Dropped::SenderAddress), "{frame:?}");
        }
        Heard::WhoHas(question) if question.target.is_ipv6() && question.asker.1 == own => {
            assert_eq!(heard, Err(Dropped::Own), "{frame:?}");
        }
        Heard::IsAt(_) | Heard::WhoHas(_) => assert_eq!(heard, Ok(*meant), "{frame:?}"),
    }
}

fn hear(own: MacAddr, frame: &[u8]) -> Result<Heard, Dropped> {
    wire::parse(link(), own, frame)
}

fn link() -> LinkName {
    LinkName::new("eth0").expect("a good name")
}

fn is_host(mac: MacAddr) -> bool {
    mac.is_unicast() && !mac.is_zero()
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !broadcast && !address.is_multicast() && !address.is_loopback() && !address.is_unspecified()
}

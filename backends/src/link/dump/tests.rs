//! What is read from messages that a kernel with such interfaces sends.

use std::net::{Ipv4Addr, Ipv6Addr};

use rtnetlink::{
    RouteMessageBuilder, RouteNextHopBuilder,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressHeader, AddressHeaderFlags},
        link::{InfoKind, LinkHeader},
    },
};

use super::*;

const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const UP: LinkFlags = LinkFlags::from_bits_retain(
    LinkFlags::Up.bits()
        | LinkFlags::Running.bits()
        | LinkFlags::LowerUp.bits()
        | LinkFlags::Broadcast.bits()
        | LinkFlags::Multicast.bits(),
);

/// An Ethernet interface that is up.
fn ethernet(index: u32, name: &str) -> LinkMessage {
    of_type(LinkLayerType::Ether, index, name, UP, &MAC.octets())
}

fn of_type(
    link_layer_type: LinkLayerType,
    index: u32,
    name: &str,
    flags: LinkFlags,
    address: &[u8],
) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header = LinkHeader { index, link_layer_type, flags, ..LinkHeader::default() };
    message.attributes =
        vec![LinkAttribute::IfName(name.into()), LinkAttribute::Address(address.into())];
    message
}

fn kind(kind: InfoKind) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])
}

fn port(master: u32, kind: InfoPortKind) -> [LinkAttribute; 2] {
    [LinkAttribute::Controller(master), LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(kind)])]
}

fn with(mut link: LinkMessage, attributes: impl IntoIterator<Item = LinkAttribute>) -> LinkMessage {
    link.attributes.extend(attributes);
    link
}

/// An address of the interface of index 7.
fn address(text: &str, scope: AddressScope, flags: AddressFlags) -> AddressMessage {
    let net: IpNet = text.parse().expect("an address with its prefix length");
    let family = if net.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let mut message = AddressMessage::default();
    message.header = AddressHeader {
        family,
        prefix_len: net.prefix_len(),
        flags: AddressHeaderFlags::empty(),
        scope,
        index: 7,
    };
    let local = net.addr().is_ipv4().then_some(AddressAttribute::Local(net.addr()));
    message.attributes =
        vec![AddressAttribute::Address(net.addr()), AddressAttribute::Flags(flags)];
    message.attributes.extend(local);
    message
}

fn named(name: &str) -> LinkName {
    LinkName::new(name).expect("a good name")
}

/// A message as it is read from a socket.
fn received(link: &LinkMessage) -> LinkMessage {
    let mut sent = NetlinkMessage::from(RouteNetlinkMessage::NewLink(link.clone()));
    sent.finalize();
    let mut bytes = vec![0; sent.buffer_len()];
    sent.serialize(&mut bytes);
    let read = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).expect("it is whole");
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = read.payload else {
        panic!("{:?} is about no link", read.payload)
    };
    link
}

/// Why the first of these is no link, if it is none.
fn why(links: &[LinkMessage]) -> Option<Unusable> {
    let links: Vec<_> = links.iter().map(received).collect();
    let first = name(&links[0]).expect("it has a name");
    interfaces(&links, &[], &Gateways::new())[&first].as_ref().err().copied()
}

#[test]
fn what_is_no_link_is_told_with_the_reason() {
    let lo = of_type(LinkLayerType::Loopback, 1, "lo", UP | LinkFlags::Loopback, &[0; 6]);
    assert_eq!(why(&[lo]), Some(Unusable::Loopback));

    let mut dummy = with(ethernet(7, "kube-ipvs0"), [kind(InfoKind::Dummy)]);
    dummy.header.flags |= LinkFlags::Noarp;
    assert_eq!(why(&[dummy]), Some(Unusable::NoArp));

    let flags = UP | LinkFlags::Pointopoint | LinkFlags::Noarp;
    let tun = with(of_type(LinkLayerType::None, 7, "tun0", flags, &[]), [kind(InfoKind::Tun)]);
    assert_eq!(why(&[tun]), Some(Unusable::NoEthernet));
    let infiniband = of_type(LinkLayerType::Infiniband, 7, "ib0", UP, &[1; 20]);
    assert_eq!(why(&[infiniband]), Some(Unusable::NoEthernet));
    let unnamed = of_type(LinkLayerType::Ether, 7, "eth0", UP, &[0; 6]);
    assert_eq!(why(&[unnamed]), Some(Unusable::NoEthernet));
}

#[test]
fn a_port_names_whose_port_it_is_and_one_of_open_vswitch_does_not() {
    for (of, kind) in [
        ("br0", InfoPortKind::Bridge),
        ("bond0", InfoPortKind::Bond),
        ("team0", InfoPortKind::Team),
    ] {
        let port = with(ethernet(7, "eth0"), port(8, kind));
        assert_eq!(why(&[port, ethernet(8, of)]), Some(Unusable::Port { of: named(of) }));
    }
    // A virtual function is tied to the interface that stands in for it without a kind.
    let function = with(ethernet(7, "eth1"), [LinkAttribute::Controller(8)]);
    assert_eq!(why(&[function, ethernet(8, "eth0")]), Some(Unusable::Port { of: named("eth0") }));

    let switched = with(ethernet(7, "eth0"), port(8, InfoPortKind::Other(OPEN_VSWITCH.into())));
    assert_eq!(why(&[switched, ethernet(8, "ovs-system")]), Some(Unusable::SwitchPort));
}

#[test]
fn whatever_hears_a_lan_of_its_own_is_a_link() {
    let leaf = |name, of| with(ethernet(7, name), [kind(of), LinkAttribute::Link(2)]);
    for link in [
        ethernet(7, "eth0"),
        leaf("eth0.7", InfoKind::Vlan),
        leaf("macvlan0", InfoKind::MacVlan),
        with(ethernet(7, "br0"), [kind(InfoKind::Bridge)]),
        with(ethernet(7, "bond0"), [kind(InfoKind::Bond)]),
        with(ethernet(7, "tap0"), [kind(InfoKind::Tun)]),
        with(ethernet(7, "eth0"), port(8, InfoPortKind::Vrf)),
        with(ethernet(7, "eth0"), [LinkAttribute::Controller(0)]),
    ] {
        assert_eq!(why(&[link, ethernet(8, "other")]), None);
    }
}

#[test]
fn carrier_needs_a_link_that_is_up_and_runs() {
    let down = [LinkFlags::Up, LinkFlags::Running, LinkFlags::LowerUp].map(|flag| UP - flag);
    for (flags, carrier) in [(UP, true)].into_iter().chain(down.map(|flags| (flags, false))) {
        let link = of_type(LinkLayerType::Ether, 7, "eth0", flags, &MAC.octets());
        let seen = &interfaces(&[link], &[], &Gateways::new())[&named("eth0")];
        assert_eq!(seen.as_ref().map(|seen| seen.link.carrier), Ok(carrier), "{flags}");
    }
}

#[test]
fn only_addresses_that_this_host_may_use_on_the_lan_are_its_own() {
    let none = AddressFlags::empty();
    let addresses = [
        address("172.22.0.3/24", AddressScope::Universe, AddressFlags::Permanent),
        address("172.22.0.4/24", AddressScope::Universe, AddressFlags::Secondary),
        address("fd00::3/64", AddressScope::Universe, none),
        address("fe80::3/64", AddressScope::Link, AddressFlags::Permanent),
        address("10.0.0.1/32", AddressScope::Host, none),
        address("10.0.0.2/0", AddressScope::Universe, none),
        address("fd00::4/64", AddressScope::Universe, AddressFlags::Tentative),
        address(
            "fd00::5/64",
            AddressScope::Universe,
            AddressFlags::Optimistic | AddressFlags::Tentative,
        ),
        address("fd00::6/64", AddressScope::Universe, AddressFlags::Dadfailed),
    ];
    let seen =
        interfaces(&[ethernet(7, "eth0"), ethernet(8, "eth1")], &addresses, &Gateways::new());
    let own = ["172.22.0.3/24", "172.22.0.4/24", "fd00::3/64", "fe80::3/64"];
    let own = own.map(|net| net.parse().expect("a net")).to_vec();
    let link = Link { mac: MAC, addresses: own, gateways: BTreeSet::new(), carrier: true };
    assert_eq!(seen[&named("eth0")], Ok(Seen { index: 7, link }));
    assert!(seen[&named("eth1")].as_ref().is_ok_and(|seen| seen.link.addresses.is_empty()));
}

#[test]
fn of_two_ends_the_near_one_is_this_hosts_and_flags_of_an_old_kernel_count_too() {
    let mut tunnel = address("172.22.0.3/32", AddressScope::Universe, AddressFlags::empty());
    tunnel.attributes = vec![
        AddressAttribute::Address([172, 22, 0, 9].into()),
        AddressAttribute::Local([172, 22, 0, 3].into()),
    ];
    assert_eq!(net(&tunnel).map(|net| net.addr()), Some([172, 22, 0, 3].into()));

    tunnel.header.flags = AddressHeaderFlags::Tentative;
    assert_eq!(net(&tunnel), None);
}

type Route = RouteMessageBuilder<Ipv4Addr>;

fn route(build: impl FnOnce(Route) -> Route) -> RouteMessage {
    build(Route::new()).build()
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 22, 0, last)
}

fn behind(routes: &[RouteMessage]) -> Vec<(u32, Vec<IpAddr>)> {
    let gateways = gateways(routes).into_iter();
    gateways.map(|(index, gateways)| (index, gateways.into_iter().collect())).collect()
}

#[test]
fn a_default_route_names_its_gateway_and_any_other_route_none() {
    let default = route(|it| it.gateway(ip(1)).output_interface(7));
    assert_eq!(behind(&[default]), [(7, vec![ip(1).into()])]);
    let through_no_gateway = route(|it| it.output_interface(7));
    assert_eq!(behind(&[through_no_gateway]), []);
    let to_a_network =
        route(|it| it.destination_prefix(ip(0), 24).gateway(ip(1)).output_interface(7));
    assert_eq!(behind(&[to_a_network]), []);
    let of_another_table = route(|it| it.gateway(ip(1)).output_interface(7).table_id(100));
    assert_eq!(behind(&[of_another_table]), []);
    let to_nowhere = route(|it| it.gateway(ip(1)).output_interface(7).kind(RouteType::Unreachable));
    assert_eq!(behind(&[to_nowhere]), []);
}

#[test]
fn a_route_of_several_paths_names_all_gateways() {
    let hop = |index, last| {
        let hop = RouteNextHopBuilder::new_ipv4().interface(index);
        hop.via(ip(last).into()).expect("an IPv4 gateway").build()
    };
    let several = route(|it| it.multipath(vec![hop(7, 1), hop(8, 2)]));
    assert_eq!(behind(&[several]), [(7, vec![ip(1).into()]), (8, vec![ip(2).into()])]);
}

#[test]
fn gateways_of_both_families_are_behind_their_link() {
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let default = RouteMessageBuilder::<Ipv6Addr>::new().gateway(router).output_interface(7);
    let gateways = gateways(&[default.build(), route(|it| it.gateway(ip(1)).output_interface(7))]);
    let seen = &interfaces(&[ethernet(7, "eth0")], &[], &gateways)[&named("eth0")];
    let both = [ip(1).into(), router.into()].into();
    assert_eq!(seen.as_ref().map(|seen| &seen.link.gateways), Ok(&both));
}

#[test]
fn packets_leave_by_the_link_of_a_route_unless_it_is_of_this_host_or_to_nowhere() {
    let to = |kind| route(|it| it.destination_prefix(ip(1), 32).output_interface(7).kind(kind));
    assert_eq!(way(&to(RouteType::Unicast)), Ok(7));
    assert_eq!(way(&to(RouteType::Local)), Err(Unroutable::Own));
    for nowhere in [RouteType::Unreachable, RouteType::BlackHole, RouteType::Prohibit] {
        assert_eq!(way(&to(nowhere)), Err(Unroutable::NoRoute));
    }
}

//! What is written in an Eip, and what it says of that: ranges, and conditions where the original
//! had a webhook.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::{net::IpAddr, time::Duration};

use bench::*;
use porter_core::{Eip, Input, Link, LinkName, Unroutable, Unusable, keys};

/// `firstIP`, `lastIP`, `poolSize`, `v4`, `usage` and `occupied` of an Eip with this address.
fn counted(address: &str) -> (String, String, i64, bool, i64, bool) {
    let mut bench = Bench::leading();
    bench.eip(&pool(), Some(layer2(address)));
    let status = bench.status("pool");
    let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
    let (first, last) = (text(status.first), text(status.last));
    (first, last, status.pool_size, status.v4(), status.usage(), status.occupied())
}

// Addresses and arithmetic.

#[test]
fn an_eip_counts_the_addresses_of_each_form_in_which_they_are_written() {
    let one = ("172.22.0.188".into(), "172.22.0.188".into(), 1, true, 0, false);
    assert_eq!(counted("172.22.0.188"), one);
    let masked = ("192.168.0.0".into(), "192.168.0.255".into(), 256, true, 0, false);
    assert_eq!(counted("192.168.0.1/24"), masked, "host bits mean nothing");
    let range = ("172.22.0.188".into(), "172.22.0.200".into(), 13, true, 0, false);
    assert_eq!(counted("172.22.0.188-172.22.0.200"), range, "both ends are in it");
    let six = ("fd00::".into(), "fd00::ffff:ffff:ffff:ffff".into(), i64::MAX, false, 0, false);
    assert_eq!(counted("fd00::/64"), six, "what a status cannot count is the most that it can");
}

#[test]
fn the_first_and_the_last_address_of_a_network_are_handed_out_like_any_other() {
    let mut bench = Bench::leading();
    bench.eip(&pool(), Some(layer2("172.22.1.0/24")));
    bench.apply(&web(), asking());
    bench.apply(&named("last"), annotated(ADDRESS, "172.22.1.255"));
    assert_eq!(bench.shows(&web()), ["172.22.1.0"]);
    assert_eq!(bench.shows(&named("last")), ["172.22.1.255"]);
}

#[test]
fn a_malformed_address_is_quoted_on_the_eip_which_serves_once_it_is_corrected() {
    let mut bench = Bench::leading();
    bench.apply_eip("pool", layer2("172.22.0.188 - 172.22.0.200"));
    bench.apply(&web(), asking());
    bench.calm();
    assert_eq!(
        bench.ready("pool"),
        "False InvalidAddress: spec.address: \"172.22.0.188 - 172.22.0.200\" is no address, CIDR \
         or range; write 192.0.2.1, 192.0.2.0/24 or 192.0.2.1-192.0.2.9, without spaces"
    );
    assert_eq!((bench.status("pool").pool_size, bench.status("pool").first), (0, None));
    assert_eq!(
        bench.word(&web()),
        "False NoEip: no Eip gives IPv4 addresses to namespace default: Eip pool is not served \
         (InvalidAddress); create a layer2 Eip for it, or change one of these"
    );

    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188-172.22.0.200".to_owned());
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
    assert_eq!(
        (bench.status("pool").pool_size, bench.shows(&web())),
        (13, vec!["172.22.0.188".into()])
    );
}

#[test]
fn a_range_that_runs_backwards_or_from_one_family_into_the_other_is_told_how_to_be_written() {
    let mut bench = Bench::leading();
    bench.apply_eip("back", layer2("172.22.0.9-172.22.0.3"));
    bench.apply_eip("mixed", layer2("172.22.0.9-fd00::1"));
    bench.calm();
    assert_eq!(
        bench.ready("back"),
        "False InvalidAddress: spec.address: the range 172.22.0.9-172.22.0.3 runs backwards; write \
         172.22.0.3-172.22.0.9"
    );
    assert_eq!(
        bench.ready("mixed"),
        "False InvalidAddress: spec.address: the range 172.22.0.9-fd00::1 mixes IPv4 and IPv6; \
         make an Eip of each"
    );
}

// What the original's webhook refused, as conditions.

#[test]
fn the_younger_of_two_eips_that_overlap_names_the_older_and_is_ready_when_that_goes() {
    let mut bench = Bench::leading();
    bench.apply_eip("younger", layer2("172.22.0.200-172.22.0.210"));
    bench.apply(&web(), annotated(EIP, "younger"));
    bench.calm();
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
    assert_eq!(
        bench.ready("younger"),
        "False Overlaps: spec.address 172.22.0.200-172.22.0.210 overlaps the older Eip pool \
         (172.22.0.188-172.22.0.200); change the range of one of them"
    );
    assert!(bench.word(&web()).starts_with("False EipNotServed: Eip younger is not served"));
    assert_eq!(bench.shows(&web()), [""; 0]);

    bench.delete_eip(&pool());
    assert!(!bench.has_eip("pool"));
    assert_eq!(bench.ready("younger"), "True Served: served on eth0");
    assert_eq!(bench.shows(&web()), ["172.22.0.200"]);
}

#[test]
fn an_eip_of_another_protocol_is_in_the_way_too_and_touching_is_no_overlap() {
    let mut bench = Bench::leading();
    let bgp = Eip { protocol: Some("bgp".to_owned()), ..layer2("10.0.0.0/24") };
    bench.apply_eip("bgp", bgp);
    bench.apply_eip("within", layer2("10.0.0.7"));
    bench.apply_eip("beside", layer2("172.22.0.201-172.22.0.210"));
    bench.calm();
    assert!(bench.ready("within").starts_with("False Overlaps: spec.address 10.0.0.7 overlaps"));
    assert_eq!(bench.ready("beside"), "True Served: served on eth0");
}

#[test]
fn an_eip_without_an_interface_or_with_none_that_can_be_says_what_to_write() {
    let mut bench = Bench::leading();
    bench.apply_eip("none", Eip { interface: None, ..layer2("172.22.1.1") });
    let reach = Some("can_reach:eth0".to_owned());
    bench.apply_eip("reach", Eip { interface: reach, ..layer2("172.22.1.2") });
    bench.calm();
    assert_eq!(
        bench.ready("none"),
        "False NoInterface: spec.interface is empty; set it to the name of the nodes' network \
         interface on the LAN, such as eth0"
    );
    assert_eq!(
        bench.ready("reach"),
        "False InvalidInterface: spec.interface \"can_reach:eth0\" names no address; write one that \
         every node reaches by its LAN, such as can_reach:192.0.2.1"
    );
}

#[test]
fn an_eip_on_an_interface_that_does_not_exist_is_ready_as_soon_as_it_does() {
    let mut bench = Bench::leading();
    let eth1 = Some("eth1".to_owned());
    bench.apply_eip("pool", Eip { interface: eth1, ..layer2("172.22.0.188-172.22.0.200") });
    bench.apply(&web(), asking());
    bench.calm();
    let missing = "the node that leads has no interface eth1; correct spec.interface of the Eip, \
                   or run Porter only where it exists";
    assert_eq!(bench.ready("pool"), format!("False InterfaceMissing: {missing}"));
    let word = format!("False InterfaceMissing: 172.22.0.188 is not answered: {missing}");
    assert_eq!(bench.word(&web()), word);

    bench.tell(Input::Link(LinkName::new("eth1").unwrap(), Ok(link())));
    bench.calm();
    assert_eq!(bench.ready("pool"), "True Served: served on eth1");
    assert!(bench.word(&web()).starts_with("True Announced: 172.22.0.188 is at node"));
}

#[test]
fn an_interface_of_no_use_is_said_on_eip_and_service_with_what_to_name_instead() {
    let mut bench = Bench::serving();
    let br0 = LinkName::new("br0").unwrap();
    bench.tell(Input::Link(eth0(), Err(Unusable::Port { of: br0 })));
    bench.tell(Input::Link(br0, Ok(link())));
    assert_eq!(bench.ask(188), None);
    bench.nobody_else_leads();
    let port = "eth0 of the node that leads is a port of br0; set spec.interface of the Eip to br0";
    assert_eq!(bench.ready("pool"), format!("False InterfaceUnusable: {port}"));
    let word = format!("False InterfaceUnusable: 172.22.0.188 is not answered: {port}");
    assert_eq!(bench.word(&web()), word);
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);

    bench.edit_eip(&pool(), |eip| eip.interface = Some("br0".to_owned()));
    bench.calm();
    assert_eq!(bench.ready("pool"), "True Served: served on br0");
    assert_eq!((bench.ask(188), bench.ask_on(br0, 188)), (None, Some(mac(9))));
}

#[test]
fn every_reason_for_which_an_interface_is_of_no_use_has_its_own_advice() {
    let mut bench = Bench::serving();
    for (why, said) in [
        (Unusable::Loopback, "InterfaceUnusable: eth0 is the loopback interface of the node"),
        (Unusable::Missing, "InterfaceMissing: the node that leads has no interface eth0"),
        (
            Unusable::NoArp,
            "InterfaceUnusable: eth0 of the node that leads has ARP and NDP switched off",
        ),
        (
            Unusable::NoEthernet,
            "InterfaceUnusable: eth0 of the node that leads carries no Ethernet",
        ),
        (
            Unusable::SwitchPort,
            "InterfaceUnusable: eth0 of the node that leads is a port of Open vSwitch",
        ),
    ] {
        bench.tell(Input::Link(eth0(), Err(why)));
        bench.nobody_else_leads();
        let ready = bench.ready("pool");
        assert!(ready.starts_with(&format!("False {said}")), "{ready}");
        assert_eq!(bench.ask(188), None);
    }
    bench.tell(Input::Link(eth0(), Ok(link())));
    bench.calm();
    assert_eq!(
        (bench.ready("pool").as_str(), bench.ask(188)),
        ("True Served: served on eth0", Some(mac(9)))
    );
}

#[test]
fn an_eip_is_served_on_the_link_by_which_its_address_is_reached_and_moves_with_it() {
    let mut bench = Bench::serving();
    let (gateway, eth1) = (eip(1), LinkName::new("eth1").unwrap());
    bench.tell(Input::Link(eth1, Ok(Link { mac: mac(33), ..link() })));
    bench.edit_eip(&pool(), |eip| eip.interface = Some("can_reach:172.22.0.1".to_owned()));
    assert_eq!(bench.routed, [gateway].into());
    assert_eq!((bench.ask(188), bench.ask_on(eth1, 188)), (None, None), "it is not told yet");
    assert_eq!(bench.ready("pool"), "True Served: served on eth0", "nothing is known against it");

    bench.tell(Input::Route(gateway, Ok(eth0())));
    bench.calm();
    assert_eq!((bench.ask(188), bench.ask_on(eth1, 188)), (Some(mac(9)), None));
    assert_eq!(bench.ready("pool"), "True Served: served on eth0, by which 172.22.0.1 is reached");

    bench.announced.clear();
    bench.replies = false;
    bench.tell(Input::Route(gateway, Ok(eth1)));
    assert_eq!(bench.ask(188), None, "it moves whether that can be written or not");
    bench.replies = true;
    bench.run(Duration::from_secs(5));
    assert_eq!((bench.ask(188), bench.ask_on(eth1, 188)), (None, Some(mac(9))));
    assert_eq!(bench.ready("pool"), "True Served: served on eth1, by which 172.22.0.1 is reached");
    assert!(bench.announced.iter().all(|is_at| is_at.link == eth1));
    assert_eq!(bench.announced.len(), 5);

    bench.edit_eip(&pool(), |eip| eip.interface = Some("eth0".to_owned()));
    assert_eq!((bench.ask(188), bench.ask_on(eth1, 188)), (Some(mac(9)), None));
    assert_eq!(bench.routed, [].into());
}

#[test]
fn an_eip_whose_address_no_link_leads_to_says_so_and_is_served_once_one_does() {
    let mut bench = Bench::serving();
    bench.edit_eip(&pool(), |eip| eip.interface = Some("can_reach:172.22.0.1".to_owned()));
    bench.tell(Input::Route(eip(1), Err(Unroutable::NoRoute)));
    bench.nobody_else_leads();
    let lack = "no route of the node that leads goes to 172.22.0.1; correct spec.interface of the \
                Eip, or give the node a route";
    assert_eq!(bench.ready("pool"), format!("False NoRoute: {lack}"));
    let word = format!("False NoRoute: 172.22.0.188 is not answered: {lack}");
    assert_eq!((bench.word(&web()), bench.ask(188)), (word, None));
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);

    bench.tell(Input::Route(eip(1), Err(Unroutable::Own)));
    bench.calm();
    let ready = bench.ready("pool");
    assert!(ready.starts_with("False NoRoute: 172.22.0.1 is an address of the node"), "{ready}");

    let port = Unusable::Port { of: LinkName::new("br0").unwrap() };
    let eth1 = LinkName::new("eth1").unwrap();
    bench.tell(Input::Link(eth1, Err(port)));
    bench.tell(Input::Route(eip(1), Ok(eth1)));
    bench.nobody_else_leads();
    assert_eq!(
        bench.ready("pool"),
        "False InterfaceUnusable: 172.22.0.1 is reached by eth1, but eth1 of the node that leads is \
         a port of br0; set spec.interface of the Eip to br0"
    );

    bench.tell(Input::Route(eip(1), Ok(eth0())));
    bench.calm();
    assert!(bench.ready("pool").starts_with("True Served"));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn what_is_told_of_an_address_that_no_eip_names_is_not_remembered() {
    let mut bench = Bench::serving();
    bench.tell(Input::Route(eip(1), Err(Unroutable::NoRoute)));
    bench.edit_eip(&pool(), |eip| eip.interface = Some("can_reach:172.22.0.1".to_owned()));
    bench.calm();
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
    bench.tell(Input::Route(eip(1), Ok(eth0())));
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn an_interface_without_carrier_is_said_on_the_eip_and_what_it_loses_meanwhile_is_nothing() {
    let mut bench = Bench::serving();
    bench.tell(Input::Link(eth0(), Ok(Link { carrier: false, ..link() })));
    bench.nobody_else_leads();
    let down = "False InterfaceMissing: the interface eth0 is down or has no carrier where Porter \
                leads";
    assert_eq!(bench.ready("pool"), down);
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);
    bench.tell(Input::Link(eth0(), Ok(link())));
    bench.calm();
    assert_eq!(bench.ready("pool"), "True Served: served on eth0");
    assert_eq!(bench.ask(188), Some(mac(9)));
}

#[test]
fn an_eip_outside_of_the_subnets_of_its_interface_is_served_and_says_so() {
    let mut bench = Bench::leading();
    bench.apply_eip("routed", layer2("203.0.113.7"));
    assert_eq!(
        bench.ready("routed"),
        "True OffLink: served on eth0, but some addresses are in none of its subnets: hosts reach \
         those only by a route that leads to its LAN"
    );
    bench.apply(&web(), annotated(EIP, "routed"));
    assert_eq!(bench.shows(&web()), ["203.0.113.7"]);
}

#[test]
fn the_address_of_a_node_is_never_handed_out() {
    let mut bench = Bench::leading();
    bench.apply_eip("pool", layer2("172.22.0.9-172.22.0.11"));
    bench.apply(&web(), asking());
    assert_eq!(bench.shows(&web()), ["172.22.0.11"], "node3 and node4 have the other two");

    bench.apply(&named("pinned"), annotated(ADDRESS, "172.22.0.9"));
    bench.calm();
    assert_eq!(
        bench.word(&named("pinned")),
        "False AddressIsNodes: 172.22.0.9 is the address of a node of this cluster; name another \
         address"
    );
}

#[test]
fn of_two_default_eips_the_one_of_lower_priority_number_and_then_by_name_serves() {
    let mut bench = Bench::leading();
    let default = |address: &str, priority| {
        let mut eip = Eip { priority, ..layer2(address) };
        let key = keys::DEFAULT_EIP.spelled(keys::Spelling::OpenElb).to_owned();
        eip.metadata.annotations.insert(key, "True".to_owned());
        eip
    };
    bench.apply_eip("b", default("172.22.0.210", 1));
    bench.apply_eip("c", default("172.22.0.211", 1));
    bench.apply_eip("d", default("172.22.0.212", 0));
    bench.apply_all(&["s1", "s2", "s3", "s4"]);
    let shown = ["s1", "s2", "s3", "s4"].map(|name| bench.shows(&named(name)).concat());
    assert_eq!(shown, ["172.22.0.212", "172.22.0.210", "172.22.0.211", "172.22.0.188"]);
}

#[test]
fn a_default_eip_says_which_other_comes_before_it_as_long_as_that_is_so() {
    let mut bench = Bench::leading();
    let default = |address: &str| {
        let mut eip = layer2(address);
        let key = keys::DEFAULT_EIP.spelled(keys::Spelling::Porter).to_owned();
        eip.metadata.annotations.insert(key, "true".to_owned());
        eip
    };
    bench.apply_eip("b", default("172.22.0.211-172.22.0.212"));
    bench.apply_eip("a", default("172.22.0.210-172.22.0.211"));
    bench.apply_eip("c", default("172.22.0.213"));
    bench.apply_eip("six", default("fd00::1"));
    assert_eq!(bench.ready("b"), "True Served: served on eth0", "a is younger, and not served");
    assert_eq!(
        bench.ready("six"),
        "True OffLink: served on eth0, but some addresses are in none of its subnets: hosts reach those only by a route that leads to its LAN"
    );
    let said = "True Served: served on eth0; Eip b is the default, too, and comes before it by \
                spec.priority, then by name: take the annotation off one of them";
    assert_eq!(bench.ready("c"), said);

    bench.edit_eip(&"b".into(), |eip| eip.disable = true);
    assert_eq!(bench.ready("c"), "True Served: served on eth0");
    bench.edit_eip(&"b".into(), |eip| eip.disable = false);
    assert_eq!(bench.ready("c"), said);
    bench.edit_eip(&"b".into(), |eip| eip.namespaces = ["other".to_owned()].into());
    assert_eq!(bench.ready("c"), "True Served: served on eth0", "b is bound to a namespace");
}

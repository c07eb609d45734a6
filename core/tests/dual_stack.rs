//! Services of two families: both addresses are answered with one node, as far as one serves both.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::{net::IpAddr, time::Duration};

use bench::*;
use porter_core::{
    EipName, Endpoint, Family, Fitness, Ingress, Input, Link, MacAddr, Service, TrafficPolicy,
    Write, WriteError,
};

/// Long enough for what is wrong to be said.
const A_WHILE: Duration = Duration::from_secs(3);

fn four() -> Ingress {
    shows(188)
}

fn six_at(last: u8) -> Ingress {
    Ingress::Address(six(last))
}

/// Sets the endpoints of [`web`] in both families.
fn pods(bench: &mut Bench, nodes: &[&str]) {
    let endpoints: Vec<Endpoint> = nodes.iter().map(|node| ready(node)).collect();
    bench.slice("web-4", &web(), Family::V4, endpoints.clone());
    bench.slice("web-6", &web(), Family::V6, endpoints);
}

/// A leader that answers for both addresses of a Service with node3, which node4 could serve too.
fn at_node3() -> Bench {
    let mut bench = Bench::leading_dual();
    pods(&mut bench, &["node3"]);
    bench.service(&web(), Some(dual()));
    pods(&mut bench, &["node3", "node4"]);
    bench.run(A_WHILE);
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
    bench
}

/// Who is answered for 172.22.0.188, and for fd00::b8.
fn answers(bench: &Bench) -> (Option<MacAddr>, Option<MacAddr>) {
    (bench.ask(188), bench.ask_six(0xb8))
}

/// What the leader says in the Lease that it can serve.
fn fitness(bench: &Bench) -> Option<Fitness> {
    bench.api.lease.as_ref().unwrap().1.fitness
}

/// Takes the IPv6 address from a node.
fn lose_six(bench: &mut Bench, name: &str) {
    bench.edit_node(name, |node| node.addresses.retain(IpAddr::is_ipv4));
}

#[test]
fn a_service_of_two_families_shows_both_addresses_and_both_are_at_one_node() {
    let bench = at_node3();
    assert_eq!(bench.shown(&web()).ingress, [four(), six_at(0xb8)]);
    assert_eq!(bench.said(&web()), (true, "Announced"));
    let message = bench.message(&web());
    assert!(message.contains("172.22.0.188 is at node3"), "{message}");
    assert!(message.contains("fd00::b8 is at node3"), "{message}");
}

#[test]
fn a_new_service_of_two_families_takes_three_writes_of_its_own() {
    let bench = at_node3();
    let of_service = |write: &&Write| matches!(write, Write::Service(..));
    let n_written = bench.written.iter().filter(of_service).count();
    assert_eq!(n_written, 3, "{:#?}", bench.written);
}

#[test]
fn a_node_that_serves_both_families_is_picked_before_one_that_serves_one() {
    let mut bench = Bench::leading_dual();
    lose_six(&mut bench, "node1");
    lose_six(&mut bench, "node3");
    pods(&mut bench, &["node1", "node3", "node4"]);
    bench.service(&web(), Some(dual()));
    assert_eq!(answers(&bench), (Some(mac(10)), Some(mac(10))));
}

#[test]
fn a_pair_moves_when_its_node_dies_in_one_family_and_another_serves_both() {
    let mut bench = at_node3();
    lose_six(&mut bench, "node3");
    assert_eq!(answers(&bench), (Some(mac(10)), Some(mac(10))));
    assert_eq!(bench.record(&web()), Some("node4"));
    bench.node("node3", Some(dual_node(9)));
    bench.change_leader();
    assert_eq!(answers(&bench), (Some(mac(10)), Some(mac(10))));
}

#[test]
fn a_pair_stays_when_its_node_dies_in_one_family_and_no_other_serves_both() {
    let mut bench = at_node3();
    lose_six(&mut bench, "node4");
    lose_six(&mut bench, "node3");
    bench.run(A_WHILE);
    assert_eq!(bench.record(&web()), Some("node3"));
    assert_eq!(answers(&bench), (Some(mac(9)), None));
    assert_eq!(bench.said(&web()), (false, "NoUsableNode"));
    let message = bench.message(&web());
    assert!(message.contains("fd00::b8 is not answered"), "{message}");
    assert!(message.contains("172.22.0.188 is at node3"), "{message}");
    bench.change_leader();
    assert_eq!(answers(&bench), (Some(mac(9)), None));
    bench.node("node3", Some(dual_node(9)));
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
}

#[test]
fn a_pair_does_not_move_to_a_node_that_serves_the_other_family_only() {
    let mut bench = at_node3();
    bench.edit_node("node4", |node| node.addresses.retain(IpAddr::is_ipv6));
    lose_six(&mut bench, "node3");
    assert_eq!((bench.record(&web()), answers(&bench)), (Some("node3"), (Some(mac(9)), None)));
    bench.run(A_WHILE);
    let message = bench.message(&web());
    assert!(
        message.contains("node4 cannot serve the other addresses that go with it"),
        "{message}"
    );
}

#[test]
fn a_pair_does_not_move_to_a_node_that_is_cordoned() {
    let mut bench = at_node3();
    bench.edit_node("node4", |node| node.cordoned = true);
    lose_six(&mut bench, "node3");
    bench.run(A_WHILE);
    assert_eq!((bench.record(&web()), answers(&bench)), (Some("node3"), (Some(mac(9)), None)));
}

#[test]
fn a_pair_does_not_move_to_a_node_that_is_silent_in_one_family() {
    let mut bench = Bench::leading_dual();
    bench.mute.insert(six(0x1a));
    bench.edit_node("node4", |node| node.addresses = vec![eip(10), six(0x1a)]);
    bench.run(A_WHILE);
    pods(&mut bench, &["node3"]);
    bench.service(&web(), Some(dual()));
    pods(&mut bench, &["node3", "node4"]);
    lose_six(&mut bench, "node3");
    bench.run(A_WHILE);
    assert_eq!((bench.record(&web()), answers(&bench)), (Some("node3"), (Some(mac(9)), None)));
}

#[test]
fn a_pin_to_a_node_that_serves_one_family_is_rejected_while_one_that_serves_both_is_answered() {
    let mut bench = at_node3();
    pods(&mut bench, &["node1", "node3", "node4"]);
    bench.edit_node("node4", |node| node.addresses.retain(IpAddr::is_ipv4));
    bench.pin(&web(), "node4");
    bench.run(A_WHILE);
    assert_eq!(bench.record(&web()), Some("node3"));
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
    let told = bench.told("PinRejected");
    assert!(told[0].contains("node4 has no address in a subnet"), "{told:?}");
}

#[test]
fn a_pin_to_another_node_that_serves_both_moves_the_pair() {
    let mut bench = at_node3();
    bench.pin(&web(), "node4");
    assert_eq!(answers(&bench), (Some(mac(10)), Some(mac(10))));
}

#[test]
fn the_slices_of_each_family_decide_about_the_address_of_that_family() {
    let mut bench = at_node3();
    bench.slice("web-6", &web(), Family::V6, vec![]);
    bench.run(A_WHILE);
    assert_eq!(answers(&bench), (Some(mac(9)), None));
    assert_eq!(bench.said(&web()), (false, "NoReadyEndpoint"));
    bench.slice("web-6", &web(), Family::V6, vec![ready("node3")]);
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
    assert_eq!(bench.said(&web()), (true, "Announced"));
}

#[test]
fn under_local_a_family_without_an_endpoint_on_the_node_is_silent() {
    let mut bench = at_node3();
    bench.edit_service(&web(), |service| service.policy = TrafficPolicy::Local);
    bench.slice("web-4", &web(), Family::V4, vec![ready("node3")]);
    bench.slice("web-6", &web(), Family::V6, vec![ready("node4")]);
    bench.run(A_WHILE);
    assert_eq!((bench.record(&web()), answers(&bench)), (Some("node3"), (Some(mac(9)), None)));
    assert_eq!(bench.said(&web()), (false, "NoUsableNode"));
}

#[test]
fn under_cluster_a_node_with_an_endpoint_of_one_family_serves_the_other_too() {
    let mut bench = at_node3();
    bench.slice("web-4", &web(), Family::V4, vec![ready("node3")]);
    bench.slice("web-6", &web(), Family::V6, vec![ready("node4")]);
    bench.run(A_WHILE);
    assert_eq!(bench.record(&web()), Some("node3"));
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
}

#[test]
fn a_family_that_is_added_later_is_answered_with_the_same_node() {
    let mut bench = Bench::leading_dual();
    pods(&mut bench, &["node3"]);
    bench.service(&web(), Some(Service { families: vec![Family::V4], ..dual() }));
    pods(&mut bench, &["node3", "node4"]);
    bench.edit_service(&web(), |service| service.families = dual().families);
    bench.run(A_WHILE);
    assert_eq!(bench.shown(&web()).ingress, [four(), six_at(0xb8)]);
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
}

#[test]
fn a_family_that_is_removed_is_silent_and_free_and_the_other_stays() {
    let mut bench = at_node3();
    bench.announced.clear();
    bench.edit_service(&web(), |service| service.families = vec![Family::V4]);
    bench.run(A_WHILE);
    assert_eq!(bench.shown(&web()).ingress, [four()]);
    assert_eq!(answers(&bench), (Some(mac(9)), None));
    assert!(!bench.used().contains_key(&six(0xb8)));
    assert!(bench.announced.iter().all(|is_at| is_at.target == eip(188)));
}

#[test]
fn the_family_that_stays_follows_the_world_while_the_other_cannot_be_taken_back() {
    let mut bench = at_node3();
    bench.replies = false;
    bench.edit_service(&web(), |service| service.families = vec![Family::V4]);
    bench.judge(Verdict::Failed(WriteError::Rejected("no".to_owned())));
    pods(&mut bench, &[]);
    assert_eq!(answers(&bench), (None, None));
}

#[test]
fn one_that_prefers_both_is_content_with_one_and_says_what_is_missing() {
    let mut bench = Bench::leading_dual();
    bench.eip(&"six".into(), None);
    pods(&mut bench, &["node3"]);
    bench.service(&web(), Some(dual()));
    bench.run(A_WHILE);
    assert_eq!((bench.ask(188), bench.said(&web())), (Some(mac(9)), (true, "Announced")));
    assert!(bench.message(&web()).contains("no IPv6 address"), "{}", bench.message(&web()));
    bench.eip(&"six".into(), Some(layer2("fd00::b8")));
    bench.run(A_WHILE);
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
    assert!(!bench.message(&web()).contains("no IPv6 address"), "{}", bench.message(&web()));
}

#[test]
fn one_that_requires_both_gets_none_until_it_can_have_both() {
    let mut bench = Bench::leading_dual();
    bench.eip(&"six".into(), None);
    pods(&mut bench, &["node3"]);
    bench.service(&web(), Some(Service { requires_dual_stack: true, ..dual() }));
    bench.run(A_WHILE);
    assert_eq!(bench.shown(&web()).ingress, []);
    assert!(bench.used().is_empty() && !bench.said(&web()).0);
    bench.eip(&"six".into(), Some(layer2("fd00::b8")));
    bench.run(A_WHILE);
    assert_eq!(bench.shown(&web()).ingress, [four(), six_at(0xb8)]);
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
}

#[test]
fn one_that_requires_both_shows_none_before_both_are_on_record() {
    let mut bench = Bench::leading_dual();
    pods(&mut bench, &["node3"]);
    bench.replies = false;
    bench.service(&web(), Some(Service { requires_dual_stack: true, ..dual() }));
    bench.judge(Verdict::Done);
    let six = bench
        .writes
        .iter()
        .position(|(_, write)| matches!(write, Write::Eip(name, ..) if name.as_str() == "six"));
    bench.judge_any(six.unwrap(), Verdict::Failed(WriteError::Rejected("no".to_owned())));
    bench.judge(Verdict::Done);
    bench.judge(Verdict::Done);
    bench.judge(Verdict::Done);
    assert_eq!(bench.used()[&eip(188)], [web()]);
    assert_eq!(bench.shown(&web()).ingress, []);
    bench.replies = true;
    bench.run(A_WHILE);
    assert_eq!(bench.shown(&web()).ingress, [four(), six_at(0xb8)]);
}

#[test]
fn a_pair_stays_where_it_is_over_a_leader_change_and_nothing_is_written() {
    let mut bench = at_node3();
    bench.written.clear();
    bench.change_leader();
    assert_eq!(answers(&bench), (Some(mac(9)), Some(mac(9))));
    assert_eq!(bench.written, []);
}

#[test]
fn a_pair_that_is_served_elsewhere_stays_there() {
    let mut bench = at_node3();
    bench.edit_node("node3", |node| node.ready = false);
    bench.edit_node("node4", |node| node.ready = false);
    bench.run(A_WHILE);
    assert_eq!(answers(&bench), (Some(mac(3)), Some(mac(3))));
    assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
    bench.node("node3", Some(dual_node(9)));
    bench.change_leader();
    assert_eq!(answers(&bench), (Some(mac(3)), Some(mac(3))));
    assert_eq!(bench.said(&web()), (true, "AnnouncedElsewhere"));
}

#[test]
fn a_pair_that_shares_its_ipv4_address_is_answered_with_the_node_of_the_oldest() {
    let mut bench = at_node3();
    let older = porter_core::ServiceName::new("default", "ant");
    bench.edit_service(&web(), |service| {
        service.requested_ip = sharing(5, 80).requested_ip;
        service.ports = sharing(5, 80).ports;
        service.metadata.created = sharing(5, 80).metadata.created;
    });
    bench.endpoints(&older, &["node3", "node4"]);
    bench.service(&older, Some(sharing(1, 443)));
    bench.run(A_WHILE);
    assert_eq!(
        (bench.record(&older), answers(&bench)),
        (Some("node3"), (Some(mac(9)), Some(mac(9))))
    );
    bench.pin(&older, "node4");
    bench.run(A_WHILE);
    assert_eq!(answers(&bench), (Some(mac(10)), Some(mac(10))));
    bench.edit_service(&older, |service| service.metadata.deleting = true);
    bench.run(A_WHILE);
    assert_eq!(
        (bench.record(&web()), answers(&bench)),
        (Some("node4"), (Some(mac(10)), Some(mac(10))))
    );
}

/// In which groups a replica is.
mod groups {
    use std::{collections::BTreeSet, net::Ipv6Addr};

    use porter_core::LinkName;

    use super::*;

    /// The group of the addresses that end like fd00::b8.
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0xb8);

    fn groups(bench: &Bench) -> Vec<(LinkName, Ipv6Addr)> {
        bench.groups.iter().copied().collect()
    }

    #[test]
    fn every_replica_is_in_the_group_of_an_address_as_long_as_it_is_on_record() {
        let mut bench = at_node3();
        assert_eq!(groups(&bench), [(eth0(), GROUP)]);

        bench.restart();
        bench.list();
        assert!(!bench.speaker.leads(bench.now));
        assert_eq!(groups(&bench), [(eth0(), GROUP)], "so that whoever takes over hears at once");

        bench.lead();
        bench.service(&web(), None);
        bench.run(A_WHILE);
        assert_eq!(groups(&bench), []);
    }

    #[test]
    fn a_group_is_left_when_the_last_of_its_addresses_is_given_back() {
        let mut bench = at_node3();
        let other = EipName::from("other");
        bench.eip(&other, Some(layer2("fd00:1::b8")));
        let second = Service {
            families: vec![Family::V6],
            ..annotated("eip.porter.kubesphere.io/v1alpha2", "other")
        };
        bench.slice("second-6", &named("second"), Family::V6, vec![ready("node3")]);
        bench.service(&named("second"), Some(second));
        bench.run(A_WHILE);
        assert_eq!(bench.shown(&named("second")).ingress.len(), 1);
        assert_eq!(groups(&bench), [(eth0(), GROUP)]);

        bench.service(&web(), None);
        bench.run(A_WHILE);
        assert_eq!(groups(&bench), [(eth0(), GROUP)]);
        bench.service(&named("second"), None);
        bench.run(A_WHILE);
        assert_eq!(groups(&bench), []);
    }

    #[test]
    fn an_eip_that_moves_to_another_link_takes_its_groups_along() {
        let mut bench = at_node3();
        bench.edit_eip(&EipName::from("six"), |eip| eip.interface = Some("eth1".into()));
        bench.run(A_WHILE);
        let links: BTreeSet<_> = bench.groups.iter().map(|(link, _)| link.to_string()).collect();
        assert_eq!(links, BTreeSet::from(["eth1".to_owned()]));
    }
}

/// Nodes are asked for from an address beside theirs, so nobody could be named for these Eips.
#[test]
fn an_eip_of_a_family_of_which_the_link_has_no_address_is_none_that_can_be_served() {
    let mut bench = at_node3();
    assert_eq!(fitness(&bench), Some(Fitness::Fit(2)));

    for (addresses, can) in [
        (&["fd00::3/64", "fe80::3/64"][..], Fitness::Fit(1)),
        (&["172.22.0.3/24", "fe80::3/64"], Fitness::Fit(1)),
        (&["172.22.0.3/24", "fd00::3/64"], Fitness::Fit(2)),
        (&["fe80::3/64"], Fitness::Unfit),
    ] {
        let nets = addresses.iter().map(|net| net.parse().unwrap()).collect();
        bench.tell(Input::Link(eth0(), Ok(Link { addresses: nets, ..link() })));
        bench.run(A_WHILE);
        assert_eq!(fitness(&bench), Some(can), "{addresses:?}");
    }
}

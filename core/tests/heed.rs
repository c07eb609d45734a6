//! Which questions of ARP have to be heard.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::Duration;

use bench::*;
use porter_core::{Eip, Heed, LinkName};

/// What has to be heard on eth0, as ranges; `None`: everything.
fn heeded(bench: &Bench) -> Option<Vec<String>> {
    heeded_on(bench, eth0())
}

fn heeded_on(bench: &Bench, link: LinkName) -> Option<Vec<String>> {
    match bench.heeds.get(&link)? {
        Heed::Everything => None,
        Heed::Only(ranges) => {
            let ranges = ranges.iter().map(|range| format!("{}-{}", range.start(), range.end()));
            Some(ranges.collect())
        }
    }
}

fn only<const N: usize>(ranges: [&str; N]) -> Option<Vec<String>> {
    Some(ranges.map(str::to_owned).into())
}

#[test]
fn it_is_the_addresses_of_all_eips_of_the_link_in_as_few_ranges_as_there_can_be() {
    let mut bench = Bench::serving();
    assert_eq!(heeded(&bench), only(["172.22.0.188-172.22.0.200"]));
    bench.apply_eip("beside", layer2("172.22.0.201"));
    bench.apply_eip("before", layer2("10.0.0.0/30"));
    bench.apply_eip("over it", layer2("172.22.0.196-172.22.0.198"));
    bench.apply_eip("six", layer2("fd00::b8-fd00::c8"));
    let elsewhere = Eip { interface: Some("eth1".to_owned()), ..layer2("172.22.1.1") };
    bench.apply_eip("elsewhere", elsewhere);
    bench.apply_eip("bgp", Eip { protocol: Some("bgp".to_owned()), ..layer2("172.22.2.1") });
    bench.apply_eip("nonsense", layer2("172.22.0.9-172.22.0.8"));
    assert_eq!(heeded(&bench), only(["10.0.0.0-10.0.0.3", "172.22.0.188-172.22.0.201"]));

    bench.delete_eip(&"before".into());
    assert_eq!(heeded(&bench), only(["172.22.0.188-172.22.0.201"]));
}

#[test]
fn the_last_address_of_all_has_none_behind_it() {
    let mut bench = Bench::serving();
    bench.apply_eip("last", layer2("255.255.255.0-255.255.255.255"));
    bench.apply_eip("in it", layer2("255.255.255.255"));
    let ranges = ["172.22.0.188-172.22.0.200", "255.255.255.0-255.255.255.255"];
    assert_eq!(heeded(&bench), only(ranges));
}

#[test]
fn what_was_given_before_the_eip_was_given_other_addresses_is_heard_as_long_as_it_is_on_record() {
    let mut bench = Bench::serving();
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.190-172.22.0.200".to_owned());
    let used: Vec<_> = bench.used().into_keys().collect();
    assert_eq!((used, bench.ask(188)), (vec![eip(188)], Some(mac(9))));
    let ranges = ["172.22.0.188-172.22.0.188", "172.22.0.190-172.22.0.200"];
    assert_eq!(heeded(&bench), only(ranges));
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.100-172.22.0.120".to_owned());
    let ranges = ["172.22.0.100-172.22.0.120", "172.22.0.188-172.22.0.188"];
    assert_eq!(heeded(&bench), only(ranges));

    bench.delete(&web());
    assert_eq!(heeded(&bench), only(["172.22.0.100-172.22.0.120"]));
}

#[test]
fn who_does_not_lead_hears_the_same() {
    let mut bench = Bench::serving();
    bench.usurp();
    bench.calm();
    assert_eq!(heeded(&bench), only(["172.22.0.188-172.22.0.200"]));
}

#[test]
fn a_link_on_which_nobody_was_heard_is_heard_as_a_whole() {
    let mut bench = Bench::new();
    bench.mute.extend(NODES.map(|(_, last)| eip(last)));
    bench.prepare();
    bench.run(Duration::from_secs(8));
    assert_eq!(heeded(&bench), None);
    bench.mute.remove(&eip(10));
    bench.run(Duration::from_secs(30));
    assert_eq!(heeded(&bench), only(["172.22.0.188-172.22.0.200"]), "the other one is dead");
}

#[test]
fn while_a_node_is_silent_everybody_is_heard_since_that_proves_the_link() {
    let mut bench = Bench::serving();
    bench.calm();
    bench.mute.insert(eip(9));
    let mut heeds = Vec::new();
    for _ in 0..20 {
        bench.run(Duration::from_millis(50));
        heeds.push(heeded(&bench).is_none());
    }
    assert_eq!(bench.ask(188), Some(mac(10)), "it is found to be dead");
    heeds.dedup();
    assert_eq!(heeds, [false, true, false]);
}

#[test]
fn everybody_is_heard_on_a_link_that_is_suspected() {
    let mut bench = Bench::serving();
    bench.calm();
    bench.mute.extend(NODES.map(|(_, last)| eip(last)));
    bench.run(Duration::from_millis(1_500));
    assert_eq!(bench.speaker.doubts(bench.now).suspect_links, 1);
    assert_eq!(heeded(&bench), None);
    bench.mute.clear();
    bench.run(Duration::from_secs(20));
    assert_eq!(heeded(&bench), only(["172.22.0.188-172.22.0.200"]));
}

#[test]
fn who_listens_on_a_link_again_is_told_again() {
    let mut bench = Bench::serving();
    let elsewhere = |eip: &mut Eip| eip.interface = Some("eth1".to_owned());
    bench.edit_eip(&pool(), elsewhere);
    assert_eq!(heeded(&bench), None);
    bench.edit_eip(&pool(), |eip| eip.interface = Some("eth0".to_owned()));
    bench.calm();
    assert_eq!(heeded(&bench), only(["172.22.0.188-172.22.0.200"]));
}

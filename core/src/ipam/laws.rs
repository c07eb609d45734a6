//! What holds of every allocation, whatever happens; and what allocations cost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    stories::{World, at, eip, named, web},
    *,
};
use crate::{Few, Metadata, Port, Timestamp};

const EIPS: [&str; 3] = ["one", "two", "three"];
const RANGES: [&str; 5] =
    ["10.0.0.0/30", "10.0.0.2-10.0.0.6", "10.0.0.9", "10.0.0.8/30", "nonsense"];

#[derive(Clone, Debug)]
enum Step {
    /// A Service asks, on this port, for this last byte of an address or for any.
    Ask(u8, u16, Option<u8>),
    Release(u8),
    Range(usize, usize),
    Gone(usize),
    Disable(usize, bool),
    Nodes(BTreeSet<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_u8, 80..83_u16, prop::option::of(0..12_u8))
            .prop_map(|(service, port, last)| Step::Ask(service, port, last)),
        3 => (0..8_u8).prop_map(Step::Release),
        2 => (0..3_usize, 0..5_usize).prop_map(|(eip, range)| Step::Range(eip, range)),
        1 => (0..3_usize).prop_map(Step::Gone),
        1 => (0..3_usize, any::<bool>()).prop_map(|(eip, disable)| Step::Disable(eip, disable)),
        1 => prop::collection::btree_set(0..12_u8, 0..3).prop_map(Step::Nodes),
    ]
}

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn apply(world: &mut World, step: Step) {
    match step {
        Step::Ask(service, number, last) => {
            let name = named(&service.to_string());
            if world.ipam.holding(&name, Family::V4).is_some() {
                return;
            }
            let ports = Few::from([Port { protocol: "TCP".to_owned(), number }]);
            let service = Service { ports, ..web() };
            let service = match last {
                Some(last) => at(&address(last).to_string(), service),
                None => service,
            };
            world.service(&name, service);
            let could = could(world, last);
            let given = world.allocate(&name, Family::V4);
            match (&given, last) {
                (Ok(holding), Some(last)) => assert_eq!(holding.address, address(last)),
                (Ok(holding), None) => assert!(could.contains(&holding.address)),
                // An address that is held may be refused; a free one may not.
                (Err(refusal), _) => assert!(could.is_empty(), "{could:?}: {refusal}"),
            }
        }
        Step::Release(service) => {
            let name = named(&service.to_string());
            let held = world.ipam.holding(&name, Family::V4).cloned();
            let freed = world.ipam.release(&name, Family::V4);
            assert_eq!(freed, held.map(|holding| holding.eip));
        }
        Step::Range(i, range) => {
            let metadata = Metadata { created: Timestamp(-(i as i64)), ..Metadata::default() };
            world.eip(EIPS[i], Some(Eip { metadata, ..eip(RANGES[range]) }));
        }
        Step::Gone(i) => world.eip(EIPS[i], None),
        Step::Disable(i, disable) => {
            if let Some(eip) = world.eips.get(&EipName::from(EIPS[i])).cloned() {
                world.eip(EIPS[i], Some(Eip { disable, ..eip }));
            }
        }
        Step::Nodes(nodes) => {
            world.ipam.handle_node_addresses(nodes.into_iter().map(address).collect());
        }
    }
}

/// The free addresses that may be given, found the slow way.
fn could(world: &World, asked: Option<u8>) -> Vec<IpAddr> {
    let range = |eip: &Eip| AddressRange::parse(&eip.address).ok();
    let served = |eip: &&Eip| {
        let mut older =
            world.eips.values().filter(|other| other.metadata.created < eip.metadata.created);
        let own = range(eip);
        own.is_some_and(|own| {
            !eip.disable
                && !older.any(|other| range(other).is_some_and(|other| other.overlaps(&own)))
        })
    };
    let open: Vec<_> = world.eips.values().filter(served).filter_map(range).collect();
    let may = |address: &IpAddr| {
        open.iter().any(|range| range.contains(*address))
            && !world.ipam.nodes.contains(address)
            && world.ipam.holders_of(*address).next().is_none()
    };
    let asked = asked.map_or(0..=255, |last| last..=last);
    asked.map(address).filter(may).collect()
}

/// Every part of what is known says the same.
fn check(ipam: &Ipam, world: &World) {
    let mut count = 0;
    let mut seen = BTreeMap::new();
    for (eip, pool) in &ipam.pools {
        for (&address, holders) in &pool.used {
            assert_eq!(seen.insert(address, eip), None, "{address} is held of two Eips");
            assert!(!holders.is_empty());
            for holder in holders {
                let holding = Holding { eip: eip.clone(), address };
                assert_eq!(ipam.holding(holder, Family::V4), Some(&holding));
                count += 1;
                let conflict = ipam.holding(holder, Family::V4).and_then(|holding| {
                    let mut world = world.clone();
                    world.with(holder, |ipam, asker| ipam.sharing_conflict(asker, holding))
                });
                assert_eq!(conflict, None);
            }
        }
        let entries = pool
            .used
            .iter()
            .flat_map(|(address, holders)| holders.iter().map(|holder| entry(*address, holder)));
        assert_eq!(pool.record.bytes, entries.sum::<usize>());
    }
    assert_eq!(ipam.holdings().count(), count);
    assert_eq!(ipam.holders().count(), count);
    assert_eq!(ipam.owners.len(), seen.len());
}

/// What is free, Eip by Eip, and how each stands.
fn offer(ipam: &Ipam) -> Vec<(&EipName, Option<&Standing>, Option<&Served>)> {
    let eips = ipam.pools.iter().filter(|(_, pool)| pool.terms.is_some());
    eips.map(|(eip, pool)| (eip, pool.standing.as_ref(), pool.served.as_ref())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No address has two holders that do not share it, none that could be given is refused, and
    /// whoever reads the record again comes to the same.
    #[test]
    fn allocations_are_exact_and_the_record_tells_them_all(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(&[("one", eip(RANGES[0]))]);
        for step in steps {
            apply(&mut world, step);
            check(&world.ipam, &world);
        }
        let gone = world.ipam.pools.iter().filter(|(_, pool)| pool.terms.is_none());
        let gone: Vec<_> = gone.map(|(eip, _)| eip.clone()).collect();
        let lost: Vec<_> = world.ipam.held.iter().filter_map(|(service, held)| {
            let holding = held[0].as_ref()?;
            gone.contains(&holding.eip).then(|| service.clone())
        }).collect();
        for service in lost {
            world.ipam.release(&service, Family::V4);
        }
        for (name, eip) in &mut world.eips {
            eip.status.used = world.ipam.used(name).clone();
        }
        let again = Ipam::restore(world.eips.iter(), &world.services, world.ipam.nodes.clone());
        check(&again, &world);
        prop_assert_eq!(&again.held, &world.ipam.held);
        prop_assert_eq!(offer(&again), offer(&world.ipam));
    }
}

/// Prints what 10,000 Services cost: `cargo test --release -p porter-core --lib cost -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_types, clippy::print_stdout, reason = "it measures and prints")]
fn the_cost_of_ten_thousand_services() {
    use std::time::Instant;
    for (range, family) in [("10.0.0.0/16", Family::V4), ("fd00::/64", Family::V6)] {
        for count in [10, 1_000, 10_000] {
            let mut world = World::new(&[("pool", eip(range))]);
            let names: Vec<_> = (0..=count).map(|i| named(&format!("service-{i}"))).collect();
            names.iter().for_each(|name| world.service(name, web()));
            let begin = Instant::now();
            for name in &names[..count] {
                world.allocate(name, family).unwrap();
            }
            let all = begin.elapsed();
            let begin = Instant::now();
            for _ in 0..1_000 {
                world.allocate(&names[count], family).unwrap();
                world.ipam.release(&names[count], family);
            }
            let one = begin.elapsed() / 1_000;
            let mut pool = world.eips.remove("pool").unwrap();
            pool.status.used = world.ipam.used(&"pool".into()).clone();
            let begin = Instant::now();
            let eips = [(EipName::from("pool"), pool)];
            let eips = eips.iter().map(|(name, eip)| (name, eip));
            let again = Ipam::restore(eips, &world.services, BTreeSet::new());
            let restore = begin.elapsed();
            assert_eq!(again.holders().count(), count);
            println!(
                "{range} {count}: all {all:?}, one more and back {one:?}, restore {restore:?}"
            );
        }
    }
}

//! What many Services cost a leader.
//!
//! These measure, and demand nothing:
//! `cargo test --release -p porter-core --test scale -- --ignored --nocapture --test-threads 1`.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]
#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "it measures, to be read")]

mod bench;

use std::time::{self, Duration};

use bench::*;
use porter_core::{Endpoint, Family, Kind, NodeName, ServiceName, Slice, SliceName, Write};

fn name(number: u32) -> ServiceName {
    ServiceName::new("default", &format!("web{number:05}"))
}

/// A pod of a Service, on one node.
fn slice(number: u32, node: &str) -> (SliceName, Slice) {
    let service = name(number);
    let endpoint = Endpoint {
        node: Some(NodeName::from(node)),
        ready: true,
        serving: true,
        terminating: false,
    };
    let slice_name = SliceName::new("default", service.name());
    (slice_name, Slice { service, family: Family::V4, endpoints: vec![endpoint] })
}

/// A leader that knows so many Services, which find no address yet.
fn waiting(count: u32) -> Bench {
    let mut bench = Bench::new();
    bench.watches = false;
    for number in 0..count {
        bench.api.put_service(&name(number), Some(asking()));
        let (slice_name, slice) = slice(number, "node3");
        bench.api.put_slice(&slice_name, slice);
    }
    bench.watches = true;
    bench.lead();
    bench
}

/// Gives them all an address, and says how long that took.
fn serve(bench: &mut Bench) -> Duration {
    let begun = time::Instant::now();
    bench.edit_eip(&pool(), |eip| eip.address = "10.1.0.0/16".to_owned());
    bench.run(Duration::from_secs(60));
    begun.elapsed()
}

/// From the creation of each of so many Services to its condition, the bench's API server included.
#[test]
#[ignore = "measures, and demands nothing"]
fn cost_of_services_that_come_at_once() {
    for count in [1_000, 2_000, 4_000, 8_000] {
        let mut bench = waiting(count);
        let each = serve(&mut bench) / count;
        let services = bench.api.services.values();
        let announced = services.filter(|(_, it)| it.announced.as_ref().is_some_and(|it| it.met));
        assert_eq!(u32::try_from(announced.count()), Ok(count));
        let eips = bench.written.iter().filter(|write| matches!(write, Write::Eip(..))).count();
        println!("{count:>6} Services: {each:>9.1?} each, {eips} writes of their Eip");
    }
}

/// What changes while so many Services are served.
#[test]
#[ignore = "measures, and demands nothing"]
fn cost_of_a_change_among_many_services() {
    for count in [1_000, 8_000] {
        let mut bench = waiting(count);
        serve(&mut bench);
        let mut timed = |what: &str, n: u32, change: &mut dyn FnMut(&mut Bench, u32)| {
            let written = bench.written.len();
            let begun = time::Instant::now();
            for round in 0..n {
                change(&mut bench, round);
            }
            let each = begun.elapsed() / n;
            let written = bench.written.len() - written;
            println!("{count:>6} Services: {each:>9.1?} for {what}, {written} writes");
        };
        timed("a pod that goes to another node", 100, &mut |bench, round| {
            let node = if round % 2 == 0 { "node4" } else { "node3" };
            let (slice_name, slice) = slice(17, node);
            bench.api.put_slice(&slice_name, slice);
            bench.pump();
        });
        for kind in [Kind::Service, Kind::Slice, Kind::Node, Kind::Eip] {
            let what = format!("a list of every {} that brings nothing new", kind.as_str());
            timed(&what, 3, &mut |bench, _| {
                let listing = bench.api.list(kind);
                bench.tell(listing);
            });
        }
        timed("a second without news", 20, &mut |bench, _| bench.run(Duration::from_secs(1)));
        timed("a node that dies with all of them", 1, &mut |bench, _| {
            bench.endpoints(&name(0), &["node3", "node4"]);
            bench.mute.insert(eip(9));
            bench.run(Duration::from_secs(5));
        });
    }
}

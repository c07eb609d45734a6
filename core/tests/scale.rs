//! What many Services that come at once cost a leader.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::time::{self, Duration};

use bench::*;
use porter_core::{Endpoint, Family, NodeName, ServiceName, Slice, SliceName, Write};

/// Prints what each of so many Services costs from its creation to its condition, the bench's API
/// server included: `cargo test --release -p porter-core --test scale -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and demands nothing"]
#[expect(clippy::disallowed_types, clippy::print_stdout, reason = "it measures, to be read")]
fn cost_of_services_that_come_at_once() {
    for count in [500, 1_000, 2_000, 4_000] {
        let mut bench = Bench::new();
        bench.watches = false;
        for number in 0..count {
            let name = ServiceName::new("default", &format!("web{number:05}"));
            bench.api.put_service(&name, Some(asking()));
            let endpoint = Endpoint {
                node: Some(NodeName::from("node3")),
                ready: true,
                serving: true,
                terminating: false,
            };
            let slice_name = SliceName::new("default", &name.name);
            let slice = Slice { service: name, family: Family::V4, endpoints: vec![endpoint] };
            bench.api.put_slice(&slice_name, slice);
        }
        bench.watches = true;
        bench.lead();
        let begun = time::Instant::now();
        bench.edit_eip(&pool(), |eip| eip.address = "10.1.0.0/16".to_owned());
        bench.run(Duration::from_secs(60));
        let each = begun.elapsed() / count;
        let services = bench.api.services.values();
        let announced = services.filter(|(_, it)| it.announced.as_ref().is_some_and(|it| it.met));
        assert_eq!(u32::try_from(announced.count()), Ok(count));
        let eips = bench.written.iter().filter(|write| matches!(write, Write::Eip(..))).count();
        println!("{count:>6} Services: {each:>9.1?} each, {eips} writes of their Eip");
    }
}

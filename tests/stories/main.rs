//! Stories of simulated clusters, one promise each.
//!
//! After every event of every story the world also looks for what must never be, such as two
//! replicas that answer at one moment; no story has to say so.

mod api;
mod conflicts;
mod dual_stack;
mod failover;
mod fitness;
mod guide;
mod hardware;
mod lan;
mod owed;

use std::{net::IpAddr, time::Duration};

use porter_core::ServiceName;
use porter_sim::World;

/// The first address of the guide's pool.
const EIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 188));
/// By when a cluster that has just been set up answers: a missing Lease is waited out, pods start.
const SETTLED: Duration = Duration::from_secs(10);
/// By when a leader that is gone is replaced: the default lease and half a second.
const FAILOVER_MAX: Duration = Duration::from_millis(5_500);

/// The guide's Service.
fn service() -> ServiceName {
    ServiceName::new("default", "mylbapp-svc-layer2")
}

/// The guide's cluster with everything applied and at rest.
fn settled() -> World {
    let mut world = World::guide(1);
    world.run(SETTLED);
    world
}

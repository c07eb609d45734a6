//! Nothing is answered for which the replica knows no endpoint (S9): by the facts that it was told, a
//! pod behind a Service that holds the EIP can serve in its family; under `externalTrafficPolicy: Local` one on the
//! node that is answered.

use std::net::IpAddr;

use porter_core::{Family, MacAddr, NodeName};

use super::{Violation, known::Known, nodes_with};
use crate::world::World;

/// Looks at what a replica answers.
pub(super) fn check(
    world: &World,
    name: &str,
    known: &Known,
    (eip, mac): (IpAddr, MacAddr),
) -> Result<(), Violation> {
    let nodes: Vec<&NodeName> = nodes_with(&world.nodes, mac).map(|node| &node.name).collect();
    let family = Family::of(eip);
    match known.holders(eip).any(|service| known.has_endpoint(service, family, &nodes)) {
        true => Ok(()),
        false => Err(Violation(format!(
            "{name} answers for {eip} with {nodes:?}, though it knows of no endpoint for it there"
        ))),
    }
}

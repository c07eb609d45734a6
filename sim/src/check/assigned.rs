//! Nothing is answered that is not given to a Service, or is a node's own address (S6), by the facts that
//! the replica was told.

use std::net::IpAddr;

use super::{Violation, known::Known};

/// Looks at what a replica answers.
pub(super) fn check(name: &str, known: &Known, eip: IpAddr) -> Result<(), Violation> {
    if known.holders(eip).next().is_none() {
        return Err(Violation(format!("{name} answers for {eip}, which no Service holds")));
    }
    match known.node_at(eip) {
        Some(node) => Err(Violation(format!("{name} answers for {eip}, the address of {node}"))),
        None => Ok(()),
    }
}

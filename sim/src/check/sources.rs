//! The Ethernet source of a frame is a MAC of the host that it leaves (S5): a switch that saw another's
//! behind this port would send that one's traffic here.

use super::Violation;
use crate::world::{Frame, NodeHost};

pub(super) fn check(host: &NodeHost, frame: &Frame) -> Result<(), Violation> {
    match host.macs.contains(&frame.src) {
        true => Ok(()),
        false => Err(Violation(format!("{frame} leaves with the Ethernet source {}", frame.src))),
    }
}

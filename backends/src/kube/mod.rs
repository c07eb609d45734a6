//! The Kubernetes API: the `Eip` kind, and how objects become facts.

mod eip;

pub use eip::{Eip, EipSpec, EipStatus};

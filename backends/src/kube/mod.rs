//! The Kubernetes API: the `Eip` kind, and how objects become facts and changes become requests.

pub mod convert;
mod eip;

pub use eip::{Eip, EipSpec, EipStatus};

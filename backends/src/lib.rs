//! The world, for real: Porter's ports to the Kubernetes API, to the links of a host and to its
//! clock.
//!
//! Nothing is decided here. What can be survived - a link that went down, an API server that is
//! away - is told to the core as a fact, or counted; an [`Error`] is what stops a replica.

pub mod clock;
mod drive;
mod error;
pub mod kube;
pub mod link;
pub mod port;

pub use drive::drive;
pub use error::Error;

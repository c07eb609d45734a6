//! The world, for real: Porter's ports to the Kubernetes API, to the links of a host and to its
//! clock.
//!
//! Nothing is decided here. What can be survived - a link that went down, an API server that is
//! away - is told to the core as a fact, or counted; an [`Error`] is what stops a replica.
//!
//! Packet sockets and the boot-time clock are Linux'. Elsewhere only `kube` and `port` remain, which
//! the simulation needs.

#[cfg(feature = "kube")]
pub mod check;
#[cfg(target_os = "linux")]
pub mod clock;
#[cfg(target_os = "linux")]
mod drive;
mod error;
#[cfg(target_os = "linux")]
pub mod http;
pub mod kube;
#[cfg(target_os = "linux")]
pub mod link;
#[cfg(target_os = "linux")]
mod picture;
pub mod port;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod tally;
pub mod view;

#[cfg(target_os = "linux")]
pub use drive::drive;
pub use error::Error;
#[cfg(target_os = "linux")]
pub use picture::Picture;
#[cfg(target_os = "linux")]
pub use report::{Inquiries, Report, Reporter};
#[cfg(target_os = "linux")]
pub use tally::{Tally, Verdict};

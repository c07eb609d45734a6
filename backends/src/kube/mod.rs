//! The Kubernetes API: the `Eip` kind, how objects become facts and changes become requests, and the
//! client that carries both.

#[cfg(feature = "kube")]
mod cluster;
pub mod convert;
mod eip;
#[cfg(feature = "kube")]
mod event;
#[cfg(feature = "kube")]
mod look;
#[cfg(feature = "kube")]
mod proxy;
#[cfg(feature = "kube")]
mod verdict;
#[cfg(feature = "kube")]
mod watch;

#[cfg(feature = "kube")]
pub use cluster::{ApiServer, Timeouts};
pub use eip::{Eip, EipSpec, EipStatus};
#[cfg(feature = "kube")]
pub use look::Look;

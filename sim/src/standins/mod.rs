//! Plays, small, the parts of a cluster that are not Porter's: without them an applied Deployment stays a document.
//!
//! A Deployment becomes ReplicaSets, a ReplicaSet Pods, a Pod gets a node, the node starts it, and the Service's
//! EndpointSlice says where it can be reached. Each part looks at the whole of what it needs and writes what is missing, so a
//! change may be seen late, twice or not at all without harm. They are as exact as `kubectl` and Porter can tell from
//! outside, and no more: no probes, no quotas, no affinities.

mod node;
mod runtime;

pub use node::{NodeFacts, guide_nodes};
pub use runtime::{PodFacts, PodRuntime};

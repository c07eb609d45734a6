//! Where the stand-ins end and real servers begin: what a kubelet asks of its container runtime.

use std::net::IpAddr;
use std::sync::Arc;

/// What is told about a pod to whoever runs it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PodFacts {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod, as in `kubectl get pods`.
    pub name: String,
    /// Tells this pod from an earlier one of the same name.
    pub uid: String,
    /// The node it was scheduled to.
    pub node: String,
    /// TCP ports that its containers declare.
    pub ports: Vec<u16>,
    /// UDP ports that they declare.
    pub udp_ports: Vec<u16>,
}

/// Really runs pods.
///
/// Both calls are made from an async task and have to return within some ten milliseconds.
pub trait PodRuntime: Send + Sync {
    /// Starts the pod's servers and returns its addresses once they accept connections: at most one
    /// of each family, the node's first one first.
    ///
    /// Called once for each UID as long as it succeeds; after an error it is called again a second
    /// later, and the pod shows the error's text meanwhile.
    fn start(&self, pod: &PodFacts) -> Result<Vec<IpAddr>, String>;

    /// Stops the pod's servers. Called once for each UID that was started.
    fn stop(&self, pod: &PodFacts);
}

impl<R: PodRuntime + ?Sized> PodRuntime for Arc<R> {
    fn start(&self, pod: &PodFacts) -> Result<Vec<IpAddr>, String> {
        (**self).start(pod)
    }

    fn stop(&self, pod: &PodFacts) {
        (**self).stop(pod);
    }
}

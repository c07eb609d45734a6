//! Stand-ins for what else runs in a cluster: the scheduler, the controllers of Deployments and
//! EndpointSlices, and kube-proxy.
//!
//! They are punctual and see everything at once. That replicas do not is the business of the watches.

use std::{collections::BTreeMap, time::Duration};

use porter_core::{
    Endpoint, Family, Namespaced, Node, NodeName, ServiceName, Slice, SliceName, TrafficPolicy,
};

use super::{api::Objects, rng::Rng};

/// How long a pod takes to be ready.
pub(crate) const POD_START: Duration = Duration::from_millis(1_200);
/// How long a pod that is deleted still serves.
pub(crate) const POD_STOP: Duration = Duration::from_millis(800);

/// Labels of a pod, or the labels that a selector asks for.
pub(crate) type Labels = BTreeMap<String, String>;

/// What a Deployment asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Workload {
    pub(crate) n_pods: usize,
    pub(crate) labels: Labels,
}

/// What kube-proxy and the EndpointSlice controller need to know of a Service, and people see of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Exposed {
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<Port>,
    pub(crate) cluster_ip: String,
    /// `spec.ipFamilies`: of each there is a slice. IPv4 alone, if none is named.
    pub(crate) families: Vec<Family>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: String,
    pub(crate) node_port: u16,
}

/// A pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) workload: Namespaced,
    pub(crate) node: Option<NodeName>,
    pub(crate) phase: Phase,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// No node takes it.
    Pending,
    Ready,
    Starting,
    Terminating,
}

/// The number of a pod, never used again.
pub(crate) type PodId = u64;

/// Deployments, their pods, and the Services in front of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) workloads: BTreeMap<Namespaced, Workload>,
    pub(crate) exposed: BTreeMap<ServiceName, Exposed>,
    pub(crate) pods: BTreeMap<PodId, Pod>,
    /// Endpoints of pods that were not made here, and stay where they are.
    pub(crate) fixed: BTreeMap<SliceName, Slice>,
    n_pods_ever: PodId,
}

impl Cluster {
    /// Makes as many pods as there should be, and ends those that are too many.
    pub(crate) fn reconcile(&mut self, rng: &mut Rng) -> Vec<PodId> {
        let mut ended = Vec::new();
        for (name, workload) in &self.workloads {
            let alive = |pod: &Pod| pod.workload == *name && pod.phase != Phase::Terminating;
            let mut running: Vec<_> =
                self.pods.iter().filter(|(_, pod)| alive(pod)).map(|(id, _)| *id).collect();
            ended.extend(running.drain(workload.n_pods.min(running.len())..));
            for _ in running.len()..workload.n_pods {
                self.n_pods_ever += 1;
                let pod = Pod {
                    name: format!("{}-{}", name.name(), suffix(rng)),
                    workload: name.clone(),
                    node: None,
                    phase: Phase::Pending,
                };
                self.pods.insert(self.n_pods_ever, pod);
            }
        }
        ended
    }

    /// Gives every pod without a node the one with the fewest pods of its Deployment that takes new
    /// ones. Returns the pods that have a node since.
    pub(crate) fn schedule(&mut self, nodes: &Objects<NodeName, Node>) -> Vec<PodId> {
        let pending: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.phase == Phase::Pending)
            .map(|(id, _)| *id)
            .collect();
        let mut scheduled = Vec::new();
        for id in pending {
            let workload = self.pods[&id].workload.clone();
            let n_on = |node: &NodeName| {
                let there =
                    |pod: &&Pod| pod.workload == workload && pod.node.as_ref() == Some(node);
                self.pods.values().filter(there).count()
            };
            let takes_pods = |node: &Node| node.ready && !node.cordoned;
            let free = nodes.iter().filter(|(_, (_, node))| takes_pods(node));
            if let Some(node) = free.map(|(name, _)| name).min_by_key(|node| n_on(node)).cloned() {
                let pod = self.pods.get_mut(&id).expect("its id comes from this map");
                pod.node = Some(node);
                pod.phase = Phase::Starting;
                scheduled.push(id);
            }
        }
        scheduled
    }

    /// The EndpointSlices of every Service, one for each of its families.
    pub(crate) fn slices(&self, nodes: &Objects<NodeName, Node>) -> BTreeMap<SliceName, Slice> {
        let slices = |(service, exposed): (&ServiceName, &Exposed)| {
            let endpoints = self.endpoints(service, exposed, nodes);
            let families = match exposed.families.is_empty() {
                true => vec![Family::V4],
                false => exposed.families.clone(),
            };
            let service = service.clone();
            families.into_iter().map(move |family| {
                let suffix = match family {
                    Family::V4 => "x7k2p",
                    Family::V6 => "z6v6d",
                };
                let name = format!("{}-{suffix}", service.name());
                let (service, endpoints) = (service.clone(), endpoints.clone());
                let name = SliceName::new(service.namespace(), &name);
                (name, Slice { service, family, endpoints })
            })
        };
        let fixed = self.fixed.iter().map(|(name, slice)| {
            let mut slice = slice.clone();
            for endpoint in &mut slice.endpoints {
                let node = endpoint.node.as_ref().and_then(|node| nodes.get(node));
                // The node controller has the pods of a node that it gave up be no longer ready.
                let given_up = node.is_some_and(|(_, node)| !node.ready);
                endpoint.ready &= !given_up;
                endpoint.serving &= !given_up;
            }
            (name.clone(), slice)
        });
        self.exposed.iter().flat_map(slices).chain(fixed).collect()
    }

    /// The endpoints of a Service. A pod has an address of each family.
    fn endpoints(
        &self,
        service: &ServiceName,
        exposed: &Exposed,
        nodes: &Objects<NodeName, Node>,
    ) -> Vec<Endpoint> {
        let endpoint = |pod: &Pod| {
            let node = pod.node.as_ref();
            let node_is_ready =
                node.and_then(|node| nodes.get(node)).is_some_and(|(_, node)| node.ready);
            Endpoint {
                node: node.cloned(),
                ready: pod.phase == Phase::Ready && node_is_ready,
                serving: matches!(pod.phase, Phase::Ready | Phase::Terminating) && node_is_ready,
                terminating: pod.phase == Phase::Terminating,
            }
        };
        self.pods_of(service, exposed).map(endpoint).collect()
    }

    /// Whether what arrives at `node` for the Service reaches a pod, on a node that `runs`.
    pub(crate) fn delivers(
        &self,
        node: &NodeName,
        service: &ServiceName,
        policy: TrafficPolicy,
        runs: impl Fn(&NodeName) -> bool,
    ) -> bool {
        let Some(exposed) = self.exposed.get(service) else { return false };
        let serves = |pod: &Pod| {
            let is_up = matches!(pod.phase, Phase::Ready | Phase::Terminating);
            is_up && pod.node.as_ref().is_some_and(&runs)
        };
        self.pods_of(service, exposed).any(|pod| match policy {
            TrafficPolicy::Cluster => serves(pod),
            TrafficPolicy::Local => serves(pod) && pod.node.as_ref() == Some(node),
        })
    }

    fn pods_of<'a>(
        &'a self,
        service: &'a ServiceName,
        exposed: &'a Exposed,
    ) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(move |pod| {
            let labels = self.workloads.get(&pod.workload).map(|workload| &workload.labels);
            pod.workload.namespace() == service.namespace()
                && pod.node.is_some()
                && !exposed.selector.is_empty()
                && labels.is_some_and(|labels| {
                    exposed.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
                })
        })
    }
}

/// The end of a pod's name, from the letters that Kubernetes uses.
fn suffix(rng: &mut Rng) -> String {
    (0..5).map(|_| char::from(rng.pick(b"bcdfghjklmnpqrstvwxz2456789"))).collect()
}

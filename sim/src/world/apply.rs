//! What people and controllers do to the cluster: apply manifests, scale, cordon, delete.

use porter_core::{Namespaced, Node, NodeName, ServiceName, TrafficPolicy};

use super::{
    Event, Manifest, Subject, World,
    cluster::{Exposed, POD_START, POD_STOP, Phase, PodId},
};

impl World {
    /// Creates what a manifest describes, or changes it to that.
    pub fn apply(&mut self, manifest: &Manifest) {
        let now = self.wall_time();
        match manifest.clone() {
            Manifest::Deployment(name, workload) => {
                self.cluster.workloads.insert(name, workload);
                self.reconcile();
            }
            Manifest::Eip(name, mut eip) => {
                match self.api.eips.get(&name) {
                    Some((_, known)) => {
                        eip.status = known.status.clone();
                        let annotations = std::mem::take(&mut eip.metadata.annotations);
                        eip.metadata = known.metadata.clone();
                        eip.metadata.annotations.extend(annotations);
                    }
                    None => self.api.stamp(&mut eip.metadata, now),
                }
                self.api.put_eip(name, eip);
            }
            Manifest::Ignored { .. } => {}
            Manifest::Service(name, mut service, mut exposed) => {
                match self.api.services.get(&name) {
                    Some((_, known)) => {
                        service.ingress = known.ingress.clone();
                        service.announced = known.announced.clone();
                        service.conflict = known.conflict.clone();
                        let annotations = std::mem::take(&mut service.metadata.annotations);
                        service.metadata = known.metadata.clone();
                        service.metadata.annotations.extend(annotations);
                    }
                    None => self.api.stamp(&mut service.metadata, now),
                }
                self.complete(&name, &mut exposed);
                self.api.put_service(name.clone(), service);
                self.cluster.exposed.insert(name, exposed);
                self.reconcile();
            }
        }
        self.distribute();
    }

    /// `kubectl delete service`.
    pub fn delete_service(&mut self, name: &ServiceName) {
        self.changes(Subject::Object(name.to_string()), "is deleted");
        self.api.delete_service(name);
        self.reconcile();
    }

    /// `kubectl scale deployment`.
    pub fn scale(&mut self, name: &Namespaced, n_pods: usize) {
        self.changes(Subject::Object(name.to_string()), format!("is scaled to {n_pods}"));
        if let Some(workload) = self.cluster.workloads.get_mut(name) {
            workload.n_pods = n_pods;
        }
        self.reconcile();
    }

    /// `kubectl cordon`, or `uncordon`: whether the node takes new pods.
    pub fn cordon(&mut self, node: &NodeName, cordoned: bool) {
        let what = if cordoned { "is cordoned" } else { "is uncordoned" };
        self.changes(Subject::Node(node.clone()), what);
        self.change_node(node, |node| node.cordoned = cordoned);
    }

    /// Sets whether a node is `Ready`.
    pub fn set_ready(&mut self, node: &NodeName, ready: bool) {
        match ready {
            true => self.changes(Subject::Node(node.clone()), "is Ready"),
            false => self.fails(Subject::Node(node.clone()), "is NotReady"),
        }
        self.change_node(node, |node| node.ready = ready);
    }

    /// `kubectl delete pod` for every pod on a node; new ones come wherever there is room.
    pub fn delete_pods(&mut self, node: &NodeName) {
        self.changes(Subject::Node(node.clone()), "loses its pods");
        let there = |id: &PodId| self.cluster.pods[id].node.as_ref() == Some(node);
        let ids: Vec<_> = self.cluster.pods.keys().copied().filter(there).collect();
        self.end_pods(ids);
        self.reconcile();
    }

    /// `kubectl annotate service`: a person writes one annotation, or removes it.
    pub fn annotate_service(&mut self, name: &ServiceName, key: &str, value: Option<&str>) {
        let Some((_, mut service)) = self.api.services.get(name).cloned() else { return };
        let what = format!("is annotated {key}={}", value.unwrap_or(""));
        self.changes(Subject::Object(name.to_string()), what);
        match value {
            Some(value) => service.metadata.annotations.insert(key.to_owned(), value.to_owned()),
            None => service.metadata.annotations.remove(key),
        };
        self.api.put_service(name.clone(), service);
        self.distribute();
    }

    /// `kubectl patch service`: a person changes `spec.externalTrafficPolicy`.
    pub fn set_policy(&mut self, name: &ServiceName, policy: TrafficPolicy) {
        let Some((_, mut service)) = self.api.services.get(name).cloned() else { return };
        if std::mem::replace(&mut service.policy, policy) == policy {
            return;
        }
        let what = format!("has externalTrafficPolicy {policy:?}");
        self.changes(Subject::Object(name.to_string()), what);
        self.api.put_service(name.clone(), service);
        self.distribute();
    }

    pub(super) fn handle_pod(&mut self, id: PodId) {
        let Some(pod) = self.cluster.pods.get_mut(&id) else { return };
        match pod.phase {
            Phase::Starting => pod.phase = Phase::Ready,
            Phase::Terminating => {
                self.cluster.pods.remove(&id);
            }
            Phase::Pending | Phase::Ready => {}
        }
        self.reconcile();
    }

    pub(super) fn put_node(&mut self, i: usize, change: impl FnOnce(&mut Node)) {
        let name = self.nodes[i].name.clone();
        let mut node = match self.api.nodes.get(&name) {
            Some((_, node)) => node.clone(),
            None => {
                let addresses = self.nodes[i].has();
                Node { ready: true, addresses, ..Node::default() }
            }
        };
        change(&mut node);
        self.api.put_node(name, Some(node));
        self.reconcile();
    }

    fn change_node(&mut self, node: &NodeName, change: impl FnOnce(&mut Node)) {
        if let Some(i) = self.nodes.iter().position(|host| host.name == *node) {
            self.put_node(i, change);
        }
    }

    /// Lets the controllers do their work.
    pub(super) fn reconcile(&mut self) {
        self.cluster.exposed.retain(|name, _| self.api.services.contains_key(name));
        self.cluster.fixed.retain(|_, slice| self.api.services.contains_key(&slice.service));
        let ended = self.cluster.reconcile(&mut self.rng);
        self.end_pods(ended);
        for id in self.cluster.schedule(&self.api.nodes) {
            let at = self.now + POD_START + self.rng.up_to(POD_START);
            self.queue.push(at, Event::Pod(id));
        }
        let slices = self.cluster.slices(&self.api.nodes);
        let gone: Vec<_> =
            self.api.slices.keys().filter(|name| !slices.contains_key(*name)).cloned().collect();
        for name in gone {
            self.api.put_slice(name, None);
        }
        for (name, slice) in slices {
            self.api.put_slice(name, Some(slice));
        }
        self.distribute();
    }

    fn end_pods(&mut self, ids: Vec<PodId>) {
        for id in ids {
            let pod = self.cluster.pods.get_mut(&id).expect("a pod that is there");
            if pod.phase == Phase::Pending {
                self.cluster.pods.remove(&id);
            } else if pod.phase != Phase::Terminating {
                pod.phase = Phase::Terminating;
                self.queue.push(self.now + POD_STOP, Event::Pod(id));
            }
        }
    }

    /// Fills in the addresses and ports that the API server allocates.
    fn complete(&mut self, name: &ServiceName, exposed: &mut Exposed) {
        match self.cluster.exposed.get(name) {
            Some(known) => {
                exposed.cluster_ip = known.cluster_ip.clone();
                let node_ports = known.ports.iter().map(|port| port.node_port);
                exposed.ports.iter_mut().zip(node_ports).for_each(|(port, n)| port.node_port = n);
            }
            None => {
                let [a, b] = [self.rng.below(64), 1 + self.rng.below(254)];
                exposed.cluster_ip = format!("10.233.{a}.{b}");
            }
        }
        for port in exposed.ports.iter_mut().filter(|port| port.node_port == 0) {
            let above = u16::try_from(self.rng.below(2_768)).expect("it is below a u16");
            port.node_port = 30_000 + above;
        }
    }
}

//! What one Service needs next: a step up the ladder, or down.

use std::collections::BTreeSet;

use super::{Controller, Surroundings};
use crate::{
    Ingress, LinkName, MetadataChange, NodeName, Service, ServiceChange, ServiceName,
    ServiceStatus, Silence, claim,
    cluster::Cluster,
    ipam::{self, Holding},
    keys,
    placement::{self, Candidates, Placed},
    request::Request,
};

impl Controller {
    /// What `name` needs next.
    pub(super) fn step_service(
        &mut self,
        name: &ServiceName,
        around: &mut Surroundings<'_>,
    ) -> Option<ServiceChange> {
        let cluster = around.cluster;
        let holding = self.ipam.holding(name).cloned();
        let Some(service) = cluster.services.get(name) else {
            self.step_missing(name, &holding?, around);
            return None;
        };
        self.missing.remove(name);
        self.gone.remove(name);
        let request = cluster.request(service);
        if holding.is_none() {
            self.load.place(name, None);
        }
        match (request, holding) {
            (Some(request), Some(holding)) if self.fits(&request, &holding, cluster) => {
                self.step_up(name, service, &request, &holding, around)
            }
            (_, Some(holding)) => self.step_down(name, service, &holding, around),
            (Some(request), None) => {
                let shown = service.shown().next();
                let Some(holding) = self.ipam.allocate(name, &request, shown).cloned() else {
                    self.waiting.insert(name.clone());
                    return None;
                };
                self.step_up(name, service, &request, &holding, around)
            }
            (None, None) => {
                self.waiting.remove(name);
                let freed = cluster.recorded(name).is_none();
                (freed && cluster.is_traced(service)).then(|| claim::undo(service))
            }
        }
    }

    fn fits(&self, request: &Request, holding: &Holding, cluster: &Cluster) -> bool {
        let served = cluster.eips.get(&holding.eip).is_some_and(ipam::is_layer2);
        served && request.is_met_by(&holding.eip, holding.address)
    }

    /// The next step of a Service towards being answered.
    fn step_up(
        &mut self,
        name: &ServiceName,
        service: &Service,
        request: &Request,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> Option<ServiceChange> {
        self.waiting.remove(name);
        if let Some(change) = claim::due(service, request, holding) {
            return Some(change);
        }
        let eip = around.cluster.eips.get(&holding.eip)?;
        let recorded = eip.status.used.get(&holding.address);
        if !recorded.is_some_and(|holders| holders.contains(name)) {
            self.eips.insert(holding.eip.clone());
            return None;
        }
        // What a Service shows was confirmed when the term began, and shown after it was recorded.
        let ingress = vec![Ingress::Address(holding.address)];
        if service.ingress != ingress && !self.proved.contains(&holding.eip) {
            self.unproved.entry(holding.eip.clone()).or_default().insert(name.clone());
            self.eips.insert(holding.eip.clone());
            return None;
        }
        let placing = self.step_placement(name, service, holding, around);
        if placing.is_some() {
            return placing.map(|node| {
                let annotations = &service.metadata.annotations;
                let annotations =
                    keys::LAYER2.entries(annotations, node.as_str(), request.spelling);
                ServiceChange::Metadata(MetadataChange { annotations, ..MetadataChange::default() })
            });
        }
        (service.ingress != ingress).then(|| status(ingress))
    }

    /// Settles what is answered for a Service that holds an address. Returns the node to put on
    /// record, if another than the recorded one is to be answered.
    fn step_placement(
        &mut self,
        name: &ServiceName,
        service: &Service,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> Option<NodeName> {
        let cluster = around.cluster;
        let link = cluster.eips.get(&holding.eip).and_then(ipam::link_of)?;
        let candidates = cluster.candidates(name, service, link, holding.address);
        let record = placement::record(&service.metadata.annotations).map(|(_, node)| node);
        let record = record.filter(|node| candidates.address(node).is_some());
        let placed = self.load.placed(name).filter(|p| candidates.address(&p.node).is_some());
        // A record that was removed or spoilt by hand does not move an EIP that is answered.
        let stays = record.clone().map(|node| Placed { node, committed: true });
        let stays = stays.or_else(|| placed.cloned());
        let placed = match stays {
            Some(placed) => Some(placed),
            None => self.pick(service, &candidates, link, around),
        };
        self.load.place(name, placed.clone());
        let mac_of = |node: &NodeName| {
            let address = candidates.address(node)?;
            let own = cluster.links.get(&link).filter(|link| link.owns(address));
            own.map(|link| link.mac).or_else(|| around.neighbors.mac((link, address)))
        };
        let answer = match (&candidates, &placed) {
            (Candidates::NoEndpoint, _) => Err(Silence::NoEndpoint),
            (Candidates::Nodes(_), None) => Err(Silence::NoNode),
            (_, Some(placed)) if !placed.committed => Err(Silence::Uncommitted),
            (_, Some(placed)) => mac_of(&placed.node).ok_or(Silence::MacUnknown),
        };
        around.publication.set(link, holding.address, Some(answer));
        placed.map(|placed| placed.node).filter(|node| record.as_ref() != Some(node))
    }

    /// Picks a node among those that answer, once it is known of every candidate whether it does.
    fn pick(
        &self,
        service: &Service,
        candidates: &Candidates,
        link: LinkName,
        around: &Surroundings<'_>,
    ) -> Option<Placed> {
        let Candidates::Nodes(nodes) = candidates else { return None };
        let own = around.cluster.links.get(&link);
        let is_own = |address| own.is_some_and(|link| link.owns(address));
        let settled = |address| is_own(address) || around.neighbors.settled((link, address));
        if !nodes.values().all(|&address| settled(address)) {
            return None;
        }
        let answers = |address| is_own(address) || around.neighbors.mac((link, address)).is_some();
        let open = nodes
            .iter()
            .filter(|&(node, &address)| answers(address) && !around.cluster.is_cordoned(node));
        let load = |node: &NodeName| self.load.count(node);
        let node =
            placement::pick(open.map(|(node, _)| node), service.metadata.uid.as_ref(), load)?;
        Some(Placed { node: node.clone(), committed: false })
    }

    /// The next step of a Service that gives its address back.
    fn step_down(
        &mut self,
        name: &ServiceName,
        service: &Service,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> Option<ServiceChange> {
        if !self.silence(name, holding, around) {
            return None;
        }
        let others =
            service.ingress.iter().filter(|&other| *other != Ingress::Address(holding.address));
        let others: Vec<_> = others.cloned().collect();
        if service.ingress != others {
            return Some(status(others));
        }
        self.free(name);
        None
    }

    /// A holder that is not there: gives its address back once the API server has confirmed that.
    fn step_missing(
        &mut self,
        name: &ServiceName,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) {
        let silent = self.silence(name, holding, around);
        if !self.gone.contains(name) {
            self.missing.insert(name.clone());
        } else if silent {
            self.gone.remove(name);
            self.free(name);
        }
    }

    /// Silences the EIP of a holder. Says whether every responder is silent already.
    fn silence(
        &mut self,
        name: &ServiceName,
        holding: &Holding,
        around: &mut Surroundings<'_>,
    ) -> bool {
        self.load.place(name, None);
        let links: BTreeSet<_> = around.publication.links_of(holding.address).collect();
        for &link in &links {
            around.publication.set(link, holding.address, None);
        }
        let silent = around.publication.is_silent(holding.address);
        if !silent {
            self.leaving.insert(name.clone());
        }
        silent
    }

    fn free(&mut self, name: &ServiceName) {
        self.eips.extend(self.ipam.release(name));
        self.services.append(&mut self.waiting);
        self.services.insert(name.clone());
    }
}

fn status(ingress: Vec<Ingress>) -> ServiceChange {
    ServiceChange::Status(ServiceStatus { ingress, announced: None })
}

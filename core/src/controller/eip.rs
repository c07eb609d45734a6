//! What one Eip needs next.

use super::Controller;
use crate::{
    Condition, EipChange, EipName, EipStatus, MetadataChange, claim, cluster::Cluster, ipam,
    keys::EIP_FINALIZER,
};

impl Controller {
    /// What `name` needs next: its finalizer, its status, or to be let go.
    pub(super) fn step_eip(&self, name: &EipName, cluster: &Cluster) -> Option<EipChange> {
        let eip = cluster.eips.get(name).filter(|eip| ipam::is_layer2(eip))?;
        let finalizers = &eip.metadata.finalizers;
        let finalized = finalizers.iter().any(|finalizer| finalizer == EIP_FINALIZER);
        if !finalized && !eip.metadata.deleting {
            let added = [EIP_FINALIZER.to_owned()];
            return Some(finalizers_change(finalizers.iter().cloned().chain(added)));
        }
        let status = self.status(name, &eip.status, cluster);
        if status != eip.status || self.unproved.contains_key(name) {
            return Some(EipChange::Status(status));
        }
        if finalized && eip.metadata.deleting && !self.ipam.in_use(name) {
            let others = finalizers.iter().filter(|finalizer| *finalizer != EIP_FINALIZER);
            return Some(finalizers_change(others.cloned()));
        }
        None
    }

    /// The status of an Eip as it should be: a holder is recorded once its finalizer is in place.
    fn status(&self, name: &EipName, recorded: &EipStatus, cluster: &Cluster) -> EipStatus {
        let mut used = self.ipam.used(name);
        for (address, holders) in &mut used {
            holders.retain(|holder| {
                let before = recorded.used.get(address).is_some_and(|used| used.contains(holder));
                let holder = cluster.services.get(holder);
                before || holder.is_some_and(|service| claim::is_claimed(service, name))
            });
        }
        used.retain(|_, holders| !holders.is_empty());
        match self.ipam.range(name) {
            Some(range) => EipStatus {
                pool_size: range.size(),
                first: Some(range.first()),
                last: Some(range.last()),
                used,
                ready: Some(ready(true, &recorded.ready)),
            },
            None => EipStatus {
                pool_size: 0,
                first: None,
                last: None,
                used,
                ready: Some(ready(false, &recorded.ready)),
            },
        }
    }
}

fn ready(met: bool, recorded: &Option<Condition>) -> Condition {
    match recorded {
        Some(recorded) if recorded.met == met => recorded.clone(),
        Some(_) | None => Condition {
            met,
            reason: if met { "Served" } else { "InvalidAddress" }.to_owned(),
            message: String::new(),
            generation: 0,
            since: crate::Timestamp(0),
        },
    }
}

fn finalizers_change(finalizers: impl Iterator<Item = String>) -> EipChange {
    let finalizers = Some(finalizers.collect());
    EipChange::Metadata(MetadataChange { finalizers, ..MetadataChange::default() })
}

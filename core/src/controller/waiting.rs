//! Services for which there is no address, and whom they wait for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Family, ServiceName, Size, ipam::Refusal};

/// Who waits for an address, why, and whose change may be what they wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    refused: BTreeMap<ServiceName, Vec<(Family, Refusal)>>,
    /// Who waits for what a Service holds, and is looked at again when that Service has changed: it
    /// may share now. All of them are in `refused`.
    rivals: BTreeMap<ServiceName, BTreeSet<ServiceName>>,
}

impl Waiting {
    /// Takes in why a Service has no address of some families; for no reason: it lacks none.
    pub(super) fn handle_refused(&mut self, name: &ServiceName, refused: Vec<(Family, Refusal)>) {
        self.end(name);
        for rival in refused.iter().filter_map(|(_, refusal)| refusal.rival()) {
            self.rivals.entry(rival.clone()).or_default().insert(name.clone());
        }
        if !refused.is_empty() {
            self.refused.insert(name.clone(), refused);
        }
    }

    /// Takes in that a Service waits no more, or is about to be looked at again.
    pub(super) fn end(&mut self, name: &ServiceName) {
        for (_, refusal) in self.refused.remove(name).into_iter().flatten() {
            let Some(rival) = refusal.rival() else { continue };
            if let Some(others) = self.rivals.get_mut(rival) {
                others.remove(name);
                if others.is_empty() {
                    self.rivals.remove(rival);
                }
            }
        }
    }

    /// Why a Service has no address of which families, if it waits for one.
    pub(super) fn refused(&self, name: &ServiceName) -> Option<&Vec<(Family, Refusal)>> {
        self.refused.get(name)
    }

    /// Those who wait for what a Service holds. They wait no more.
    pub(super) fn take_rivals_of(&mut self, name: &ServiceName) -> BTreeSet<ServiceName> {
        let rivals = self.rivals.get(name).cloned().unwrap_or_default();
        for rival in &rivals {
            self.end(rival);
        }
        rivals
    }

    /// All who wait. They wait no more.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = ServiceName> + use<> {
        self.rivals.clear();
        std::mem::take(&mut self.refused).into_keys()
    }

    /// How much is remembered of so many Services, each of which may want two families.
    pub(super) fn sizes(&self, services: usize) -> [Size; 2] {
        let rivals = self.rivals.values().map(BTreeSet::len).sum();
        [
            Size::new("Services without an address", self.refused.len(), services),
            Size::new("rivals of Services", rivals, 2 * services),
        ]
    }
}

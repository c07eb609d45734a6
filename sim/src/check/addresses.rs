//! Two Services never hold one address, and what a Service shows is what it holds.

use std::{collections::BTreeMap, net::IpAddr};

use porter_core::ServiceName;

use super::Violation;
use crate::world::Api;

pub(super) fn check(api: &Api) -> Result<(), Violation> {
    let mut holders: BTreeMap<IpAddr, &ServiceName> = BTreeMap::new();
    for (eip, by) in api.eips.values().flat_map(|(_, eip)| &eip.status.used) {
        for service in by {
            if let Some(other) = holders.insert(*eip, service) {
                return Err(Violation(format!("{other} and {service} both hold {eip}")));
            }
        }
    }
    for (name, (_, service)) in &api.services {
        if let Some(eip) = service.shown().find(|eip| holders.get(eip) != Some(&name)) {
            return Err(Violation(format!("{name} shows {eip}, which it does not hold")));
        }
    }
    Ok(())
}

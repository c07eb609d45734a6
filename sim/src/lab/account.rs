//! The service account that the agents act for, which may do what the manifests grant it.

use serde_json::Value;

use super::error::{Doing as _, Error};
use crate::apiserver::Store;

/// As the API server calls it.
pub(crate) const NAME: &str = "system:serviceaccount:porter-system:porter-agent";

const MANIFESTS: [&str; 2] = [
    include_str!("../../../deploy/service-account.yaml"),
    include_str!("../../../deploy/rbac.yaml"),
];

/// Makes the account and its permissions known.
pub(crate) fn create(store: &Store) -> Result<(), Error> {
    for manifest in MANIFESTS {
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).expect("it is YAML");
        for object in objects {
            store.create(object).doing(|| "creating the account of the agents".into())?;
        }
    }
    Ok(())
}

//! What a Service carries while it holds an address: our finalizer, and the label of the Eip.
//!
//! The finalizer holds a deleted Service until its address is recorded as free.

use crate::{
    EipName, MetadataChange, Service, ServiceChange, Texts,
    ipam::Holding,
    keys::{self, SERVICE_FINALIZER},
    request::Request,
};

/// Whether a Service carries the finalizer.
pub(crate) fn is_finalized(service: &Service) -> bool {
    service.metadata.finalizers.iter().any(|finalizer| finalizer == SERVICE_FINALIZER)
}

/// Whether a Service carries the finalizer and the label of a holder of an address of `eip`.
pub(crate) fn is_claimed(service: &Service, eip: &EipName) -> bool {
    let metadata = &service.metadata;
    is_finalized(service)
        && keys::EIP.find(&metadata.labels).is_some_and(|(_, label)| label == eip.as_str())
}

/// The change that makes a Service a holder, if it is none yet.
pub(crate) fn due(
    service: &Service,
    request: &Request,
    holding: &Holding,
) -> Option<ServiceChange> {
    if is_claimed(service, &holding.eip) {
        return None;
    }
    let mut finalizers = service.metadata.finalizers.clone();
    if !is_finalized(service) {
        finalizers.push(SERVICE_FINALIZER.to_owned());
    }
    let labels = &service.metadata.labels;
    Some(ServiceChange::Metadata(MetadataChange {
        annotations: vec![],
        labels: keys::EIP.entries(labels, holding.eip.as_str(), request.spelling),
        finalizers: Some(finalizers),
    }))
}

/// The change that removes every trace of us from a Service that holds nothing any more.
pub(crate) fn undo(service: &Service) -> ServiceChange {
    let metadata = &service.metadata;
    let spellings = [keys::Spelling::Porter, keys::Spelling::OpenElb];
    let remove = |key: keys::Key, map: &Texts| {
        let present = spellings.into_iter().map(|spelling| key.spelled(spelling));
        present.filter(|&key| map.contains_key(key)).map(|key| (key.to_owned(), None)).collect()
    };
    let finalizers = metadata.finalizers.iter().filter(|finalizer| *finalizer != SERVICE_FINALIZER);
    ServiceChange::Metadata(MetadataChange {
        annotations: remove(keys::LAYER2, &metadata.annotations),
        labels: remove(keys::EIP, &metadata.labels),
        finalizers: Some(finalizers.cloned().collect()),
    })
}

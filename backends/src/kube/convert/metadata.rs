//! `metadata`, which every object has.

use std::collections::BTreeMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff};
use porter_core::{Metadata, MetadataChange, Texts, Timestamp, Uid, Version, keys};
use serde_json::{Map, Value, json};

/// What decisions are made of.
pub(super) fn fact(metadata: &ObjectMeta) -> Metadata {
    let ObjectMeta { uid, creation_timestamp, deletion_timestamp, generation, .. } = metadata;
    Metadata {
        uid: uid.as_deref().map(Uid::from),
        created: creation_timestamp.as_ref().map(|time| timestamp(time.0)).unwrap_or_default(),
        deleting: deletion_timestamp.is_some(),
        generation: generation.unwrap_or_default(),
        annotations: known(metadata.annotations.as_ref()),
        labels: known(metadata.labels.as_ref()),
        finalizers: metadata.finalizers.clone().unwrap_or_default(),
    }
}

fn known(map: Option<&BTreeMap<String, String>>) -> Texts {
    let known = map.into_iter().flatten().filter(|(key, _)| keys::is_known(key));
    known.map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(super) fn timestamp(time: jiff::Timestamp) -> Timestamp {
    Timestamp(time.as_microsecond())
}

/// The condition that the object still is as it was seen: any other version conflicts.
pub(super) fn precondition(version: Version) -> Value {
    json!({ "metadata": { "resourceVersion": version.0.to_string() } })
}

/// A merge patch (RFC 7386) that changes `metadata` of an object that still has this version.
pub(super) fn patch(version: Version, change: &MetadataChange) -> Value {
    let MetadataChange { annotations, labels, finalizers } = change;
    let mut patch = precondition(version);
    for (field, entries) in [("annotations", annotations), ("labels", labels)] {
        if !entries.is_empty() {
            // In a merge patch null removes.
            let entries = entries.iter().map(|(key, value)| (key.clone(), json!(value)));
            patch["metadata"][field] = entries.collect::<Map<_, _>>().into();
        }
    }
    if let Some(finalizers) = finalizers {
        patch["metadata"]["finalizers"] = json!(finalizers);
    }
    patch
}

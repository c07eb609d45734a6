//! `v1 Namespace`.

use k8s_openapi::api::core::v1::Namespace;
use porter_core::{Input, Kind, Listing, NamespaceName, Version};

use super::Watched;

impl Watched for Namespace {
    const KIND: Kind = Kind::Namespace;
    type Name = NamespaceName;
    type Fact = porter_core::Namespace;

    fn named(_: &str, name: &str) -> NamespaceName {
        NamespaceName::from(name)
    }

    fn fact(&self) -> Option<porter_core::Namespace> {
        let labels = self.metadata.labels.clone().into_iter().flatten().collect();
        Some(porter_core::Namespace { labels })
    }

    fn seen(name: NamespaceName, version: Version, fact: Option<porter_core::Namespace>) -> Input {
        Input::Namespace(name, version, fact)
    }

    fn listed(listing: Listing<NamespaceName, porter_core::Namespace>) -> Input {
        Input::Namespaces(listing)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::convert::read;

    #[test]
    fn every_label_is_known_since_an_eip_may_select_by_any() {
        let labels = json!({ "kubernetes.io/metadata.name": "shop", "tier": "front" });
        let metadata = json!({ "name": "shop", "resourceVersion": "3", "labels": labels });
        let (name, version, namespace) =
            read::<Namespace>(json!({ "metadata": metadata })).unwrap();
        assert_eq!((name, version), (NamespaceName::from("shop"), Version(3)));
        let expected = [("kubernetes.io/metadata.name", "shop"), ("tier", "front")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(namespace.unwrap().labels, expected.into_iter().collect());
    }
}

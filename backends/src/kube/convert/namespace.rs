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
        let labels = self.metadata.labels.clone().unwrap_or_default();
        Some(porter_core::Namespace { labels })
    }

    fn seen(name: NamespaceName, version: Version, fact: Option<porter_core::Namespace>) -> Input {
        Input::Namespace(name, version, fact)
    }

    fn listed(listing: Listing<NamespaceName, porter_core::Namespace>) -> Input {
        Input::Namespaces(listing)
    }
}

//! Objects to facts, and wanted changes to requests: the only place that knows both.
//!
//! Pure, and the same for the real API server and the simulated one. An object is read leniently:
//! what cannot be part of a fact (an address that is none, a holder that is no Service) is left out,
//! since one bad line must not take the rest of the object away. Only an object that cannot be named
//! or told from its older self is [`Unreadable`].

mod condition;
mod eip;
mod lease;
mod metadata;
mod namespace;
mod node;
mod request;
mod service;
mod slice;

use kube::Resource;
use porter_core::{Input, Kind, Listing, Version};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

pub use request::{request, written};

/// A kind of object that is watched, and the fact that the core takes it for.
pub trait Watched: DeserializeOwned + Resource<DynamicType = ()> {
    /// The kind, as the core calls it.
    const KIND: Kind;
    /// The name, as the core calls it.
    type Name: Clone + Ord + Send;
    /// What decisions are made of.
    type Fact: Send;

    /// The name in the core's terms.
    fn named(namespace: &str, name: &str) -> Self::Name;

    /// What the object says; `None`: it means as much to us as if it did not exist.
    fn fact(&self) -> Option<Self::Fact>;

    /// One object was seen, or seen to be gone.
    fn seen(name: Self::Name, version: Version, fact: Option<Self::Fact>) -> Input;

    /// All objects were listed.
    fn listed(listing: Listing<Self::Name, Self::Fact>) -> Input;
}

/// An object with its version, in the core's terms.
pub type Sighting<T> = (<T as Watched>::Name, Version, Option<<T as Watched>::Fact>);

/// Why an object cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its name, or its namespace, would make another path of the one that it is written under. The API
    /// server has no such objects.
    #[error("{0} has a name that no object can have: {1:?}")]
    Misnamed(String, String),
    /// It has no name, so that nothing can be said about it.
    #[error("{0} without a name")]
    Nameless(String),
    /// It does not have the fields of its kind.
    #[error("not a readable {0}: {1}")]
    Shape(String, serde_json::Error),
    /// Its `resourceVersion` has no order, which the API server promises (KEP-5504).
    #[error("{0} has resourceVersion {1:?}, which is no number")]
    Version(String, String),
}

/// An object as JSON. What the API server sends is read from its text: a tree in between would take
/// most of the time and of the memory.
#[derive(Clone, Debug)]
pub enum Json<'a> {
    /// Its text.
    Text(&'a str),
    /// Its tree.
    Tree(Value),
}

impl<'a> From<&'a str> for Json<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(text: &'a RawValue) -> Self {
        Self::Text(text.get())
    }
}

impl From<Value> for Json<'_> {
    fn from(tree: Value) -> Self {
        Self::Tree(tree)
    }
}

/// Reads one object as it stands in an answer of the API server.
pub fn read<'a, T: Watched>(object: impl Into<Json<'a>>) -> Result<Sighting<T>, Unreadable> {
    sighting(&typed::<T>(object.into())?)
}

fn typed<T: Watched>(object: Json<'_>) -> Result<T, Unreadable> {
    let object = match object {
        Json::Text(text) => serde_json::from_str(text),
        Json::Tree(tree) => serde_json::from_value(tree),
    };
    object.map_err(|source| Unreadable::Shape(T::kind(&()).to_string(), source))
}

pub(super) fn sighting<T: Watched>(object: &T) -> Result<Sighting<T>, Unreadable> {
    let kind = T::kind(&());
    let metadata = object.meta();
    let Some(name) = metadata.name.as_deref().filter(|name| !name.is_empty()) else {
        return Err(Unreadable::Nameless(kind.into()));
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    if let Some(bad) = [name, namespace].into_iter().find(|name| !fits_a_path(name)) {
        return Err(Unreadable::Misnamed(kind.into(), bad.into()));
    }
    let version = metadata.resource_version.as_deref().unwrap_or_default();
    let version = version_of(version)
        .ok_or_else(|| Unreadable::Version(format!("{kind} {name}"), version.into()))?;
    Ok((T::named(namespace, name), version, object.fact()))
}

/// Whether a path takes a name as it is. More are refused to objects of our kinds, which have names
/// of DNS.
fn fits_a_path(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    name.bytes().all(fits) && !matches!(name, "." | "..")
}

/// The order of a `resourceVersion`, if it has one.
pub fn version_of(resource_version: &str) -> Option<Version> {
    // `parse` alone would take a sign.
    let digits = resource_version.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| resource_version.parse().ok().map(Version)).flatten()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    fn refusal(metadata: Value) -> String {
        read::<Service>(json!({ "metadata": metadata })).unwrap_err().to_string()
    }

    #[test]
    fn an_object_without_a_name_or_an_ordered_version_is_refused() {
        assert_eq!(refusal(json!({ "resourceVersion": "7" })), "Service without a name");
        for version in ["", "abc", "+7", "7a", "99999999999999999999"] {
            let refusal = refusal(json!({ "name": "web", "resourceVersion": version }));
            let expected =
                format!("Service web has resourceVersion {version:?}, which is no number");
            assert_eq!(refusal, expected);
        }
    }

    #[test]
    fn an_object_whose_name_would_be_another_path_is_refused() {
        for bad in ["a b", "a/b", "a?b", "a#b", "a%2fb", "\u{e9}", "a\n", ".", ".."] {
            let told = format!("Service has a name that no object can have: {bad:?}");
            assert_eq!(refusal(json!({ "name": bad, "resourceVersion": "7" })), told);
            let metadata = json!({ "name": "web", "namespace": bad, "resourceVersion": "7" });
            assert_eq!(refusal(metadata), told);
        }
    }

    #[test]
    fn an_object_of_another_shape_is_refused() {
        assert!(refusal(json!("web")).starts_with("not a readable Service: "));
    }
}

//! What clients learn about the server's kinds before they use them: `/api`, `/apis` and below.
//!
//! Both forms are served: the aggregated one, everything in two documents, to clients that ask for its second
//! version, and the older one, a document for each group and version, to all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::http::{reply, reply_as};
use super::request::accept;
use super::resource::{Kind, KindVersion};
use super::status::Status;
use super::store::Store;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const FACET_VERBS: [&str; 3] = ["get", "patch", "update"];

/// The kinds of one API group, by version, the preferred version first.
struct Group {
    name: String,
    versions: Vec<(String, Vec<Arc<Kind>>)>,
}

/// The document at a path of discovery; `None` if the path is not one.
pub(crate) fn answer(
    store: &Store,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, Status> {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    if !matches!(parts[..], ["api" | "apis"] | ["api", _] | ["apis", _] | ["apis", _, _]) {
        return Ok(None);
    }
    let groups = groups(store);
    let (core, named): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.name.is_empty());
    let aggregated =
        accept(headers).contains("g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let find = |name: &str| {
        groups.iter().find(|group| group.name == name).ok_or_else(Status::no_such_resource)
    };
    let document = match parts[..] {
        ["api"] if aggregated => {
            return Ok(Some(reply_as(StatusCode::OK, AGGREGATED, &aggregate(&core))));
        }
        ["apis"] if aggregated => {
            return Ok(Some(reply_as(StatusCode::OK, AGGREGATED, &aggregate(&named))));
        }
        ["api"] => {
            json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })
        }
        ["apis"] => {
            let groups: Vec<_> = named.iter().map(|group| group.entry()).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
        }
        ["apis", group] => {
            let mut entry = find(group)?.entry();
            entry["kind"] = json!("APIGroup");
            entry["apiVersion"] = json!("v1");
            entry
        }
        ["api", version] => find("")?.resources(version)?,
        ["apis", group, version] => find(group)?.resources(version)?,
        _ => return Ok(None),
    };
    Ok(Some(reply(StatusCode::OK, &document)))
}

fn groups(store: &Store) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for kind in store.kinds() {
        let name = kind.resource.group().to_owned();
        let group =
            groups.entry(name.clone()).or_insert_with(|| Group { name, versions: Vec::new() });
        for version in &kind.versions {
            match group.versions.iter_mut().find(|(known, _)| *known == version.name) {
                Some((_, kinds)) => kinds.push(kind.clone()),
                None => group.versions.push((version.name.clone(), vec![kind.clone()])),
            }
        }
    }
    groups.into_values().collect()
}

fn aggregate(groups: &[&Group]) -> Value {
    let items: Vec<_> = groups.iter().map(|group| group.aggregated()).collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

impl Group {
    fn entry(&self) -> Value {
        let versions: Vec<_> = self
            .versions
            .iter()
            .map(|(version, _)| json!({ "groupVersion": format!("{}/{version}", self.name), "version": version }))
            .collect();
        json!({ "name": self.name, "versions": versions, "preferredVersion": versions[0] })
    }

    fn aggregated(&self) -> Value {
        let resources = |version: &str, kinds: &[Arc<Kind>]| -> Vec<_> {
            kinds.iter().map(|kind| self.aggregated_resource(version, kind)).collect()
        };
        let versions: Vec<_> = self
            .versions
            .iter()
            .map(|(name, kinds)| json!({ "version": name, "freshness": "Current", "resources": resources(name, kinds) }))
            .collect();
        json!({ "metadata": { "name": self.name, "creationTimestamp": null }, "versions": versions })
    }

    fn aggregated_resource(&self, version: &str, kind: &Kind) -> Value {
        let facets: Vec<_> = facets(kind, version)
            .into_iter()
            .map(|(facet, group, version, kind)| {
                let response = json!({ "group": group, "version": version, "kind": kind });
                json!({ "subresource": facet, "responseKind": response, "verbs": FACET_VERBS })
            })
            .collect();
        json!({
            "resource": kind.resource.plural(), "singularResource": kind.singular,
            "responseKind": { "group": self.name, "version": version, "kind": kind.kind },
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
            "shortNames": kind.short_names, "categories": kind.categories, "verbs": VERBS, "subresources": facets,
        })
    }

    fn resources(&self, version: &str) -> Result<Value, Status> {
        let found = self.versions.iter().find(|(name, _)| name == version);
        let (_, kinds) = found.ok_or_else(Status::no_such_resource)?;
        let mut resources = Vec::new();
        for kind in kinds {
            resources.push(json!({
                "name": kind.resource.plural(), "singularName": kind.singular, "namespaced": kind.namespaced,
                "kind": kind.kind, "shortNames": kind.short_names, "categories": kind.categories, "verbs": VERBS,
            }));
            for (facet, group, facet_version, facet_kind) in facets(kind, version) {
                resources.push(json!({
                    "name": format!("{}/{facet}", kind.resource.plural()), "singularName": "",
                    "namespaced": kind.namespaced, "group": group, "version": facet_version, "kind": facet_kind,
                    "verbs": FACET_VERBS,
                }));
            }
        }
        let group_version = if self.name.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.name)
        };
        Ok(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
        }))
    }
}

/// The subresources of a kind: name, and group, version and kind of what they answer with.
fn facets<'a>(kind: &'a Kind, version: &'a str) -> Vec<(&'static str, &'a str, &'a str, &'a str)> {
    let Some(KindVersion { status, scale, .. }) = kind.version(version) else { return Vec::new() };
    let status = status.then_some(("status", kind.resource.group(), version, kind.kind.as_str()));
    let scale = scale.as_ref().map(|_| ("scale", "autoscaling", "v1", "Scale"));
    status.into_iter().chain(scale).collect()
}

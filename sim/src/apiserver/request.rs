//! What a request asks for: the path taken apart, the query, and the form of the answer it accepts.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Uri, header};

use super::resource::{Kind, Resource};
use super::selector::Selectors;
use super::status::Status;
use super::store::Options;

/// A collection, or one object in it, or one facet of the object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) facet: Option<String>,
}

impl Target {
    /// Takes the path of an object or a collection apart, such as `/apis/apps/v1/namespaces/default/deployments`.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match &parts[..] {
            ["api", version, rest @ ..] => ("", version, rest),
            ["apis", group, version, rest @ ..] => (*group, version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // `namespaces/a/status` is about the namespace itself.
            ["namespaces", namespace, plural, ..] if !matches!(*plural, "status" | "finalize") => {
                (Some(*namespace), &rest[2..])
            }
            _ => (None, rest),
        };
        let (plural, name, facet) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(*name), None),
            [plural, name, facet] => (plural, Some(*name), Some(*facet)),
            _ => return None,
        };
        let own = |text: &str| text.to_owned();
        Some(Self {
            resource: Resource::new(group, *plural),
            version: own(version),
            namespace: namespace.map(own),
            name: name.map(own),
            facet: facet.map(own),
        })
    }
}

/// The parameters behind the `?`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Status> {
        let parameters = axum::extract::Query::try_from_uri(uri)
            .map_err(|error| Status::bad_request(format!("the query makes no sense: {error}")))?;
        Ok(Self(parameters.0))
    }

    /// A parameter that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), Some("true" | "1"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Status::bad_request(format!("invalid value for {name}: {text:?} is no number"))
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// What is selected of a kind, in the version asked for.
    pub(crate) fn selectors(&self, kind: &Kind, version: &str) -> Result<Selectors, Status> {
        let text = |name| self.text(name).unwrap_or_default();
        Selectors::parse(kind, version, text("labelSelector"), text("fieldSelector"))
    }

    pub(crate) fn options(&self) -> Result<Options, Status> {
        let dry_run = match self.text("dryRun") {
            None => false,
            Some("All") => true,
            Some(other) => {
                return Err(Status::bad_request(format!(
                    "invalid dryRun {other:?}: only \"All\" is supported"
                )));
            }
        };
        let strict = self.text("fieldValidation") == Some("Strict");
        Ok(Options { dry_run, strict, ..Options::default() })
    }
}

/// The form in which the client wants its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// The object itself.
    Object,
    /// A table for people, as kubectl prints it.
    Table,
    /// `PartialObjectMetadata`: the object without what it is about.
    Metadata,
}

impl Form {
    /// The first form in `Accept` that is spoken here.
    pub(crate) fn accepted(headers: &HeaderMap) -> Result<Self, Status> {
        let accept = accept(headers);
        let mut offers =
            accept.split(',').map(str::trim).filter(|offer| !offer.is_empty()).peekable();
        if offers.peek().is_none() {
            return Ok(Self::Object);
        }
        offers.find_map(Self::offered).ok_or_else(|| {
            Status::not_acceptable("only the following media types are accepted: application/json")
        })
    }

    fn offered(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let parameters: BTreeMap<_, _> = parts.filter_map(|part| part.split_once('=')).collect();
        match (parameters.get("as").copied(), parameters.get("v").copied()) {
            (None, _) => Some(Self::Object),
            (Some("Table"), Some("v1")) => Some(Self::Table),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
                Some(Self::Metadata)
            }
            _ => None,
        }
    }
}

/// The `Accept` header; empty if there is none.
pub(crate) fn accept(headers: &HeaderMap) -> &str {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default()
}

/// The media type of the body, without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let full = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("application/json");
    full.split(';').next().unwrap_or(full).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_both_an_object_and_a_place() {
        let parse = |path| Target::parse(path).expect("a path of an object");
        let status = parse("/api/v1/namespaces/default/status");
        assert_eq!(
            (status.resource, status.name.as_deref(), status.facet.as_deref()),
            (Resource::NAMESPACES, Some("default"), Some("status"))
        );
        let pods = parse("/api/v1/namespaces/default/pods");
        assert_eq!(
            (pods.resource, pods.namespace.as_deref(), pods.name),
            (Resource::PODS, Some("default"), None)
        );
        let scale = parse("/apis/apps/v1/namespaces/a/deployments/web/scale");
        assert_eq!((scale.name.as_deref(), scale.facet.as_deref()), (Some("web"), Some("scale")));
    }

    #[test]
    fn kubectl_gets_a_table_and_kube_rs_an_object() {
        let form = |accept: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, header::HeaderValue::from_static(accept))]);
            Form::accepted(&headers)
        };
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(form(kubectl), Ok(Form::Table));
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Ok(Form::Object));
        assert_eq!(form(""), Ok(Form::Object));
        assert_eq!(form("application/vnd.kubernetes.protobuf").expect_err("not spoken").code, 406);
    }
}

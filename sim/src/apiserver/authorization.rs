//! What those may do for whom somebody acts: what roles grant them, by RBAC objects in the store.
//!
//! `kubectl --as` and kube-rs name in `Impersonate-User` for whom they act. Whoever acts for nobody may do everything,
//! as the members of `system:masters` may on a real server.
//!
//! What was made use of, and what was refused, is remembered, so that a test can compare it with what is granted.
//!
//! Not there: groups, aggregated roles, rules about paths that are no objects (everybody may read what the server is
//! and knows), and that applying what is not there yet creates it.

use std::collections::BTreeSet;
use std::fmt;

use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::faults::Verb;
use super::http::Call;
use super::request::Target;
use super::resource::Resource;
use super::state::State;
use super::status::Status;
use super::store::Store;
use super::writes;

const WITH_ANY: &str = "*";

/// One thing that may be done with one resource.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Permission {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural, and the subresource behind a slash.
    pub resource: String,
    /// What is done.
    pub verb: String,
    /// In which namespace; `None`: in all of them, and with what is in none.
    pub namespace: Option<String>,
    /// With the object of which name; `None`: with any.
    pub name: Option<String>,
}

impl Permission {
    /// Whether this covers what is asked for, which is of one namespace and one name at most.
    fn covers(&self, asked: &Self) -> bool {
        let fits = |granted: &str, asked: &str| granted == WITH_ANY || granted == asked;
        fits(&self.group, &asked.group)
            && fits(&self.resource, &asked.resource)
            && fits(&self.verb, &asked.verb)
            && (self.namespace.is_none() || self.namespace == asked.namespace)
            && (self.name.is_none() || self.name == asked.name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb, .. } = self;
        write!(f, "{verb} resource {resource:?} in API group {group:?} ")?;
        match &self.namespace {
            Some(namespace) => write!(f, "in the namespace {namespace:?}"),
            None => f.write_str("at the cluster scope"),
        }
    }
}

/// What became of requests for others.
#[derive(Debug, Default)]
pub(crate) struct Reviews {
    used: BTreeSet<(String, Permission)>,
    refused: BTreeSet<(String, Permission)>,
}

impl Store {
    /// Everything that is granted to a user, such as `system:serviceaccount:NAMESPACE:NAME`.
    #[must_use]
    pub fn permissions(&self, user: &str) -> BTreeSet<Permission> {
        granted(&self.lock(), user)
    }

    /// What of it somebody who acted for the user made use of.
    #[must_use]
    pub fn used_permissions(&self, user: &str) -> BTreeSet<Permission> {
        of_user(&self.lock().reviews.used, user)
    }

    /// What somebody who acted for the user was refused, whatever the names of the objects.
    #[must_use]
    pub fn refused_permissions(&self, user: &str) -> BTreeSet<Permission> {
        of_user(&self.lock().reviews.refused, user)
    }
}

fn of_user(reviews: &BTreeSet<(String, Permission)>, user: &str) -> BTreeSet<Permission> {
    let of_user = reviews.iter().filter(|(of, _)| of == user);
    of_user.map(|(_, permission)| permission.clone()).collect()
}

/// Refuses what those may not do for whom a request is made.
pub(crate) fn review(call: &Call, target: &Target) -> Result<(), Status> {
    let Some(user) = user(&call.headers)? else { return Ok(()) };
    let verb = Verb::of(&call.method, target, call.query.flag("watch"));
    let asked = asked(verb.ok_or_else(Status::method_not_allowed)?, target, call);
    let mut state = call.store.lock();
    let by = granted(&state, &user).into_iter().find(|permission| permission.covers(&asked));
    if let Some(permission) = by {
        state.reviews.used.insert((user, permission));
        return Ok(());
    }
    let why = format!("User {user:?} cannot {asked}");
    let name = asked.name.clone().unwrap_or_default();
    state.reviews.refused.insert((user, Permission { name: None, ..asked }));
    Err(Status::forbidden(&target.resource, &name, why))
}

/// Where it is asked what somebody may do: objects that are answered, and kept nowhere.
pub(crate) const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Says whether a user may do what a `SubjectAccessReview` asks about.
pub(crate) fn answer(call: &Call) -> Result<Value, Status> {
    let mut review = writes::json(call)?;
    let spec = &review["spec"];
    let attribute = |field: &str| {
        let text = spec["resourceAttributes"][field].as_str();
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let resource = attribute("resource").unwrap_or_default();
    let asked = Permission {
        group: attribute("group").unwrap_or_default(),
        resource: match attribute("subresource") {
            Some(facet) => format!("{resource}/{facet}"),
            None => resource,
        },
        verb: attribute("verb").unwrap_or_default(),
        namespace: attribute("namespace"),
        name: attribute("name"),
    };
    let user = spec["user"].as_str().unwrap_or_default();
    let granted = granted(&call.store.lock(), user);
    let allowed = granted.iter().any(|permission| permission.covers(&asked));
    review["status"] = json!({ "allowed": allowed });
    Ok(review)
}

/// For whom the client acts, if not for himself.
fn user(headers: &HeaderMap) -> Result<Option<String>, Status> {
    let user = headers.get("impersonate-user").map(|user| user.to_str().map(str::to_owned));
    user.transpose().map_err(|_| Status::bad_request("the name of the user is no text"))
}

fn asked(verb: Verb, target: &Target, call: &Call) -> Permission {
    let plural = target.resource.plural();
    let resource = match &target.facet {
        Some(facet) => format!("{plural}/{facet}"),
        None => plural.to_owned(),
    };
    // Objects that are selected by one name are that one object.
    let selected = call.query.text("fieldSelector").and_then(|selector| {
        let name = selector.split(',').find_map(|part| part.strip_prefix("metadata.name="))?;
        Some(name.trim_start_matches('=').to_owned())
    });
    Permission {
        group: target.resource.group().to_owned(),
        resource,
        verb: verb.as_str().to_owned(),
        namespace: target.namespace.clone(),
        name: target.name.clone().or(selected),
    }
}

fn granted(state: &State, user: &str) -> BTreeSet<Permission> {
    let mut granted = BTreeSet::new();
    for resource in [Resource::CLUSTERROLEBINDINGS, Resource::ROLEBINDINGS] {
        for binding in state.list(&resource, None).filter(|binding| binds(binding, user)) {
            let namespace = binding["metadata"]["namespace"].as_str();
            for rule in elements(&role(state, binding, namespace)["rules"]) {
                granted.extend(permissions(rule, namespace));
            }
        }
    }
    granted
}

fn binds(binding: &Value, user: &str) -> bool {
    elements(&binding["subjects"]).any(|subject| {
        let text = |field: &str| subject[field].as_str().unwrap_or_default();
        match text("kind") {
            "ServiceAccount" => {
                user == format!("system:serviceaccount:{}:{}", text("namespace"), text("name"))
            }
            "User" => user == text("name"),
            _ => false,
        }
    })
}

/// The role of a binding; null if there is none.
fn role(state: &State, binding: &Value, namespace: Option<&str>) -> Value {
    let reference = &binding["roleRef"];
    let (roles, namespace) = match reference["kind"].as_str() {
        Some("Role") => (Resource::ROLES, namespace),
        _ => (Resource::CLUSTERROLES, None),
    };
    let mut roles = state.list(&roles, namespace);
    let named = roles.find(|role| role["metadata"]["name"] == reference["name"]);
    named.map(|role| Value::clone(role)).unwrap_or_default()
}

/// Every combination that a rule allows.
fn permissions(rule: &Value, namespace: Option<&str>) -> Vec<Permission> {
    let texts = |field: &str| -> Vec<String> {
        elements(&rule[field]).filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let names = texts("resourceNames").into_iter().map(Some).collect::<Vec<_>>();
    let names = if names.is_empty() { vec![None] } else { names };
    let mut permissions = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            for verb in texts("verbs") {
                permissions.extend(names.iter().map(|name| Permission {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    namespace: namespace.map(str::to_owned),
                    name: name.clone(),
                }));
            }
        }
    }
    permissions
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

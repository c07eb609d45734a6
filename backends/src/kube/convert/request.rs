//! A wanted change as the request that makes it, and the answer to it as the verdict.

use http::{Method, Request, header::CONTENT_TYPE};
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Service},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use porter_core::{EipChange, Namespaced, ServiceChange, Version, Write, Written};
use serde_json::Value;

use super::{Json, Unreadable, Watched, eip, lease, metadata, read, service, sighting, typed};
use crate::kube::Eip;

/// Under which name the API server files what we change (`managedFields`).
const FIELD_MANAGER: &str = "porter";

/// The request that makes a change, on condition of the version that it names.
///
/// `lease` is the Lease that is competed for.
pub fn request(write: &Write, lease: &Namespaced) -> Request<Value> {
    match write {
        Write::Eip(name, version, change) => {
            let path = format!("{}/{name}", Eip::url_path(&(), None));
            match change {
                EipChange::Metadata(change) => patch(path, metadata::patch(*version, change)),
                EipChange::Status(status) => {
                    put(format!("{path}/status"), eip::status_body(name, *version, status))
                }
            }
        }
        Write::Lease(version, record) => {
            let path = Lease::url_path(&(), Some(lease.namespace()));
            match version {
                Some(version) => {
                    patch(format!("{path}/{}", lease.name()), lease::patch(*version, record))
                }
                None => post(path, lease::body(lease, record)),
            }
        }
        Write::Service(name, version, change) => {
            let path = Service::url_path(&(), Some(name.namespace()));
            let path = format!("{path}/{}", name.name());
            match change {
                ServiceChange::Metadata(change) => patch(path, metadata::patch(*version, change)),
                ServiceChange::Status(status) => strategic_merge_patch(
                    format!("{path}/status"),
                    service::status_patch(*version, status),
                ),
            }
        }
    }
}

fn patch(path: String, body: Value) -> Request<Value> {
    build(Method::PATCH, path, "application/merge-patch+json", body)
}

/// Merges a list of conditions by their types, which only this form of patch does.
fn strategic_merge_patch(path: String, body: Value) -> Request<Value> {
    build(Method::PATCH, path, "application/strategic-merge-patch+json", body)
}

fn put(path: String, body: Value) -> Request<Value> {
    build(Method::PUT, path, "application/json", body)
}

fn post(path: String, body: Value) -> Request<Value> {
    build(Method::POST, path, "application/json", body)
}

fn build(method: Method, path: String, content_type: &str, body: Value) -> Request<Value> {
    Request::builder()
        .method(method)
        .uri(format!("{path}?fieldManager={FIELD_MANAGER}"))
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .expect("the names of objects are DNS labels, which a path takes as they are")
}

/// What the API server's answer to a successful write says of the object.
pub fn written<'a>(write: &Write, answer: impl Into<Json<'a>>) -> Result<Written, Unreadable> {
    let answer = answer.into();
    match write {
        Write::Eip(..) => {
            let (version, fact) = left::<Eip>(answer)?;
            Ok(Written::Eip(version, fact))
        }
        Write::Lease(..) => {
            let (_, version, fact) = read::<Lease>(answer)?;
            Ok(Written::Lease(version, fact.expect("every Lease is read as a record")))
        }
        Write::Service(..) => {
            let (version, fact) = left::<Service>(answer)?;
            Ok(Written::Service(version, fact))
        }
    }
}

/// What a write has left of an object. One that waited for its last finalizer is answered as it was
/// when it went.
fn left<T: Watched>(answer: Json<'_>) -> Result<(Version, Option<T::Fact>), Unreadable> {
    let object: T = typed(answer)?;
    let (_, version, fact) = sighting(&object)?;
    let ObjectMeta { deletion_timestamp, finalizers, .. } = object.meta();
    let is_held = finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
    Ok((version, fact.filter(|_| deletion_timestamp.is_none() || is_held)))
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use porter_core::{
        Condition, ConditionChange, EipName, EipStatus, Identity, Ingress, LeaseRecord,
        MetadataChange, ServiceName, ServiceStatus, Timestamp, Version,
    };
    use serde_json::json;

    use super::*;

    /// Method, path and query, content type, body.
    fn sent(write: &Write) -> (String, String, String, Value) {
        let request = request(write, &Namespaced::new("porter-system", "porter-speaker"));
        let content_type = request.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let (method, uri) = (request.method().to_string(), request.uri().to_string());
        (method, uri, content_type, request.into_body())
    }

    fn record() -> LeaseRecord {
        LeaseRecord {
            holder: Some(Identity::from("a")),
            duration: Duration::from_secs(5),
            acquired: Timestamp(0),
            renewed: Timestamp(1),
            transitions: 1,
            released_by: None,
            ..LeaseRecord::default()
        }
    }

    fn service(change: ServiceChange) -> Write {
        Write::Service(ServiceName::new("default", "web"), Version(42), change)
    }

    #[test]
    fn metadata_is_patched_and_what_is_not_named_stays() {
        let change = MetadataChange {
            annotations: vec![("a".into(), Some("1".into())), ("b".into(), None)],
            labels: vec![],
            finalizers: Some(vec!["f".into()]),
        };
        let (method, uri, content_type, body) = sent(&service(ServiceChange::Metadata(change)));
        assert_eq!(method, "PATCH");
        assert_eq!(uri, "/api/v1/namespaces/default/services/web?fieldManager=porter");
        assert_eq!(content_type, "application/merge-patch+json");
        let expected = json!({ "metadata": {
            "resourceVersion": "42",
            "annotations": { "a": "1", "b": null },
            "finalizers": ["f"]
        } });
        assert_eq!(body, expected);
    }

    #[test]
    fn an_ingress_is_patched_as_a_whole_and_a_condition_beside_others() {
        let addresses: [IpAddr; 2] = ["172.22.0.188".parse().unwrap(), "fd00::7".parse().unwrap()];
        let foreign = r#"{"hostname":"a.example"}"#.to_owned();
        let ingress = addresses.into_iter().map(Ingress::Address);
        let ingress = ingress.chain([Ingress::Other(foreign)]).collect();
        let announced = ConditionChange::Set(Condition {
            met: true,
            reason: "Announced".to_owned(),
            message: "here".to_owned(),
            generation: 0,
            since: Timestamp(1_500_000),
        });
        let status = ServiceStatus { ingress, announced, ..ServiceStatus::default() };
        let (method, uri, content_type, body) = sent(&service(ServiceChange::Status(status)));
        assert_eq!(method, "PATCH");
        assert_eq!(content_type, "application/strategic-merge-patch+json");
        assert_eq!(uri, "/api/v1/namespaces/default/services/web/status?fieldManager=porter");
        let ingress = json!([{ "ip": "172.22.0.188", "ipMode": "VIP" },
                             { "ip": "fd00::7", "ipMode": "VIP" },
                             { "hostname": "a.example" }]);
        let condition = json!({ "type": "porter.kubesphere.io/Announced", "status": "True",
                                "reason": "Announced", "message": "here",
                                "lastTransitionTime": "1970-01-01T00:00:01Z" });
        let expected = json!({ "metadata": { "resourceVersion": "42" },
                               "status": { "loadBalancer": { "ingress": ingress },
                                           "conditions": [condition] } });
        assert_eq!(body, expected);
        let sent_status = |announced| {
            let status = ServiceStatus { announced, ..ServiceStatus::default() };
            sent(&service(ServiceChange::Status(status))).3["status"].clone()
        };
        let removed = json!([{ "type": "porter.kubesphere.io/Announced", "$patch": "delete" }]);
        let expected = json!({ "loadBalancer": { "ingress": null }, "conditions": removed });
        assert_eq!(sent_status(ConditionChange::Remove), expected);
        let expected = json!({ "loadBalancer": { "ingress": null } });
        assert_eq!(sent_status(ConditionChange::Keep), expected);
    }

    #[test]
    fn the_status_of_an_eip_is_put_so_that_freed_addresses_go() {
        let change = EipChange::Status(EipStatus { pool_size: 13, ..EipStatus::default() });
        let (method, uri, content_type, body) =
            sent(&Write::Eip(EipName::from("pool"), Version(7), change));
        assert_eq!(method, "PUT");
        let path = "/apis/network.kubesphere.io/v1alpha2/eips/pool/status?fieldManager=porter";
        assert_eq!(uri, path);
        assert_eq!(content_type, "application/json");
        let expected = json!({
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "Eip",
            "metadata": { "name": "pool", "resourceVersion": "7" },
            "status": { "poolSize": 13, "usage": 0 }
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_lease_is_created_once_and_then_patched() {
        let (method, uri, _, body) = sent(&Write::Lease(None, record()));
        assert_eq!(method, "POST");
        let path = "/apis/coordination.k8s.io/v1/namespaces/porter-system/leases";
        assert_eq!(uri, format!("{path}?fieldManager=porter"));
        assert_eq!(body["metadata"]["name"], "porter-speaker");
        let (method, uri, _, body) = sent(&Write::Lease(Some(Version(8)), record()));
        assert_eq!(method, "PATCH");
        assert_eq!(uri, format!("{path}/porter-speaker?fieldManager=porter"));
        let metadata = json!({ "resourceVersion": "8",
                               "annotations": {
                "porter.kubesphere.io/released-by": null,
                "porter.kubesphere.io/fitness": null,
                "porter.kubesphere.io/wanted-by": null
            } });
        assert_eq!(body["metadata"], metadata);
        let spec = json!({
            "holderIdentity": "a",
            "leaseDurationSeconds": 5,
            "acquireTime": "1970-01-01T00:00:00.000000Z",
            "renewTime": "1970-01-01T00:00:00.000001Z",
            "leaseTransitions": 1
        });
        assert_eq!(body["spec"], spec);
    }

    #[test]
    fn an_object_that_lost_its_last_finalizer_is_gone() {
        let write = service(ServiceChange::Status(ServiceStatus::default()));
        let answer = |finalizers: Value| {
            json!({ "metadata": { "name": "web", "namespace": "default", "resourceVersion": "43",
                                  "deletionTimestamp": "2020-08-05T12:00:00Z",
                                  "finalizers": finalizers },
                    "spec": { "type": "LoadBalancer" } })
        };
        let gone = |finalizers| match written(&write, answer(finalizers)) {
            Ok(Written::Service(Version(43), service)) => service.is_none(),
            verdict => panic!("{verdict:?}"),
        };
        assert!(gone(Value::Null));
        assert!(gone(json!([])));
        assert!(!gone(json!(["other.example/hold"])));
    }
}

//! Namespaces, Leases and EndpointSlices.

use serde_json::{Value, json};

use super::super::status::Cause;
use super::{elements_mut, one_of, or_default, unchanged};

pub(super) fn namespace(object: &mut Value) -> Vec<Cause> {
    let name = object["metadata"]["name"].clone();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    or_default(object, "/spec/finalizers", json!(["kubernetes"]));
    or_default(object, "/status/phase", "Active");
    Vec::new()
}

pub(super) fn lease(object: &mut Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = Vec::new();
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|seconds| seconds <= 0) {
        let value = &spec["leaseDurationSeconds"];
        causes.push(Cause::invalid("spec.leaseDurationSeconds", value, "must be greater than 0"));
    }
    if spec["leaseTransitions"].as_i64().is_some_and(|count| count < 0) {
        let value = &spec["leaseTransitions"];
        causes.push(Cause::invalid(
            "spec.leaseTransitions",
            value,
            "must be greater than or equal to 0",
        ));
    }
    causes
}

pub(super) fn endpoint_slice(old: Option<&Value>, object: &mut Value) -> Vec<Cause> {
    for port in elements_mut(&mut object["ports"]) {
        or_default(port, "/name", "");
        or_default(port, "/protocol", "TCP");
    }
    if object["ports"].is_null() {
        super::remove(object, "ports");
    }
    let mut causes = one_of("addressType", &object["addressType"], &["IPv4", "IPv6", "FQDN"]);
    causes.extend(unchanged(old, object, "/addressType"));
    causes
}

//! Pods, on their own and as templates.

use serde_json::{Value, json};

use super::super::status::Cause;
use super::{elements, elements_mut, or_default, port_number};

pub(super) fn complete(object: &mut Value) -> Vec<Cause> {
    or_default(object, "/spec/enableServiceLinks", true);
    or_default(object, "/status/phase", "Pending");
    or_default(object, "/status/qosClass", quality(&object["spec"]));
    spec(&mut object["spec"], "spec")
}

/// Completes and checks a pod's `spec`, wherever it is.
pub(super) fn spec(spec: &mut Value, path: &str) -> Vec<Cause> {
    or_default(spec, "/restartPolicy", "Always");
    or_default(spec, "/dnsPolicy", "ClusterFirst");
    or_default(spec, "/schedulerName", "default-scheduler");
    or_default(spec, "/terminationGracePeriodSeconds", 30);
    or_default(spec, "/securityContext", json!({}));
    let mut causes = Vec::new();
    for (index, one) in elements_mut(&mut spec["containers"]).enumerate() {
        causes.extend(container(one, &format!("{path}.containers[{index}]")));
    }
    if elements(&spec["containers"]).next().is_none() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    causes
}

fn container(container: &mut Value, path: &str) -> Vec<Cause> {
    let image = container["image"].as_str().unwrap_or_default().to_owned();
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'))
        .map_or("latest", |(_, tag)| tag);
    or_default(
        container,
        "/imagePullPolicy",
        if tag == "latest" { "Always" } else { "IfNotPresent" },
    );
    or_default(container, "/resources", json!({}));
    or_default(container, "/terminationMessagePath", "/dev/termination-log");
    or_default(container, "/terminationMessagePolicy", "File");
    let mut causes = Vec::new();
    if image.is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    let Some(ports) = container["ports"].as_array_mut() else {
        super::remove(container, "ports");
        return causes;
    };
    for (index, port) in ports.iter_mut().enumerate() {
        or_default(port, "/protocol", "TCP");
        causes.extend(port_number(
            format!("{path}.ports[{index}].containerPort"),
            &port["containerPort"],
        ));
    }
    causes
}

/// How dear the pod is to its node, by the resources it asks for.
fn quality(spec: &Value) -> &'static str {
    let asks = |what: &str| {
        elements(&spec["containers"]).any(|container| container["resources"][what].is_object())
    };
    match (asks("requests"), asks("limits")) {
        (false, false) => "BestEffort",
        (true, _) => "Burstable",
        (false, true) => "Guaranteed",
    }
}

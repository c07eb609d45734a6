//! Services: types, ports, families, and the addresses and node ports that they are given.

use serde_json::{Value, json};

use super::super::state::State;
use super::super::status::Cause;
use super::allocation::Taken;
use super::{elements, elements_mut, families, one_of, or_default, port_number, remove};

pub(super) fn complete(state: &State, old: Option<&Value>, object: &mut Value) -> Vec<Cause> {
    if object["spec"]["clusterIP"] == "" {
        remove(&mut object["spec"], "clusterIP");
    }
    if let Some(old) = old {
        keep_allocated(&old["spec"], &mut object["spec"]);
    }
    fill_in(object);
    let mut causes = Vec::new();
    if object["spec"]["type"] != "ExternalName" {
        causes.extend(families::settle(old.map(|old| &old["spec"]), &mut object["spec"]));
    }
    causes.extend(check(old, object));
    if !causes.is_empty() {
        return causes;
    }
    // Most writes are of the status or the metadata, and there may be thousands of Services.
    if old.is_some_and(|old| old["spec"] == object["spec"]) {
        return Vec::new();
    }
    let mut taken = Taken::by_others(state, object);
    match allocate(&mut object["spec"], &mut taken) {
        Ok(()) => Vec::new(),
        Err(cause) => vec![cause],
    }
}

/// What was allocated stays, although a client that writes the whole object may not mention it.
fn keep_allocated(old: &Value, new: &mut Value) {
    let kind = |spec: &Value| spec["type"].as_str().unwrap_or("ClusterIP").to_owned();
    if kind(new) == "ExternalName" || kind(old) == "ExternalName" {
        return;
    }
    // A client that names another address gets it, or is told why not; the old list would contradict it.
    let renamed = new["clusterIP"].as_str().is_some_and(|address| address != old["clusterIP"]);
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if new[field].is_null() && !old[field].is_null() && !(renamed && field == "clusterIPs") {
            new[field] = old[field].clone();
        }
    }
    if has_node_ports(new) {
        keep_node_ports(old, new);
    } else if has_node_ports(old) {
        drop_node_ports(old, new);
    }
}

fn keep_node_ports(old: &Value, new: &mut Value) {
    let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
    for port in elements_mut(&mut new["ports"]) {
        let was = elements(&old["ports"])
            .find(|was| was["port"] == port["port"] && protocol(was) == protocol(port));
        if let Some(node_port) = was.and_then(|was| was.get("nodePort")) {
            or_default(port, "/nodePort", node_port.clone());
        }
    }
}

/// What was allocated, not asked for anew, goes with the type that needed it.
fn drop_node_ports(old: &Value, new: &mut Value) {
    for port in elements_mut(&mut new["ports"]) {
        let same = |was: &Value| was["port"] == port["port"] && was["nodePort"] == port["nodePort"];
        if elements(&old["ports"]).any(same) {
            remove(port, "nodePort");
        }
    }
    for field in ["externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts"] {
        remove(new, field);
    }
}

fn has_node_ports(spec: &Value) -> bool {
    matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"))
}

fn fill_in(object: &mut Value) {
    or_default(object, "/status/loadBalancer", json!({}));
    let spec = &mut object["spec"];
    or_default(spec, "/type", "ClusterIP");
    or_default(spec, "/sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        or_default(spec, "/sessionAffinityConfig/clientIP/timeoutSeconds", 10800);
    }
    if spec["type"] != "ExternalName" {
        or_default(spec, "/internalTrafficPolicy", "Cluster");
    }
    if has_node_ports(spec) {
        or_default(spec, "/externalTrafficPolicy", "Cluster");
    }
    if spec["type"] == "LoadBalancer" {
        or_default(spec, "/allocateLoadBalancerNodePorts", true);
    }
    for port in elements_mut(&mut spec["ports"]) {
        or_default(port, "/protocol", "TCP");
        let number = port["port"].clone();
        or_default(port, "/targetPort", number);
    }
    if spec["ports"].is_null() {
        remove(spec, "ports");
    }
}

fn check(old: Option<&Value>, object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = one_of(
        "spec.type",
        &spec["type"],
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    );
    causes.extend(one_of("spec.sessionAffinity", &spec["sessionAffinity"], &["ClientIP", "None"]));
    if has_node_ports(spec) {
        let policy = &spec["externalTrafficPolicy"];
        causes.extend(one_of("spec.externalTrafficPolicy", policy, &["Cluster", "Local"]));
    }
    if spec["type"] == "ExternalName" && spec["externalName"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required("spec.externalName", ""));
    }
    if has_node_ports(spec) && spec["clusterIP"] == "None" {
        let why = "may not be set to 'None' for NodePort and LoadBalancer services";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &spec["clusterIP"], why));
    }
    causes.extend(check_ports(spec));
    if let Some(old) = old.map(|old| &old["spec"]).filter(|old| old["type"] != "ExternalName") {
        let address = &spec["clusterIP"];
        if spec["type"] != "ExternalName"
            && !old["clusterIP"].is_null()
            && *address != old["clusterIP"]
        {
            causes.push(Cause::invalid("spec.clusterIPs[0]", address, "field is immutable"));
        }
        let class = &spec["loadBalancerClass"];
        if old["type"] == "LoadBalancer"
            && spec["type"] == "LoadBalancer"
            && *class != old["loadBalancerClass"]
        {
            causes.push(Cause::invalid("spec.loadBalancerClass", class, "may not change once set"));
        }
    }
    if !spec["loadBalancerClass"].is_null() && spec["type"] != "LoadBalancer" {
        causes.push(Cause::forbidden(
            "spec.loadBalancerClass",
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    causes
}

fn check_ports(spec: &Value) -> Vec<Cause> {
    let ports: Vec<_> = elements(&spec["ports"]).collect();
    let mut causes = Vec::new();
    if ports.is_empty() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        causes.extend(port_number(format!("{path}.port"), &port["port"]));
        causes.extend(one_of(
            &format!("{path}.protocol"),
            &port["protocol"],
            &["SCTP", "TCP", "UDP"],
        ));
        if ports.len() > 1 && port["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        let same =
            |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if ports[..index].iter().any(same) {
            let message = format!(
                "Duplicate value: {{\"protocol\":{},\"port\":{}}}",
                port["protocol"], port["port"]
            );
            causes.push(Cause { field: path, reason: "FieldValueDuplicate", message });
        }
        if !has_node_ports(spec) && port["nodePort"].as_u64().is_some_and(|port| port > 0) {
            let why = "may not be used when `type` is 'ClusterIP'";
            causes.push(Cause::forbidden(format!("spec.ports[{index}].nodePort"), why));
        }
    }
    causes
}

fn allocate(spec: &mut Value, taken: &mut Taken<'_>) -> Result<(), Cause> {
    if spec["type"] == "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            remove(spec, field);
        }
        return Ok(());
    }
    allocate_addresses(spec, taken)?;
    if !has_node_ports(spec) {
        return Ok(());
    }
    let wanted = spec["type"] == "NodePort" || spec["allocateLoadBalancerNodePorts"] != false;
    for (index, port) in elements_mut(&mut spec["ports"]).enumerate() {
        let field = format!("spec.ports[{index}].nodePort");
        if port["nodePort"].as_u64().is_some_and(|port| port > 0) {
            taken.this_node_port(&port["nodePort"], &field)?;
        } else if wanted {
            port["nodePort"] = json!(taken.node_port(&field)?);
        }
    }
    if spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local" {
        if spec["healthCheckNodePort"].is_null() {
            spec["healthCheckNodePort"] = json!(taken.node_port("spec.healthCheckNodePort")?);
        }
    } else {
        remove(spec, "healthCheckNodePort");
    }
    Ok(())
}

fn allocate_addresses(spec: &mut Value, taken: &mut Taken<'_>) -> Result<(), Cause> {
    if spec["clusterIP"] == "None" {
        spec["clusterIPs"] = json!(["None"]);
        return Ok(());
    }
    let families: Vec<_> =
        elements(&spec["ipFamilies"]).filter_map(Value::as_str).map(str::to_owned).collect();
    let mut addresses = Vec::new();
    for (index, family) in families.iter().enumerate() {
        let first = spec["clusterIP"].as_str().filter(|address| index == 0 && !address.is_empty());
        match first.or_else(|| spec["clusterIPs"][index].as_str()) {
            Some(asked) => {
                taken.this_address(asked, family)?;
                addresses.push(asked.to_owned());
            }
            None => addresses.push(taken.address(family)?.to_string()),
        }
    }
    spec["clusterIP"] = json!(addresses[0]);
    spec["clusterIPs"] = json!(addresses);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::store::Store;
    use super::*;

    fn service(name: &str, spec: Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
    }

    #[test]
    fn a_balancer_gets_an_address_and_node_ports_of_its_own() {
        let store = Store::new();
        let spec = json!({ "type": "LoadBalancer", "ports": [{ "port": 8088, "targetPort": 80 }] });
        let one = store.create(service("one", spec.clone())).expect("creates");
        let two = store.create(service("two", spec)).expect("creates");

        assert_eq!(
            (&one["spec"]["clusterIP"], &one["spec"]["ports"][0]["nodePort"]),
            (&json!("10.233.0.2"), &json!(30000))
        );
        assert_eq!(
            (&two["spec"]["clusterIP"], &two["spec"]["ports"][0]["nodePort"]),
            (&json!("10.233.0.3"), &json!(30001))
        );
        for (field, value) in [
            ("/spec/externalTrafficPolicy", json!("Cluster")),
            ("/spec/internalTrafficPolicy", json!("Cluster")),
            ("/spec/allocateLoadBalancerNodePorts", json!(true)),
            ("/spec/ipFamilies", json!(["IPv4"])),
            ("/spec/sessionAffinity", json!("None")),
            ("/spec/ports/0/protocol", json!("TCP")),
            ("/spec/ports/0/targetPort", json!(80)),
            ("/status/loadBalancer", json!({})),
        ] {
            assert_eq!(one.pointer(field), Some(&value), "{field}");
        }
    }

    #[test]
    fn what_was_allocated_survives_a_write_that_does_not_mention_it() {
        let store = Store::new();
        let spec = json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] });
        let first = store.create(service("one", spec.clone())).expect("creates");
        let again = store.replace(service("one", spec)).expect("replaces");
        assert_eq!(first, again);

        let inside = json!({ "type": "ClusterIP", "ports": [{ "port": 80 }] });
        let inside = store.replace(service("one", inside)).expect("replaces");
        assert_eq!(inside["spec"]["ports"][0].get("nodePort"), None);
        assert_eq!(inside["spec"].get("externalTrafficPolicy"), None);
    }

    #[test]
    fn what_is_taken_cannot_be_asked_for() {
        let store = Store::new();
        let spec = json!({ "type": "NodePort", "clusterIP": "10.233.44.8", "ports": [{ "port": 80, "nodePort": 30564 }] });
        store.create(service("one", spec)).expect("creates");
        let refused = |spec: Value| store.create(service("two", spec)).expect_err("taken").message;

        let address = json!({ "clusterIP": "10.233.44.8", "ports": [{ "port": 80 }] });
        assert!(
            refused(address)
                .contains("failed to allocate IP 10.233.44.8: provided IP is already allocated")
        );
        let outside = json!({ "clusterIP": "10.1.0.1", "ports": [{ "port": 80 }] });
        assert!(refused(outside).contains("The range of valid IPs is 10.233.0.0/18"));
        let port = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30564 }] });
        assert!(refused(port).contains(
            "spec.ports[0].nodePort: Invalid value: 30564: provided port is already allocated"
        ));
    }

    #[test]
    fn a_service_without_ports_is_refused() {
        let refused = Store::new().create(service("empty", json!({}))).expect_err("no ports");
        assert_eq!(refused.message, "Service \"empty\" is invalid: spec.ports: Required value");
    }
}

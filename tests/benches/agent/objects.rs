//! What is in the cluster.

use std::net::Ipv4Addr;

use kube::CustomResourceExt as _;
use porter_backends::kube::Eip;
use porter_sim::apiserver::{Patch, Resource, Store, Subresource};
use serde_json::{Value, json};

/// The address of the agent's own node.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(172, 22, 0, 1);

/// The first address of the Eip.
const FIRST: u32 = Ipv4Addr::new(172, 22, 64, 0).to_bits();

/// The address of a node. The first one is the agent's.
pub(crate) fn node_address(node: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(OWN.to_bits() + u32::from(node))
}

/// The addresses of an Eip with so many.
pub(crate) fn eip_addresses(n_addresses: u16) -> impl Iterator<Item = Ipv4Addr> + Clone {
    (FIRST..FIRST + u32::from(n_addresses)).map(Ipv4Addr::from_bits)
}

/// Creates what is there before any Service: the kind Eip, an Eip and nodes.
pub(crate) fn found(store: &Store, n_nodes: u16, n_addresses: u16) {
    create(store, json!(Eip::crd()));
    for node in 0..n_nodes {
        create_node(store, node);
    }
    let last = Ipv4Addr::from_bits(FIRST + u32::from(n_addresses) - 1);
    create(
        store,
        json!({
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "Eip",
            "metadata": { "name": "pool" },
            "spec": {
                "address": format!("{}-{last}", Ipv4Addr::from_bits(FIRST)),
                "interface": "eth0",
                "protocol": "layer2"
            }
        }),
    );
}

/// Creates a node as a kubelet tells of it: what is not decided upon is most of it.
pub(crate) fn create_node(store: &Store, node: u16) {
    let address = node_address(node);
    let images: Vec<_> = (0..50)
        .map(|image| {
            let names = [format!("registry.example/team-{image}/app@sha256:{image:064x}")];
            json!({ "names": names, "sizeBytes": 50_000_000 + image })
        })
        .collect();
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": format!("node-{node}"),
            "labels": { "kubernetes.io/hostname": format!("node-{node}"), "kubernetes.io/os": "linux" }
        },
        "spec": { "podCIDR": "10.244.0.0/24" },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": address }],
            "conditions": [{ "type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z" }],
            "images": images
        }
    });
    create(store, node);
}

/// The pods of a Service, on three nodes.
pub(crate) fn create_slice(store: &Store, name: &str, service: u16, n_nodes: u16) {
    let endpoints: Vec<_> = (0..3.min(n_nodes))
        .map(|nth| {
            let pod = Ipv4Addr::from_bits(
                Ipv4Addr::new(10, 64, 0, 0).to_bits() + 4 * u32::from(service) + u32::from(nth),
            );
            json!({
                "addresses": [pod],
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "nodeName": format!("node-{}", (service + nth) % n_nodes),
                "targetRef": { "kind": "Pod", "namespace": "default", "name": format!("{name}-{nth}") }
            })
        })
        .collect();
    create(
        store,
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-1"),
                "namespace": "default",
                "labels": {
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    "kubernetes.io/service-name": name
                }
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }]
        }),
    );
}

/// A Service that asks for an address.
pub(crate) fn create_service(store: &Store, name: &str) {
    let mut service = service(name, "LoadBalancer");
    service["metadata"]["annotations"] = json!({
        "lb.kubesphere.io/v1alpha1": "porter",
        "protocol.porter.kubesphere.io/v1alpha1": "layer2"
    });
    // A cluster has 2,768 node ports.
    service["spec"]["allocateLoadBalancerNodePorts"] = json!(false);
    create(store, service);
}

/// A Service that asks for nothing of ours.
pub(crate) fn create_other_service(store: &Store, name: &str) {
    create(store, service(name, "ClusterIP"));
}

fn service(name: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": { "app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm" }
        },
        "spec": {
            "type": kind,
            "selector": { "app.kubernetes.io/name": name },
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }]
        }
    })
}

/// A node tells that it is alive.
pub(crate) fn beat(store: &Store, node: u16, beat: u64) {
    let at = format!("2026-01-01T{:02}:{:02}:{:02}Z", beat / 3_600 % 24, beat / 60 % 60, beat % 60);
    let condition = json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": at });
    let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
    let name = format!("node-{node}");
    let told = store.patch(&Resource::NODES, None, &name, Subresource::Status, &patch);
    told.expect("the node is there");
}

fn create(store: &Store, object: Value) {
    store.create(object).expect("it is a valid object");
}

//! What kubectl would print.

use std::net::IpAddr;

use porter_backends::view::table;

use super::{World, cluster::Phase};

impl World {
    /// `kubectl get eip`.
    pub fn get_eips(&self) -> String {
        let rows = self.api.eips.iter().map(|(name, (_, eip))| {
            let status = &eip.status;
            let numbers = [status.usage().to_string(), status.pool_size.to_string()];
            [vec![name.to_string(), eip.address.clone()], numbers.to_vec()].concat()
        });
        table(&["NAME", "CIDR", "USAGE", "TOTAL"], rows)
    }

    /// `kubectl get svc`.
    pub fn get_services(&self) -> String {
        let rows = self.api.services.iter().map(|(name, (_, service))| {
            let exposed = self.cluster.exposed.get(name).cloned().unwrap_or_default();
            let kind = if service.load_balancer { "LoadBalancer" } else { "ClusterIP" };
            let external = match (service.load_balancer, service.ingress.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (false, true) => "<none>".to_owned(),
                (_, false) => join(&service.shown().collect::<Vec<_>>()),
            };
            let ports = exposed.ports.iter().map(|port| match service.load_balancer {
                true => format!("{}:{}/{}", port.number, port.node_port, port.protocol),
                false => format!("{}/{}", port.number, port.protocol),
            });
            let ports = ports.collect::<Vec<_>>().join(",");
            let age = format!("{}s", self.age(service.metadata.created).as_secs());
            let name = name.name().to_string();
            vec![name, kind.to_owned(), exposed.cluster_ip, external, ports, age]
        });
        table(&["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"], rows)
    }

    /// `kubectl get pods -o wide`, the columns that matter here.
    pub fn get_pods(&self) -> String {
        let rows = self.cluster.pods.values().map(|pod| {
            let (ready, status) = match pod.phase {
                Phase::Pending => ("0/1", "Pending"),
                Phase::Ready => ("1/1", "Running"),
                Phase::Starting => ("0/1", "ContainerCreating"),
                Phase::Terminating => ("1/1", "Terminating"),
            };
            let node = pod.node.as_ref().map_or_else(|| "<none>".to_owned(), ToString::to_string);
            vec![pod.name.clone(), ready.to_owned(), status.to_owned(), node]
        });
        table(&["NAME", "READY", "STATUS", "NODE"], rows)
    }

    /// `kubectl get nodes -o wide`, the columns that matter here, and the MAC that only the LAN
    /// knows.
    pub fn get_nodes(&self) -> String {
        let rows = self.nodes.iter().map(|host| {
            let node = self.api.nodes.get(&host.name).map(|(_, node)| node);
            let ready = if node.is_some_and(|node| node.ready) { "Ready" } else { "NotReady" };
            let cordoned = node.is_some_and(|node| node.cordoned);
            let status =
                if cordoned { format!("{ready},SchedulingDisabled") } else { ready.into() };
            vec![host.name.to_string(), status, host.address.to_string(), host.mac.to_string()]
        });
        table(&["NAME", "STATUS", "INTERNAL-IP", "MAC"], rows)
    }

    fn age(&self, created: porter_core::Timestamp) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.wall_time().0 - created.0).unwrap_or(0))
    }
}

fn join(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

//! The statements about what a host outside the cluster is told.

use std::{collections::BTreeSet, time::Duration};

use porter_core::Family;

use super::{EIP, Guide, HTTP};
use crate::lab::{
    curl::curl,
    neighbour::{self, forget},
    ping::ping,
    wait::{LONG, Unmet, until},
};

/// How long a single echo may take.
const PATIENCE: Duration = Duration::from_secs(1);

impl Guide<'_> {
    pub(super) async fn ping_is_answered(&mut self) -> Result<(), Unmet> {
        let client = &self.cluster.client;
        let pinged = until("an answer to a ping", LONG, async || {
            let pinged = ping(client, EIP, 2, PATIENCE).await?;
            Ok(pinged.complete().then_some(pinged))
        })
        .await?;
        self.show("client", &format!("ping -c 2 {EIP}"), pinged);
        Ok(())
    }

    pub(super) async fn neighbour_is_a_node(&mut self) -> Result<(), Unmet> {
        self.show_neighbours().await?;
        let node = self.answered_node().await?;
        self.note(format!("{} is the MAC of {}", node.mac, node.name));
        Ok(())
    }

    pub(super) async fn node_has_the_same_mac(&mut self) -> Result<(), Unmet> {
        let node = self.answered_node().await?;
        let client = &self.cluster.client;
        let pinged = ping(client, node.address, 1, PATIENCE).await?;
        self.show("client", &format!("ping -c 1 {}", node.address), pinged);
        self.show_neighbours().await?;
        self.show_nodes().await?;
        let own = neighbour::resolved(client, node.address.into()).await?;
        match own == self.resolved().await? {
            true => Ok(()),
            false => Err(Unmet::new(format!("{} is elsewhere", node.address))),
        }
    }

    pub(super) async fn node_serves_and_is_recorded(&mut self) -> Result<(), Unmet> {
        let node = self.answered_node().await?;
        let recorded = self.recorded_node().await?.unwrap_or_default();
        let endpoints = self.kubectl.endpoint_nodes().await?;
        self.note(format!(
            "answered: {}; recorded on the Service: {recorded}; ready endpoints on: {}",
            node.name,
            endpoints.join(", ")
        ));
        match recorded == node.name && endpoints.contains(&node.name) {
            true => Ok(()),
            false => Err(Unmet::new("the three do not agree")),
        }
    }

    pub(super) async fn http_reaches_the_pods(&mut self) -> Result<(), Unmet> {
        let pods = self.kubectl.pods().await?;
        let names: Vec<_> = pods.into_iter().filter_map(|pod| pod.metadata.name).collect();
        let mut greetings = BTreeSet::new();
        for _ in 0..2 * names.len() {
            let greeting = curl(&self.cluster.client, HTTP).await?;
            if greetings.insert(greeting.clone()) {
                self.show("client", &format!("curl http://{HTTP}/"), greeting);
            }
        }
        match names.iter().all(|name| greetings.iter().any(|text| text.contains(name.as_str()))) {
            true => Ok(()),
            false => Err(Unmet::new(format!("not all of {} greeted", names.join(", ")))),
        }
    }

    pub(super) async fn one_replica_answered(&mut self) -> Result<(), Unmet> {
        let claims = self.claims(self.before);
        let leader = self.leader().await?;
        let path = "/apis/coordination.k8s.io/v1/namespaces/porter-system/leases";
        self.show_table("lease -n porter-system", path).await?;
        let ports: BTreeSet<_> = claims.iter().map(|frame| frame.port.as_str()).collect();
        let ports: Vec<_> = ports.into_iter().collect();
        self.note(format!(
            "frames heard on the LAN that say where {EIP} is: {}, sent by {}",
            claims.len(),
            ports.join(", ")
        ));
        match (ports.as_slice(), leader) {
            ([port], Some((_, node))) if *port == node.name => Ok(()),
            (_, Some((_, node))) => {
                Err(Unmet::new(format!("the Lease is held by {}'s agent", node.name)))
            }
            (_, None) => Err(Unmet::new("no agent holds the Lease")),
        }
    }

    pub(super) async fn answer_stays(&mut self) -> Result<(), Unmet> {
        let first = self.resolved().await?;
        for _ in 0..3 {
            forget(&self.cluster.client, EIP.into()).await?;
            let pinged = ping(&self.cluster.client, EIP, 1, PATIENCE).await?;
            let again = self.resolved().await?;
            if !pinged.answered() || again != first {
                self.show_neighbours().await?;
                return Err(Unmet::new("a client that asked again was told something else"));
            }
        }
        let command = format!("ip neigh flush to {EIP}; ping -c 1 {EIP} >/dev/null; ip neigh");
        let neighbours = neighbour::neighbours(&self.cluster.client, Family::V4).await?;
        let eip = neighbours.iter().find(|known| known.address == EIP);
        self.show("client", &command, eip.map(ToString::to_string).unwrap_or_default());
        Ok(())
    }
}

//! The statements about objects: what is applied, and what `kubectl get` shows of it.

use super::{EIP, Guide};
use crate::lab::{
    kubectl,
    wait::{LONG, Unmet, until},
};

impl Guide<'_> {
    pub(super) async fn eip_is_listed(&mut self) -> Result<(), Unmet> {
        let applied = self.kubectl.apply(kubectl::EIP_YAML).await?;
        self.show("node1", "kubectl apply -f eip-sample-layer2.yaml", applied);
        let kubectl = self.kubectl.clone();
        until("the Eip to be accepted", LONG, async || {
            let status = kubectl.eip().await?.status.unwrap_or_default();
            let ends = (status.first_ip.as_deref(), status.last_ip.as_deref());
            Ok((ends == (Some("172.22.0.188"), Some("172.22.0.200"))).then_some(()))
        })
        .await?;
        let table = self.show_table("eip", "/apis/network.kubesphere.io/v1alpha2/eips").await?;
        listed(&table, "172.22.0.188-172.22.0.200")
    }

    pub(super) async fn service_has_address(&mut self) -> Result<(), Unmet> {
        self.before = self.cluster.capture.now();
        let applied = self.kubectl.apply(kubectl::APP_YAML).await?;
        self.show("node1", "kubectl apply -f mylbapp.yaml", applied);
        let kubectl = self.kubectl.clone();
        let address = until("the Service to get an address", LONG, async || {
            let service = kubectl.service().await?;
            Ok(service.as_ref().and_then(kubectl::external_ip).map(str::to_owned))
        })
        .await?;
        let path =
            "/api/v1/namespaces/default/services?fieldSelector=metadata.name=mylbapp-svc-layer2";
        let table = self.show_table("svc mylbapp-svc-layer2", path).await?;
        if address != EIP.to_string() {
            return Err(Unmet::new(format!("the Service got {address}")));
        }
        listed(&table, "172.22.0.188")?;
        listed(&table, "8088:")
    }

    pub(super) async fn pods_are_ready(&mut self) -> Result<(), Unmet> {
        let kubectl = self.kubectl.clone();
        until("two ready endpoints", LONG, async || {
            Ok((kubectl.endpoint_nodes().await?.len() == 2).then_some(()))
        })
        .await?;
        let path = "/api/v1/namespaces/default/pods?labelSelector=app%3Dmylbapp";
        let table = self.show_table("pods -l app=mylbapp -o wide", path).await?;
        let ready = table.lines().filter(|line| line.contains("1/1") && line.contains("Running"));
        match ready.count() {
            2 => Ok(()),
            count => Err(Unmet::new(format!("{count} pods are shown as ready"))),
        }
    }

    /// The guide's own way from the MAC to the node goes over this table.
    pub(super) async fn show_nodes(&mut self) -> Result<(), Unmet> {
        self.show_table("nodes -o wide", "/api/v1/nodes").await.map(drop)
    }
}

pub(super) fn listed(table: &str, what: &str) -> Result<(), Unmet> {
    match table.contains(what) {
        true => Ok(()),
        false => Err(Unmet::new(format!("the table does not show {what}"))),
    }
}

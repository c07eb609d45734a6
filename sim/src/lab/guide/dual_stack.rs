//! The statements about a Service of both families, which serves the pods of the guide's Deployment.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use porter_core::Family;

use super::{Guide, objects::listed};
use crate::lab::{
    curl::curl,
    kubectl,
    neighbour::forget,
    wait::{LONG, Unmet, until},
};

const EIP_NAME: &str = "eip-sample-layer2-ipv6";
const RANGE: (&str, &str) = ("fd00:172:22::188", "fd00:172:22::200");
const SERVICE: &str = "mylbapp-svc-dual-stack";
const PORT: u16 = 8088;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Guide<'_> {
    pub(super) async fn ipv6_eip_is_listed(&mut self) -> Result<(), Unmet> {
        if self.cluster.client.ipv6.is_none() {
            return Err(Unmet::new("this machine's kernel has no IPv6"));
        }
        let applied = self.kubectl.apply(kubectl::IPV6_EIP_YAML).await?;
        self.show("node1", &format!("kubectl apply -f {EIP_NAME}.yaml"), applied);
        let kubectl = self.kubectl.clone();
        until("the Eip to be accepted", LONG, async || {
            let status = kubectl.eip_called(EIP_NAME).await?.status.unwrap_or_default();
            let ends = (status.first_ip.as_deref(), status.last_ip.as_deref());
            Ok((ends == (Some(RANGE.0), Some(RANGE.1))).then_some(()))
        })
        .await?;
        let table = self.show_table("eip", "/apis/network.kubesphere.io/v1alpha2/eips").await?;
        listed(&table, &format!("{}-{}", RANGE.0, RANGE.1))
    }

    pub(super) async fn service_has_both_addresses(&mut self) -> Result<(), Unmet> {
        let applied = self.kubectl.apply(kubectl::DUAL_STACK_YAML).await?;
        self.show("node1", "kubectl apply -f mylbapp-dual-stack.yaml", applied);
        let this = &*self;
        let eips = until("the Service to get its addresses", LONG, async || {
            let eips = this.eips().await?;
            Ok((eips.len() == 2).then_some(eips))
        })
        .await?;
        let path =
            format!("/api/v1/namespaces/default/services?fieldSelector=metadata.name={SERVICE}");
        let table = self.show_table(&format!("svc {SERVICE}"), &path).await?;
        let families: Vec<_> = eips.iter().map(|&eip| Family::of(eip)).collect();
        if families != FAMILIES {
            return Err(Unmet::new(format!("it got {eips:?}")));
        }
        listed(&table, &format!("{},{}", eips[0], eips[1]))
    }

    pub(super) async fn endpoints_have_both_addresses(&mut self) -> Result<(), Unmet> {
        let kubectl = self.kubectl.clone();
        until("two endpoints of each family", LONG, async || {
            let slices = kubectl.slices(SERVICE).await?;
            let complete = FAMILIES.iter().all(|family| {
                let of_family =
                    slices.iter().filter(|slice| slice.address_type == family.to_string());
                of_family.flat_map(|slice| slice.endpoints.iter().flatten()).count() == 2
            });
            Ok((complete && slices.len() == 2).then_some(()))
        })
        .await?;
        let label = format!("kubernetes.io/service-name={SERVICE}");
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector={}",
            label.replace('/', "%2F").replace('=', "%3D")
        );
        self.show_table(&format!("endpointslices -l {label}"), &path).await.map(drop)
    }

    pub(super) async fn http_reaches_the_pods_at_both(&mut self) -> Result<(), Unmet> {
        let pods = self.kubectl.pods().await?;
        let names: Vec<_> = pods.into_iter().filter_map(|pod| pod.metadata.name).collect();
        for eip in self.eips().await? {
            let at = SocketAddr::new(eip, PORT);
            let client = &self.cluster.client;
            let first = until(&format!("an answer from {at}"), LONG, async || {
                Ok(curl(client, at).await.ok())
            })
            .await?;
            let mut greetings = BTreeSet::from([first]);
            for _ in 1..2 * names.len() {
                greetings.insert(curl(client, at).await?);
            }
            let all = greetings.iter().cloned().collect::<String>();
            let times = 2 * names.len();
            let command =
                format!("for i in $(seq {times}); do curl -s http://{at}/; done | sort -u");
            self.show("client", &command, &all);
            if !names.iter().all(|name| all.contains(name.as_str())) {
                return Err(Unmet::new(format!("not all of {} greeted", names.join(", "))));
            }
        }
        Ok(())
    }

    pub(super) async fn one_node_is_answered_for_both(&mut self) -> Result<(), Unmet> {
        let eips = self.eips().await?;
        let before = self.cluster.capture.now();
        for &eip in &eips {
            forget(&self.cluster.client, eip).await?;
            curl(&self.cluster.client, SocketAddr::new(eip, PORT)).await?;
        }
        self.show_neighbours_as("ip -4 neigh", Family::V4).await?;
        self.show_neighbours_as("ip -6 neigh", Family::V6).await?;
        let service = self.kubectl.service_called(SERVICE).await?;
        let recorded = service.as_ref().and_then(kubectl::recorded_node).unwrap_or_default();
        self.note(format!("recorded on the Service: {recorded}"));
        let leader = self.leader().await?.map(|(_, node)| &*node.name);
        for eip in eips {
            let node = &self.node_answered_for(eip).await?.name;
            if node != recorded {
                return Err(Unmet::new(format!("{eip} is at {node}")));
            }
            let claims = self.claims_of(eip, before);
            let ports: BTreeSet<_> = claims.iter().map(|frame| &*frame.port).collect();
            let ports: Vec<_> = ports.into_iter().collect();
            self.note(format!("who said where {eip} is: {}", ports.join(", ")));
            if ports.len() != 1 || ports.first().copied() != leader {
                let leader = leader.unwrap_or("nobody");
                return Err(Unmet::new(format!("the Lease is held by the agent of {leader}")));
            }
        }
        Ok(())
    }

    /// The addresses of the Service, IPv4 first.
    async fn eips(&self) -> Result<Vec<IpAddr>, Unmet> {
        let service = self.kubectl.service_called(SERVICE).await?;
        let eips = service.iter().flat_map(kubectl::external_ips);
        let mut eips: Vec<IpAddr> = eips.filter_map(|eip| eip.parse().ok()).collect();
        eips.sort();
        Ok(eips)
    }
}

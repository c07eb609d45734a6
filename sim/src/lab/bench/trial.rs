//! One repeat: a fresh lab, one fault, and what a client saw of it.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use porter_core::keys::RELEASED_BY;
use serde_json::json;
use tokio::time::sleep;

use super::{
    case::{Case, Placement},
    client::{Client, PATIENCE},
    outage::{Outage, is_served},
};
use crate::lab::{
    agent::{self, Agent},
    cluster::{Cluster, Setup},
    kubectl::{self, EIP_YAML, Kubectl},
    state::State,
    wait::{LONG, Unmet, until},
};

/// The Service whose address the client sends to.
const SERVICE_YAML: &str = include_str!("service.yaml");
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(172, 22, 0, 188), 7007);
/// How long the API server is gone.
const API_GONE: Duration = Duration::from_secs(30);
/// How long after the fault, or its end, the client may be without service before nobody waits any
/// longer.
const GIVE_UP: Duration = Duration::from_secs(15);
/// How long the agents are given to see who leads before that one leaves.
const SEEN_BY_THEN: Duration = Duration::from_millis(400);

/// Measures one case once.
pub(crate) async fn run(
    state: &State,
    flags: &[String],
    case: Case,
    placement: Placement,
) -> Result<Outage, Unmet> {
    let cluster = Cluster::up(state, Setup { flags, ..Setup::default() }).await?;
    let kubectl = Kubectl::new(cluster.api.clone());
    let trial = Trial { cluster: &cluster, kubectl, case };
    trial.run(placement).await
}

struct Trial<'a> {
    cluster: &'a Cluster,
    kubectl: Kubectl,
    case: Case,
}

impl<'a> Trial<'a> {
    async fn run(&self, placement: Placement) -> Result<Outage, Unmet> {
        let leader = self.leader().await?;
        let mut others = self.cluster.agents.iter().filter(|it| it.node.name != leader.node.name);
        let (Some(other), Some(third)) = (others.next(), others.next()) else {
            return Err(Unmet::new("there are not three nodes"));
        };
        let (target, spare) = match placement {
            Placement::Apart => (other, third),
            Placement::Together => (leader, other),
        };
        self.serve_from(target).await?;
        if self.case != Case::EndpointMoved {
            self.add_pod("pod-2", spare).await?;
        }
        let client = Client::start(&self.cluster.client, SERVICE, self.case.is_fresh())?;
        until("the client to be served", LONG, async || Ok(self.served(&client).then_some(())))
            .await?;
        let fault_at = Instant::now();
        let mended_at = self.fault(leader, target, spare).await?;
        self.watch(&client, fault_at, mended_at).await;
        Ok(Outage::of(&client.packets(), fault_at, in_time()))
    }

    /// Waits for a leader. That a lease nobody holds is waited out is not measured, so it is made
    /// to look as if a leader had just left.
    async fn leader(&self) -> Result<&'a Agent, Unmet> {
        const PREDECESSOR: &str = "who-led-before";
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": "porter-speaker", "namespace": agent::NAMESPACE },
            "spec": { "holderIdentity": PREDECESSOR, "leaseDurationSeconds": 5 },
        });
        let released = json!({
            "metadata": { "annotations": { RELEASED_BY: PREDECESSOR } },
            "spec": { "holderIdentity": null },
        });
        // On a machine that is slow enough an agent was first, and leads.
        if self.kubectl.create_lease(&lease).await? {
            sleep(SEEN_BY_THEN).await;
            self.kubectl.patch_lease(&released).await?;
        }
        until("a leader", LONG, async || {
            let holder = self.kubectl.lease().await?.and_then(|lease| lease.spec?.holder_identity);
            Ok(holder.and_then(|holder| self.cluster.agent_called(&holder)))
        })
        .await
    }

    /// Makes a node the one that is answered.
    async fn serve_from(&self, target: &Agent) -> Result<(), Unmet> {
        self.kubectl.apply(EIP_YAML).await?;
        self.kubectl.apply(SERVICE_YAML).await?;
        self.add_pod("pod-1", target).await?;
        let node = &target.node.name;
        until("the node to be recorded", LONG, async || {
            let service = self.kubectl.service().await?;
            let recorded = service.as_ref().and_then(kubectl::recorded_node);
            Ok((recorded == Some(node)).then_some(()))
        })
        .await
    }

    async fn add_pod(&self, name: &str, on: &Agent) -> Result<(), Unmet> {
        let node = &on.node.name;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": "mylbapp" } },
            "spec": { "nodeName": node, "containers": [{
                "name": "echo", "image": "echo",
                "ports": [{ "containerPort": SERVICE.port(), "protocol": "UDP" }],
            }] },
        });
        self.kubectl.apply(&pod.to_string()).await?;
        until("the pod to be ready", LONG, async || {
            Ok(self.kubectl.endpoint_nodes().await?.contains(node).then_some(()))
        })
        .await
    }

    /// Makes the fault, and says when it was over if it has an end.
    async fn fault(
        &self,
        leader: &Agent,
        target: &Agent,
        spare: &Agent,
    ) -> Result<Option<Instant>, Unmet> {
        match self.case {
            Case::NodePowerLoss => self.cluster.power(target, false).await?,
            Case::NodeLinkDown => self.cluster.lan.connect(&target.node.name, false).await?,
            Case::EndpointMoved => {
                self.add_pod("pod-2", spare).await?;
                self.kubectl.delete_pod("pod-1").await?;
                return Ok(Some(Instant::now()));
            }
            Case::LeaderCrashCached | Case::LeaderCrashFresh => drop(leader.kill()?),
            Case::LeaderSigterm => drop(leader.terminate()?),
            Case::ApiGoneCached | Case::ApiGoneFresh => {
                self.cluster.uplinks.iter().for_each(|uplink| uplink.cut(true));
                sleep(API_GONE).await;
                self.cluster.uplinks.iter().for_each(|uplink| uplink.cut(false));
                return Ok(Some(Instant::now()));
            }
        }
        Ok(None)
    }

    /// Waits until the client is served again and has been watched for long enough, or until it is
    /// not to be expected any more.
    async fn watch(&self, client: &Client, fault_at: Instant, mended_at: Option<Instant>) {
        let enough_at = fault_at + self.case.watched_for();
        let give_up_at = mended_at.unwrap_or(fault_at) + GIVE_UP;
        loop {
            sleep(PATIENCE).await;
            let now = Instant::now();
            if now >= enough_at && (self.served(client) || now >= give_up_at) {
                return;
            }
        }
    }

    fn served(&self, client: &Client) -> bool {
        is_served(&client.packets(), in_time(), self.case.is_fresh())
    }
}

/// Packets sent before this were answered by now, or never.
fn in_time() -> Instant {
    let now = Instant::now();
    now.checked_sub(PATIENCE).unwrap_or(now)
}

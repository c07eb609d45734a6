//! The statements about what happens when something goes: a pod, a leader, the Service.

use std::time::{Duration, Instant};

use super::{EIP, Guide};
use crate::lab::{
    neighbour::forget,
    ping::ping,
    show,
    station::Station,
    wait::{LONG, LOOK_EVERY, Unmet, until},
};

/// How long a single echo may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// How soon a client's cache has to follow a move: an announcement that was lost is repeated by
/// then.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How long after the end of its Lease a dead leader has to be replaced.
const AFTER_LEASE: Duration = Duration::from_millis(500);

impl<'a> Guide<'a> {
    pub(super) async fn answer_moves_with_the_pod(&mut self) -> Result<(), Unmet> {
        let old = self.answered_node().await?;
        ping(&self.cluster.client, EIP, 1, Duration::from_secs(1)).await?;
        let pods = self.kubectl.pods().await?;
        let on_node = pods.iter().find(|pod| {
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&old.name)
        });
        let pod = on_node.and_then(|pod| pod.metadata.name.clone());
        let pod = pod.ok_or_else(|| Unmet::new(format!("no pod is on {}", old.name)))?;
        let cordoned = self.kubectl.cordon(&old.name, true).await?;
        self.show("node1", &format!("kubectl cordon {}", old.name), cordoned);
        let deleted = self.kubectl.delete_pod(&pod).await?;
        self.show("node1", &format!("kubectl delete pod {pod}"), deleted);

        let this = &*self;
        let new = until("another node to be recorded", LONG, async || {
            Ok(this.recorded_node().await?.filter(|recorded| *recorded != old.name))
        })
        .await?;
        let recorded_at = Instant::now();
        until("the client's cache to follow", AT_ONCE, async || {
            let node = this.answered_node().await?;
            Ok((node.name == new).then_some(()))
        })
        .await?;
        let took = recorded_at.elapsed();
        until("the pod to come back elsewhere", LONG, async || {
            let endpoints = this.kubectl.endpoint_nodes().await?;
            Ok((endpoints.len() == 2 && !endpoints.contains(&old.name)).then_some(()))
        })
        .await?;
        self.show_neighbours().await?;
        let millis = (took + LOOK_EVERY).as_millis();
        self.note(format!(
            "{} -> {new}; the client, which did not ask, knew within {millis} ms of the record",
            old.name
        ));
        let endpoints = self.kubectl.endpoint_nodes().await?;
        self.note(format!("ready endpoints on: {}", endpoints.join(", ")));
        let pinged = ping(&self.cluster.client, EIP, 1, Duration::from_secs(1)).await?;
        self.kubectl.cordon(&old.name, false).await?;
        match pinged.complete() && endpoints.contains(&new) {
            true => Ok(()),
            false => Err(Unmet::new(format!("{new} does not serve it"))),
        }
    }

    pub(super) async fn another_leads(&mut self) -> Result<(), Unmet> {
        let lease = self.kubectl.lease().await?.and_then(|lease| lease.spec);
        let seconds = lease.and_then(|lease| lease.lease_duration_seconds);
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let seconds = seconds.ok_or_else(|| Unmet::new("the Lease has no duration"))?;
        let limit = Duration::from_secs(seconds) + AFTER_LEASE;
        let (old, node) = self.leading().await?;
        let agent = self.cluster.agents.iter().find(|agent| agent.node.name == node.name);
        let agent = agent.ok_or_else(|| Unmet::new("the leader is no agent of the lab"))?;

        let process = agent.kill()?;
        let killed_at = Instant::now();
        self.show(&node.name, &format!("kill -9 {}  # {old}", process.as_raw_nonzero()), "");
        let client = &self.cluster.client;
        until("a fresh client to be answered", limit, async || {
            forget(client, EIP.into()).await?;
            Ok(ping(client, EIP, 1, PATIENCE).await?.answered().then_some(()))
        })
        .await?;
        let took = killed_at.elapsed();
        self.show_neighbours().await?;
        let (new, _) = self.leading().await?;
        self.note(format!(
            "a client that had to ask was answered {:.1} s later; a Lease lasts {seconds} s\nit is held by {new}",
            took.as_secs_f64()
        ));
        match took <= limit && new != old {
            true => Ok(()),
            false => {
                Err(Unmet::new(format!("another has to lead within {} s", limit.as_secs_f64())))
            }
        }
    }

    pub(super) async fn eip_falls_silent(&mut self) -> Result<(), Unmet> {
        let deleted = self.kubectl.delete_service().await?;
        self.show("node1", "kubectl delete svc mylbapp-svc-layer2", deleted);
        let kubectl = self.kubectl.clone();
        until("the Service to be gone", LONG, async || {
            Ok(kubectl.service().await?.is_none().then_some(()))
        })
        .await?;
        until("the address to be free", LONG, async || {
            let status = kubectl.eip().await?.status.unwrap_or_default();
            Ok(status.used.is_empty().then_some(()))
        })
        .await?;
        self.show_table("eip", "/apis/network.kubesphere.io/v1alpha2/eips").await?;
        show::line(format_args!("  … listening for 3 s for who still speaks for {EIP}"));
        let silent_from = self.cluster.capture.now();
        forget(&self.cluster.client, EIP.into()).await?;
        let pinged = ping(&self.cluster.client, EIP, 3, Duration::from_secs(1)).await?;
        let (answered, claims) = (pinged.answered(), self.claims(silent_from).len());
        self.show("client", &format!("ping -c 3 {EIP}"), pinged);
        self.show_neighbours().await?;
        match !answered && claims == 0 {
            true => Ok(()),
            false => Err(Unmet::new(format!("{claims} frames still said where {EIP} is"))),
        }
    }

    async fn leading(&self) -> Result<(String, &'a Station), Unmet> {
        self.leader().await?.ok_or_else(|| Unmet::new("no agent holds the Lease"))
    }
}

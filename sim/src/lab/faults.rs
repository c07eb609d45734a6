//! Makes and undoes faults in the running lab, and says what there is to see.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::ResourceExt as _;
use rustix::process::Pid;

use super::{
    agent::Agent,
    cluster::Cluster,
    error::Error,
    kubectl::Kubectl,
    order::{Mendable, Order, Part, Wire},
    wait::{LONG, Unmet, until},
};
use crate::standins::GRACE;

/// Shows who speaks.
const WATCH_LEASE: &str = "kubectl -n porter-system get lease porter-speaker -w";
/// Shows where the client believes the EIP to be.
const WATCH_NEIGHBOURS: &str = "porter lab exec client -- ip -s neigh";
/// Shows what the client gets.
const WATCH_PING: &str = "porter lab exec client -- ping -i 0.2 172.22.0.188";

/// What is wrong with a lab by order of its user.
pub(crate) struct Faults<'a> {
    cluster: &'a Cluster,
    kubectl: Kubectl,
    /// The stations whose cable was pulled.
    unplugged: BTreeSet<String>,
    drained: BTreeSet<String>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let kubectl = Kubectl::new(cluster.api.clone());
        Self { cluster, kubectl, unplugged: BTreeSet::new(), drained: BTreeSet::new() }
    }

    /// Does it, and returns what was done and what to watch.
    pub(crate) async fn carry_out(&mut self, order: Order) -> Result<String, Error> {
        let doing = order.to_string();
        let done = match order {
            Order::Cut(wire, station) => self.cut(wire, station).await,
            Order::Drain(node) => self.drain(&node).await,
            Order::Heal(what, station) => self.heal(what, station).await,
            Order::Kill(part, node) => self.kill(part, &node).await,
            Order::Pause(part, node, time) => self.pause(part, &node, time).await,
            Order::Restart(part, node) => self.restart(part, &node).await,
        };
        done.map_err(|why| Error::new(doing, why.to_string()))
    }

    async fn kill(&mut self, part: Part, node: &str) -> Result<String, Unmet> {
        let agent = self.powered(node)?;
        match part {
            Part::Agent => {
                let process = agent.kill().map_err(bare)?;
                Ok(watch(
                    &format!(
                        "Killed the agent on {node} (kill -9 {}). A new one starts soon, as a pod's \
                         container does.",
                        number(process)
                    ),
                    &[WATCH_LEASE, WATCH_PING],
                ))
            }
            Part::Node => {
                self.cluster.power(agent, false).await?;
                Ok(watch(
                    &format!(
                        "{node} has no power: it is silent on the LAN, its agent is dead, and in {} s \
                         its kubelet is missed. `porter lab restart node {node}` switches it on.",
                        GRACE.as_secs()
                    ),
                    &[WATCH_PING, WATCH_NEIGHBOURS, "kubectl get nodes -w"],
                ))
            }
        }
    }

    async fn pause(
        &mut self,
        part: Part,
        node: &str,
        time: Option<Duration>,
    ) -> Result<String, Unmet> {
        let agent = self.powered(node)?;
        if agent.is_paused() {
            let advice = format!("it is paused already; `porter lab heal {node}` lets it go on");
            return Err(Unmet::new(advice));
        }
        let process = agent.pause().map_err(bare)?;
        if part == Part::Node {
            self.cluster.lan.connect(node, false).await?;
            self.unplugged.insert(node.into());
        }
        let whole = match part {
            Part::Agent => format!("the agent on {node} (kill -STOP {})", number(process)),
            Part::Node => format!("{node}: its agent stands still and nothing of it is on the LAN"),
        };
        let Some(time) = time else {
            let said = format!("Paused {whole}. `porter lab heal {node}` lets it go on.");
            return Ok(watch(&said, &[WATCH_LEASE, WATCH_PING]));
        };
        tokio::time::sleep(time).await;
        let mut mended = Vec::new();
        self.mend_agent(agent, &mut mended);
        if part == Part::Node {
            self.mend_lan(node, &mut mended).await?;
        }
        let said = format!("Paused {whole}, for {} s. It goes on.", time.as_secs_f64());
        Ok(watch(&said, &[WATCH_LEASE, WATCH_PING]))
    }

    async fn cut(&mut self, wire: Wire, station: Option<String>) -> Result<String, Unmet> {
        match (wire, station) {
            (Wire::Lan, None) => {
                let known = self.stations().join(", ");
                Err(Unmet::new(format!("say whose cable: there are {known}")))
            }
            (Wire::Lan, Some(station)) => {
                self.station(&station)?;
                if !self.unplugged.insert(station.clone()) {
                    let advice = format!("it is cut; `porter lab heal lan {station}` mends it");
                    return Err(Unmet::new(advice));
                }
                self.cluster.lan.connect(&station, false).await?;
                let said = format!(
                    "Pulled the cable of {station}; it still reaches the API server. `porter lab heal \
                     lan {station}` puts it back."
                );
                Ok(watch(&said, &[WATCH_PING, WATCH_NEIGHBOURS]))
            }
            (Wire::Api, station) => {
                if let Some(station) = &station {
                    self.agent(station)?;
                }
                let uplinks = self.cluster.uplinks.iter();
                let uplinks: Vec<_> = uplinks
                    .filter(|uplink| station.as_ref().is_none_or(|station| uplink.node == *station))
                    .filter(|uplink| !uplink.is_cut())
                    .collect();
                if uplinks.is_empty() {
                    return Err(Unmet::new("it is cut; `porter lab heal api` mends it"));
                }
                uplinks.iter().for_each(|uplink| uplink.cut(true));
                let names: Vec<_> = uplinks.iter().map(|uplink| uplink.node.as_str()).collect();
                let said = format!(
                    "Nothing passes between the API server and {}. kubectl on this host still \
                     reaches it. `porter lab heal api` mends it.",
                    names.join(", ")
                );
                Ok(watch(&said, &[WATCH_LEASE, WATCH_PING]))
            }
        }
    }

    async fn heal(
        &mut self,
        what: Option<Mendable>,
        station: Option<String>,
    ) -> Result<String, Unmet> {
        if let Some(station) = &station {
            self.station(station)?;
        }
        let wanted = |one: Mendable| what.is_none_or(|what| what == one);
        let here = |name: &str| station.as_deref().is_none_or(|station| station == name);
        let cluster = self.cluster;
        let mut mended = Vec::new();
        for agent in cluster.agents.iter().filter(|agent| here(&agent.node.name)) {
            let node = &agent.node.name;
            if wanted(Mendable::Node) && !cluster.has_power(node) {
                cluster.power(agent, true).await?;
                mended.push(format!("{node} has power"));
            }
            if wanted(Mendable::Agent) && agent.is_paused() {
                self.mend_agent(agent, &mut mended);
            }
            if wanted(Mendable::Node) && self.drained.remove(node) {
                self.kubectl.cordon(node, false).await?;
                mended.push(format!("{node} takes pods"));
            }
        }
        for name in self.stations().into_iter().filter(|name| here(name)) {
            if wanted(Mendable::Lan) {
                self.mend_lan(&name, &mut mended).await?;
            }
        }
        for uplink in cluster.uplinks.iter().filter(|uplink| here(&uplink.node)) {
            if wanted(Mendable::Api) && uplink.is_cut() {
                uplink.cut(false);
                mended.push(format!("{} reaches the API server", uplink.node));
            }
        }
        if mended.is_empty() {
            let advice = "there is nothing to heal; `porter lab cut`, `pause`, `kill node` and \
                          `drain` are what it undoes";
            return Err(Unmet::new(advice));
        }
        Ok(watch(&format!("Healed: {}.", mended.join("; ")), &[WATCH_LEASE, WATCH_PING]))
    }

    fn mend_agent(&self, agent: &Agent, mended: &mut Vec<String>) {
        // One that was killed meanwhile has nothing to go on with.
        if agent.resume().is_ok() {
            mended.push(format!("the agent on {} goes on", agent.node.name));
        }
    }

    async fn mend_lan(&mut self, name: &str, mended: &mut Vec<String>) -> Result<(), Unmet> {
        // Without power there is nobody at the other end.
        if self.cluster.has_power(name) && self.unplugged.remove(name) {
            self.cluster.lan.connect(name, true).await?;
            mended.push(format!("{name} is on the LAN"));
        }
        Ok(())
    }

    async fn drain(&mut self, node: &str) -> Result<String, Unmet> {
        self.agent(node)?;
        let mut said = vec![self.kubectl.cordon(node, true).await?];
        self.drained.insert(node.into());
        for pod in self.kubectl.pods_on(node).await? {
            let name = pod.name_any();
            self.kubectl.delete_pod(&name).await?;
            said.push(format!("pod/{name} evicted"));
        }
        let gone = until("the pods to be gone", LONG, async || {
            Ok(self.kubectl.pods_on(node).await?.is_empty().then_some(()))
        });
        if gone.await.is_err() {
            let power = match self.cluster.has_power(node) {
                true => "",
                false => ": it has no power, so nobody says that they ended",
            };
            return Err(Unmet::new(format!("its pods are still being deleted{power}")));
        }
        said.push(format!("node/{node} drained"));
        said.push(format!("`porter lab heal {node}` lets pods on it again."));
        Ok(watch(&said.join("\n"), &["kubectl get pods -o wide", WATCH_NEIGHBOURS]))
    }

    async fn restart(&mut self, part: Part, node: &str) -> Result<String, Unmet> {
        match part {
            Part::Agent => {
                let (old, new) = self.powered(node)?.restart().await.map_err(bare)?;
                let old = old.map_or_else(|| "none ran".into(), |old| format!("{}", number(old)));
                let said = format!(
                    "Restarted the agent on {node} (kill -TERM; process before: {old}, now: {}).",
                    number(new)
                );
                Ok(watch(&said, &[WATCH_LEASE, WATCH_PING]))
            }
            Part::Node => {
                let agent = self.agent(node)?;
                let was_on = self.cluster.has_power(node);
                if was_on {
                    self.cluster.power(agent, false).await?;
                    tokio::time::sleep(BOOT).await;
                }
                self.cluster.power(agent, true).await?;
                self.unplugged.remove(node);
                let said = match was_on {
                    true => format!("{node} was off for {} s and is on again.", BOOT.as_secs()),
                    false => format!("{node} is on again."),
                };
                Ok(watch(&said, &[WATCH_PING, "kubectl get nodes -w"]))
            }
        }
    }

    /// The agent of a node that has power.
    fn powered(&self, node: &str) -> Result<&'a Agent, Unmet> {
        let agent = self.agent(node)?;
        match self.cluster.has_power(node) {
            true => Ok(agent),
            false => Err(Unmet::new(format!(
                "{node} has no power; `porter lab restart node {node}` switches it on"
            ))),
        }
    }

    fn agent(&self, node: &str) -> Result<&'a Agent, Unmet> {
        let agent = self.cluster.agents.iter().find(|agent| agent.node.name == node);
        agent.ok_or_else(|| {
            let nodes: Vec<_> = self.cluster.nodes.iter().map(|node| node.name.as_str()).collect();
            Unmet::new(format!("there is no node {node}; there are {}", nodes.join(", ")))
        })
    }

    fn station(&self, name: &str) -> Result<(), Unmet> {
        let stations = self.stations();
        match stations.iter().any(|station| station == name) {
            true => Ok(()),
            false => {
                let known = stations.join(", ");
                Err(Unmet::new(format!("there is no station {name}; there are {known}")))
            }
        }
    }

    fn stations(&self) -> Vec<String> {
        let nodes = self.cluster.nodes.iter().map(|node: &Arc<_>| node.name.clone());
        nodes.chain([self.cluster.client.name.clone()]).collect()
    }
}

/// How long a node is off that is restarted.
const BOOT: Duration = Duration::from_secs(2);

/// Why, without what: the order says that.
fn bare(error: Error) -> Unmet {
    Unmet::new(error.into_parts().1)
}

fn number(process: Pid) -> i32 {
    process.as_raw_nonzero().get()
}

fn watch(said: &str, commands: &[&str]) -> String {
    let commands: Vec<_> = commands.iter().map(|command| format!("  {command}")).collect();
    format!("{said}\nTo watch:\n{}", commands.join("\n"))
}

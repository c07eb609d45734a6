//! The whole lab: the LAN with its stations, the API server, what plays the cluster, and Porter's
//! agents.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use kube::CustomResourceExt as _;
use porter_backends::kube::Eip;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};

use crate::{
    apiserver::{self, Store},
    standins::{self, NodeFacts, Silent},
};

use super::{
    account,
    agent::{Agent, Recipe},
    capture::Capture,
    error::{Doing, Error},
    kube_proxy,
    kubeconfig::kubeconfig,
    lan::Lan,
    pod::{self, Pods},
    state::State,
    station::Station,
    sysctl,
    uplink::Uplink,
};

/// The client outside the cluster.
const CLIENT: (&str, u8) = ("client", 100);
/// Where the API server listens on every node.
const ON_NODE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

/// A cluster with a LAN and a client. Everything ends when it is dropped.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Arc<Station>>,
    pub(crate) client: Station,
    pub(crate) agents: Vec<Agent>,
    pub(crate) capture: Capture,
    /// The API server as `kubectl` on this host sees it.
    pub(crate) api: kube::Client,
    /// Says how to reach the API server from this host.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) lan: Lan,
    /// What each node reaches the API server by.
    pub(crate) uplinks: Vec<Uplink>,
    /// The nodes without power.
    silent: watch::Sender<Silent>,
    /// What plays the rest of the cluster. Held because it ends when dropped.
    _players: JoinSet<()>,
}

/// How a cluster is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup<'a> {
    /// The port of this host on which the API server listens; 0 takes a free one.
    pub(crate) port: u16,
    /// Where to write what was captured on the LAN to.
    pub(crate) capture_to: Option<&'a Path>,
    /// The binary that the agents are; `None`: this one.
    pub(crate) agent: Option<&'a Path>,
    /// What the agents are told on their command lines.
    pub(crate) flags: &'a [String],
}

impl Cluster {
    /// Brings everything up.
    pub(crate) async fn up(state: &State, setup: Setup<'_>) -> Result<Self, Error> {
        let store = Store::new();
        let crd = serde_json::to_value(Eip::crd()).expect("a CRD is JSON");
        store.create(crd).doing(|| "creating the Eip kind".into())?;
        account::create(&store)?;

        let mut facts = standins::guide_nodes();
        if !sysctl::has_ipv6() {
            facts.iter_mut().for_each(|node| node.internal_ips.retain(IpAddr::is_ipv4));
        }
        let lan = Lan::new().await?;
        let nodes = nodes(&lan, &facts).await?;
        let (name, host) = CLIENT;
        let ipv6 = sysctl::has_ipv6().then(|| standins::guide_ipv6(host));
        let mut client = Station::new(name, Ipv4Addr::new(172, 22, 0, host), ipv6).await?;
        lan.plug(&mut client).await?;
        publish(state, &lan, &nodes, &client)?;

        let mut players = JoinSet::new();
        let port = setup.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.doing(|| format!("listening on port {port} of 127.0.0.1"))?;
        let server = listener.local_addr().doing(|| "reading a socket's address".into())?;
        players.spawn(apiserver::serve(store.clone(), listener));
        let mut uplinks = Vec::new();
        for node in &nodes {
            let listener = listen(node)?;
            let (uplink, running) = Uplink::new(&node.name, listener, server);
            uplinks.push(uplink);
            players.spawn(running);
            players.spawn(kube_proxy::run(node.clone(), store.clone()));
        }
        let silent = watch::Sender::new(Silent::new());
        let pods = Pods::new(nodes.clone());
        players.spawn(standins::run(store, facts, pods, silent.subscribe()));

        let file = setup.capture_to.map(File::create).transpose();
        let file = file.doing(|| "creating the capture file".into())?;
        let capture = Capture::start(&lan, file).await?;
        let agents = agents(state, &nodes, &setup)?;
        let server = format!("http://{server}");
        let uri = server.parse().expect("a socket address makes a URI");
        let api = kube::Client::try_from(kube::Config::new(uri));
        Ok(Self {
            nodes,
            client,
            agents,
            capture,
            api: api.doing(|| "preparing a client of the API server".into())?,
            kubeconfig: state.write("kubeconfig", &kubeconfig(&server, None))?,
            lan,
            uplinks,
            silent,
            _players: players,
        })
    }

    /// Whether a node has power.
    pub(crate) fn has_power(&self, node: &str) -> bool {
        !self.silent.borrow().contains_key(node)
    }

    /// Gives an agent's node power, or takes it away: from one instant to the next nothing of it is
    /// on the LAN, its agent is dead, and its kubelet silent.
    pub(crate) async fn power(&self, agent: &Agent, on: bool) -> Result<(), Error> {
        let node = &agent.node.name;
        self.lan.connect(node, on).await?;
        agent.power(on);
        self.silent.send_modify(|silent| match on {
            true => drop(silent.remove(node)),
            false => drop(silent.entry(node.clone()).or_insert_with(Instant::now)),
        });
        Ok(())
    }

    /// The agent that holds a Lease under a name, which begins with that of its pod.
    pub(crate) fn agent_called(&self, holder: &str) -> Option<&Agent> {
        let agents = self.agents.iter().filter(|agent| holder.starts_with(&agent.pod_name()));
        agents.max_by_key(|agent| agent.pod_name().len())
    }

    /// The node whose `eth0` has a MAC.
    pub(crate) fn node_at(&self, mac: pnet::util::MacAddr) -> Option<&Station> {
        self.nodes.iter().map(|node| &**node).find(|node| node.mac == mac)
    }
}

/// Where a node's agent finds the API server.
fn listen(node: &Station) -> Result<TcpListener, Error> {
    let listener = node.namespace.visit(|| std::net::TcpListener::bind(ON_NODE))?;
    let listener = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    listener.doing(|| format!("listening on {ON_NODE} of {}", node.name))
}

/// Plugs the nodes in, each with a network for its pods and a way to the pods of the others.
async fn nodes(lan: &Lan, facts: &[NodeFacts]) -> Result<Vec<Arc<Station>>, Error> {
    let mut nodes = Vec::new();
    for fact in facts {
        let mut addresses = fact.internal_ips.iter();
        let Some(IpAddr::V4(address)) = addresses.clone().find(|ip| ip.is_ipv4()) else {
            return Err(Error::new(format!("creating {}", fact.name), "it has no IPv4 address"));
        };
        let ipv6 = addresses.find_map(|ip| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(*address),
        });
        let mut node = Station::new(&fact.name, *address, ipv6).await?;
        sysctl::be_strict_about_arp(&node.namespace)?;
        if ipv6.is_some() {
            sysctl::skip_duplicate_detection(&node.namespace)?;
        }
        lan.plug(&mut node).await?;
        nodes.push(node);
    }
    for (own, node) in (0..).zip(&nodes) {
        for (number, other) in (0..).zip(&nodes) {
            for via in other.addresses() {
                let (network, prefix) = pod::network(number, via.is_ipv6());
                match own == number {
                    true => node.own_network(network, prefix).await?,
                    false => node.route(network, prefix, via).await?,
                }
            }
        }
    }
    Ok(nodes.into_iter().map(Arc::new).collect())
}

/// Lets a second terminal find the stations.
fn publish(
    state: &State,
    lan: &Lan,
    nodes: &[Arc<Station>],
    client: &Station,
) -> Result<(), Error> {
    let stations = nodes.iter().map(|node| &**node).chain([client]);
    let named = stations.map(|station| (station.name.clone(), station.namespace.descriptor()));
    state.publish(
        named.chain([("lan".into(), lan.namespace.descriptor())]).collect::<BTreeMap<_, _>>(),
    )
}

fn agents(state: &State, nodes: &[Arc<Station>], setup: &Setup<'_>) -> Result<Vec<Agent>, Error> {
    let binary = match setup.agent {
        Some(binary) => binary.to_owned(),
        None => env::current_exe().doing(|| "finding the own binary".into())?,
    };
    let server = format!("http://{ON_NODE}");
    state.write("kubeconfig-node", &kubeconfig(&server, None))?;
    let kubeconfig = state.write("kubeconfig-agent", &kubeconfig(&server, Some(account::NAME)))?;
    let start = |node: &Arc<Station>| {
        let log = state.path(&format!("agent-{}.log", node.name));
        let (binary, kubeconfig) = (binary.clone(), kubeconfig.clone());
        let recipe = Recipe { binary, kubeconfig, log, flags: setup.flags.to_vec() };
        Agent::start(node.clone(), recipe)
    };
    Ok(nodes.iter().map(start).collect())
}

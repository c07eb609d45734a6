//! Plays kube-proxy on one node: takes what arrives for a Service and passes it to one of its pods.
//!
//! As with IPVS and `strictARP` the addresses of Services are the node's own, so that the kernel
//! answers pings, while ARP and NDP for them are not its business. What the kernel would do with connections
//! is done by a small proxy in user space, which works on any kernel and without privileges.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde::de::DeserializeOwned;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
    time,
};

use crate::apiserver::{Resource, Selectors, Store};

use super::{
    datagrams,
    error::{Doing, Error},
    forwarding::Forwarding,
    station::Station,
};

/// How soon what did not work is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How long a pod may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 64;

/// What the node does at the moment.
struct KubeProxy {
    node: Arc<Station>,
    addresses: BTreeSet<IpAddr>,
    ports: BTreeMap<(Protocol, SocketAddr), Port>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Protocol {
    Tcp,
    Udp,
}

/// A port that is being listened on.
struct Port {
    pods: watch::Sender<Vec<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Plays kube-proxy on a node until dropped.
pub(crate) async fn run(node: Arc<Station>, store: Store) {
    let mut changes = store.changes();
    let mut proxy = KubeProxy { node, addresses: BTreeSet::new(), ports: BTreeMap::new() };
    loop {
        changes.mark_unchanged();
        let services: Vec<Service> = objects(&store, "", "services");
        let slices: Vec<EndpointSlice> = objects(&store, "discovery.k8s.io", "endpointslices");
        let node = &proxy.node;
        let wanted = Forwarding::of(&node.name, &node.addresses(), &services, &slices);
        let applied = proxy.apply(wanted).await;
        if let Err(error) = &applied {
            tracing::warn!(node = proxy.node.name, %error, "kube-proxy failed; it will try again");
        }
        tokio::select! {
            changed = changes.changed() => changed.expect("this task has a handle on the store"),
            () = time::sleep(RETRY_EVERY), if applied.is_err() => {}
        }
    }
}

impl KubeProxy {
    async fn apply(&mut self, wanted: Forwarding) -> Result<(), Error> {
        for &address in wanted.addresses.difference(&self.addresses.clone()) {
            self.node.own(address).await?;
            self.addresses.insert(address);
        }
        let tcp = wanted.rules.into_iter().map(|(at, pods)| ((Protocol::Tcp, at), pods));
        let udp = wanted.datagrams.into_iter().map(|(at, pods)| ((Protocol::Udp, at), pods));
        let rules: BTreeMap<_, _> = tcp.chain(udp).collect();
        self.ports.retain(|key, _| rules.contains_key(key));
        for (key, pods) in rules {
            match self.ports.get(&key) {
                Some(port) => {
                    port.pods.send_replace(pods);
                }
                None => {
                    let (pods, current) = watch::channel(pods);
                    let task = match key {
                        (Protocol::Tcp, at) => listen(&self.node, at, current)?,
                        (Protocol::Udp, at) => datagrams::listen(&self.node, at, current)?,
                    };
                    self.ports.insert(key, Port { pods, task });
                }
            }
        }
        for &address in self.addresses.clone().difference(&wanted.addresses) {
            self.node.disown(address).await?;
            self.addresses.remove(&address);
        }
        Ok(())
    }
}

fn listen(
    node: &Arc<Station>,
    at: SocketAddr,
    pods: watch::Receiver<Vec<SocketAddr>>,
) -> Result<JoinHandle<()>, Error> {
    let bind = || {
        let socket = socket_for(at)?;
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG)
    };
    let listener = node.namespace.visit(bind)?;
    let listener = listener.doing(|| format!("listening on {at} of {}", node.name))?;
    Ok(tokio::spawn(accept(node.clone(), listener, pods)))
}

/// Passes each connection to the next pod, round robin.
async fn accept(node: Arc<Station>, listener: TcpListener, pods: watch::Receiver<Vec<SocketAddr>>) {
    for turn in 0.. {
        let Ok((client, _)) = listener.accept().await else { continue };
        let pod = {
            let pods = pods.borrow();
            pods.get(turn % pods.len().max(1)).copied()
        };
        // Without a pod the connection is closed at once.
        let Some(pod) = pod else { continue };
        let node = node.clone();
        tokio::spawn(async move {
            if let Err(error) = pass(&node, client, pod).await {
                tracing::debug!(node = node.name, %pod, %error, "a connection ended");
            }
        });
    }
}

async fn pass(node: &Station, mut client: TcpStream, pod: SocketAddr) -> io::Result<()> {
    let socket = node.namespace.visit(|| socket_for(pod)).map_err(io::Error::other)??;
    let mut pod = time::timeout(CONNECT_TIMEOUT, socket.connect(pod)).await??;
    tokio::io::copy_bidirectional(&mut client, &mut pod).await?;
    Ok(())
}

/// A socket of the family of an address, in the namespace of this thread.
pub(crate) fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }
}

/// All objects of a kind. One that cannot be read is none that a kube-proxy could serve.
fn objects<T: DeserializeOwned>(store: &Store, group: &str, plural: &str) -> Vec<T> {
    let listed = store.list(&Resource::new(group, plural), None, &Selectors::default());
    let items = listed.map(|listing| listing.items).unwrap_or_default();
    items.iter().filter_map(|item| T::deserialize(&**item).ok()).collect()
}

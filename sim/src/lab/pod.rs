//! The pods: small HTTP servers that say who they are, each at an address of its own on its node.
//! On UDP they send back what they are sent.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, http::header};
use tokio::{
    net::{TcpListener, TcpSocket, UdpSocket},
    task::JoinHandle,
};

use crate::standins::{PodFacts, PodRuntime};

use super::{
    error::{Doing, Error},
    station::Station,
};

/// Bits of a node's pod network that all its pods share.
pub(crate) const PREFIX: u8 = 24;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 64;

/// The network of the pods on the node with this number.
pub(crate) fn network(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, number, 0)
}

/// Runs the pods of all nodes. Every address of a node's pod network must be the node's own.
pub(crate) struct Pods {
    nodes: Vec<Arc<Station>>,
    running: Mutex<BTreeMap<String, Pod>>,
}

struct Pod {
    address: Ipv4Addr,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Pods {
    pub(crate) fn new(nodes: Vec<Arc<Station>>) -> Self {
        Self { nodes, running: Mutex::default() }
    }

    fn try_start(&self, pod: &PodFacts) -> Result<Ipv4Addr, Error> {
        let starting = || format!("starting pod {}", pod.name);
        let found = (0..).zip(&self.nodes).find(|(_, node)| node.name == pod.node);
        let (number, node) = found.ok_or_else(|| Error::new(starting(), "no such node"))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let [a, b, c, _] = network(number).octets();
        let mut free = (2..255).map(|host| Ipv4Addr::new(a, b, c, host));
        let address = free
            .find(|address| running.values().all(|pod| pod.address != *address))
            .ok_or_else(|| Error::new(starting(), "the node has no address left for it"))?;
        let mut servers = Vec::new();
        for &port in &pod.ports {
            let listener = node.namespace.visit(|| listen(address, port))?.doing(starting)?;
            servers.push(tokio::spawn(serve(listener, pod)));
        }
        for &port in &pod.udp_ports {
            let bind = || {
                let socket = std::net::UdpSocket::bind((address, port))?;
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket)
            };
            let socket = node.namespace.visit(bind)?.doing(starting)?;
            servers.push(tokio::spawn(echo(socket)));
        }
        running.insert(pod.uid.clone(), Pod { address, servers });
        Ok(address)
    }
}

impl PodRuntime for Pods {
    fn start(&self, pod: &PodFacts) -> Result<IpAddr, String> {
        self.try_start(pod).map(IpAddr::V4).map_err(|error| error.to_string())
    }

    fn stop(&self, pod: &PodFacts) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod.uid);
    }
}

fn listen(address: Ipv4Addr, port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((address, port).into())?;
    socket.listen(BACKLOG)
}

/// Answers every request with who answers. Connections are not kept, so that each request gets a
/// pod of its own.
fn serve(listener: TcpListener, pod: &PodFacts) -> impl Future<Output = ()> + use<> {
    let hello = format!("Hello from pod {} on {}\n", pod.name, pod.node);
    let answer = move || async move { ([(header::CONNECTION, "close")], hello) };
    async move {
        if let Err(error) = axum::serve(listener, Router::new().fallback(answer)).await {
            tracing::warn!(%error, "a pod's server ended");
        }
    }
}

/// Sends every datagram back.
async fn echo(socket: UdpSocket) {
    let mut buffer = [0; 1500];
    loop {
        // An error tells of an earlier datagram that nobody took.
        if let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    }
}

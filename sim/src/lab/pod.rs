//! The pods: small HTTP servers that say who they are, each at an address of its own on its node, or
//! one of each family.
//! On UDP they send back what they are sent.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, http::header};
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

use crate::standins::{PodFacts, PodRuntime};

use super::{
    error::{Doing, Error},
    station::Station,
};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 64;

/// The network of the pods on the node with this number, and how many of its bits they all share.
pub(crate) fn network(number: u8, ipv6: bool) -> (IpAddr, u8) {
    match ipv6 {
        false => (Ipv4Addr::new(10, 244, number, 0).into(), 24),
        true => (Ipv6Addr::new(0xfd00, 0x10, 0x244, number.into(), 0, 0, 0, 0).into(), 64),
    }
}

/// The address of a host in the network of the pods on a node.
fn address(node: u8, ipv6: bool, host: u8) -> IpAddr {
    match network(node, ipv6).0 {
        IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() + u32::from(host)).into(),
        IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() + u128::from(host)).into(),
    }
}

/// Runs the pods of all nodes. Every address of a node's pod network must be the node's own.
pub(crate) struct Pods {
    nodes: Vec<Arc<Station>>,
    running: Mutex<BTreeMap<String, Pod>>,
}

struct Pod {
    /// The number of its node, and its own number there.
    place: (u8, u8),
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

    fn try_start(&self, pod: &PodFacts) -> Result<Vec<IpAddr>, Error> {
        let starting = || format!("starting pod {}", pod.name);
        let found = (0..).zip(&self.nodes).find(|(_, node)| node.name == pod.node);
        let (number, node) = found.ok_or_else(|| Error::new(starting(), "no such node"))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let host = (2..255)
            .find(|&host| running.values().all(|pod| pod.place != (number, host)))
            .ok_or_else(|| Error::new(starting(), "the node has no address left for it"))?;
        let families = node.addresses().into_iter().map(|known| known.is_ipv6());
        let addresses: Vec<_> = families.map(|ipv6| address(number, ipv6, host)).collect();
        let mut servers = Vec::new();
        for &address in &addresses {
            for &port in &pod.ports {
                let at = (address, port).into();
                let listener = node.namespace.visit(|| listen(at))?.doing(starting)?;
                servers.push(tokio::spawn(serve(listener, pod)));
            }
            for &port in &pod.udp_ports {
                let at = (address, port).into();
                let socket = node.namespace.visit(|| bind(at))?.doing(starting)?;
                servers.push(tokio::spawn(echo(socket)));
            }
        }
        running.insert(pod.uid.clone(), Pod { place: (number, host), servers });
        Ok(addresses)
    }
}

impl PodRuntime for Pods {
    fn start(&self, pod: &PodFacts) -> Result<Vec<IpAddr>, String> {
        self.try_start(pod).map_err(|error| error.to_string())
    }

    fn stop(&self, pod: &PodFacts) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod.uid);
    }
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(at, Type::STREAM)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(at, Type::DGRAM)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket that can be bound to any address of the node's pod network.
fn socket(at: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    socket.set_nonblocking(true)?;
    if at.is_ipv6() {
        socket.set_freebind_v6(true)?;
    }
    Ok(socket)
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

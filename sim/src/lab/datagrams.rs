//! Passes datagrams for a Service to its pods, as kube-proxy's rules and the kernel's connection
//! tracking do: whoever sends again reaches the same pod, for as long as that is one of the
//! Service's.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::{net::UdpSocket, sync::watch, task::JoinHandle};

use super::{
    error::{Doing, Error},
    station::Station,
};

/// The pod that a client reaches, and what takes its answers back.
struct Session {
    pod: SocketAddr,
    socket: Arc<UdpSocket>,
    answers: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// Takes datagrams on an address of a node and passes them to its pods, until the task is aborted.
pub(crate) fn listen(
    node: &Arc<Station>,
    at: SocketAddr,
    pods: watch::Receiver<Vec<SocketAddr>>,
) -> Result<JoinHandle<()>, Error> {
    let socket = node.namespace.visit(|| bind(at))?;
    let socket = socket.doing(|| format!("listening for datagrams on {at} of {}", node.name))?;
    Ok(tokio::spawn(forward(node.clone(), Arc::new(socket), pods)))
}

async fn forward(
    node: Arc<Station>,
    socket: Arc<UdpSocket>,
    pods: watch::Receiver<Vec<SocketAddr>>,
) {
    let mut sessions: BTreeMap<SocketAddr, Session> = BTreeMap::new();
    let mut buffer = [0; 1500];
    for turn in 0.. {
        // An error tells of an earlier datagram that nobody took.
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else { continue };
        let pods = pods.borrow().clone();
        sessions.retain(|_, session| pods.contains(&session.pod));
        let Some(&pod) = pods.get(turn % pods.len().max(1)) else { continue };
        if let Entry::Vacant(vacant) = sessions.entry(client) {
            match begin(&node, &socket, client, pod).await {
                Ok(session) => drop(vacant.insert(session)),
                Err(error) => {
                    tracing::debug!(node = node.name, %pod, %error, "a datagram was lost");
                }
            }
        }
        if let Some(session) = sessions.get(&client) {
            let _ = session.socket.send(&buffer[..len]).await;
        }
    }
}

async fn begin(
    node: &Station,
    service: &Arc<UdpSocket>,
    client: SocketAddr,
    pod: SocketAddr,
) -> io::Result<Session> {
    let any = match pod {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = node.namespace.visit(|| bind(any)).map_err(io::Error::other)??;
    socket.connect(pod).await?;
    let socket = Arc::new(socket);
    let (from_pod, to_client) = (socket.clone(), service.clone());
    let answers = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            if let Ok(len) = from_pod.recv(&mut buffer).await {
                let _ = to_client.send_to(&buffer[..len], client).await;
            }
        }
    });
    Ok(Session { pod, socket, answers })
}

/// A socket in the namespace of this thread.
fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

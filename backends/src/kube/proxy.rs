//! kube-proxy on the nodes, over HTTP: `GET /healthz`, on a port that is 10256 unless configured
//! otherwise (`--healthz-bind-address`).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use porter_core::{Input, NodeName, ProxyHealth};
use tokio::time::timeout;
use tracing::debug;

/// After how long a question is given up: less than passes until the next one.
const ANSWER_MAX: Duration = Duration::from_millis(900);

/// Asks kube-proxy on nodes how it is.
#[derive(Clone, Debug)]
pub(super) struct Proxies {
    client: Client<HttpConnector, Empty<&'static [u8]>>,
    port: u16,
}

impl Proxies {
    /// Asks at this port of every node.
    pub(super) fn at(port: u16) -> Self {
        // No connection is kept: one that is still open says nothing of who would be let in.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, port }
    }

    /// Asks at one address. Ends in time, whatever happens.
    pub(super) async fn check(self, node: NodeName, address: IpAddr) -> Input {
        let uri = format!("http://{}/healthz", SocketAddr::new(address, self.port));
        let uri: Uri = uri.parse().expect("an address and a port make a URL");
        let health = match timeout(ANSWER_MAX, self.client.get(uri)).await {
            Ok(Ok(answer)) => match answer.status() {
                StatusCode::OK => ProxyHealth::Well,
                StatusCode::SERVICE_UNAVAILABLE => ProxyHealth::Unwell,
                other => {
                    debug!(%node, status = %other, "no word of kube-proxy");
                    ProxyHealth::Silent
                }
            },
            Ok(Err(error)) => {
                debug!(%node, %error, "kube-proxy cannot be asked");
                ProxyHealth::Silent
            }
            Err(_) => ProxyHealth::Silent,
        };
        Input::Checked(node, health)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// What is made of an answer that begins so.
    async fn heard(status: &'static str) -> (String, ProxyHealth) {
        let listener = TcpListener::bind((HERE, 0)).await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody asks");
            let mut asked = vec![0; 1_024];
            let n_read = stream.read(&mut asked).await.expect("it asks something");
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("it listens");
            String::from_utf8_lossy(&asked[..n_read]).into_owned()
        });
        let input = Proxies::at(port).check(NodeName::from("node3"), HERE).await;
        let Input::Checked(node, health) = input else { panic!("an answer to a check: {input:?}") };
        assert_eq!(node, NodeName::from("node3"));
        (served.await.expect("it has served"), health)
    }

    #[tokio::test]
    async fn kube_proxy_is_well_with_200_and_unwell_with_503_and_anything_else_says_nothing() {
        let (asked, health) = heard("200 OK").await;
        assert!(asked.starts_with("GET /healthz HTTP/1.1\r\n"), "{asked}");
        assert_eq!(health, ProxyHealth::Well);
        assert_eq!(heard("503 Service Unavailable").await.1, ProxyHealth::Unwell);
        assert_eq!(heard("404 Not Found").await.1, ProxyHealth::Silent);
        assert_eq!(heard("nonsense").await.1, ProxyHealth::Silent);
    }

    #[tokio::test]
    async fn where_nobody_listens_or_nobody_answers_nothing_is_heard() {
        let listener = TcpListener::bind((HERE, 0)).await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let silent = |input| matches!(input, Input::Checked(_, ProxyHealth::Silent));
        // It is accepted by the kernel, and by nobody else.
        assert!(silent(Proxies::at(port).check(NodeName::from("node3"), HERE).await));
        drop(listener);
        assert!(silent(Proxies::at(port).check(NodeName::from("node3"), HERE).await));
    }
}

//! Fetches a page from a station, in the little of HTTP that the pods speak.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    time::timeout,
};

use super::{
    error::{Doing, Error},
    kube_proxy::socket_for,
    station::Station,
};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The body of the page at `http://AT/`.
pub(crate) async fn curl(from: &Station, at: SocketAddr) -> Result<String, Error> {
    let socket = from.namespace.visit(|| socket_for(at))?;
    let fetching = || format!("fetching http://{at}/ from {}", from.name);
    let fetched = timeout(PATIENCE, fetch(socket.doing(fetching)?, at)).await;
    fetched.doing(fetching)?.doing(fetching)
}

async fn fetch(socket: TcpSocket, at: SocketAddr) -> io::Result<String> {
    let mut connection = socket.connect(at).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.into()),
        Some((head, _)) => Err(io::Error::other(head.to_owned())),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

//! The wire between one node and the API server, which can be cut.
//!
//! A cut loses nothing and refuses nothing: what was sent stays under way, as it does while a
//! router in between is gone and TCP goes on trying. Whoever waits for an answer has to have a limit
//! of his own. That is the harder failure; a server that refuses is noticed at once.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// Passes on what is said at one listener, unless cut.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) node: String,
    cut: watch::Sender<bool>,
}

impl Uplink {
    /// A wire to `server`, and what has to run for it to carry anything.
    pub(crate) fn new(
        node: &str,
        listener: TcpListener,
        server: SocketAddr,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (cut, is_cut) = watch::channel(false);
        (Self { node: node.into(), cut }, run(listener, server, is_cut))
    }

    /// Whether nothing passes.
    pub(crate) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn run(listener: TcpListener, server: SocketAddr, cut: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(carry(stream, server, cut.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(
    here: TcpStream,
    server: SocketAddr,
    mut cut: watch::Receiver<bool>,
) -> io::Result<()> {
    whole(&mut cut).await;
    let there = TcpStream::connect(server).await?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    let (from_here, to_here) = here.into_split();
    let (from_there, to_there) = there.into_split();
    tokio::try_join!(pass(from_here, to_there, cut.clone()), pass(from_there, to_here, cut))?;
    Ok(())
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let len = from.read(&mut buffer).await?;
        whole(&mut cut).await;
        match len {
            0 => return to.shutdown().await,
            _ => to.write_all(&buffer[..len]).await?,
        }
    }
}

/// Waits until something passes.
async fn whole(cut: &mut watch::Receiver<bool>) {
    if cut.wait_for(|cut| !cut).await.is_err() {
        // The lab ends, and with it this task.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_into_a_cut_wire_arrives_once_it_is_mended() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near_at, server_at) = (near.local_addr().unwrap(), server.local_addr().unwrap());
        let (uplink, running) = Uplink::new("node1", near, server_at);
        let running = tokio::spawn(running);
        let mut client = TcpStream::connect(near_at).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();

        uplink.cut(true);
        client.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 5];
        let wait = std::time::Duration::from_millis(50);
        let early = tokio::time::timeout(wait, accepted.read_exact(&mut buffer)).await;
        assert!(early.is_err(), "nothing passes a cut wire");

        uplink.cut(false);
        accepted.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"hello");
        running.abort();
    }
}

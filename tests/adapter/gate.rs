//! A gate before a server, which fails in the ways in which networks and API servers fail.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::cluster::PATIENCE;

/// What becomes of new connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// They lead to the server.
    Open,
    /// They are answered with this, whatever they ask.
    Refuse(&'static str),
    /// They are taken, and nothing ever comes back.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections made before the last of these are frozen, or torn.
    freezes: u64,
    tears: u64,
}

/// Leads to a server, as long as it lives.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    /// How many connections did not lead to the server.
    turned_away: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = State { mode: Mode::Open, freezes: 0, tears: 0 };
        let (state, states) = watch::channel(state);
        let (count, turned_away) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if !matches!(states.borrow().mode, Mode::Open) {
                    count.send_modify(|count| *count += 1);
                }
                connections.spawn(pass(client, server, states.clone()));
            }
        });
        Self { address, state, turned_away, task }
    }

    /// Ends the connections there are, and treats new ones in this way.
    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            state.tears += 1;
        });
    }

    /// Waits until so many connections did not lead to the server.
    pub(crate) async fn turned_away(&self, count: u64) {
        let mut turned_away = self.turned_away.clone();
        let reached = timeout(PATIENCE, turned_away.wait_for(|so_far| *so_far >= count)).await;
        reached.expect("it is tried again in time").expect("the gate is there");
    }

    /// Nothing passes any more on the connections there are, which nobody is told.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|state| state.freezes += 1);
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, mut states: watch::Receiver<State>) {
    let began = *states.borrow_and_update();
    let mut frozen = states.clone();
    let serve = async {
        match began.mode {
            Mode::Open => {
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    () = until(&mut frozen, |state| state.freezes > began.freezes) => {
                        std::future::pending().await
                    }
                }
            }
            Mode::Refuse(answer) => {
                let mut request = vec![0; 65_536];
                let _ = client.read(&mut request).await;
                let _ = client.write_all(answer.as_bytes()).await;
                let _ = client.shutdown().await;
            }
            Mode::Silent => std::future::pending().await,
        }
    };
    tokio::select! {
        () = serve => {}
        () = until(&mut states, |state| state.tears > began.tears) => {}
    }
}

async fn until(states: &mut watch::Receiver<State>, reached: impl FnMut(&State) -> bool) {
    // When the gate is gone, so is whoever could be served.
    let _ = states.wait_for(reached).await;
}

//! A way to a server on which connections fall silent, or tear, without either end having done anything.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Connections made before the last of these are frozen, or torn.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    freezes: u64,
    tears: u64,
}

/// Leads to a server, as long as it lives.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
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
        let (state, states) = watch::channel(State::default());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, server, states.clone()));
            }
        });
        Self { address, state, task }
    }

    /// Ends the connections there are.
    pub(crate) fn tear(&self) {
        self.state.send_modify(|state| state.tears += 1);
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
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            () = until(&mut frozen, |state| state.freezes > began.freezes) => {
                std::future::pending().await
            }
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

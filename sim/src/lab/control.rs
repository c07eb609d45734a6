//! How a second terminal reaches a running lab: one order, one answer, over a socket in the lab's
//! directory. The directory is its user's alone, and so is the socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use super::{
    cluster::Cluster,
    error::{Doing, Error},
    faults::Faults,
    order::Order,
    show,
    state::{self, State},
};

/// The longest order that is read.
const LINE_LIMIT: u64 = 4 << 10;

/// How long who connects may take to say what he wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// The socket's name in the lab's directory.
const SOCKET: &str = "control";

/// What became of an order: what was done and what to watch, or what failed and why.
#[derive(Debug, Deserialize, Serialize)]
enum Outcome {
    Done(String),
    Failed { doing: String, why: String },
}

/// Gives an order to the running lab, and prints what became of it.
///
/// # Errors
/// There is no lab, or it could not do that.
pub fn give(order: &Order) -> Result<(), Error> {
    let directory = state::directory();
    if state::find(&directory)?.is_none() {
        return Err(Error::new(order.to_string(), "no lab runs; start one with `porter lab`"));
    }
    let doing = || order.to_string();
    let stream = UnixStream::connect(directory.join(SOCKET)).map_err(|error| {
        let early = "the lab still shows the guide; wait until it says that it stays up";
        match error.kind() == io::ErrorKind::NotFound {
            true => Error::new(doing(), early),
            false => Error::new(doing(), error),
        }
    })?;
    let mut line = String::new();
    let json = serde_json::to_string(order).expect("an order is plain data");
    let asked = writeln!(&stream, "{json}");
    let asked = asked.and_then(|()| BufReader::new(&stream).read_line(&mut line));
    asked.doing(doing)?;
    if line.is_empty() {
        return Err(Error::new(doing(), "the lab ended"));
    }
    match serde_json::from_str(&line).doing(doing)? {
        Outcome::Done(said) => {
            show::line(said);
            Ok(())
        }
        Outcome::Failed { doing, why } => Err(Error::new(doing, why)),
    }
}

/// The lab's end.
#[derive(Debug)]
pub(crate) struct Control(UnixListener);

impl Control {
    /// Lets orders come. They wait until they are obeyed.
    pub(crate) fn open(state: &State) -> Result<Self, Error> {
        let path = state.path(SOCKET);
        let listener = UnixListener::bind(&path);
        Ok(Self(listener.doing(|| format!("listening on {}", path.display()))?))
    }

    /// Does what it is told, one order after the other, until dropped.
    pub(crate) async fn obey(&self, cluster: &Cluster) -> Result<(), Error> {
        let mut faults = Faults::new(cluster);
        loop {
            let accepted = self.0.accept().await;
            let (stream, _) = accepted.doing(|| "waiting for orders".into())?;
            // Who does not say anything, or goes before he is answered, misses only his answer.
            let _ = answer(stream, &mut faults).await;
        }
    }
}

async fn answer(mut stream: tokio::net::UnixStream, faults: &mut Faults<'_>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(LINE_LIMIT));
    tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await??;
    let outcome = match faults.carry_out(serde_json::from_str(&line)?).await {
        Ok(said) => Outcome::Done(said),
        Err(error) => {
            let (doing, why) = error.into_parts();
            Outcome::Failed { doing, why }
        }
    };
    let json = serde_json::to_string(&outcome).expect("an outcome is plain data");
    write.write_all(format!("{json}\n").as_bytes()).await
}

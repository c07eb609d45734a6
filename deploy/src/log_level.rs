//! `porter log-level`: how much a running agent logs.

use std::{error::Error, net::SocketAddr, time::Duration};

use clap::Args;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, spawn, time::timeout};

use crate::look;

/// Longer than an agent takes that works.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show how much the agent on this host logs, or change it until the agent is started again.
///
/// To be run where the agent runs, as it obeys this host alone: `kubectl -n porter-system exec POD --
/// /porter log-level debug`. Ends with 1 if there is no agent, or it refuses.
#[derive(Args, Debug)]
pub(crate) struct LogLevelOf {
    /// error, warn, info, debug or trace, also per module (info,porter_backends::kube=debug). Without it
    /// the level is shown.
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    /// Where the agent tells how it is: its --http.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7475")]
    http: SocketAddr,
}

impl LogLevelOf {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let late = || format!("the agent at {} did not answer within {PATIENCE:?}", self.http);
        let in_force =
            look::soon(async { timeout(PATIENCE, self.ask()).await.map_err(|_| late())? })?;
        look::print(&in_force)
    }

    async fn ask(&self) -> Result<String, Box<dyn Error>> {
        let Self { http, level } = self;
        let stream = TcpStream::connect(http).await.map_err(|error| {
            format!(
                "asking the agent at {http} failed: {error}; does one run here, with this --http?"
            )
        })?;
        let (mut asking, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn(connection);
        let method = if level.is_some() { Method::PUT } else { Method::GET };
        let body = Full::new(Bytes::from(level.clone().unwrap_or_default()));
        let request = Request::builder().method(method).uri("/log-level");
        let request = request.header("host", http.to_string()).body(body)?;
        let answer = asking.send_request(request).await?;
        let status = answer.status();
        let told = answer.into_body().collect().await?.to_bytes();
        let told = String::from_utf8_lossy(&told).into_owned();
        match status {
            StatusCode::OK => Ok(told),
            _ => Err(format!("the agent at {http} refused: {}", told.trim()).into()),
        }
    }
}

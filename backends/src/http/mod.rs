//! What a replica tells of itself over HTTP: whether it works (`/livez`), whether it could take over
//! (`/readyz`), what it has done (`/metrics`), and what it sees: for programs (`/status`), and for people
//! (`/`). How much it logs can be read and changed (`/log-level`).
//!
//! Plain HTTP/1.1, for whoever reaches the address. Every answer is one of the replica's own: its loop
//! is asked, and its responders are.

mod health;
mod log_level;
mod metrics;
mod page;

pub use self::log_level::LogLevel;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use porter_core::{Identity, Namespaced};
use tokio::{
    net::TcpListener,
    select,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use crate::{
    Error, Reporter,
    link::{Outcomes, Responders},
};

/// How many are served at the same time; others wait.
const CONNECTIONS_MAX: usize = 16;
/// How long one may take, whatever it is doing: longer than anything is waited for to answer it.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// How soon another connection is accepted after one could not be.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What is said to who asks for anything else.
const ONLY: &str = "only GET and HEAD are understood, and PUT of /log-level";

/// Whom to ask about a replica.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Who it is.
    pub identity: Identity,
    /// The Lease that it competes for.
    pub lease: Namespaced,
    /// How much it logs.
    pub log_level: Arc<dyn LogLevel>,
    /// Its loop.
    pub reporter: Reporter,
    /// The threads that answer.
    pub responders: Responders,
    /// What became of every frame.
    pub outcomes: Arc<Outcomes>,
}

/// An address at which HTTP is spoken.
#[derive(Debug)]
pub struct Http {
    listener: TcpListener,
}

impl Http {
    /// Takes the address, in the network namespace of the calling thread.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.map_err(|error| Error::new(format!("listening on {address}"), error))?;
        Ok(Self { listener })
    }

    /// The address; with the port that the kernel chose, if it was to choose one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Tells whoever asks. Ends, with its connections, when dropped.
    ///
    /// Has to run beside the loop that is asked, and not in its task: one that is stuck could not say so.
    pub async fn serve(self, sources: Sources) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    let Ok((stream, peer)) = accepted else {
                        // Out of descriptors, or a client that left at once.
                        sleep(ACCEPT_AGAIN).await;
                        continue;
                    };
                    let sources = sources.clone();
                    let service = service_fn(move |request| answer(request, peer, sources.clone()));
                    // One request each, so that nobody holds a place without asking for anything.
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), service);
                    connections.spawn(async move {
                        if let Ok(Err(error)) = timeout(CONNECTION_MAX, connection).await {
                            debug!(%error, "a request over HTTP was not answered");
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    sources: Sources,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let accepts = head.headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let accepts = accepts.unwrap_or_default();
    let mut response = match (&head.method, head.uri.path()) {
        (&Method::GET | &Method::HEAD, "/") => page::page(),
        (&Method::GET | &Method::HEAD, "/status") => match page::status(&sources).await {
            Ok(json) => text_of(StatusCode::OK, "application/json", json + "\n"),
            Err(reason) => told(Err(reason)),
        },
        (&Method::GET | &Method::HEAD, "/log-level") => told(Ok(sources.log_level.get())),
        (&Method::PUT, "/log-level") => {
            match log_level::set(&*sources.log_level, peer, &head.headers, body).await {
                Ok(in_force) => told(Ok(in_force)),
                Err((status, reason)) => plain(status, reason),
            }
        }
        (&Method::GET | &Method::HEAD, "/livez") => told(health::livez(&sources).await),
        (&Method::GET | &Method::HEAD, "/readyz") => told(health::readyz(&sources).await),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            match metrics::scrape(&sources, accepts).await {
                Ok((media_type, text)) => text_of(StatusCode::OK, media_type, text),
                Err(reason) => told(Err(reason)),
            }
        }
        (&Method::GET | &Method::HEAD, _) => {
            let there = "there are /, /livez, /log-level, /metrics, /readyz and /status";
            plain(StatusCode::NOT_FOUND, there.to_owned())
        }
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, ONLY.to_owned()),
    };
    if head.method == Method::HEAD {
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

/// What a probe wants to know: that all is well, with a remark, or why not.
fn told(health: Result<String, String>) -> Response<Full<Bytes>> {
    match health {
        Ok(remark) => plain(StatusCode::OK, remark),
        Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    text_of(status, "text/plain; charset=utf-8", text + "\n")
}

fn text_of(status: StatusCode, media_type: &str, text: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Full::new(Bytes::from(text)))
        .expect("a media type is a header's value")
}

#[cfg(test)]
mod tests;

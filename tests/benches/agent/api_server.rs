//! The lab's API server on threads of its own, which counts what it is asked for.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Method, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use porter_sim::apiserver::{Store, answer};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

/// The name of its threads, by which their time is told from that of others.
pub(crate) const THREADS: &str = "api-server";

/// An API server without anything in it. Ends when dropped.
pub(crate) struct ApiServer {
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    traffic: Arc<Mutex<Traffic>>,
    _runtime: Runtime,
}

/// What was asked for since it was last counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    /// How often, and with how many bytes of request body, by verb and resource.
    pub(crate) requests: BTreeMap<(&'static str, String), (u64, u64)>,
    /// When Services were written.
    pub(crate) moves: Vec<Instant>,
    last_write_at: Option<Instant>,
}

impl ApiServer {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(THREADS)
            .enable_all()
            .build()?;
        let (store, traffic) = (Store::new(), Arc::<Mutex<Traffic>>::default());
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(store.clone(), traffic.clone(), listener));
        Ok(Self { store, address, traffic, _runtime: runtime })
    }

    /// Begins to count anew. Returns what was counted before.
    pub(crate) fn count(&self) -> Traffic {
        std::mem::take(&mut *lock(&self.traffic))
    }

    /// Waits until nothing but the Lease has been written for so long.
    pub(crate) fn settle(&self, quiet: Duration) {
        while lock(&self.traffic).last_write_at.is_some_and(|at| at.elapsed() < quiet) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Traffic {
    /// How many requests there were, and the bytes of their bodies.
    pub(crate) fn sum(&self, is_meant: impl Fn(&str, &str) -> bool) -> (u64, u64) {
        let meant = self.requests.iter().filter(|((verb, of), _)| is_meant(verb, of));
        meant.fold((0, 0), |sum, (_, counted)| (sum.0 + counted.0, sum.1 + counted.1))
    }

    fn note(&mut self, request: &Request<Incoming>) {
        let (verb, resource) = meant(request);
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse().ok()).unwrap_or(0);
        if request.method() != Method::GET && !matches!(&*resource, "leases" | "events") {
            self.last_write_at = Some(Instant::now());
            if resource == "services" {
                self.moves.push(Instant::now());
            }
        }
        let (n_requests, n_bytes) = self.requests.entry((verb, resource)).or_default();
        *n_requests += 1;
        *n_bytes += length;
    }
}

async fn serve(store: Store, traffic: Arc<Mutex<Traffic>>, listener: TcpListener) {
    let service = service_fn(move |request: Request<Incoming>| {
        lock(&traffic).note(&request);
        let store = store.clone();
        async move { Ok::<_, Infallible>(answer(store, request.map(Body::new)).await) }
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                // Each answer is one write, and whoever waits for it should not wait for more.
                let _ = stream.set_nodelay(true);
                let stream = TokioIo::new(stream);
                connections.spawn(http1::Builder::new().serve_connection(stream, service.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What a request does, and with which resource.
fn meant(request: &Request<Incoming>) -> (&'static str, String) {
    let mut path = request.uri().path().split('/').skip(1);
    // /api/v1/.. or /apis/GROUP/VERSION/..
    let skipped = if path.next() == Some("api") { 1 } else { 2 };
    let mut path = path.skip(skipped).peekable();
    let first = path.next().unwrap_or_default();
    let in_namespace = first == "namespaces" && path.peek().is_some();
    let (resource, name) = match in_namespace {
        true => (path.nth(1).unwrap_or_default(), path.next()),
        false => (first, path.next()),
    };
    let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
    let verb = match (request.method(), name) {
        (&Method::GET, None) if watches => "watch",
        (&Method::GET, None) => "list",
        (&Method::GET, Some(_)) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        _ => "other",
    };
    (verb, resource.to_owned())
}

fn lock(traffic: &Mutex<Traffic>) -> MutexGuard<'_, Traffic> {
    traffic.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The API server over HTTP, as a port of the core.
//!
//! All Services are watched, not only those of type LoadBalancer, which a field selector could pick
//! out. A Service that is given another type would drop out of such a watch as if it were gone; but
//! it is there, with our finalizer, label and address on it, and to take these back the core needs
//! its version and what it says. Those that carry nothing of the sort are passed over as they are read.
//!
//! All EndpointSlices are watched, too. Those of Services of ours carry the label of the Eip, which
//! Kubernetes copies from the Service to the slices that it makes, but not to those that people make.

use std::{convert::Infallible, net::IpAddr, panic, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Client, Config, Resource,
    api::{GetParams, ListParams},
    core::Request,
};
use porter_core::{
    Event, Got, Input, LeaseRecord, Namespaced, NodeName, Read, ReadError, ReadId, Version, Write,
    WriteError, WriteId, Written,
};
use serde_json::Value;
use tokio::{select, sync::mpsc, task::JoinSet, time::timeout};
use tracing::{debug, warn};

use super::{
    Eip,
    convert::{self, Watched},
    event::Events,
    proxy::Proxies,
    verdict,
    watch::{Order, Watch},
};
use crate::{Error, port::Cluster};

/// What to do where the kind `Eip` is not known.
const CRD_REMEDY: &str =
    "the API server does not know this kind; install it with `porter crd | kubectl apply -f -`";

/// How many facts may wait to be taken in before watches are read no further.
const FACTS_MAX: usize = 64;

/// After how long what the API server was asked for is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// A read or write of the Lease.
    pub lease: Duration,
    /// Any other write, and the first word of a watch.
    pub call: Duration,
    /// A list of all objects of one kind.
    pub list: Duration,
    /// A watch is begun anew after this, in whole seconds: a connection that died unnoticed is
    /// noticed then.
    pub watch: Duration,
}

impl Default for Timeouts {
    /// 1 s for the Lease, 5 s for a call, 10 s for a list, and a new watch every 20 s.
    fn default() -> Self {
        let [lease, call, list, watch] = [1, 5, 10, 20].map(Duration::from_secs);
        Self { lease, call, list, watch }
    }
}

/// The API server of a cluster.
///
/// The Lease has connections of its own, so that no list delays a renewal. Facts of one kind come
/// in their order; what concerns the Lease overtakes the rest.
pub struct ApiServer {
    client: Client,
    lease_client: Client,
    lease: Namespaced,
    timeouts: Timeouts,
    /// The requests under way, each of which ends in its one verdict.
    calls: FuturesUnordered<BoxFuture<'static, Input>>,
    lease_facts: mpsc::Receiver<Input>,
    facts: mpsc::Receiver<Input>,
    service_orders: mpsc::UnboundedSender<Order<Service>>,
    events: Events,
    proxies: Proxies,
    /// What was warned of last: said once, however often it is tried again.
    complaint: String,
    /// The watches, and what tells Events. Ended when dropped.
    tasks: JoinSet<Infallible>,
}

impl ApiServer {
    /// Begins to watch everything that is decided upon; `lease` is the Lease that is competed for,
    /// `proxy_port` where kube-proxy is asked how it is, if it is to be asked, and `instance` is who
    /// tells Events, for people who read them.
    ///
    /// An API server that is away is waited for. One that does not know the kind `Eip` is an error,
    /// since waiting would not help.
    pub async fn connect(
        config: Config,
        lease: Namespaced,
        proxy_port: u16,
        instance: &str,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let client = client(&config, timeouts.call)?;
        let lease_client = self::client(&config, timeouts.lease)?;
        look_for_eips(&client, timeouts.call).await?;
        let (facts_in, facts) = mpsc::channel(FACTS_MAX);
        let (lease_facts_in, lease_facts) = mpsc::channel(FACTS_MAX);
        let (service_orders, orders) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let everywhere = (&client, timeouts, &facts_in);
        tasks.spawn(watch::<Service>(everywhere).run(orders));
        tasks.spawn(watch::<Eip>(everywhere).run(no_orders()));
        tasks.spawn(watch::<Namespace>(everywhere).run(no_orders()));
        tasks.spawn(watch::<Node>(everywhere).run(no_orders()));
        tasks.spawn(watch::<EndpointSlice>(everywhere).run(no_orders()));
        let namespace = Some(lease.namespace());
        let only = Some(format!("metadata.name={}", lease.name()));
        let lease_watch =
            Watch::<Lease>::new(lease_client.clone(), namespace, only, timeouts, lease_facts_in);
        tasks.spawn(lease_watch.run(no_orders()));
        let events = Events::new(client.clone(), instance, timeouts.call, &mut tasks);
        let calls = FuturesUnordered::new();
        Ok(Self {
            client,
            lease_client,
            lease,
            timeouts,
            calls,
            lease_facts,
            facts,
            service_orders,
            events,
            proxies: Proxies::at(proxy_port),
            complaint: String::new(),
            tasks,
        })
    }
}

impl ApiServer {
    /// Says what no repetition will mend.
    fn complain(&mut self, verdict: &Input) {
        let (what, reason) = if let Input::Written(
            _,
            Err(WriteError::Forbidden(reason) | WriteError::Rejected(reason)),
        ) = verdict
        {
            ("write", reason)
        } else if let Input::Got(_, Err(ReadError::Forbidden(reason))) = verdict {
            ("read", reason)
        } else {
            return;
        };
        if *reason != self.complaint {
            self.complaint.clone_from(reason);
            warn!(reason, "the API server refuses a {what}");
        }
    }
}

#[async_trait]
impl Cluster for ApiServer {
    async fn next(&mut self) -> Input {
        select! {
            biased;
            Some(verdict) = self.calls.next() => {
                self.complain(&verdict);
                verdict
            }
            Some(fact) = self.lease_facts.recv() => fact,
            Some(fact) = self.facts.recv() => {
                // The Services are read by their watch.
                self.complain(&fact);
                fact
            }
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(never) => match never {},
                Err(error) => panic::resume_unwind(error.into_panic()),
            },
        }
    }

    fn check(&mut self, node: NodeName, address: IpAddr) {
        self.calls.push(self.proxies.clone().check(node, address).boxed());
    }

    fn publish(&mut self, event: Event) {
        self.events.publish(event);
    }

    fn write(&mut self, id: WriteId, write: Write) {
        let (client, limit) = match write {
            Write::Lease(..) => (self.lease_client.clone(), self.timeouts.lease),
            Write::Eip(..) | Write::Service(..) => (self.client.clone(), self.timeouts.call),
        };
        let request = convert::request(&write, &self.lease);
        let call = async move { Input::Written(id, attempt(client, write, request, limit).await) };
        self.calls.push(call.boxed());
    }

    fn read(&mut self, id: ReadId, read: Read) {
        match read {
            Read::Lease => {
                let call =
                    read_lease(self.lease_client.clone(), self.lease.clone(), self.timeouts.lease);
                let call = call.map(move |got| Input::Got(id, got.map(Got::Lease)));
                self.calls.push(call.boxed());
            }
            Read::Services => {
                let order: Order<Service> =
                    Box::new(move |listing| Input::Got(id, listing.map(Got::Services)));
                let ordered = self.service_orders.send(order);
                assert!(ordered.is_ok(), "the watch of Services runs as long as this");
            }
        }
    }
}

fn watch<T: Watched>(
    (client, timeouts, facts): (&Client, Timeouts, &mpsc::Sender<Input>),
) -> Watch<T> {
    Watch::new(client.clone(), None, None, timeouts, facts.clone())
}

fn no_orders<O>() -> mpsc::UnboundedReceiver<O> {
    mpsc::unbounded_channel().1
}

pub(super) fn client(config: &Config, connect_timeout: Duration) -> Result<Client, Error> {
    let mut config = config.clone();
    config.connect_timeout = Some(connect_timeout);
    // A request that is repeated unseen would turn its own success into a conflict.
    config.default_retry = false;
    let url = config.cluster_url.clone();
    Client::try_from(config)
        .map_err(|error| Error::new(format!("preparing to talk to {url}"), verdict::told(&error)))
}

/// Fails if the kind `Eip` is not known, and for nothing else.
pub(super) async fn look_for_eips(client: &Client, limit: Duration) -> Result<(), Error> {
    let request = Request::new(Eip::url_path(&(), None))
        .list(&ListParams::default().limit(1))
        .expect("the parameters are valid");
    match timeout(limit, client.request::<Value>(request)).await {
        Ok(Err(error)) if verdict::is_not_found(&error) => {
            Err(Error::new("looking for Eips", CRD_REMEDY))
        }
        Ok(Err(error)) => {
            warn!(reason = verdict::told(&error), "the API server does not serve us yet");
            Ok(())
        }
        Ok(Ok(_)) => Ok(()),
        Err(_) => {
            warn!("the API server does not answer yet");
            Ok(())
        }
    }
}

async fn attempt(
    client: Client,
    write: Write,
    request: http::Request<Value>,
    limit: Duration,
) -> Result<Written, WriteError> {
    let request = request.map(|body| body.to_string().into_bytes());
    match timeout(limit, client.request_text(request)).await {
        Ok(Ok(answer)) => convert::written(&write, answer.as_str()).map_err(|unreadable| {
            warn!(%unreadable, "what was written came back unreadable");
            WriteError::Unknown
        }),
        Ok(Err(error)) => {
            debug!(?write, reason = verdict::told(&error), "not written");
            Err(verdict::write_error(&error, matches!(write, Write::Lease(None, _))))
        }
        Err(_) => {
            debug!(?write, "no verdict in time");
            Err(WriteError::Unknown)
        }
    }
}

async fn read_lease(
    client: Client,
    lease: Namespaced,
    limit: Duration,
) -> Result<Option<(Version, LeaseRecord)>, ReadError> {
    let request = Request::new(Lease::url_path(&(), Some(lease.namespace())))
        .get(lease.name(), &GetParams::default())
        .expect("a Lease has a name");
    match timeout(limit, client.request_text(request)).await {
        Ok(Ok(object)) => match convert::read::<Lease>(object.as_str()) {
            Ok(((), version, record)) => Ok(record.map(|record| (version, record))),
            Err(unreadable) => Err(ReadError::Failed(unreadable.to_string())),
        },
        Ok(Err(error)) if verdict::is_not_found(&error) => Ok(None),
        Ok(Err(error)) => Err(verdict::read_error(&error)),
        Err(_) => Err(ReadError::Failed("the API server did not answer in time".into())),
    }
}

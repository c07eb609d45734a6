//! `porter agent`: one replica of the load balancer, as it runs in a cluster.

use std::{
    error::Error, net::SocketAddr, process::ExitCode, str::FromStr, sync::Arc, time::Duration,
};

use clap::{Args, ValueEnum};
use porter_backends::{
    Error as Failure, Reporter, clock, drive,
    http::{Http, LogLevel, Sources},
    kube::{ApiServer, Timeouts},
    link::Lan,
};
use porter_core::{
    ConflictProbing, Identity, LeaseTiming, OnConflict, Probing, ProbingError, Speaker, TimingError,
};
use tokio::{
    runtime, select,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::info;
use uuid::Uuid;

use crate::{log::Log, memory, target::Target};

/// How much later than it was checked a frame may leave this host.
const MARGIN: Duration = Duration::from_millis(100);
/// How far the rate of a host's clock may be off, in parts per million.
const DRIFT_PPM: u32 = 10_000;

/// Run one replica of the load balancer, on the network of a node.
///
/// Replicas compete for a Lease; its holder assigns addresses to Services and answers ARP for them,
/// the others stand by. On SIGTERM or SIGINT the holder falls silent, hands the Lease over and
/// exits.
///
/// Needs the host's network and the capability NET_RAW, and a cluster that knows the kind Eip (see
/// `porter crd`).
#[derive(Args, Debug)]
pub(crate) struct Agent {
    #[command(flatten)]
    target: Target,
    /// Where to tell over HTTP how this replica is, for whoever reaches the address: a page for people at
    /// /, the same for programs at /status, /livez, /readyz and /metrics. `off` tells nobody.
    #[arg(long, value_name = "ADDRESS:PORT|off", default_value = "127.0.0.1:7475")]
    http: At,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    probes: Probes,
    #[command(flatten)]
    conflicts: Conflicts,
    #[command(flatten)]
    pod: Pod,
    #[command(flatten)]
    log: Log,
}

/// Where HTTP is spoken, if anywhere.
#[derive(Clone, Copy, Debug)]
struct At(Option<SocketAddr>);

impl FromStr for At {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            _ => text.parse().map(|address| Self(Some(address))).map_err(|_| {
                "neither `off` nor an address with a port, such as 127.0.0.1:7475 or [::1]:7475"
            }),
        }
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Leadership")]
struct Timing {
    /// For how long the holder of the Lease may speak without renewing it: a whole number. A holder
    /// that died is replaced after this time.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    lease_duration: Duration,
    /// After how long a renewal that is not answered is given up and begun anew.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    renew_deadline: Duration,
    /// How often the Lease is renewed. Together with the deadline of a renewal it must leave the
    /// holder time to speak.
    #[arg(long, value_name = "SECONDS", default_value = "1.5", value_parser = seconds)]
    retry_period: Duration,
}

/// How it is found out whether nodes are there. A node that EIPs are answered with is given up after
/// three probes in a row that nobody answered.
#[derive(Args, Debug)]
#[command(next_help_heading = "Nodes on the LAN")]
struct Probes {
    /// How fast a dead node is noticed: `default` within 0.9 s, `fast` within 0.36 s. Fast is for LANs
    /// and hosts that never keep an answer waiting for 60 ms.
    #[arg(long, value_name = "PROFILE", default_value = "default")]
    profile: Profile,
    /// How often a node is probed, at most 10 s. Otherwise as the profile says.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    probe_interval: Option<Duration>,
    /// How long an answer to a probe may take: less than the interval. Otherwise as the profile says.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    probe_timeout: Option<Duration>,
    /// Also ask kube-proxy on the nodes how it is, at this port (10256 unless configured otherwise). A
    /// node whose kube-proxy fails for three seconds gives what it has to one whose kube-proxy works.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    kube_proxy_port: Option<u16>,
}

/// What is done about others who have an address of ours.
#[derive(Args, Debug)]
#[command(next_help_heading = "Conflicts about addresses")]
struct Conflicts {
    /// How an address is tried out before it is given, and whether the LAN is asked now and then who
    /// else has it: `fast` takes 0.4 s, `rfc5227` up to 7 s, `off` does neither.
    #[arg(long, value_name = "TIMERS", default_value = "fast")]
    conflict_probe: ConflictProbe,
    /// What is done about an EIP that a host outside the cluster, or another load balancer, claims:
    /// `defend` announces it once more, at most every 10 s; `yield` leaves it to them, and gives the
    /// Service another, unless that asks for this one by name: then it is silent until nobody else claims
    /// it. Either way it is said on the Service.
    #[arg(long, value_name = "POLICY", default_value = "defend")]
    on_conflict: ConflictPolicy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConflictProbe {
    Fast,
    Off,
    Rfc5227,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConflictPolicy {
    Defend,
    Yield,
}

impl Conflicts {
    fn probing(&self) -> Option<ConflictProbing> {
        match self.conflict_probe {
            ConflictProbe::Fast => Some(ConflictProbing::fast()),
            ConflictProbe::Off => None,
            ConflictProbe::Rfc5227 => Some(ConflictProbing::rfc5227()),
        }
    }

    fn policy(&self) -> OnConflict {
        match self.on_conflict {
            ConflictPolicy::Defend => OnConflict::Defend,
            ConflictPolicy::Yield => OnConflict::Yield,
        }
    }
}

/// Where kube-proxy says how it is, by default (`--healthz-bind-address`).
const KUBE_PROXY_PORT: u16 = 10_256;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profile {
    Default,
    Fast,
}

impl Probes {
    fn probing(&self) -> Result<Probing, ProbingError> {
        let profile = match self.profile {
            Profile::Default => Probing::default(),
            Profile::Fast => Probing::fast(),
        };
        let interval = self.probe_interval.unwrap_or_else(|| profile.interval());
        Probing::new(interval, self.probe_timeout.unwrap_or_else(|| profile.timeout()))
    }
}

/// Who this is, for people who read the Lease and Events. A random part tells processes apart in any case.
#[derive(Args, Debug)]
#[command(next_help_heading = "Identity")]
struct Pod {
    /// The name of this pod. Otherwise that of the node.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pod_name: Option<String>,
    /// The UID of this pod.
    #[arg(long, value_name = "UID", env = "POD_UID")]
    pod_uid: Option<String>,
    /// The name of the node.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
}

impl Agent {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let lease = self.timing.lease().map_err(|error| {
            format!("--lease-duration, --renew-deadline, --retry-period: {error}")
        })?;
        let probing = self
            .probes
            .probing()
            .map_err(|error| format!("--probe-interval, --probe-timeout: {error}"))?;
        memory::keep_together();
        let log_level = self.log.start()?;
        // The core decides on one thread; the other reads what the API server says.
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        // As a task, and not on this thread, which the thread that hears of news would have to wake.
        runtime.block_on(runtime.spawn(self.speak(lease, probing, Arc::clone(&log_level))))??;
        Ok(ExitCode::SUCCESS)
    }

    async fn speak(
        self,
        timing: LeaseTiming,
        probing: Probing,
        log_level: Arc<dyn LogLevel>,
    ) -> Result<(), Failure> {
        let mut lan = Lan::open()?;
        let http = self.http().await?;
        let lease = self.target.lease();
        let identity = self.pod.identity();
        let config = self.target.cluster().await?;
        info!(%identity, %lease, api_server = %config.cluster_url, "starting");
        let timeouts = Timeouts { lease: timing.request_timeout(), ..Timeouts::default() };
        let instance = self.pod.name();
        let checks_proxies = self.probes.kube_proxy_port.is_some();
        let proxy_port = self.probes.kube_proxy_port.unwrap_or(KUBE_PROXY_PORT);
        let mut api_server =
            ApiServer::connect(config, lease.clone(), proxy_port, instance, timeouts).await?;
        let epoch = clock::epoch();
        let config = porter_core::Config {
            identity: identity.clone(),
            epoch,
            lease: timing,
            probing,
            checks_proxies,
            conflict_probing: self.conflicts.probing(),
            on_conflict: self.conflicts.policy(),
        };
        let speaker = Speaker::new(config, Uuid::new_v4().as_u64_pair().0);
        let leave = asked_to_stop()?;
        let (reporter, inquiries) = Reporter::new();
        let (responders, outcomes) = (lan.responders(), lan.outcomes());
        let sources = Sources { identity, lease, log_level, reporter, responders, outcomes };
        // A task of its own: this one could not say that it is stuck. It ends when this is dropped.
        let mut beside = JoinSet::new();
        if let Some(http) = http {
            beside.spawn(http.serve(sources));
        }
        drive(speaker, &mut api_server, &mut lan, inquiries, leave).await?;
        info!("stopped");
        Ok(())
    }

    async fn http(&self) -> Result<Option<Http>, Failure> {
        let At(Some(address)) = self.http else { return Ok(None) };
        let http = Http::bind(address).await.map_err(|error| {
            let remedy = "name another address with --http, or none with --http off";
            Failure::new(error.doing, format!("{}; {remedy}", error.source))
        })?;
        info!(%address, "telling over HTTP how this replica is");
        Ok(Some(http))
    }
}

impl Timing {
    fn lease(&self) -> Result<LeaseTiming, TimingError> {
        let Self { lease_duration, renew_deadline, retry_period } = *self;
        LeaseTiming::new(lease_duration, retry_period, renew_deadline, MARGIN, DRIFT_PPM)
    }
}

impl Pod {
    /// Never used before, and never again.
    fn identity(&self) -> Identity {
        let name = self.name();
        let uid = self.pod_uid.as_deref();
        let process = format!("{:016x}", Uuid::new_v4().as_u64_pair().0);
        let parts: Vec<_> = [Some(name), uid, Some(&process)].into_iter().flatten().collect();
        Identity::from(parts.join("_").as_str())
    }

    fn name(&self) -> &str {
        self.pod_name.as_deref().or(self.node_name.as_deref()).unwrap_or("porter")
    }
}

/// Resolves at the first SIGTERM or SIGINT, which do not end the process any more.
fn asked_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new("listening to signals", error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("asked to stop");
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| !seconds.is_zero())
        .ok_or_else(|| "not a positive number of seconds".into())
}

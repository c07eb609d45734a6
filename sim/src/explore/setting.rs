//! The world of a run: everything about it that is not done to it.
//!
//! A plan says all of this itself instead of leaving it to the seed, so that a plan that was kept
//! means the same when another choice is made of seeds.

use std::{net::Ipv4Addr, time::Duration};

use porter_core::{ConflictProbing, OnConflict};
use serde::{Deserialize, Serialize};

use crate::{Client, Manifest, Options, Step, Trial, Weather, World, world::timings};

/// A cluster, its weather, and the seed that decides whatever else is left to chance.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Decides when exactly, how late and which one.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u8,
    /// How many of them, the first ones, have a replica.
    pub replicas: u8,
    /// How many Services are there from the beginning.
    pub services: u8,
    /// The timing of the Lease.
    pub timing: Timing,
    /// By how many parts per million each node's clock is fast, the nodes taking turns.
    pub clocks_ppm: Vec<i32>,
    /// The longest that a request, and that its answer, is on its way, in milliseconds.
    pub api_latency_ms: u32,
    /// The longest that a watch lags, in milliseconds.
    pub watch_lag_ms: u32,
    /// The longest that a frame is on its way, in milliseconds.
    pub lan_delay_ms: u32,
    /// Of a thousand frames, how many are lost.
    pub lan_loss: u32,
    /// Of a thousand requests, how many are lost on their way to the API server.
    pub lost_requests: u32,
    /// Of a thousand requests, how many are carried out without anybody learning of it.
    pub lost_verdicts: u32,
    /// The longest that a responder goes on with an old snapshot, in microseconds.
    pub publish_delay_us: u32,
    /// Whether frames leave as late after the check of the deadline as the Lease's margin covers.
    pub sends_late: bool,
    /// How often a host outside asks for an EIP, in milliseconds; 0 is never.
    pub asks_every_ms: u32,
    /// Whether replicas ask kube-proxy on the nodes how it is.
    #[serde(default)]
    pub checks_proxies: bool,
    /// Of a thousand frames, how many arrive once more.
    #[serde(default)]
    pub lan_duplicates: u32,
    /// After how long without a frame from it the switch forgets a MAC, in milliseconds; 0 is never.
    #[serde(default)]
    pub fdb_age_ms: u32,
    /// Whether the switch drops frames to a MAC that it does not know.
    #[serde(default)]
    pub blocks_unknown: bool,
    /// Whether hosts and Services have addresses of IPv6, too.
    #[serde(default)]
    pub dual_stack: bool,
    /// The hosts outside; one like Linux, if none is named.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// How replicas mind who else has an address.
    #[serde(default)]
    pub contest: Contest,
    /// Nodes that stay, with their replicas, as broken as they are when all else is mended.
    #[serde(default)]
    pub outside: Vec<u8>,
    /// What is tried out once all agree.
    #[serde(default)]
    pub trial: Trial,
}

/// How the Lease is timed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// 5 s, renewed every 1.5 s, with a margin of 100 ms.
    Default,
    /// The same without a margin, so that nothing hides what is wrong by less.
    NoMargin,
    /// 15 s, without a margin, and with requests so patient that old answers still count.
    Patient,
}

/// How replicas mind who else has an address.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contest {
    /// They try it out before it is given, and say that it is theirs.
    Defend,
    /// They ask nobody.
    #[default]
    Ignore,
    /// They try it out by the timers of RFC 5227.
    Strict,
    /// They leave it to whoever claims it.
    Yield,
}

impl Setting {
    /// The guide's cluster on a quiet day.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            nodes: 3,
            replicas: 3,
            services: 1,
            timing: Timing::Default,
            clocks_ppm: vec![0],
            api_latency_ms: 5,
            watch_lag_ms: 5,
            lan_delay_ms: 1,
            lan_loss: 0,
            lost_requests: 0,
            lost_verdicts: 0,
            publish_delay_us: 100,
            sends_late: false,
            asks_every_ms: 0,
            checks_proxies: false,
            lan_duplicates: 0,
            fdb_age_ms: 0,
            blocks_unknown: false,
            dual_stack: false,
            clients: Vec::new(),
            contest: Contest::Defend,
            outside: Vec::new(),
            trial: Trial::None,
        }
    }

    /// The world with the guide's manifests and as many Services as it shall have.
    pub(super) fn world(&self) -> World {
        let mut world = World::with_guide(self.options(), self.seed);
        if self.services > 1 || self.trial == Trial::Balance {
            for manifest in Manifest::read(POOL).expect("this is an Eip") {
                world.apply(&manifest);
            }
        }
        world.keep_violation();
        for i in 1..self.services {
            world.step(&Step::CreateService(usize::from(i)));
        }
        world
    }

    fn options(&self) -> Options {
        let millis = |millis: u32| Duration::from_millis(u64::from(millis));
        let (timing, send_delay_max) = timings()[self.timing as usize];
        let nodes = (0..self.nodes.clamp(1, NODES_MAX))
            .map(|i| (format!("node{}", i + 1), Ipv4Addr::new(172, 22, 0, 3 + i)));
        Options {
            nodes: nodes.collect(),
            n_replicas: usize::from(self.replicas.max(1)),
            timing,
            weather: Weather {
                api_latency: millis(self.api_latency_ms),
                watch_lag: millis(self.watch_lag_ms),
                lan_delay: millis(self.lan_delay_ms),
                lan_loss: self.lan_loss,
                lan_duplicates: self.lan_duplicates,
                lost_requests: self.lost_requests,
                lost_verdicts: self.lost_verdicts,
                publish_delay: Duration::from_micros(u64::from(self.publish_delay_us)),
                send_delay: if self.sends_late { send_delay_max } else { Duration::ZERO },
            },
            clocks_ppm: if self.clocks_ppm.is_empty() { vec![0] } else { self.clocks_ppm.clone() },
            checks_proxies: self.checks_proxies,
            conflict_probing: match self.contest {
                Contest::Ignore => None,
                Contest::Defend | Contest::Yield => Some(ConflictProbing::fast()),
                Contest::Strict => Some(ConflictProbing::rfc5227()),
            },
            on_conflict: match self.contest {
                Contest::Yield => OnConflict::Yield,
                Contest::Defend | Contest::Ignore | Contest::Strict => OnConflict::Defend,
            },
            clients: self.clients.clone(),
            fdb_age: (self.fdb_age_ms > 0).then(|| millis(self.fdb_age_ms)),
            blocks_unknown: self.blocks_unknown,
            dual_stack: self.dual_stack,
        }
    }
}

/// The addresses below that of the client are the nodes'.
const NODES_MAX: u8 = 90;

/// The guide's pool with room for as many Services as a run may have.
const POOL: &str = "
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: eip-sample-layer2
spec:
  address: 172.22.0.188-172.22.0.250
  interface: eth0
  protocol: layer2
";

//! What a world is made of, and how rough it is.

use std::{net::Ipv4Addr, time::Duration};

use porter_core::{ConflictProbing, LeaseTiming, OnConflict};

use super::{client::Client, rng::Rng};

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The nodes and their addresses, in one /24.
    pub nodes: Vec<(String, Ipv4Addr)>,
    /// How many replicas there are; each runs on a node of its own, the first nodes first.
    pub n_replicas: usize,
    /// The timing of the Lease.
    pub timing: LeaseTiming,
    /// How rough the world is.
    pub weather: Weather,
    /// By how many parts per million each node's clock is fast, the nodes taking turns.
    pub clocks_ppm: Vec<i32>,
    /// Whether replicas ask kube-proxy on the nodes how it is.
    pub checks_proxies: bool,
    /// How replicas try an address out before it is given, if they do.
    pub conflict_probing: Option<ConflictProbing>,
    /// What replicas do about an EIP that somebody else claims.
    pub on_conflict: OnConflict,
    /// The hosts outside the cluster; one like Linux, if none is named.
    pub clients: Vec<Client>,
    /// After how long without a frame from it the switch forgets a MAC; `None`: never.
    pub fdb_age: Option<Duration>,
    /// Whether the switch drops frames to a MAC that it does not know.
    pub blocks_unknown: bool,
    /// Whether hosts and Services have addresses of IPv6, too.
    pub dual_stack: bool,
}

/// How late things come, and how often never.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The longest that a request, and that its answer, is on its way to or from the API server.
    pub api_latency: Duration,
    /// The longest that a watch lags.
    pub watch_lag: Duration,
    /// The longest that a frame is on its way.
    pub lan_delay: Duration,
    /// Of a thousand frames, how many are lost.
    pub lan_loss: u32,
    /// Of a thousand frames, how many arrive once more.
    pub lan_duplicates: u32,
    /// Of a thousand requests, how many are lost on their way to the API server.
    pub lost_requests: u32,
    /// Of a thousand requests, how many are carried out without anybody learning of it.
    pub lost_verdicts: u32,
    /// The longest that a responder goes on with an old snapshot.
    pub publish_delay: Duration,
    /// The longest between the check of the deadline and the sending of the frame. The Lease's
    /// margin has to cover it.
    pub send_delay: Duration,
}

impl Options {
    /// The guide's cluster: three nodes with a replica each, on a quiet day.
    pub fn guide() -> Self {
        let nodes = [("node1", 3), ("node3", 9), ("node4", 10)];
        Self {
            nodes: nodes
                .map(|(name, ip)| (name.to_owned(), Ipv4Addr::new(172, 22, 0, ip)))
                .to_vec(),
            n_replicas: 3,
            timing: LeaseTiming::default(),
            weather: Weather::calm(),
            clocks_ppm: vec![0],
            checks_proxies: false,
            conflict_probing: Some(ConflictProbing::fast()),
            on_conflict: OnConflict::Defend,
            clients: vec![Client::Linux],
            fdb_age: None,
            blocks_unknown: false,
            dual_stack: false,
        }
    }

    /// The guide's cluster where every margin is used up: each clock is off by all that is bounded,
    /// frames leave as late as they may after their check, and nothing else takes any time to hide
    /// that.
    pub fn edge(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x6564_6765);
        let (timing, send_delay) = rng.pick(&timings()[..2]);
        let publish_delay = rng.pick(&[Duration::ZERO, Duration::from_millis(20)]);
        Self {
            timing,
            weather: Weather { send_delay, publish_delay, ..Weather::calm() },
            clocks_ppm: (0..3).map(|_| rng.pick(&[-BOUND_PPM, BOUND_PPM])).collect(),
            ..Self::guide()
        }
    }

    /// The guide's cluster in weather that the seed decides. Every world is rough in few ways and
    /// very rough in those, since faults of all kinds at once hide each other.
    pub fn swarm(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x7377_6172);
        let millis = |rng: &mut Rng, choices: &[u64]| Duration::from_millis(rng.pick(choices));
        let (timing, send_delay_max) = rng.pick(&timings());
        Self {
            timing,
            weather: Weather {
                api_latency: millis(rng, &[5, 50, 500, 3_000]),
                watch_lag: millis(rng, &[5, 50, 500, 3_000]),
                lan_delay: millis(rng, &[1, 1, 20, 300]),
                lan_loss: rng.pick(&[0, 0, 10, 200]),
                lan_duplicates: 0,
                lost_requests: rng.pick(&[0, 0, 20, 200]),
                lost_verdicts: rng.pick(&[0, 0, 20, 200]),
                publish_delay: millis(rng, &[0, 1, 50, 1_000]),
                send_delay: rng.pick(&[Duration::ZERO, send_delay_max]),
            },
            clocks_ppm: (0..3).map(|_| rng.pick(&[-BOUND_PPM, 0, BOUND_PPM])).collect(),
            ..Self::guide()
        }
    }
}

impl Weather {
    /// A quiet day: everything arrives, and soon.
    pub fn calm() -> Self {
        Self {
            api_latency: Duration::from_millis(5),
            watch_lag: Duration::from_millis(5),
            lan_delay: Duration::from_millis(1),
            lan_loss: 0,
            lan_duplicates: 0,
            lost_requests: 0,
            lost_verdicts: 0,
            publish_delay: Duration::from_micros(100),
            send_delay: Duration::ZERO,
        }
    }
}

/// By how much a clock may be off before one voice is no longer promised.
pub(crate) const DRIFT_PPM: u32 = 10_000;
const BOUND_PPM: i32 = 10_000;

/// The defaults; the same without a margin; and a lease so long that answers which are 6 s old still
/// count. With each the longest between check and sending that its margin covers.
pub(crate) fn timings() -> [(LeaseTiming, Duration); 3] {
    let timing = |duration, renew_every, request_timeout, margin| {
        let [duration, renew_every, request_timeout, margin] =
            [duration, renew_every, request_timeout, margin].map(Duration::from_millis);
        let timing = LeaseTiming::new(duration, renew_every, request_timeout, margin, DRIFT_PPM)
            .expect("a renewal fits into the time for which the holder speaks");
        // The margin is counted on the sender's clock, which may be fast.
        (timing, margin * 1_000_000 / (1_000_000 + DRIFT_PPM))
    };
    [
        timing(5_000, 1_500, 1_000, 100),
        timing(5_000, 1_500, 1_000, 0),
        timing(15_000, 4_000, 7_000, 0),
    ]
}

//! Whether kube-proxy on a node takes traffic, as it says itself.
//!
//! A node whose kernel answers on the LAN while its kube-proxy does not work swallows what it is
//! sent. kube-proxy answers `GET /healthz` with 200 as long as its rules follow the cluster, and with
//! 503 when they do not, or when its node is being deleted (KEP-3836). The leader asks on request
//! (`Config::checks_proxies`), the nodes that EIPs are answered with every second, the others rarely.
//!
//! It is a slower signal than the LAN's, and a weaker one: three bad answers in a row make a node the
//! last choice and move what it has to a better one, but never exclude it. Where nothing ever answered
//! there may be no kube-proxy, but something in its place: that is no bad answer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use crate::{Instant, NodeName, Size, event::ProxyHealth, random::Random};

/// How often kube-proxy is asked on a node that EIPs are answered with, or that gave a bad answer.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often on any other node, before jitter.
const CONFIRM_EVERY: Duration = Duration::from_secs(30);
/// So many bad answers in a row count.
const BAD_MIN: u32 = 3;
/// So many other nodes are asked when one gives its first bad answer: what is in use is not moved to
/// a node that fails as well.
const ASKED_MAX: usize = 8;

/// kube-proxy on every node.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    random: Random,
    nodes: BTreeMap<NodeName, Proxy>,
    /// Whom to ask when: those who are not being asked.
    due: BTreeSet<(Instant, NodeName)>,
    outputs: VecDeque<(NodeName, IpAddr)>,
}

#[derive(Clone, Debug)]
struct Proxy {
    address: IpAddr,
    /// Whether EIPs are answered with its node.
    used: bool,
    /// When to ask next; `None` while an answer is awaited.
    next_at: Option<Instant>,
    /// Whether it was ever heard to be well.
    known: bool,
    /// How many bad answers there were in a row.
    n_bad: u32,
}

impl Proxy {
    fn fails(&self) -> bool {
        self.n_bad >= BAD_MIN
    }
}

impl Proxies {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            nodes: BTreeMap::new(),
            due: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in which nodes there are, at which address, and whether EIPs are answered with each. What
    /// is known of a node that stays is kept.
    pub(crate) fn handle_nodes(
        &mut self,
        nodes: &BTreeMap<NodeName, (IpAddr, bool)>,
        now: Instant,
    ) {
        let stays = |name: &NodeName, proxy: &mut Proxy| {
            nodes.get(name).is_some_and(|(address, _)| *address == proxy.address)
        };
        for (name, proxy) in self.nodes.extract_if(.., |name, proxy| !stays(name, proxy)) {
            if let Some(at) = proxy.next_at {
                self.due.remove(&(at, name));
            }
        }
        for (name, &(address, used)) in nodes {
            let proxy = self.nodes.entry(name.clone()).or_insert_with(|| {
                self.due.insert((now, name.clone()));
                Proxy { address, used, next_at: Some(now), known: false, n_bad: 0 }
            });
            if used && !proxy.used {
                hasten(&mut self.due, name, proxy, now);
            }
            proxy.used = used;
        }
        self.handle_timeout(now);
    }

    /// Takes in whether EIPs are answered with a node.
    pub(crate) fn handle_use(&mut self, name: &NodeName, used: bool, now: Instant) {
        let Some(proxy) = self.nodes.get_mut(name) else { return };
        if used && !proxy.used {
            hasten(&mut self.due, name, proxy, now);
        }
        proxy.used = used;
        self.handle_timeout(now);
    }

    /// Takes in an answer. Says whether it changes what is thought of the node.
    pub(crate) fn handle_checked(
        &mut self,
        name: &NodeName,
        health: ProxyHealth,
        now: Instant,
    ) -> bool {
        let Some(proxy) = self.nodes.get_mut(name).filter(|proxy| proxy.next_at.is_none()) else {
            return false;
        };
        let failed = proxy.fails();
        match health {
            ProxyHealth::Well => (proxy.known, proxy.n_bad) = (true, 0),
            ProxyHealth::Silent if !proxy.known => {}
            ProxyHealth::Silent | ProxyHealth::Unwell => {
                proxy.n_bad = proxy.n_bad.saturating_add(1);
            }
        }
        let first = proxy.used && proxy.n_bad == 1;
        let often = proxy.used || proxy.n_bad > 0;
        let span = if often { ASK_EVERY } else { self.random.about(CONFIRM_EVERY) };
        proxy.next_at = Some(now + span);
        self.due.insert((now + span, name.clone()));
        let changed = proxy.fails() != failed;
        if first {
            self.ask_others(now);
        }
        changed
    }

    /// Asks nodes that are rarely asked.
    fn ask_others(&mut self, now: Instant) {
        let idle = |proxy: &Proxy| !proxy.used && proxy.n_bad == 0;
        let others = self.nodes.iter_mut().filter(|(_, proxy)| idle(proxy));
        for (name, proxy) in others.take(ASKED_MAX) {
            hasten(&mut self.due, name, proxy, now);
        }
        self.handle_timeout(now);
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let (_, name) = self.due.pop_first().expect("it was just looked at");
            let proxy = self.nodes.get_mut(&name).expect("who is due is known");
            proxy.next_at = None;
            self.outputs.push_back((name, proxy.address));
        }
    }

    /// Whether kube-proxy on a node has given bad answers only for a while.
    pub(crate) fn fails(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(Proxy::fails)
    }

    /// How many bad answers in a row a node has given, as far as they count.
    pub(crate) fn n_bad(&self, node: &NodeName) -> u32 {
        self.nodes.get(node).map_or(0, |proxy| proxy.n_bad.min(BAD_MIN))
    }

    #[must_use]
    pub(crate) fn poll_output(&mut self) -> Option<(NodeName, IpAddr)> {
        self.outputs.pop_front()
    }

    pub(crate) fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How much is remembered, where there are so many nodes.
    pub(crate) fn sizes(&self, nodes: usize) -> [Size; 2] {
        [
            Size::new("nodes whose kube-proxy is asked", self.nodes.len(), nodes),
            Size::new("questions to kube-proxy due", self.due.len(), nodes),
        ]
    }

    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

/// Has a node asked now, unless its answer is awaited.
fn hasten(
    due: &mut BTreeSet<(Instant, NodeName)>,
    name: &NodeName,
    proxy: &mut Proxy,
    now: Instant,
) {
    if let Some(at) = &mut proxy.next_at {
        due.remove(&(*at, name.clone()));
        due.insert((now, name.clone()));
        *at = now;
    }
}

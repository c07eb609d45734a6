//! A host outside the cluster: what its neighbour cache makes of the frames it hears.
//!
//! Heads up: read `arp_process` and `neigh_update` of Linux first. What counts here is which frame
//! replaces a cached MAC and when a host asks again: a reply within the locktime is ignored unless it
//! is gratuitous in Linux's sense, an entry goes stale after some half a minute, and a stale one is
//! probed by unicast before everybody is asked. For IPv6 read `ndisc_recv_na`: there is no locktime, and
//! the flags of an advertisement decide.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::IpAddr,
    time::Duration,
};

use porter_core::{MacAddr, NodeName};

use super::{
    client::Client,
    clock::Moment,
    family::{ALL_NODES, ALL_ROUTERS, asked_in},
    frame::{Frame, Says},
};

/// How long a stale entry that is in use waits for a sign of life (`delay_first_probe_time`).
const DELAY: Duration = Duration::from_secs(5);
/// The time between two questions (`retrans_time_ms`).
const RETRANS: Duration = Duration::from_secs(1);
/// How often everybody is asked (`mcast_solicit`), and the known MAC (`ucast_solicit`).
const ASKED_MAX: u8 = 3;

/// A host on the LAN with a neighbour cache.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    name: String,
    kind: Client,
    address: IpAddr,
    address6: Option<IpAddr>,
    mac: MacAddr,
    /// Addresses that it takes for its own, and that are not.
    claims: BTreeSet<IpAddr>,
    /// Addresses of IPv6 that it is about to take, unless somebody has them: until when it waits.
    tentative: BTreeMap<IpAddr, Moment>,
    /// For how long a confirmed entry is good: 15 to 45 s, drawn once (RFC 4861 section 6.3.2).
    reachable_for: Duration,
    neighbours: BTreeMap<IpAddr, Neighbour>,
    pings: Vec<(IpAddr, Outcome)>,
    frames: VecDeque<Frame>,
}

/// What a host knows of one address.
#[derive(Clone, Debug)]
struct Neighbour {
    mac: Option<MacAddr>,
    state: State,
    updated_at: Moment,
    /// Pings that wait for the MAC.
    waiting: Vec<u32>,
}

/// The state of a neighbour (`NUD_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Delay { until: Moment },
    Failed,
    Incomplete { asked: u8, next_at: Moment },
    Probe { asked: u8, next_at: Moment },
    Reachable { until: Moment },
    Stale,
}

/// What became of a ping.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered {
        /// The node that did.
        by: NodeName,
        /// When it did.
        at: Moment,
    },
    /// Nobody told where the address is.
    Unreachable,
    /// Nothing yet.
    Waiting,
}

impl Host {
    pub(crate) fn new(
        name: &str,
        kind: Client,
        (address, address6, mac): (IpAddr, Option<IpAddr>, MacAddr),
        reachable_for: Duration,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            address,
            address6,
            mac,
            claims: BTreeSet::new(),
            tentative: BTreeMap::new(),
            reachable_for,
            neighbours: BTreeMap::new(),
            pings: Vec::new(),
            frames: VecDeque::new(),
        }
    }

    /// Sends an echo request. The number is how [`Self::outcome`] knows it.
    pub(crate) fn ping(&mut self, target: IpAddr, now: Moment) -> u32 {
        let asker = (self.own(target), self.mac);
        let number = u32::try_from(self.pings.len()).expect("a host sends few pings");
        self.pings.push((target, Outcome::Waiting));
        let neighbour = self.neighbours.entry(target).or_insert(Neighbour {
            mac: None,
            state: State::Failed,
            updated_at: now,
            waiting: Vec::new(),
        });
        match neighbour.state {
            State::Failed => {
                neighbour.waiting.push(number);
                neighbour.state = State::Incomplete { asked: 1, next_at: now + RETRANS };
                self.frames.push_back(Frame::who_has(target, asker));
            }
            State::Incomplete { .. } => neighbour.waiting.push(number),
            State::Stale => {
                neighbour.state = State::Delay { until: now + DELAY };
                self.send(number);
            }
            State::Delay { .. } | State::Probe { .. } | State::Reachable { .. } => {
                self.send(number);
            }
        }
        number
    }

    /// Takes in a frame from the LAN.
    pub(crate) fn handle_frame(&mut self, frame: &Frame, now: Moment) {
        let to_us = frame.dst == self.mac;
        if !to_us && !self.is_in_group(frame.dst) {
            return;
        }
        match &frame.says {
            Says::WhoHas { target, asker } if self.has(*target) || self.claims.contains(target) => {
                self.frames.push_back(Frame::own_answer(self.mac, *target, *asker));
                if !frame.is_conflict_probe() {
                    self.learn(*asker, false, true, now);
                }
            }
            Says::IsAt { .. } | Says::WhoHas { .. } => {
                let Some((address, mac)) = frame.claim() else { return };
                let is_reply = matches!(frame.says, Says::IsAt { .. });
                if is_reply {
                    self.tentative.remove(&address);
                }
                let kind = self.kind_for(address);
                let gratuitous = frame.is_gratuitous();
                // Only a router begins to know what it was not asked for (RFC 9131 section 6.1).
                let begins = self.kind == Client::Router && frame.dst == ALL_ROUTERS;
                let updated_at = self.neighbours.get(&address).map(|known| known.updated_at);
                if updated_at.is_none() && !begins || gratuitous && !kind.heeds(frame) {
                    return;
                }
                let unlocked = updated_at.is_none_or(|at| now.since(at) > kind.locktime());
                let overrides = match address {
                    IpAddr::V4(_) => gratuitous || unlocked,
                    IpAddr::V6(_) => frame.overrides(),
                };
                self.learn((address, mac), is_reply && to_us, overrides, now);
            }
            Says::Pong { to, number, by } if self.has(*to) => {
                let ping = &mut self.pings[*number as usize].1;
                *ping = Outcome::Answered { by: by.clone(), at: now };
            }
            Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => {}
        }
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        for (address, _) in self.tentative.extract_if(.., |_, until| *until <= now) {
            self.claims.insert(address);
            self.frames.extend(Frame::announcement(self.mac, address, self.mac));
        }
        let own =
            |target: IpAddr| if target.is_ipv4() { Some(self.address) } else { self.address6 };
        for (&target, neighbour) in &mut self.neighbours {
            if neighbour.due_at().is_none_or(|due_at| due_at > now) {
                continue;
            }
            let kind = if target.is_ipv4() { self.kind } else { self.kind.for_v6() };
            let asker = own(target).expect("nobody knows a host of a family that it has not");
            let ask = Frame::who_has(target, (asker, self.mac));
            let next_at = now + RETRANS;
            neighbour.state = match neighbour.state {
                State::Delay { .. } => State::Probe { asked: 1, next_at },
                State::Incomplete { asked, .. } if asked < ASKED_MAX => {
                    State::Incomplete { asked: asked + 1, next_at }
                }
                State::Probe { asked, .. } if asked < ASKED_MAX => {
                    State::Probe { asked: asked + 1, next_at }
                }
                State::Reachable { .. } if kind.refreshes() => State::Probe { asked: 1, next_at },
                State::Reachable { .. } | State::Stale => State::Stale,
                State::Failed | State::Incomplete { .. } | State::Probe { .. } => State::Failed,
            };
            match neighbour.state {
                State::Incomplete { .. } => self.frames.push_back(ask),
                State::Probe { .. } => {
                    let dst = neighbour.mac.expect("only a known MAC is probed");
                    self.frames.push_back(Frame { dst, ..ask });
                }
                State::Failed => {
                    for number in neighbour.waiting.drain(..) {
                        self.pings[number as usize].1 = Outcome::Unreachable;
                    }
                }
                State::Delay { .. } | State::Reachable { .. } | State::Stale => {}
            }
        }
    }

    /// The next frame to put on the LAN, if any.
    pub(crate) fn poll_frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// When to call [`Self::handle_timeout`], if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        let due = self.neighbours.values().filter_map(Neighbour::due_at);
        due.chain(self.tentative.values().copied()).min()
    }

    /// What became of a ping.
    pub(crate) fn outcome(&self, number: u32) -> &Outcome {
        &self.pings[number as usize].1
    }

    /// The MAC to which the next packet for `address` would go.
    pub(crate) fn neighbour(&self, address: IpAddr) -> Option<MacAddr> {
        let known = self.neighbours.get(&address)?;
        known.is_valid().then_some(known.mac).flatten()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> Client {
        self.kind
    }

    /// Its own address of IPv4 and its MAC.
    pub(crate) fn identity(&self) -> (IpAddr, MacAddr) {
        (self.address, self.mac)
    }

    /// All of its own addresses, each with its MAC.
    pub(crate) fn identities(&self) -> Vec<(IpAddr, MacAddr)> {
        [self.address].into_iter().chain(self.address6).map(|it| (it, self.mac)).collect()
    }

    /// Addresses that it takes for its own, and that are not, or is about to.
    pub(crate) fn claims(&self) -> BTreeSet<IpAddr> {
        self.claims.iter().chain(self.tentative.keys()).copied().collect()
    }

    /// How many addresses it is about to take, unless somebody has them.
    pub(crate) fn n_tentative(&self) -> usize {
        self.tentative.len()
    }

    /// Takes an address for its own, and says so to everybody, or gives it back. Says whether that
    /// is new. One of IPv6 it asks for first, for a second, and leaves it if anybody answers (RFC 4862
    /// section 5.4).
    pub(crate) fn claim(&mut self, address: IpAddr, claims: bool, now: Moment) -> bool {
        match (claims, address) {
            (true, IpAddr::V4(_)) => {
                self.frames.extend(Frame::announcement(self.mac, address, self.mac));
                self.claims.insert(address)
            }
            (true, IpAddr::V6(_)) if self.claims.contains(&address) => false,
            (true, IpAddr::V6(_)) => {
                self.frames.push_back(Frame::is_free(self.mac, address));
                self.tentative.insert(address, now + RETRANS).is_none()
            }
            (false, _) => {
                let tentative = self.tentative.remove(&address).is_some();
                self.claims.remove(&address) || tentative
            }
        }
    }

    /// Forgets everything, as a host does that is started afresh.
    pub(crate) fn forget(&mut self) {
        self.neighbours.clear();
    }

    /// `neigh_update`: takes in that `address` is at `mac`.
    fn learn(
        &mut self,
        (address, mac): (IpAddr, MacAddr),
        confirms: bool,
        overrides: bool,
        now: Moment,
    ) {
        let kind = self.kind_for(address);
        let neighbour = self.neighbours.entry(address).or_insert(Neighbour {
            mac: None,
            state: State::Failed,
            updated_at: now,
            waiting: Vec::new(),
        });
        let confirms = confirms || kind.refreshes();
        let same = neighbour.is_valid() && neighbour.mac == Some(mac);
        let resists = neighbour.is_valid() && !same && !overrides;
        if resists && address.is_ipv6() && matches!(neighbour.state, State::Reachable { .. }) {
            neighbour.state = State::Stale; // Who contradicts it is not believed, nor quite ignored.
        }
        if resists || same && !confirms {
            return;
        }
        let before = neighbour.state;
        neighbour.mac = Some(mac);
        neighbour.state = match confirms {
            true => State::Reachable { until: now + kind.keeps_for(self.reachable_for) },
            false => State::Stale,
        };
        if !same || !matches!(before, State::Reachable { .. }) {
            neighbour.updated_at = now;
        }
        let waiting = std::mem::take(&mut neighbour.waiting);
        if !waiting.is_empty() && neighbour.state == State::Stale {
            neighbour.state = State::Delay { until: now + DELAY };
        }
        for number in waiting {
            self.send(number);
        }
    }

    /// What it is like where an address of this family is concerned.
    fn kind_for(&self, address: IpAddr) -> Client {
        if address.is_ipv4() { self.kind } else { self.kind.for_v6() }
    }

    /// Its own address of a target's family.
    fn own(&self, target: IpAddr) -> IpAddr {
        let own = if target.is_ipv4() { Some(self.address) } else { self.address6 };
        own.expect("a host without an address of IPv6 is not sent there")
    }

    fn has(&self, address: IpAddr) -> bool {
        address == self.address || self.address6 == Some(address)
    }

    /// Whether it takes in what is sent to a group.
    fn is_in_group(&self, group: MacAddr) -> bool {
        let mut own = self.address6.iter().chain(&self.claims).chain(self.tentative.keys());
        group.is_broadcast()
            || group == ALL_NODES
            || group == ALL_ROUTERS && self.kind == Client::Router
            || own.any(|address| asked_in(*address) == group)
    }

    /// Sends a ping to the MAC that is known for its target.
    fn send(&mut self, number: u32) {
        let target = self.pings[number as usize].0;
        let dst = self.neighbours[&target].mac.expect("a neighbour that is sent to has a MAC");
        let says = Says::Ping { from: self.own(target), target, number };
        self.frames.push_back(Frame { src: self.mac, dst, says });
    }
}

impl Neighbour {
    /// `NUD_VALID`: packets are sent without asking.
    fn is_valid(&self) -> bool {
        match self.state {
            State::Failed | State::Incomplete { .. } => false,
            State::Delay { .. } | State::Probe { .. } | State::Reachable { .. } | State::Stale => {
                true
            }
        }
    }

    fn due_at(&self) -> Option<Moment> {
        match self.state {
            State::Incomplete { next_at, .. } | State::Probe { next_at, .. } => Some(next_at),
            State::Delay { until } | State::Reachable { until } => Some(until),
            State::Failed | State::Stale => None,
        }
    }
}

impl fmt::Display for Host {
    /// As `ip neigh` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (address, neighbour) in &self.neighbours {
            let state = match neighbour.state {
                State::Delay { .. } => "DELAY",
                State::Failed => "FAILED",
                State::Incomplete { .. } => "INCOMPLETE",
                State::Probe { .. } => "PROBE",
                State::Reachable { .. } => "REACHABLE",
                State::Stale => "STALE",
            };
            match neighbour.mac.filter(|_| neighbour.is_valid()) {
                Some(mac) => writeln!(f, "{address} dev eth0 lladdr {mac} {state}")?,
                None => writeln!(f, "{address} dev eth0 {state}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! A host outside the cluster: what its neighbour cache makes of the frames it hears.
//!
//! Heads up: read `arp_process` and `neigh_update` of Linux first. What counts here is which frame
//! replaces a cached MAC and when a host asks again: a reply within the locktime is ignored unless it
//! is gratuitous in Linux's sense, an entry goes stale after some half a minute, and a stale one is
//! probed by unicast before everybody is asked.

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
    mac: MacAddr,
    /// Addresses that it takes for its own, and that are not.
    claims: BTreeSet<IpAddr>,
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
        (address, mac): (IpAddr, MacAddr),
        reachable_for: Duration,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            address,
            mac,
            claims: BTreeSet::new(),
            reachable_for: kind.keeps_for(reachable_for),
            neighbours: BTreeMap::new(),
            pings: Vec::new(),
            frames: VecDeque::new(),
        }
    }

    /// Sends an echo request. The number is how [`Self::outcome`] knows it.
    pub(crate) fn ping(&mut self, target: IpAddr, now: Moment) -> u32 {
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
                self.frames.push_back(Frame::who_has(target, (self.address, self.mac)));
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
        if !to_us && !frame.dst.is_broadcast() {
            return;
        }
        match &frame.says {
            Says::WhoHas { target, asker }
                if *target == self.address || self.claims.contains(target) =>
            {
                let says = Says::IsAt { target: *target, mac: self.mac, to: *asker };
                self.frames.push_back(Frame { src: self.mac, dst: asker.1, says });
                if !frame.is_conflict_probe() {
                    self.learn(asker.0, asker.1, false, true, now);
                }
            }
            Says::IsAt { .. } | Says::WhoHas { .. } => {
                let (address, mac) = frame.claim().expect("both say who they are");
                let is_reply = matches!(frame.says, Says::IsAt { .. });
                let gratuitous = frame.is_gratuitous();
                let Some(known) = self.neighbours.get(&address) else { return };
                if gratuitous && !self.kind.heeds(frame) {
                    return;
                }
                let unlocked = now.since(known.updated_at) > self.kind.locktime();
                let overrides = gratuitous || unlocked;
                self.learn(address, mac, is_reply && to_us, overrides, now);
            }
            Says::Pong { to, number, by } if *to == self.address => {
                let ping = &mut self.pings[*number as usize].1;
                *ping = Outcome::Answered { by: by.clone(), at: now };
            }
            Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => {}
        }
    }

    /// Takes in the passage of time.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        for (&target, neighbour) in &mut self.neighbours {
            if neighbour.due_at().is_none_or(|due_at| due_at > now) {
                continue;
            }
            let ask = Frame::who_has(target, (self.address, self.mac));
            let next_at = now + RETRANS;
            neighbour.state = match neighbour.state {
                State::Delay { .. } => State::Probe { asked: 1, next_at },
                State::Incomplete { asked, .. } if asked < ASKED_MAX => {
                    State::Incomplete { asked: asked + 1, next_at }
                }
                State::Probe { asked, .. } if asked < ASKED_MAX => {
                    State::Probe { asked: asked + 1, next_at }
                }
                State::Reachable { .. } if self.kind.refreshes() => {
                    State::Probe { asked: 1, next_at }
                }
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
        self.neighbours.values().filter_map(Neighbour::due_at).min()
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

    /// Its own address and MAC.
    pub(crate) fn identity(&self) -> (IpAddr, MacAddr) {
        (self.address, self.mac)
    }

    /// Addresses that it takes for its own, and that are not.
    pub(crate) fn claims(&self) -> BTreeSet<IpAddr> {
        self.claims.clone()
    }

    /// Takes an address for its own, and says so to everybody, or gives it back. Says whether that
    /// is new.
    pub(crate) fn claim(&mut self, address: IpAddr, claims: bool) -> bool {
        match claims {
            true => {
                self.frames.extend(Frame::announcement(self.mac, address, self.mac));
                self.claims.insert(address)
            }
            false => self.claims.remove(&address),
        }
    }

    /// Forgets everything, as a host does that is started afresh.
    pub(crate) fn forget(&mut self) {
        self.neighbours.clear();
    }

    /// `neigh_update`: takes in that `address` is at `mac`.
    fn learn(
        &mut self,
        address: IpAddr,
        mac: MacAddr,
        confirms: bool,
        overrides: bool,
        now: Moment,
    ) {
        let neighbour = self.neighbours.entry(address).or_insert(Neighbour {
            mac: None,
            state: State::Failed,
            updated_at: now,
            waiting: Vec::new(),
        });
        let confirms = confirms || self.kind.refreshes();
        let same = neighbour.is_valid() && neighbour.mac == Some(mac);
        if neighbour.is_valid() && !same && !overrides || same && !confirms {
            return;
        }
        let before = neighbour.state;
        neighbour.mac = Some(mac);
        neighbour.state = match confirms {
            true => State::Reachable { until: now + self.reachable_for },
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

    /// Sends a ping to the MAC that is known for its target.
    fn send(&mut self, number: u32) {
        let target = self.pings[number as usize].0;
        let dst = self.neighbours[&target].mac.expect("a neighbour that is sent to has a MAC");
        let says = Says::Ping { from: self.address, target, number };
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
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));
    const SELF: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100));
    const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 100);
    const SPEAKER: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
    const OLD: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
    const NEW: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    fn reply(mac: MacAddr) -> Frame {
        let says = Says::IsAt { target: EIP, mac, to: (SELF, CLIENT) };
        Frame { src: SPEAKER, dst: CLIENT, says }
    }

    fn host(kind: Client) -> Host {
        Host::new("client", kind, (SELF, CLIENT), Duration::from_secs(30))
    }

    /// A host that has just learned that the EIP is at `OLD`.
    fn host_that_knows(kind: Client) -> Host {
        let mut host = host(kind);
        host.ping(EIP, at(0));
        host.handle_frame(&reply(OLD), at(1));
        while host.poll_frame().is_some() {}
        host
    }

    fn drive(host: &mut Host, until: Moment) -> Vec<(Moment, Frame)> {
        let mut sent = Vec::new();
        while let Some(due_at) = host.poll_timeout().filter(|due_at| *due_at <= until) {
            host.handle_timeout(due_at);
            while let Some(frame) = host.poll_frame() {
                sent.push((due_at, frame));
            }
        }
        sent
    }

    #[test]
    fn a_host_asks_three_times_and_then_gives_up() {
        let mut host = host(Client::Linux);
        let ping = host.ping(EIP, at(0));
        assert_eq!(host.poll_frame(), Some(Frame::who_has(EIP, (SELF, CLIENT))));
        let asked_again: Vec<_> = drive(&mut host, at(9_000)).into_iter().map(|(t, _)| t).collect();
        assert_eq!(asked_again, [at(1_000), at(2_000)]);
        assert_eq!(*host.outcome(ping), Outcome::Unreachable);
        assert_eq!(host.neighbour(EIP), None);
    }

    #[test]
    fn within_the_locktime_only_a_gratuitous_frame_replaces_a_mac() {
        let to_everybody = |mut frame: Frame, to: MacAddr| {
            frame.dst = MacAddr::broadcast();
            frame.says = Says::IsAt { target: EIP, mac: NEW, to: (EIP, to) };
            frame
        };
        let [request, reply_to_itself] = Frame::announcement(SPEAKER, EIP, NEW);
        let reply_to_broadcast = to_everybody(reply(NEW), MacAddr::broadcast());
        let cases = [
            (request.clone(), 200, NEW),
            (reply_to_itself, 200, NEW),
            (reply_to_broadcast.clone(), 200, OLD),
            (reply_to_broadcast, 1_300, NEW),
            (reply(NEW), 200, OLD),
            (reply(NEW), 1_300, NEW),
        ];
        for (frame, age, mac) in cases {
            let mut host = host_that_knows(Client::Linux);
            host.handle_frame(&frame, at(1 + age));
            assert_eq!(host.neighbour(EIP), Some(mac), "{frame} after {age} ms");
        }
    }

    #[test]
    fn an_announcement_completes_a_host_that_waits_and_starts_no_entry_otherwise() {
        let [request, _] = Frame::announcement(SPEAKER, EIP, NEW);
        let mut host = host(Client::Linux);
        host.handle_frame(&request, at(0));
        assert_eq!(host.neighbour(EIP), None);

        let ping = host.ping(EIP, at(10));
        host.handle_frame(&request, at(400));
        assert_eq!(host.neighbour(EIP), Some(NEW));
        let says = Says::Ping { from: SELF, target: EIP, number: ping };
        assert_eq!(host.poll_frame().map(|frame| frame.dst), Some(MacAddr::broadcast()));
        assert_eq!(host.poll_frame(), Some(Frame { src: CLIENT, dst: NEW, says }));
    }

    #[test]
    fn a_stale_entry_is_probed_at_its_mac_before_everybody_is_asked() {
        let mut host = host_that_knows(Client::Linux);
        drive(&mut host, at(31_000));
        host.ping(EIP, at(40_000));
        assert_eq!(host.poll_frame().map(|frame| frame.dst), Some(OLD));
        let sent = drive(&mut host, at(60_000));
        let asked: Vec<_> = sent.iter().map(|(t, frame)| (*t, frame.dst)).collect();
        assert_eq!(asked, [(at(45_000), OLD), (at(46_000), OLD), (at(47_000), OLD)]);
        host.ping(EIP, at(60_000));
        assert_eq!(host.poll_frame(), Some(Frame::who_has(EIP, (SELF, CLIENT))));
    }

    #[test]
    fn hosts_differ_in_which_frames_replace_a_mac() {
        use Client::{Deaf, HeedsReplies, HeedsRequests, Linux, Router, Windows};
        let [request, reply_to_itself] = Frame::announcement(SPEAKER, EIP, NEW);
        let cases = [
            (request, [Linux, Windows, Router, HeedsRequests].as_slice()),
            (reply_to_itself, &[Linux, Windows, Router, HeedsReplies]),
            (reply(NEW), &[Windows, Router]),
        ];
        assert!(!cases.iter().any(|(_, takers)| takers.contains(&Deaf)));
        for (frame, takers) in cases {
            for kind in Client::ALL {
                let mut host = host_that_knows(kind);
                host.handle_frame(&frame, at(201));
                let mac = if takers.contains(&kind) { NEW } else { OLD };
                assert_eq!(host.neighbour(EIP), Some(mac), "{frame} at {kind:?}");
            }
        }
    }

    #[test]
    fn a_router_asks_after_four_hours_where_it_knows_and_then_forgets() {
        let mut host = host_that_knows(Client::Router);
        let old = 4 * 3_600_000 + 1;
        let sent = drive(&mut host, at(old + 60_000));
        let asked: Vec<_> = sent.iter().map(|(t, frame)| (*t, frame.dst)).collect();
        assert_eq!(asked, [0, 1_000, 2_000].map(|later| (at(old + later), OLD)));
        assert_eq!(host.neighbour(EIP), None);
    }

    #[test]
    fn a_host_that_claims_an_address_says_so_and_answers_for_it_until_it_leaves_it() {
        let mut stranger = host(Client::Linux);
        assert!(stranger.claim(EIP, true));
        let announced: Vec<_> = std::iter::from_fn(|| stranger.poll_frame()).collect();
        assert_eq!(announced, Frame::announcement(CLIENT, EIP, CLIENT));
        let question = Frame::who_has(EIP, (IpAddr::from([172, 22, 0, 7]), OLD));
        stranger.handle_frame(&question, at(0));
        assert_eq!(stranger.poll_frame().and_then(|it| it.claim()), Some((EIP, CLIENT)));
        assert!(stranger.claim(EIP, false));
        stranger.handle_frame(&question, at(1));
        assert_eq!(stranger.poll_frame(), None);
    }
}

//! One replica of the load balancer, composed of its parts.

mod contest;
mod requests;
mod sizes;
mod view;

pub use self::{
    sizes::{Size, Sizes},
    view::{Pool, Sight, Station},
};

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use smallvec::SmallVec;

use crate::{
    Answers, Config, Disputes, Doubts, Election, Event, Fitness, Generation, Identity, Input,
    Instant, Kind, LinkName, Node, NodeName, Output, ReadId, Timestamp, WriteId,
    announcer::Announcer,
    cluster::{Cluster, Concern},
    conflict::{Conflicts, Roll},
    controller::Controller,
    groups::Groups,
    heed::Attention,
    ledger::{Ledger, Object},
    neighbor::{Neighbors, News},
    proxy::Proxies,
    publication::Publication,
    random::Random,
};

/// For how long a leader whose watch is broken goes on with what it knows.
const BLIND_MAX: Duration = Duration::from_secs(10);
/// How often, at most, a leader gives up the Lease because its watch is broken.
const VACATE_EVERY: Duration = Duration::from_secs(60);
/// For how long it then leaves the Lease to others.
const STAND_BACK: Duration = Duration::from_secs(10);
/// One replica's share of the load balancer.
///
/// It has three kinds of methods: `handle_*` takes in what happened, `poll_*` hands out what is to
/// be done, and the others look. After every `handle_*`, drain [`Self::poll_output`], then wait
/// for the next input or for [`Self::poll_timeout`], whichever is first. Instants must not go back,
/// and must be read before the input they come with is handled, not before it arrived.
#[derive(Clone, Debug)]
pub struct Speaker {
    election: Election,
    cluster: Cluster,
    neighbors: Neighbors,
    attention: Attention,
    groups: Groups,
    proxies: Proxies,
    checks_proxies: bool,
    announcer: Announcer,
    conflicts: Conflicts,
    roll: Roll,
    /// When nodes were last asked for their MACs to tell who claims an EIP.
    called_at: Option<Instant>,
    /// Which of them was asked last.
    called: Option<IpAddr>,
    publication: Publication,
    ledger: Ledger,
    standing: Standing,
    /// The consistent read that is under way, and the term it was asked for in.
    read: Option<(ReadId, u64)>,
    read_again_at: Instant,
    /// How many reads in a row have failed.
    failed_reads: u32,
    lease_request: Option<u64>,
    next_id: u64,
    /// What people are told once a write is made.
    events: BTreeMap<WriteId, Vec<Event>>,
    /// The time by the wall clock at [`Instant::ZERO`].
    epoch: Timestamp,
    broken: BTreeMap<Kind, Instant>,
    vacated_at: Option<Instant>,
    stands_back_until: Option<Instant>,
    leaving: Leaving,
    listening: BTreeSet<LinkName>,
    /// The addresses whose link is asked for.
    routed: BTreeSet<IpAddr>,
    /// Links that have had carrier: their loss is news.
    came_up: BTreeSet<LinkName>,
    outputs: VecDeque<Output>,
}

/// What a replica makes of its claim.
#[derive(Clone, Debug)]
enum Standing {
    /// Has none, or none that counts.
    Silent,
    /// Holds the Lease in this term and waits for the API server's newest word.
    Confirm(u64),
    /// Speaks in this term.
    Speak(u64, Box<Controller>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaving {
    No,
    Asked,
    Left,
}

impl Speaker {
    /// A speaker that knows nothing yet and therefore says nothing yet.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            election: Election::new(&config, random.next()),
            cluster: Cluster::new(),
            neighbors: Neighbors::new(config.probing, random.next()),
            announcer: Announcer::new(random.next()),
            attention: Attention::default(),
            groups: Groups::default(),
            proxies: Proxies::new(random.next()),
            conflicts: Conflicts::new(config.conflict_probing, config.on_conflict, random.next()),
            roll: Roll::default(),
            called_at: None,
            called: None,
            checks_proxies: config.checks_proxies,
            publication: Publication::new(),
            ledger: Ledger::default(),
            standing: Standing::Silent,
            read: None,
            read_again_at: Instant::ZERO,
            failed_reads: 0,
            lease_request: None,
            next_id: 0,
            events: BTreeMap::new(),
            epoch: config.epoch,
            broken: BTreeMap::new(),
            vacated_at: None,
            stands_back_until: None,
            leaving: Leaving::No,
            listening: BTreeSet::new(),
            routed: BTreeSet::new(),
            came_up: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one fact about the world.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::Lease(lease) => {
                self.broken.remove(&Kind::Lease);
                self.election.handle_seen(lease, now);
            }
            Input::Got(id, got) => self.handle_got(id, got, now),
            Input::Written(id, verdict) => self.handle_written(id, verdict, now),
            // What arrived on a link that is gone since says nothing of one that comes after it.
            Input::Heard(claim) if self.cluster.links.contains_key(&claim.link) => {
                self.neighbors.handle_heard(&claim, now);
                self.handle_neighbors(now);
                self.handle_claim(&claim, now);
            }
            Input::Stirred(link) if self.cluster.links.contains_key(&link) => {
                self.neighbors.handle_stirred(link, now);
                self.handle_neighbors(now);
            }
            Input::Heard(_) | Input::Stirred(_) => {}
            Input::Probed(question) => self.handle_probed(&question, now),
            Input::Checked(node, health) => {
                if self.proxies.handle_checked(&node, health, now) {
                    let nodes = BTreeSet::from([node]);
                    self.handle_concern(Concern { nodes, ..Concern::default() }, now);
                }
            }
            Input::Asked(link, asked) => self.handle_asked(link, asked, now),
            Input::Silenced(generation) => self.handle_silenced(generation),
            Input::Lost(kind) => {
                self.broken.entry(kind).or_insert(now);
            }
            Input::Leave => {
                if self.leaving == Leaving::No {
                    self.leaving = Leaving::Asked;
                }
                self.election.handle_yield(now);
            }
            Input::Eip(..)
            | Input::Eips(_)
            | Input::Link(..)
            | Input::Namespace(..)
            | Input::Namespaces(_)
            | Input::Node(..)
            | Input::Nodes(_)
            | Input::Route(..)
            | Input::Service(..)
            | Input::Services(_)
            | Input::Slice(..)
            | Input::Slices(_) => self.handle_fact(input, now),
        }
        self.settle(now);
    }

    /// Takes in the passage of time. Calling too early, or too often, is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.election.handle_timeout(now);
        self.neighbors.handle_timeout(now);
        self.handle_neighbors(now);
        self.proxies.handle_timeout(now);
        if let Standing::Speak(_, controller) = &mut self.standing {
            controller.handle_timeout(now);
        }
        self.settle(now);
    }

    /// Looks at every object again, as if something had become of each.
    ///
    /// What is decided follows every fact at once, and only what the fact concerns is looked at. So
    /// nothing comes of this, which is what a simulator makes sure of.
    pub fn look_again(&mut self, now: Instant) {
        if let Standing::Speak(_, controller) = &mut self.standing {
            controller.handle_all(&self.cluster);
        }
        self.settle(now);
    }

    /// The next thing to do, if any. Drain after every `handle_*`.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        // Permissions and snapshots go before announcements, which they allow.
        self.publication
            .poll_output()
            .or_else(|| self.outputs.pop_front())
            .or_else(|| self.attention.poll_output())
            .or_else(|| self.groups.poll_output())
            .or_else(|| self.announcer.poll_output().map(Output::Announce))
            .or_else(|| self.conflicts.poll_output().map(Output::Probe))
            .or_else(|| self.neighbors.poll_output().map(Output::Probe))
            .or_else(|| self.proxies.poll_output().map(|(node, at)| Output::Check(node, at)))
    }

    /// When to call `handle_timeout`, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reading = self.reads_in().is_some() && self.read.is_none();
        let blind = self.broken_at().map(|at| at + BLIND_MAX);
        let blind = blind.filter(|_| self.election.until().is_some());
        let blind = blind.map(|at| self.vacated_at.map_or(at, |last| at.max(last + VACATE_EVERY)));
        let controller = match &self.standing {
            Standing::Speak(_, controller) => controller.poll_timeout(),
            Standing::Silent | Standing::Confirm(_) => None,
        };
        let timeouts = [
            controller,
            self.election.poll_timeout(),
            self.neighbors.poll_timeout(),
            self.proxies.poll_timeout(),
            self.announcer.poll_timeout().filter(|_| self.publication.is_clear()),
            self.conflicts.poll_timeout().filter(|_| self.publication.is_clear()),
            self.ledger.poll_timeout(),
            reading.then_some(self.read_again_at),
            blind,
            self.stands_back_until,
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Whether this replica may speak at `now`.
    pub fn leads(&self, now: Instant) -> bool {
        self.election.leads(now) && matches!(self.standing, Standing::Speak(..))
    }

    /// The holder of the Lease as last seen, whether its claim still runs or not.
    pub fn holder(&self) -> Option<&Identity> {
        self.election.holder()
    }

    /// How often this replica was woken so late that it must have been paused.
    pub fn pauses(&self) -> u64 {
        self.election.pauses()
    }

    /// How much of what is on the LAN this replica is in doubt of.
    pub fn doubts(&self, now: Instant) -> Doubts {
        self.neighbors.doubts(now)
    }

    /// How many conflicts about addresses this replica knows of, if it leads.
    pub fn disputes(&self) -> Disputes {
        let set_aside = match &self.standing {
            Standing::Speak(_, controller) => controller.n_aside(),
            Standing::Silent | Standing::Confirm(_) => 0,
        };
        Disputes { set_aside, ..self.conflicts.disputes() }
    }

    /// The snapshot that was published last.
    pub fn answers(&self) -> &Arc<Answers> {
        self.publication.published()
    }

    fn handle_fact(&mut self, input: Input, now: Instant) {
        if let Some(kind) = input.listed() {
            self.broken.remove(&kind);
        }
        let is_link = matches!(input, Input::Link(..));
        if let Input::Link(name, link) = &input {
            self.handle_carrier(*name, link.as_ref().is_ok_and(|link| link.carrier), now);
            let before = self.cluster.links.get(name).map(|before| before.mac);
            let stays = |mac| link.as_ref().is_ok_and(|link| link.carrier && link.mac == mac);
            if before.is_some_and(|mac| !stays(mac)) {
                self.conflicts.handle_lost(*name);
            }
        }
        let concern = self.cluster.handle_input(input);
        let forgets = concern.reach || concern.choices || is_link;
        self.handle_concern(concern, now);
        if forgets {
            let Self { cluster, listening, .. } = self;
            let has_link = |link: &LinkName| cluster.links.contains_key(link);
            self.came_up.retain(|link| listening.contains(link) || has_link(link));
            self.neighbors.handle_links(&cluster.links);
            self.roll.retain(|(link, address)| {
                cluster.nodes_at().contains_key(address) && has_link(link)
            });
        }
    }

    /// Takes in whether a link of this host has carrier, before anything else is made of it.
    fn handle_carrier(&mut self, link: LinkName, carrier: bool, now: Instant) {
        if carrier {
            self.came_up.insert(link);
        }
        self.neighbors.handle_carrier(link, carrier);
        self.handle_neighbors(now);
    }

    fn handle_concern(&mut self, concern: Concern, now: Instant) {
        let reach = concern.reach;
        let services = concern.services.iter().cloned().map(Object::Service);
        for object in services.chain(concern.eips.iter().cloned().map(Object::Eip)) {
            if !self.cluster.knows(&object) {
                self.ledger.forget(&object);
            }
        }
        for name in &concern.eips {
            let link = self.cluster.link_of(name);
            let eip = self.cluster.eips.get(name);
            self.attention.handle_eip(name, eip, link);
            self.groups.handle_eip(name, eip, link);
        }
        if reach {
            self.neighbors.handle_targets(&self.cluster.targets(), now);
            let listen = self.cluster.listen();
            if listen != self.listening {
                self.listening.clone_from(&listen);
                self.outputs.push_back(Output::Listen(listen));
            }
            let routed = self.cluster.routed();
            if routed != self.routed {
                self.routed.clone_from(&routed);
                self.outputs.push_back(Output::Route(routed));
            }
        }
        if let Standing::Speak(_, controller) = &mut self.standing {
            controller.handle_concern(concern, &self.cluster);
        }
        if reach {
            self.handle_use(now);
            self.handle_neighbors(now);
        }
    }

    /// Takes in what was found out about nodes on the LAN.
    fn handle_neighbors(&mut self, now: Instant) {
        while let Some((target, obstacle)) = self.neighbors.poll_change() {
            let concern = self.cluster.handle_seen(target, obstacle);
            self.handle_concern(concern, now);
        }
        let News { targets, links } = self.neighbors.take_news();
        if !targets.is_empty() || !links.is_empty() {
            let concern = self.cluster.concern_of(targets);
            let everybody = !links.is_empty();
            self.handle_concern(Concern { everybody, ..concern }, now);
        }
    }

    /// Asks those nodes most often that EIPs are answered with.
    fn handle_use(&mut self, now: Instant) {
        let used = match &self.standing {
            Standing::Speak(_, controller) => {
                self.cluster.targets_of(|node| controller.load().uses(node))
            }
            // Asked while the API server is, so that nobody waits for both.
            Standing::Confirm(_) => {
                let recorded = self.cluster.recorded_nodes();
                self.cluster.targets_of(|node| recorded.contains(node))
            }
            Standing::Silent => BTreeSet::new(),
        };
        self.neighbors.handle_used(used, now);
        let proxies = match &self.standing {
            Standing::Speak(_, controller) if self.checks_proxies => {
                let used = |node| controller.load().uses(node);
                let at = |node: &Node| node.addresses.first().copied();
                let nodes = self.cluster.nodes.iter();
                let nodes = nodes.filter_map(|(name, node)| Some((name, at(node)?)));
                nodes.map(|(name, at)| (name.clone(), (at, used(name)))).collect()
            }
            Standing::Silent | Standing::Confirm(_) | Standing::Speak(..) => BTreeMap::new(),
        };
        self.proxies.handle_nodes(&proxies, now);
    }

    /// Asks a node more or less often, as it has come to be answered for some EIP or has ceased to be.
    fn handle_use_of(&mut self, node: &NodeName, now: Instant) {
        let Standing::Speak(_, controller) = &self.standing else { return };
        let uses = |node: &NodeName| controller.load().uses(node);
        for (target, used) in self.cluster.targets_at(node, uses) {
            self.neighbors.handle_use(target, used, now);
        }
        self.proxies.handle_use(node, uses(node), now);
    }

    fn handle_asked(&mut self, link: LinkName, asked: Vec<(IpAddr, Instant)>, now: Instant) {
        for (eip, asked_at) in asked {
            if self.publication.entry(link, eip).is_some() {
                self.announcer.handle_asked(link, eip, asked_at.min(now));
            }
        }
    }

    fn handle_silenced(&mut self, generation: Generation) {
        let changed = self.publication.handle_silenced(generation);
        let Standing::Speak(_, controller) = &mut self.standing else { return };
        controller.handle_silenced();
        for (link, eip) in changed {
            match self.publication.entry(link, eip) {
                Some(Ok(mac)) => self.announcer.handle_change(link, eip, mac),
                Some(Err(_)) => self.announcer.handle_silence(link, eip),
                None => self.announcer.handle_gone(link, eip),
            }
        }
    }

    /// Draws the conclusions from what is known now.
    fn settle(&mut self, now: Instant) {
        self.campaign(now);
        self.stand(now);
        while let Some(object) = self.ledger.poll_rested(now) {
            if let Standing::Speak(_, controller) = &mut self.standing {
                controller.handle_object(object);
            }
        }
        self.contest(now);
        self.write(now);
        if let Standing::Speak(_, controller) = &mut self.standing {
            match controller.take_shifted() {
                Some(nodes) => nodes.iter().for_each(|node| self.handle_use_of(node, now)),
                None => self.handle_use(now),
            }
        }
        for (link, eip) in self.publication.publish() {
            self.announcer.handle_silence(link, eip);
            let said = self.publication.entry(link, eip);
            self.conflicts.handle_spoken((link, eip), said, now);
        }
        while let Some(((link, address), goes_on)) = self.conflicts.poll_moved() {
            self.groups.handle_trial(link, address, goes_on);
        }
        self.attention.attend(&self.listening, |link| self.neighbors.seeks_proof(link));
        if let Standing::Speak(..) = &self.standing
            && let Some(until) = self.election.until()
            && self.publication.is_clear()
        {
            self.publication.permit(until);
            self.announcer.handle_timeout(now);
        }
        if matches!(self.standing, Standing::Silent) && self.publication.is_clear() {
            self.election.handle_release(now);
        }
        self.request(now);
        if let Standing::Speak(_, controller) = &mut self.standing {
            self.outputs.extend(controller.take_moves().map(Output::Moved));
        }
        if self.leaving == Leaving::Asked && !self.election.holds(now) {
            self.leaving = Leaving::Left;
            self.outputs.push_back(Output::Left);
        }
    }

    /// Decides whether to compete for the Lease, and gives it up after having been blind too long.
    fn campaign(&mut self, now: Instant) {
        self.election.handle_fitness(self.fitness(), now);
        let broken_at = self.broken_at();
        self.vacated_at.take_if(|at| now >= *at + VACATE_EVERY);
        self.stands_back_until.take_if(|until| now >= *until);
        let rested = self.vacated_at.is_none();
        let blind = broken_at.is_some_and(|at| now >= at + BLIND_MAX);
        if blind && rested && self.election.until().is_some() {
            self.vacated_at = Some(now);
            self.stands_back_until = Some(now + STAND_BACK);
            self.election.handle_yield(now);
            return;
        }
        let stays = self.leaving == Leaving::No && self.cluster.is_synced();
        let stands_back = broken_at.is_some() && self.stands_back_until.is_some();
        self.election.handle_campaign(stays && !stands_back, now);
    }

    /// What this replica could do for the Eips if it led.
    fn fitness(&self) -> Fitness {
        let carries = |link: &LinkName| self.cluster.links.get(link).is_some_and(|it| it.carrier);
        // Where nodes cannot be asked for, none can be named.
        let within_reach = self.cluster.eips_on().filter_map(|((link, family), count)| {
            let link = link?;
            let facts = self.cluster.links.get(&link)?;
            let asks = family.is_none_or(|family| facts.speaks(family));
            (asks && facts.carrier).then_some((link, count))
        });
        let within_reach: SmallVec<[_; 4]> = within_reach.collect();
        let served = within_reach.iter().filter(|(link, _)| !self.neighbors.is_silent(*link));
        match served.map(|(_, count)| count).sum() {
            0 if !within_reach.is_empty() => Fitness::Deaf,
            0 if self.came_up.intersection(&self.listening).any(|link| !carries(link)) => {
                Fitness::CutOff
            }
            0 if self.cluster.eips_on().next().is_some() => Fitness::Unfit,
            served => Fitness::Fit(served),
        }
    }

    /// Begins and ends terms.
    fn stand(&mut self, now: Instant) {
        let term = self.election.leads(now).then(|| self.election.term());
        let stands = match &self.standing {
            Standing::Silent => None,
            Standing::Confirm(term) | Standing::Speak(term, _) => Some(*term),
        };
        if term == stands {
            return;
        }
        self.publication.clear();
        self.announcer.handle_silence_all();
        self.conflicts.handle_term(now);
        self.read_again_at = now;
        self.failed_reads = 0;
        if term.is_some() {
            self.neighbors.handle_term();
        }
        self.standing = term.map_or(Standing::Silent, Standing::Confirm);
        self.handle_use(now);
    }

    /// Since when the watch of a kind that decisions are made of has been broken.
    fn broken_at(&self) -> Option<Instant> {
        let kinds = self.broken.iter().filter(|(kind, _)| **kind != Kind::Lease);
        kinds.map(|(_, &at)| at).min()
    }
}

#[cfg(test)]
mod model;

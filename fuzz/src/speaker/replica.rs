//! One replica and everything around it: an API server, a LAN on which nodes answer, and responders.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use porter_core::{
    Config, ConflictProbing, Generation, Got, Identity, Input, Instant, IsAt, LeaseTiming,
    LinkName, MacAddr, OnConflict, Output, Probing, ProxyHealth, Read, ReadId, Speaker, Timestamp,
    Write, WriteId,
};

use super::{
    Milestone,
    api::{Api, KINDS},
    checks::Checks,
    facts,
    script::Script,
};

/// For how long a script may be awake.
const AWAKE_MAX: Duration = Duration::from_secs(180);
/// The end of time for a script: long before that of the clock, at which no timer could be later.
const END: Instant = Instant::from_nanos(u64::MAX / 4);

pub(super) struct Replica {
    speaker: Speaker,
    pub(super) now: Instant,
    pub(super) api: Api,
    checks: Checks,
    /// Addresses that nobody answers for on the LAN.
    pub(super) mute: BTreeSet<IpAddr>,
    /// What kube-proxy says of itself on every node.
    pub(super) proxies: ProxyHealth,
    reads: VecDeque<(ReadId, Read)>,
    writes: VecDeque<(WriteId, Write)>,
    /// Writes that were given up and may still take effect.
    pub(super) late: Vec<Write>,
    /// Snapshots that were not acknowledged.
    published: VecDeque<Generation>,
    /// What the LAN and the nodes answer at once.
    answers: VecDeque<Input>,
    awake: Duration,
    /// Where each EIP was answered to be last.
    places: BTreeMap<(LinkName, IpAddr), MacAddr>,
    pub(super) reached: BTreeSet<Milestone>,
}

impl Replica {
    /// A replica that has not heard of anything, set up as the script says.
    pub(super) fn new(script: &mut Script<'_>) -> Self {
        let lease = LeaseTiming::default();
        let probing = script.pick(&[Probing::default(), Probing::fast()]);
        let checks_proxies = script.below(2) == 1;
        let seed = script.pick(&[7, 1, u64::MAX]);
        let on_conflict = if seed == 1 { OnConflict::Yield } else { OnConflict::Defend };
        let config = Config {
            identity: Identity::from(facts::ME),
            epoch: Timestamp(0),
            lease,
            probing,
            checks_proxies,
            conflict_probing: (seed == 1).then(ConflictProbing::fast),
            on_conflict,
        };
        Self {
            speaker: Speaker::new(config, seed),
            now: Instant::ZERO,
            api: Api::default(),
            checks: Checks::new(lease.speak_for()),
            mute: BTreeSet::new(),
            proxies: ProxyHealth::Well,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            late: Vec::new(),
            published: VecDeque::new(),
            answers: VecDeque::new(),
            awake: Duration::ZERO,
            places: BTreeMap::new(),
            reached: BTreeSet::new(),
        }
    }

    /// Tells the replica something, and does what it wants.
    pub(super) fn tell(&mut self, input: Input) {
        self.checks.told(&input);
        self.speaker.handle_input(input, self.now);
        self.drain();
    }

    /// Lists everything, and shows the link of the guide.
    pub(super) fn list_all(&mut self) {
        let link = facts::link(&mut Script::new(b"1"));
        let name = LinkName::new("eth0").expect("a good name");
        self.tell(Input::Link(name, link));
        for kind in KINDS {
            let listing = self.api.list(kind);
            self.tell(listing);
        }
    }

    /// Delivers everything that the watch has to tell.
    pub(super) fn catch_up(&mut self) {
        while let Some(event) = self.api.watch.pop_front() {
            self.tell(event);
        }
    }

    /// Acknowledges all snapshots but the last few.
    pub(super) fn acknowledge(&mut self, but: usize) {
        let n_acknowledged = self.published.len().saturating_sub(but);
        let acknowledged = self.published.drain(..n_acknowledged).next_back();
        if let Some(generation) = acknowledged {
            self.tell(Input::Silenced(generation));
        }
    }

    /// Takes out one of the reads that are under way.
    pub(super) fn take_read(&mut self, which: usize) -> Option<(ReadId, Read)> {
        self.reads.remove(which.checked_rem(self.reads.len())?)
    }

    /// Takes out one of the writes that are under way.
    pub(super) fn take_write(&mut self, which: usize) -> Option<(WriteId, Write)> {
        self.writes.remove(which.checked_rem(self.writes.len())?)
    }

    /// Whether a verdict with this number is waited for.
    pub(super) fn is_pending(&self, id: u64) -> bool {
        let writes = self.writes.iter().map(|(id, _)| id.0);
        writes.chain(self.reads.iter().map(|(id, _)| id.0)).any(|pending| pending == id)
    }

    /// What the API server answers.
    pub(super) fn look(&self, read: Read) -> Got {
        match read {
            Read::Lease => Got::Lease(self.api.lease.clone()),
            Read::Services => Got::Services(self.api.services()),
        }
    }

    /// Lets time pass without the replica noticing before the end.
    pub(super) fn sleep(&mut self, span: Duration) {
        if self.now + span < END {
            self.now += span;
            self.wake();
        }
    }

    /// Lets time pass, waking the replica whenever it wants, without anything else.
    pub(super) fn run(&mut self, millis: u64) {
        self.pass(millis, |_| {});
    }

    /// Lets time pass while everything that is wanted is done at once.
    pub(super) fn calm(&mut self, millis: u64) {
        self.please();
        self.pass(millis, Self::please);
    }

    fn pass(&mut self, millis: u64, meanwhile: impl Fn(&mut Self)) {
        let span = Duration::from_millis(millis);
        let end = self.now + span;
        self.awake += span;
        if self.awake > AWAKE_MAX || end > END {
            return;
        }
        while let Some(at) = self.speaker.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.wake();
            meanwhile(self);
        }
        self.now = end;
    }

    /// Does everything that is wanted, until nothing is.
    fn please(&mut self) {
        for _ in 0..10_000 {
            self.catch_up();
            self.acknowledge(0);
            if let Some((id, read)) = self.take_read(0) {
                let got = self.look(read);
                self.tell(Input::Got(id, Ok(got)));
            } else if let Some((id, write)) = self.take_write(0) {
                let verdict = self.api.write(write);
                self.tell(Input::Written(id, verdict));
            } else if self.api.watch.is_empty() && self.published.is_empty() {
                return;
            }
        }
        panic!("it comes to no rest");
    }

    fn wake(&mut self) {
        for _ in 0..20 {
            self.speaker.handle_timeout(self.now);
            self.drain();
            if self.speaker.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("woken again and again at {}, for {:?}", self.now, self.speaker.poll_timeout());
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            if let Some(output) = self.speaker.poll_output() {
                self.note(&output);
                self.checks.wanted(&output, &self.speaker, self.now);
                self.perform(output);
            } else if let Some(input) = self.answers.pop_front() {
                self.checks.told(&input);
                self.speaker.handle_input(input, self.now);
            } else {
                return;
            }
        }
        panic!("it wants things without end");
    }

    /// Looks whether all is well after an act.
    pub(super) fn settle(&mut self) {
        self.checks.drained(&self.speaker);
        if self.speaker.leads(self.now) {
            self.reached.insert(Milestone::Led);
        } else if self.reached.contains(&Milestone::Led) {
            self.reached.insert(Milestone::Stopped);
        }
    }

    /// Notes how far it came.
    fn note(&mut self, output: &Output) {
        match output {
            Output::Announce(_) => {
                self.reached.insert(Milestone::Announced);
            }
            Output::Event(_) => {
                self.reached.insert(Milestone::Told);
            }
            Output::Left => {
                self.reached.insert(Milestone::Left);
            }
            Output::Publish(answers, _) => {
                for (link, eip, answer) in answers.iter() {
                    let Ok(mac) = answer else { continue };
                    self.reached.insert(Milestone::Answered);
                    if self.places.insert((link, eip), mac).is_some_and(|before| before != mac) {
                        self.reached.insert(Milestone::Moved);
                    }
                }
            }
            Output::Check(..)
            | Output::Heed(..)
            | Output::Join(..)
            | Output::Listen(_)
            | Output::Moved(_)
            | Output::Permit(_)
            | Output::Probe(_)
            | Output::Quit(..)
            | Output::Read(..)
            | Output::Route(_)
            | Output::Write(..) => {}
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Check(node, _) => self.answers.push_back(Input::Checked(node, self.proxies)),
            // Nobody has an address that is to be given.
            Output::Probe(probe)
                if !probe.sender.0.is_unspecified() && !self.mute.contains(&probe.target) =>
            {
                let last = match probe.target {
                    IpAddr::V4(target) => target.octets()[3],
                    IpAddr::V6(target) => target.octets()[15],
                };
                let (link, target, to) = (probe.link, probe.target, Some(probe.sender));
                let mac = facts::mac(last);
                self.answers.push_back(Input::Heard(IsAt { link, target, mac, to, via: mac }));
            }
            Output::Route(addresses) => {
                let link = LinkName::new("eth0").expect("a good name");
                let routes = addresses.into_iter().map(|address| Input::Route(address, Ok(link)));
                self.answers.extend(routes);
            }
            Output::Publish(_, generation) => self.published.push_back(generation),
            Output::Read(id, read) => self.reads.push_back((id, read)),
            Output::Write(id, write) => self.writes.push_back((id, write)),
            Output::Announce(_)
            | Output::Event(_)
            | Output::Heed(..)
            | Output::Join(..)
            | Output::Left
            | Output::Listen(_)
            | Output::Moved(_)
            | Output::Permit(_)
            | Output::Probe(_)
            | Output::Quit(..) => {}
        }
    }
}

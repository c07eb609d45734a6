//! The links of this host: packet sockets, the threads that answer, and what is heard.
//!
//! A question is answered on the link's own thread from the snapshot that was published last,
//! whatever the rest of the process is doing, and never at or after the permitted time. Everything
//! else that is heard goes to [`Links::next`].
//!
//! Sockets of our own rather than a packet library's channel: bound to ARP alone, and to neighbor
//! discovery alone, so that other traffic costs nothing, filtered before they are bound, deaf to what this host sends, and left
//! open when a link goes down. A link that is made again, or that gets another MAC, gets new
//! sockets.

mod discovery;
mod dump;
mod filter;
mod groups;
mod kernel;
mod outcome;
mod pulse;
mod responder;
pub(crate) mod socket;
mod station;
mod survey;
#[cfg(test)]
mod tests;
mod trace;
mod tried;
mod voice;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use async_trait::async_trait;
use porter_core::{
    Answers, Generation, Heed, Input, Instant, IsAt, LinkName, Probe, Unroutable, Unusable, WhoHas,
};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{error, info, trace, warn};

pub use outcome::{Outcome, Outcomes};
pub use pulse::{Responders, Round};
pub use trace::{Said, Trace};

use crate::{Error, clock, port::Links};
#[cfg(test)]
pub(crate) use pulse::Pulse;
pub(crate) use pulse::Roster;
use responder::Responder;
use station::{Common, Station};
use survey::{Seen, Survey};
use voice::{Snapshot, Voice};

/// How many claims may wait to be taken in: several rounds of replies from every node of a large
/// cluster.
const HEARD_MAX: usize = 4096;
/// How many reports of what was asked for may wait: some for each link.
const ASKED_MAX: usize = 64;

/// What to do where packet sockets are not allowed.
const RAW_REMEDY: &str = "run it as root, or with the capability NET_RAW";

/// The links of this host, in one network namespace.
#[derive(Debug)]
pub struct Lan {
    common: Common,
    heard: mpsc::Receiver<IsAt>,
    /// What was asked for; told before the acknowledgement that it comes with.
    asked: mpsc::Receiver<Input>,
    /// Who means to take which address.
    probed: mpsc::Receiver<WhoHas>,
    /// Links on which others are heard.
    stirred: mpsc::Receiver<LinkName>,
    surveys: watch::Receiver<Survey>,
    survey: Survey,
    /// The addresses whose link is to be told, and what was told of each last.
    routed: watch::Sender<BTreeSet<IpAddr>>,
    routes: BTreeMap<IpAddr, Result<LinkName, Unroutable>>,
    /// Facts about links that [`Links::next`] has not told yet.
    news: VecDeque<Input>,
    wanted: BTreeSet<LinkName>,
    /// What is to be heard on wanted links, where it is not everything.
    heeds: BTreeMap<LinkName, Heed>,
    /// The groups to be in on each link, be it wanted or not.
    groups: BTreeMap<LinkName, BTreeSet<Ipv6Addr>>,
    responders: BTreeMap<LinkName, Responder>,
    /// Why wanted links are not listened to, as it was reported last.
    deaf: BTreeMap<LinkName, String>,
    /// Who answers where, for whoever asks from outside.
    roster: watch::Sender<Roster>,
    /// The last generation that was published, and the last that all responders have come to.
    published: Generation,
    silenced: Generation,
    /// The snapshot before the last one, kept so that it is not a responder who frees it.
    replaced: Option<Arc<Snapshot>>,
}

impl Lan {
    /// The links in the network namespace of the calling thread. Says nothing before it is
    /// permitted to.
    ///
    /// Fails if packet sockets are not allowed (`CAP_NET_RAW`).
    pub fn open() -> Result<Self, Error> {
        socket::packet_socket().map_err(|error| {
            Error::new("opening a packet socket", format!("{error}; {RAW_REMEDY}"))
        })?;
        let (routed, wanted) = watch::channel(BTreeSet::new());
        let surveys = survey::start(wanted);
        let surveys = surveys.map_err(|error| Error::new("starting a thread", error))?;
        Ok(Self::over(surveys, routed))
    }

    fn over(mut surveys: watch::Receiver<Survey>, routed: watch::Sender<BTreeSet<IpAddr>>) -> Self {
        surveys.mark_changed();
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        let (asked_in, asked) = mpsc::channel(ASKED_MAX);
        let (probed_in, probed) = mpsc::channel(ASKED_MAX);
        let (stirred_in, stirred) = mpsc::channel(ASKED_MAX);
        let common = Common {
            voice: Arc::new(Voice::default()),
            outcomes: Arc::new(Outcomes::default()),
            heard: sender,
            asked: asked_in,
            probed: probed_in,
            stirred: stirred_in,
            progress: Arc::new(Notify::new()),
        };
        Self {
            common,
            heard,
            asked,
            probed,
            stirred,
            surveys,
            survey: Survey::default(),
            routed,
            routes: BTreeMap::new(),
            news: VecDeque::new(),
            wanted: BTreeSet::new(),
            heeds: BTreeMap::new(),
            groups: BTreeMap::new(),
            responders: BTreeMap::new(),
            deaf: BTreeMap::new(),
            roster: watch::Sender::default(),
            published: Generation::default(),
            silenced: Generation::default(),
            replaced: None,
        }
    }

    /// What became of every frame.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        Arc::clone(&self.common.outcomes)
    }

    /// The threads that answer.
    pub fn responders(&self) -> Responders {
        Responders(self.roster.subscribe())
    }

    fn handle_survey(&mut self, survey: Survey) {
        let link = |seen: &Result<Seen, Unusable>| match seen {
            Ok(seen) => Ok(seen.link.clone()),
            Err(why) => Err(*why),
        };
        for (&name, seen) in &survey.interfaces {
            let seen = link(seen);
            if self.survey.interfaces.get(&name).map(link).as_ref() != Some(&seen) {
                self.news.push_back(Input::Link(name, seen));
            }
        }
        let known = self.survey.interfaces.keys();
        for &name in known.filter(|name| !survey.interfaces.contains_key(name)) {
            self.news.push_back(Input::Link(name, Err(Unusable::Missing)));
        }
        let came_up = |link: &LinkName| {
            let carrier = |survey: &Survey| survey.link(*link).is_some_and(|it| it.link.carrier);
            carrier(&survey) && !carrier(&self.survey)
        };
        for (link, responder) in self.responders.iter_mut().filter(|(link, _)| came_up(link)) {
            responder.groups.join_again();
            report(*link, responder);
        }
        let wanted = self.routed.borrow();
        for (&address, &link) in survey.routes.iter().filter(|(it, _)| wanted.contains(*it)) {
            if self.routes.insert(address, link) != Some(link) {
                self.news.push_back(Input::Route(address, link));
            }
        }
        drop(wanted);
        self.survey = survey;
        self.staff();
    }

    /// Has one living responder where each wanted link is now, and none elsewhere.
    fn staff(&mut self) {
        for (link, responder) in &mut self.responders {
            if let Some(death) = responder.death() {
                error!(%link, "answering on {link} failed: {death}");
            }
        }
        self.responders.retain(|link, responder| {
            let seen = self.survey.link(*link).filter(|_| self.wanted.contains(link));
            responder.lives() && seen.is_some_and(|seen| responder.station.fits(seen))
        });
        self.deaf.retain(|link, _| self.wanted.contains(link));
        for &link in &self.wanted {
            let Some(seen) = self.survey.link(link) else { continue };
            if self.responders.contains_key(&link) {
                continue;
            }
            let groups = self.groups.get(&link).cloned().unwrap_or_default();
            match Responder::start(link, seen, groups, self.common.clone()) {
                Ok(responder) => {
                    if let Some(heed) = self.heeds.get(&link) {
                        responder.station.heed(heed);
                    }
                    info!(%link, mac = %seen.link.mac, "listening on {link}");
                    self.responders.insert(link, responder);
                    self.deaf.remove(&link);
                }
                Err(error) => {
                    let reason = error.to_string();
                    if self.deaf.get(&link) != Some(&reason) {
                        warn!(%link, "listening on {link} failed: {reason}");
                        self.deaf.insert(link, reason);
                    }
                }
            }
        }
        for (link, responder) in &mut self.responders {
            responder.groups.join_missing();
            report(*link, responder);
        }
        let deaf = self.deaf.iter().map(|(&link, reason)| (link, Err(reason.clone())));
        let pulses =
            self.responders.iter().map(|(&link, it)| (link, Ok(it.station.pulse().clone())));
        self.roster.send_replace(deaf.chain(pulses).collect());
    }

    /// The generation that all responders have come to, if that has not been told yet.
    fn silenced(&mut self) -> Option<Generation> {
        let newest = self.responders.values().map(|responder| responder.station.newest());
        let reached = newest.fold(self.published, Generation::min);
        (reached > self.silenced).then(|| {
            self.silenced = reached;
            reached
        })
    }

    fn wake(&self) {
        self.responders.values().for_each(|responder| responder.station.wake());
    }

    fn on(&self, link: LinkName, send: impl FnOnce(&Station) -> Outcome) -> Outcome {
        let responder = self.responders.get(&link);
        let outcome = responder.map_or(Outcome::Unsent, |responder| send(&responder.station));
        self.common.outcomes.add(outcome);
        outcome
    }
}

#[async_trait]
impl Links for Lan {
    async fn next(&mut self) -> Input {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            if let Some(generation) = self.silenced() {
                self.news.extend(iter::from_fn(|| self.asked.try_recv().ok()));
                self.news.push_back(Input::Silenced(generation));
                continue;
            }
            tokio::select! {
                () = self.common.progress.notified() => {}
                changed = self.surveys.changed() => {
                    changed.expect("the links are surveyed as long as somebody asks for them");
                    let survey = self.surveys.borrow_and_update().clone();
                    self.handle_survey(survey);
                }
                Some(is_at) = self.heard.recv() => return Input::Heard(is_at),
                Some(question) = self.probed.recv() => return Input::Probed(question),
                Some(link) = self.stirred.recv() => return Input::Stirred(link),
            }
        }
    }

    fn listen(&mut self, links: BTreeSet<LinkName>) {
        self.heeds.retain(|link, _| links.contains(link));
        self.wanted = links;
        self.staff();
    }

    fn heed(&mut self, link: LinkName, heed: Heed) {
        if let Some(responder) = self.responders.get(&link) {
            responder.station.heed(&heed);
        }
        self.heeds.insert(link, heed);
    }

    fn join(&mut self, link: LinkName, group: Ipv6Addr) {
        self.groups.entry(link).or_default().insert(group);
        if let Some(responder) = self.responders.get_mut(&link) {
            responder.groups.join(group);
            report(link, responder);
        }
    }

    fn quit(&mut self, link: LinkName, group: Ipv6Addr) {
        if let Some(groups) = self.groups.get_mut(&link) {
            groups.remove(&group);
            if groups.is_empty() {
                self.groups.remove(&link);
            }
        }
        if let Some(responder) = self.responders.get_mut(&link) {
            responder.groups.quit(group);
        }
    }

    fn route(&mut self, addresses: BTreeSet<IpAddr>) {
        self.routes.retain(|address, _| addresses.contains(address));
        self.routed.send_replace(addresses);
    }

    fn publish(&mut self, answers: Arc<Answers>, generation: Generation) {
        self.replaced = Some(self.common.voice.publish(Snapshot { answers, generation }));
        self.published = generation;
        self.wake();
    }

    fn permit(&mut self, until: Instant) {
        let resumes = self.common.voice.until() <= clock::now();
        self.common.voice.permit(until);
        if resumes {
            self.wake();
        }
    }

    fn announce(&mut self, is_at: &IsAt) {
        let outcome = self.on(is_at.link, |station| station.announce(is_at));
        trace!(link = %is_at.link, eip = %is_at.target, mac = %is_at.mac, ?outcome, "announcing");
    }

    fn probe(&mut self, probe: &Probe) {
        let outcome = self.on(probe.link, |station| station.probe(probe));
        trace!(link = %probe.link, node = %probe.target, to = ?probe.to, ?outcome, "probing");
    }
}

/// Says why groups could not be joined, which is tried again every second.
fn report(link: LinkName, responder: &mut Responder) {
    if let Some(reason) = responder.groups.take_failure() {
        warn!(%link, "listening for neighbor solicitations on {link} failed: {reason}");
    }
}

//! This host's place on one LAN: the sockets on a link, and how what is heard there is met.

use std::{
    io,
    net::IpAddr,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use porter_core::{
    Asked, Generation, Heed, Input, Instant, IsAt, Limits, Link, LinkName, Probe, Silence, WhoHas,
    wire::{self, Dropped, Heard, Own},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::RecvFlags,
};
use socket2::Socket;
use tokio::sync::{Notify, mpsc};

use super::{
    discovery::{Discovery, MESSAGE_LEN_MAX},
    filter,
    outcome::{Outcome, Outcomes},
    pulse::Pulse,
    socket,
    survey::Seen,
    tried::Tried,
    voice::{self, Snapshot, Voice},
};
use crate::clock;

/// How many frames are met before a stop, or a new snapshot, is looked for again.
const BATCH: usize = 64;
/// Longer than any packet that is read; the rest of a longer frame is cut off.
const FRAME_LEN_MAX: usize = 128;
/// How often, at most, it is told that others are heard on a link.
const STIRRED_EVERY: Duration = Duration::from_millis(50);
/// How often, at most, it is told that somebody means to take an address that was asked for lately.
const TRIED_EVERY: Duration = Duration::from_millis(1);
/// How often it is of an EIP.
const EIP_TRIED_EVERY: Duration = Duration::from_millis(50);
/// What [`Station::newest`] says once nothing can be sent any more.
const OVER: u64 = u64::MAX;

/// What the stations of all links have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) voice: Arc<Voice>,
    pub(crate) outcomes: Arc<Outcomes>,
    /// Where claims go that were heard.
    pub(crate) heard: mpsc::Sender<IsAt>,
    /// Where it is told what was asked for.
    pub(crate) asked: mpsc::Sender<Input>,
    /// Where it is told who means to take which address.
    pub(crate) probed: mpsc::Sender<WhoHas>,
    /// Where it is told on which link somebody asked for anything.
    pub(crate) stirred: mpsc::Sender<LinkName>,
    /// Told whenever a station has come to a newer snapshot, or to its end.
    pub(crate) progress: Arc<Notify>,
}

/// What a responder remembers of questions, in a fixed size.
struct Memory {
    asked: Asked,
    limits: Limits,
    /// When it was told that somebody means to take an address: one that was asked for, or an EIP.
    tried_at: Instant,
    eip_tried_at: Instant,
    /// How many frames, and how many messages, had no room when it was looked last.
    dropped: [u32; 2],
}

/// What is to be heard.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    frames: bool,
    messages: bool,
}

/// This host's place on the LAN behind one link.
#[derive(Debug)]
pub(crate) struct Station {
    link: LinkName,
    index: u32,
    own: ArcSwap<Own>,
    listener: Socket,
    /// `None` where the kernel does without IPv6.
    discovery: Option<Discovery>,
    speaker: Socket,
    tried: Tried,
    pulse: Arc<Pulse>,
    stopped: AtomicBool,
    newest: AtomicU64,
    common: Common,
}

impl Station {
    pub(crate) fn open(link: LinkName, seen: &Seen, common: Common) -> io::Result<Self> {
        let sockets = (socket::listener(seen.index)?, socket::speaker(seen.index)?);
        let discovery = match Discovery::open(link, seen.index) {
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            opened => Some(opened?),
        };
        Self::over(sockets, discovery, link, seen, common)
    }

    /// A station that hears on one socket and sends on the other.
    pub(crate) fn over(
        (listener, speaker): (Socket, Socket),
        discovery: Option<Discovery>,
        link: LinkName,
        seen: &Seen,
        common: Common,
    ) -> io::Result<Self> {
        Ok(Self {
            link,
            index: seen.index,
            own: ArcSwap::from_pointee(own(&seen.link)),
            listener,
            discovery,
            speaker,
            tried: Tried::default(),
            pulse: Arc::new(Pulse::new()?),
            stopped: AtomicBool::new(false),
            newest: AtomicU64::new(0),
            common,
        })
    }

    pub(crate) fn link(&self) -> LinkName {
        self.link
    }

    /// Whether it is where the link is now. If so, it speaks from the addresses that the link has now.
    pub(crate) fn fits(&self, seen: &Seen) -> bool {
        let (before, now) = (self.own.load(), own(&seen.link));
        let fits = (self.index, before.mac) == (seen.index, now.mac);
        if fits && **before != now {
            self.own.store(Arc::new(now));
        }
        fits
    }

    /// Hears no more than what is to be heeded, where the kernel can tell it.
    pub(crate) fn heed(&self, heed: &Heed) {
        filter::attach(&self.listener, heed);
    }

    /// No snapshot older than this is answered from any more.
    pub(crate) fn newest(&self) -> Generation {
        Generation(self.newest.load(Ordering::Acquire))
    }

    /// Whether, and how far, the responder goes round.
    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Makes the responder look at what was published, or at its having been stopped.
    pub(crate) fn wake(&self) {
        self.pulse.wake();
    }

    /// Ends [`Self::respond`] soon.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Tells everybody, in both forms.
    pub(crate) fn announce(&self, is_at: &IsAt) -> Outcome {
        let Some(frames) = wire::announcements(&self.own.load(), is_at) else {
            return Outcome::Unsent;
        };
        let said = frames.iter().try_for_each(|frame| {
            self.common.voice.say(|| voice::send(frame, &self.speaker), &self.common.outcomes)
        });
        said.err().unwrap_or(Outcome::Announced)
    }

    /// Asks for a node's MAC, which speaks for no EIP and needs no permission; or who else has an
    /// address, which is up to whoever may speak for it.
    pub(crate) fn probe(&self, probe: &Probe) -> Outcome {
        let Some(frame) = wire::probe(probe) else { return Outcome::Unsent };
        let send = || voice::send(&frame, &self.speaker);
        if probe.is_for_conflicts() {
            // Before it is sent: who else tries the same may answer at once.
            self.tried.add(probe.target, clock::now());
            let said = self.common.voice.say(send, &self.common.outcomes);
            return said.err().unwrap_or(Outcome::Probed);
        }
        match send() {
            Ok(()) => Outcome::Probed,
            Err(_) => Outcome::Unsent,
        }
    }

    /// Takes note that [`Self::respond`] has ended: it holds no acknowledgement back any more.
    pub(crate) fn close(&self) {
        self.pulse.end();
        self.newest.store(OVER, Ordering::Release);
        self.common.progress.notify_one();
    }

    /// Meets what is heard until it is stopped.
    ///
    /// Between a question and its answer nothing locks, allocates, waits or writes a log line.
    pub(crate) fn respond(&self) -> io::Result<()> {
        let mut memory = Memory {
            asked: Asked::new(),
            limits: Limits::new(),
            tried_at: Instant::ZERO,
            eip_tried_at: Instant::ZERO,
            dropped: [0; 2],
        };
        let mut stirred_at = Instant::ZERO;
        while !self.stopped.load(Ordering::Acquire) {
            self.pulse.beat();
            self.acknowledge(&mut memory.asked);
            self.catch_up(&mut memory.asked);
            let waiting = self.wait(memory.asked.poll_timeout())?;
            // What is published while these are met is acknowledged after them.
            let snapshot = self.common.voice.snapshot();
            let stirs = (waiting.frames && self.hear_frames(&mut memory, &snapshot)?)
                | (waiting.messages && self.hear_messages(&mut memory, &snapshot)?);
            let now = clock::now();
            if stirs && now >= stirred_at + STIRRED_EVERY {
                stirred_at = now;
                // The next question will do if there is no room for this one.
                let _ = self.common.stirred.try_send(self.link);
            }
        }
        Ok(())
    }

    /// Meets frames of ARP that are waiting. Says whether somebody asked for something.
    fn hear_frames(&self, memory: &mut Memory, snapshot: &Snapshot) -> io::Result<bool> {
        let own = self.own.load().mac;
        let mut buffer = [0; FRAME_LEN_MAX];
        let mut stirs = false;
        for _ in 0..BATCH {
            match rustix::net::recv(&self.listener, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((len, _)) => {
                    let read = wire::parse(self.link, own, &buffer[..len]);
                    stirs |= self.meet(read, memory, snapshot);
                }
                Err(Errno::INTR) => {}
                // Down: told once, and frames come again when the link is up.
                Err(Errno::AGAIN | Errno::NETDOWN) => return Ok(stirs),
                Err(error) => return Err(error.into()),
            }
        }
        self.count_drops(&mut memory.dropped[0], || socket::drops(&self.listener));
        Ok(stirs)
    }

    /// Meets messages of neighbor discovery that are waiting. Says whether somebody asked for
    /// something.
    fn hear_messages(&self, memory: &mut Memory, snapshot: &Snapshot) -> io::Result<bool> {
        let Some(discovery) = &self.discovery else { return Ok(false) };
        let own = self.own.load();
        let mut buffer = [0; MESSAGE_LEN_MAX];
        let mut stirs = false;
        for _ in 0..BATCH {
            match discovery.receive(&mut buffer) {
                Ok(Some((delivery, message))) => {
                    let read = wire::parse_icmpv6(self.link, &own, &delivery, message);
                    stirs |= self.meet(read, memory, snapshot);
                }
                Ok(None) => {}
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => {}
                    Some(Errno::AGAIN | Errno::NETDOWN) => return Ok(stirs),
                    Some(_) | None => return Err(error),
                },
            }
        }
        self.count_drops(&mut memory.dropped[1], || discovery.drops());
        Ok(stirs)
    }

    /// Counts what had no room in a socket. To be called whenever [`BATCH`] were met: there is room for
    /// more than that many, so that it is called after all that had none.
    fn count_drops(&self, before: &mut u32, drops: impl FnOnce() -> io::Result<u32>) {
        // A kernel that does not tell it counts for nobody.
        if let Ok(dropped) = drops() {
            let missed = dropped.wrapping_sub(std::mem::replace(before, dropped));
            self.common.outcomes.add_many(Outcome::Missed, missed.into());
        }
    }

    /// Everything that was sent until here has been sent, and what is sent from here on comes from
    /// this snapshot or a later one.
    fn acknowledge(&self, asked: &mut Asked) {
        let snapshot = self.common.voice.snapshot();
        let Generation(newest) = snapshot.generation;
        if self.newest.load(Ordering::Acquire) == newest {
            return;
        }
        asked.handle_answers();
        // What finds no room is told of another time: only an order depends on it.
        if let Ok(room) = self.common.asked.try_reserve() {
            let news = asked.take_news(&snapshot.answers);
            if !news.is_empty() {
                room.send(Input::Asked(self.link, news));
            }
        }
        self.newest.store(newest, Ordering::Release);
        self.common.progress.notify_one();
    }

    /// Answers those who asked shortly before they could be answered.
    fn catch_up(&self, asked: &mut Asked) {
        let voice = &self.common.voice;
        let snapshot = voice.snapshot();
        while let Some(is_at) = asked.poll_answer(&snapshot.answers, clock::now(), voice.until()) {
            self.common.outcomes.add(self.say(&is_at));
        }
    }

    /// Waits until something is to be heard or to be looked at, or for this time. Says what is to be
    /// heard.
    fn wait(&self, until: Option<Instant>) -> io::Result<Waiting> {
        let span = until.map(|until| until.since(clock::now()));
        let span = span.map(|span| Timespec::try_from(span).expect("an answer is due soon"));
        // In place of a socket that is not there, one that is waited for anyway.
        let discovery =
            self.discovery.as_ref().map_or_else(|| self.listener.as_fd(), |it| it.as_fd());
        let mut ready = [
            PollFd::new(&self.pulse.wake, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::from_borrowed_fd(discovery, PollFlags::IN),
        ];
        match rustix::event::poll(&mut ready, span.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !ready[0].revents().is_empty() {
            // What is published after this makes it readable again.
            let _ = rustix::io::read(&self.pulse.wake, &mut [0; 8]);
        }
        let [_, frames, messages] = ready.map(|it| !it.revents().is_empty());
        Ok(Waiting { frames, messages })
    }

    /// Says whether somebody asked for something.
    fn meet(&self, read: Result<Heard, Dropped>, memory: &mut Memory, snapshot: &Snapshot) -> bool {
        let outcome = match read {
            Ok(Heard::WhoHas(question)) => {
                let now = clock::now();
                let outcome = self.answer(&question, snapshot, now, &mut memory.limits);
                // Who asks too often has had an answer.
                let answered =
                    matches!(outcome, Outcome::Answered | Outcome::Silent(Silence::TooOften));
                memory.asked.handle_question(&question, answered, now);
                if question.asker.0.is_unspecified() {
                    self.report(question, snapshot, now, memory);
                }
                outcome
            }
            Ok(Heard::IsAt(is_at)) => match self.common.heard.try_send(is_at) {
                Ok(()) => Outcome::Heard,
                Err(_) => Outcome::Overrun,
            },
            Err(reason) => Outcome::Dropped(reason),
        };
        self.common.outcomes.add(outcome);
        matches!(outcome, Outcome::Answered | Outcome::Silent(_))
    }

    /// Tells that somebody means to take an address, if it concerns us. What finds no room, or comes too
    /// soon after another, is lost: who means it asks several times.
    fn report(&self, probe: WhoHas, snapshot: &Snapshot, now: Instant, memory: &mut Memory) {
        let (told_at, every) = if self.tried.has(probe.target, now) {
            (&mut memory.tried_at, TRIED_EVERY)
        } else if snapshot.answers.entry(self.link, probe.target).is_some() {
            (&mut memory.eip_tried_at, EIP_TRIED_EVERY)
        } else {
            return;
        };
        if now >= *told_at + every {
            *told_at = now;
            let _ = self.common.probed.try_send(probe);
        }
    }

    fn answer(
        &self,
        question: &WhoHas,
        snapshot: &Snapshot,
        now: Instant,
        limits: &mut Limits,
    ) -> Outcome {
        match snapshot.answers.answer(question, now, self.common.voice.until()) {
            Ok(_) if !limits.admits(question, now) => Outcome::Silent(Silence::TooOften),
            Ok(is_at) => self.say(&is_at),
            Err(silence) => Outcome::Silent(silence),
        }
    }

    fn say(&self, answer: &IsAt) -> Outcome {
        let Common { voice, outcomes, .. } = &self.common;
        let said = match (&self.discovery, answer.to) {
            (Some(discovery), Some((IpAddr::V6(to), _))) if answer.via.is_zero() => {
                let message = wire::answer_icmpv6(answer).expect("it is addressed to somebody");
                voice.say(|| discovery.send(&message, to), outcomes)
            }
            _ => {
                let frame = wire::answer(&self.own.load(), answer).expect(
                    "an answer is of the family of its question, which was read from a frame",
                );
                voice.say(|| voice::send(&frame, &self.speaker), outcomes)
            }
        };
        said.err().unwrap_or(Outcome::Answered)
    }
}

/// As whom a link speaks.
fn own(link: &Link) -> Own {
    let addresses = link.addresses.iter().filter_map(|net| match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some(*net),
    });
    Own { mac: link.mac, addresses: addresses.collect() }
}

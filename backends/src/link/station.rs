//! This host's place on one LAN: the sockets on a link, and how what is heard there is met.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use porter_core::{
    Asked, Generation, Input, Instant, IsAt, LinkName, MacAddr, Probe, WhoHas,
    wire::{self, Heard},
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec},
    io::Errno,
    net::RecvFlags,
};
use socket2::Socket;
use tokio::sync::{Notify, mpsc};

use super::{
    outcome::{Outcome, Outcomes},
    socket,
    survey::Seen,
    voice::{self, Voice},
};
use crate::clock;

/// How many frames are met before a stop, or a new snapshot, is looked for again.
const BATCH: usize = 64;
/// Longer than any packet that is read; the rest of a longer frame is cut off.
const FRAME_LEN_MAX: usize = 128;
/// How often, at most, it is told that others are heard on a link.
const STIRRED_EVERY: Duration = Duration::from_millis(50);
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
    /// Where it is told on which link somebody asked for anything.
    pub(crate) stirred: mpsc::Sender<LinkName>,
    /// Told whenever a station has come to a newer snapshot, or to its end.
    pub(crate) progress: Arc<Notify>,
}

/// This host's place on the LAN behind one link.
#[derive(Debug)]
pub(crate) struct Station {
    link: LinkName,
    index: u32,
    mac: MacAddr,
    listener: Socket,
    speaker: Socket,
    /// Readable when there is something to look at besides frames.
    wake: OwnedFd,
    stopped: AtomicBool,
    newest: AtomicU64,
    common: Common,
}

impl Station {
    pub(crate) fn open(link: LinkName, seen: &Seen, common: Common) -> io::Result<Self> {
        let sockets = (socket::listener(seen.index)?, socket::speaker(seen.index)?);
        Self::over(sockets, link, seen, common)
    }

    /// A station that hears on one socket and sends on the other.
    pub(crate) fn over(
        (listener, speaker): (Socket, Socket),
        link: LinkName,
        seen: &Seen,
        common: Common,
    ) -> io::Result<Self> {
        Ok(Self {
            link,
            index: seen.index,
            mac: seen.link.mac,
            listener,
            speaker,
            wake: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            stopped: AtomicBool::new(false),
            newest: AtomicU64::new(0),
            common,
        })
    }

    pub(crate) fn link(&self) -> LinkName {
        self.link
    }

    /// Whether it is where the link is now.
    pub(crate) fn fits(&self, seen: &Seen) -> bool {
        (self.index, self.mac) == (seen.index, seen.link.mac)
    }

    /// No snapshot older than this is answered from any more.
    pub(crate) fn newest(&self) -> Generation {
        Generation(self.newest.load(Ordering::Acquire))
    }

    /// Makes the responder look at what was published, or at its having been stopped.
    pub(crate) fn wake(&self) {
        // It fails only if it has been woken 2^64 times already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Ends [`Self::respond`] soon.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Tells everybody, in both forms.
    pub(crate) fn announce(&self, is_at: &IsAt) -> Outcome {
        let Some(frames) = wire::announcements(self.mac, is_at) else {
            return Outcome::Unsent;
        };
        let said = frames.iter().try_for_each(|frame| {
            self.common.voice.say(frame, &self.speaker, &self.common.outcomes)
        });
        said.err().unwrap_or(Outcome::Announced)
    }

    /// Asks for a node's MAC. Needs no permission, as it speaks for no EIP.
    pub(crate) fn probe(&self, probe: &Probe) -> Outcome {
        let frame = wire::probe(probe).ok_or(Errno::AFNOSUPPORT);
        match frame.and_then(|frame| voice::send(&frame, &self.speaker)) {
            Ok(()) => Outcome::Probed,
            Err(_) => Outcome::Unsent,
        }
    }

    /// Takes note that [`Self::respond`] has ended: it holds no acknowledgement back any more.
    pub(crate) fn close(&self) {
        self.newest.store(OVER, Ordering::Release);
        self.common.progress.notify_one();
    }

    /// Meets what is heard until it is stopped.
    ///
    /// Between a question and its answer nothing locks, allocates, waits or writes a log line.
    pub(crate) fn respond(&self) -> io::Result<()> {
        let mut buffer = [0; FRAME_LEN_MAX];
        let mut asked = Asked::new();
        let mut stirred_at = Instant::ZERO;
        while !self.stopped.load(Ordering::Acquire) {
            self.acknowledge(&mut asked);
            self.catch_up(&mut asked);
            self.wait(asked.poll_timeout())?;
            let mut stirs = false;
            for _ in 0..BATCH {
                match rustix::net::recv(&self.listener, &mut buffer, RecvFlags::DONTWAIT) {
                    Ok((len, _)) => {
                        let outcome = self.meet(&buffer[..len], &mut asked);
                        stirs |= matches!(outcome, Outcome::Answered | Outcome::Silent(_));
                        self.common.outcomes.add(outcome);
                    }
                    Err(Errno::INTR) => {}
                    // Down: told once, and frames come again when the link is up.
                    Err(Errno::AGAIN | Errno::NETDOWN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            let now = clock::now();
            if stirs && now >= stirred_at + STIRRED_EVERY {
                stirred_at = now;
                // The next question will do if there is no room for this one.
                let _ = self.common.stirred.try_send(self.link);
            }
        }
        Ok(())
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

    fn wait(&self, until: Option<Instant>) -> io::Result<()> {
        let span = until.map(|until| until.since(clock::now()));
        let span = span.map(|span| Timespec::try_from(span).expect("an answer is due soon"));
        let mut ready =
            [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        match rustix::event::poll(&mut ready, span.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !ready[1].revents().is_empty() {
            // What is published after this makes it readable again.
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        Ok(())
    }

    fn meet(&self, frame: &[u8], asked: &mut Asked) -> Outcome {
        match wire::parse(self.link, self.mac, frame) {
            Ok(Heard::WhoHas(question)) => {
                let outcome = self.answer(&question);
                asked.handle_question(&question, outcome == Outcome::Answered, clock::now());
                outcome
            }
            Ok(Heard::IsAt(is_at)) => match self.common.heard.try_send(is_at) {
                Ok(()) => Outcome::Heard,
                Err(_) => Outcome::Overrun,
            },
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    fn answer(&self, question: &WhoHas) -> Outcome {
        let voice = &self.common.voice;
        match voice.snapshot().answers.answer(question, clock::now(), voice.until()) {
            Ok(is_at) => self.say(&is_at),
            Err(silence) => Outcome::Silent(silence),
        }
    }

    fn say(&self, answer: &IsAt) -> Outcome {
        let frame = wire::answer(self.mac, answer)
            .expect("an answer is of the family of its question, which was read from a frame");
        match self.common.voice.say(&frame, &self.speaker, &self.common.outcomes) {
            Ok(()) => Outcome::Answered,
            Err(outcome) => outcome,
        }
    }
}

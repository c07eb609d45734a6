//! What a replica says of itself when it is asked, by the loop that drives it.
//!
//! Nobody looks at a speaker from outside of its loop. Whoever wants to know asks the loop, and gets
//! an answer when it comes round; one that does not come is an answer, too.

use std::sync::Arc;

use porter_core::{Disputes, Doubts, EipName, Instant, Kind, LinkName, Pool, Speaker, Unusable};
use tokio::sync::{mpsc, oneshot};

use crate::{
    picture::{Camera, Picture},
    tally::Tally,
};

/// How many may ask at the same time.
const INQUIRIES_MAX: usize = 16;

/// What a replica says of itself.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether it leads, and speaks.
    pub leads: bool,
    /// The kinds of which it has seen nothing yet.
    pub unlisted: Vec<Kind>,
    /// The kinds whose watch is broken.
    pub broken: Vec<Kind>,
    /// The links that Eips are on: whether each has carrier, or why there is none to be used.
    pub links: Vec<(LinkName, Result<bool, Unusable>)>,
    /// How full each layer2 Eip is.
    pub pools: Vec<(EipName, Pool)>,
    /// Who else claims addresses, as far as it knows.
    pub disputes: Disputes,
    /// How much of what is on the LAN it is in doubt of.
    pub doubts: Doubts,
    /// How often it was woken so late that it must have been paused.
    pub pauses: u64,
    /// What came of what it did.
    pub tally: Tally,
}

impl Report {
    pub(crate) fn of(speaker: &Speaker, tally: &Tally, now: Instant) -> Self {
        let links = speaker.links().map(|(name, link)| (name, link.map(|link| link.carrier)));
        Self {
            leads: speaker.leads(now),
            unlisted: speaker.unlisted(),
            broken: speaker.broken().collect(),
            links: links.collect(),
            pools: speaker.pools().map(|(name, pool)| (name.clone(), pool)).collect(),
            disputes: speaker.disputes(),
            doubts: speaker.doubts(now),
            pauses: speaker.pauses(),
            tally: tally.clone(),
        }
    }
}

/// Asks the loop.
#[derive(Clone, Debug)]
pub struct Reporter(mpsc::Sender<Inquiry>);

/// What is asked of the loop.
#[derive(Debug)]
pub struct Inquiries(mpsc::Receiver<Inquiry>);

/// What somebody wants to know, and where it is to go.
#[derive(Debug)]
pub(crate) enum Inquiry {
    Picture(oneshot::Sender<Arc<Picture>>),
    Report(oneshot::Sender<Report>),
}

impl Inquiry {
    /// Tells whoever asked, who may have gone.
    pub(crate) fn answer(
        self,
        speaker: &Speaker,
        tally: &Tally,
        camera: &mut Camera,
        now: Instant,
    ) {
        match self {
            Self::Picture(asker) => drop(asker.send(camera.look(speaker, now))),
            Self::Report(asker) => drop(asker.send(Report::of(speaker, tally, now))),
        }
    }
}

impl Reporter {
    /// One that asks, and what it asks, which is for [`drive`](crate::drive).
    pub fn new() -> (Self, Inquiries) {
        let (ask, asked) = mpsc::channel(INQUIRIES_MAX);
        (Self(ask), Inquiries(asked))
    }

    /// What the replica says of itself; `None` if it has come to its end. Waits for as long as the loop
    /// does not come round.
    pub async fn ask(&self) -> Option<Report> {
        self.send(Inquiry::Report).await
    }

    /// What the replica sees, or saw a moment ago; as [`Self::ask`].
    pub async fn look(&self) -> Option<Arc<Picture>> {
        self.send(Inquiry::Picture).await
    }

    async fn send<T>(&self, inquiry: impl Fn(oneshot::Sender<T>) -> Inquiry) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.0.send(inquiry(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Inquiries {
    /// None, ever.
    pub fn none() -> Self {
        Self(mpsc::channel(1).1)
    }

    /// The next; `None` if there will be none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Inquiry> {
        self.0.recv().await
    }
}

//! The one loop in which all effects happen.

use std::pin::pin;

use porter_core::{Event, Identity, Input, Instant, Move, Output, Speaker};
use tokio::select;
use tracing::{info, trace, warn};

use crate::{
    Error,
    clock::{self, Alarm},
    picture::Camera,
    port::{Cluster, Links},
    report::Inquiries,
    tally::Tally,
};

/// Drives a speaker until it has handed everything over: tells it what happens, and does what it
/// wants.
///
/// When `leave` resolves the speaker is asked to fall silent and to give up the Lease, which takes
/// as long as the API server needs to answer. Whoever inquires meanwhile is told how things are.
///
/// Fails at once if the kernel has no timer left, and later not at all.
pub async fn drive(
    mut speaker: Speaker,
    cluster: &mut impl Cluster,
    links: &mut impl Links,
    mut inquiries: Inquiries,
    leave: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut alarm = Alarm::new()?;
    let mut leave = pin!(leave);
    let mut leaving = false;
    let mut news = News::default();
    let mut tally = Tally::default();
    let mut camera = Camera::default();
    loop {
        while let Some(output) = speaker.poll_output() {
            trace!(?output);
            log(&output);
            tally.handle_output(&output, clock::now());
            match output {
                Output::Announce(is_at) => links.announce(&is_at),
                Output::Check(node, address) => cluster.check(node, address),
                Output::Event(event) => cluster.publish(event),
                Output::Heed(link, heed) => links.heed(link, heed),
                Output::Join(link, group) => links.join(link, group),
                Output::Left => return Ok(()),
                Output::Listen(names) => links.listen(names),
                Output::Moved(moved) => camera.handle_moved(&moved),
                Output::Permit(until) => links.permit(until),
                Output::Probe(probe) => links.probe(&probe),
                Output::Publish(answers, generation) => links.publish(answers, generation),
                Output::Quit(link, group) => links.quit(link, group),
                Output::Read(id, read) => cluster.read(id, read),
                Output::Route(addresses) => links.route(addresses),
                Output::Write(id, write) => cluster.write(id, write),
            }
        }
        // Not biased: whatever floods one side must not keep the other, or the time, waiting.
        let due_at = speaker.poll_timeout();
        let input = select! {
            () = &mut leave, if !leaving => {
                leaving = true;
                Some(Input::Leave)
            }
            () = alarm.wait(due_at) => None,
            input = cluster.next() => Some(input),
            input = links.next() => Some(input),
            Some(inquiry) = inquiries.next() => {
                inquiry.answer(&speaker, &tally, &mut camera, clock::now());
                continue;
            }
        };
        let now = clock::now();
        match input {
            Some(input) => {
                tally.handle_input(&input, now);
                speaker.handle_input(input, now);
            }
            None => {
                tally.handle_timeout(due_at.unwrap_or(now), now);
                speaker.handle_timeout(now);
            }
        }
        news.tell(&speaker, &mut tally, now);
    }
}

/// One line for each change that people are told of.
fn log(output: &Output) {
    if let Output::Event(Event { about, warning, reason, message }) = output {
        match warning {
            true => warn!(%about, reason, "{message}"),
            false => info!(%about, reason, "{message}"),
        }
    }
    if let Output::Moved(Move { service, from, to, cause, took }) = output {
        info!(%service, %from, %to, cause = cause.as_str(), ?took, "the Service moved");
    }
}

/// What was said of who leads, so that only what changed is said.
#[derive(Default)]
struct News {
    holder: Option<Identity>,
    leads: bool,
    pauses: u64,
}

impl News {
    fn tell(&mut self, speaker: &Speaker, tally: &mut Tally, now: Instant) {
        if speaker.holder() != self.holder.as_ref() {
            self.holder = speaker.holder().cloned();
            match &self.holder {
                Some(holder) => info!(%holder, "the Lease is held"),
                None => info!("nobody holds the Lease"),
            }
        }
        if speaker.pauses() != self.pauses {
            self.pauses = speaker.pauses();
            warn!(times = self.pauses, "this process was paused, or too busy to keep its time");
        }
        if speaker.leads(now) != self.leads {
            self.leads = !self.leads;
            tally.handle_leads(self.leads, now);
            match self.leads {
                true => info!("this replica leads and speaks"),
                false => info!("this replica is silent"),
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Whether a replica works, and whether it could take over, by its own progress.
//!
//! Nothing here compares times. The loop is asked, and has to answer; the responders are asked to go
//! round, and have to. How long is waited for them is counted in short stretches: a process that was
//! paused for an hour has waited for one of them only, and then it goes round.

use std::{sync::Arc, time::Duration};

use tokio::{select, time::sleep};

use super::Sources;
use crate::{Picture, Report, link::Responders};

/// How long one stretch of waiting is at first, and at most: nobody tells when a responder goes round.
const STRETCH: Duration = Duration::from_millis(1);
const STRETCH_MAX: Duration = Duration::from_secs(1);
/// How many of the longest are waited.
const STRETCHES_MAX: usize = 10;

/// Whether the loop that decides and the threads that answer go round.
pub(super) async fn livez(sources: &Sources) -> Result<String, String> {
    report(sources).await?;
    rounds(&sources.responders).await?;
    Ok("ok".to_owned())
}

/// Whether the replica knows what there is, and hears the links that it is for: then it leads, or could
/// take over.
pub(super) async fn readyz(sources: &Sources) -> Result<String, String> {
    let report = report(sources).await?;
    if !report.unlisted.is_empty() {
        let kinds: Vec<_> = report.unlisted.iter().map(|kind| kind.as_str()).collect();
        return Err(format!("not seen yet: {}", kinds.join(", ")));
    }
    let (mut heard, mut lacks) = (0, Vec::new());
    for (link, is) in &report.links {
        match is {
            Ok(true) => match sources.responders.lack(*link) {
                Some(reason) => return Err(format!("nothing answers on {link}: {reason}")),
                None => heard += 1,
            },
            Ok(false) => lacks.push(format!("{link} has no carrier")),
            Err(why) => lacks.push(format!("{link} {why}")),
        }
    }
    match (heard, lacks.is_empty()) {
        (0, false) => Err(format!("no link of an Eip is here: {}", lacks.join("; "))),
        (_, false) => Ok(format!("ok, but {}", lacks.join("; "))),
        (_, true) => Ok("ok".to_owned()),
    }
}

/// What the loop says of itself, if it comes round.
pub(super) async fn report(sources: &Sources) -> Result<Report, String> {
    patiently(sources.reporter.ask()).await
}

/// What the loop sees, if it comes round.
pub(super) async fn picture(sources: &Sources) -> Result<Arc<Picture>, String> {
    patiently(sources.reporter.look()).await
}

async fn patiently<T>(answer: impl Future<Output = Option<T>>) -> Result<T, String> {
    select! {
        // Whoever has answered is not stuck, however long it was waited for.
        biased;
        answer = answer => {
            answer.ok_or_else(|| "this replica has handed over and stops".to_owned())
        }
        waited = patience() => Err(format!("the loop that decides did not answer in {waited:?}")),
    }
}

/// Has every responder go round.
async fn rounds(responders: &Responders) -> Result<(), String> {
    let round = responders.ask();
    let mut waited = Duration::ZERO;
    for stretch in stretches() {
        if round.stuck().next().is_none() {
            return Ok(());
        }
        sleep(stretch).await;
        waited += stretch;
    }
    let stuck: Vec<_> = round.stuck().map(|link| link.to_string()).collect();
    match stuck.is_empty() {
        true => Ok(()),
        false => Err(format!("who answers on {} did not go round in {waited:?}", stuck.join(", "))),
    }
}

async fn patience() -> Duration {
    let mut waited = Duration::ZERO;
    for stretch in stretches() {
        sleep(stretch).await;
        waited += stretch;
    }
    waited
}

fn stretches() -> impl Iterator<Item = Duration> {
    let growing = std::iter::successors(Some(STRETCH), |last| Some(*last * 2));
    let growing = growing.take_while(|stretch| *stretch < STRETCH_MAX);
    growing.chain([STRETCH_MAX; STRETCHES_MAX])
}

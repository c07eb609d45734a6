//! What happened, told to people: Events of `events.k8s.io/v1`, which `kubectl describe` shows.
//!
//! An Event is worth no delay and no second attempt. Those that wait for the API server wait in a
//! queue of their own; when it is full, or an Event is refused, it is lost, and the log says so once.
//!
//! kube-rs counts what happens again in a series of one Event, and takes for the same what has the
//! same object and the same reason. Here the message has to be the same too, since it names the
//! address or the node: each message has a [`Recorder`] of its own, as long as it is remembered.

use std::{collections::VecDeque, convert::Infallible, future, time::Duration};

use k8s_openapi::api::core::v1::{ObjectReference, Service};
use kube::{
    Client, Resource,
    runtime::events::{Event as Told, EventType, Recorder, Reporter},
};
use porter_core::{About, Event, Uid};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
    time,
};
use tracing::{debug, warn};

use super::{Eip, verdict};

/// Under which name Events are told.
const CONTROLLER: &str = "porter-speaker";
/// How many Events may wait to be told.
const QUEUE_MAX: usize = 1024;
/// How many Events are remembered, to count them when they happen again.
const SERIES_MAX: usize = 256;
/// The longest message that the API server takes, in bytes.
const NOTE_MAX: usize = 1024;
/// The longest name of a reporting instance that it takes, in bytes.
const INSTANCE_MAX: usize = 128;

/// Takes Events to be told, and never waits.
pub(super) struct Events {
    queue: mpsc::Sender<Event>,
    /// Whether some were lost since the queue was last empty.
    overflowing: bool,
}

impl Events {
    /// Begins to tell, in the name of `instance`, a replica; gives each Event up after `limit`.
    pub(super) fn new(
        client: Client,
        instance: &str,
        limit: Duration,
        tasks: &mut JoinSet<Infallible>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let instance = Some(up_to(INSTANCE_MAX, instance).to_owned());
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance };
        let teller = Teller { client, reporter, limit, told: VecDeque::new(), failing: false };
        tasks.spawn(teller.run(waiting));
        Self { queue, overflowing: false }
    }

    pub(super) fn publish(&mut self, event: Event) {
        if self.queue.capacity() == self.queue.max_capacity() {
            self.overflowing = false;
        }
        match self.queue.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(event)) => {
                debug!(?event, "not told");
                if !self.overflowing {
                    warn!("more Events than the API server takes: some are not told");
                    self.overflowing = true;
                }
            }
            Err(TrySendError::Closed(_)) => {
                unreachable!("Events are told as long as this is there")
            }
        }
    }
}

struct Teller {
    client: Client,
    reporter: Reporter,
    limit: Duration,
    /// What was told of late, latest first, each with the recorder that counts it.
    told: VecDeque<(Event, Recorder)>,
    /// Whether the last one could not be told.
    failing: bool,
}

impl Teller {
    async fn run(mut self, mut waiting: mpsc::Receiver<Event>) -> Infallible {
        while let Some(event) = waiting.recv().await {
            self.tell(event).await;
        }
        // Nobody publishes any more: whoever did is about to abort this task.
        future::pending().await
    }

    async fn tell(&mut self, event: Event) {
        let known = self.told.iter().position(|(told, _)| *told == event);
        let known = known.and_then(|at| self.told.remove(at)).map(|(_, recorder)| recorder);
        let recorder =
            known.unwrap_or_else(|| Recorder::new(self.client.clone(), self.reporter.clone()));
        let (told, regarding) = (told(&event), regarding(&event.about));
        match time::timeout(self.limit, recorder.publish(&told, &regarding)).await {
            Ok(Ok(())) => {
                self.failing = false;
                self.told.truncate(SERIES_MAX - 1);
                self.told.push_front((event, recorder));
            }
            Ok(Err(error)) => {
                self.complain(&event, &verdict::told(&error));
                time::sleep(verdict::retry_after(&error).min(self.limit)).await;
            }
            Err(_) => self.complain(&event, "the API server did not answer in time"),
        }
    }

    fn complain(&mut self, event: &Event, reason: &str) {
        if self.failing {
            debug!(?event, reason, "not told");
        } else {
            warn!(?event, reason, "an Event is not told, and maybe more");
        }
        self.failing = true;
    }
}

fn told(event: &Event) -> Told {
    Told {
        type_: if event.warning { EventType::Warning } else { EventType::Normal },
        reason: event.reason.to_owned(),
        note: Some(up_to(NOTE_MAX, &event.message).to_owned()),
        action: event.reason.to_owned(),
        secondary: None,
    }
}

/// The object as `kubectl describe` looks for its Events.
fn regarding(about: &About) -> ObjectReference {
    let uid = |uid: &Option<Uid>| uid.as_ref().map(ToString::to_string);
    match about {
        About::Eip(name, id) => ObjectReference {
            api_version: Some(Eip::api_version(&()).into()),
            kind: Some(Eip::kind(&()).into()),
            name: Some(name.to_string()),
            uid: uid(id),
            ..ObjectReference::default()
        },
        About::Service(name, id) => ObjectReference {
            api_version: Some(Service::api_version(&()).into()),
            kind: Some(Service::kind(&()).into()),
            namespace: Some(name.namespace().to_string()),
            name: Some(name.name().to_string()),
            uid: uid(id),
            ..ObjectReference::default()
        },
    }
}

/// As much of a text as fits into so many bytes.
fn up_to(bytes: usize, text: &str) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use porter_core::{EipName, ServiceName};

    use super::*;

    fn event(about: About, message: &str) -> Event {
        Event { about, warning: true, reason: "AssignIPFailed", message: message.to_owned() }
    }

    #[test]
    fn a_service_and_an_eip_are_referred_to_as_kubectl_looks_for_them() {
        let service = ServiceName::new("default", "web");
        let service = regarding(&About::Service(service, Some(Uid::from("0b0a7a9c"))));
        let expected = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Service".into()),
            namespace: Some("default".into()),
            name: Some("web".into()),
            uid: Some("0b0a7a9c".into()),
            ..ObjectReference::default()
        };
        assert_eq!(service, expected);
        let eip = regarding(&About::Eip(EipName::from("pool"), None));
        let expected = ObjectReference {
            api_version: Some("network.kubesphere.io/v1alpha2".into()),
            kind: Some("Eip".into()),
            name: Some("pool".into()),
            ..ObjectReference::default()
        };
        assert_eq!(eip, expected);
    }

    #[test]
    fn a_message_is_cut_where_the_api_server_takes_no_more() {
        let about = || About::Eip(EipName::from("pool"), None);
        let fits = "x".repeat(NOTE_MAX);
        assert_eq!(told(&event(about(), &fits)).note, Some(fits.clone()));
        let umlauts = format!("x{}", "ü".repeat(NOTE_MAX));
        let note = told(&event(about(), &umlauts)).note.unwrap();
        assert_eq!(note.len(), NOTE_MAX - 1);
        assert!(umlauts.starts_with(&note));
    }

    #[test]
    fn a_warning_is_one() {
        let mut event = event(About::Eip(EipName::from("pool"), None), "no address is left");
        assert_eq!(told(&event).type_, EventType::Warning);
        event.warning = false;
        assert_eq!(told(&event).type_, EventType::Normal);
        assert_eq!(told(&event).reason, "AssignIPFailed");
        assert!(!told(&event).action.is_empty(), "the API server refuses an Event without one");
    }
}

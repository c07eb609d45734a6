//! The words for what is in a trace.

use std::time::Duration;

use crate::world::{Happening, Lane, Mode, Moment, State, Subject};

/// The look of a span, as `page.css` knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Look {
    /// Something is not as anybody would want it.
    Bad,
    /// It is about to change.
    Busy,
    /// Nothing is there.
    Dead,
    /// All is as usual, and it is no node's.
    Plain,
    /// It is there, and does nothing.
    Pale,
    /// It stands still.
    Paused,
    /// It is what one looks for.
    Solid,
}

/// A state in words: how it looks, the node that it is coloured after, what stands in the span, and
/// the sentence that explains it.
pub(super) struct Words {
    pub(super) look: Look,
    pub(super) node: Option<String>,
    pub(super) label: String,
    pub(super) detail: String,
}

/// What a state is called; `None` if there is nothing to draw.
pub(super) fn state(lane: &Lane, state: &State) -> Option<Words> {
    let words = |look, node: Option<String>, label: &str, detail: &str| Words {
        look,
        node,
        label: label.to_owned(),
        detail: detail.to_owned(),
    };
    let own = match lane {
        Lane::Node(node) | Lane::Replica(node) => Some(node.to_string()),
        Lane::Answer(_) | Lane::Api | Lane::Entry(_) | Lane::Lease => None,
    };
    Some(match state {
        State::Api { cut, of, slow } => {
            api(cut.iter().map(ToString::to_string).collect(), *of, *slow)
        }
        State::Free => words(Look::Dead, None, "free", "The Lease names no holder."),
        State::Held(node) => {
            let detail = format!("The replica on {node} is named in the Lease.");
            words(Look::Solid, Some(node.to_string()), &format!("held by {node}"), &detail)
        }
        State::Missing => words(Look::Dead, None, "no Lease yet", "There is no Lease."),
        State::Lost => words(
            Look::Bad,
            None,
            "packets are lost",
            "The packets of a host that knows the address reach no pod.",
        ),
        State::Node { ready: false, .. } => {
            words(Look::Bad, None, "not Ready", "The API server shows the node as not Ready.")
        }
        State::Node { cordoned, n_pods, .. } => {
            let look = if *n_pods == 0 { Look::Dead } else { Look::Pale };
            let pods = count(*n_pods, "ready pod");
            let label = if *cordoned { format!("{pods}, cordoned") } else { pods.clone() };
            let detail = match cordoned {
                true => format!("Ready, with {pods}; it takes no new ones."),
                false => format!("Ready, with {pods}."),
            };
            words(look, own, &label, &detail)
        }
        State::Reaches(node) => {
            let detail = format!(
                "The packets of a host that knows the address reach a pod by way of {node}."
            );
            words(Look::Solid, Some(node.to_string()), &format!("packets go to {node}"), &detail)
        }
        State::Replica { mode, cut } => {
            let (look, label, detail) = replica(*mode);
            let cut = if *cut { ", cut off from the API" } else { "" };
            words(look, own, &format!("{label}{cut}"), &format!("{detail}{cut}."))
        }
        State::Told(node) => {
            let detail = format!("Who asks is told that it is at {node}.");
            words(Look::Solid, Some(node.to_string()), &format!("at {node}"), &detail)
        }
        State::TwoVoices(nodes) => {
            let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
            let detail = format!("Several replicas answer at once: {}.", nodes.join(" and "));
            words(Look::Bad, None, "two voices", &detail)
        }
        State::Unanswered(why) => {
            words(Look::Bad, None, "nobody answers", &format!("Who asks is told nothing: {why}."))
        }
        State::Unused => return None,
    })
}

fn replica(mode: Mode) -> (Look, &'static str, &'static str) {
    match mode {
        Mode::Campaigns => (Look::Busy, "asks for the Lease", "Asks for the Lease"),
        Mode::Dead => (Look::Dead, "dead", "No process runs"),
        Mode::Paused => {
            (Look::Paused, "stands still", "The process stands still, and its clock goes on")
        }
        Mode::Prepares => (
            Look::Busy,
            "takes over",
            "Holds the Lease, and makes sure of what it knows before it speaks",
        ),
        Mode::Silent => (Look::Pale, "silent", "Follows, and says nothing"),
        Mode::Speaks => (Look::Solid, "speaks", "May speak for every EIP"),
    }
}

fn api(cut: Vec<String>, of: usize, slow: bool) -> Words {
    let (look, label, detail) = match (cut.len(), slow) {
        (0, false) => (
            Look::Plain,
            "in reach of all".to_owned(),
            "Every replica reaches the API server.".to_owned(),
        ),
        (0, true) => (
            Look::Busy,
            "slow".to_owned(),
            "Requests may take longer than half a second.".to_owned(),
        ),
        (n_cut, _) if n_cut == of => {
            (Look::Bad, "out".to_owned(), "No replica reaches the API server.".to_owned())
        }
        _ => {
            let names = cut.join(", ");
            (
                Look::Busy,
                format!("not from {names}"),
                format!("Out of reach for the replica on {names}."),
            )
        }
    };
    Words { look, node: None, label, detail }
}

/// The group of a lane and its name in it, in the order in which they are drawn.
pub(super) fn place(lane: &Lane) -> (&'static str, String) {
    match lane {
        Lane::Answer(eip) => (CLIENTS, format!("asking for {eip}")),
        Lane::Entry(eip) => (CLIENTS, format!("sending to {eip}")),
        Lane::Lease => (SPEAKERS, "the Lease".to_owned()),
        Lane::Replica(node) => (SPEAKERS, format!("replica on {node}")),
        Lane::Node(node) => (CLUSTER, node.to_string()),
        Lane::Api => (CLUSTER, "the API server".to_owned()),
    }
}

const CLIENTS: &str = "Seen on the LAN";
const SPEAKERS: &str = "Who may speak";
const CLUSTER: &str = "The cluster";

/// A happening in words, and how it looks.
pub(super) fn happening(happening: &Happening) -> (&'static str, String) {
    match happening {
        Happening::Announced { node, by } => {
            ("announced", format!("The replica on {by} tells all hosts that it is at {node}."))
        }
        Happening::Answered { node, by } => {
            ("answered", format!("The replica on {by} tells a host that it is at {node}."))
        }
        Happening::Asked => ("asked", "A host asks who has it.".to_owned()),
        Happening::Written => ("written", "The Lease is written.".to_owned()),
    }
}

/// To whom something is done, as it stands within a sentence. `led` says that it was the one that spoke.
pub(super) fn subject(subject: &Subject, led: bool) -> String {
    match subject {
        Subject::Lease => "the Lease".to_owned(),
        Subject::Node(node) => node.to_string(),
        Subject::Object(name) => name.clone(),
        Subject::Replica(node) if led => format!("the leader, on {node},"),
        Subject::Replica(node) => format!("the replica on {node}"),
        Subject::World => "all".to_owned(),
    }
}

/// A moment in seconds, to the microsecond.
pub(super) fn seconds(at: Moment) -> f64 {
    at.since(Moment::ZERO).as_micros() as f64 / 1e6
}

/// A span as one would say it: `4.98 s`, `12 ms`.
pub(super) fn span(span: Duration) -> String {
    match span.as_millis() {
        0 => "less than 1 ms".to_owned(),
        millis @ 1..1_000 => format!("{millis} ms"),
        _ => format!("{:.2} s", span.as_secs_f64()),
    }
}

/// `no ready pod`, `1 ready pod`, `2 ready pods`.
pub(super) fn count(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{n} {what}s"),
    }
}

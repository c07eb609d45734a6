//! A trace as rows of spans, ticks and marks: what `page.js` draws, and the table says.

use serde::Serialize;

use super::{
    outcome::Chapter,
    words::{self, Look},
};
use crate::world::{Lane, Trace};

/// How many nodes have a colour of their own.
pub(super) const TINTS: usize = 8;
/// How many rows the table has at most.
pub(super) const ROWS_MAX: usize = 5_000;

/// Everything that is drawn.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Picture {
    pub(super) nodes: Vec<String>,
    /// The end of the run, in seconds.
    pub(super) end: f64,
    pub(super) lanes: Vec<Row>,
    pub(super) marks: Vec<Flag>,
}

/// A lane.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) group: &'static str,
    pub(super) name: String,
    pub(super) spans: Vec<Span>,
    pub(super) ticks: Vec<Sign>,
}

/// A state from its beginning to its end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) look: Look,
    /// The number of the node that it is coloured after.
    pub(super) tint: Option<usize>,
    pub(super) label: String,
    pub(super) detail: String,
}

/// Something that takes no time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sign {
    pub(super) at: f64,
    pub(super) look: &'static str,
    pub(super) detail: String,
}

/// Something that was done to the world; it has the number of its chapter.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Flag {
    pub(super) at: f64,
    pub(super) fault: bool,
    pub(super) label: String,
}

impl Picture {
    pub(super) fn new(trace: &Trace, chapters: &[Chapter]) -> Self {
        let nodes: Vec<_> = trace.nodes.iter().map(ToString::to_string).collect();
        let mut lanes: Vec<_> = trace.lanes.keys().collect();
        lanes.sort_by_key(|lane| order(lane, trace));
        Self {
            lanes: lanes.into_iter().map(|lane| row(lane, trace, &nodes)).collect(),
            marks: chapters
                .iter()
                .map(|chapter| Flag {
                    at: words::seconds(chapter.at),
                    fault: chapter.fault,
                    label: chapter.short.clone(),
                })
                .collect(),
            end: words::seconds(trace.end),
            nodes,
        }
    }

    /// Every change and every announcement: when, where and what.
    pub(super) fn rows(&self) -> Vec<(f64, String, String)> {
        let marks =
            self.marks.iter().map(|mark| (mark.at, "Done to it".to_owned(), mark.label.clone()));
        let mut rows: Vec<_> = marks.collect();
        for lane in &self.lanes {
            let place =
                |detail: &str| (format!("{}: {}", lane.group, lane.name), detail.to_owned());
            let spans = lane.spans.iter().map(|span| (span.from, place(&span.detail)));
            let told = lane.ticks.iter().filter(|sign| sign.look == "announced");
            let told = told.map(|sign| (sign.at, place(&sign.detail)));
            rows.extend(spans.chain(told).map(|(at, (place, what))| (at, place, what)));
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows
    }
}

/// What clients see first, then who speaks, then the rest; nodes as the world has them.
fn order(lane: &Lane, trace: &Trace) -> (u8, Option<std::net::IpAddr>, usize, u8) {
    let number = |node| trace.nodes.iter().position(|known| known == node).unwrap_or(usize::MAX);
    match lane {
        Lane::Answer(eip) => (0, Some(*eip), 0, 0),
        Lane::Entry(eip) => (0, Some(*eip), 0, 1),
        Lane::Lease => (1, None, 0, 0),
        Lane::Replica(node) => (2, None, number(node), 0),
        Lane::Node(node) => (3, None, number(node), 0),
        Lane::Api => (4, None, 0, 0),
    }
}

fn row(lane: &Lane, trace: &Trace, nodes: &[String]) -> Row {
    let (group, name) = words::place(lane);
    let states = &trace.lanes[lane];
    let ends = states.iter().skip(1).map(|(since, _)| *since).chain([trace.end]);
    let spans = states.iter().zip(ends).filter_map(|((since, state), end)| {
        let words = words::state(lane, state)?;
        Some(Span {
            from: words::seconds(*since),
            to: words::seconds(end),
            look: words.look,
            tint: words
                .node
                .and_then(|name| nodes.iter().position(|node| *node == name))
                .map(|i| i % TINTS),
            label: words.label,
            detail: words.detail,
        })
    });
    let ticks = trace.ticks.iter().filter(|tick| tick.lane == *lane).map(|tick| {
        let (look, detail) = words::happening(&tick.what);
        Sign { at: words::seconds(tick.at), look, detail }
    });
    Row { group, name, spans: merged(spans), ticks: ticks.collect() }
}

/// States that look the same are one span, such as a silence whose reason changes.
fn merged(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last)
                if (last.look, last.tint, &last.label) == (span.look, span.tint, &span.label) =>
            {
                last.to = span.to;
                last.detail = format!("{} Then: {}", last.detail, span.detail);
            }
            Some(_) | None => all.push(span),
        }
    }
    all
}

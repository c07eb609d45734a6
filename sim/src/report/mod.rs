//! A run as one page of HTML: what was done to the world, what came of it, and lanes over time.
//!
//! The page is one file that needs nothing else: a browser opens it from disk, in light or dark, and
//! it can be zoomed by wheel, keys and buttons. All words are decided here, so that tests can read
//! them; `page.js` only draws. Without a script the story and the table are still there.
//!
//! The same trace makes the same page, byte for byte.

mod outcome;
mod picture;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::world::Trace;
use outcome::Chapter;
use picture::Picture;

/// What a page is about.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What is to be seen.
    pub trace: &'a Trace,
    /// The command that plays the run again.
    pub command: &'a str,
    /// What happened that must never, if it did.
    pub violation: Option<&'a str>,
}

/// The page has its style and script in it, and needs nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The page of a run.
pub fn page(run: &Run<'_>) -> String {
    let chapters = outcome::chapters(run.trace);
    let picture = Picture::new(run.trace, &chapters);
    let (headline, lead) = match (run.violation, outcome::headline(&chapters)) {
        (Some(violation), _) => ("Something happened that must never be.", violation.to_owned()),
        (None, Some(chapter)) => (chapter.what.as_str(), chapter.then.clone()),
        (None, None) => ("Nothing was done to this cluster.", String::new()),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Whatever is in it, it fetches nothing.
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { "Porter: " (headline) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main {
                    header {
                        h1 { (headline) }
                        p.lead { (lead) }
                    }
                    (story(&chapters))
                    (chart(&picture))
                    (reading())
                    (table(&picture))
                    footer {
                        p { "A simulated run of Porter. To play it again: " code { (run.command) } }
                    }
                }
                script type="application/json" id="run" { (PreEscaped(json(&picture))) }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    page.into_string()
}

/// What was done, and what came of it.
fn story(chapters: &[Chapter]) -> Markup {
    html! {
        section aria-labelledby="story" {
            h2 id="story" { "What happened" }
            ol.story {
                @for (i, chapter) in chapters.iter().enumerate() {
                    li.fault[chapter.fault] data-from=(chapter.from) data-to=(chapter.to) {
                        button type="button" aria-label=(format!("Show {} in the picture", i + 1)) { (i + 1) }
                        strong { (chapter.what) }
                        " " (chapter.then)
                    }
                }
            }
        }
    }
}

fn chart(picture: &Picture) -> Markup {
    html! {
        section aria-labelledby="lanes" {
            div.bar {
                h2 id="lanes" { "Second by second" }
                div.legend aria-label="Nodes and their colours" {
                    @for (i, node) in picture.nodes.iter().enumerate() {
                        span { i.swatch style=(format!("--tint: var(--node{})", i % picture::TINTS)) {} (node) }
                    }
                }
                div.tools role="toolbar" aria-label="View" {
                    button type="button" data-do="back" title="Earlier (Shift + Left)" aria-label="Earlier" { "◀" }
                    button type="button" data-do="in" title="Zoom in (+)" aria-label="Zoom in" { "+" }
                    button type="button" data-do="out" title="Zoom out (−)" aria-label="Zoom out" { "−" }
                    button type="button" data-do="forth" title="Later (Shift + Right)" aria-label="Later" { "▶" }
                    button type="button" data-do="all" title="The whole run (0)" { "Whole run" }
                    button type="button" data-do="fault" title="Next fault (F)" { "Next fault" }
                }
            }
            div #chart tabindex="0" role="group" aria-describedby="keys"
                aria-label="Lanes over time. The table below says the same." {}
            noscript { p { "The picture needs a script; the story above and the table below do not." } }
            p #detail aria-live="polite" { "Point at anything, or walk with the arrow keys, to read what it is." }
            p #keys {
                kbd { "+" } " " kbd { "−" } " zoom, " kbd { "0" } " whole run, " kbd { "F" } " next fault, "
                kbd { "←" } " " kbd { "→" } " walk along a lane (with " kbd { "Shift" } ": move the view), "
                kbd { "↑" } " " kbd { "↓" } " change lanes. Wheel and drag work too."
            }
        }
    }
}

/// How to read the picture.
fn reading() -> Markup {
    let looks = [
        (
            "solid",
            "Told, speaks, holds",
            "the EIP is at this node; this replica may speak; it holds the Lease",
        ),
        (
            "pale",
            "Silent, ready",
            "a replica that follows and says nothing; a node that could be answered",
        ),
        ("dead", "Gone", "no process; no pod; nobody holds the Lease"),
        ("paused", "Stands still", "a process that does nothing while its clock goes on"),
        (
            "bad",
            "Nobody answers",
            "who asks is told nothing; packets are lost; the API server is out of reach",
        ),
    ];
    html! {
        section aria-labelledby="reading" {
            h2 id="reading" { "How to read it" }
            p {
                "An external IP (EIP) belongs to no machine. Hosts on the LAN ask everybody “who has it?”, and one replica "
                "of Porter, the one that holds the Lease, answers with the address of a node that can serve it. "
                "Colour is the node: a replica has the colour of the node it runs on, an answer that of the node it names."
            }
            dl.looks {
                @for (look, name, what) in looks {
                    div {
                        dt { i.swatch.(look) style="--tint: var(--node0)" {} (name) }
                        dd { (what) }
                    }
                }
                div {
                    dt { i.sign { "◆" } "All are told" }
                    dd { "an announcement to every host, without a question" }
                }
                div {
                    dt { i.sign { "▲" } "One is told, " i.sign.hollow { "△" } "one asks" }
                    dd { "a host that asks, and its answer" }
                }
                div {
                    dt { i.sign { "❘" } "Renewed" }
                    dd { "the Lease is written: while that goes on, its holder lives" }
                }
            }
        }
    }
}

/// The same as a table, for those who cannot see the picture.
fn table(picture: &Picture) -> Markup {
    let rows = picture.rows();
    let shown = &rows[..rows.len().min(picture::ROWS_MAX)];
    html! {
        section aria-labelledby="table" {
            details {
                summary { h2 id="table" { "The same as a table" } }
                table {
                    caption { "Every change and every announcement, in order." }
                    thead { tr { th scope="col" { "Second" } th scope="col" { "Where" } th scope="col" { "What" } } }
                    tbody {
                        @for (at, place, what) in shown {
                            tr { td { (format!("{at:.3}")) } td { (place) } td { (what) } }
                        }
                    }
                }
                @if shown.len() < rows.len() {
                    p { (rows.len() - shown.len()) " more are only in the picture." }
                }
            }
        }
    }
}

/// JSON that can stand in a script element, whatever names are in it.
fn json(picture: &Picture) -> String {
    let json = serde_json::to_string(picture).expect("it has nothing but strings for keys");
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests;

//! What came of each thing that was done to the world, in plain words.
//!
//! A chapter begins with what was done at one moment and lasts until something else is done. What is
//! told of it is what hosts on the LAN notice: for how long nobody answered, where the EIP is since,
//! and whether a host that knew the address lost anything.

use std::{net::IpAddr, time::Duration};

use super::words;
use crate::world::{Lane, Mark, Mode, Moment, State, Subject, Trace};

/// Something that was done to the world, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chapter {
    pub(super) at: Moment,
    pub(super) fault: bool,
    /// What was done, in a few words.
    pub(super) short: String,
    /// What was done, as a sentence with its time.
    pub(super) what: String,
    /// What came of it.
    pub(super) then: String,
    /// For how long the EIP that fared worst was not answered.
    pub(super) unanswered: Duration,
    /// The part of the run to look at, in seconds.
    pub(super) from: f64,
    pub(super) to: f64,
}

/// What became of one EIP.
struct Fate {
    eip: IpAddr,
    before: Option<State>,
    after: Option<State>,
    /// The first change of what is answered.
    changed_at: Option<Moment>,
    /// When nobody answered, and until when.
    gap: Option<(Moment, Moment)>,
    lost: Duration,
}

/// All chapters of a run, in order.
pub(super) fn chapters(trace: &Trace) -> Vec<Chapter> {
    let groups: Vec<&[Mark]> = trace.marks.chunk_by(|a, b| a.at == b.at).collect();
    let ends = groups.iter().skip(1).map(|marks| marks[0].at).chain([trace.end]);
    groups.iter().zip(ends).map(|(marks, end)| chapter(trace, marks, end)).collect()
}

/// The chapter that the page is about: the fault that was noticed most.
pub(super) fn headline(chapters: &[Chapter]) -> Option<&Chapter> {
    let most = |a: &&Chapter, b: &&Chapter| (a.fault, a.unanswered).cmp(&(b.fault, b.unanswered));
    chapters.iter().rev().max_by(most)
}

fn chapter(trace: &Trace, marks: &[Mark], end: Moment) -> Chapter {
    let at = marks[0].at;
    let fates: Vec<_> = eips(trace).map(|eip| fate(trace, eip, at, end)).collect();
    let gaps = fates.iter().filter_map(|fate| fate.gap);
    let unanswered = gaps.clone().map(|(from, to)| to.since(from)).max().unwrap_or_default();
    let shown_to =
        gaps.map(|(_, to)| to).max().unwrap_or_else(|| end.min(at + Duration::from_secs(2)));
    let room = (shown_to.since(at) / 5).max(Duration::from_millis(300)).as_secs_f64();
    let who = |i: usize| i.checked_sub(1).map(|before| &marks[before].subject);
    let clause = |(i, mark): (usize, &Mark)| match who(i) == Some(&mark.subject) {
        true => mark.what.clone(),
        false => format!("{} {}", subject(trace, mark), mark.what),
    };
    let clauses: Vec<_> = marks.iter().enumerate().map(clause).collect();
    Chapter {
        at,
        fault: marks.iter().any(|mark| mark.fault),
        short: joined(&clauses),
        what: format!("At {:.1} s {}.", words::seconds(at), joined(&clauses)),
        then: told(trace, &fates),
        unanswered,
        from: (words::seconds(at) - room).max(0.0),
        to: (words::seconds(shown_to) + room).min(words::seconds(trace.end)),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn joined(clauses: &[String]) -> String {
    match clauses {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

fn eips(trace: &Trace) -> impl Iterator<Item = IpAddr> {
    trace.lanes.keys().filter_map(|lane| match lane {
        Lane::Answer(eip) => Some(*eip),
        Lane::Api | Lane::Entry(_) | Lane::Lease | Lane::Node(_) | Lane::Replica(_) => None,
    })
}

/// To whom something was done: "the leader, on node1,".
fn subject(trace: &Trace, mark: &Mark) -> String {
    let led = match &mark.subject {
        Subject::Replica(node) => {
            let state = before(trace, &Lane::Replica(node.clone()), mark.at);
            matches!(state, Some(State::Replica { mode: Mode::Speaks, .. }))
        }
        Subject::Lease | Subject::Node(_) | Subject::Object(_) | Subject::World => false,
    };
    words::subject(&mark.subject, led)
}

fn fate(trace: &Trace, eip: IpAddr, at: Moment, end: Moment) -> Fate {
    let lane = Lane::Answer(eip);
    let spans = spans(trace, &lane);
    let within = |from: &Moment| *from >= at && *from < end;
    let gap =
        spans.iter().find(|(from, _, state)| within(from) && matches!(state, State::Unanswered(_)));
    let lost = self::spans(trace, &Lane::Entry(eip));
    let lost = lost.iter().filter(|(from, _, state)| within(from) && matches!(state, State::Lost));
    // The reason of a silence may change while it lasts.
    let gap = gap.map(|(from, _, _)| {
        let later = spans.iter().skip_while(|(since, _, _)| since < from);
        let silent = later.take_while(|(_, _, state)| matches!(state, State::Unanswered(_)));
        (*from, silent.last().map_or(*from, |(_, to, _)| *to))
    });
    // What is done next changes the state at that very moment, and the end of a gap is one.
    let after = match gap {
        Some((_, to)) if to >= end => spans.iter().find(|(from, _, _)| *from == to),
        Some(_) | None => spans.iter().rev().find(|(from, _, _)| *from < end),
    };
    Fate {
        eip,
        before: before(trace, &lane, at).cloned(),
        after: after.or_else(|| spans.last()).map(|(_, _, state)| (*state).clone()),
        changed_at: spans.iter().map(|(from, _, _)| *from).find(within),
        gap,
        lost: lost.map(|(from, to, _)| to.since(*from)).sum(),
    }
}

/// The spans of a lane: from, to, and the state.
fn spans<'a>(trace: &'a Trace, lane: &Lane) -> Vec<(Moment, Moment, &'a State)> {
    let states = trace.lanes.get(lane).map_or(&[][..], Vec::as_slice);
    let ends = states.iter().skip(1).map(|(since, _)| *since).chain([trace.end]);
    states.iter().zip(ends).map(|((from, state), to)| (*from, to, state)).collect()
}

/// The state of a lane just before a moment.
fn before<'a>(trace: &'a Trace, lane: &Lane, at: Moment) -> Option<&'a State> {
    let states = trace.lanes.get(lane)?;
    states.iter().take_while(|(since, _)| *since < at).last().map(|(_, state)| state)
}

/// What hosts on the LAN noticed, in sentences.
fn told(trace: &Trace, fates: &[Fate]) -> String {
    let before = |fate: &&Fate| matches!(fate.before, Some(State::Told(_)));
    match fates.iter().filter(before).collect::<Vec<_>>().as_slice() {
        [] if fates.iter().any(|fate| matches!(fate.before, Some(State::Unanswered(_)))) => {
            "Nobody is answering at that time.".to_owned()
        }
        [] => String::new(),
        [one] => one_told(trace, one),
        many => many_told(trace, many),
    }
}

fn one_told(trace: &Trace, fate: &Fate) -> String {
    let Fate { eip, before, after, gap, .. } = fate;
    let since = |at: Moment| words::seconds(at);
    let answered = match (after, gap) {
        (Some(State::Told(_)), None) if before == after && fate.lost.is_zero() => {
            return "Hosts notice nothing.".to_owned();
        }
        (Some(State::Told(node)), Some((from, to))) => {
            let span = words::span(to.since(*from));
            let again = if before == after { ", as before" } else { "" };
            let speaker = speaker(trace, *to).map(|name| format!("the replica on {name} speaks: "));
            let speaker = speaker.unwrap_or_default();
            let to = since(*to);
            format!("Nobody answers for {span}. From {to:.1} s {speaker}{eip} is at {node}{again}.")
        }
        (Some(State::Told(node)), None) => {
            let at = fate.changed_at.filter(|_| before != after);
            let at = at.map(|at| format!(" from {:.1} s on", since(at))).unwrap_or_default();
            format!("{eip} is at {node}{at}, and every question could be answered.")
        }
        (Some(State::Unused), _) => {
            return format!("{eip} is no Service's any more, and nobody answers for it.");
        }
        (_, Some((from, _))) => format!("From {:.1} s nobody answers.", since(*from)),
        (_, None) => "Several replicas answer at once.".to_owned(),
    };
    format!("{answered} {}", lost(fate.lost))
}

fn many_told(trace: &Trace, fates: &[&Fate]) -> String {
    let gaps = fates.iter().filter_map(|fate| fate.gap);
    let worst = gaps.max_by_key(|(from, to)| to.since(*from));
    let n_moved = fates.iter().filter(|fate| fate.before != fate.after).count();
    let most_lost = fates.iter().map(|fate| fate.lost).max().unwrap_or_default();
    let n_eips = fates.len();
    if worst.is_none() && n_moved == 0 && most_lost.is_zero() {
        return "Hosts notice nothing.".to_owned();
    }
    let answered = match worst {
        Some((from, to)) => {
            let span = words::span(to.since(from));
            let speaker = speaker(trace, to).map(|name| {
                format!(" From {:.1} s the replica on {name} speaks.", words::seconds(to))
            });
            format!("Nobody answers for up to {span}.{}", speaker.unwrap_or_default())
        }
        None => "Every question could be answered.".to_owned(),
    };
    let moved = match n_moved {
        0 => format!("All {n_eips} EIPs are where they were."),
        _ => format!("Of {n_eips} EIPs {n_moved} changed."),
    };
    format!("{answered} {moved} {}", lost(most_lost))
}

fn lost(span: Duration) -> String {
    match span {
        Duration::ZERO => "Hosts that knew the address lose nothing.".to_owned(),
        span => {
            format!("Hosts that knew the address lose what they send for {}.", words::span(span))
        }
    }
}

/// The node of the replica that speaks at a moment.
fn speaker(trace: &Trace, at: Moment) -> Option<String> {
    trace.lanes.iter().find_map(|(lane, states)| match lane {
        Lane::Replica(node) => {
            let state = states.iter().take_while(|(since, _)| *since <= at).last();
            let speaks = matches!(state, Some((_, State::Replica { mode: Mode::Speaks, .. })));
            speaks.then(|| node.to_string())
        }
        Lane::Answer(_) | Lane::Api | Lane::Entry(_) | Lane::Lease | Lane::Node(_) => None,
    })
}

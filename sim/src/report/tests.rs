use std::{net::IpAddr, time::Duration};

use porter_core::NodeName;

use super::{
    Run, outcome, page,
    picture::{Picture, Row},
    words::Look,
};
use crate::world::{Lane, Mark, Mode, Moment, State, Subject, Trace, World};

const EIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 188));

fn at(millis: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(millis)
}

fn node(name: &str) -> NodeName {
    NodeName::from(name)
}

fn replica(mode: Mode) -> State {
    State::Replica { mode, cut: false }
}

/// The leader, on node1, is killed at 10 s; node3's replica speaks from 14.5 s on.
fn crash() -> Trace {
    let told = || State::Told(node("node4"));
    let unanswered = State::Unanswered("no replica may speak".to_owned());
    let lanes = [
        (
            Lane::Answer(EIP),
            vec![(at(2_000), told()), (at(10_000), unanswered), (at(14_500), told())],
        ),
        (Lane::Entry(EIP), vec![(at(2_000), State::Reaches(node("node4")))]),
        (
            Lane::Replica(node("node1")),
            vec![(at(0), replica(Mode::Speaks)), (at(10_000), replica(Mode::Dead))],
        ),
        (
            Lane::Replica(node("node3")),
            vec![(at(0), replica(Mode::Silent)), (at(14_500), replica(Mode::Speaks))],
        ),
    ];
    let killed = Mark {
        at: at(10_000),
        subject: Subject::Replica(node("node1")),
        what: "is killed".to_owned(),
        fault: true,
    };
    Trace {
        lanes: lanes.into(),
        marks: vec![killed],
        nodes: ["node1", "node3", "node4"].map(node).to_vec(),
        end: at(20_000),
        ..Trace::default()
    }
}

fn lane<'a>(picture: &'a Picture, name: &str) -> &'a Row {
    picture.lanes.iter().find(|row| row.name == name).expect("there is such a lane")
}

fn html(trace: &Trace) -> String {
    page(&Run { trace, command: "porter sim", violation: None })
}

#[test]
fn the_headline_says_who_was_killed_how_long_nobody_answered_and_who_does_since() {
    let chapters = outcome::chapters(&crash());
    let headline = outcome::headline(&chapters).unwrap();
    assert_eq!(headline.what, "At 10.0 s the leader, on node1, is killed.");
    assert_eq!(
        headline.then,
        "Nobody answers for 4.50 s. From 14.5 s the replica on node3 speaks: 172.22.0.188 is at \
         node4, as before. Hosts that knew the address lose nothing."
    );
}

#[test]
fn a_silence_that_does_not_end_and_packets_that_are_lost_are_told() {
    let mut trace = crash();
    trace.lanes.get_mut(&Lane::Answer(EIP)).unwrap().pop();
    trace.lanes.get_mut(&Lane::Entry(EIP)).unwrap().push((at(19_000), State::Lost));
    let chapters = outcome::chapters(&trace);
    let then =
        "From 10.0 s nobody answers. Hosts that knew the address lose what they send for 1.00 s.";
    assert_eq!(chapters[0].then, then);
}

#[test]
fn the_page_is_about_the_fault_that_was_noticed_most() {
    let mut trace = crash();
    let unnoticed = Mark { at: at(16_000), ..trace.marks[0].clone() };
    let by_hand = Mark { at: at(17_000), fault: false, ..trace.marks[0].clone() };
    trace.marks.extend([unnoticed, by_hand]);
    let chapters = outcome::chapters(&trace);
    assert_eq!(chapters.len(), 3);
    assert_eq!(outcome::headline(&chapters), Some(&chapters[0]));
}

#[test]
fn a_lane_has_a_span_for_every_state_and_the_last_reaches_the_end() {
    let trace = crash();
    let picture = Picture::new(&trace, &outcome::chapters(&trace));
    let answer = lane(&picture, "asking for 172.22.0.188");
    let spans: Vec<_> =
        answer.spans.iter().map(|span| (span.from, span.to, span.look, span.tint)).collect();
    assert_eq!(
        spans,
        [
            (2.0, 10.0, Look::Solid, Some(2)),
            (10.0, 14.5, Look::Bad, None),
            (14.5, 20.0, Look::Solid, Some(2))
        ]
    );
    let names: Vec<_> = picture.lanes.iter().map(|row| row.name.as_str()).collect();
    let hosts = ["asking for 172.22.0.188", "sending to 172.22.0.188"];
    assert_eq!(names, [&hosts[..], &["replica on node1", "replica on node3"]].concat());
}

#[test]
fn what_the_world_did_is_in_the_picture() {
    let mut world = World::guide(1);
    world.record();
    world.run(Duration::from_secs(10));
    let leader = world.leader().unwrap();
    world.crash(leader);
    world.run(Duration::from_secs(6));
    let trace = world.trace().unwrap();
    let picture = Picture::new(&trace, &outcome::chapters(&trace));
    let labels = |name: &str| {
        lane(&picture, name).spans.iter().map(|span| span.label.as_str()).collect::<Vec<_>>()
    };
    let answers = labels("asking for 172.22.0.188");
    assert!(answers.contains(&"nobody answers"), "{answers:?}");
    assert!(answers.last().unwrap().starts_with("at node"), "{answers:?}");
    let old = format!("replica on {}", world.replica_name(leader));
    assert!(labels(&old).ends_with(&["speaks", "dead", "silent"]), "{:?}", labels(&old));
    let announced = &lane(&picture, "asking for 172.22.0.188").ticks;
    assert!(announced.iter().any(|tick| tick.look == "announced" && tick.at > 10.0));
    let entries = labels("sending to 172.22.0.188");
    assert!(!entries.contains(&"packets are lost"), "{entries:?}");
}

#[test]
fn a_run_that_is_recorded_is_the_same_run() {
    let transcript = |recorded: bool| {
        let mut world = World::guide(3);
        if recorded {
            world.record();
        }
        world.run(Duration::from_secs(10));
        world.crash(0);
        world.run(Duration::from_secs(10));
        world.transcript()
    };
    assert_eq!(transcript(true), transcript(false));
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let mut trace = crash();
    trace.marks[0].subject = Subject::Object("</script><script>alert(1)</script>".to_owned());
    let html = html(&trace);
    assert!(!html.contains("<script>alert"), "{html}");
    assert!(html.contains("&lt;/script&gt;"));
    assert!(html.contains("\\u003c/script>"));
}

#[test]
fn the_page_names_nothing_elsewhere() {
    let html = html(&crash()).replace("http://www.w3.org/2000/svg", "the name of SVG");
    for elsewhere in ["http:", "https:", "src=", "href=", "url(//", "@import", "url(\""] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn a_violation_is_the_headline() {
    let run =
        Run { trace: &crash(), command: "porter sim", violation: Some("two voices: a and b") };
    let html = page(&run);
    assert!(html.contains("<h1>Something happened that must never be.</h1>"));
    assert!(html.contains("two voices: a and b"));
}

#[test]
fn a_fault_is_drawn_from_its_very_moment_though_nothing_else_happens_then() {
    let mut world = World::guide(5);
    world.record();
    world.run(Duration::from_secs(8));
    let leader = world.leader().unwrap();
    world.stall(leader, Duration::from_secs(7));
    world.run(Duration::from_secs(9));
    let trace = world.trace().unwrap();
    let picture = Picture::new(&trace, &outcome::chapters(&trace));
    let spans = &lane(&picture, &format!("replica on {}", world.replica_name(leader))).spans;
    let paused = spans.iter().find(|span| span.label == "stands still").unwrap();
    assert_eq!(paused.from, 8.0);
    assert!((15.0..15.2).contains(&paused.to), "{}", paused.to);
}

#[test]
fn a_gap_that_outlasts_its_chapter_ends_where_somebody_answers_again() {
    let mut trace = crash();
    let answers = trace.lanes.get_mut(&Lane::Answer(EIP)).unwrap();
    answers.insert(2, (at(13_000), State::Unanswered("node4 is not known yet".to_owned())));
    trace.marks.push(Mark { at: at(12_000), fault: false, ..trace.marks[0].clone() });
    let chapters = outcome::chapters(&trace);
    assert!(chapters[0].then.starts_with("Nobody answers for 4.50 s. From 14.5 s"), "{chapters:?}");
    assert_eq!(chapters[1].then, "Nobody is answering at that time.");
    let picture = Picture::new(&trace, &chapters);
    assert_eq!(lane(&picture, "asking for 172.22.0.188").spans.len(), 3);
}

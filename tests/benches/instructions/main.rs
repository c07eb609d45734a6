//! How many instructions a frame and a change cost, counted by callgrind: the same on every run, so that
//! a count that has grown is a change of the code.
//!
//! `cargo bench -p porter-core --bench instructions` counts and compares with what is written down
//! here, and fails if a case takes more than 5 % more. It needs valgrind.
//!
//! Callgrind is run directly: what there is to compare with is in this file, and no more is needed.

#![expect(clippy::print_stdout, reason = "what is counted is to be read")]

#[expect(clippy::unwrap_used, reason = "it is made for tests, which may")]
#[path = "../../../core/tests/bench/mod.rs"]
mod bench;
#[path = "../core/scene.rs"]
mod scene;

use std::{env, fs, hint::black_box, net::IpAddr, path::Path, process::Command};

use porter_core::{Answers, Input, Instant, IsAt, LinkName, MacAddr, WhoHas, wire};
use scene::{Scale, Scene};

/// How often what takes little is done.
const TIMES: u64 = 100;
/// What is counted, and how many instructions one of it took when that was last written down.
const CASES: [(&str, u64); 6] = [
    ("parse", 385),
    ("answer", 430),
    ("silence", 380),
    ("frame", 174),
    ("plan", 36_632),
    ("publish", 52_258),
];
/// By how many percent more one may take: the compiler and the C library differ a little.
const SLACK: u64 = 5;

/// A cluster that is large enough for what is in no relation to a change to show.
const SMALL: Scale = Scale { services: 300, nodes: 100 };
const EIPS: u32 = 10_000;
const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
const CLIENT: (IpAddr, MacAddr) = (ip(100), MacAddr(2, 0, 0, 0, 0, 100));

const fn ip(number: u32) -> IpAddr {
    let [_, _, high, low] = number.to_be_bytes();
    IpAddr::V4(std::net::Ipv4Addr::new(172, 22, high, low))
}

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [flag, name] = &*arguments
        && flag == "--measure"
    {
        return measure(name);
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let picked = |name: &str| filter.is_none_or(|filter| name.contains(&**filter));
    let mut grown = false;
    for (name, written) in CASES.into_iter().filter(|(name, _)| picked(name)) {
        let counted = count(name);
        let most = written + written * SLACK / 100;
        let least = written - written * SLACK / 100;
        let verdict = match counted {
            _ if counted > most => "FAILED: it takes more",
            _ if counted < least => "takes less; write that down",
            _ => "ok",
        };
        println!("{name:>8}: {counted:>8} instructions, {written:>8} written down: {verdict}");
        grown |= counted > most;
    }
    if grown {
        println!("If that is worth it, write the new count down in tests/benches/instructions.");
        std::process::exit(1);
    }
}

/// Counts the instructions of one case.
fn count(name: &str) -> u64 {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{name}"));
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted*", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().expect("a process knows its own binary"))
        .args(["--measure", name])
        .status();
    match valgrind {
        Ok(status) => assert!(status.success(), "callgrind ended with {status}"),
        Err(error) => panic!("valgrind could not be run, is it installed? {error}"),
    }
    let text = fs::read_to_string(&out).expect("callgrind has written what it counted");
    let summary = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = summary.expect("it sums up").trim().parse().expect("a sum is a number");
    assert!(total > 0, "nothing was counted of {name}");
    let is_small = !matches!(name, "plan" | "publish");
    if is_small { total / TIMES } else { total }
}

/// Does one case, of which only [`counted`] is counted.
fn measure(name: &str) {
    match name {
        "parse" => {
            let frame = question_frame();
            repeat(|| black_box(wire::parse(link(), OWN, black_box(&frame))));
        }
        "answer" => ask(ip(EIPS / 2)),
        "silence" => ask(ip(EIPS + 1)),
        "frame" => {
            let own = OWN.into();
            let (target, mac) = (ip(7), MacAddr(2, 0, 0, 0, 0, 9));
            let is_at = IsAt { link: link(), target, mac, to: Some(CLIENT), via: CLIENT.1 };
            repeat(|| black_box(wire::answer(&own, black_box(&is_at))));
        }
        "plan" => {
            let mut scene = Scene::serving(SMALL);
            let moved = scene.pod_moves(1);
            react(&mut scene, moved);
            assert_eq!(scene.perform(), (1, 0), "the move is to be put on record");
        }
        "publish" => {
            let mut scene = Scene::serving(SMALL);
            let moved = scene.pod_moves(1);
            scene.react(Some(moved));
            scene.hold_verdict();
            let verdict = scene.verdict();
            react(&mut scene, verdict);
            assert_eq!(scene.perform().1, 1, "the new answer is published");
        }
        _ => panic!("there is no case {name}"),
    }
}

fn link() -> LinkName {
    LinkName::new("eth0").expect("it is a name")
}

/// Who has 172.22.0.7?
fn question_frame() -> [u8; 42] {
    let mut frame = [0; 42];
    let client = CLIENT.1.octets();
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&client);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&client);
    for (place, address) in [(28, CLIENT.0), (38, ip(7))] {
        if let IpAddr::V4(address) = address {
            frame[place..place + 4].copy_from_slice(&address.octets());
        }
    }
    frame
}

fn ask(target: IpAddr) {
    let mac = MacAddr(2, 0, 0, 0, 0, 9);
    let answers: Answers = (0..EIPS).map(|number| (link(), ip(number), Ok(mac))).collect();
    let question = WhoHas { link: link(), target, asker: CLIENT, via: CLIENT.1 };
    let (now, until) = (Instant::from_millis(1), Instant::from_millis(2));
    repeat(|| black_box(answers.answer(black_box(&question), now, until)));
}

fn repeat<T>(what: impl Fn() -> T) {
    counted(|| (0..TIMES).for_each(|_| drop(what())));
}

fn react(scene: &mut Scene, input: Input) {
    counted(|| scene.react(Some(input)));
}

/// Callgrind counts while this runs.
#[inline(never)]
fn counted<T>(what: impl FnOnce() -> T) -> T {
    black_box(what())
}

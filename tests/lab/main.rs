//! The user guide on real Linux kernels: `porter lab` with the real binary, and what its agents put
//! on the LAN.
//!
//! Needs root, or user namespaces; without them these tests fail and say what to do.

#![cfg(target_os = "linux")]

mod bench;
#[path = "../report/browser.rs"]
mod browser;
mod conflicts;
mod dual_stack;
mod faults;
mod frames;
mod installation;
mod kubectl;
mod lab;
mod metrics;
mod operators;
mod page;
mod pcapng;
mod reasons;

use std::{fs, process::Command, sync::LazyLock};

use lab::Lab;
use tempfile::TempDir;

/// One run of all statements, which several tests look at.
static ONCE: LazyLock<Once> = LazyLock::new(Once::run);

struct Once {
    success: bool,
    output: String,
    capture: Vec<pcapng::Frame>,
}

impl Once {
    fn run() -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let file = directory.path().join("lan.pcapng");
        let ran = Command::new(lab::PORTER)
            .env("XDG_RUNTIME_DIR", directory.path())
            .args(["lab", "--once", "--capture"])
            .arg(&file)
            .output()
            .expect("the binary was built with this test");
        let said = [ran.stdout, ran.stderr].concat();
        let output = String::from_utf8_lossy(&said).into_owned();
        let capture = fs::read(&file).map(|bytes| pcapng::read(&bytes)).unwrap_or_default();
        Self { success: ran.status.success(), output, capture }
    }
}

#[test]
fn all_thirteen_statements_of_the_guide_hold() {
    let Once { success, output, .. } = &*ONCE;

    let ticked: Vec<_> = output.lines().filter(|line| line.starts_with(" ✓ ")).collect();
    assert_eq!(ticked.len(), 13, "{output}");
    assert!(success, "{output}");
}

#[test]
fn every_frame_that_agents_put_on_the_lan_is_right() {
    let Once { output, capture, .. } = &*ONCE;

    let eip_frames = frames::check(capture).unwrap_or_else(|wrong| panic!("{wrong}\n{output}"));

    let nodes = frames::nodes_in_order(&eip_frames).join(" -> ");
    assert!(output.contains(&format!("{nodes};")), "answered: {nodes}\n{output}");
    for kind in frames::Kind::ALL {
        assert!(eip_frames.iter().any(|frame| frame.kind == kind), "no {kind:?} in\n{output}");
    }
}

#[test]
fn a_command_runs_on_a_station_and_ends_with_its_own_code() {
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("export KUBECONFIG");

    for (station, address) in [("node3", "172.22.0.9"), ("client", "172.22.0.100")] {
        let script = format!("grep -qw {address} /proc/net/fib_trie && exit 7");
        let ran = lab.run(lab::PORTER, &["lab", "exec", station, "--", "bash", "-c", &script]);
        assert_eq!(ran.status.code(), Some(7), "{station}: {ran:?}");
    }
    let nowhere = lab.run(lab::PORTER, &["lab", "exec", "node2", "--", "true"]);
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && said.contains("there are client, lan, node1"), "{said}");
}

#[test]
fn a_lab_that_is_stopped_before_it_has_checked_all_does_not_end_as_if_all_held() {
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start_with(directory.path(), &["--once"]);
    lab.wait_for("Bringing up");
    assert_eq!(lab.stop().code(), Some(130));

    let run = |agent: &str| {
        Command::new(lab::PORTER)
            .args(["lab", "--once", "--agent", agent])
            .output()
            .expect("it runs")
    };
    let said = String::from_utf8_lossy(&run("/nofile").stderr).into_owned();
    assert!(said.contains("looking for /nofile failed: No such file"), "{said}");
}

#[test]
fn a_killed_lab_leaves_nothing_and_the_next_one_starts() {
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("export KUBECONFIG");
    let processes = lab.processes();
    let namespaces = lab::networks_of(&processes);
    assert!(processes.len() >= 2 + 3, "the lab and an agent on every node: {processes:?}");
    assert!(namespaces.len() >= 5, "one for every station and the bridge: {namespaces:?}");
    let script = "echo inside; sleep 600";
    let mut command =
        lab.spawn(lab::PORTER, &["lab", "exec", "client", "--", "bash", "-c", script]);
    assert_eq!(lab::first_line(&mut command), "inside");

    lab.kill();

    let mut code = None;
    lab::until("the command is gone", || {
        code = command.try_wait().expect("it is a child of ours").map(|ended| ended.code());
        code.is_some()
    });
    assert_eq!(code.flatten(), Some(128 + 9), "what runs in the lab is killed with it");
    lab::until("every process is gone", || processes.iter().all(|&process| !lab::lives(process)));
    lab::until("every network is gone", || namespaces.is_disjoint(&lab::networks_in_use()));
    let next = Lab::start(directory.path());
    next.wait_for("export KUBECONFIG");
    assert!(next.stop().success());
    let left = fs::read_dir(directory.path()).expect("it is a directory").count();
    assert_eq!(left, 0, "a lab that was stopped leaves no file");
}

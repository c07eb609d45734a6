//! What agents tell over HTTP, to whoever asks on their own hosts.

use std::process::Command;

use tempfile::TempDir;

use crate::lab::{self, Lab};

const NODES: [&str; 3] = ["node1", "node3", "node4"];

/// What an agent answers on its node: the first line, and the body.
fn fetch(lab: &Lab, node: &str, path: &str) -> Option<(String, String)> {
    let request = format!("GET {path} HTTP/1.1\\r\\nHost: {node}\\r\\n\\r\\n");
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/7475; printf '{request}' >&3; cat <&3");
    let ran = lab.run(lab::PORTER, &["lab", "exec", node, "--", "bash", "-c", &script]);
    let answer = String::from_utf8_lossy(&ran.stdout).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

fn says_ok(lab: &Lab, node: &str, path: &str) -> bool {
    fetch(lab, node, path).is_some_and(|told| told == ("HTTP/1.1 200 OK".into(), "ok\n".into()))
}

/// The value of a series on a node; with labels, as they are written.
fn value(lab: &Lab, node: &str, series: &str) -> Option<u64> {
    let (_, page) = fetch(lab, node, "/metrics")?;
    let mut values = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.next()?.parse().ok()
}

/// The sum of it over all nodes.
fn sum(lab: &Lab, series: &str) -> u64 {
    NODES.iter().filter_map(|node| value(lab, node, series)).sum()
}

#[test]
fn agents_tell_that_they_work_who_leads_and_what_they_answer() {
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");

    for node in NODES {
        lab::until("the agent is ready", || says_ok(&lab, node, "/readyz"));
        lab::until("the agent is alive", || says_ok(&lab, node, "/livez"));
    }
    lab::until("one leads", || sum(&lab, "porter_leader") == 1);
    let leads = |node: &&str| value(&lab, node, "porter_leader") == Some(1);
    let leader = NODES.into_iter().find(leads).expect("one leads");
    let used = "porter_eip_addresses_used{eip=\"eip-sample-layer2\"}";
    lab::until("every agent knows the pool", || sum(&lab, used) == 3);
    let written = value(&lab, leader, "porter_writes_total{kind=\"Lease\",verdict=\"Written\"}");
    assert!(written > Some(0), "{written:?}");
    let silent = sum(&lab, "porter_silences_total{reason=\"NotLeader\"}");
    assert!(silent > 0, "standbys hear what the leader answers");

    client_asks_anew(&lab);
    refuses_a_second_agent(&lab, leader);
    assert!(lab.stop().success());
}

/// The client forgets where the EIP is, and is told.
fn client_asks_anew(lab: &Lab) {
    if !Command::new("ip").arg("-V").output().is_ok_and(|ran| ran.status.success()) {
        return; // It cannot be made to forget.
    }
    let answered = sum(lab, "porter_answers_total");
    let script = "ip neigh flush all; exec 3<>/dev/tcp/172.22.0.188/8088";
    lab::until("the client is answered", || {
        lab.run(lab::PORTER, &["lab", "exec", "client", "--", "bash", "-c", script]);
        sum(lab, "porter_answers_total") > answered
    });
}

/// A second agent on a node finds the port taken, and says what to do.
fn refuses_a_second_agent(lab: &Lab, node: &str) {
    let second = lab.run(lab::PORTER, &["lab", "exec", node, "--", lab::PORTER, "agent"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success(), "{said}");
    assert!(said.contains("listening on 127.0.0.1:7475 failed: "), "{said}");
    assert!(said.contains("name another address with --http"), "{said}");
}

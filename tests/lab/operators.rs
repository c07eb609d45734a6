//! The operator's tools in a running lab, and that `docs/operations.md` shows what they print.

use std::fs;

use regex::Regex;
use tempfile::TempDir;

use crate::lab::{self, Lab};

const PAGE: &str = include_str!("../../docs/operations.md");

#[test]
fn the_page_shows_what_the_tools_print() {
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");
    lab::until("the Service is announced", || said(&lab, &["status"]).contains("Announced"));
    for command in ["status", "explain 172.22.0.188", "explain 172.22.0.190", "check"] {
        let said = said(&lab, &command.split(' ').collect::<Vec<_>>());
        let shown = shown(command);
        assert_eq!(steady(&shown), steady(&said), "porter {command}\n{said}");
    }

    for (address, count) in [("172.22.0.188", "2"), ("172.22.0.190", "1")] {
        let command = format!("trace {address} --count {count}");
        let on_client =
            ["lab", "exec", "client", "--", lab::PORTER, "trace", address, "--count", count];
        let shown = shown_by("porter lab exec client -- porter", &command);
        // Announcements of a moment ago, and the leader's own questions, may come by.
        let only_ours = |line: &&str| !line.contains("have it?") && !line.contains("to everybody");
        lab::until("the page shows what a host hears", || {
            let said = said(&lab, &on_client);
            let said: Vec<_> = said.lines().filter(only_ours).collect();
            steady(&shown).trim_end() == steady(&said.join("\n")).trim_end()
        });
    }
    for command in ["log-level", "log-level info,porter_backends::kube=debug"] {
        let on_node = ["lab", "exec", "node1", "--", lab::PORTER].map(str::to_owned);
        let words: Vec<_> =
            on_node.into_iter().chain(command.split(' ').map(str::to_owned)).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let said = said(&lab, &words);
        let shown = PAGE.contains(&format!("$ porter lab exec node1 -- porter {command}\n{said}"));
        assert!(shown, "porter {command}\n{said}");
    }
    let refused = said(&lab, &["lab", "exec", "node1", "--", lab::PORTER, "log-level", "a=b=c"]);
    assert!(refused.contains("refused: "), "{refused}");
    let refused = said(&lab, &["lab", "exec", "node1", "--", lab::PORTER, "log-level", "inof"]);
    assert!(refused.contains("there is no level \"inof\"; there are off, error, "), "{refused}");

    // What else is found on a node. How strict its kernel is by default is the machine's own business.
    let host = said(&lab, &["lab", "exec", "node1", "--", lab::PORTER, "check", "--host"]);
    // Whether it is named, or leads, is chance.
    let chance = |line: &&str| line.contains("rp_filter") || line.contains("answers ");
    for line in host.lines().filter(|line| !chance(line)) {
        assert!(steady(PAGE).contains(&steady(line)), "the page lacks {line:?}");
    }
    let answered = ["node1", "node3", "node4"].iter().any(|node| {
        let said = said(&lab, &["lab", "exec", node, "--", lab::PORTER, "check", "--host"]);
        let answers = said.lines().find(|line| line.contains("answers "));
        answers.is_some_and(|line| steady(PAGE).contains(&steady(line)))
    });
    assert!(answered, "one node neither leads nor is named");
    let hosts = ["privileges", "kernel", "interface     eth0", "rp_filter", "arp_ignore"];
    assert!(hosts.iter().all(|about| host.contains(about)), "{host}");

    for (arguments, wrong) in [
        (
            &["check", "--lease-name", "another"][..],
            "WRONG     leader        nobody leads: nobody holds",
        ),
        (
            &["status", "--lease-name", "another"],
            "nobody leads: nobody holds the Lease porter-system/another",
        ),
        (
            &["check", "--service-account", "nobody"],
            "WRONG     rights        system:serviceaccount:porter-system:nobody may not ",
        ),
        (
            &["check", "--kubeconfig", "/nowhere"],
            "WRONG     API server    reading the kubeconfig failed",
        ),
    ] {
        let said = said(&lab, arguments);
        assert!(said.contains(wrong), "{arguments:?} lacks {wrong:?}: {said}");
    }
    let unprivileged =
        ["lab", "exec", "node1", "--", "setpriv", "--bounding-set=-net_raw", lab::PORTER];
    let unprivileged = said(&lab, &[&unprivileged[..], &["check", "--host"]].concat());
    let remedy = "run it as root, or with the capability NET_RAW";
    assert!(
        unprivileged.contains("WRONG     privileges") && unprivileged.contains(remedy),
        "{unprivileged}"
    );

    // For programs.
    let status: serde_json::Value =
        serde_json::from_str(&said(&lab, &["status", "-o", "json"])).expect("it is JSON");
    assert_eq!(status["addresses"][0]["address"], "172.22.0.188", "{status}");
    assert_eq!(status["leader"]["leads"], true, "{status}");
    assert!(lab.stop().success());
}

#[test]
fn the_page_shows_what_would_happen_if_a_node_died() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");
    let single = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/lab/single.yaml");
    assert!(lab.run("kubectl", &["apply", "-f", single]).status.success());
    lab::until("both Services are announced", || {
        said(&lab, &["status"]).matches("Announced").count() == 2
    });

    let (dump, _) = PAGE.split_once(" > cluster.json\n").expect("the page says what to dump");
    let (_, dump) = dump.rsplit_once("$ kubectl ").expect("by kubectl");
    let dump: Vec<_> = dump.split_whitespace().filter(|word| *word != "\\").collect();
    let file = directory.path().join("cluster.json");
    fs::write(&file, lab.run("kubectl", &dump).stdout).expect("there is room for a file");
    let said = said(&lab, &["simulate", "-f", &file.to_string_lossy()]);
    assert!(lab.stop().success());

    // Which node a row is about is another one in each lab, and so is how many have nothing.
    let lines = |text: &str| {
        let steady = Regex::new(r"\d+\.\d s").expect("it is one").replace_all(text, "SPAN");
        let steady = steady.replace("<none>", "SPAN");
        let mut lines: Vec<_> = self::steady(&steady).lines().map(str::to_owned).collect();
        lines.retain(|line| !line.ends_with("SPAN SPAN SPAN SPAN SPAN"));
        lines.sort();
        lines
    };
    assert_eq!(lines(&shown("simulate -f cluster.json")), lines(&said), "{said}");
}

/// What the page shows below a command.
fn shown(command: &str) -> String {
    shown_by("porter", command)
}

fn shown_by(program: &str, command: &str) -> String {
    let from = format!("$ {program} {command}\n");
    let (_, shown) = PAGE.split_once(&from).unwrap_or_else(|| panic!("the page lacks {command}"));
    let (shown, _) = shown.split_once("```").expect("a block ends");
    shown.to_owned()
}

/// What is the same in every lab: without spans of time, and who was chosen.
fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (variable, name) in [
        (r"([0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC"),
        (r"node\d", "NODE"),
        (r"\b\d+s\b", "AGE"),
        (r"\d+\.\d+ (s|ms)\b", "SPAN"),
        (r"SPAN to SPAN", "SPAN"),
        (r"[^\S\n]+", " "),
        (r"(NODE (1 endpoint|no endpoint); [^\n]*\n\s*)+", "NODES\n"),
    ] {
        text = Regex::new(variable).expect("it is one").replace_all(&text, name).into_owned();
    }
    text
}

fn said(lab: &Lab, arguments: &[&str]) -> String {
    let ran = lab.run(lab::PORTER, arguments);
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

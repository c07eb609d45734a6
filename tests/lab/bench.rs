//! `porter lab bench failover`, once and of two cases: that it measures, not what.

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab;

#[test]
fn a_leader_that_leaves_is_missed_for_less_time_than_one_that_crashes() {
    let directory = TempDir::new().expect("there is room for a directory");
    let cases = ["--only", "leader-sigterm", "--only", "leader-crash-fresh"];
    let ran = Command::new(lab::PORTER)
        .env("XDG_RUNTIME_DIR", directory.path())
        .args(["lab", "bench", "failover", "--repeats", "1", "--output", "json"])
        .args(cases)
        .stdin(Stdio::null())
        .output()
        .expect("the binary was built with this test");
    assert!(ran.status.success(), "{ran:?}");
    let measured: Value = serde_json::from_slice(&ran.stdout).expect("it is JSON");
    let outage = |case: &str, leader: &str| {
        let cases = measured["cases"].as_array().expect("a list");
        let of = cases.iter().find(|it| it["case"] == case && it["leader"] == leader);
        let of = of.unwrap_or_else(|| panic!("no {case}, {leader}: {measured}"));
        let lost = of["packets_lost"][0].as_u64().expect("a number");
        (of["outages_ms"][0].as_f64().expect("it is over"), lost)
    };

    assert_eq!(measured["cases"].as_array().map(Vec::len), Some(4), "{measured}");
    for leader in ["apart", "on one node"] {
        let (crash, lost) = outage("leader-crash-fresh", leader);
        let (leave, _) = outage("leader-sigterm", leader);
        assert!(lost > 0, "who has to ask is not answered while nobody leads: {measured}");
        assert!(leave < crash, "{measured}");
    }
}

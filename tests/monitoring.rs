//! Alerts and the dashboard: Prometheus takes every expression, alerts fire when they have to, and nothing
//! asks for a metric that there is not.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use regex::Regex;
use serde_json::{Value, json};

const ALERTS: &str = include_str!("../deploy/components/alerts/prometheus-rule.yaml");
const TESTS: &str = include_str!("../deploy/components/alerts/tests.yaml");
const DASHBOARD: &str = include_str!("../deploy/components/dashboard/porter.json");
const METRICS: &str = include_str!("../docs/metrics.md");

/// What a file of Prometheus says: the `spec` of the operator's kind.
fn rules() -> Value {
    let rule: Value = serde_saphyr::from_str(ALERTS).expect("it is YAML");
    rule["spec"].clone()
}

/// The expressions of the dashboard, with its variables set.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels").iter();
    let targets =
        panels.flat_map(|panel| panel["targets"].as_array().expect("it asks for something"));
    let expressions = targets.filter_map(|target| target["expr"].as_str());
    expressions.map(|expression| expression.replace("$job", "porter")).collect()
}

/// Whether promtool is content with what is in a folder. Only CI promises to have it.
fn promtool(folder: &Path, arguments: &[&str]) {
    let ran = match Command::new("promtool").args(arguments).current_dir(folder).output() {
        Ok(ran) => ran,
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "CI has to provide promtool: {error}");
            return;
        }
    };
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn alerts_fire_when_they_have_to_and_are_explained() {
    let folder = tempfile::tempdir().expect("there is room for a directory");
    // JSON is YAML.
    fs::write(folder.path().join("rules.yaml"), rules().to_string()).expect("there is room");
    fs::write(folder.path().join("tests.yaml"), TESTS).expect("there is room");
    promtool(folder.path(), &["check", "rules", "rules.yaml"]);
    promtool(folder.path(), &["test", "rules", "tests.yaml"]);

    let rules = rules();
    let rules = rules["groups"][0]["rules"].as_array().expect("there are some");
    for alert in rules.iter().filter_map(|rule| rule["alert"].as_str()) {
        assert!(METRICS.contains(&format!("| `{alert}` |")), "docs/metrics.md lacks {alert}");
    }
}

#[test]
fn prometheus_takes_what_the_dashboard_asks_for() {
    let record = |(i, expression)| json!({ "record": format!("panel:{i}"), "expr": expression });
    let rules: Vec<_> = panels().into_iter().enumerate().map(record).collect();
    assert!(rules.len() > 10, "{rules:?}");
    let folder = tempfile::tempdir().expect("there is room for a directory");
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    fs::write(folder.path().join("rules.yaml"), file.to_string()).expect("there is room");
    promtool(folder.path(), &["check", "rules", "rules.yaml"]);
}

#[test]
fn nothing_asks_for_a_metric_that_there_is_not() {
    let name = Regex::new(r"porter_[a-z_]+").expect("it is one");
    let known: BTreeSet<_> = name.find_iter(METRICS).map(|found| found.as_str()).collect();
    let rules = rules().to_string();
    let asked = [rules, panels().join("\n")].concat();
    for found in name.find_iter(&asked) {
        // The buckets of a histogram are not listed by themselves.
        let metric = found.as_str().trim_end_matches("_bucket");
        assert!(known.contains(metric), "docs/metrics.md knows no {metric}");
    }
}

//! What a shell and `man` are told of the commands.

use std::{env, fs, process::Command};

use serde_json::Value;

const PORTER: &str = env!("CARGO_BIN_EXE_porter");

#[test]
fn bash_takes_what_it_is_to_complete_with() {
    let printed = Command::new(PORTER).args(["completion", "bash"]).output().expect("porter runs");
    let script = String::from_utf8(printed.stdout).expect("a script is text");
    // As typing `porter sta` and a tab does.
    let ask =
        "COMP_WORDS=(porter sta) COMP_CWORD=1; _porter porter sta porter; echo ${COMPREPLY[@]}";
    let ran = Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output();
    let ran = ran.expect("there is a bash");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(said.trim(), "status", "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn there_is_a_page_for_each_command() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let ran = Command::new(PORTER).arg("man").arg(directory.path()).output().expect("porter runs");
    assert!(ran.status.success(), "{ran:?}");
    for command in ["agent", "check", "crd", "explain", "log-level", "status", "trace"] {
        let page = directory.path().join(format!("porter-{command}.1"));
        let page = fs::read_to_string(page).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.contains(".SH SYNOPSIS") && page.contains("\\fB"), "{command}: {page}");
    }
    assert!(directory.path().join("porter.1").is_file());

    let nowhere = Command::new(PORTER).args(["man", "/nowhere"]).output().expect("porter runs");
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && said.contains("/nowhere"), "{said}");
}

/// The README has people type `cargo run`, and there are other binaries in the workspace.
#[test]
fn what_a_bare_cargo_run_runs_is_porter() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .expect("cargo runs this test");
    let told: Value = serde_json::from_slice(&told.stdout).expect("it is JSON");
    let members = told["workspace_default_members"].as_array().expect("it is a list");
    let packages = told["packages"].as_array().expect("it is a list").iter();
    let packages = packages.filter(|package| members.contains(&package["id"]));
    let named: Vec<_> = packages.filter_map(|package| package["default_run"].as_str()).collect();
    assert_eq!(named, ["porter"]);
}

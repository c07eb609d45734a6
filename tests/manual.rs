//! What a shell and `man` are told of the commands.

use std::{fs, process::Command};

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

//! `porter sim --runs` and `--replay` as they are typed.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

fn sim(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_porter"))
        .arg("sim")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("porter was built for this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("porter reads its input");
    drop(stdin);
    child.wait_with_output().expect("porter ends")
}

fn told(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("porter writes UTF-8")
}

#[test]
fn runs_are_told_in_a_summary_that_is_the_same_but_for_the_speed() {
    let [one, two] = ["1", "2"].map(|jobs| {
        let output = sim(&["--runs", "4", "--seed", "30", "--jobs", jobs], "");
        assert!(output.status.success());
        let told = told(&output).to_owned();
        told.rsplit_once(" s, ")
            .expect("the speed comes last")
            .0
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
            .to_owned()
    });
    assert!(one.starts_with("4 runs, seeds 30 to 33\n"), "{one}");
    assert!(one.contains("\nno promise was broken\n"), "{one}");
    assert_eq!(one, two);
}

#[test]
fn a_seed_is_run_again_and_says_how_to_run_its_plan() {
    let output = sim(&["--replay", "30"], "");
    assert!(output.status.success());
    let told = told(&output);
    let (_, plan) = told.split_once("--replay - <<'END'\n").expect("the plan can be typed");
    let plan = plan.strip_suffix("END\n").expect("that is all");
    let again = sim(&["--replay", "-"], plan);
    assert_eq!(again.stdout, output.stdout);
}

#[test]
fn a_broken_promise_ends_with_1_and_is_told_with_its_transcript() {
    let output = sim(&["--replay", "-"], &super::broken().to_string());
    assert_eq!(output.status.code(), Some(1));
    let told = told(&output);
    assert!(told.contains("is cut off from the API"), "{told}");
    assert!(told.contains("\ntwo voices: "), "{told}");
}

#[test]
fn a_run_is_drawn_with_the_promise_that_it_breaks() {
    let dir = tempfile::tempdir().expect("there is room for a file");
    let file = dir.path().join("run.html");
    let file = file.to_str().expect("it was just named");
    let output = sim(&["--replay", "-", "--report", file], &super::broken().to_string());
    assert_eq!(output.status.code(), Some(1));
    let page = std::fs::read_to_string(file).expect("it was written");
    for told in ["Something happened that must never be.", "two voices: ", "porter sim --replay -"]
    {
        assert!(page.contains(told), "{told}");
    }
}

#[test]
fn what_is_no_plan_is_refused_with_its_line() {
    let output = sim(&["--replay", "-"], "{}\n");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("porter: reading - failed: line 1 of the plan: "), "{error}");
}

//! Runs kubectl, where it is found, in a home of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::server::{PATIENCE, Server};

/// One version of kubectl, pointed at a server.
pub(crate) struct Kubectl {
    program: PathBuf,
    home: TempDir,
    url: String,
}

/// What kubectl printed.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) succeeded: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The kubectl on the path, or `None`, said on stderr, if there is none. With `CI=true` it must be there.
pub(crate) fn kubectl(server: &Server, test: &str) -> Option<Kubectl> {
    let found = on_path("kubectl");
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "CI needs kubectl on the path"
        );
        writeln!(std::io::stderr(), "{test} is left out: there is no kubectl on the path")
            .expect("stderr");
    }
    found.map(|program| Kubectl::new(program, server))
}

/// Every kubectl from 1.29 that stands beside the one on the path, as `kubectl.1.29`.
pub(crate) fn other_versions(server: &Server) -> Vec<Kubectl> {
    let Some(folder) =
        on_path("kubectl").and_then(|found| found.canonicalize().ok()?.parent().map(PathBuf::from))
    else {
        return Vec::new();
    };
    let beside = (29..=39).map(|minor| folder.join(format!("kubectl.1.{minor}")));
    beside
        .filter(|program| program.is_file())
        .map(|program| Kubectl::new(program, server))
        .collect()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|program| program.is_file())
}

impl Kubectl {
    fn new(program: PathBuf, server: &Server) -> Self {
        Self {
            program,
            home: tempfile::tempdir().expect("a folder for kubectl"),
            url: server.url.clone(),
        }
    }

    /// The program's file name, which carries its version if it is one of several.
    pub(crate) fn name(&self) -> String {
        self.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Runs kubectl with the words of `line`, which a shell would split at the same places, and with `input` to read.
    pub(crate) async fn run_with(&self, line: &str, input: &str) -> Printed {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).await.expect("kubectl reads");
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.expect("kubectl ends within a minute").expect("kubectl's output");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("kubectl prints text");
        Printed {
            succeeded: output.status.success(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs kubectl, which has to succeed, and returns what it printed.
    pub(crate) async fn says(&self, line: &str) -> String {
        self.reads(line, "").await
    }

    /// Runs kubectl on `input`, which has to succeed, and returns what it printed.
    pub(crate) async fn reads(&self, line: &str, input: &str) -> String {
        let printed = self.run_with(line, input).await;
        assert!(printed.succeeded, "{} {line}: {printed:?}", self.name());
        printed.out
    }

    /// Runs kubectl, which has to fail, and returns why it says it did.
    pub(crate) async fn fails(&self, line: &str, input: &str) -> String {
        let printed = self.run_with(line, input).await;
        assert!(!printed.succeeded, "{} {line}: {printed:?}", self.name());
        printed.err
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--server", &self.url, "--request-timeout=30s", "--cache-dir"])
            .arg(self.home.path().join("cache"))
            .args(line.split(' '))
            .env("HOME", self.home.path())
            .env("KUBECONFIG", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// A table as kubectl prints it, by cells.
pub(crate) fn cells(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

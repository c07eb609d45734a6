//! A copy of the repository in which one thing at a time is broken.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::mutant::Mutant;

const LOOKED_AFTER_EVERY: Duration = Duration::from_millis(100);

/// The copy.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: PathBuf,
    copy: TempDir,
    patience: Duration,
}

/// What became of a mutant.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Every test that had to notice it did.
    Found,
    /// One of them hung.
    Hung,
    /// These tests passed nevertheless.
    Survived(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Found => "found",
            Self::Hung => "found: the tests hang",
            Self::Survived(_) => "SURVIVED",
        })
    }
}

impl Scratch {
    /// Copies what git knows of the repository at `root`, as it is now.
    pub(crate) fn new(root: &Path, patience: Duration) -> Result<Self, String> {
        let copy = TempDir::new().map_err(|error| format!("making a folder: {error}"))?;
        // Whoever owns the repository: nothing of it is executed by git.
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git ls-files: {error}"))?;
        if !listed.status.success() {
            let said = String::from_utf8_lossy(&listed.stderr);
            return Err(format!("git ls-files: {}", said.trim()));
        }
        let scratch = Self { root: root.to_owned(), copy, patience };
        for file in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            scratch.restore(file)?;
        }
        Ok(scratch)
    }

    /// Demands that tests pass while nothing is broken: what fails anyway finds nothing.
    pub(crate) fn demand_green(&self, tests: &str) -> Result<(), String> {
        match self.test(tests, &["--no-run"])? == Some(true) && self.test(tests, &[])? == Some(true)
        {
            true => Ok(()),
            false => Err(format!("`cargo test {tests}` fails although nothing is broken yet")),
        }
    }

    /// Makes a mutant and takes it back, untried.
    #[cfg(test)]
    pub(crate) fn make_and_mend(&self, mutant: &Mutant) -> Result<(), String> {
        let files = self.apply(mutant)?;
        files.iter().try_for_each(|file| self.restore(file))
    }

    /// Lets these tests look at a mutant, and takes it back.
    pub(crate) fn judge(&self, mutant: &Mutant, judges: &[String]) -> Result<Verdict, String> {
        let files = self.apply(mutant)?;
        let verdict = self.tried(mutant, judges);
        for file in files {
            self.restore(&file)?;
        }
        verdict
    }

    fn tried(&self, mutant: &Mutant, judges: &[String]) -> Result<Verdict, String> {
        let mut verdict = Verdict::Found;
        for tests in judges {
            // What does not build is no mutant, and what does not fail for that is no finding.
            if !matches!(self.test(tests, &["--no-run"])?, Some(true)) {
                let name = &mutant.name;
                return Err(format!(
                    "{name} does not build: apply it and run `cargo test {tests}`"
                ));
            }
            match self.test(tests, &[])? {
                Some(true) => return Ok(Verdict::Survived(tests.clone())),
                Some(false) => {}
                None => verdict = Verdict::Hung,
            }
        }
        Ok(verdict)
    }

    /// Whether tests pass; `None` if they come to no end.
    fn test(&self, tests: &str, more: &[&str]) -> Result<Option<bool>, String> {
        let (tests, filter) = tests.split_once(" -- ").unwrap_or((tests, ""));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--quiet", "--locked"]).args(tests.split_whitespace()).args(more);
        cargo.arg("--").args(filter.split_whitespace());
        // What it says is what was to be expected: warnings, and tests that fail.
        cargo.current_dir(self.copy.path()).stdout(Stdio::null()).stderr(Stdio::null());
        // Everything that is not of this repository is built already.
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        cargo.env("CARGO_TARGET_DIR", target.unwrap_or_else(|| self.root.join("target")));
        // The same few crates again and again, with one line changed.
        cargo.env("CARGO_INCREMENTAL", "1");
        // The same cases of every law on every run, as in CI: what is found is found again.
        if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
            cargo.env("PROPTEST_RNG_SEED", "20201105");
        }
        // A group of its own, so that the tests go with it.
        let cargo =
            cargo.process_group(0).spawn().map_err(|error| format!("cargo test: {error}"))?;
        let patience = if more.is_empty() { self.patience } else { Duration::MAX };
        ended(cargo, patience).map_err(|error| format!("waiting for cargo test: {error}"))
    }

    /// Applies a patch. Returns the files that it touched.
    fn apply(&self, mutant: &Mutant) -> Result<Vec<String>, String> {
        let told = |error| format!("git apply: {error}");
        let mut git = Command::new("git")
            .args(["apply", "--whitespace=nowarn", "-"])
            .current_dir(self.copy.path())
            // The folder for scratch may lie in some repository.
            .env(
                "GIT_CEILING_DIRECTORIES",
                self.copy.path().parent().unwrap_or_else(|| Path::new("/")),
            )
            .stdin(Stdio::piped())
            .spawn()
            .map_err(told)?;
        git.stdin.take().expect("it is piped").write_all(mutant.patch.as_bytes()).map_err(told)?;
        if !git.wait().map_err(told)?.success() {
            return Err(format!("{} does not apply any more: make it anew", mutant.name));
        }
        let touched = mutant.patch.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        Ok(touched.map(str::to_owned).collect())
    }

    /// Makes a file what it is in the repository.
    fn restore(&self, file: &str) -> Result<(), String> {
        let told = |error| format!("copying {file}: {error}");
        let to = self.copy.path().join(file);
        fs::create_dir_all(to.parent().expect("it lies in the copy")).map_err(told)?;
        let mut content = fs::read(self.root.join(file)).map_err(told)?;
        if ["Cargo.toml", "Cargo.lock"].contains(&file) {
            content = set_apart(&String::from_utf8_lossy(&content)).into();
        }
        // Written anew rather than copied, for cargo looks at the time of it.
        fs::write(&to, content).map_err(told)
    }
}

/// A manifest or lock file in which the packages of the repository have a version of their own.
///
/// For cargo two copies of one package are the same wherever they lie, so that in one build directory
/// what is built of a mutant would be taken for what is built of the repository.
fn set_apart(content: &str) -> String {
    let mut ours = true; // A version that stands without a name is that of the whole repository.
    let lines = content.lines().map(|line| {
        if let Some(name) = line.strip_prefix("name = \"") {
            ours = name.starts_with("porter");
        }
        match line.strip_prefix("version = \"").and_then(|version| version.strip_suffix('"')) {
            Some(version) if ours && version.contains('.') => {
                format!("version = \"{version}-mutant\"\n")
            }
            Some(_) | None => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Waits for a process to end, and ends its group when it takes too long. Says whether it succeeded.
fn ended(mut child: Child, patience: Duration) -> io::Result<Option<bool>> {
    let began_at = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if began_at.elapsed() > patience {
            kill_process_group(Pid::from_child(&child), Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOKED_AFTER_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_of_the_repository_are_set_apart() {
        let manifest = "[workspace.package]\nversion = \"0.1.0\"\n";
        assert_eq!(set_apart(manifest), "[workspace.package]\nversion = \"0.1.0-mutant\"\n");
        let lock = "version = 4\n\nname = \"pnet\"\nversion = \"0.35.0\"\n";
        assert_eq!(set_apart(lock), lock);
        let ours = "name = \"porter-core\"\nversion = \"0.1.0\"\n";
        assert_eq!(set_apart(ours), ours.replace("0.1.0", "0.1.0-mutant"));
    }
}

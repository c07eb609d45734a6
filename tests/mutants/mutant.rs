//! A mutant: a patch with a few words about it.
//!
//! ```text
//! Bug: A claim counts from its verdict, not from its sending.
//! Found-by: --test election
//! Found-by: --test one_voice
//! CI: yes
//!
//! --- a/core/src/election.rs
//! +++ b/core/src/election.rs
//! ...
//! ```
//!
//! `Found-by` is what `cargo test` is called with; there may be several, and each has to fail, the
//! cheapest first. A test that is named without its package is built with the features of the whole
//! repository, with which most is built already. `CI` is left away unless every change is to be tried
//! with it, by the first test alone.

use std::{fs, path::Path};

/// A known bug, and who has to notice it.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// The name of its file, without the ending.
    pub(crate) name: String,
    /// What goes wrong, in a sentence.
    pub(crate) bug: String,
    /// The arguments of each `cargo test` that has to fail.
    found_by: Vec<String>,
    /// Whether CI tries it on every change.
    pub(crate) in_ci: bool,
    /// The whole file, as `git apply` takes it.
    pub(crate) patch: String,
}

impl Mutant {
    /// All mutants of a folder, by name.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>, String> {
        let told = |error| format!("reading {}: {error}", folder.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(told)? {
            paths.push(entry.map_err(told)?.path());
        }
        paths.sort();
        let patches = paths.iter().filter(|path| path.extension().is_some_and(|is| is == "patch"));
        patches
            .map(|path| {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let patch = fs::read_to_string(path).map_err(told)?;
                Self::parse(&name, patch).map_err(|what| format!("{}: {what}", path.display()))
            })
            .collect()
    }

    /// Who has to notice it: everybody, or in CI the first alone.
    pub(crate) fn judges(&self, ci: bool) -> &[String] {
        if ci { &self.found_by[..1] } else { &self.found_by }
    }

    fn parse(name: &str, patch: String) -> Result<Self, String> {
        let about: Vec<_> = patch.lines().take_while(|line| !line.starts_with("--- ")).collect();
        let said = |key: &str| -> Vec<String> {
            let values = about.iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            values.map(|value| value.trim().to_owned()).collect()
        };
        let bug = said("Bug").pop().ok_or("a line `Bug: ...` is missing")?;
        let found_by = said("Found-by");
        if found_by.is_empty() {
            return Err("a line `Found-by: --test NAME ...` is missing".into());
        }
        let in_ci = said("CI").iter().any(|value| value == "yes");
        Ok(Self { name: name.to_owned(), bug, found_by, in_ci, patch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_says_what_it_breaks_and_who_notices() {
        let patch = "Bug: It lies.\nFound-by: -p a\nFound-by: -p b --test c\nCI: yes\n\n--- a/x\n+++ b/x\nBug: no\n";
        let mutant = Mutant::parse("liar", patch.to_owned()).expect("it is well-formed");
        assert_eq!((mutant.bug.as_str(), mutant.in_ci), ("It lies.", true));
        assert_eq!(mutant.judges(false), ["-p a", "-p b --test c"]);
        assert_eq!(mutant.judges(true), ["-p a"]);
    }

    #[test]
    fn a_mutant_that_nobody_has_to_notice_is_refused() {
        assert!(Mutant::parse("liar", "Bug: It lies.\n--- a/x\n".to_owned()).is_err());
        assert!(Mutant::parse("liar", "Found-by: -p a\n--- a/x\n".to_owned()).is_err());
    }
}

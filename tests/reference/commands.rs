//! The page of all commands.

use std::fmt::Write as _;

/// Every command with what `--help` prints of it.
pub(crate) fn page() -> String {
    let mut page = format!(
        "# Commands\n\n\
         Every command of the binary with what `--help` prints of it: usage, flags, defaults and the \
         environment.\n\
         This page is made by the binary; `{}` renews it.\n\
         What some of them are for, with what they print, is in [operations.md](../operations.md).\n",
        super::RENEW
    );
    describe(&mut page, &[]);
    page
}

/// A command, then those that it has, in the order in which it lists them.
fn describe(page: &mut String, path: &[&str]) {
    let help = super::porter(&[path, &["--help"]].concat());
    let name = [&["porter"], path].concat().join(" ");
    let level = "#".repeat(2 + path.len().saturating_sub(1));
    // Not every line of a terminal ends where its text does.
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n{level} {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for command in commands(&help) {
        describe(page, &[path, &[command]].concat());
    }
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<&str> {
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let listed = listed.lines().take_while(|line| !line.is_empty());
    // What continues a description is indented further.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

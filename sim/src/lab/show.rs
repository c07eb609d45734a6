//! What the person at the terminal reads.

use std::{fmt, io::Write as _};

/// Prints a line. A terminal that is gone is no reason to stop.
pub(crate) fn line(text: impl fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints what a command showed on a station, as the guide does.
pub(crate) fn command(station: &str, command: &str, output: impl fmt::Display) -> String {
    format!("root@{station}:~# {command}\n{output}").trim_end().into()
}

/// Text moved to the right.
pub(crate) fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("     {line}")).collect();
    lines.join("\n")
}

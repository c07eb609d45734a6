//! The reference in `docs/reference/` is what the binary says of itself: its commands and their flags, and
//! the definition of the kind Eip. Nobody writes it, so it cannot be out of date.

mod commands;
mod eip;

use std::{env, fs, path::Path, process::Command};

/// What renews the pages.
const RENEW: &str = "PORTER_RENEW=1 cargo test -p porter --test reference";

#[test]
fn the_page_of_the_commands_is_what_they_say_of_themselves() {
    is("commands.md", &commands::page());
}

#[test]
fn the_page_of_the_kind_eip_is_its_definition() {
    is("eip.md", &eip::page());
}

/// Compares a page with what it should be, or makes it that.
fn is(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    if env::var_os("PORTER_RENEW").is_some() {
        fs::write(&path, page).expect("the folder is in the repository");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(page.lines()).find(|(kept, now)| kept != now);
    assert!(
        kept == page,
        "docs/reference/{name} is out of date; renew it with `{RENEW}`. What differs first: {differs:?}"
    );
}

/// What the binary prints.
fn porter(arguments: &[&str]) -> String {
    // Flags have other defaults where the environment sets them.
    let ran = Command::new(env!("CARGO_BIN_EXE_porter")).args(arguments).env_clear().output();
    let ran = ran.expect("the binary was built with this test");
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    String::from_utf8(ran.stdout).expect("it is text")
}

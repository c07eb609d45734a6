//! `porter completion` and `porter man`: what a shell and `man` want to know of the other subcommands.

use std::{
    error::Error,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Command};
use clap_complete::Shell;

/// Print what a shell needs to complete what is typed.
///
/// `source <(porter completion bash)` has this shell complete the commands and flags of porter.
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

/// Write the manual pages: porter(1), and one for each command.
///
/// `porter man /usr/local/share/man/man1` installs them; `man porter-status` shows one.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// An existing directory.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Completion {
    pub(crate) fn run(self, mut command: Command) -> Result<(), Box<dyn Error>> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "porter", &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}

impl Man {
    pub(crate) fn run(self, command: Command) -> Result<(), Box<dyn Error>> {
        clap_mangen::generate_to(command, &self.directory)
            .map_err(|error| format!("writing to {}: {error}", self.directory.display()))?;
        Ok(())
    }
}

//! What stands for the subcommands that need Linux where there is another system.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;

/// Not on this system: it needs Linux.
#[derive(Args, Debug)]
pub(crate) struct Elsewhere {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<OsString>,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
#[error(
    "packet sockets and network namespaces are Linux'; run this on a Linux machine, in a virtual \
     one or in a container, or see `porter sim`, which tells the same story anywhere"
)]
pub(crate) struct NeedsLinux;

impl Elsewhere {
    pub(crate) fn run(self) -> Result<ExitCode, NeedsLinux> {
        Err(NeedsLinux)
    }
}

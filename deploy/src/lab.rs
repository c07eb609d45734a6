//! `porter lab`: the user guide, for real, on this machine.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use porter_sim::lab::{self, Error, Options};
use tracing::Level;

/// Follow the user guide on this machine, with network namespaces for nodes.
///
/// Brings up three nodes and a client on one LAN, with `porter agent` on every node and an API
/// server for kubectl, shows that the guide's statements hold, and stays until Ctrl-C. Needs Linux,
/// and root or user namespaces.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Lab {
    #[command(subcommand)]
    command: Option<Command>,
    /// Check all statements, faults included, and end: with success if they hold.
    #[arg(long)]
    once: bool,
    /// The port of 127.0.0.1 on which the API server listens; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the ARP frames of the LAN to this file, for Wireshark (pcapng).
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command on a station of the running lab.
    Exec {
        /// node1, node3, node4, client, or lan: the bridge between them.
        station: String,
        /// The command with its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

impl Lab {
    /// Must be called before the process has a second thread.
    pub(crate) fn run(self) -> Result<ExitCode, Error> {
        // What goes well is told by the lab itself; the agents have logs of their own.
        tracing_subscriber::fmt()
            .with_max_level(Level::WARN)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .init();
        match self.command {
            Some(Command::Exec { station, command }) => lab::exec(&station, &command),
            None => {
                let Self { once, port, capture, .. } = self;
                lab::run(&Options { once, port, capture })
            }
        }
    }
}

//! What the process says about itself, on standard error.

use std::{
    error::Error,
    io::{self, IsTerminal},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How much is said, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log, on standard error")]
pub(crate) struct Log {
    /// How much to log: error, warn, info, debug or trace, also per module
    /// (info,porter_backends::kube=debug).
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "PORTER_LOG_LEVEL")]
    log_level: String,
    /// How to write a line of the log.
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "PORTER_LOG_FORMAT")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Log {
    /// Logs from here on.
    pub(crate) fn start(&self) -> Result<(), Box<dyn Error>> {
        // The client below logs every attempt that fails; what comes of them is logged by us.
        let quiet = if self.log_level.contains("kube_client") { "" } else { ",kube_client=off" };
        let filter = EnvFilter::builder().parse(format!("{}{quiet}", self.log_level));
        let filter = filter.map_err(|error| format!("--log-level {}: {error}", self.log_level))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        match self.log_format {
            Format::Text => log.with_ansi(io::stderr().is_terminal()).init(),
            Format::Json => log.json().init(),
        }
        Ok(())
    }
}

//! What the process says about itself, on standard error.

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
};

use clap::{Args, ValueEnum};
use porter_backends::http::LogLevel;
use tracing::{info, level_filters::LevelFilter};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt::layer, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

/// How much is said, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log, on standard error")]
pub(crate) struct Log {
    /// How much to log: error, warn, info, debug or trace, also per module
    /// (info,porter_backends::kube=debug). It can be changed while the agent runs: see `porter log-level`.
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
    /// Logs from here on, as much as is said with what this returns, until that is dropped.
    pub(crate) fn start(&self) -> Result<Arc<dyn LogLevel>, String> {
        let filter = filter(&self.log_level);
        let filter = filter.map_err(|error| format!("--log-level {}: {error}", self.log_level))?;
        let (filter, handle) = reload::Layer::new(filter);
        // Whoever reads the log too slowly loses lines, and does not hold up who decides.
        let (stderr, worker) = tracing_appender::non_blocking(io::stderr());
        let lines = layer().with_writer(stderr);
        let lines = match self.log_format {
            Format::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
            Format::Json => lines.json().boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Arc::new(Level {
            handle,
            directives: Mutex::new(self.log_level.clone()),
            _worker: worker,
        }))
    }
}

/// How much is logged now.
struct Level {
    handle: reload::Handle<EnvFilter, Registry>,
    directives: Mutex<String>,
    /// Writes what is left when this is dropped.
    _worker: WorkerGuard,
}

impl LogLevel for Level {
    fn get(&self) -> String {
        self.directives.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, directives: &str) -> Result<(), String> {
        let filter = filter(directives)?;
        let mut in_force = self.directives.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(filter).map_err(|error| error.to_string())?;
        directives.clone_into(&mut in_force);
        info!(log_level = directives, "the log level was changed");
        Ok(())
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Level").field(&self.get()).finish()
    }
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    if directives.trim().is_empty() {
        return Err("no level; error, warn, info, debug and trace are".to_owned());
    }
    // A word alone would be taken for a module, all of which is logged, and nothing else.
    let mut words = directives.split(',').map(str::trim);
    let word =
        words.find(|word| !word.contains(['=', '[']) && word.parse::<LevelFilter>().is_err());
    if let Some(word) = word {
        return Err(format!(
            "there is no level {word:?}; there are off, error, warn, info, debug and trace, and for a module \
             {word}=debug"
        ));
    }
    // The client below logs every attempt that fails; what comes of them is logged by us.
    let quiet = if directives.contains("kube_client") { "" } else { ",kube_client=off" };
    EnvFilter::builder().parse(format!("{directives}{quiet}")).map_err(|error| error.to_string())
}

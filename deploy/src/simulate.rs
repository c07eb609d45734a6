//! `porter simulate`: a real cluster, as kubectl prints it, in the simulator.

use std::{
    error::Error,
    fs,
    io::{self, IsTerminal as _, Read as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use porter_core::NodeName;
use porter_sim::{
    Dump, DumpError,
    forecast::{Forecast, Outlook},
};

use crate::look::{json, print, yaml};

/// How long nobody wants to see how far it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Show what would happen in a real cluster if a node, or the leader, died, from a dump of it
///
/// It works without the cluster and needs no privileges. Make a dump, and give it:
///
///   kubectl get nodes,services,endpointslices,namespaces,eips.network.kubesphere.io,leases \
///       -A -o json > cluster.json
///   porter simulate -f cluster.json
///
/// It shows where each address is once all is calm, and what would change by itself; which
/// addresses move where if a node dies, and after how long; for how long who asks is not answered
/// if the leader dies; and which addresses depend on a single node. The same dump and options
/// always print the same.
///
/// The nodes are taken to be on one LAN that carries everything. A dump has no MACs, so they are
/// made up. Pods stay where they are, and nobody makes new ones elsewhere.
///
/// Ends with 1 if the dump cannot be read. Unlike this, `porter sim` tells the guide's story in a
/// cluster that it makes up, and takes manifests.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Simulate {
    /// What kubectl printed of the cluster, as JSON or YAML; `-` is the input. May be given more than
    /// once. With the agents' Pods in it, replicas run where they do.
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only show what happens if this node dies.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// How many replicas run, each on a node of its own: that of the Lease's holder first, then those
    /// with Pods of agents, then others by their names. More make it slower.
    #[arg(long, value_name = "N", default_value = "3")]
    replicas: NonZeroUsize,
    /// The name of the Lease that replicas compete for.
    #[arg(long, value_name = "NAME", default_value = "porter-speaker")]
    lease_name: String,
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// How what is found is shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For programs, as JSON.
    Json,
    /// For people.
    Text,
    /// For programs, as YAML.
    Yaml,
}

impl Simulate {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let mut dump = Dump::default();
        for file in &self.files {
            let failed = |error: &dyn Error| format!("reading {} failed: {error}", file.display());
            let text = read(file).map_err(|error| {
                let absent = error.kind() == io::ErrorKind::NotFound;
                if absent { failed(&DumpError::Absent) } else { failed(&error) }
            })?;
            dump.take_in(&text, &self.lease_name).map_err(|error| failed(&error))?;
        }
        let outlook = Outlook {
            replicas: self.replicas,
            node: self.node.as_deref().map(NodeName::from),
            seed: self.seed,
            jobs: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let progress = Progress::new();
        let forecast = Forecast::of(&dump, &outlook, |done, of| progress.show(done, of));
        progress.end();
        let forecast = forecast.map_err(|error| {
            let files = self.files.iter().map(|file| file.display().to_string());
            format!("{}: {error}", files.collect::<Vec<_>>().join(", "))
        })?;
        print(&match self.output {
            Format::Text => forecast.text(),
            Format::Json => json(&forecast)?,
            Format::Yaml => yaml(&forecast)?,
        })
    }
}

fn read(file: &Path) -> io::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        return io::stdin().read_to_string(&mut text).map(|_| text);
    }
    fs::read_to_string(file)
}

/// How far it is, for whoever waits: a bar on a terminal, a line for each tenth elsewhere, and nothing if
/// it is soon over.
struct Progress {
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = "{wide_bar} {pos}/{len} nodes, {eta} left";
            let style = ProgressStyle::with_template(style).expect("it names what there is");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style)
        });
        Self { began: Instant::now(), bar }
    }

    #[expect(
        clippy::print_stderr,
        reason = "what is found goes to the output, how far it is does not"
    )]
    fn show(&self, done: usize, of: usize) {
        if self.began.elapsed() < PATIENCE {
            return;
        }
        match &self.bar {
            Some(bar) => {
                if bar.is_hidden() {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            }
            None if done * 10 / of > (done - 1) * 10 / of => eprintln!("{done} of {of} nodes"),
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

//! `porter sim`: manifests in a simulated cluster, and what one would see there.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use porter_sim::{
    Manifest, Options,
    report::{self, Run},
};

use crate::explore::Explore;

/// The host number of the client outside the cluster.
const CLIENT: u8 = 100;

/// Tell the user guide's story in a simulated cluster, without touching this machine.
///
/// Applies the manifests to a cluster in memory and shows what kubectl and a host outside the
/// cluster would see: addresses, pings, neighbour caches, who leads and who answers, and what happens
/// when a node or the leading replica goes. The same manifests, options and seed always print the
/// same.
///
/// With --runs it looks for faults that break a promise instead: each run is a cluster of its own
/// with faults of its own, made from its seed alone.
///
/// Unlike this, `porter simulate` takes a dump of a real cluster, and shows what would happen there.
#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// Manifests as for `kubectl apply`: YAML with Eips, Services and Deployments.
    #[arg(required_unless_present_any = ["runs", "replay"], value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The nodes of the cluster, all in one /24.
    #[arg(
        long,
        value_name = "NAME=IP",
        value_delimiter = ',',
        value_parser = node,
        default_value = "node1=172.22.0.3,node3=172.22.0.9,node4=172.22.0.10"
    )]
    nodes: Vec<(String, Ipv4Addr)>,
    /// How many replicas of Porter run, each on a node of its own.
    #[arg(long, value_name = "N", default_value_t = 3)]
    replicas: usize,
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print everything that happened at the end.
    #[arg(long)]
    transcript: bool,
    /// Write the run to a file as a page to look at in a browser.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Exploring")]
    explore: Explore,
}

impl Sim {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        if let Some(code) = self.explore.run(self.seed, self.transcript, self.report.as_deref())? {
            return Ok(code);
        }
        self.check_nodes()?;
        let mut manifests = Vec::new();
        for file in &self.files {
            manifests.extend(read(file)?);
        }
        let command = self.command();
        let Self { nodes, replicas: n_replicas, seed, transcript, report, .. } = self;
        let options = Options { nodes, n_replicas, ..Options::guide() };
        let story = porter_sim::tell(options, &manifests, seed, transcript);
        io::stdout().write_all(story.text.as_bytes())?;
        if let Some(file) = report {
            let page =
                report::page(&Run { trace: &story.trace, command: &command, violation: None });
            fs::write(&file, page)
                .map_err(|error| format!("writing {} failed: {error}", file.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What to type to see the same again.
    fn command(&self) -> String {
        let files = self.files.iter().map(|file| file.display().to_string());
        let nodes = self.nodes.iter().map(|(name, address)| format!("{name}={address}"));
        let (files, nodes) =
            (files.collect::<Vec<_>>().join(" "), nodes.collect::<Vec<_>>().join(","));
        let Self { seed, replicas, .. } = self;
        format!("porter sim {files} --nodes {nodes} --replicas {replicas} --seed {seed}")
    }

    fn check_nodes(&self) -> Result<(), String> {
        let n_nodes = self.nodes.len();
        if !(1..=n_nodes).contains(&self.replicas) {
            return Err(format!(
                "--replicas {}: there are {n_nodes} nodes; give --replicas {n_nodes} or fewer",
                self.replicas
            ));
        }
        let net = |address: Ipv4Addr| -> [u8; 3] {
            let [a, b, c, _] = address.octets();
            [a, b, c]
        };
        for (i, (name, address)) in self.nodes.iter().enumerate() {
            if net(*address) != net(self.nodes[0].1) {
                return Err(format!("--nodes {name}={address}: not in the /24 of the first node"));
            }
            if address.octets()[3] == CLIENT {
                return Err(format!("--nodes {name}={address}: the host outside has this address"));
            }
            let before = &self.nodes[..i];
            if before.iter().any(|(known, at)| known == name || at == address) {
                return Err(format!("--nodes {name}={address}: name or address appears twice"));
            }
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<Manifest>, String> {
    let shown = file.display();
    let yaml =
        fs::read_to_string(file).map_err(|error| format!("reading {shown} failed: {error}"))?;
    Manifest::read(&yaml).map_err(|error| format!("reading {shown} failed: {error}"))
}

fn node(text: &str) -> Result<(String, Ipv4Addr), String> {
    let (name, address) = text.split_once('=').ok_or("not of the form NAME=IP")?;
    let address = address.parse().map_err(|_| format!("{address} is no IPv4 address"))?;
    match name.is_empty() {
        true => Err("a node needs a name".to_owned()),
        false => Ok((name.to_owned(), address)),
    }
}

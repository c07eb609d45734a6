//! `porter status` and `porter explain`: how things are, by what is on record.

use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, Write as _},
    net::IpAddr,
};

use clap::{Args, ValueEnum};
use porter_backends::{
    kube::Look,
    view::{Explained, Leader, Status, now},
};
use porter_core::{Namespaced, Observer, ServiceName};
use serde::Serialize;
use tokio::runtime;

use crate::target::Target;

/// How what is found is shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For programs, as JSON.
    Json,
    /// For people.
    #[default]
    Text,
    /// For people, with what is said of each that is not announced.
    Wide,
    /// For programs, as YAML.
    Yaml,
}

/// Show who leads, how full each Eip is, and where each address is.
///
/// It is read from the API server, where the leader puts on record what it decides. Ends with 1 if that
/// cannot be read.
#[derive(Args, Debug)]
pub(crate) struct StatusOf {
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    target: Target,
}

/// Explain why a Service has the address that it has, or none: what it asks for, what it holds, every
/// node with what speaks for and against it, who answers, and what a host on the LAN gets to hear.
///
/// It is read from the API server, where the leader puts on record what it decides. Ends with 1 if that
/// cannot be read, or if there is no such Service or address.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// An address, or a Service: NAMESPACE/NAME, or NAME alone for one in the namespace default.
    #[arg(value_name = "IP|SERVICE")]
    what: String,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    target: Target,
}

impl StatusOf {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let status = soon(async {
            let (look, leader) = look(&self.target).await?;
            Ok(Status::of(&look.observer, leader, now()))
        })?;
        print(&match self.output {
            Format::Text => status.text(false),
            Format::Wide => status.text(true),
            Format::Json => json(&status)?,
            Format::Yaml => yaml(&status)?,
        })
    }
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let explained = soon(self.explain())?;
        print(&match self.output {
            Format::Text | Format::Wide => {
                let texts: Vec<_> = explained.iter().map(Explained::text).collect();
                texts.join("\n")
            }
            Format::Json => json(&explained)?,
            Format::Yaml => yaml(&explained)?,
        })
    }

    async fn explain(&self) -> Result<Vec<Explained>, Box<dyn Error>> {
        let (look, leader) = look(&self.target).await?;
        let names = match self.what.parse() {
            Ok(address) => holders(&look.observer, address)?,
            // No Service has a name of numbers and dots, nor one with a colon.
            Err(_) if self.what.contains(':') || !self.what.contains(char::is_alphabetic) => {
                return Err(format!(
                    "{} is no address; give one such as 172.22.0.188, or a Service as NAMESPACE/NAME",
                    self.what
                )
                .into());
            }
            Err(_) => vec![match self.what.split_once('/') {
                Some((namespace, name)) => ServiceName::new(namespace, name),
                None => ServiceName::new("default", &self.what),
            }],
        };
        let mut explained = Vec::new();
        for name in &names {
            match Explained::of(name, &look.observer, leader.clone()) {
                Some(it) => explained.push(it),
                None => return Err(unconcerned(name, look.type_of(name).await?).into()),
            }
        }
        Ok(explained)
    }
}

/// The Services that hold an address, or why none does.
fn holders(observer: &Observer<'_>, address: IpAddr) -> Result<Vec<ServiceName>, String> {
    let holders: BTreeSet<_> = observer.holders(address).cloned().collect();
    if !holders.is_empty() {
        return Ok(holders.into_iter().collect());
    }
    if let Some(node) = observer.owner(address) {
        return Err(format!("{address} is an address of {node}, which answers for it itself"));
    }
    match observer.pool(address) {
        Some(eip) => {
            Err(format!("{address} is free: it is one of Eip {eip}, and no Service holds it"))
        }
        None => {
            Err(format!("{address} is in no Eip of layer2, so Porter has nothing to do with it"))
        }
    }
}

/// Why nothing is known of a Service, which may be of a type.
fn unconcerned(name: &ServiceName, of_type: Option<String>) -> String {
    match of_type {
        Some(kind) => format!(
            "{name} does not ask for Porter: its type is {kind}; set spec.type to LoadBalancer, and annotate \
             it as the guide says"
        ),
        None => format!("there is no Service {name}; give it as NAMESPACE/NAME"),
    }
}

async fn look(target: &Target) -> Result<(Look, Leader), Box<dyn Error>> {
    let lease = target.lease();
    let look = Look::at(target.cluster().await?, &lease).await?;
    let leader = leader(&lease, &look);
    Ok((look, leader))
}

/// Who leads, now.
pub(crate) fn leader(lease: &Namespaced, look: &Look) -> Leader {
    Leader::of(lease, look.lease.as_ref(), now())
}

pub(crate) fn soon<T>(
    work: impl Future<Output = Result<T, Box<dyn Error>>>,
) -> Result<T, Box<dyn Error>> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

pub(crate) fn json(shown: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(shown)? + "\n")
}

pub(crate) fn yaml(shown: &impl Serialize) -> Result<String, Box<dyn Error>> {
    Ok(serde_saphyr::to_string(shown)? + "\n")
}

pub(crate) fn print(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

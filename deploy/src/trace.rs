//! `porter trace`: what is said of one address on the LAN, live.

use std::{
    collections::BTreeMap,
    error::Error,
    net::IpAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use porter_backends::{kube::Look, link::Trace, view::Tracing};
use porter_core::{LinkName, MacAddr, Whereabouts};
use tokio::{
    select,
    signal::ctrl_c,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    look::{print, soon},
    target::Target,
};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long the API server is waited for, which only adds names.
const NAMES_WITHIN: Duration = Duration::from_secs(3);

/// Ask the LAN who has an address, once a second, and show what everybody says of it.
///
/// To be run on a host of the address's LAN, as root or with the capability NET_RAW; not on the node
/// that leads, nor on the one where the address is, which are not answered. Nodes are named if the API
/// server can be asked. Ends with 0 if every question was answered and only one MAC was named.
#[derive(Args, Debug)]
pub(crate) struct TraceOf {
    /// The address.
    #[arg(value_name = "IP")]
    address: IpAddr,
    /// The interface to ask on. Otherwise the one by which the kernel reaches the address.
    #[arg(short, long, value_name = "NAME", value_parser = interface)]
    interface: Option<LinkName>,
    /// How often to ask. Otherwise until Ctrl-C.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    #[command(flatten)]
    target: Target,
}

impl TraceOf {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        soon(self.trace())
    }

    async fn trace(&self) -> Result<ExitCode, Box<dyn Error>> {
        let trace = Trace::open(self.address, self.interface).await?;
        let names = timeout(NAMES_WITHIN, self.names()).await.unwrap_or_default();
        let (from, mac) = trace.sender();
        let (link, address) = (trace.link(), self.address);
        print(&format!("{from} ({mac}) asks on {link} who has {address}.\n"))?;
        let mut tracing = Tracing::new(address, trace.sender(), names);
        let mut asking = interval(EVERY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = self.count;
        let begun = Instant::now();
        loop {
            let told = select! {
                _ = ctrl_c() => break,
                said = trace.next() => {
                    let said = said?;
                    tracing.handle_said(&said.heard, said.by, begun.elapsed())
                }
                _ = asking.tick() => {
                    if left == Some(0) {
                        break;
                    }
                    left = left.map(|left| left - 1);
                    let told = tracing.handle_asked(begun.elapsed());
                    trace.ask()?;
                    told
                }
            };
            print(&format!("{told}\n"))?;
        }
        print(&tracing.summary())?;
        Ok(if tracing.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Whose MAC is whose, as far as it is on record; nothing if that cannot be read.
    async fn names(&self) -> BTreeMap<MacAddr, String> {
        let Ok(config) = self.target.cluster().await else { return BTreeMap::new() };
        let Ok(look) = Look::at(config, &self.target.lease()).await else { return BTreeMap::new() };
        let announced = look.observer.announcements().filter_map(|it| it.announced);
        let told = announced.flat_map(|it| Whereabouts::told(&it.message));
        told.map(|it| (it.mac, it.node.to_string())).collect()
    }
}

fn interface(name: &str) -> Result<LinkName, &'static str> {
    LinkName::new(name).ok_or("no name that an interface can have")
}

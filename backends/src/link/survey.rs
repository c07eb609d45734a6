//! Which links this host has, looked up whenever the kernel says that something changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    thread,
    time::Duration,
};

use porter_core::{Link, LinkName, Unroutable};
use tokio::{
    runtime, select,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::warn;

use super::{
    dump::{Gateways, Interfaces},
    kernel::Kernel,
};

/// How often the links are looked up though nothing was told: the kernel drops what nobody hears.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often a survey is sent though nothing was looked up: what failed is tried again then.
const BEAT: Duration = Duration::from_secs(1);
/// How soon, at the earliest, the links are looked up again: changes come in flocks.
const PAUSE: Duration = Duration::from_millis(20);

/// What was seen of this host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Survey {
    /// Its interfaces: those that are links, and why the others are none.
    pub(crate) interfaces: Interfaces,
    /// The links by which packets leave to the addresses that were asked for.
    pub(crate) routes: BTreeMap<IpAddr, Result<LinkName, Unroutable>>,
}

/// A link as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    /// The number by which the kernel knows it: a link that is made again under its old name has
    /// another one.
    pub(crate) index: u32,
    pub(crate) link: Link,
}

impl Survey {
    /// The link of a name, if there is one.
    pub(crate) fn link(&self, name: LinkName) -> Option<&Seen> {
        self.interfaces.get(&name)?.as_ref().ok()
    }
}

/// Goes on looking, in the network namespace of the calling thread, until the receiver is dropped.
/// Before the first look there is nothing. Looks up the routes to the addresses that `wanted` has.
pub(crate) fn start(
    wanted: watch::Receiver<BTreeSet<IpAddr>>,
) -> io::Result<watch::Receiver<Survey>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let kernel = {
        let _within = runtime.enter();
        Kernel::open()?
    };
    let (sender, receiver) = watch::channel(Survey::default());
    let surveyor = Surveyor { kernel, wanted, gateways: Gateways::new() };
    thread::Builder::new()
        .name("survey".into())
        .spawn(move || runtime.block_on(surveyor.survey(&sender)))?;
    Ok(receiver)
}

/// Who looks.
struct Surveyor {
    kernel: Kernel,
    wanted: watch::Receiver<BTreeSet<IpAddr>>,
    gateways: Gateways,
}

impl Surveyor {
    async fn survey(mut self, sender: &watch::Sender<Survey>) {
        let mut reads_routes = true;
        loop {
            let looked = self.look(reads_routes).await;
            let failed = looked.is_err();
            match looked {
                Ok(survey) => drop(sender.send_replace(survey)),
                Err(error) => warn!("listing the links of this host failed: {error}"),
            }
            sleep(PAUSE).await;
            let look_at = Instant::now() + if failed { BEAT } else { LOOK_EVERY };
            reads_routes = loop {
                let routes = !self.wanted.borrow().is_empty();
                select! {
                    news = self.kernel.changed(routes) => break news.gateways || failed,
                    Ok(()) = self.wanted.changed() => break failed,
                    () = sleep_until(look_at) => break true,
                    () = sleep(BEAT) => sender.send_modify(|_| {}),
                    () = sender.closed() => return,
                }
            };
        }
    }

    async fn look(&mut self, reads_routes: bool) -> Result<Survey, rtnetlink::Error> {
        if reads_routes {
            self.gateways = self.kernel.gateways().await?;
        }
        let (interfaces, names) = self.kernel.interfaces(&self.gateways).await?;
        let wanted = self.wanted.borrow_and_update().clone();
        let mut routes = BTreeMap::new();
        for address in wanted {
            let link = self.kernel.route(address).await?;
            // Without a name the link went meanwhile, and takes its routes along.
            let link = link.and_then(|index| names.get(&index).copied().ok_or(Unroutable::NoRoute));
            routes.insert(address, link);
        }
        Ok(Survey { interfaces, routes })
    }
}

//! Which links this host has, looked up whenever the kernel says that something changed.

use std::{io, thread, time::Duration};

use porter_core::{Link, LinkName};
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
/// Before the first look there is nothing.
pub(crate) fn start() -> io::Result<watch::Receiver<Survey>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let kernel = {
        let _within = runtime.enter();
        Kernel::open()?
    };
    let (sender, receiver) = watch::channel(Survey::default());
    thread::Builder::new()
        .name("survey".into())
        .spawn(move || runtime.block_on(survey(kernel, &sender)))?;
    Ok(receiver)
}

async fn survey(mut kernel: Kernel, sender: &watch::Sender<Survey>) {
    let mut gateways = Gateways::new();
    let mut reads_routes = true;
    loop {
        let looked = async {
            if reads_routes {
                gateways = kernel.gateways().await?;
            }
            kernel.interfaces(&gateways).await
        };
        let failed = match looked.await {
            Ok(interfaces) => {
                sender.send_replace(Survey { interfaces });
                false
            }
            Err(error) => {
                warn!("listing the links of this host failed: {error}");
                true
            }
        };
        sleep(PAUSE).await;
        let look_at = Instant::now() + if failed { BEAT } else { LOOK_EVERY };
        reads_routes = loop {
            select! {
                news = kernel.changed() => break news.gateways || failed,
                () = sleep_until(look_at) => break true,
                () = sleep(BEAT) => sender.send_modify(|_| {}),
                () = sender.closed() => return,
            }
        };
    }
}

//! Who answers: a kernel with the addresses on its link, or a `Lan` with a snapshot of them.

use std::{
    collections::BTreeSet, error::Error, io, net::IpAddr, ops::Range, sync::Arc, time::Duration,
};

use porter_backends::{clock, link::Lan, port::Links};
use porter_core::{Answers, Generation, Heed, Input, LinkName, MacAddr, wire};
use rtnetlink::packet_route::address::AddressHeaderFlags;
use tokio::{task, time};

use crate::{
    cpu::Thread,
    generator::Generator,
    host::{self, Cable, Host, SOON},
    questions::{Family, range},
};

const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const NEAR: [u8; 4] = [172, 22, 0, 253];
const FAR: [u8; 4] = [172, 22, 0, 254];
/// Longer than anything is measured.
const LONG: Duration = Duration::from_secs(24 * 3600);

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A cable with somebody who asks at one end and somebody who answers at the other.
pub(crate) struct Responder {
    pub(crate) who: Who,
    /// With which MAC it answers.
    pub(crate) mac: MacAddr,
    pub(crate) generators: [Arc<Generator>; 2],
    _cable: Cable,
    host: Host,
}

pub(crate) enum Who {
    Kernel,
    Porter { lan: Box<Lan>, link: LinkName, generation: u64 },
}

impl Responder {
    /// A host with many addresses, asked from here.
    pub(crate) async fn kernel() -> Result<Self> {
        let (cable, host) =
            host::plug_in("asking", MacAddr(2, 0, 0, 0, 0, 1), NEAR.into(), FAR.into()).await;
        let generators = Family::BOTH.map(|family| Generator::open("asking", family));
        let mac = host.mac;
        Ok(Self { who: Who::Kernel, mac, generators: both(generators)?, _cable: cable, host })
    }

    /// The responder here, asked from a host.
    pub(crate) async fn porter() -> Result<Self> {
        let (cable, host) =
            host::plug_in("eth0", MacAddr(2, 0, 0, 0, 0, 3), NEAR.into(), FAR.into()).await;
        let generators = host.visit(|| Family::BOTH.map(|family| Generator::open("eth0", family)));
        let link = LinkName::new("eth0").ok_or("a bad name")?;
        let lan = Box::new(listening(link).await?);
        let who = Who::Porter { lan, link, generation: 0 };
        Ok(Self { who, mac: NODE, generators: both(generators)?, _cable: cable, host })
    }

    /// Answers for the EIPs with these numbers, too.
    pub(crate) async fn serve(&mut self, numbers: Range<usize>) -> Result<()> {
        let eips = |numbers: Range<usize>| {
            Family::BOTH.into_iter().flat_map(move |family| family.eips(numbers.clone()))
        };
        match &mut self.who {
            Who::Kernel => give(&self.host, eips(numbers)).await?,
            Who::Porter { lan, link, generation } => {
                for eip in eips(numbers.clone()) {
                    if let IpAddr::V6(eip) = eip {
                        lan.join(*link, wire::solicited_node(eip));
                    }
                }
                let answers: Answers =
                    eips(0..numbers.end).map(|eip| (*link, eip, Ok(NODE))).collect();
                // As an agent does of one Eip.
                lan.heed(*link, Heed::Only([range(numbers.end)].into()));
                *generation += 1;
                lan.publish(Arc::new(answers), Generation(*generation));
                silenced(lan, Generation(*generation)).await?;
            }
        }
        Ok(())
    }

    /// The threads that answer. Of a kernel, none: it answers on the thread that asks.
    pub(crate) fn threads(&self) -> Result<Vec<Thread>> {
        match self.who {
            Who::Kernel => Ok(Vec::new()),
            Who::Porter { link, .. } => Ok(Thread::named(&format!("arp {link}"))?),
        }
    }

    /// Does something on a thread of its own while facts are taken in here, as in an agent.
    pub(crate) async fn beside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let mut working = task::spawn_blocking(work);
        match &mut self.who {
            Who::Kernel => Ok(working.await?),
            Who::Porter { lan, .. } => beside(lan, &mut working).await,
        }
    }
}

/// Takes in facts until the work is done.
pub(crate) async fn beside<T>(lan: &mut Lan, working: &mut task::JoinHandle<T>) -> Result<T> {
    loop {
        tokio::select! {
            done = &mut *working => return Ok(done?),
            _ = lan.next() => {}
        }
    }
}

/// A LAN that is listened to on a link, with permission to speak.
pub(crate) async fn listening(link: LinkName) -> Result<Lan> {
    let mut lan = Lan::open()?;
    lan.listen(BTreeSet::from([link]));
    lan.permit(clock::now() + LONG);
    let listens = async {
        loop {
            if let Input::Link(seen, Ok(it)) = lan.next().await
                && seen == link
                && it.carrier
            {
                return;
            }
        }
    };
    time::timeout(SOON, listens).await?;
    Ok(lan)
}

pub(crate) async fn silenced(lan: &mut Lan, generation: Generation) -> Result<()> {
    let comes = async {
        while !matches!(lan.next().await, Input::Silenced(reached) if reached >= generation) {}
    };
    Ok(time::timeout(SOON, comes).await?)
}

/// Gives a host many addresses, each for itself, which it uses at once.
async fn give(host: &Host, addresses: impl Iterator<Item = IpAddr>) -> Result<()> {
    for address in addresses {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let mut adding = host.netlink.address().add(host.index, address, prefix);
        adding.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        adding.execute().await?;
    }
    Ok(())
}

fn both(generators: [io::Result<Generator>; 2]) -> io::Result<[Arc<Generator>; 2]> {
    let [v4, v6] = generators;
    Ok([Arc::new(v4?), Arc::new(v6?)])
}

//! The ports through which facts come in and effects go out.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use async_trait::async_trait;
use porter_core::{
    Answers, Event, Generation, Heed, Input, Instant, IsAt, LinkName, NodeName, Probe, Read,
    ReadId, Write, WriteId,
};

/// The Kubernetes cluster, as far as its API server and kube-proxy on its nodes tell of it.
#[async_trait]
pub trait Cluster: Send {
    /// The next fact from the API server, or the next verdict on what was asked of it.
    ///
    /// Nothing that was begun makes progress unless this is waited for. Cancel safe: dropping the
    /// future loses nothing.
    async fn next(&mut self) -> Input;

    /// Asks kube-proxy on a node how it is. Exactly one [`Input::Checked`] of the node follows.
    fn check(&mut self, node: NodeName, address: IpAddr);

    /// Tells people of something that happened. What cannot be told is lost.
    fn publish(&mut self, event: Event);

    /// Begins a write. Exactly one [`Input::Written`] with its id follows.
    fn write(&mut self, id: WriteId, write: Write);

    /// Begins a read of what the API server has now. Exactly one [`Input::Got`] with its id
    /// follows.
    fn read(&mut self, id: ReadId, read: Read);
}

/// The links of this host and the LANs behind them.
///
/// Questions from the LAN are answered on the other side of this port, from the published
/// snapshot. Whatever can be survived there is counted and traced, and returned by nothing.
#[async_trait]
pub trait Links: Send {
    /// The next fact from the LAN: [`Input::Asked`], [`Input::Heard`], [`Input::Link`],
    /// [`Input::Probed`], [`Input::Route`], [`Input::Silenced`] or [`Input::Stirred`].
    ///
    /// Cancel safe: dropping the future loses nothing.
    async fn next(&mut self) -> Input;

    /// Listens on exactly these links, as far and as soon as they exist.
    fn listen(&mut self, links: BTreeSet<LinkName>);

    /// Hears at least this of what is asked on a link by ARP, and all of it until this is called, and
    /// again once the link is not listened on.
    fn heed(&mut self, link: LinkName, heed: Heed);

    /// Is in this group on a link from now on, as soon as it is listened to.
    fn join(&mut self, link: LinkName, group: Ipv6Addr);

    /// Leaves a group.
    fn quit(&mut self, link: LinkName, group: Ipv6Addr);

    /// Tells of exactly these addresses by which link packets leave to each ([`Input::Route`]), now and
    /// whenever that changes.
    fn route(&mut self, addresses: BTreeSet<IpAddr>);

    /// Answers from this snapshot from now on. [`Input::Silenced`] follows once every responder
    /// does.
    fn publish(&mut self, answers: Arc<Answers>, generation: Generation);

    /// Answers and announces strictly before `until`, and never at or after it.
    fn permit(&mut self, until: Instant);

    /// Tells everybody on the link, in both forms, unless the permitted time is over.
    fn announce(&mut self, is_at: &IsAt);

    /// Puts a question for a node's MAC on the link.
    fn probe(&mut self, probe: &Probe);
}

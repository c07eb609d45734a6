//! What can happen ([`Input`]) and what can be wanted ([`Output`]): the whole of the core's border.
//!
//! The only obligation that the types do not express: every [`Output::Write`] and [`Output::Read`]
//! gets exactly one verdict, [`Input::Written`] or [`Input::Got`] with its id, and every
//! [`Output::Check`] exactly one [`Input::Checked`]. A verdict that arrives
//! after the adapter has given up on its request (and said [`WriteError::Unknown`]) is dropped by
//! the adapter.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use pnet::util::MacAddr;

use crate::{
    Answers, Condition, Eip, EipName, EipStatus, Event, Heed, Ingress, Instant, IsAt, LeaseRecord,
    Link, LinkName, Listing, Move, Namespace, NamespaceName, Node, NodeName, Service, ServiceName,
    Slice, SliceName, Unroutable, Unusable, Version, WhoHas,
};

/// Something the world tells the speaker: what *is*, never what *changed*.
///
/// An object comes with its version, or with the version at which it was gone (`None`).
#[derive(Clone, Debug)]
pub enum Input {
    /// EIPs were asked for on a link, each at a time. Comes before the [`Input::Silenced`] of the
    /// snapshot that it was seen with, so that what is announced for that begins with the last of
    /// them.
    Asked(LinkName, Vec<(IpAddr, Instant)>),
    /// The answer to an [`Output::Check`].
    Checked(NodeName, ProxyHealth),
    /// An Eip was seen.
    Eip(EipName, Version, Option<Eip>),
    /// All Eips were listed.
    Eips(Listing<EipName, Eip>),
    /// The answer to an [`Output::Read`].
    Got(ReadId, Result<Got, ReadError>),
    /// A claim was heard on a link: an answer to a probe of ours, or a foreign one.
    Heard(IsAt),
    /// The Lease was seen; `None`: there is none.
    Lease(Option<(Version, LeaseRecord)>),
    /// Falls silent, hands the Lease over and stops: the process is asked to end.
    Leave,
    /// An interface of this host was seen, or it was seen why there is none of this name to be used.
    Link(LinkName, Result<Link, Unusable>),
    /// The watch of a kind is broken: what is known of it grows old until the next list.
    Lost(Kind),
    /// A Namespace was seen.
    Namespace(NamespaceName, Version, Option<Namespace>),
    /// All Namespaces were listed.
    Namespaces(Listing<NamespaceName, Namespace>),
    /// A Node was seen.
    Node(NodeName, Version, Option<Node>),
    /// All Nodes were listed.
    Nodes(Listing<NodeName, Node>),
    /// Somebody who has no address yet asked on a link who has this one, to take it unless somebody has
    /// it (RFC 5227 section 2.1.1, RFC 4862 section 5.4.3). Need be told only of addresses of the last
    /// [`Output::Publish`], and of those asked for by an [`Output::Probe`] in the last seconds.
    Probed(WhoHas),
    /// The link by which packets to an address leave, as asked for with [`Output::Route`], or why none
    /// does.
    Route(IpAddr, Result<LinkName, Unroutable>),
    /// A Service was seen.
    Service(ServiceName, Version, Option<Service>),
    /// All Services were listed.
    Services(Listing<ServiceName, Service>),
    /// Every responder answers from the snapshot of this generation or a later one.
    Silenced(Generation),
    /// An EndpointSlice was seen.
    Slice(SliceName, Version, Option<Slice>),
    /// All EndpointSlices were listed.
    Slices(Listing<SliceName, Slice>),
    /// A frame of another station arrived on a link, whatever it was: the link carries frames. Need
    /// not be told more often than every 50 ms.
    Stirred(LinkName),
    /// The verdict on an [`Output::Write`].
    Written(WriteId, Result<Written, WriteError>),
}

impl Input {
    /// The kind that this input lists as a whole.
    pub(crate) fn listed(&self) -> Option<Kind> {
        match self {
            Self::Eips(_) => Some(Kind::Eip),
            Self::Namespaces(_) => Some(Kind::Namespace),
            Self::Nodes(_) => Some(Kind::Node),
            Self::Services(_) => Some(Kind::Service),
            Self::Slices(_) => Some(Kind::Slice),
            Self::Asked(..)
            | Self::Checked(..)
            | Self::Eip(..)
            | Self::Got(..)
            | Self::Heard(_)
            | Self::Lease(_)
            | Self::Leave
            | Self::Link(..)
            | Self::Lost(_)
            | Self::Namespace(..)
            | Self::Node(..)
            | Self::Probed(_)
            | Self::Route(..)
            | Self::Service(..)
            | Self::Silenced(_)
            | Self::Slice(..)
            | Self::Stirred(_)
            | Self::Written(..) => None,
        }
    }
}

/// Something the speaker wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Tell everybody on a link, in both forms that hosts listen to. Not sent at or after the
    /// deadline of the last [`Output::Permit`].
    Announce(IsAt),
    /// Ask kube-proxy on a node, at this address, how it is. Exactly one [`Input::Checked`] of the node
    /// follows.
    Check(NodeName, IpAddr),
    /// Tell people of something that happened. Has no verdict: one that is lost is lost.
    Event(Event),
    /// Of what is asked on a link by ARP, only this has to be heard. What else is heard there may be told
    /// all the same; until this comes, and again once the link is not listened on, all of it has to be.
    Heed(LinkName, Heed),
    /// Be in this group on a link, so that solicitations for EIPs of IPv6 arrive there.
    Join(LinkName, Ipv6Addr),
    /// Everything is handed over: stop.
    Left,
    /// Listen on exactly these links.
    Listen(BTreeSet<LinkName>),
    /// A Service is answered with another node from now on. Nothing is to be done.
    Moved(Move),
    /// Answer, and announce, strictly before this instant, and never at or after it.
    Permit(Instant),
    /// Ask on a link for a node's MAC. Carries the sender's own addresses; every replica may send it.
    /// If the sender's address is unspecified it asks who has an EIP, or what is to become one (RFC 5227
    /// section 2.1.1), and is not sent at or after the deadline of the last [`Output::Permit`].
    Probe(Probe),
    /// Answer from this snapshot from now on, and say [`Input::Silenced`] once every responder does.
    Publish(Arc<Answers>, Generation),
    /// Leave a group that was joined.
    Quit(LinkName, Ipv6Addr),
    /// Ask the API server for its newest word.
    Read(ReadId, Read),
    /// Tell of exactly these addresses by which link packets leave to each, now and whenever that
    /// changes.
    Route(BTreeSet<IpAddr>),
    /// Write one object, if it still is as expected.
    Write(WriteId, Write),
}

/// The number of a published snapshot; later ones are larger.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Generation(pub u64);

/// Ties a verdict to its write.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct WriteId(pub u64);

/// Ties an answer to its read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ReadId(pub u64);

/// A kind of object that is watched.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `network.kubesphere.io/v1alpha2 Eip`.
    Eip,
    /// `coordination.k8s.io/v1 Lease`, the one that is competed for.
    Lease,
    /// `v1 Namespace`.
    Namespace,
    /// `v1 Node`.
    Node,
    /// `v1 Service`.
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    Slice,
}

impl Kind {
    /// All kinds, in their order.
    pub const ALL: [Self; 6] =
        [Self::Eip, Self::Lease, Self::Namespace, Self::Node, Self::Service, Self::Slice];

    /// The `kind` of such an object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eip => "Eip",
            Self::Lease => "Lease",
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Service => "Service",
            Self::Slice => "EndpointSlice",
        }
    }
}

/// A question about an address, to be put on a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// The link to ask on.
    pub link: LinkName,
    /// The address asked for: a node's, or an EIP.
    pub target: IpAddr,
    /// The MAC to ask directly; `None` asks everybody.
    pub to: Option<MacAddr>,
    /// The link's own address in the target's subnet and its own MAC. The address is unspecified if it
    /// is asked who else has the target.
    pub sender: (IpAddr, MacAddr),
}

impl Probe {
    /// Whether it asks who else has an EIP, or an address that is to become one.
    pub fn is_for_conflicts(&self) -> bool {
        self.sender.0.is_unspecified()
    }
}

/// What kube-proxy on a node says of itself at `/healthz`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHealth {
    /// It does not answer, or nothing that makes sense.
    Silent,
    /// It says that it does not work, or is to be sent nothing new: 503.
    Unwell,
    /// It works: 200.
    Well,
}

/// A read that the API server must answer with its newest state (no `resourceVersion` given).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Read {
    /// The Lease.
    Lease,
    /// All Services. The watch of Services goes on from the version of the list.
    Services,
}

/// What a read brought.
#[derive(Clone, Debug)]
pub enum Got {
    /// The Lease; `None`: there is none.
    Lease(Option<(Version, LeaseRecord)>),
    /// All Services.
    Services(Listing<ServiceName, Service>),
}

/// Why a read brought nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReadError {
    /// The API server has too many requests, and asks to be left alone for this long.
    Busy(Duration),
    /// The API server does not know us (401), or we have no right to (403).
    Forbidden(String),
    /// Anything else: no answer in time, or one that makes no sense.
    Failed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(span) => write!(f, "too many requests, come back in {span:?}"),
            Self::Forbidden(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// A write of one object on condition of its version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// An Eip.
    Eip(EipName, Version, EipChange),
    /// The Lease, as a whole. `None` creates it, and conflicts if there is one.
    Lease(Option<Version>, LeaseRecord),
    /// A Service.
    Service(ServiceName, Version, ServiceChange),
}

/// What to change of an Eip.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EipChange {
    /// Parts of `metadata`.
    Metadata(MetadataChange),
    /// The status fields that [`EipStatus`] knows.
    Status(EipStatus),
}

/// What to change of a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServiceChange {
    /// Parts of `metadata`.
    Metadata(MetadataChange),
    /// The parts of the status that are ours.
    Status(ServiceStatus),
}

/// What the status of a Service is to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceStatus {
    /// `loadBalancer.ingress`, as a whole.
    pub ingress: Vec<Ingress>,
    /// The condition [`keys::ANNOUNCED`](crate::keys::ANNOUNCED). Conditions of other types stay.
    pub announced: ConditionChange,
    /// The condition [`keys::CONFLICT`](crate::keys::CONFLICT).
    pub conflict: ConditionChange,
}

/// What to change of one condition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ConditionChange {
    /// Nothing: it stays as it is, or away.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// It is to be this.
    Set(Condition),
}

impl ConditionChange {
    /// What leads from one state of a condition to another.
    pub fn between(old: Option<&Condition>, new: Option<Condition>) -> Self {
        match (old, new) {
            (Some(_), None) => Self::Remove,
            (None, None) => Self::Keep,
            (Some(old), Some(new)) if *old == new => Self::Keep,
            (_, Some(new)) => Self::Set(new),
        }
    }

    /// Carries the change out.
    pub fn apply(self, condition: &mut Option<Condition>) {
        match self {
            Self::Keep => {}
            Self::Remove => *condition = None,
            Self::Set(new) => *condition = Some(new),
        }
    }
}

/// What to change of an object's `metadata`. What is not named stays.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MetadataChange {
    /// Annotations to set, or to remove (`None`).
    pub annotations: Vec<(String, Option<String>)>,
    /// Labels to set, or to remove (`None`).
    pub labels: Vec<(String, Option<String>)>,
    /// The finalizers, as a whole.
    pub finalizers: Option<Vec<String>>,
}

/// An object as the API server has it after a write.
#[derive(Clone, Debug)]
pub enum Written {
    /// An Eip. `None`: it is gone, since the write removed the last finalizer of a deleted object.
    Eip(Version, Option<Eip>),
    /// The Lease.
    Lease(Version, LeaseRecord),
    /// A Service; `None` as for an Eip.
    Service(Version, Option<Service>),
}

/// Why a write did not, or may not, have had its effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WriteError {
    /// The object is another version than expected, exists already, or is gone. No effect.
    Conflict,
    /// The API server refused what was asked for: it is invalid, or too large. No effect.
    Rejected(String),
    /// The API server does not know us (401), or we have no right to (403). No effect.
    Forbidden(String),
    /// The API server has too many requests (429), and asks to be left alone for this long. No
    /// effect.
    Busy(Duration),
    /// No verdict arrived. The write may have taken effect, or still take it.
    Unknown,
}

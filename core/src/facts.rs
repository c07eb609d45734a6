//! What is known of the world: the parts of Kubernetes objects and links that decisions are made of.
//!
//! A fact says what *is*, never what changed, so that a repeated, late or coalesced watch cannot be
//! applied twice wrongly. Facts carry text as people wrote it; what it means, and what to say if it
//! means nothing, is decided here in the core and not by the adapter that read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;
use litemap::LiteMap;
use pnet::util::MacAddr;

use crate::{Condition, Few, Fitness, Identity, NodeName, ServiceName, Timestamp, Uid};

/// A Kubernetes `metadata.resourceVersion`.
///
/// Equality is what compare-and-swap needs. The order between two versions of one kind is what the
/// API server promises since KEP-5504 (Comparable Resource Version); it is used only to drop
/// sightings older than what is known already, never by the election.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// Texts by their keys, in their order: annotations, labels, a selector. Few, and kept in one piece.
pub type Texts = LiteMap<String, String>;

/// What every object of ours carries in its `metadata`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metadata {
    /// Which object this is; `None` in facts made without an API server.
    pub uid: Option<Uid>,
    /// When it was created: the older of two rivals wins.
    pub created: Timestamp,
    /// Whether it has a `deletionTimestamp`: it lives on only until its finalizers are gone.
    pub deleting: bool,
    /// `metadata.generation`, which counts changes of the `spec`; 0 where the kind has none.
    pub generation: i64,
    /// Annotations whose key this project knows (`crate::keys`); all others are left out.
    pub annotations: Texts,
    /// Labels whose key this project knows; all others are left out.
    pub labels: Texts,
    /// All finalizers, in their order: they are written back as a whole.
    pub finalizers: Vec<String>,
}

/// A `v1 Service`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Service {
    /// Name, age, annotations, labels, finalizers.
    pub metadata: Metadata,
    /// Whether `spec.type` is `LoadBalancer`.
    pub load_balancer: bool,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// `spec.loadBalancerIP` as written; empty counts as absent.
    pub requested_ip: Option<String>,
    /// `spec.externalTrafficPolicy`.
    pub policy: TrafficPolicy,
    /// `spec.ports`: what is listened on. Two Services that share an address have none in common.
    pub ports: Few<Port>,
    /// `spec.selector`: which pods serve it.
    pub selector: Texts,
    /// `spec.ipFamilies`, in their order; empty in facts made without an API server, and then any
    /// family will do.
    pub families: Vec<Family>,
    /// Whether `spec.ipFamilyPolicy` is `RequireDualStack`: one address of each family, or none.
    pub requires_dual_stack: bool,
    /// `status.loadBalancer.ingress`, in its order.
    pub ingress: Vec<Ingress>,
    /// The condition [`keys::ANNOUNCED`](crate::keys::ANNOUNCED) in `status.conditions`.
    pub announced: Option<Condition>,
    /// The condition [`keys::CONFLICT`](crate::keys::CONFLICT) in `status.conditions`.
    pub conflict: Option<Condition>,
}

impl Service {
    /// The addresses under which it is shown to the world, whoever wrote them.
    pub fn shown(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ingress.iter().filter_map(|entry| match entry {
            Ingress::Address(address) => Some(*address),
            Ingress::Other(_) => None,
        })
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4, asked for with ARP.
    V4,
    /// IPv6, asked for with NDP.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A port of a Service: the transport protocol as Kubernetes writes it, and the number.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Port {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port, as seen from outside.
    pub number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// An entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ingress {
    /// An address and nothing else, but perhaps `ipMode: VIP`: as this project writes it.
    Address(IpAddr),
    /// Any other entry, as JSON text: another controller's, and left as it is.
    Other(String),
}

/// `spec.externalTrafficPolicy`: which nodes pass on what arrives for the Service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TrafficPolicy {
    /// Every node does, whether it has an endpoint or not.
    #[default]
    Cluster,
    /// Only nodes with an endpoint of their own do.
    Local,
}

/// An `Eip`: a pool of external addresses on one link.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Eip {
    /// Name, age, annotations, labels, finalizers.
    pub metadata: Metadata,
    /// `spec.address` as written: an address, a CIDR or a range.
    pub address: String,
    /// `spec.interface` as written.
    pub interface: Option<String>,
    /// `spec.protocol` as written; only `layer2` is ours.
    pub protocol: Option<String>,
    /// `spec.disable`: hands out no new address.
    pub disable: bool,
    /// `spec.priority`: among several that would do, the smallest comes first.
    pub priority: i64,
    /// `spec.namespaces`: those that it is bound to, by name.
    pub namespaces: BTreeSet<String>,
    /// `spec.namespaceSelector`: and by labels, all of which a namespace must have.
    pub namespace_selector: Texts,
    /// `status`, as the API server has it.
    pub status: EipStatus,
}

/// Address to the Services that hold it.
pub type Used = BTreeMap<IpAddr, Few<ServiceName>>;

/// An Eip's `status`: the only store of which Service holds which address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EipStatus {
    /// `poolSize`: the number of addresses, saturated at `i64::MAX`.
    pub pool_size: i64,
    /// `firstIP`.
    pub first: Option<IpAddr>,
    /// `lastIP`.
    pub last: Option<IpAddr>,
    /// `used`: address to the Services that hold it.
    pub used: Used,
    /// The condition [`keys::READY`](crate::keys::READY), and by it `ready`: whether the Eip is
    /// served.
    pub ready: Option<Condition>,
}

impl EipStatus {
    /// `usage`: how many addresses are held, however many Services share them.
    pub fn usage(&self) -> i64 {
        i64::try_from(self.used.len()).unwrap_or(i64::MAX)
    }

    /// `occupied`: whether no address is left.
    pub fn occupied(&self) -> bool {
        self.usage() >= self.pool_size
    }

    /// `ready`: whether the Eip is served.
    pub fn is_ready(&self) -> bool {
        self.ready.as_ref().is_some_and(|ready| ready.met)
    }

    /// `v4`: whether the addresses are IPv4.
    pub fn v4(&self) -> bool {
        self.first.is_some_and(|first| first.is_ipv4())
    }
}

/// A `v1 Namespace`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Namespace {
    /// All its labels: an Eip may select by any of them.
    pub labels: Texts,
}

/// A `v1 Node`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Node {
    /// Name, age, annotations, labels, finalizers.
    pub metadata: Metadata,
    /// Whether the condition `Ready` is `True`.
    pub ready: bool,
    /// Whether the condition `NetworkUnavailable` is `True`.
    pub network_unavailable: bool,
    /// `spec.unschedulable`: cordoned.
    pub cordoned: bool,
    /// Whether it has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub excluded: bool,
    /// Whether it has the taint `node.kubernetes.io/out-of-service`.
    pub out_of_service: bool,
    /// Its addresses, InternalIPs first, then ExternalIPs, each in the order of `status.addresses`.
    pub addresses: Vec<IpAddr>,
}

/// A `discovery.k8s.io/v1 EndpointSlice`: some of the endpoints of one Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slice {
    /// The Service, from the label `kubernetes.io/service-name`.
    pub service: ServiceName,
    /// `addressType`: traffic to the Service's EIP of this family goes to these endpoints.
    pub family: Family,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of an EndpointSlice. An absent condition is read as kube-proxy reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// `nodeName`; an endpoint without one counts for the policy `Cluster` only.
    pub node: Option<NodeName>,
    /// `conditions.ready`; absent means true.
    pub ready: bool,
    /// `conditions.serving`; absent means the same as `ready`.
    pub serving: bool,
    /// `conditions.terminating`; absent means false.
    pub terminating: bool,
}

/// A link of this host: a network interface that can carry Ethernet frames.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its own MAC: the Ethernet source of everything sent on it.
    pub mac: MacAddr,
    /// Its own addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// The gateways of default routes behind it: they are asked, like nodes, whether the link carries
    /// frames.
    pub gateways: BTreeSet<IpAddr>,
    /// Whether it is up and has carrier.
    pub carrier: bool,
}

impl Link {
    /// Whether `address` is one of the link's own.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }

    /// Whether nodes can be asked for here by their addresses of a family: those are not link-local.
    pub fn speaks(&self, family: Family) -> bool {
        let link_local = |net: &IpNet| match net {
            IpNet::V4(_) => false,
            IpNet::V6(net) => net.addr().is_unicast_link_local(),
        };
        let mut addresses = self.addresses.iter().filter(|net| !link_local(net));
        addresses.any(|net| Family::of(net.addr()) == family)
    }

    /// The link's own address in the subnet of `address`: the sender of a question about it.
    pub fn address_beside(&self, address: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().find(|net| net.contains(&address)).map(IpNet::addr)
    }
}

/// The content of the `coordination.k8s.io/v1 Lease`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeaseRecord {
    /// `spec.holderIdentity`; empty is `None`.
    pub holder: Option<Identity>,
    /// `spec.leaseDurationSeconds`; absent or not positive is zero.
    pub duration: Duration,
    /// `spec.acquireTime`.
    pub acquired: Timestamp,
    /// `spec.renewTime`: unique for every attempt of one holder, so that an attempt whose verdict
    /// was lost can be recognised.
    pub renewed: Timestamp,
    /// `spec.leaseTransitions`.
    pub transitions: u32,
    /// The annotation `porter.kubesphere.io/released-by`: the holder that gave the Lease up.
    pub released_by: Option<Identity>,
    /// The annotation `porter.kubesphere.io/fitness`: how many layer2 Eips the holder can serve, or why
    /// none; `None` if it does not say, or not in these words.
    pub fitness: Option<Fitness>,
    /// The annotation `porter.kubesphere.io/wanted-by`: who can serve more than the holder. On a Lease
    /// that was released: in whose name.
    pub wanted_by: Option<Identity>,
}

//! What the user guide promises, one statement at a time; and what goes beyond it, for both families.

/// A statement that the lab can check: those of the guide, in its order, and those about a Service of
/// both families, of which the guide says nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Statement {
    EipIsListed,
    ServiceHasAddress,
    PodsAreReady,
    PingIsAnswered,
    NeighbourIsANode,
    NodeHasTheSameMac,
    NodeServesAndIsRecorded,
    HttpReachesThePods,
    OneReplicaAnswered,
    AnswerStays,
    AnswerMovesWithThePod,
    AnotherLeads,
    EipFallsSilent,
    Ipv6EipIsListed,
    ServiceHasBothAddresses,
    EndpointsHaveBothAddresses,
    HttpReachesThePodsAtBoth,
    OneNodeIsAnsweredForBoth,
}

impl Statement {
    /// All of the guide.
    pub(crate) const ALL: [Self; 13] = [
        Self::EipIsListed,
        Self::ServiceHasAddress,
        Self::PodsAreReady,
        Self::PingIsAnswered,
        Self::NeighbourIsANode,
        Self::NodeHasTheSameMac,
        Self::NodeServesAndIsRecorded,
        Self::HttpReachesThePods,
        Self::OneReplicaAnswered,
        Self::AnswerStays,
        Self::AnswerMovesWithThePod,
        Self::AnotherLeads,
        Self::EipFallsSilent,
    ];

    /// Those about a Service of both families. They need the guide's Eip and Deployment.
    pub(crate) const DUAL_STACK: [Self; 5] = [
        Self::Ipv6EipIsListed,
        Self::ServiceHasBothAddresses,
        Self::EndpointsHaveBothAddresses,
        Self::HttpReachesThePodsAtBoth,
        Self::OneNodeIsAnsweredForBoth,
    ];

    /// The statements that leave everything as the guide has it at its end.
    pub(crate) fn calm() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|&statement| statement <= Self::AnswerStays)
    }

    /// Its number, from 1.
    pub(crate) fn number(self) -> usize {
        self as usize + 1
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::EipIsListed => "The Eip is accepted and listed with its range",
            Self::ServiceHasAddress => {
                "The Service gets EXTERNAL-IP 172.22.0.188, the pool's first, and port 8088"
            }
            Self::PodsAreReady => "The Deployment's two pods are ready on nodes",
            Self::PingIsAnswered => {
                "A client outside the cluster pings 172.22.0.188 and is answered"
            }
            Self::NeighbourIsANode => "The client's `ip neigh` shows for it the MAC of one node",
            Self::NodeHasTheSameMac => "That node's own address has the same MAC there",
            Self::NodeServesAndIsRecorded => {
                "That node has a ready endpoint of the Service and is the one recorded on it"
            }
            Self::HttpReachesThePods => "HTTP to 172.22.0.188:8088 reaches the pods",
            Self::OneReplicaAnswered => "Exactly one replica answered: the holder of the Lease",
            Self::AnswerStays => "Asked again later, the MAC is the same",
            Self::AnswerMovesWithThePod => {
                "When the node loses its pod, the answer moves and the client follows at once"
            }
            Self::AnotherLeads => {
                "When the leader is killed, another answers a fresh client in time"
            }
            Self::EipFallsSilent => {
                "When the Service is deleted, the EIP falls silent and its address is free"
            }
            Self::Ipv6EipIsListed => "An Eip for IPv6 is accepted and listed with its range",
            Self::ServiceHasBothAddresses => "A Service of both families gets an address of each",
            Self::EndpointsHaveBothAddresses => {
                "Its two pods have addresses of both families, in an EndpointSlice of each"
            }
            Self::HttpReachesThePodsAtBoth => "HTTP to either address, port 8088, reaches the pods",
            Self::OneNodeIsAnsweredForBoth => {
                "The client's `ip -4 neigh` and `ip -6 neigh` show the recorded node's MAC, by one replica's word"
            }
        }
    }
}

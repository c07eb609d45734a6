//! What the user guide promises, one statement at a time.

/// A statement of the guide that the lab can check, in the guide's order.
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
}

impl Statement {
    /// All of them.
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
        }
    }
}

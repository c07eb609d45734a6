//! Follows the user guide in the lab, and beyond it, and shows for each statement what was seen.

mod answers;
mod dual_stack;
mod faults;
mod objects;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pnet::util::MacAddr;
use porter_core::Family;

use super::{
    cluster::Cluster,
    frame::Frame,
    kubectl::{self, Kubectl},
    neighbour, show,
    statement::Statement,
    station::Station,
    wait::Unmet,
};

/// The address that the Service gets.
const EIP: Ipv4Addr = Ipv4Addr::new(172, 22, 0, 188);
/// Where the Service is reached.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(EIP), 8088);

/// A walk through the guide.
pub(crate) struct Guide<'a> {
    cluster: &'a Cluster,
    kubectl: Kubectl,
    /// What was shown for the statement that is being checked.
    shown: Vec<String>,
    /// The point of the capture at which the EIP was not yet anybody's.
    before: usize,
}

impl<'a> Guide<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let kubectl = Kubectl::new(cluster.api.clone());
        Self { cluster, kubectl, shown: Vec::new(), before: cluster.capture.now() }
    }

    /// Checks statements in their order and shows each. Says whether all hold; stops at the first
    /// that does not, since the others build on it.
    pub(crate) async fn follow(&mut self, statements: impl IntoIterator<Item = Statement>) -> bool {
        for statement in statements {
            let checked = self.check(statement).await;
            let tick = if checked.is_ok() { '✓' } else { '✗' };
            show::line(format_args!("\n {tick} {}. {}", statement.number(), statement.title()));
            for shown in self.shown.drain(..) {
                show::line(show::indented(&shown));
            }
            if let Err(why) = checked {
                show::line(show::indented(&format!("✗ {why}")));
                return false;
            }
        }
        true
    }

    async fn check(&mut self, statement: Statement) -> Result<(), Unmet> {
        match statement {
            Statement::EipIsListed => self.eip_is_listed().await,
            Statement::ServiceHasAddress => self.service_has_address().await,
            Statement::PodsAreReady => self.pods_are_ready().await,
            Statement::PingIsAnswered => self.ping_is_answered().await,
            Statement::NeighbourIsANode => self.neighbour_is_a_node().await,
            Statement::NodeHasTheSameMac => self.node_has_the_same_mac().await,
            Statement::NodeServesAndIsRecorded => self.node_serves_and_is_recorded().await,
            Statement::HttpReachesThePods => self.http_reaches_the_pods().await,
            Statement::OneReplicaAnswered => self.one_replica_answered().await,
            Statement::AnswerStays => self.answer_stays().await,
            Statement::AnswerMovesWithThePod => self.answer_moves_with_the_pod().await,
            Statement::AnotherLeads => self.another_leads().await,
            Statement::EipFallsSilent => self.eip_falls_silent().await,
            Statement::Ipv6EipIsListed => self.ipv6_eip_is_listed().await,
            Statement::ServiceHasBothAddresses => self.service_has_both_addresses().await,
            Statement::EndpointsHaveBothAddresses => self.endpoints_have_both_addresses().await,
            Statement::HttpReachesThePodsAtBoth => self.http_reaches_the_pods_at_both().await,
            Statement::OneNodeIsAnsweredForBoth => self.one_node_is_answered_for_both().await,
        }
    }

    fn show(&mut self, station: &str, command: &str, output: impl std::fmt::Display) {
        self.shown.push(show::command(station, command, output));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.shown.push(text.into());
    }

    /// Shows a table of the API server, as `kubectl get` with these arguments.
    async fn show_table(&mut self, arguments: &str, path: &str) -> Result<String, Unmet> {
        let table = self.kubectl.table(path, arguments.contains("-o wide")).await?;
        self.show("node1", &format!("kubectl get {arguments}"), &table);
        Ok(table)
    }

    /// Shows the client's neighbour cache.
    async fn show_neighbours(&mut self) -> Result<(), Unmet> {
        self.show_neighbours_as("ip neigh", Family::V4).await
    }

    async fn show_neighbours_as(&mut self, command: &str, family: Family) -> Result<(), Unmet> {
        let neighbours = neighbour::neighbours(&self.cluster.client, family).await?;
        let lines: Vec<_> = neighbours.iter().map(ToString::to_string).collect();
        self.show("client", command, lines.join("\n"));
        Ok(())
    }

    /// Where the client believes the EIP to be.
    async fn resolved(&self) -> Result<Option<MacAddr>, Unmet> {
        Ok(neighbour::resolved(&self.cluster.client, EIP.into()).await?)
    }

    /// The node that the client takes for the EIP.
    async fn answered_node(&self) -> Result<&'a Station, Unmet> {
        self.node_answered_for(EIP.into()).await
    }

    /// The node that the client takes for an address.
    async fn node_answered_for(&self, eip: IpAddr) -> Result<&'a Station, Unmet> {
        let mac = neighbour::resolved(&self.cluster.client, eip).await?;
        let mac =
            mac.ok_or_else(|| Unmet::new(format!("the client does not know where {eip} is")))?;
        let node = self.cluster.node_at(mac);
        node.ok_or_else(|| Unmet::new(format!("{eip} is at {mac}, which is no node's MAC")))
    }

    /// The node that is recorded on the Service.
    async fn recorded_node(&self) -> Result<Option<String>, Unmet> {
        let service = self.kubectl.service().await?;
        Ok(service.as_ref().and_then(kubectl::recorded_node).map(str::to_owned))
    }

    /// The node whose agent holds the Lease, as its pod's name tells.
    async fn leader(&self) -> Result<Option<(String, &'a Station)>, Unmet> {
        let lease = self.kubectl.lease().await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        Ok(holder.and_then(|holder| {
            let agent = self.cluster.agent_called(&holder)?;
            Some((holder, &*agent.node))
        }))
    }

    /// The frames that spoke for the EIP after a point of the capture.
    fn claims(&self, point: usize) -> Vec<Frame> {
        self.claims_of(EIP.into(), point)
    }

    /// The frames that spoke for an address after a point of the capture.
    fn claims_of(&self, eip: IpAddr, point: usize) -> Vec<Frame> {
        let mut frames = self.cluster.capture.since(point);
        frames.retain(|frame| frame.sender().is_some_and(|(address, _)| address == eip));
        frames
    }
}

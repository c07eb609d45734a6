//! Why a Service has the address that it has, or none, from what it asks for to what a host on the LAN
//! gets to hear.

use std::{fmt::Write as _, net::IpAddr};

use porter_core::{
    Explanation, Held, Ingress, Observer, Prospect, ServiceName, Standing, TrafficPolicy,
};
use serde::Serialize;

use super::Leader;

/// The whole chain for one Service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The Service.
    service: String,
    /// What it asks for, or why it is none of Porter's: a sentence.
    asks: String,
    /// Whether it is one of Porter's.
    ours: bool,
    /// What is to be known of that.
    remarks: Vec<String>,
    addresses: Vec<Address>,
    shows: Vec<String>,
    external_traffic_policy: &'static str,
    /// What is said of whether it is announced, and of others that claim its address.
    says: Vec<String>,
    leader: Leader,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    address: IpAddr,
    eip: String,
    interface: Option<String>,
    shared_with: Vec<String>,
    nodes: Vec<Node>,
    /// What a host hears that asks for it, if it hears anything.
    heard: Option<Heard>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: String,
    endpoints: usize,
    /// Whether it is on record as the one that is answered.
    on_record: bool,
    standing: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Heard {
    node: String,
    mac: String,
    interface: String,
}

impl Explained {
    /// Why a Service has what it has; `None` if it has nothing to do with Porter.
    pub fn of(name: &ServiceName, observer: &Observer<'_>, leader: Leader) -> Option<Self> {
        let explanation = observer.explain(name)?;
        let asks = match &explanation.asks {
            Ok(asks) => match (&asks.eip, &asks.address) {
                (None, None) => "for an address of any Eip".to_owned(),
                (Some(eip), None) => format!("for an address of Eip {eip}"),
                (None, Some(address)) => format!("for {address}"),
                (Some(eip), Some(address)) => format!("for {address} of Eip {eip}"),
            },
            Err(not_ours) => format!("nothing of Porter: {not_ours}"),
        };
        let remarks = explanation.asks.as_ref().map(|asks| asks.contradictions.clone());
        let shows = explanation.shown.iter().map(|shown| match shown {
            Ingress::Address(address) => address.to_string(),
            Ingress::Other(text) => text.clone(),
        });
        let conflict = explanation.conflict.iter().filter(|conflict| conflict.met);
        let says = explanation.announced.iter().chain(conflict);
        Some(Self {
            service: name.to_string(),
            asks,
            ours: explanation.asks.is_ok(),
            remarks: remarks.unwrap_or_default(),
            addresses: explanation
                .held
                .iter()
                .map(|held| Address::of(held, &explanation))
                .collect(),
            shows: shows.collect(),
            external_traffic_policy: match explanation.policy {
                TrafficPolicy::Cluster => "Cluster",
                TrafficPolicy::Local => "Local",
            },
            says: says
                .map(|condition| format!("{}: {}", condition.reason, condition.message))
                .collect(),
            leader,
        })
    }

    /// As a person reads it.
    pub fn text(&self) -> String {
        let mut text = format!("Service {}\n", self.service);
        let mut line = |head: &str, told: &str| {
            let _ = writeln!(text, "  {head:<9}{told}");
        };
        line("asks", &self.asks);
        self.remarks.iter().for_each(|remark| line("", remark));
        for address in &self.addresses {
            let Address { address, eip, interface, .. } = address;
            let on = interface.as_deref().map(|on| format!(", on {on}")).unwrap_or_default();
            line("holds", &format!("{address} of Eip {eip}{on}"));
        }
        if self.addresses.is_empty() && self.ours {
            line("holds", "no address");
        }
        for others in self.addresses.iter().filter(|it| !it.shared_with.is_empty()) {
            line("shares", &format!("{} with {}", others.address, others.shared_with.join(", ")));
        }
        if !self.shows.is_empty() {
            line("shows", &self.shows.join(", "));
        }
        let policy = match self.external_traffic_policy {
            "Local" => "Local: only nodes with an endpoint of it pass on what arrives",
            _ => "Cluster: every node passes on what arrives",
        };
        if self.ours {
            line("policy", policy);
        }
        // Those of two addresses differ if the endpoints of the two families do.
        let differ = self.addresses.windows(2).any(|pair| pair[0].nodes != pair[1].nodes);
        let shown =
            if differ { &self.addresses[..] } else { self.addresses.get(..1).unwrap_or(&[]) };
        for address in shown {
            if differ {
                line("for", &address.address.to_string());
            }
            for (i, node) in address.nodes.iter().enumerate() {
                line(if i == 0 { "nodes" } else { "" }, &node.text());
            }
        }
        self.says.iter().for_each(|said| line("says", said));
        line("leader", &self.leader.to_string());
        for address in &self.addresses {
            let told = match &address.heard {
                Some(Heard { mac, node, interface }) if self.leader.leads => format!(
                    "who asks on {interface} who has {} is told {mac}, which is {node}",
                    address.address
                ),
                Some(_) => {
                    format!("who asks for {} is told nothing: nobody leads", address.address)
                }
                None => format!("who asks for {} is told nothing", address.address),
            };
            line("a host", &told);
        }
        text
    }
}

impl Address {
    fn of(held: &Held, explanation: &Explanation) -> Self {
        let heard = explanation.answered.iter().find(|it| it.address == held.address);
        let nodes = held.prospects.iter().map(|prospect| {
            let on_record = explanation.node.as_ref() == Some(&prospect.node);
            Node::of(prospect, on_record)
        });
        Self {
            address: held.address,
            eip: held.eip.to_string(),
            interface: held.interface.clone(),
            shared_with: held.shared_with.iter().map(ToString::to_string).collect(),
            nodes: nodes.collect(),
            heard: heard.map(|at| Heard {
                node: at.node.to_string(),
                mac: at.mac.to_string(),
                interface: at.link.to_string(),
            }),
        }
    }
}

impl Node {
    fn of(prospect: &Prospect, on_record: bool) -> Self {
        let standing = match prospect.standing {
            Standing::Barred(why) => why.to_owned(),
            Standing::Candidate => "may be answered".to_owned(),
            Standing::NoEndpoint => "has no endpoint of it, and the policy is Local".to_owned(),
            Standing::Reserve => "is taken if no node with an endpoint can be relied on".to_owned(),
        };
        let (name, endpoints) = (prospect.node.to_string(), prospect.endpoints);
        Self { name, endpoints, on_record, standing }
    }

    fn text(&self) -> String {
        let Self { name, endpoints, on_record, standing } = self;
        let endpoints = match endpoints {
            0 => "no endpoint".to_owned(),
            1 => "1 endpoint".to_owned(),
            n => format!("{n} endpoints"),
        };
        let record = if *on_record { "; on record" } else { "" };
        format!("{name}  {endpoints}; {standing}{record}")
    }
}

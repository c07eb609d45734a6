//! Where an EIP is said to be: by whoever leads, in the condition of the Service, for people; and read
//! back from there by whoever shows it in a table.

use std::{fmt, net::IpAddr};

use pnet::util::MacAddr;

use crate::{LinkName, NodeName};

/// An EIP, and with what it is answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whereabouts {
    /// The EIP.
    pub address: IpAddr,
    /// The node that it is sent to.
    pub node: NodeName,
    /// The MAC of that node.
    pub mac: MacAddr,
    /// The link on which it is answered.
    pub link: LinkName,
}

impl Whereabouts {
    /// Those that a message tells of, in its order.
    pub fn told(message: &str) -> Vec<Self> {
        let clauses = message.split([';', ',']).map(str::trim);
        clauses.filter_map(Self::read).collect()
    }

    fn read(clause: &str) -> Option<Self> {
        let (address, rest) = clause.split_once(" is at ")?;
        let (node, rest) = rest.split_once(" (")?;
        let (mac, link) = rest.split_once(") on ")?;
        Some(Self {
            address: address.parse().ok()?,
            node: NodeName::from(node),
            mac: mac.parse().ok()?,
            link: LinkName::new(link)?,
        })
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, node, mac, link } = self;
        write!(f, "{address} is at {node} ({mac}) on {link}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back_from_among_other_clauses() {
        let at = |address: &str| Whereabouts {
            address: address.parse().expect("an address"),
            node: NodeName::from("node1.example"),
            mac: MacAddr(2, 0, 0, 0, 0, 9),
            link: LinkName::new("bond0.7").expect("a good name"),
        };
        let (four, six) = (at("172.22.0.188"), at("fd00::b8"));
        let both = format!("{four}; {six}, which has no endpoint: no node could be relied on");
        assert_eq!(Whereabouts::told(&both), [four, six.clone()]);
        let half = format!("172.22.0.188 is not answered: no, really, nobody is there; {six}");
        assert_eq!(Whereabouts::told(&half), [six]);
        assert_eq!(Whereabouts::told("the cat is at home (asleep) on sofa"), []);
    }
}

//! What people, other controllers and other replicas do, and what is seen of it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use porter_core::{
    Endpoint, Family, Input, Link, MacAddr, Node, NodeName, Port, Service, ServiceName, Slice,
    SliceName, Timestamp, Uid, WhoHas,
};

use super::{Bench, RECORD, asking, eip, eth0, layer2, link, mac, node};

/// The IPv6 address `fd00::last`, in hexadecimal.
pub(crate) fn six(last: u8) -> IpAddr {
    [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
}

/// A ready endpoint on a node.
pub(crate) fn ready(node: &str) -> Endpoint {
    Endpoint { node: Some(NodeName::from(node)), ready: true, serving: true, terminating: false }
}

/// An endpoint that still serves while it terminates.
pub(crate) fn draining(node: &str) -> Endpoint {
    Endpoint { ready: false, terminating: true, ..ready(node) }
}

/// A Service of its own age that asks for 172.22.0.188 by name, with one TCP port.
pub(crate) fn sharing(age: u8, port: u16) -> Service {
    let mut service = asking();
    service.metadata.created = Timestamp(age.into());
    service.metadata.uid = Some(Uid::from(format!("uid-{age}").as_str()));
    service.requested_ip = Some("172.22.0.188".to_owned());
    service.ports = [Port { protocol: "TCP".to_owned(), number: port }].into();
    service
}

/// A Service that prefers both families.
pub(crate) fn dual() -> Service {
    Service { families: vec![Family::V4, Family::V6], ..asking() }
}

/// A node with an address of each family on the LAN.
pub(crate) fn dual_node(last: u8) -> Node {
    Node { addresses: vec![eip(last), six(last)], ..node(last) }
}

impl Bench {
    /// A leader on a LAN of both families, with a pool of each.
    pub(crate) fn leading_dual() -> Self {
        let mut bench = Self::leading();
        let mut addresses = link().addresses;
        addresses.push("fd00::3/64".parse().unwrap());
        bench.tell(Input::Link(eth0(), Ok(Link { addresses, ..link() })));
        bench.node("node1", Some(dual_node(3)));
        bench.node("node3", Some(dual_node(9)));
        bench.node("node4", Some(dual_node(10)));
        bench.eip(&"six".into(), Some(layer2("fd00::b8-fd00::c8")));
        bench
    }

    /// Lets another replica lead for a while, and then this one again, which starts anew from what
    /// is on record.
    pub(crate) fn change_leader(&mut self) {
        self.usurp();
        assert!(!self.speaker.leads(self.now));
        self.run(Duration::from_secs(20));
        assert!(self.speaker.leads(self.now));
    }

    /// Changes a node.
    pub(crate) fn edit_node(&mut self, name: &str, edit: impl FnOnce(&mut Node)) {
        let mut node = self.api.nodes[&NodeName::from(name)].1.clone();
        edit(&mut node);
        self.node(name, Some(node));
    }

    /// Puts an EndpointSlice in place.
    pub(crate) fn slice(
        &mut self,
        name: &str,
        service: &ServiceName,
        family: Family,
        endpoints: Vec<Endpoint>,
    ) {
        let slice = Slice { service: service.clone(), family, endpoints };
        self.api.put_slice(&SliceName::new(service.namespace(), name), slice);
        self.settle();
    }

    /// Puts the node of a Service on record by hand.
    pub(crate) fn pin(&mut self, name: &ServiceName, node: &str) {
        self.edit_service(name, |service| {
            service.metadata.annotations.insert(RECORD.to_owned(), node.to_owned());
        });
    }

    /// The node on record for a Service.
    pub(crate) fn record(&self, name: &ServiceName) -> Option<&str> {
        self.shown(name).metadata.annotations.get(RECORD).map(String::as_str)
    }

    /// What is said of a Service: whether it is announced, and the reason.
    pub(crate) fn said(&self, name: &ServiceName) -> (bool, &str) {
        let said = self.shown(name).announced.as_ref().expect("something is said");
        (said.met, &said.reason)
    }

    /// The sentence that is said of a Service.
    pub(crate) fn message(&self, name: &ServiceName) -> &str {
        &self.shown(name).announced.as_ref().expect("something is said").message
    }

    /// What people were told for this reason.
    pub(crate) fn told(&self, reason: &str) -> Vec<&str> {
        let events = self.events.iter().filter(|event| event.reason == reason);
        events.map(|event| event.message.as_str()).collect()
    }

    /// Who is answered for `fd00::last`.
    pub(crate) fn ask_six(&self, last: u8) -> Option<MacAddr> {
        let (target, asker) = (six(last), (six(100), mac(100)));
        let question = WhoHas { link: eth0(), target, asker, via: asker.1 };
        self.answers.answer(&question, self.now, self.until).ok().map(|is_at| is_at.mac)
    }

    /// How many Services each node is on record for.
    pub(crate) fn spread(&self) -> BTreeMap<&str, usize> {
        let mut spread = BTreeMap::new();
        for node in self.api.services.keys().filter_map(|name| self.record(name)) {
            *spread.entry(node).or_default() += 1;
        }
        spread
    }
}

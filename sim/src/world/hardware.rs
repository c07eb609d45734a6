//! What breaks on nodes and between them, and comes back: power, cables, kube-proxy, and which way
//! frames get through.
//!
//! A node whose cable is out notices that, one that the LAN merely loses frames of does not. A node
//! without power takes its replica along, and its pods are thought to be there until the node
//! controller gives it up.

use std::time::Duration;

use porter_core::{Input, Kind, NodeName, ProxyHealth};

use super::{
    Event, NodeHost, Subject, World, eth0,
    lan::Port,
    replica::{ReplicaId, Task},
};

/// How long the node controller waits for a node's sign of life (`--node-monitor-grace-period`).
const GRACE: Duration = Duration::from_secs(40);
/// After how long a question to kube-proxy is given up.
const CHECK_MAX: Duration = Duration::from_secs(1);

impl World {
    /// Takes a node's power, its replica included, or gives it back: then it boots at once.
    pub fn set_power(&mut self, node: usize, on: bool) {
        let i = node % self.nodes.len();
        if std::mem::replace(&mut self.nodes[i].powered, on) == on {
            return;
        }
        let subject = Subject::Node(self.nodes[i].name.clone());
        if on {
            self.changes(subject, "has power again");
            self.put_node(i, |node| node.ready = true);
        } else {
            self.fails(subject, "loses its power");
        }
        if i < self.replicas.len() {
            match on {
                true => self.queue.push(self.now, Event::Start(i)),
                false => self.end(i),
            }
        }
        if !on {
            self.queue.push(self.now + GRACE, Event::GivenUp(i));
        }
    }

    /// Pulls a node's cable out, or puts it in again. The node notices.
    pub fn set_cable(&mut self, node: usize, plugged: bool) {
        let i = node % self.nodes.len();
        if std::mem::replace(&mut self.nodes[i].carrier, plugged) == plugged {
            return;
        }
        let subject = Subject::Node(self.nodes[i].name.clone());
        match plugged {
            true => self.changes(subject, "is on the LAN again"),
            false => self.fails(subject, "loses its link"),
        }
        if self.replicas.get(i).is_some_and(|replica| replica.process.is_some()) {
            let link = Some(self.link_of(i));
            self.task_after(i, Duration::ZERO, Task::Input(Input::Link(eth0(), link)));
        }
    }

    /// Ends kube-proxy on a node, or starts it: without it nothing that is sent to an EIP arrives
    /// anywhere, while the kernel goes on answering on the LAN.
    pub fn set_proxy(&mut self, node: usize, runs: bool) {
        let i = node % self.nodes.len();
        if std::mem::replace(&mut self.nodes[i].proxied, runs) != runs {
            let subject = Subject::Node(self.nodes[i].name.clone());
            match runs {
                true => self.changes(subject, "has kube-proxy again"),
                false => self.fails(subject, "loses kube-proxy"),
            }
        }
    }

    /// Keeps frames of one port from another, and of that one only; the way back is another one.
    /// The ports of hosts outside follow those of the nodes.
    pub fn part(&mut self, from: usize, to: usize) {
        let n_ports = self.nodes.len() + self.hosts.len();
        let (from, to) = (from % n_ports, to % n_ports);
        if from != to {
            self.fails(Subject::World, format!("no frame of port {from} gets to port {to}"));
            self.switch.part(from, to);
        }
    }

    /// Ends every [`World::part`].
    pub fn join(&mut self) {
        if self.switch.join() {
            self.changes(Subject::World, "is one LAN again");
        }
    }

    /// Has a replica's watch say its last words again, as one does that is taken up too early.
    pub fn repeat_watch(&mut self, id: usize, kind: Kind, n_last: u8) {
        let all = self.api.log(0);
        let of_kind = all.iter().rev().filter(|change| change.kind == kind);
        let mut last: Vec<_> =
            of_kind.take(usize::from(n_last)).map(|change| change.sighting.clone()).collect();
        last.reverse();
        for sighting in last {
            self.deliver(id, kind, sighting);
        }
    }

    /// Repairs everything that this module breaks.
    pub(super) fn repair(&mut self) {
        self.join();
        for i in 0..self.nodes.len() {
            self.set_power(i, true);
            self.set_cable(i, true);
            self.set_proxy(i, true);
        }
    }

    /// The node controller has waited for a node long enough.
    pub(super) fn handle_given_up(&mut self, i: usize) {
        if !self.nodes[i].powered {
            self.put_node(i, |node| node.ready = false);
        }
    }

    /// Whether frames get into and out of a port. A host outside always has power.
    pub(super) fn carries(&self, port: Port) -> bool {
        self.nodes.get(port).is_none_or(|node| node.powered && node.carrier)
    }
}

impl World {
    /// Asks kube-proxy on a node how it is, over the LAN; a node that is not there says nothing for a
    /// second.
    pub(super) fn check_proxy(&mut self, id: ReplicaId, name: NodeName) {
        let there = |node: &NodeHost| node.powered && node.carrier;
        let (mut health, mut delay) = (ProxyHealth::Silent, CHECK_MAX);
        if let Some(i) = self.nodes.iter().position(|node| node.name == name)
            && there(&self.nodes[i])
            && (id == i || there(&self.nodes[id]))
        {
            delay = self.weather.lan_delay * 2;
            if self.nodes[i].proxied {
                health = ProxyHealth::Well;
            }
        }
        self.task_after(id, delay, Task::Input(Input::Checked(name, health)));
    }
}

impl NodeHost {
    /// Whether what is sent to an EIP is taken on here.
    pub(super) fn forwards(&self) -> bool {
        self.powered && self.carrier && self.proxied
    }
}

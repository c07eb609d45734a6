//! What breaks on nodes and between them, and comes back: power, cables, kube-proxy, and which way
//! frames get through.
//!
//! A node whose cable is out notices that, one that the LAN merely loses frames of does not. A node
//! without power takes its replica along, and its pods are thought to be there until the node
//! controller gives it up.

use std::{net::IpAddr, time::Duration};

use porter_core::{Input, Kind, MacAddr, NodeName, ProxyHealth};

use super::{
    Event, NodeHost, Subject, World, eth0,
    lan::Port,
    replica::{ReplicaId, Task},
};

/// How long the node controller waits for a node's sign of life (`--node-monitor-grace-period`).
pub(crate) const GRACE: Duration = Duration::from_secs(40);
/// After how long a question to kube-proxy is given up.
const CHECK_MAX: Duration = Duration::from_secs(1);
/// How often a kubelet tells how its node is (`nodeStatusUpdateFrequency`).
const STATUS_EVERY: Duration = Duration::from_secs(10);

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
        self.tell_link(i);
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

    /// Gives a node the MAC of another one, as a virtual machine has that was copied.
    pub fn clone_mac(&mut self, node: usize, other: usize) {
        let (i, other) = (node % self.nodes.len(), other % self.nodes.len());
        if self.nodes[i].mac != self.nodes[other].mac {
            let (mac, name) = (self.nodes[other].mac, self.nodes[other].name.clone());
            self.set_mac(i, mac, &format!("has the MAC of {name}"));
        }
    }

    /// Gives a node a network card with a MAC that nobody ever had. Two at one moment would leave no order
    /// in which it had them.
    pub(super) fn swap_nic(&mut self, i: usize) {
        if self.nodes[i].card_since.replace(self.now) == Some(self.now) {
            return;
        }
        let node = &self.nodes[i];
        // The last byte tells of which node it was.
        let own = node.macs.iter().rev().find(|mac| mac.5 == node.macs[0].5);
        let mut mac = *own.expect("the first one is its own");
        mac.3 = mac.3.wrapping_add(1);
        self.set_mac(i, mac, &format!("gets a network card with {mac}"));
    }

    fn set_mac(&mut self, i: usize, mac: MacAddr, what: &str) {
        self.nodes[i].mac = mac;
        self.nodes[i].macs.push(mac);
        self.note_own_double(i);
        self.fails(Subject::Node(self.nodes[i].name.clone()), what);
        self.tell_link(i);
    }

    /// Tells the replica on a node, if there is one, how its link is.
    fn tell_link(&mut self, i: usize) {
        if self.replicas.get(i).is_some_and(|replica| replica.process.is_some()) {
            let link = Ok(self.link_of(i));
            self.task_after(i, Duration::ZERO, Task::Input(Input::Link(eth0(), link)));
        }
    }

    /// Gives a node another address. Its kubelet tells so within ten seconds.
    pub fn renumber(&mut self, node: usize) {
        let i = node % self.nodes.len();
        let from = u8::try_from(i % 8).expect("it is below 8") * 8;
        let numbers = (0..80).map(|n| 20 + (from + n) % 80);
        let had = |address: &IpAddr| self.nodes.iter().any(|node| node.addresses.contains(address));
        let addresses = numbers.map(|number| self.address_in_net(number));
        if let Some(address) = addresses.into_iter().find(|address| !had(address)) {
            self.set_address(i, address);
        }
    }

    /// A replica on a node takes that node's MAC for all who are thought to be at its address.
    fn note_own_double(&mut self, i: usize) {
        let (address, mac) = (self.nodes[i].address, self.nodes[i].mac);
        self.note_doubles(address, mac);
    }

    fn set_address(&mut self, i: usize, address: IpAddr) {
        self.nodes[i].address = address;
        self.nodes[i].addresses.push(address);
        self.note_own_double(i);
        self.fails(Subject::Node(self.nodes[i].name.clone()), format!("is at {address} now"));
        self.tell_link(i);
        let tells_at = self.now + self.rng.up_to(STATUS_EVERY);
        self.queue.push(tells_at, Event::Registered(i));
    }

    /// Gives a node the address of another one, besides its own: both answer for it.
    pub fn double(&mut self, node: usize, by: usize) {
        let (i, by) = (node % self.nodes.len(), by % self.nodes.len());
        if i == by {
            return;
        }
        self.nodes[by].also = Some(self.nodes[i].address);
        let (name, address) = (self.nodes[by].name.clone(), self.nodes[i].address);
        self.fails(Subject::Node(name), format!("has {address}, which is another node's"));
    }

    /// Gives a node an EIP for its own address. Its kubelet tells so within ten seconds.
    pub fn take_eip(&mut self, node: usize, eip: IpAddr) {
        let i = node % self.nodes.len();
        if self.nodes.iter().all(|node| node.address != eip) {
            self.misled = true; // It answers for the EIP until it has another one.
            self.set_address(i, eip);
        }
    }

    /// Has a node's kernel answer for the EIPs that kube-proxy has there, or not.
    pub fn set_answers_eips(&mut self, node: usize, answers: bool) {
        let i = node % self.nodes.len();
        if std::mem::replace(&mut self.nodes[i].answers_eips, answers) != answers {
            let subject = Subject::Node(self.nodes[i].name.clone());
            match answers {
                true => self.fails(subject, "answers for EIPs itself"),
                false => self.changes(subject, "leaves EIPs to Porter again"),
            }
            self.misled = true;
        }
    }

    /// Suspends a host: nothing happens there, and its clock goes on.
    pub fn suspend(&mut self, node: usize, span: Duration) {
        let i = node % self.nodes.len();
        self.fails(Subject::Node(self.nodes[i].name.clone()), format!("is suspended for {span:?}"));
        let until = self.nodes[i].suspended_until.max(self.now + span);
        self.nodes[i].suspended_until = until;
        if i < self.replicas.len() {
            self.stall(i, span);
        }
        self.queue.push(self.now + GRACE, Event::GivenUp(i));
        self.queue.push(until, Event::Resumed(i));
    }

    /// Steps the wall clock of a node, or of the API server, to be off by this much. Processes that run
    /// go on with what they saw when they started.
    pub fn step_wall_clock(&mut self, host: usize, secs: i32) {
        let i = host % (self.nodes.len() + 1);
        let subject = match self.nodes.get_mut(i) {
            Some(node) => {
                node.wall_secs = secs;
                Subject::Node(node.name.clone())
            }
            None => {
                self.api_wall_secs = secs;
                Subject::World
            }
        };
        self.fails(subject, format!("has a wall clock that is off by {secs} s"));
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
            self.misled = true; // All five announcements of a move may have been lost.
            self.changes(Subject::World, "is one LAN again");
        }
    }

    /// Has a node lose so many of a thousand frames, each way, as behind a bad cable.
    pub fn set_marginal(&mut self, node: usize, lost: u32) {
        let i = node % self.nodes.len();
        if self.switch.set_marginal(i, lost) {
            self.misled = true; // All five announcements of a move may have been lost.
            let subject = Subject::Node(self.nodes[i].name.clone());
            match lost {
                0 => self.changes(subject, "has a good cable again"),
                _ => self.fails(subject, format!("loses {lost} of a thousand frames each way")),
            }
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

    /// Repairs everything that this module breaks, but for what was left outside and harms nobody else.
    pub(super) fn repair(&mut self) {
        self.join();
        self.api_wall_secs = 0;
        for i in 0..self.nodes.len() {
            if self.is_core(i) {
                self.set_power(i, true);
                self.set_cable(i, true);
                self.set_proxy(i, true);
            }
            self.set_marginal(i, 0);
            self.set_answers_eips(i, false);
            self.nodes[i].also = None;
            if self.is_in_pool(self.nodes[i].address) {
                self.renumber(i);
            }
            self.handle_registered(i);
            self.handle_resumed(i);
            self.nodes[i].wall_secs = 0;
            if self.nodes[i].mac.5 != self.nodes[i].macs[0].5 {
                self.swap_nic(i);
            }
        }
    }

    /// The node controller has waited for a node long enough.
    pub(super) fn handle_given_up(&mut self, i: usize) {
        if !self.nodes[i].powered || self.is_suspended(i) {
            self.put_node(i, |node| node.ready = false);
        }
    }

    /// A kubelet tells the address of its node.
    pub(super) fn handle_registered(&mut self, i: usize) {
        let addresses = self.nodes[i].has();
        if self.api.nodes.get(&self.nodes[i].name).is_some_and(|(_, it)| it.addresses != addresses)
        {
            self.put_node(i, |node| node.addresses = addresses);
        }
    }

    /// A host goes on that was suspended, unless it was suspended again.
    pub(super) fn handle_resumed(&mut self, i: usize) {
        if self.nodes[i].powered && !self.is_suspended(i) {
            self.put_node(i, |node| node.ready = true);
        }
    }

    pub(super) fn is_suspended(&self, i: usize) -> bool {
        self.now < self.nodes[i].suspended_until
    }

    /// Whether frames get into and out of a port. A host outside always has power.
    pub(super) fn carries(&self, port: Port) -> bool {
        let carries = |node: &NodeHost| node.powered && node.carrier && !self.is_suspended(port);
        self.nodes.get(port).is_none_or(carries)
    }
}

impl World {
    /// Asks kube-proxy on a node how it is, over the LAN; a node that is not there says nothing for a
    /// second.
    pub(super) fn check_proxy(&mut self, id: ReplicaId, name: NodeName) {
        let (mut health, mut delay) = (ProxyHealth::Silent, CHECK_MAX);
        if let Some(i) = self.nodes.iter().position(|node| node.name == name)
            && self.carries(i)
            && (id == i || self.carries(id))
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
    /// Its own addresses, one of each family first.
    pub(super) fn has(&self) -> Vec<IpAddr> {
        let more = self.more.iter().copied();
        [self.address].into_iter().chain(self.address6).chain(more).collect()
    }

    /// Whether what is sent to an EIP is taken on here.
    pub(super) fn forwards(&self) -> bool {
        self.powered && self.carrier && self.proxied
    }
}

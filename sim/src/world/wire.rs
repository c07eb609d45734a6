//! What the hosts of the LAN do with the frames that reach them.

use std::net::IpAddr;

use porter_core::{
    Input, IsAt, MacAddr, NodeName, Probe, WhoHas,
    wire::{self, Heard},
};

use super::{
    Event, NodeHost, World, eth0,
    family::{ALL_NODES, asked_in},
    frame::{Frame, Says},
    lan::Port,
    replica::{Incarnation, ReplicaId, Task},
};
use crate::check::Sometimes;

impl World {
    /// Puts a frame on the LAN.
    pub(super) fn send(&mut self, from: Port, frame: &Frame) {
        if !self.carries(from) {
            return;
        }
        self.note_double(frame);
        let refused = self.switch.refuses(frame, &self.host_behind(from));
        self.note_claim(frame, refused);
        if refused || self.is_lost(from) {
            return;
        }
        for port in self.switch.forward(frame, from, self.now) {
            if self.is_lost(port) {
                continue;
            }
            if !self.rng.chance(self.weather.lan_loss) {
                self.arrive(port, frame);
            }
            if self.rng.chance(self.weather.lan_duplicates) {
                self.arrive(port, frame);
            }
        }
    }

    /// Notes that a host speaks for an address of its own that is a node's, or was.
    fn note_double(&mut self, frame: &Frame) {
        let Says::IsAt { target, mac, .. } = frame.says else { return };
        if frame.src == mac {
            self.note_doubles(target, mac);
        }
    }

    /// Notes that a node's address, or one that it had, is said to be at this MAC.
    pub(super) fn note_doubles(&mut self, target: IpAddr, mac: MacAddr) {
        for node in self.nodes.iter_mut().filter(|node| node.addresses.contains(&target)) {
            if !node.macs.contains(&mac) && !node.others.contains(&mac) {
                node.others.push(mac);
            }
        }
    }

    /// Notes that others than replicas speak for an EIP, or that nobody hears it.
    fn note_claim(&mut self, frame: &Frame, refused: bool) {
        let Some((address, _)) = frame.claim() else { return };
        let strange = self.nodes.iter().all(|node| node.mac != frame.src);
        if (refused || strange) && self.is_eip(address) {
            self.checks.seen.hit(if refused {
                Sometimes::Stifled
            } else {
                Sometimes::Contradicted
            });
        }
    }

    /// Whether the cable of a port loses a frame.
    fn is_lost(&mut self, port: Port) -> bool {
        let lost = self.switch.loss(port);
        self.rng.chance(lost)
    }

    /// Has a frame arrive after a while, which may be before one that was sent earlier.
    fn arrive(&mut self, port: Port, frame: &Frame) {
        let at = self.now + self.rng.up_to(self.weather.lan_delay);
        self.queue.push(at, Event::Frame(port, frame.clone()));
    }

    /// The addresses of the host behind a port, each with its MAC.
    fn host_behind(&self, port: Port) -> Vec<(IpAddr, MacAddr)> {
        match port.checked_sub(self.nodes.len()) {
            None => {
                let node = &self.nodes[port];
                node.has().into_iter().map(|address| (address, node.mac)).collect()
            }
            Some(i) => self.hosts[i].identities(),
        }
    }

    pub(super) fn handle_frame(&mut self, port: Port, frame: &Frame) {
        if !self.carries(port) {
            return;
        }
        match port.checked_sub(self.nodes.len()) {
            None => self.handle_frame_at_node(port, frame),
            Some(i) => {
                let n_tentative = self.hosts[i].n_tentative();
                self.hosts[i].handle_frame(frame, self.now);
                if self.hosts[i].n_tentative() < n_tentative {
                    self.checks.seen.hit(Sometimes::Defended);
                }
                self.drain_host(i);
            }
        }
    }

    /// Lets a frame leave that speaks for an EIP: this is what one voice is about.
    pub(super) fn handle_speech(&mut self, id: ReplicaId, from: Incarnation, frame: Frame) {
        if !self.nodes[id].powered || self.is_suspended(id) {
            return; // It never left the card.
        }
        let mut checks = std::mem::take(&mut self.checks);
        let verdict = checks.spoken(self, id, from, &frame);
        self.checks = checks;
        self.owe(verdict);
        self.log(format!("{} → LAN  {frame}", self.replicas[id].name));
        self.note_speech(id, &frame);
        self.send(id, &frame);
    }

    /// Puts a question about a node's MAC on the LAN.
    pub(super) fn probe(&mut self, id: ReplicaId, probe: &Probe) {
        let verdict = self.checks.probed(probe);
        self.owe(verdict);
        let dst = probe.to.unwrap_or_else(|| asked_in(probe.target));
        let says = Says::WhoHas { target: probe.target, asker: probe.sender };
        self.send(id, &Frame { src: self.nodes[id].mac, dst, says });
    }

    /// Puts what a host outside the cluster has to say on the LAN.
    pub(super) fn drain_host(&mut self, i: usize) {
        let port = self.nodes.len() + i;
        while let Some(frame) = self.hosts[i].poll_frame() {
            self.log(format!("{} → LAN  {frame}", self.hosts[i].name()));
            self.note_question(&frame);
            self.send(port, &frame);
        }
        if let Some(due_at) = self.hosts[i].poll_timeout() {
            self.queue.push(due_at.max(self.now), Event::HostTimer(i));
        }
    }

    /// A node's kernel answers for its own address, and mostly for that only, kube-proxy delivers what is sent to an
    /// EIP, and a replica that runs there listens to every question and every claim.
    fn handle_frame_at_node(&mut self, port: Port, frame: &Frame) {
        let node = &self.nodes[port];
        if frame.dst != node.mac && !self.is_in_group(port, frame.dst) {
            return;
        }
        let (name, own, mac) = (node.name.clone(), node.has(), node.mac);
        let has = |target| own.contains(&target) || node.also == Some(target);
        match frame.says {
            Says::WhoHas { target, asker }
                if asker.0 != target && (has(target) || self.answers_eip(port, target)) =>
            {
                self.send(port, &Frame::own_answer(mac, target, asker));
            }
            Says::Ping { from, target, number } => {
                if own.contains(&target) || self.delivers(&name, target) {
                    let says = Says::Pong { to: from, number, by: name };
                    self.send(port, &Frame { src: mac, dst: frame.src, says });
                }
            }
            Says::Bytes(_) | Says::IsAt { .. } | Says::Pong { .. } | Says::WhoHas { .. } => {}
        }
        if self.listens(port) && self.is_passed_on(port, frame) {
            self.overhear(port, frame);
        }
    }

    /// Whether a node's kernel passes a frame on to who listens there. A solicitation that a host sends
    /// to the MAC that it knows is for the address that it asks for, and goes the way of all packets to
    /// it; the socket for neighbor discovery sees what is for groups and for the node alone.
    fn is_passed_on(&self, node: usize, frame: &Frame) -> bool {
        match frame.says {
            Says::WhoHas { target, .. } if target.is_ipv6() => {
                frame.dst.is_multicast() || self.nodes[node].has().contains(&target)
            }
            Says::Bytes(_)
            | Says::IsAt { .. }
            | Says::Ping { .. }
            | Says::Pong { .. }
            | Says::WhoHas { .. } => true,
        }
    }

    /// Hands a frame to the replica on the node where it arrived.
    fn overhear(&mut self, id: ReplicaId, frame: &Frame) {
        let via = via(frame);
        let task = match frame.says {
            Says::Bytes(ref bytes) => {
                let read = wire::parse(eth0(), self.nodes[id].mac, bytes);
                let verdict = self.checks.read(bytes, read.as_ref());
                self.owe(verdict);
                match read {
                    Ok(Heard::IsAt(claim)) => Task::Input(Input::Heard(claim)),
                    Ok(Heard::WhoHas(question)) => Task::Answer(question),
                    Err(_) => return,
                }
            }
            Says::WhoHas { target, asker } if asker.0 != target => {
                // Who asks from nowhere does not tell its MAC, where IPv6 is concerned.
                let told = !asker.0.is_unspecified() || target.is_ipv4();
                let asker = (asker.0, if told { asker.1 } else { MacAddr::zero() });
                Task::Answer(WhoHas { link: eth0(), target, asker, via })
            }
            Says::IsAt { .. } | Says::WhoHas { .. } => {
                let Some((target, mac)) = frame.claim() else { return };
                let to = match frame.says {
                    Says::IsAt { to, .. } if frame.is_addressed() => Some(to),
                    // An announcement is addressed to nobody, whatever its form.
                    Says::IsAt { .. } | Says::WhoHas { .. } => None,
                    Says::Bytes(_) | Says::Ping { .. } | Says::Pong { .. } => return,
                };
                Task::Input(Input::Heard(IsAt { link: eth0(), target, mac, to, via }))
            }
            Says::Ping { .. } | Says::Pong { .. } => return,
        };
        if let Task::Answer(question) = &task {
            if !self.heeds(id, question.target) {
                self.checks.seen.hit(Sometimes::Unheeded);
                return;
            }
            if question.asker.0.is_unspecified() {
                let probed = Task::Input(Input::Probed(*question));
                self.task_after(id, std::time::Duration::ZERO, probed);
            }
            let stirred = Task::Input(Input::Stirred(eth0()));
            self.task_after(id, std::time::Duration::ZERO, stirred);
        }
        self.task_after(id, std::time::Duration::ZERO, task);
    }

    /// Whether a node's kernel answers for what is kube-proxy's business. For IPv6 none does: it is
    /// asked in the group of the address, which it is in on the link that has the address alone.
    fn answers_eip(&self, node: usize, address: IpAddr) -> bool {
        let node = &self.nodes[node];
        address.is_ipv4() && node.answers_eips && node.proxied && self.is_eip(address)
    }

    /// Whether some Service shows an address.
    pub(super) fn is_eip(&self, address: IpAddr) -> bool {
        let mut services = self.api.services.values();
        services.any(|(_, service)| service.shown().any(|shown| shown == address))
    }

    /// Whether kube-proxy on `node` has a pod for what is sent to `eip`.
    pub(super) fn delivers(&self, node: &NodeName, eip: IpAddr) -> bool {
        let host = self.nodes.iter().find(|host| host.name == *node);
        if !host.is_some_and(NodeHost::forwards) {
            return false;
        }
        // A pod goes with its node's power, long before the node is given up.
        let runs = |of: &NodeName| self.nodes.iter().any(|host| host.name == *of && host.powered);
        self.api.services.iter().any(|(name, (_, service))| {
            service.shown().any(|shown| shown == eip)
                && self.cluster.delivers(node, name, service.policy, runs)
        })
    }
}

/// The Ethernet address at the other end of a message, or what tells of it: neighbor discovery does
/// not look at the Ethernet source.
fn via(frame: &Frame) -> MacAddr {
    match frame.says {
        Says::WhoHas { target, asker } if target.is_ipv6() => match asker.0.is_unspecified() {
            true => ALL_NODES,
            false => asker.1,
        },
        // What was solicited comes from the address that it is about. To everybody a kernel speaks for
        // itself, and a replica from an address of its own.
        Says::IsAt { target, mac, .. } if target.is_ipv6() => {
            match frame.is_addressed() || frame.src == mac {
                true => mac,
                false => MacAddr::zero(),
            }
        }
        Says::Bytes(_)
        | Says::IsAt { .. }
        | Says::Ping { .. }
        | Says::Pong { .. }
        | Says::WhoHas { .. } => frame.src,
    }
}

//! What strangers do on the LAN, and what switches do to it: storms of questions, frames that make no
//! sense, a host that claims an EIP, and guards that do not know of speakers for others.
//!
//! Nothing of it teaches a replica anything. What hosts made of it meanwhile lasts: they are told
//! better when an EIP is announced the next time.

use std::net::IpAddr;

use porter_core::{IsAt, MacAddr, Probe, wire};

use super::{
    Client, Subject, World, eth0, family,
    frame::{Frame, Says},
    lan::Guards,
    rng::Rng,
};
use crate::check;

/// How many frames that make no sense come at once.
const N_GARBLED: u8 = 20;

impl World {
    /// Has everybody asked for an EIP this many times at once, half of it in other hosts' names.
    pub fn storm(&mut self, eip: IpAddr, n_frames: u16) {
        self.fails(Subject::World, format!("has {n_frames} questions for {eip} at once"));
        let (port, host) = (self.nodes.len(), self.hosts[0].identity());
        for i in 0..n_frames {
            let [high, low] = i.to_be_bytes();
            let asker = match i % 2 {
                0 => host,
                _ => (self.address_in_net(110), MacAddr(0x02, 0x57, 0, 0, high, low)),
            };
            self.send(port, &Frame::who_has(eip, asker));
        }
    }

    /// Puts frames on the LAN that were right once: some bytes of each are others, or missing, or too
    /// many.
    pub fn garble(&mut self, seed: u32) {
        self.fails(Subject::World, "has frames that make no sense");
        let rng = &mut Rng::new(u64::from(seed));
        for _ in 0..N_GARBLED {
            let (src, dst) = (self.hosts[0].identity().1, MacAddr::broadcast());
            let says = Says::Bytes(self.garbled(rng));
            self.send(self.nodes.len(), &Frame { src, dst, says });
        }
    }

    /// Has a strange host take an EIP for its own, or give it back. There is one such host.
    pub fn claim(&mut self, eip: IpAddr, claims: bool) {
        if !claims && self.hosts.len() == self.n_clients() {
            return;
        }
        let i = self.stranger();
        if self.hosts[i].claim(eip, claims, self.now) {
            match claims {
                true => self.fails(Subject::World, format!("has a stranger that claims {eip}")),
                false => self.changes(Subject::World, format!("has a stranger that leaves {eip}")),
            }
            self.misled = true;
            self.drain_host(i);
        }
    }

    /// Has the strange host announce a node's address as its own, once. It answers nobody who asks.
    pub fn spoof(&mut self, node: usize) {
        let node = &self.nodes[node % self.nodes.len()];
        let (addresses, subject) = (node.has(), Subject::Node(node.name.clone()));
        self.fails(subject, "has its address announced by a stranger");
        let i = self.stranger();
        let (port, mac) = (self.nodes.len() + i, self.hosts[i].identity().1);
        let frames = addresses.into_iter().flat_map(|it| Frame::announcement(mac, it, mac));
        frames.for_each(|frame| self.send(port, &frame));
    }

    /// The strange host, which is plugged in when it is needed first.
    fn stranger(&mut self) -> usize {
        if self.hosts.len() == self.n_clients() {
            self.add_client("stranger", 99, Client::Linux);
        }
        self.n_clients()
    }

    /// Has the switch let each port speak of its own host alone, or not.
    pub fn set_inspects(&mut self, inspects: bool) {
        self.guard(|guards| guards.inspects = inspects, "inspects who speaks of what", inspects);
    }

    /// Has the switch drop announcements, or not.
    pub fn set_filters(&mut self, filters: bool) {
        self.guard(|guards| guards.filters = filters, "drops announcements", filters);
    }

    /// Has the switch take each port for that of the last MAC that was spoken of there, or not.
    pub fn set_binds(&mut self, binds: bool) {
        self.guard(|guards| guards.binds = binds, "binds ports to whom is spoken of there", binds);
    }

    /// Ends everything that this module does.
    pub(super) fn hush(&mut self) {
        self.set_inspects(false);
        self.set_filters(false);
        self.set_binds(false);
        for i in self.n_clients()..self.hosts.len() {
            for eip in self.hosts[i].claims() {
                self.claim(eip, false);
            }
        }
    }

    /// How many of the hosts outside are clients: the first ones.
    pub(super) fn n_clients(&self) -> usize {
        self.options.clients.len().max(1)
    }

    fn guard(&mut self, set: impl FnOnce(&mut Guards), what: &str, begins: bool) {
        let before = self.switch.guards;
        set(&mut self.switch.guards);
        if self.switch.guards != before {
            match begins {
                true => self.fails(Subject::World, format!("has a switch that {what}")),
                false => self.changes(Subject::World, format!("has no switch that {what}")),
            }
            self.misled = true;
        }
    }

    fn garbled(&self, rng: &mut Rng) -> Vec<u8> {
        let node = &self.nodes[usize::from(byte(rng)) % self.nodes.len()];
        let of_v6 = self.is_dual_stack() && rng.chance(500);
        let (address, pool) = match node.address6.filter(|_| of_v6) {
            Some(address) => (address, family::v6(188)),
            None => (node.address, self.address_in_net(188)),
        };
        let target = rng.pick(&[address, pool]);
        let identities = self.hosts[0].identities();
        let (own, client) = (self.hosts[0].identity().1, identities[usize::from(of_v6)]);
        let is_at = IsAt { link: eth0(), target, mac: node.mac, to: Some(client), via: client.1 };
        let probe = Probe { link: eth0(), target, to: None, sender: client };
        let frame = match rng.below(3) {
            0 => wire::answer(&own.into(), &is_at),
            1 => wire::announcements(&own.into(), &is_at).map(|[request, _]| request),
            _ => wire::probe(&probe),
        };
        let mut bytes = frame.expect("these are addresses of one family").bytes().to_vec();
        match rng.below(4) {
            0 => bytes.truncate(usize::from(byte(rng)) % bytes.len()),
            1 => bytes.extend((0..byte(rng)).map(|_| byte(rng))),
            2 => bytes.iter_mut().for_each(|it| *it = byte(rng)),
            _ => {
                for _ in 0..=rng.below(4) {
                    let i = usize::from(byte(rng)) % bytes.len();
                    bytes[i] ^= byte(rng);
                }
            }
        }
        if of_v6 {
            check::mend_checksum(&mut bytes); // It would be dropped for that, whatever else it says.
        }
        bytes
    }
}

fn byte(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(256)).expect("it is below a u8")
}

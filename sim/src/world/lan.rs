//! The LAN: one switch that learns which MAC is behind which port, and what switches do that people
//! have configured.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use porter_core::MacAddr;

use super::{clock::Moment, frame::Frame};

/// A port of the switch; every host is behind one of its own.
pub(crate) type Port = usize;

/// A learning switch.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    n_ports: usize,
    /// Where each MAC was heard last, and when.
    learned: BTreeMap<MacAddr, (Port, Moment)>,
    /// From which port frames do not get to which.
    parted: BTreeSet<(Port, Port)>,
    /// After how long without a frame from it a MAC is forgotten; `None`: never.
    ages_after: Option<Duration>,
    /// Whether a frame to a MAC that is not known is dropped, and not sent everywhere.
    blocks_unknown: bool,
    /// Of a thousand frames, how many are lost at a port, where any are.
    marginal: BTreeMap<Port, u32>,
    pub(super) guards: Guards,
}

/// What a switch does to frames that say where an address is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Guards {
    /// Each port may speak of the address and the MAC of the host behind it alone (dynamic ARP
    /// inspection). Whoever speaks for others, as Porter does, is not heard.
    pub(super) inspects: bool,
    /// Announcements are dropped.
    pub(super) filters: bool,
    /// A port has one MAC: the last that spoke there, and that is the sender in the ARP message
    /// where there is one, not the Ethernet source. So frames to a node that was spoken for go to
    /// the speaker, until the node speaks itself.
    pub(super) binds: bool,
}

impl Switch {
    pub(crate) fn new(ages_after: Option<Duration>, blocks_unknown: bool) -> Self {
        Self {
            n_ports: 0,
            learned: BTreeMap::new(),
            parted: BTreeSet::new(),
            ages_after,
            blocks_unknown,
            marginal: BTreeMap::new(),
            guards: Guards::default(),
        }
    }

    /// Plugs one more host in.
    pub(crate) fn plug(&mut self) -> Port {
        self.n_ports += 1;
        self.n_ports - 1
    }

    /// Whether a frame is dropped where it comes in, behind which is the host with the addresses `bound`.
    pub(crate) fn refuses(&self, frame: &Frame, bound: &[(IpAddr, MacAddr)]) -> bool {
        let Guards { inspects, filters, binds: _ } = self.guards;
        filters && frame.is_gratuitous()
            || inspects && frame.claim().is_some_and(|claim| !bound.contains(&claim))
    }

    /// The ports that a frame leaves by which came in by `from`.
    pub(crate) fn forward(&mut self, frame: &Frame, from: Port, now: Moment) -> Vec<Port> {
        self.learn(frame, from, now);
        let known = self.learned.get(&frame.dst);
        let fresh = |at: Moment| self.ages_after.is_none_or(|age| now.since(at) < age);
        let known = known.filter(|(_, at)| fresh(*at)).map(|(port, _)| *port);
        let mut ports = match known {
            Some(port) if port == from => Vec::new(),
            Some(port) => vec![port],
            None if self.blocks_unknown && !frame.dst.is_multicast() => Vec::new(),
            None => (0..self.n_ports).filter(|port| *port != from).collect(),
        };
        ports.retain(|port| !self.parted.contains(&(from, *port)));
        ports
    }

    fn learn(&mut self, frame: &Frame, from: Port, now: Moment) {
        let mac = match frame.claim() {
            Some((_, mac)) if self.guards.binds => mac,
            Some(_) | None => frame.src,
        };
        if self.guards.binds {
            self.learned.retain(|_, (port, _)| *port != from);
        }
        self.learned.insert(mac, (from, now));
    }

    /// Has so many of a thousand frames be lost at a port. Says whether that is new.
    pub(crate) fn set_marginal(&mut self, port: Port, lost: u32) -> bool {
        let before = match lost {
            0 => self.marginal.remove(&port),
            lost => self.marginal.insert(port, lost),
        };
        before.unwrap_or_default() != lost
    }

    /// Of a thousand frames, how many are lost at a port.
    pub(crate) fn loss(&self, port: Port) -> u32 {
        self.marginal.get(&port).copied().unwrap_or_default()
    }

    /// Keeps frames that come in by one port from leaving by another.
    pub(crate) fn part(&mut self, from: Port, to: Port) {
        self.parted.insert((from, to));
    }

    /// Ends every [`Switch::part`]. Says whether there was one.
    pub(crate) fn join(&mut self) -> bool {
        !std::mem::take(&mut self.parted).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const A: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
    const B: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);
    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));

    fn at(secs: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(secs)
    }

    fn ask(asker: MacAddr, dst: MacAddr) -> Frame {
        Frame { dst, ..Frame::who_has(ADDRESS, (ADDRESS, asker)) }
    }

    fn switch(ages_after: Option<Duration>, blocks_unknown: bool) -> (Switch, [Port; 3]) {
        let mut switch = Switch::new(ages_after, blocks_unknown);
        let ports = [(); 3].map(|()| switch.plug());
        (switch, ports)
    }

    #[test]
    fn a_frame_to_a_mac_that_was_heard_goes_to_its_port_alone() {
        let (mut switch, [first, second, third]) = switch(None, false);
        assert_eq!(switch.forward(&ask(A, MacAddr::broadcast()), first, at(0)), [second, third]);
        assert_eq!(switch.forward(&ask(B, A), second, at(9_999)), [first]);
        assert_eq!(switch.forward(&ask(A, NODE), first, at(9_999)), [second, third]);
    }

    #[test]
    fn a_mac_that_was_not_heard_for_long_is_unknown_again_and_may_be_out_of_reach() {
        let age = Some(Duration::from_secs(300));
        for (blocks, reached) in [(false, vec![0, 2]), (true, vec![])] {
            let (mut switch, [first, second, _]) = switch(age, blocks);
            switch.forward(&ask(A, MacAddr::broadcast()), first, at(0));
            assert_eq!(switch.forward(&ask(B, A), second, at(299)), [first]);
            assert_eq!(switch.forward(&ask(B, A), second, at(300)), reached);
            assert_eq!(switch.forward(&ask(B, MacAddr::broadcast()), second, at(300)), [0, 2]);
        }
    }

    #[test]
    fn a_switch_that_inspects_lets_each_host_speak_of_itself_alone() {
        let (mut switch, _) = switch(None, false);
        let [announcement, _] = Frame::announcement(A, EIP, NODE);
        assert!(!switch.refuses(&announcement, &[(ADDRESS, A)]));
        switch.guards.inspects = true;
        assert!(switch.refuses(&announcement, &[(ADDRESS, A)]));
        assert!(!switch.refuses(&ask(A, B), &[(ADDRESS, A)]));
        switch.guards = Guards { filters: true, ..Guards::default() };
        assert!(switch.refuses(&announcement, &[(EIP, NODE)]));
    }

    #[test]
    fn a_switch_that_binds_takes_the_speaker_s_port_for_that_of_the_node() {
        let (mut switch, [speaker, node, client]) = switch(None, false);
        switch.guards.binds = true;
        switch.forward(&ask(NODE, MacAddr::broadcast()), node, at(0));
        let [announcement, _] = Frame::announcement(A, EIP, NODE);
        switch.forward(&announcement, speaker, at(1));
        assert_eq!(switch.forward(&ask(B, NODE), client, at(2)), [speaker]);
        switch.forward(&ask(NODE, MacAddr::broadcast()), node, at(3));
        assert_eq!(switch.forward(&ask(B, NODE), client, at(4)), [node]);
    }
}

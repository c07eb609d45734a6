//! The LAN: one switch that learns which MAC is behind which port.

use std::collections::{BTreeMap, BTreeSet};

use porter_core::MacAddr;

use super::frame::Frame;

/// A port of the switch; every host is behind one of its own.
pub(crate) type Port = usize;

/// A learning switch.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    n_ports: usize,
    learned: BTreeMap<MacAddr, Port>,
    /// From which port frames do not get to which.
    parted: BTreeSet<(Port, Port)>,
}

impl Switch {
    pub(crate) fn new() -> Self {
        Self { n_ports: 0, learned: BTreeMap::new(), parted: BTreeSet::new() }
    }

    /// Plugs one more host in.
    pub(crate) fn plug(&mut self) -> Port {
        self.n_ports += 1;
        self.n_ports - 1
    }

    /// The ports that a frame leaves by which came in by `from`.
    pub(crate) fn forward(&mut self, frame: &Frame, from: Port) -> Vec<Port> {
        self.learned.insert(frame.src, from);
        let mut ports = match self.learned.get(&frame.dst) {
            Some(&port) if port == from => Vec::new(),
            Some(&port) => vec![port],
            None => (0..self.n_ports).filter(|port| *port != from).collect(),
        };
        ports.retain(|port| !self.parted.contains(&(from, *port)));
        ports
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

    #[test]
    fn a_frame_to_a_mac_that_was_heard_goes_to_its_port_alone() {
        let [a, b] = [1, 2].map(|i| MacAddr(2, 0, 0, 0, 0, i));
        let ask = |asker, dst| {
            let address = Ipv4Addr::LOCALHOST.into();
            Frame { dst, ..Frame::who_has(address, (address, asker)) }
        };
        let mut switch = Switch::new();
        let [first, second, third] = [(); 3].map(|()| switch.plug());
        assert_eq!(switch.forward(&ask(a, MacAddr::broadcast()), first), [second, third]);
        assert_eq!(switch.forward(&ask(b, a), second), [first]);
        assert_eq!(switch.forward(&ask(a, MacAddr(2, 0, 0, 0, 0, 3)), first), [second, third]);
    }
}

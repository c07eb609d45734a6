//! What a replica makes of those who claim what is its own.

use std::{net::IpAddr, ops::Bound, time::Duration};

use pnet::util::MacAddr;

use super::{Speaker, Standing};
use crate::{
    Instant, IsAt, LinkName, NodeName, Output, Probe, WhoHas,
    conflict::{Claimant, Prober},
};

/// How often, at most, nodes are asked for their MACs that are not probed.
const CALL_EVERY: Duration = Duration::from_secs(10);
/// How many of them.
const CALLED_MAX: usize = 64;

impl Speaker {
    /// Takes in a claim to an address: to a node's, or to an EIP or what is to become one.
    pub(super) fn handle_claim(&mut self, claim: &IsAt, now: Instant) {
        if self.cluster.nodes_at().contains_key(&claim.target)
            && self.cluster.links.contains_key(&claim.link)
        {
            self.roll.handle_answer(claim);
        }
        let place = (claim.link, claim.target);
        let own = self.cluster.links.get(&claim.link).map(|link| link.mac);
        // What comes from ourselves was sent back by the LAN.
        if !self.conflicts.minds(place) || own == Some(claim.via) {
            return;
        }
        let who = self.claimant(claim);
        if who == Claimant::Stranger {
            self.call_nodes(claim.link, now);
        }
        let answer = self.publication.entry(claim.link, claim.target).and_then(Result::ok);
        self.conflicts.handle_heard(claim, who, answer, now);
    }

    /// Takes in that somebody means to take an address.
    pub(super) fn handle_probed(&mut self, question: &WhoHas, now: Instant) {
        let WhoHas { link, target, asker: (_, mac), via } = *question;
        let place = (link, target);
        let Some(own) = self.cluster.links.get(&link).map(|link| link.mac) else { return };
        // What comes from ourselves was sent back by the LAN.
        if !self.conflicts.minds(place) || own == mac || own == via {
            return;
        }
        let mac = Some(mac).filter(|mac| !mac.is_zero());
        let node = mac.and_then(|mac| self.node_of(link, mac));
        if node.is_none() && mac.is_some() {
            self.call_nodes(link, now);
        }
        let answer = self.publication.entry(link, target).and_then(Result::ok);
        self.conflicts.handle_probed(place, Prober { mac, node }, answer, now);
    }

    /// Who claims an address.
    fn claimant(&self, claim: &IsAt) -> Claimant {
        let node = |mac| self.node_of(claim.link, mac);
        match claim.via == claim.mac {
            false => Claimant::Speaker(node(claim.via)),
            true => node(claim.mac).map_or(Claimant::Stranger, Claimant::Node),
        }
    }

    /// The node that has a MAC on a link, if one has.
    fn node_of(&self, link: LinkName, mac: MacAddr) -> Option<NodeName> {
        let own = self.cluster.links.get(&link).filter(|own| own.mac == mac);
        let own = own.into_iter().flat_map(|own| own.addresses.iter().map(ipnet::IpNet::addr));
        // A node may be a gateway, too, by another address.
        let mut at = own.chain(self.neighbors.at(link, mac)).chain(self.roll.at(link, mac));
        at.find_map(|at| self.cluster.node_at(at)).cloned()
    }

    /// Asks the nodes on a link for their MACs that are not probed anyway: one of them may be who claims
    /// an EIP.
    fn call_nodes(&mut self, link: LinkName, now: Instant) {
        let Some(facts) = self.cluster.links.get(&link) else { return };
        if self.called_at.is_some_and(|at| now < at + CALL_EVERY) {
            return;
        }
        self.called_at = Some(now);
        let unknown = |address: &&IpAddr| {
            let target = (link, **address);
            !facts.owns(**address) && !self.neighbors.probes(target) && !self.roll.knows(target)
        };
        // From where it ended last, since some may never answer.
        let addresses = self.cluster.nodes_at();
        let (later, earlier) = match self.called {
            Some(last) => (addresses.range((Bound::Excluded(last), Bound::Unbounded)), Some(last)),
            None => (addresses.range::<IpAddr, _>(..), None),
        };
        let earlier = earlier.into_iter().flat_map(|last| addresses.range(..=last));
        let probes = later.chain(earlier).map(|(address, _)| address).filter(unknown).filter_map(
            |&target| {
                let sender = (facts.address_beside(target)?, facts.mac);
                Some(Probe { link, target, to: None, sender })
            },
        );
        let probes: Vec<_> = probes.take(CALLED_MAX).collect();
        self.called = probes.last().map(|probe| probe.target);
        self.outputs.extend(probes.into_iter().map(Output::Probe));
    }

    /// Asks who else has what is ours, or is to be, and draws the conclusions.
    pub(super) fn contest(&mut self, now: Instant) {
        let Standing::Speak(_, controller) = &mut self.standing else { return };
        if self.publication.is_clear() && self.election.leads(now) {
            if self.conflicts.is_trial_due(now) {
                let links = self.cluster.listen().into_iter();
                let doubted = links.filter(|link| self.neighbors.is_doubted(*link));
                self.conflicts.handle_doubted(doubted.collect());
            }
            self.conflicts.handle_timeout(&self.cluster.links, now);
        }
        if self.conflicts.take_room() {
            controller.handle_room();
        }
        while let Some((place, contender)) = self.conflicts.poll_found() {
            controller.handle_found(place, &contender, &self.cluster, now);
        }
        while let Some((place, prober)) = self.conflicts.poll_prober() {
            let events = controller.handle_probed(place, &prober, &self.cluster);
            self.outputs.extend(events.into_iter().map(Output::Event));
        }
        while let Some(place) = self.conflicts.poll_change() {
            controller.handle_conflict(place);
        }
        while let Some((link, eip)) = self.conflicts.poll_defence() {
            self.announcer.handle_claimed(link, eip, now);
        }
    }
}

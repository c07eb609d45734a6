//! What a replica makes of those who claim what is its own.

use std::{net::IpAddr, time::Duration};

use super::{Speaker, Standing};
use crate::{Instant, IsAt, LinkName, Output, Probe, conflict::Claimant};

/// How often, at most, nodes are asked for their MACs that are not probed.
const CALL_EVERY: Duration = Duration::from_secs(10);
/// How many of them.
const CALLED_MAX: usize = 64;

impl Speaker {
    /// Takes in a claim to an address: to a node's, or to an EIP or what is to become one.
    pub(super) fn handle_claim(&mut self, claim: &IsAt, now: Instant) {
        if self.cluster.node_addresses().contains(&claim.target)
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

    /// Who claims an address.
    fn claimant(&self, claim: &IsAt) -> Claimant {
        let own = self.cluster.links.get(&claim.link);
        let node = |mac| {
            let own = own.filter(|own| own.mac == mac).and_then(|own| own.addresses.first());
            let own = own.map(ipnet::IpNet::addr);
            let known = || self.neighbors.at(claim.link, mac);
            let at = own.or_else(known).or_else(|| self.roll.at(claim.link, mac));
            at.and_then(|at| self.cluster.node_at(at)).cloned()
        };
        match claim.via == claim.mac {
            false => Claimant::Speaker(node(claim.via)),
            true => node(claim.mac).map_or(Claimant::Stranger, Claimant::Node),
        }
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
        let addresses = self.cluster.node_addresses().iter().filter(unknown);
        let probes = addresses.filter_map(|&target| {
            let sender = (facts.address_beside(target)?, facts.mac);
            Some(Output::Probe(Probe { link, target, to: None, sender }))
        });
        self.outputs.extend(probes.take(CALLED_MAX));
    }

    /// Asks who else has what is ours, or is to be, and draws the conclusions.
    pub(super) fn contest(&mut self, now: Instant) {
        let Standing::Speak(_, controller) = &mut self.standing else { return };
        if self.publication.is_clear() && self.election.leads(now) {
            if self.conflicts.is_trial_due(now) {
                let links = self.cluster.eips_on.keys().flatten().copied();
                let doubted = links.filter(|link| self.neighbors.is_doubted(*link));
                self.conflicts.handle_doubted(doubted.collect());
            }
            self.conflicts.handle_timeout(&self.cluster.links, now);
        }
        while let Some((place, rival)) = self.conflicts.poll_found() {
            controller.handle_found(place, &rival, &self.cluster, now);
        }
        while let Some(place) = self.conflicts.poll_change() {
            controller.handle_conflict(place);
        }
        while let Some((link, eip)) = self.conflicts.poll_defence() {
            self.announcer.handle_claimed(link, eip, now);
        }
    }
}

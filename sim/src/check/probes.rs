//! A node that is answered is asked all the time, so that its death is noticed: whoever may speak
//! has asked every node that it answers with within two intervals of its own clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use porter_core::{Answers, Input, Instant, LinkName, MacAddr, Output, Probing};

use super::Violation;

#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    replicas: BTreeMap<usize, Replica>,
}

#[derive(Clone, Debug, Default)]
struct Replica {
    /// Where each MAC was proved to be: who has it is asked there.
    proved: BTreeMap<(LinkName, MacAddr), BTreeSet<IpAddr>>,
    /// When each node was asked last.
    asked: BTreeMap<(LinkName, IpAddr), Instant>,
    answers: Arc<Answers>,
    /// Since when each MAC is answered by one who may speak.
    since: BTreeMap<(LinkName, MacAddr), Instant>,
    until: Instant,
    /// The MAC of this host on each link, which nobody is asked for.
    own: BTreeMap<LinkName, MacAddr>,
}

impl Probes {
    pub(super) fn started(&mut self, id: usize) {
        self.replicas.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        let replica = self.replicas.entry(id).or_default();
        match input {
            Input::Heard(is_at) if is_at.to.is_some_and(|(to, _)| !to.is_unspecified()) => {
                let proved = replica.proved.entry((is_at.link, is_at.mac)).or_default();
                proved.insert(is_at.target);
            }
            Input::Link(name, Ok(link)) => drop(replica.own.insert(*name, link.mac)),
            Input::Asked(..)
            | Input::Checked(..)
            | Input::Eip(..)
            | Input::Eips(_)
            | Input::Got(..)
            | Input::Heard(_)
            | Input::Lease(_)
            | Input::Leave
            | Input::Link(..)
            | Input::Lost(_)
            | Input::Namespace(..)
            | Input::Namespaces(_)
            | Input::Node(..)
            | Input::Nodes(_)
            | Input::Probed(_)
            | Input::Route(..)
            | Input::Service(..)
            | Input::Services(_)
            | Input::Silenced(_)
            | Input::Slice(..)
            | Input::Slices(_)
            | Input::Stirred(_)
            | Input::Written(..) => {}
        }
    }

    pub(super) fn wanted(&mut self, id: usize, output: &Output, now: Instant) {
        let replica = self.replicas.entry(id).or_default();
        match output {
            Output::Probe(probe) if !probe.is_for_conflicts() => {
                replica.asked.insert((probe.link, probe.target), now);
            }
            Output::Permit(until) => {
                if replica.until <= now {
                    replica.since.clear();
                }
                replica.until = *until;
                replica.answer(now);
            }
            Output::Publish(answers, _) => {
                replica.answers = answers.clone();
                replica.answer(now);
            }
            Output::Announce(_)
            | Output::Check(..)
            | Output::Event(_)
            | Output::Heed(..)
            | Output::Join(..)
            | Output::Left
            | Output::Listen(_)
            | Output::Moved(_)
            | Output::Probe(_)
            | Output::Quit(..)
            | Output::Read(..)
            | Output::Route(_)
            | Output::Write(..) => {}
        }
    }

    /// A replica was told that its time has come, and has said all that it wants done.
    pub(super) fn woken(&self, id: usize, name: &str, now: Instant) -> Result<(), Violation> {
        let Some(replica) = self.replicas.get(&id).filter(|it| now < it.until) else {
            return Ok(());
        };
        let lately = Probing::default().interval() * 2;
        for (&(link, mac), &since) in &replica.since {
            let Some(proved) = replica.proved.get(&(link, mac)) else { continue };
            let mut asked = proved.iter().filter_map(|of| replica.asked.get(&(link, *of)));
            let own = replica.own.get(&link) == Some(&mac);
            if !own && since + lately < now && !asked.any(|asked| now <= *asked + lately) {
                return Err(Violation(format!(
                    "{name} answers with {mac}, whose node it has not asked lately"
                )));
            }
        }
        Ok(())
    }
}

impl Replica {
    /// Takes in what is answered from now on.
    fn answer(&mut self, now: Instant) {
        let mut since = BTreeMap::new();
        for (link, _, answer) in self.answers.iter() {
            if let Ok(mac) = answer {
                let before = self.since.get(&(link, mac));
                since.insert((link, mac), before.copied().unwrap_or(now));
            }
        }
        self.since = since;
    }
}

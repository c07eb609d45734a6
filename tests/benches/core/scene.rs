//! A leader among thousands of Services, and what is about to happen to it.

#![allow(dead_code, reason = "no benchmark needs all of it")]

use std::{net::IpAddr, time::Duration};

use porter_core::{
    Endpoint, Family, Input, Kind, MacAddr, Node, NodeName, Output, ServiceName, Slice, SliceName,
    Write,
};

use super::bench::{Bench, Verdict, asking, eth0, link, pool};

/// How large a cluster is.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) services: usize,
    pub(crate) nodes: usize,
}

/// The largest cluster that has to be served well.
pub(crate) const LARGE: Scale = Scale { services: 10_000, nodes: 1_000 };
/// The pods of each Service.
const ENDPOINTS: usize = 3;
/// How many EIPs are with a node that is to die.
pub(crate) const EIPS_OF_THE_DEAD: usize = 1_000;
/// How long an answer to a probe is waited for by default.
const TIMEOUT: Duration = Duration::from_millis(150);

/// A leader, and everything around it.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    scale: Scale,
    /// What was wanted when it was last measured, and is not done yet.
    wanted: Vec<Output>,
}

impl Scene {
    /// A leader that knows all of it, and has no address to give yet.
    pub(crate) fn waiting(scale: Scale) -> Self {
        let mut bench = Bench::new();
        bench.watches = false;
        for number in 0..scale.services {
            bench.api.put_service(&service(number), Some(asking()));
            let nodes = (0..ENDPOINTS).map(|which| (number * 7 + which * 331) % scale.nodes);
            let (name, slice) = slice(number, nodes);
            bench.api.put_slice(&name, slice);
        }
        for number in 0..scale.nodes {
            let address = node_address(number);
            bench.elsewhere.insert(address, node_mac(number));
            let facts = Node { ready: true, addresses: vec![address], ..Node::default() };
            bench.api.put_node(&node(number), Some(facts));
        }
        bench.prepare();
        bench.tell(lan());
        bench.watches = true;
        bench.run(Duration::from_secs(20));
        assert!(bench.speaker.leads(bench.now), "it leads");
        Self { bench, scale, wanted: Vec::with_capacity(4 * scale.nodes) }
    }

    /// A leader that answers for all Services.
    pub(crate) fn serving(scale: Scale) -> Self {
        let mut scene = Self::waiting(scale);
        let addresses = scene.addresses_come();
        scene.bench.tell(addresses);
        scene.bench.run(Duration::from_secs(30));
        let services = scene.bench.api.services.values();
        let met = services.filter(|(_, it)| it.announced.as_ref().is_some_and(|it| it.met));
        assert_eq!(met.count(), scale.services, "every Service is answered");
        scene
    }

    /// Tells the replica something, or that time has passed, and takes what it wants. This alone is
    /// measured.
    pub(crate) fn react(&mut self, input: Option<Input>) {
        let speaker = &mut self.bench.speaker;
        match input {
            Some(input) => speaker.handle_input(input, self.bench.now),
            None => speaker.handle_timeout(self.bench.now),
        }
        while let Some(output) = speaker.poll_output() {
            self.wanted.push(output);
        }
    }

    /// Does what was wanted when it was last measured, and what follows from it. Says how much was to be
    /// written and published.
    pub(crate) fn perform(&mut self) -> (usize, usize) {
        let is_write = |it: &&Output| matches!(it, Output::Write(_, write) if !matches!(write, Write::Lease(..)));
        let writes = self.wanted.iter().filter(is_write).count();
        let published = |it: &&Output| matches!(it, Output::Publish(..));
        let published = self.wanted.iter().filter(published).count();
        for output in std::mem::take(&mut self.wanted) {
            self.bench.perform(output);
        }
        self.wanted.reserve(4 * self.scale.nodes);
        self.bench.pump();
        (writes, published)
    }

    /// News of addresses for everybody.
    pub(crate) fn addresses_come(&mut self) -> Input {
        let mut eip = self.bench.api.eips[&pool()].1.clone();
        eip.address = "172.22.128.0/17".to_owned();
        self.news(|bench| {
            bench.api.put_eip(&pool(), Some(eip));
        })
    }

    /// News of a pod of a Service that went to another node than the one that is answered.
    pub(crate) fn pod_moves(&mut self, round: usize) -> Input {
        self.bench.run(Duration::from_millis(500));
        let (name, slice) = slice(17, [(round * 2) % self.scale.nodes]);
        self.news(|bench| bench.api.put_slice(&name, slice))
    }

    /// News as the watch tells it.
    fn news(&mut self, change: impl FnOnce(&mut Bench)) -> Input {
        change(&mut self.bench);
        self.bench.next_event().expect("something has changed")
    }

    /// The verdict on the write that is under way.
    pub(crate) fn verdict(&mut self) -> Input {
        self.bench.next_write(Verdict::Done).expect("something is being written")
    }

    /// Does what was wanted, but gives no verdict.
    pub(crate) fn hold_verdict(&mut self) {
        self.bench.replies = false;
        self.perform();
        self.bench.replies = true;
    }

    /// Everything of a kind again, as it is known.
    pub(crate) fn list(&mut self, kind: Kind) -> Input {
        self.bench.run(Duration::from_secs(1));
        self.bench.api.list(kind)
    }

    /// Another process of this replica holds the Lease, and is about to be told of every Service with its
    /// address, its node and its condition, all on record from before.
    pub(crate) fn restarts(&mut self) -> Input {
        self.bench.usurp();
        self.bench.restart();
        self.bench.tell(lan());
        self.bench.list();
        self.bench.run(Duration::from_secs(4));
        self.bench.replies = false;
        for _ in 0..100_000 {
            self.wait();
            while let Some(written) = self.bench.next_write(Verdict::Done) {
                self.bench.tell(written);
            }
            if !self.bench.reads.is_empty() {
                self.bench.replies = true;
                return self.bench.next_read().expect("it reads");
            }
        }
        panic!("it never leads");
    }

    /// Has a node answered for many Services that have pods on others, too.
    pub(crate) fn crowd(&mut self, number: usize) {
        let crowded = number * EIPS_OF_THE_DEAD..(number + 1) * EIPS_OF_THE_DEAD;
        for others in [false, true] {
            for service in crowded.clone() {
                let other = (service * 7 + 331) % self.scale.nodes;
                let nodes = [number].into_iter().chain(others.then_some(other));
                let (name, slice) = slice(service, nodes);
                self.bench.api.put_slice(&name, slice);
            }
            self.bench.pump();
            self.bench.run(Duration::from_secs(10));
        }
    }

    /// Lets a node fall silent, until its death is about to be noticed.
    pub(crate) fn dies(&mut self, number: usize) {
        let address = node_address(number);
        self.bench.mute.insert(address);
        let mut asked = Vec::new();
        for _ in 0..100_000 {
            let at = self.bench.speaker.poll_timeout().expect("it waits for something");
            self.bench.now = self.bench.now.max(at);
            if asked.len() >= 3 && asked.last().is_some_and(|sent| at >= *sent + TIMEOUT) {
                return;
            }
            self.react(None);
            let is_asked = |it: &Output| matches!(it, Output::Probe(it) if it.target == address);
            if self.wanted.iter().any(is_asked) {
                asked.push(at);
            }
            self.perform();
        }
        panic!("it is not asked");
    }

    /// Lets time pass until something is due, and does it.
    fn wait(&mut self) {
        let at = self.bench.speaker.poll_timeout().expect("it waits for something");
        self.bench.now = self.bench.now.max(at);
        self.bench.speaker.handle_timeout(self.bench.now);
        self.bench.pump();
    }
}

/// A LAN with room for all nodes and all EIPs.
fn lan() -> Input {
    let mut lan = link();
    lan.addresses = vec!["172.22.0.3/16".parse().expect("it is a subnet")];
    Input::Link(eth0(), Ok(lan))
}

fn service(number: usize) -> ServiceName {
    ServiceName::new("default", &format!("web{number:05}"))
}

fn node(number: usize) -> NodeName {
    NodeName::from(format!("worker{number:04}").as_str())
}

fn node_address(number: usize) -> IpAddr {
    let [high, low] = u16::try_from(number).expect("there are few").to_be_bytes();
    [172, 22, 16 + high, low].into()
}

fn node_mac(number: usize) -> MacAddr {
    let [high, low] = u16::try_from(number).expect("there are few").to_be_bytes();
    MacAddr(2, 0, 0, 1, high, low)
}

fn slice(number: usize, nodes: impl IntoIterator<Item = usize>) -> (SliceName, Slice) {
    let service = service(number);
    let endpoint = |number| Endpoint {
        node: Some(node(number)),
        ready: true,
        serving: true,
        terminating: false,
    };
    let endpoints = nodes.into_iter().map(endpoint).collect();
    let name = SliceName::new("default", &format!("{}-x7k2p", service.name()));
    (name, Slice { service, family: Family::V4, endpoints })
}

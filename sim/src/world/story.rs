//! The user guide, told by a simulated world: what its reader would type, and see.

use std::{fmt::Write, net::IpAddr, time::Duration};

use porter_core::{NodeName, ServiceName};

use super::{Manifest, Options, Trace, World};

/// How long anything that has to happen may take, before the story goes on without it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long things are let be between two chapters.
const BREATH: Duration = Duration::from_secs(1);

/// Tells the guide's story with these manifests: a Service gets its address, a host outside the
/// cluster reaches it, and it stays reachable when its node and when the leading replica go.
///
/// With `transcript`, everything that happened follows at the end. The same options, manifests and
/// seed tell the same story, byte for byte.
pub fn tell(options: Options, manifests: &[Manifest], seed: u64, transcript: bool) -> Told {
    let mut story = Story { world: World::new(options, seed), text: String::new() };
    story.world.record();
    story.apply(manifests);
    for service in story.world.services() {
        story.ping(&service);
    }
    if let Some(service) = story.world.services().first().cloned() {
        story.lose_the_node(&service);
        story.lose_the_leader(&service);
        story.delete(&service);
    }
    if transcript {
        story.line("\n# Everything that happened");
        story.text += &story.world.transcript();
    }
    let trace = story.world.trace().expect("it is recorded from the beginning");
    Told { text: story.text, trace }
}

/// A story that was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// What one would have typed and seen.
    pub text: String,
    /// What a picture of it needs.
    pub trace: Trace,
}

struct Story {
    world: World,
    text: String,
}

impl Story {
    fn apply(&mut self, manifests: &[Manifest]) {
        self.chapter("The cluster, and a host outside it on the same LAN");
        self.show("kubectl get nodes -o wide", World::get_nodes);
        self.line("\n$ kubectl apply");
        for manifest in manifests {
            match manifest {
                Manifest::Ignored { .. } => {
                    self.line(&format!("{manifest} ignored: not simulated"))
                }
                Manifest::Deployment(..) | Manifest::Eip(..) | Manifest::Service(..) => {
                    self.world.apply(manifest);
                    self.line(&format!("{manifest} created"));
                }
            }
        }
        self.wait(|world| {
            let services = world.services();
            services.iter().all(|service| world.owed_mac(service).is_some())
        });
        self.world.run(Duration::from_secs(2));
        self.show("kubectl get eip", World::get_eips);
        self.show("kubectl get svc", World::get_services);
        self.show("kubectl get pods -o wide", World::get_pods);
        self.who();
    }

    fn ping(&mut self, service: &ServiceName) {
        self.chapter(&format!("From the host outside: {service}"));
        for eip in self.world.external_ip(service) {
            self.ask(eip);
            if let Some(node) = self.world.recorded_node(service)
                && let Some(address) = self.world.address_of(&node)
            {
                self.ask(address);
            }
        }
        self.show("ip neigh", World::ip_neigh);
    }

    fn lose_the_node(&mut self, service: &ServiceName) {
        let Some(node) = self.world.recorded_node(service) else { return };
        self.chapter(&format!("{node} is drained: its pod comes back elsewhere"));
        self.line(&format!("\n$ kubectl cordon {node}"));
        self.line(&format!("$ kubectl delete pod --field-selector spec.nodeName={node}"));
        self.world.cordon(&node, true);
        self.world.delete_pods(&node);
        self.wait(|world| {
            world.recorded_node(service).is_some_and(|other| other != node)
                && world.owed_mac(service).is_some()
        });
        self.world.run(BREATH);
        self.show("kubectl get pods -o wide", World::get_pods);
        self.show("ip neigh", World::ip_neigh);
        for eip in self.world.external_ip(service) {
            self.ask(eip);
        }
        self.world.run(BREATH);
        self.world.cordon(&node, false);
    }

    fn lose_the_leader(&mut self, service: &ServiceName) {
        let Some(leader) = self.world.leader() else { return };
        let name = self.world.replica_name(leader).to_owned();
        self.world.run(BREATH);
        self.chapter(&format!("The leading replica, on {name}, is killed"));
        let killed_at = self.world.now();
        self.world.crash(leader);
        self.wait(|world| world.leader().is_some());
        let took = self.world.now().since(killed_at);
        self.line(&format!("\nAnother leads after {:.3} s.", took.as_secs_f64()));
        self.who();
        self.line("\n$ ip neigh flush all");
        self.world.flush_neighbours();
        for eip in self.world.external_ip(service) {
            self.ask(eip);
        }
        self.show("ip neigh", World::ip_neigh);
        self.world.run(BREATH);
    }

    fn delete(&mut self, service: &ServiceName) {
        self.chapter(&format!("{service} is deleted"));
        let (namespace, name) = (service.namespace(), service.name());
        self.line(&format!("\n$ kubectl delete svc --namespace {namespace} {name}"));
        let eips = self.world.external_ip(service);
        self.world.delete_service(service);
        self.wait(|world| !world.has_service(service));
        self.show("kubectl get eip", World::get_eips);
        self.world.flush_neighbours();
        for eip in eips {
            self.ask(eip);
        }
    }

    /// Who leads, and what is answered.
    fn who(&mut self) {
        let holder = self.world.holder().unwrap_or_else(|| "nobody".to_owned());
        self.line(&format!("\nThe Lease is held by {holder}."));
        for (name, eip, answer) in self.world.answered() {
            self.line(&format!("{name} answers for {eip}: {answer}"));
        }
    }

    fn ask(&mut self, target: IpAddr) {
        self.line(&format!("\n$ ping -c 1 {target}"));
        let line = match self.world.ping(target) {
            Ok((by, took)) => {
                let millis = took.as_secs_f64() * 1_000.0;
                format!("64 bytes from {target}: icmp_seq=1 time={millis:.2} ms (behind it: {by})")
            }
            Err(unreachable) => format!("From the own host: {unreachable}"),
        };
        self.line(&line);
    }

    fn wait(&mut self, so: impl Fn(&World) -> bool) {
        self.world.run_until(PATIENCE, so);
    }

    fn chapter(&mut self, title: &str) {
        let now = self.world.now();
        self.line(&format!("\n# {title}  [{}]", now.to_string().trim_start()));
    }

    fn show(&mut self, command: &str, what: impl Fn(&World) -> String) {
        let shown = what(&self.world);
        self.line(&format!("\n$ {command}\n{}", shown.trim_end()));
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a String takes every line");
    }
}

impl World {
    /// The address of a node.
    pub fn address_of(&self, node: &NodeName) -> Option<IpAddr> {
        self.nodes.iter().find(|host| host.name == *node).map(|host| host.address)
    }

    /// Which replica answers now for which EIP, and what.
    fn answered(&self) -> Vec<(String, IpAddr, String)> {
        let Some(leader) = self.leader() else { return Vec::new() };
        let replica = &self.replicas[leader];
        let answers = replica.process.iter().flat_map(|process| process.answers.iter());
        let line = |(_, eip, answer): (_, IpAddr, Result<_, porter_core::Silence>)| {
            let answer = match answer {
                Ok(mac) => format!("it is at {mac}"),
                Err(silence) => format!("nothing ({silence})"),
            };
            (replica.name.clone(), eip, answer)
        };
        answers.map(line).collect()
    }
}

//! A whole replica but for its links: the core, driven against the API server.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use porter_backends::{Reporter, clock, drive, kube::Timeouts, port::Links};
use porter_core::{
    Answers, Config, Generation, Heed, Identity, Input, Instant, IsAt, LeaseTiming, Link, LinkName,
    MacAddr, OnConflict, Probe, Probing, Speaker,
};
use porter_sim::apiserver::Resource;
use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::cluster::{Cluster, PATIENCE};

pub(crate) const NODE1: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
pub(crate) const NODE3: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
pub(crate) const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));

/// What is answered.
pub(crate) type Published = Arc<Mutex<BTreeMap<IpAddr, MacAddr>>>;

/// The links of node1: eth0, on which every other node is at one MAC.
struct Lan {
    news: VecDeque<Input>,
    published: Published,
}

#[async_trait]
impl Links for Lan {
    async fn next(&mut self) -> Input {
        match self.news.pop_front() {
            Some(input) => input,
            None => future::pending().await,
        }
    }

    fn listen(&mut self, links: BTreeSet<LinkName>) {
        let net = "172.22.0.3/24".parse().expect("it is a network");
        let link =
            Link { mac: NODE1, addresses: vec![net], gateways: BTreeSet::new(), carrier: true };
        self.news.extend(links.into_iter().map(|name| Input::Link(name, Ok(link.clone()))));
    }

    fn heed(&mut self, _: LinkName, _: Heed) {}

    fn join(&mut self, _: LinkName, _: Ipv6Addr) {}

    fn quit(&mut self, _: LinkName, _: Ipv6Addr) {}

    fn route(&mut self, _: BTreeSet<IpAddr>) {}

    fn publish(&mut self, answers: Arc<Answers>, generation: Generation) {
        let answers = answers.iter().filter_map(|(_, eip, mac)| Some((eip, mac.ok()?)));
        *self.published.lock().expect("nobody panicked") = answers.collect();
        self.news.push_back(Input::Silenced(generation));
    }

    fn permit(&mut self, _: Instant) {}

    fn announce(&mut self, _: &IsAt) {}

    fn probe(&mut self, probe: &Probe) {
        let Probe { link, target, sender, .. } = *probe;
        let reply = IsAt { link, target, mac: NODE3, to: Some(sender), via: NODE3 };
        self.news.push_back(Input::Heard(reply));
    }
}

fn node(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": address }],
            "conditions": [{ "type": "Ready", "status": "True" }]
        }
    })
}

/// The guide's Eip and Service, and the endpoint of a pod on node3.
pub(crate) fn objects() -> [Value; 5] {
    let endpoint = json!({ "addresses": ["10.0.0.1"], "nodeName": "node3" });
    [
        node("node1", "172.22.0.3"),
        node("node3", "172.22.0.9"),
        json!({
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "Eip",
            "metadata": { "name": "eip-sample-layer2" },
            "spec": {
                "address": "172.22.0.188-172.22.0.200",
                "interface": "eth0",
                "protocol": "layer2"
            }
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "web",
                "namespace": "default",
                "annotations": {
                    "lb.kubesphere.io/v1alpha1": "porter",
                    "protocol.porter.kubesphere.io/v1alpha1": "layer2"
                }
            },
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 8088 }] }
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1",
                "namespace": "default",
                "labels": { "kubernetes.io/service-name": "web" }
            },
            "addressType": "IPv4",
            "endpoints": [endpoint]
        }),
    ]
}

/// Looks until something is found.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("it comes about in time")
}

/// A replica that runs.
pub(crate) struct Replica {
    pub(crate) published: Published,
    pub(crate) reporter: Reporter,
    leave: oneshot::Sender<()>,
    driven: JoinHandle<()>,
}

impl Replica {
    pub(crate) async fn start(cluster: &Cluster, identity: &str) -> Self {
        let published = Published::default();
        let mut lan = Lan { news: VecDeque::new(), published: published.clone() };
        let mut api_server =
            cluster.connect(Timeouts::default()).await.expect("the kind Eip is known");
        let config = Config {
            identity: Identity::from(identity),
            epoch: clock::epoch(),
            lease: LeaseTiming::default(),
            probing: Probing::default(),
            checks_proxies: false,
            conflict_probing: None,
            on_conflict: OnConflict::Defend,
        };
        let (leave, asked) = oneshot::channel::<()>();
        let (reporter, inquiries) = Reporter::new();
        let driven = tokio::spawn(async move {
            let asked = async { asked.await.expect("the test asks") };
            let speaker = Speaker::new(config, 7);
            let driven = drive(speaker, &mut api_server, &mut lan, inquiries, asked).await;
            driven.expect("there are timers");
        });
        Self { published, reporter, leave, driven }
    }

    /// What it answers for an EIP.
    pub(crate) fn answers(&self, eip: IpAddr) -> Option<MacAddr> {
        self.published.lock().expect("nobody panicked").get(&eip).copied()
    }

    pub(crate) async fn leave(self) {
        self.leave.send(()).expect("the replica runs");
        timeout(PATIENCE, self.driven)
            .await
            .expect("it leaves in time")
            .expect("it does not panic");
    }
}

#[tokio::test]
async fn a_replica_serves_the_guide_and_hands_over_when_it_leaves() {
    let cluster = Cluster::new().await;
    for object in objects() {
        cluster.create(object).await;
    }
    let replica = Replica::start(&cluster, "porter-1").await;
    assert_eq!(eventually(async || replica.answers(EIP)).await, NODE3);
    let service = eventually(async || {
        let service = cluster.find(&Resource::SERVICES, "default", "web").await?;
        service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string().then_some(service)
    })
    .await;
    assert_eq!(service["status"]["loadBalancer"]["ingress"][0]["ip"], EIP.to_string());
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(annotations["layer2.porter.kubesphere.io/v1alpha1"], "node3");

    replica.leave().await;
    let lease = cluster.find(&Resource::LEASES, "porter-system", "porter-speaker").await;
    let lease = lease.expect("the Lease stays");
    assert_eq!(lease["spec"]["holderIdentity"], Value::Null);
    assert_eq!(lease["metadata"]["annotations"]["porter.kubesphere.io/released-by"], "porter-1");
}

//! The loop between a real speaker and ports in memory.

use std::{
    collections::{BTreeSet, VecDeque},
    future,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use porter_core::{
    Answers, Config, Event, Generation, Got, Heed, IsAt, Kind, LeaseRecord, LeaseTiming, LinkName,
    Listing, NodeName, OnConflict, Probe, Probing, Read, ReadId, Timestamp, Version, Write,
    WriteId, Written,
};
use tokio::{sync::Notify, time::timeout};

use super::*;
use crate::{Reporter, Verdict};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An API server without objects but the Lease, which takes every write.
#[derive(Default)]
struct Api {
    inputs: VecDeque<Input>,
    lease: Option<(Version, LeaseRecord)>,
    reads: Vec<Read>,
    /// Counts down to nothing how often something harmless is told if there is nothing else.
    noise: usize,
}

#[async_trait]
impl Cluster for Api {
    async fn next(&mut self) -> Input {
        if let Some(input) = self.inputs.pop_front() {
            return input;
        }
        if let Some(left) = self.noise.checked_sub(1) {
            self.noise = left;
            return Input::Eips(Listing::default());
        }
        future::pending().await
    }

    fn publish(&mut self, event: Event) {
        panic!("nothing has happened: {event:?}");
    }

    fn check(&mut self, node: NodeName, _: IpAddr) {
        panic!("no node is used: {node}");
    }

    fn write(&mut self, id: WriteId, write: Write) {
        let Write::Lease(expected, record) = write else { panic!("no object but the Lease") };
        assert_eq!(expected, self.lease.as_ref().map(|(version, _)| *version));
        let version = Version(expected.map_or(1, |version| version.0 + 1));
        self.lease = Some((version, record.clone()));
        self.inputs.push_back(Input::Written(id, Ok(Written::Lease(version, record))));
    }

    fn read(&mut self, id: ReadId, read: Read) {
        self.reads.push(read);
        let got = match read {
            Read::Lease => Got::Lease(self.lease.clone()),
            Read::Services => Got::Services(Listing::default()),
        };
        self.inputs.push_back(Input::Got(id, Ok(got)));
    }
}

/// Links that acknowledge every snapshot at once.
#[derive(Default)]
struct Ports {
    silenced: Option<Generation>,
    until: Option<Instant>,
    /// Told when first permitted to speak.
    permitted: Arc<Notify>,
    /// Told when asked for the next fact with nothing to say.
    asked: Arc<Notify>,
}

#[async_trait]
impl Links for Ports {
    async fn next(&mut self) -> Input {
        if let Some(generation) = self.silenced.take() {
            return Input::Silenced(generation);
        }
        self.asked.notify_one();
        future::pending().await
    }

    fn listen(&mut self, _: BTreeSet<LinkName>) {}

    fn heed(&mut self, _: LinkName, _: Heed) {}

    fn join(&mut self, _: LinkName, _: Ipv6Addr) {}

    fn quit(&mut self, _: LinkName, _: Ipv6Addr) {}

    fn route(&mut self, _: BTreeSet<IpAddr>) {}

    fn publish(&mut self, _: Arc<Answers>, generation: Generation) {
        self.silenced = Some(generation);
    }

    fn permit(&mut self, until: Instant) {
        self.until = Some(until);
        if until > clock::now() {
            self.permitted.notify_one();
        }
    }

    fn announce(&mut self, _: &IsAt) {}

    fn probe(&mut self, _: &Probe) {}
}

/// One that has seen nothing.
pub(crate) fn speaker() -> Speaker {
    let config = Config {
        identity: Identity::from("me"),
        epoch: Timestamp(0),
        lease: LeaseTiming::default(),
        probing: Probing::default(),
        checks_proxies: false,
        conflict_probing: None,
        on_conflict: OnConflict::Defend,
    };
    Speaker::new(config, 7)
}

/// A Lease that its last holder gave up.
fn released() -> (Version, LeaseRecord) {
    let record = LeaseRecord {
        holder: None,
        duration: Duration::from_secs(5),
        acquired: Timestamp(0),
        renewed: Timestamp(0),
        transitions: 0,
        released_by: Some(Identity::from("other")),
        ..LeaseRecord::default()
    };
    (Version(1), record)
}

/// An API server that tells of a Lease which is given up, and of nothing else.
fn about_to_lead() -> Api {
    let mut api = Api { lease: Some(released()), ..Api::default() };
    let holder =
        LeaseRecord { holder: released().1.released_by, released_by: None, ..released().1 };
    api.inputs.extend([
        Input::Eips(Listing::default()),
        Input::Namespaces(Listing::default()),
        Input::Nodes(Listing::default()),
        Input::Services(Listing::default()),
        Input::Slices(Listing::default()),
        Input::Lease(Some((Version(0), holder))),
        Input::Lease(api.lease.clone()),
    ]);
    api
}

#[tokio::test]
async fn a_replica_that_never_led_leaves_at_once() {
    let (mut api, mut links) = (Api::default(), Ports::default());
    let driven = drive(speaker(), &mut api, &mut links, Inquiries::none(), future::ready(()));
    timeout(PATIENCE, driven).await.expect("nothing is left to hand over").unwrap();
    assert_eq!(api.lease, None);
}

#[tokio::test]
async fn a_replica_takes_the_lease_speaks_and_hands_over() {
    let (mut api, mut links) = (about_to_lead(), Ports::default());
    let permitted = Arc::clone(&links.permitted);

    let driven = drive(speaker(), &mut api, &mut links, Inquiries::none(), permitted.notified());
    timeout(PATIENCE, driven).await.expect("a free Lease is taken, and given up again").unwrap();

    assert!(api.reads.contains(&Read::Services), "{:?}", api.reads);
    let (_, record) = api.lease.expect("it was written");
    assert_eq!((record.holder, record.released_by), (None, Some(Identity::from("me"))));
    assert!(links.until.is_some_and(|until| until <= clock::now()), "{:?}", links.until);
}

#[tokio::test]
async fn what_floods_one_side_does_not_keep_the_other_waiting() {
    let mut api = Api { noise: 100_000, ..Api::default() };
    let mut links = Ports::default();
    let asked = Arc::clone(&links.asked);
    let driven = drive(speaker(), &mut api, &mut links, Inquiries::none(), asked.notified());
    timeout(PATIENCE, driven)
        .await
        .expect("the links were asked, and then everything ended")
        .unwrap();
    assert!(api.noise > 0, "nothing else was heard before the flood was over");
}

#[tokio::test]
async fn whoever_inquires_is_told_how_things_are() {
    let (mut api, mut links) = (about_to_lead(), Ports::default());
    let permitted = Arc::clone(&links.permitted);
    let (reporter, inquiries) = Reporter::new();
    let mut told = None;

    let leave = async {
        permitted.notified().await;
        told = reporter.ask().await;
    };
    let driven = drive(speaker(), &mut api, &mut links, inquiries, leave);
    timeout(PATIENCE, driven).await.expect("it leads, is asked and leaves").unwrap();

    let report = told.expect("it was there to answer");
    assert_eq!((report.leads, report.tally.begun, report.tally.ended), (true, 1, 0));
    assert_eq!(report.unlisted, []);
    let count = |verdict| report.tally.writes(Kind::Lease, verdict);
    assert_eq!((count(Verdict::Written), count(Verdict::Conflict)), (1, 0));
    assert!(reporter.ask().await.is_none(), "a replica that has left tells nobody");
}

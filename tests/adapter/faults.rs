//! What the adapter says when the API server fails it, fault by fault.
//!
//! The faults are the lab's API server's own, so these tests are told by that server alone.

use std::{net::IpAddr, time::Duration};

use porter_backends::kube::Timeouts;
use porter_core::{
    Got, Identity, Ingress, Input, LeaseRecord, Read, ServiceChange, ServiceName, ServiceStatus,
    Timestamp, Version, Write, WriteError,
};
use porter_sim::apiserver::{Fault, Requests, Resource, Verb};
use tokio::time::Instant;

use crate::cluster::{Adapter, Cluster};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const SECOND: Duration = Duration::from_secs(1);

fn ingress(version: u64) -> Write {
    let ingress = vec![Ingress::Address(ADDRESS)];
    let change = ServiceChange::Status(ServiceStatus { ingress, ..ServiceStatus::default() });
    Write::Service(ServiceName::new("default", "web"), Version(version), change)
}

async fn is_shown(cluster: &Cluster) -> bool {
    let service = cluster.find(&Resource::SERVICES, "default", "web").await.expect("is there");
    service["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.7"
}

/// An adapter that waits for at most a second.
async fn impatient(cluster: &Cluster) -> Adapter {
    let timeouts = Timeouts { lease: SECOND, call: SECOND, ..Timeouts::default() };
    let mut adapter = cluster.connected(timeouts).await;
    adapter.sync().await;
    adapter
}

fn writes_of_services() -> Requests {
    Requests::to(Verb::Patch, Resource::SERVICES)
}

#[tokio::test]
async fn a_refused_write_says_whether_it_is_worth_deciding_anew_and_has_no_effect() {
    for (fault, verdict) in [
        (Fault::Conflict, "Conflict"),
        (Fault::TooManyRequests(SECOND), "Busy(1s)"),
        (Fault::Forbidden, "Forbidden"),
        (Fault::InternalError, "Unknown"),
        (Fault::Unavailable, "Unknown"),
        (Fault::Hang, "Unknown"),
        (Fault::CutBefore, "Unknown"),
    ] {
        let cluster = Cluster::of_the_lab().await;
        let created = cluster.service("web").await;
        let mut adapter = impatient(&cluster).await;
        cluster.faults().set(writes_of_services().first(), fault);

        let refused = adapter.write(ingress(created)).await.expect_err("it is refused");
        assert!(format!("{refused:?}").starts_with(verdict), "{fault:?}: {refused:?}");
        assert!(!is_shown(&cluster).await, "{fault:?}");

        adapter.write(ingress(created)).await.expect("the second time it goes through");
        assert!(is_shown(&cluster).await, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_read_says_whether_to_wait_and_whether_it_is_any_use() {
    for (fault, error) in [
        (Fault::TooManyRequests(SECOND), "Busy(1s)"),
        (Fault::Forbidden, "Forbidden"),
        (Fault::InternalError, "Failed"),
        (Fault::CutBefore, "Failed"),
    ] {
        let cluster = Cluster::of_the_lab().await;
        let mut adapter = impatient(&cluster).await;
        let reads = [
            (Read::Lease, Requests::to(Verb::Get, Resource::LEASES)),
            (Read::Services, Requests::to(Verb::List, Resource::SERVICES)),
        ];
        for (read, requests) in reads {
            cluster.faults().set(requests.first(), fault);
            let refused = adapter.try_read(read).await.expect_err("it is refused");
            assert!(format!("{refused:?}").starts_with(error), "{read:?}, {fault:?}: {refused:?}");
            adapter.read(read).await;
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_known_to_have_failed_and_is_seen_to_have_succeeded() {
    let cluster = Cluster::of_the_lab().await;
    let created = cluster.service("web").await;
    let mut adapter = impatient(&cluster).await;
    cluster.faults().set(writes_of_services().first(), Fault::CutAfter);

    let mut verdict = None;
    let mut shown = None;
    adapter.send(ingress(created));
    adapter
        .until(|input| {
            if let Input::Written(_, said) = input {
                verdict = Some(said);
            } else if let Input::Service(_, version, Some(service)) = input
                && service.ingress == [Ingress::Address(ADDRESS)]
            {
                shown = Some(version);
            }
            (verdict.is_some() && shown.is_some()).then_some(())
        })
        .await;

    assert_eq!(verdict.and_then(Result::err), Some(WriteError::Unknown));
    assert!(is_shown(&cluster).await);
    // Deciding on what was known before is refused, on what was seen since is not.
    assert_eq!(adapter.write(ingress(created)).await.err(), Some(WriteError::Conflict));
    adapter.write(ingress(shown.expect("it was seen").0)).await.expect("nothing stands against it");
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_is_found_by_reading_the_lease() {
    let cluster = Cluster::of_the_lab().await;
    let mut adapter = impatient(&cluster).await;
    let record = LeaseRecord {
        holder: Some(Identity::from("a")),
        duration: Duration::from_secs(5),
        acquired: Timestamp(1_000_000),
        renewed: Timestamp(1_000_001),
        transitions: 1,
        released_by: None,
        ..LeaseRecord::default()
    };
    cluster.faults().set(Requests::to(Verb::Create, Resource::LEASES).first(), Fault::CutAfter);

    let verdict = adapter.write(Write::Lease(None, record.clone())).await;
    assert_eq!(verdict.err(), Some(WriteError::Unknown));
    let Got::Lease(Some((_, read))) = adapter.read(Read::Lease).await else { panic!("no Lease") };
    assert_eq!(read, record);
}

/// Waits for a Service, and fails if anything was lost or listed on the way.
async fn told_without_a_list(adapter: &mut Adapter, name: &str) {
    adapter
        .until(|input| {
            assert!(!matches!(input, Input::Lost(_) | Input::Services(_)), "{input:?}");
            let Input::Service(told, _, Some(_)) = input else { return None };
            (told == ServiceName::new("default", name)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_watch_that_tears_within_an_event_goes_on_with_that_event() {
    let cluster = Cluster::of_the_lab().await;
    let watches = Requests::to(Verb::Watch, Resource::SERVICES);
    cluster.faults().set(watches.clone().first(), Fault::Torn(1));
    // Met by whoever watches again, and without effect.
    let mut again =
        cluster.faults().set(Requests { which: 1..2, ..watches }, Fault::Torn(usize::MAX));
    let mut adapter = cluster.synced().await;

    for name in ["whole", "torn"] {
        cluster.service(name).await;
        told_without_a_list(&mut adapter, name).await;
    }
    again.times(1).await;
}

#[tokio::test]
async fn a_watch_that_cannot_go_on_from_where_it_was_is_listed_and_not_lost() {
    let cluster = Cluster::of_the_lab().await;
    let mut adapter = cluster.synced().await;
    cluster.service("before").await;
    told_without_a_list(&mut adapter, "before").await;
    cluster.faults().set(Requests::to(Verb::Watch, Resource::SERVICES).first(), Fault::Expired);

    cluster.gate.freeze();
    cluster.service("meanwhile").await;
    cluster.gate.tear();

    let listed = adapter
        .until(|input| {
            assert!(!matches!(input, Input::Lost(_)), "{input:?}");
            let Input::Services(listed) = input else { return None };
            Some(listed)
        })
        .await;
    assert!(listed.objects.contains_key(&ServiceName::new("default", "meanwhile")));
}

#[tokio::test]
async fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks() {
    let wait = Duration::from_secs(2);
    let cluster = Cluster::of_the_lab().await;
    let mut adapter = cluster.synced().await;
    let services = |verb| Requests::to(verb, Resource::SERVICES);
    let mut refused =
        cluster.faults().set(services(Verb::Watch).first(), Fault::TooManyRequests(wait));
    // A server that is asked too soon is asked in vain, and says so.
    let mut too_soon = cluster.faults().set(services(Verb::List), Fault::InternalError);

    cluster.gate.tear();
    refused.times(1).await;
    let began = Instant::now();
    too_soon.times(1).await;

    // Only the shortest time is a promise; a slow machine asks later.
    assert!(began.elapsed() >= wait.mul_f64(0.9), "{:?}", began.elapsed());
    cluster.faults().clear();
    adapter.until(|input| matches!(input, Input::Services(_)).then_some(())).await;
}

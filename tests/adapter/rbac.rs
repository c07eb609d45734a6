//! What the manifests let an agent do, and what it does.

use std::collections::BTreeSet;

use porter_backends::kube::Timeouts;
use porter_sim::apiserver::{
    Fault, Patch, Permission, Preconditions, Propagation, Requests, Resource, Subresource, Verb,
};
use serde_json::{Value, json};

use crate::{
    agent::{EIP, NODE3, Replica, eventually, objects},
    cluster::Cluster,
};

const ACCOUNT: &str = "system:serviceaccount:porter-system:porter-agent";
const MANIFESTS: [&str; 2] =
    [include_str!("../../deploy/service-account.yaml"), include_str!("../../deploy/rbac.yaml")];

async fn served(cluster: &Cluster) {
    for object in objects() {
        cluster.create(object).await;
    }
}

/// Waits until the Service shows the EIP, or does so no longer.
async fn shows_its_address(cluster: &Cluster, shows: bool) {
    eventually(async || {
        let service = cluster.find(&Resource::SERVICES, "default", "web").await?;
        let ingress = service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string();
        (ingress == shows).then_some(())
    })
    .await;
}

fn ask(cluster: &Cluster, annotation: Value) {
    let patch =
        json!({ "metadata": { "annotations": { "lb.kubesphere.io/v1alpha1": annotation } } });
    let (services, namespace) = (Resource::SERVICES, Some("default"));
    let patch = Patch::Merge(patch);
    let patched = cluster.store().patch(&services, namespace, "web", Subresource::Object, &patch);
    patched.expect("it is there");
}

fn all(permissions: &BTreeSet<Permission>) -> Vec<String> {
    let shown = permissions.iter();
    shown.map(|permission| format!("{permission} {:?}", permission.name)).collect()
}

#[tokio::test]
async fn an_agent_confined_to_its_account_serves_the_guide_and_hands_over() {
    let cluster = Cluster::new().await.confined_to(ACCOUNT, &MANIFESTS).await;
    served(&cluster).await;

    let replica = Replica::start(&cluster, "porter-1").await;

    assert_eq!(eventually(async || replica.answers(EIP)).await, NODE3);
    shows_its_address(&cluster, true).await;
    replica.leave().await;
    let lease = cluster.find(&Resource::LEASES, "porter-system", "porter-speaker").await;
    assert_eq!(lease.expect("the Lease stays")["spec"]["holderIdentity"], Value::Null);
}

#[tokio::test]
async fn an_agent_may_do_what_it_does_and_nothing_else() {
    let cluster = Cluster::of_the_lab().await.confined_to(ACCOUNT, &MANIFESTS).await;
    served(&cluster).await;
    let replica = Replica::start(&cluster, "porter-1").await;
    shows_its_address(&cluster, true).await;
    // The same happens twice, which is told by changing what was told.
    ask(&cluster, Value::Null);
    shows_its_address(&cluster, false).await;
    ask(&cluster, json!("porter"));
    shows_its_address(&cluster, true).await;
    // A renewal whose verdict is lost: the Lease is read, to see whether it went through.
    let renewal = Requests::to(Verb::Patch, Resource::LEASES).first();
    let mut lost = cluster.faults().set(renewal, Fault::CutAfter);
    lost.times(1).await;
    // An Eip that goes is let go.
    cluster.delete(&Resource::SERVICES, "default", "web").await;
    let (store, eips) = (cluster.store(), Resource::new("network.kubesphere.io", "eips"));
    let unconditional = Preconditions::default();
    let eip = "eip-sample-layer2";
    store.delete(&eips, None, eip, &unconditional, Propagation::Background).expect("it is there");
    eventually(async || store.get(&eips, None, eip).is_err().then_some(())).await;
    replica.leave().await;

    assert_eq!(all(&store.refused_permissions(ACCOUNT)), [""; 0], "a rule is missing");
    let used = all(&store.used_permissions(ACCOUNT));
    assert_eq!(used, all(&store.permissions(ACCOUNT)), "a rule is in excess");
}

#[tokio::test]
async fn the_page_says_what_an_agent_may_do() {
    let cluster = Cluster::of_the_lab().await.confined_to(ACCOUNT, &MANIFESTS).await;
    let page = include_str!("../../docs/installation.md");
    let (_, table) = page.split_once("|---|---|---|---|\n").expect("it has a table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let words = |cell: &str| cell.trim().replace('`', "").replace("core", "");
    let mut said = BTreeSet::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(words).collect();
        let [group, resources, verbs, place] = &cells[..] else { panic!("{row}") };
        for resource in resources.split(", ") {
            for verb in verbs.split(", ") {
                let (namespace, name) = match place.as_str() {
                    "everywhere" => (None, None),
                    "in its namespace" => (Some("porter-system".to_owned()), None),
                    _ => {
                        let (name, _) = place.split_once(" in its namespace").expect("it is named");
                        (Some("porter-system".to_owned()), Some(name.to_owned()))
                    }
                };
                let (group, resource) = (group.clone(), resource.to_owned());
                said.insert(Permission { group, resource, verb: verb.to_owned(), namespace, name });
            }
        }
    }

    assert_eq!(all(&said), all(&cluster.store().permissions(ACCOUNT)));
}

#[tokio::test]
async fn whoever_acts_for_another_account_is_refused() {
    let another = "system:serviceaccount:porter-system:default";
    let cluster = Cluster::of_the_lab().await.confined_to(another, &MANIFESTS).await;

    let adapter = cluster.connect(Timeouts::default()).await;

    eventually(async || {
        let refused = cluster.store().refused_permissions(another);
        (refused.len() >= 6).then_some(())
    })
    .await;
    drop(adapter);
    assert_eq!(all(&cluster.store().permissions(another)), [""; 0]);
    assert_eq!(all(&cluster.store().used_permissions(another)), [""; 0]);
}

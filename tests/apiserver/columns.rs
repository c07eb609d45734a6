//! The columns of every table: those that kubectl's users know from a real cluster, `-o wide` ones in brackets.

use serde_json::Value;

use crate::server::Server;

const TABLES: [(&str, &str); 11] = [
    ("/api/v1/namespaces", "Name Status Age"),
    (
        "/api/v1/nodes",
        "Name Status Roles Age Version [Internal-IP] [External-IP] [OS-Image] [Kernel-Version] [Container-Runtime]",
    ),
    ("/api/v1/services", "Name Type Cluster-IP External-IP Port(s) Age [Selector]"),
    (
        "/api/v1/pods",
        "Name Ready Status Restarts Age [IP] [Node] [Nominated Node] [Readiness Gates]",
    ),
    (
        "/api/v1/events",
        "Last Seen Type Reason Object [Subobject] [Source] Message [First Seen] [Count] [Name]",
    ),
    (
        "/apis/apps/v1/deployments",
        "Name Ready Up-to-date Available Age [Containers] [Images] [Selector]",
    ),
    (
        "/apis/apps/v1/replicasets",
        "Name Desired Current Ready Age [Containers] [Images] [Selector]",
    ),
    ("/apis/coordination.k8s.io/v1/leases", "Name Holder Age"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "Name AddressType Ports Endpoints Age"),
    ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "Name Created At"),
    (
        "/apis/network.kubesphere.io/v1alpha2/eips",
        "Name cidr usage total Ready [Interface] Reason Age",
    ),
];

#[tokio::test]
async fn every_kind_has_the_columns_of_a_real_server() {
    let server = Server::with_eips().await;
    let client = server.client();
    for (path, expected) in TABLES {
        let request = http::Request::get(path)
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
            .body(Vec::new())
            .expect("a request");
        let table: Value = client.request(request).await.expect("a table");
        let columns = table["columnDefinitions"].as_array().expect("columns").iter();
        let titles = columns.map(|column| match column["priority"].as_i64() {
            Some(0) => column["name"].as_str().expect("a name").to_owned(),
            _ => format!("[{}]", column["name"].as_str().expect("a name")),
        });
        assert_eq!(titles.collect::<Vec<_>>().join(" "), expected, "{path}");
    }
}

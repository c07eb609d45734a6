//! What would happen in a real cluster: `porter simulate` with the real binary, on dumps.
//!
//! `lab.json` was printed by kubectl in a lab to which a Service with the policy `Local` and one endpoint,
//! and one that asks for an address of no Eip, had been added. `odd.yaml` is made up.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/simulate/lab.json");
const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/simulate/odd.yaml");

#[test]
fn each_address_is_told_with_what_becomes_of_it_when_its_node_dies() {
    let found = forecast(&["-f", LAB]);

    assert_eq!(found["leader"], "node3", "as the Lease has it: {found}");
    assert_eq!(found["leaderBy"], "lease");
    assert_eq!(found["changes"], json!([]), "what is on record stays");
    let moved = [
        ("node1", "default/single-local", "172.22.0.189", None),
        ("node3", "default/mylbapp-svc-layer2", "172.22.0.188", Some("node1")),
    ];
    for (node, service, address, to) in moved {
        let change = &death(&found, node)["changes"][0];
        assert_eq!(change["service"], service, "{found}");
        assert_eq!(change["address"], address);
        assert_eq!(change["from"], node);
        assert_eq!(change["to"], json!(to));
    }
    assert_eq!(death(&found, "node4")["changes"], json!([]));
}

#[test]
fn a_move_takes_as_long_as_it_does_on_a_lan_and_a_new_leader_as_long_as_the_lease() {
    let found = forecast(&["-f", LAB]);

    // The node takes the leader along: its Lease of 5 s has to end first.
    let after = death(&found, "node3")["changes"][0]["seconds"].as_f64().expect("it moved");
    assert!((3.0..7.0).contains(&after), "{after}");
    let [least, most] = [0, 1].map(|i| found["succession"]["unansweredSeconds"][i].as_f64());
    let (least, most) = (least.expect("somebody answers"), most.expect("always"));
    assert!(3.0 < least && least < most && most < 6.0, "{least} {most}");
    assert_eq!(found["succession"]["changes"], json!([]));
    assert_eq!(found["succession"]["stuck"], json!([]));

    // Another node does not.
    let found = forecast(&["-f", ODD]);
    let after = death(&found, "worker-b")["changes"][0]["seconds"].as_f64().expect("it moved");
    assert!(after < 1.5, "{after}");
}

#[test]
fn a_single_point_of_failure_is_named_with_its_reason_and_remedy() {
    let shown = text(&simulate(&["-f", LAB]));

    let (_, single) = shown.split_once("1 of 2 addresses depends on a single node:").expect(&shown);
    assert!(single.contains("172.22.0.189   default/single-local   node1"), "{shown}");
    let told =
        "default/single-local: all of its endpoints are on node1; have pods on another node, too";
    assert!(single.contains(told), "{shown}");
    let pending = "default/pending: 172.22.1.1 is in no Eip; name an address of one";
    assert!(shown.contains(pending), "{shown}");
}

#[test]
fn an_address_whose_last_pod_goes_with_its_node_is_with_nobody_under_either_policy() {
    for (dump, node, service) in
        [(LAB, "node1", "default/single-local"), (ODD, "worker-a", "shop/was-at-c")]
    {
        let found = forecast(&["-f", dump, "--node", node]);
        let change = &death(&found, node)["changes"][0];
        assert_eq!(change["service"], service, "{found}");
        assert_eq!(change["to"], Value::Null);
        assert_eq!(change["reason"], "NoReadyEndpoint");
    }
}

#[test]
fn what_changes_by_itself_is_told() {
    let found = forecast(&["-f", ODD]);

    let changes = found["changes"].as_array().expect("it is a list");
    assert_eq!(changes.len(), 1, "{found}");
    assert_eq!(changes[0]["service"], "shop/was-at-c");
    assert_eq!(changes[0]["from"], "worker-c");
    assert_eq!(changes[0]["to"], "worker-a");
}

#[test]
fn nodes_of_several_subnets_are_one_lan_and_what_is_none_of_porter_s_is_passed_over() {
    let found = forecast(&["-f", ODD]);

    let addresses = found["addresses"].as_array().expect("it is a list");
    let at = |place: &Value| {
        ["service", "address", "node"].map(|key| place[key].as_str().unwrap_or_default().to_owned())
    };
    let expected = [
        ["shop/dual", "10.1.0.201", "worker-b"],
        ["shop/dual", "fd00:1::c8", "worker-b"],
        ["shop/was-at-c", "10.1.0.200", "worker-a"],
    ];
    assert_eq!(addresses.iter().map(at).collect::<Vec<_>>(), expected);
    let both: Vec<_> = death(&found, "worker-b")["changes"]
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|change| change["to"].clone())
        .collect();
    assert_eq!(both, ["worker-a", "worker-a"], "both families move together");
    let remarks = found["remarks"].to_string();
    for remark in [
        "Service shop/broken is passed over: not a readable Service",
        "node nowhere is passed over: it has no address",
        "node worker-c is not Ready, and taken for dead",
    ] {
        assert!(remarks.contains(remark), "{remarks}");
    }
    assert!(!found.to_string().contains("of-another"), "{found}");
    // worker-d has no address of IPv4, and hands over to one that has.
    assert_eq!(found["succession"]["stuck"], json!([]), "{found}");
}

#[test]
fn the_same_dump_and_seed_print_the_same_bytes_in_whichever_format_it_is_given() {
    let once = text(&simulate(&["-f", LAB, "--seed", "7"]));
    assert_eq!(once, text(&simulate(&["-f", LAB, "--seed", "7"])));

    let dump = std::fs::read_to_string(LAB).expect("it is in the repository");
    let dump: Value = serde_json::from_str(&dump).expect("kubectl prints JSON");
    let yaml = serde_saphyr::to_string(&dump).expect("all JSON is YAML");
    let given = simulate_with(&["-f", "-", "--seed", "7"], &yaml);
    assert_eq!(once, text(&given));
}

#[test]
fn one_node_is_enough_for_who_asks_for_one() {
    let found = forecast(&["-f", LAB, "--node", "node4"]);

    assert_eq!(found["deaths"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["deaths"][0]["node"], "node4");
}

#[test]
fn the_pods_of_agents_say_where_replicas_run() {
    let pod = |name: &str, node: &str| {
        let labels =
            json!({ "app.kubernetes.io/name": "porter", "app.kubernetes.io/component": "agent" });
        let metadata = json!({ "name": name, "namespace": "porter-system", "labels": labels });
        let spec = json!({ "nodeName": node });
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
    };
    // The holder's name alone would say node3.
    let pods = [pod("porter-agent-node3", "node4"), pod("porter-agent-x7k2p", "node1")];
    let pods = json!({ "apiVersion": "v1", "kind": "List", "items": pods }).to_string();
    let ran = simulate_with(&["-f", LAB, "-f", "-", "--replicas", "2", "-o", "json"], &pods);

    let found: Value = serde_json::from_slice(&ran.stdout).expect("it is JSON");
    assert_eq!(found["leader"], "node4");
    assert_eq!(found["replicas"], json!(["node4", "node1"]));
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_do() {
    let node = "{apiVersion: v1, kind: Node, metadata: {name: n}}";
    let dead = "{apiVersion: network.kubesphere.io/v1alpha2, kind: Eip, metadata: {name: e}, spec: \
                {address: 192.0.2.1}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: s}}\n---\n\
                {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, endpoints: [], \
                metadata: {name: s}}";
    let dead = format!("{node}\n---\n{dead}");
    let command = "kubectl get nodes,services,endpointslices,namespaces,";
    for (given, arguments, why, remedy) in [
        ("", &["-f", "/nowhere"][..], "reading /nowhere failed: there is no such file", command),
        ("", &["-f", "-"], "reading - failed: there is nothing in it", command),
        ("a: [", &["-f", "-"], "reading - failed: it is neither JSON nor YAML (line 1", command),
        ("[]", &["-f", "-"], "reading - failed: a list of something is no object", command),
        (node, &["-f", "-"], "-: there is no Eip in it", command),
        (&dead, &["-f", "-"], "-: none of its nodes is Ready and has an InternalIP", "nobody"),
        (
            "",
            &["-f", LAB, "--node", "node2"],
            "there is no node node2",
            "there are node3, node1, node4",
        ),
    ] {
        let ran = simulate_with(arguments, given);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && said.contains(remedy), "{given:?} {arguments:?}: {said}");
        assert!(ran.stdout.is_empty());
    }
}

fn death<'a>(found: &'a Value, node: &str) -> &'a Value {
    let mut deaths = found["deaths"].as_array().expect("it is a list").iter();
    deaths.find(|death| death["node"] == node).unwrap_or_else(|| panic!("{node} lives: {found}"))
}

fn forecast(arguments: &[&str]) -> Value {
    let shown = text(&simulate(&[arguments, &["-o", "json"]].concat()));
    serde_json::from_str(&shown).expect("it is JSON")
}

fn simulate(arguments: &[&str]) -> Output {
    simulate_with(arguments, "")
}

/// Runs it without an environment, in which there might be a cluster.
fn simulate_with(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_porter"))
        .arg("simulate")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built with this test");
    let mut to = child.stdin.take().expect("it is piped");
    // Who is told to read a file does not read this.
    let _ = to.write_all(input.as_bytes());
    drop(to);
    child.wait_with_output().expect("it is a child of ours")
}

fn text(ran: &Output) -> String {
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout.clone()).expect("it is text")
}

//! What stands in the way, as kubectl shows it: every message of `docs/what-kubectl-shows.md`, in a real lab.
//!
//! `PORTER_SHOW=1` prints what kubectl says, from which the page is made.

use std::{env, process::Command};

use tempfile::TempDir;

use crate::lab::{self, Lab};

const REASONS: &str = include_str!("../../docs/what-kubectl-shows.md");

/// One thing that is wrong: what is applied, what is looked at, and what has to be said.
struct Case {
    title: &'static str,
    /// A command, or the manifests that are applied.
    apply: String,
    /// What takes it back; nothing deletes what was applied.
    undo: &'static str,
    look: &'static [&'static str],
    says: &'static [&'static str],
    /// How the operator's tools are asked for it, and what they have to say.
    asks: &'static str,
    told: &'static str,
}

#[test]
#[expect(clippy::print_stderr, reason = "the page in docs is made of it")]
fn kubectl_shows_what_stands_in_the_way_and_what_to_do() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");
    for Case { title, apply, undo, look, says, asks, told } in cases() {
        let applied = match undo {
            "" => shell(&lab, &format!("kubectl apply -f - <<EOF\n{apply}EOF\n")),
            _ => shell(&lab, &apply),
        };
        let mut said = String::new();
        let complete = || {
            said = look
                .iter()
                .map(|command| format!("$ {command}\n{}", shell(&lab, command)))
                .collect::<Vec<_>>()
                .join("\n");
            let all = format!("{applied}{said}");
            says.iter().all(|message| all.contains(message))
        };
        lab::until(title, complete);
        if !asks.is_empty() {
            let asked = shell(&lab, &format!("{} {asks}", lab::PORTER));
            assert!(asked.contains(told), "porter {asks} of {title} lacks {told:?}: {asked}");
        }
        let shows = env::var_os("PORTER_SHOW").is_some();
        if shows {
            eprintln!("== {title}\n{apply}--\n{applied}{said}");
        }
        for message in says.iter().filter(|_| !shows) {
            assert!(
                REASONS.contains(message),
                "docs/what-kubectl-shows.md lacks {message:?} of {title:?}"
            );
        }
        match undo {
            "" => shell(&lab, &format!("kubectl delete -f - <<EOF\n{apply}EOF\n")),
            _ => shell(&lab, undo),
        };
    }
    assert!(lab.stop().success());
}

fn cases() -> impl Iterator<Item = Case> {
    eips().into_iter().chain(services()).chain(conflicts())
}

/// Eips that cannot be served as they are.
fn eips() -> Vec<Case> {
    vec![
        Case {
            title: "a malformed address",
            apply: eip("malformed", "172.22.0.300", "eth0"),
            undo: "",
            look: &[],
            says: &["spec.address"],
            asks: "",
            told: "",
        },
        Case {
            title: "a wrong interface",
            apply: eip("wrong", "172.22.1.1-172.22.1.9", "eth7"),
            undo: "",
            look: &["kubectl get eip wrong", "kubectl describe eip wrong"],
            says: &[
                "9       False   InterfaceMissing",
                "the node that leads has no interface eth7; correct spec.interface of the Eip, or \
                 run Porter only where it exists",
            ],
            asks: "status -o wide",
            told: "the node that leads has no interface eth7; correct spec.interface",
        },
        Case {
            title: "an overlapping Eip",
            apply: eip("second", "172.22.0.200-172.22.0.210", "eth0"),
            undo: "",
            look: &["kubectl get eip", "kubectl describe eip second"],
            says: &[
                "11      False   Overlaps",
                "spec.address 172.22.0.200-172.22.0.210 overlaps the older Eip eip-sample-layer2 \
                 (172.22.0.188-172.22.0.200); change the range of one of them",
            ],
            asks: "status -o wide",
            told: "overlaps the older Eip eip-sample-layer2",
        },
    ]
}

/// Services that wait, or are not answered.
fn services() -> Vec<Case> {
    vec![
        Case {
            title: "a pool that is exhausted",
            apply: eip("small", "172.22.0.211", "eth0")
                + &service("first", "small", "", 80)
                + &service("next", "small", "", 80),
            undo: "",
            look: &[
                "kubectl get eip small",
                "kubectl describe svc next",
                "kubectl get svc next -o jsonpath={.status.conditions[0].reason}",
            ],
            says: &[
                "Exhausted",
                "AssignIPFailed",
                "no address is free in Eip small (172.22.0.211, 1 address); enlarge spec.address, \
                 create another layer2 Eip, or delete a Service that needs none",
            ],
            asks: "explain next",
            told: "no address is free in Eip small (172.22.0.211, 1 address); enlarge spec.address",
        },
        Case {
            title: "no ready endpoint",
            apply: service("idle", "eip-sample-layer2", "", 80),
            undo: "",
            look: &[
                "kubectl describe svc idle",
                "kubectl get svc idle -o jsonpath={.status.conditions[0].reason}",
            ],
            says: &[
                "NoReadyEndpoint",
                "the Service has no IPv4 endpoint; check that its selector matches the labels of \
                 running pods",
            ],
            asks: "explain 172.22.0.189",
            told: "says     NoReadyEndpoint: ",
        },
        Case {
            title: "no usable node",
            apply: "kubectl taint node --all node.kubernetes.io/out-of-service=shutdown:NoSchedule"
                .to_owned(),
            undo: "kubectl taint node --all node.kubernetes.io/out-of-service-",
            look: &[
                "kubectl describe svc mylbapp-svc-layer2",
                "kubectl get svc mylbapp-svc-layer2 -o jsonpath={.status.conditions[0].reason}",
            ],
            says: &[
                "NoUsableNode",
                "node1 has the taint node.kubernetes.io/out-of-service, node3 has the taint \
                 node.kubernetes.io/out-of-service",
            ],
            asks: "explain mylbapp-svc-layer2",
            told: "node3  1 endpoint; has the taint node.kubernetes.io/out-of-service",
        },
        Case {
            title: "two Services on one port of a shared address",
            apply: service("one", "eip-sample-layer2", "172.22.0.195", 80)
                + &service("other", "eip-sample-layer2", "172.22.0.195", 80),
            undo: "",
            look: &[
                "kubectl describe svc other",
                "kubectl get svc other -o jsonpath={.status.conditions[0].reason}",
            ],
            says: &["NotShareable", "172.22.0.195"],
            asks: "explain other",
            told: "says     NotShareable: ",
        },
    ]
}

/// Others who have, or mean to take, an address of the pool.
fn conflicts() -> Vec<Case> {
    let has = |program: &str| Command::new(program).arg("-V").output().is_ok();
    if !has("ip") || !has("arping") {
        assert!(env::var_os("CI").is_none(), "CI has to provide ip and arping");
        return vec![];
    }
    let on_client = |script: &str| format!("{} lab exec client -- {script}", lab::PORTER);
    let named = service("named", "eip-sample-layer2", "172.22.0.199", 80);
    vec![
        Case {
            title: "somebody means to take an address",
            apply: on_client("arping -D -c 2 -I eth0 172.22.0.188"),
            undo: "true",
            look: &["kubectl describe svc mylbapp-svc-layer2"],
            says: &[
                "AddressProbed",
                "a host at 52:54:ac:16:00:64 on eth0 meant to take 172.22.0.188 and was told that it is in \
                 use; that did no harm, but if it is to have the address, take it out of the Eip",
            ],
            asks: "explain 172.22.0.188",
            told: "who asks on eth0 who has 172.22.0.188 is told ",
        },
        Case {
            title: "somebody has an address that a Service asks for",
            apply: on_client("ip address add 172.22.0.199/24 dev eth0")
                + &format!("; kubectl apply -f - <<EOF\n{named}EOF\n"),
            undo: concat!(
                env!("CARGO_BIN_EXE_porter"),
                " lab exec client -- ip address del 172.22.0.199/24 dev eth0; kubectl delete svc named"
            ),
            look: &[
                "kubectl describe svc named",
                "kubectl get svc named -o jsonpath={.status.conditions[0].reason}",
                "kubectl describe eip eip-sample-layer2",
            ],
            says: &[
                "AddressInUse",
                "172.22.0.199 is not given: a host that is no node has it on eth0, at \
                 52:54:ac:16:00:64; name another, or take it off there, and it is tried again within ten \
                 minutes",
                "172.22.0.199 is set aside: a host that is no node has it on eth0, at 52:54:ac:16:00:64",
            ],
            asks: "explain default/named",
            told: "172.22.0.199 is not given: a host that is no node has it on eth0",
        },
        Case {
            title: "somebody claims an address that a Service has",
            apply: on_client("ip address add 172.22.0.188/24 dev eth0"),
            undo: concat!(
                env!("CARGO_BIN_EXE_porter"),
                " lab exec client -- ip address del 172.22.0.188/24 dev eth0"
            ),
            look: &[
                "kubectl describe svc mylbapp-svc-layer2",
                "kubectl get svc mylbapp-svc-layer2 -o jsonpath='{range .status.conditions[*]}\
                 {.type} {.status} {.reason}: {.message}{\"\\n\"}{end}'",
            ],
            says: &[
                "porter.kubesphere.io/AddressConflict True ForeignHost: a host that is no node of this \
                 cluster claims 172.22.0.188 on eth0, at 52:54:ac:16:00:64: take the address off that \
                 host, or give the Service another",
                "Warning  AddressConflict  ",
            ],
            asks: "explain 172.22.0.188",
            told: "says     ForeignHost: a host that is no node of this cluster claims 172.22.0.188 on eth0",
        },
    ]
}

fn eip(name: &str, address: &str, interface: &str) -> String {
    format!(
        "apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: {name}
spec:
  address: {address}
  interface: {interface}
  protocol: layer2
---
"
    )
}

pub(crate) fn service(name: &str, eip: &str, address: &str, port: u16) -> String {
    let address =
        if address.is_empty() { String::new() } else { format!("  loadBalancerIP: {address}\n") };
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
  annotations:
    lb.kubesphere.io/v1alpha1: porter
    protocol.porter.kubesphere.io/v1alpha1: layer2
    eip.porter.kubesphere.io/v1alpha2: {eip}
spec:
  type: LoadBalancer
{address}  selector:
    app: {name}
  ports:
    - port: {port}
---
"
    )
}

/// What a shell with the lab's KUBECONFIG prints, whether it succeeds or not.
fn shell(lab: &Lab, script: &str) -> String {
    let ran = lab.run("bash", &["-c", script]);
    let said = [ran.stdout, ran.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

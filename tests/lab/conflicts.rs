//! Others who have an address of the pool, on real kernels: a host, a node's kernel, a second Porter.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    lab::{self, Lab},
    reasons,
};

const SERVICE: &str = "mylbapp-svc-layer2";
const EIP_V6: &str = include_str!("../../deploy/examples/dual-stack/eip-sample-layer2-ipv6.yaml");
const SERVICE_V6: &str = include_str!("../../deploy/examples/dual-stack/mylbapp-dual-stack.yaml");
/// Longer than it takes until every EIP was asked for, by a leader that has time.
const PATIENCE: Duration = Duration::from_secs(150);
const NODES: [&str; 3] = ["node1", "node3", "node4"];

/// A lab, and a node in it that the leader does not run on, since nobody hears its own host, and that is
/// not the one that is answered.
struct Contested {
    lab: Lab,
    node: &'static str,
    _directory: TempDir,
}

impl Contested {
    /// `None` where there is nothing to claim an address with.
    fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with more arguments.
    fn start_with(arguments: &[&str]) -> Option<Self> {
        let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|ran| ran.status.success());
        if !lab::has_kubectl() || !has_ip {
            return None;
        }
        let directory = TempDir::new().expect("there is room for a directory");
        let lab = Lab::start_with(directory.path(), arguments);
        lab.wait_for("The lab stays up");
        let mut contested = Self { lab, node: NODES[0], _directory: directory };
        let lease = "kubectl -n porter-system get lease porter-speaker";
        let holder = contested.shell(&format!("{lease} -o jsonpath={{.spec.holderIdentity}}"));
        let record = "{.metadata.annotations.layer2\\.porter\\.kubesphere\\.io/v1alpha1}";
        let answered =
            contested.shell(&format!("kubectl get svc {SERVICE} -o jsonpath='{record}'"));
        let apart = NODES.into_iter().find(|node| !holder.contains(node) && *node != answered);
        contested.node = apart.expect("one of three leads, and one is answered");
        Some(contested)
    }

    fn shell(&self, script: &str) -> String {
        let ran = self.lab.run("bash", &["-c", script]);
        let said = [ran.stdout, ran.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn on(&self, station: &str, script: &str) {
        let ran = self.lab.run(lab::PORTER, &["lab", "exec", station, "--", "bash", "-c", script]);
        assert!(ran.status.success(), "{station}: {script}: {ran:?}");
    }

    /// Whether the kernel of the node tells who asks about addresses of other links, too.
    fn set_strict(&self, strict: bool) {
        let key = "/proc/sys/net/ipv4/conf/all/arp_ignore";
        self.on(self.node, &format!("echo {} > {key}", u8::from(strict)));
    }

    /// What is said of who else claims the guide's EIP: reason and message.
    fn conflict(&self) -> String {
        let path = "{range .status.conditions[?(@.type==\"porter.kubesphere.io/AddressConflict\")]}\
                    {.reason}: {.message}{end}";
        self.shell(&format!("kubectl get svc {SERVICE} -o jsonpath='{path}'"))
    }

    /// Makes another Service, and waits until it shows this address.
    fn next_is_given(&self, address: &str) {
        let next = reasons::service("next", "eip-sample-layer2", "", 80);
        self.shell(&format!("kubectl apply -f - <<EOF\n{next}EOF\n"));
        lab::until("another address is given", || {
            let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
            self.shell(&format!("kubectl get svc next -o {path}")) == address
        });
    }

    fn until_said(&self, what: &[&str]) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let said = self.conflict();
            if what.iter().all(|what| said.contains(what)) {
                return;
            }
            assert!(Instant::now() < limit, "waited for {what:?}, and {said:?} is said");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn a_host_and_a_node_s_kernel_that_claim_an_eip_are_told_apart_and_named() {
    let Some(lab) = Contested::start() else { return };
    let node = lab.node;
    lab.on("client", "ip address add 172.22.0.188/24 dev eth0");
    lab.until_said(&["ForeignHost: a host that is no node", "at 52:54:ac:16:00:64"]);

    // kube-proxy has given every node the EIP, and this one is not told to keep it to itself.
    lab.set_strict(false);
    let kernel = format!("{node}'s kernel answers for 172.22.0.188 on eth0");
    lab.until_said(&["ForeignHost", &kernel, "arp_ignore=1"]);

    lab.on("client", "ip address del 172.22.0.188/24 dev eth0");
    lab.until_said(&[&format!("NodeAnswers: {kernel}")]);

    lab.set_strict(true);
    lab::until("nobody claims it any more", || lab.conflict().is_empty());
    let events =
        lab.shell(&format!("kubectl get events --field-selector regarding.name={SERVICE}"));
    let events = events + &lab.shell("kubectl get events");
    assert!(events.contains("AddressConflict"), "{events}");
    assert!(lab.lab.stop().success());
}

#[test]
fn an_address_on_the_loopback_of_a_node_without_arp_ignore_is_not_given() {
    let Some(lab) = Contested::start() else { return };
    lab.set_strict(false);
    lab.on(lab.node, "ip address add 172.22.0.189/32 dev lo");
    lab.next_is_given("172.22.0.190");
    let said = lab.shell("kubectl describe eip eip-sample-layer2");
    let named = format!("172.22.0.189 is set aside: {}'s kernel answers for it on eth0", lab.node);
    assert!(said.contains(&named), "{said}");
    assert!(lab.lab.stop().success());
}

#[test]
fn a_second_porter_is_told_from_a_kernel() {
    let Some(lab) = Contested::start() else { return };
    let agent = ["lab", "exec", lab.node, "--", lab::PORTER, "agent", "--lease-name", "second"];
    // The port on that host is the first one's.
    let agent = [&agent[..], &["--http", "off"]].concat();
    let mut second = lab.lab.spawn(lab::PORTER, &agent);
    let named = "OtherSpeaker: another Porter, or another load balancer, on ";
    lab.until_said(&[named, "says that 172.22.0.188 is at"]);
    second.kill().expect("it runs");
    second.wait().expect("it is a child of ours");
    assert!(lab.lab.stop().success());
}

#[test]
fn an_ipv6_address_that_a_host_has_is_not_given() {
    let Some(lab) = Contested::start() else { return };
    lab.on("client", "ip address add fd00:172:22::188/64 dev eth0 nodad");
    lab.shell(&format!("kubectl apply -f - <<EOF\n{EIP_V6}EOF\n"));
    lab.shell(&format!("kubectl apply -f - <<EOF\n{SERVICE_V6}EOF\n"));
    lab::until("the one after it is given", || {
        let path = "jsonpath={.status.loadBalancer.ingress[1].ip}";
        lab.shell(&format!("kubectl get svc mylbapp-svc-dual-stack -o {path}"))
            == "fd00:172:22::189"
    });
    let said = lab.shell("kubectl describe eip eip-sample-layer2-ipv6");
    let named = "fd00:172:22::188 is set aside: a host that is no node";
    assert!(said.contains(named) && said.contains("52:54:ac:16:00:64"), "{said}");
    assert!(lab.lab.stop().success());
}

#[test]
fn an_address_that_a_host_tries_out_is_left_to_it_and_one_in_use_is_told_of() {
    let Some(lab) = Contested::start() else { return };
    let has_arping = Command::new("arping").arg("-V").output().is_ok();
    assert!(has_arping || std::env::var_os("CI").is_none(), "CI has to provide arping");
    if !has_arping {
        return;
    }
    // Five times a second, as several hosts that take an address.
    let arping = "timeout 30 arping -q -D -c 100 -I eth0 172.22.0.189";
    let script = format!("for i in 1 2 3 4 5; do {arping} & sleep 0.2; done; wait");
    let exec = ["lab", "exec", "client", "--", "bash", "-c", &script];
    let mut taking = lab.lab.spawn(lab::PORTER, &exec);
    lab.next_is_given("172.22.0.190");
    let said = lab.shell("kubectl describe eip eip-sample-layer2");
    let named = "172.22.0.189 is set aside: a host at 52:54:ac:16:00:64 on eth0 tried it out";
    assert!(said.contains(named), "{said}");

    let probing =
        ["lab", "exec", "client", "--", "arping", "-D", "-c", "2", "-I", "eth0", "172.22.0.188"];
    let told = "a host at 52:54:ac:16:00:64 on eth0 meant to take 172.22.0.188";
    // A host that is answered asks no more, and one question may come too soon after another, or in the
    // first seconds of a term.
    lab::until("it is told of", || {
        let taken = !lab.lab.run(lab::PORTER, &probing).status.success();
        assert!(taken, "it is told that it is taken");
        lab.shell("kubectl get events").contains(told)
    });
    taking.wait().expect("it is a child of ours");
    assert!(lab.lab.stop().success());
}

#[test]
fn a_service_is_given_another_address_where_one_that_a_host_claims_is_yielded() {
    let Some(lab) = Contested::start_with(&["--", "--on-conflict", "yield"]) else { return };
    let shown = || {
        let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
        lab.shell(&format!("kubectl get svc {SERVICE} -o {path}"))
    };
    assert_eq!(shown(), "172.22.0.188");
    lab.on("client", "ip address add 172.22.0.188/24 dev eth0");
    let limit = Instant::now() + PATIENCE;
    while shown() != "172.22.0.189" {
        assert!(Instant::now() < limit, "{} is shown", shown());
        thread::sleep(Duration::from_millis(200));
    }
    let said = lab.shell("kubectl describe eip eip-sample-layer2");
    let named =
        "172.22.0.188 is set aside: a host that is no node has it on eth0, at 52:54:ac:16:00:64";
    assert!(said.contains(named), "{said}");
    let events = lab.shell("kubectl get events");
    assert!(events.contains("172.22.0.188 is left to somebody else"), "{events}");
    assert!(lab.lab.stop().success());
}

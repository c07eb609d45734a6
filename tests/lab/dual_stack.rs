//! Both families in the lab: what the cluster shows of a Service of both, and that it is reached.

use std::{env, fs, net::Ipv6Addr, process::Command};

use tempfile::TempDir;

use crate::{
    kubectl::{apply, shell},
    lab::{self, Lab},
    pcapng,
};

const EIP_YAML: &str = include_str!("../../deploy/examples/dual-stack/eip-sample-layer2-ipv6.yaml");
const SERVICE_YAML: &str = include_str!("../../deploy/examples/dual-stack/mylbapp-dual-stack.yaml");
/// The addresses that it gets while the guide's Service has the first one.
const V4: &str = "172.22.0.189";
const V6: &str = "fd00:172:22::188";
/// A Service that is not Porter's, to which somebody has given an address of the LAN.
const FOREIGN: &str = "
apiVersion: v1
kind: Service
metadata:
  name: foreign
spec:
  type: LoadBalancer
  ipFamilies: [IPv6]
  selector:
    app: mylbapp
  ports:
    - port: 8088
      targetPort: 80
";
/// A pod that says what it is told, at an address of each family.
const ECHO: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: echo
spec:
  selector:
    matchLabels:
      app: echo
  template:
    metadata:
      labels:
        app: echo
    spec:
      containers:
        - name: echo
          image: echo
          ports:
            - containerPort: 7
              protocol: UDP
---
apiVersion: v1
kind: Service
metadata:
  name: echo
  annotations:
    lb.kubesphere.io/v1alpha1: porter
    protocol.porter.kubesphere.io/v1alpha1: layer2
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  selector:
    app: echo
  ports:
    - port: 7
      protocol: UDP
";
const FOREIGN_V6: &str = "fd00:172:22::250";

#[test]
fn a_service_of_both_families_shows_both_and_its_pods_are_reached_over_both() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");

    shell(&lab, &apply(EIP_YAML));
    shell(&lab, &apply(SERVICE_YAML));
    let service = "kubectl get svc mylbapp-svc-dual-stack";
    lab::until("the Service has its addresses", || {
        shell(&lab, service).contains(&format!(" {V4},{V6} "))
    });

    let of = |path: &str| shell(&lab, &format!("{service} -o jsonpath={{{path}}}"));
    assert_eq!(of(".spec.ipFamilies"), r#"["IPv4","IPv6"]"#);
    assert_eq!(of(".spec.clusterIPs"), r#"["10.233.0.3","fd85:ee78:d8a6:8607::2"]"#);
    let slices = "kubectl get endpointslices -l kubernetes.io/service-name=mylbapp-svc-dual-stack";
    lab::until("there are endpoints of both families", || {
        let slices = shell(&lab, slices);
        [(" IPv4 ", " 10.244."), (" IPv6 ", " fd00:10:244:")].iter().all(|(family, pods)| {
            slices.lines().any(|line| line.contains(family) && line.contains(pods))
        })
    });
    let nodes = shell(&lab, "kubectl get node node4 -o jsonpath={.status.addresses[*].address}");
    assert_eq!(nodes, "172.22.0.10 fd00:172:22::10 node4");
    greets(&lab, V4, "8088");
    greets(&lab, V6, "8088");
    let node_port = of(".spec.ports[0].nodePort");
    greets(&lab, "172.22.0.10", &node_port);
    greets(&lab, "fd00:172:22::10", &node_port);
    pings(&lab, "-4", V4);
    pings(&lab, "-6", V6);
    let explained = lab.run(lab::PORTER, &["explain", "default/mylbapp-svc-dual-stack"]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert_eq!(explained.matches("\n  nodes ").count(), 1, "they are told once: {explained}");
    for address in [V4, V6] {
        let trace = ["lab", "exec", "client", "--", lab::PORTER, "trace", address, "--count", "1"];
        lab::until("a host that asks is answered by one voice", || {
            let ran = lab.run(lab::PORTER, &trace);
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            ran.status.success() && said.contains("1 of 1 questions were answered")
        });
    }
    assert!(lab.stop().success());
}

#[test]
fn all_five_statements_about_both_families_hold() {
    let directory = TempDir::new().expect("there is room for a directory");
    let ran = Command::new(lab::PORTER)
        .env("XDG_RUNTIME_DIR", directory.path())
        .args(["lab", "--once", "--dual-stack"])
        .output()
        .expect("the binary was built with this test");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);

    let ticked: Vec<_> = said.lines().filter(|line| line.starts_with(" ✓ ")).collect();
    assert_eq!(ticked.len(), 13 + 5, "{said}");
    assert!(ran.status.success(), "{said}");
}

/// A host that confirms what it knows asks the node itself, whose kernel has no such address on the LAN.
/// It goes on sending meanwhile, and then asks everybody.
#[test]
fn a_host_that_confirms_what_it_knows_is_not_answered_by_the_node_and_loses_nothing() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let capture = directory.path().join("lan.pcapng");
    let lab = Lab::start_with(directory.path(), &["--capture".as_ref(), capture.as_os_str()]);
    lab.wait_for("The lab stays up");

    // As impatient as a kernel can be made, so that it confirms several times meanwhile. What it knows
    // already it believes for as long as before.
    let hurry = "for family in ipv4 ipv6; do cd /proc/sys/net/$family/neigh/eth0 && \
                 echo 1000 > base_reachable_time_ms && echo 1 > delay_first_probe_time || exit; \
                 done";
    let hurried = lab.run(lab::PORTER, &["lab", "exec", "client", "--", "bash", "-c", hurry]);
    assert!(hurried.status.success(), "{hurried:?}");
    shell(&lab, &apply(EIP_YAML));
    shell(&lab, &apply(ECHO));
    lab::until("the pod echoes over both families", || {
        [V4, V6].iter().all(|address| echoes(&lab, address, 1).contains("1 of 1"))
    });
    // Porter on the node would answer what is for an address of that node.
    let record = "layer2\\.porter\\.kubesphere\\.io/v1alpha1";
    let node = format!("kubectl get svc echo -o jsonpath='{{.metadata.annotations.{record}}}'");
    let node = shell(&lab, &node);
    assert!(node.starts_with("node"), "{node}");
    lab::until("another node leads than the one that is answered", || {
        let holder = "kubectl get lease -A -o jsonpath={.items[*].spec.holderIdentity}";
        let leads = shell(&lab, holder).contains(&format!("{node}_"));
        if leads {
            lab.run(lab::PORTER, &["lab", "restart", "agent", &node]);
        }
        !leads
    });

    assert_eq!(echoes(&lab, V4, 150), "150 of 150");
    // By now the leader has answered those who asked before it led.
    let captured = || pcapng::read(&fs::read(&capture).expect("the lab writes it"));
    let before = captured().len();
    assert_eq!(echoes(&lab, V6, 150), "150 of 150");
    assert!(lab.stop().success());

    let frames = captured().split_off(before);
    let v6: Ipv6Addr = V6.parse().expect("an address");
    let about = |kind: u8| {
        let frames = frames.iter().map(|frame| frame.bytes.as_slice());
        frames.filter(move |it| {
            it.get(12..14) == Some(&[0x86, 0xdd])
                && it.get(54) == Some(&kind)
                && it.get(62..78) == Some(&v6.octets())
        })
    };
    let (to_all, to_the_node): (Vec<_>, Vec<_>) = about(135).partition(|it| it[0] == 0x33);
    let answers = about(136).filter(|it| it[0] != 0x33).count();
    assert!(!to_the_node.is_empty(), "it has confirmed nothing");
    assert!(to_all.len() >= 2, "it has not asked everybody again");
    // The last of them may not be answered yet when the lab ends.
    let all = to_all.len();
    assert!((all - 1..=all).contains(&answers), "{answers} answers to {all}");
}

/// A kernel takes what is for any of its addresses, on whichever link it comes, but says by NDP only
/// for the addresses of a link that they are there. So nobody but Porter speaks for an EIP, without
/// anything like `strictARP`.
#[test]
fn no_node_says_that_it_has_an_ipv6_address_that_kube_proxy_put_on_lo() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");

    shell(&lab, &apply(FOREIGN));
    let ingress =
        format!(r#"{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{FOREIGN_V6}"}}]}}}}}}"#);
    shell(
        &lab,
        &format!("kubectl patch svc foreign --subresource=status --type=merge -p '{ingress}'"),
    );
    lab::until("every node has the address", || {
        ["node1", "node3", "node4"]
            .iter()
            .all(|node| fetch(&lab, node, FOREIGN_V6, "8088").contains("Hello from pod mylbapp-"))
    });

    let refused = fetch(&lab, "client", FOREIGN_V6, "8088");
    assert!(refused.contains("No route to host"), "{refused}");
    greets(&lab, "fd00:172:22::3", &node_port(&lab, "foreign"));
    assert!(lab.stop().success());
}

fn node_port(lab: &Lab, service: &str) -> String {
    shell(lab, &format!("kubectl get svc {service} -o jsonpath={{.spec.ports[0].nodePort}}"))
}

/// Waits until the client is served at an address.
fn greets(lab: &Lab, address: &str, port: &str) {
    lab::until(&format!("the client reaches a pod at {address}, port {port}"), || {
        fetch(lab, "client", address, port).contains("Hello from pod mylbapp-")
    });
}

/// The node that is answered has the address, too, as kube-proxy in mode IPVS gives it to every node.
fn pings(lab: &Lab, family: &str, address: &str) {
    if Command::new("ping").arg("-V").output().is_err() {
        assert!(env::var_os("CI").is_none(), "CI has to provide ping");
        return;
    }
    let ping = ["lab", "exec", "client", "--", "ping", family, "-c", "3", "-W", "20", address];
    let ran = lab.run(lab::PORTER, &ping);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && said.contains(" 0% packet loss"), "{said}");
}

/// How many of so many datagrams, ten a second, come back to the client. Unlike those of a connection, and
/// unlike those of `ping`, they confirm to the kernel nothing of where it sends them.
fn echoes(lab: &Lab, address: &str, n_sent: u32) -> String {
    let script = format!(
        "exec 3<>/dev/udp/{address}/7; n=0; for i in $(seq {n_sent}); do echo -n x >&3; \
         read -t 2 -N 1 -u 3 && n=$((n + 1)); sleep 0.1; done; echo -n $n of {n_sent}"
    );
    let ran = lab.run(lab::PORTER, &["lab", "exec", "client", "--", "bash", "-c", &script]);
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

/// What a station is told at an address, or why it is told nothing.
fn fetch(lab: &Lab, station: &str, address: &str, port: &str) -> String {
    let page = format!(
        "exec 3<>/dev/tcp/{address}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    );
    let ran = lab.run(lab::PORTER, &["lab", "exec", station, "--", "bash", "-c", &page]);
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

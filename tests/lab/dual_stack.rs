//! Both families in the lab: what the cluster shows of a Service of both, and that it is reached.

use std::process::Command;

use tempfile::TempDir;

use crate::{
    kubectl::{apply, shell},
    lab::{self, Lab},
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

/// What a station is told at an address, or why it is told nothing.
fn fetch(lab: &Lab, station: &str, address: &str, port: &str) -> String {
    let page = format!(
        "exec 3<>/dev/tcp/{address}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    );
    let ran = lab.run(lab::PORTER, &["lab", "exec", station, "--", "bash", "-c", &page]);
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

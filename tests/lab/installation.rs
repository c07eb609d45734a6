//! Taking Porter out of a cluster, by the commands of docs/installation.md.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    kubectl::shell,
    lab::{self, Lab},
};

const PAGE: &str = include_str!("../../docs/installation.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The one command on the page that begins with these words.
fn command(begins: &str) -> String {
    let lines = PAGE.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    let found: Vec<_> = lines.filter(|line| line.starts_with(begins)).collect();
    let [command] = found[..] else { panic!("{begins}: {found:?}") };
    format!("cd {ROOT} && {command}")
}

/// What the kernel says of each agent's process in one line of its status.
fn of_agents(lab: &Lab, line: &str) -> Vec<String> {
    let proc = Path::new("/proc");
    let is_agent = |process: &PathBuf| {
        let command = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        command.split('\0').nth(1) == Some("agent")
    };
    let processes = lab.processes().into_iter().map(|process| proc.join(process.to_string()));
    let statuses = processes.filter(is_agent).flat_map(|it| fs::read_to_string(it.join("status")));
    statuses
        .filter_map(|status| status.lines().find_map(|it| it.strip_prefix(line)).map(str::to_owned))
        .collect()
}

#[test]
fn porter_is_taken_out_and_nothing_of_it_is_left() {
    if !lab::has_kubectl() {
        return;
    }
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");
    let delete = command("kubectl delete eips");
    // The agents that do all this have NET_RAW, the 14th capability, and no way to more.
    let capabilities = of_agents(&lab, "CapEff:\t");
    assert_eq!(capabilities, ["0000000000002000"; 3]);
    assert_eq!(of_agents(&lab, "CapBnd:\t"), capabilities);
    assert_eq!(of_agents(&lab, "NoNewPrivs:\t"), ["1"; 3]);

    // As long as a Service has an address, it is a matter of that alone.
    let early = delete.replace("--all &&", "--all --timeout=2s &&");
    let refused = lab.run("bash", &["-c", &early]);
    assert!(!refused.status.success(), "{refused:?}");
    let service = "kubectl get service mylbapp-svc-layer2 --output";
    let address = format!("{service} jsonpath={{.status.loadBalancer.ingress[0].ip}}");
    assert_eq!(shell(&lab, &address), "172.22.0.188");
    assert!(shell(&lab, "kubectl describe eips").contains("default/mylbapp-svc-layer2"));

    shell(&lab, &command("kubectl annotate services"));
    shell(&lab, &delete);

    assert_eq!(shell(&lab, &address), "");
    let traces =
        shell(&lab, &format!("{service} jsonpath={{.metadata.labels}}{{.metadata.finalizers}}"));
    assert_eq!(traces, "");
    let left = "get sa,roles,rolebindings,clusterroles,clusterrolebindings,crd,ds,leases";
    let left = shell(&lab, &format!("kubectl {left} --all-namespaces --output name"));
    assert_eq!(left, "");
    // The lab's agents have nobody to end them. They acted for the account that is gone.
    let log = directory.path().join("porter-lab/agent-node1.log");
    let refused = r#"User "system:serviceaccount:porter-system:porter-agent" cannot"#;
    lab::until("an agent is refused", || {
        fs::read_to_string(&log).expect("it logs").replace('\\', "").contains(refused)
    });
    assert!(lab.stop().success());
}

//! Faults made and undone from a second terminal, and what the client sees of them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::lab::{self, Lab};

/// The guide's EIP and its port.
const SERVICE: (&str, &str) = ("172.22.0.188", "8088");
const NODES: [(&str, &str); 3] =
    [("node1", "172.22.0.3"), ("node3", "172.22.0.9"), ("node4", "172.22.0.10")];

/// A lab that is told what to do.
struct Told {
    lab: Lab,
    directory: TempDir,
}

impl Told {
    fn start() -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let lab = Lab::start(directory.path());
        lab.wait_for("The lab stays up");
        Self { lab, directory }
    }

    /// Gives an order that is carried out, and returns what is said.
    fn order(&self, order: &str) -> String {
        let arguments: Vec<_> = ["lab"].into_iter().chain(order.split(' ')).collect();
        let ran = self.lab.run(lab::PORTER, &arguments);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{order}: {ran:?}");
        assert!(said.contains("To watch:"), "{order}: {said}");
        said
    }

    /// Gives an order that cannot be carried out, and returns why.
    fn refused(&self, order: &str) -> String {
        let arguments: Vec<_> = ["lab"].into_iter().chain(order.split(' ')).collect();
        let ran = self.lab.run(lab::PORTER, &arguments);
        assert!(!ran.status.success(), "{order}: {ran:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    }

    /// What the client says when it connects: nothing if it could.
    fn connect(&self, address: &str, port: &str) -> String {
        let script = format!("exec 3<>/dev/tcp/{address}/{port}");
        let command = ["lab", "exec", "client", "--", "timeout", "1", "bash", "-c", &script];
        let ran = self.lab.run(lab::PORTER, &command);
        match ran.status.code() {
            Some(0) => String::new(),
            Some(124) => "timed out".into(),
            _ => String::from_utf8_lossy(&ran.stderr).into_owned(),
        }
    }

    /// Whether the client reaches a node, which refuses what it does not serve.
    fn is_on_the_lan(&self, node: &str) -> bool {
        let (_, address) = NODES.into_iter().find(|(name, _)| *name == node).expect("a node");
        self.connect(address, "1").contains("refused")
    }

    fn client_is_served(&self) {
        lab::until("the client is served", || self.connect(SERVICE.0, SERVICE.1).is_empty());
    }

    /// The node that the client takes for the EIP.
    fn answered(&self) -> Option<&'static str> {
        let eip = self.neighbour(SERVICE.0)?;
        // The last four bytes of a node's MAC are its address.
        let of = |address: &str| {
            let bytes: Vec<_> =
                address.split('.').filter_map(|byte| byte.parse::<u8>().ok()).collect();
            bytes.iter().map(|byte| format!(":{byte:02x}")).collect::<String>()
        };
        NODES.into_iter().find(|(_, address)| eip.ends_with(&of(address))).map(|(name, _)| name)
    }

    /// The MAC that the client has in its cache for an address.
    fn neighbour(&self, address: &str) -> Option<String> {
        let table = self.on("client", &["cat", "/proc/net/arp"]);
        let entry = table.lines().find(|line| line.split(' ').next() == Some(address))?;
        entry.split_whitespace().nth(3).map(str::to_owned)
    }

    /// The MAC that a node's link has now.
    fn mac(&self, node: &str) -> String {
        let told = self.on(node, &["ip", "-brief", "link", "show", "eth0"]);
        told.split_whitespace().nth(2).expect("the third column is the MAC").to_owned()
    }

    /// Changes links and addresses of a node.
    fn ip(&self, node: &str, change: &str) {
        self.on(node, &["ip"].into_iter().chain(change.split(' ')).collect::<Vec<_>>());
    }

    /// Runs a command on a station, and returns what it prints.
    fn on(&self, station: &str, command: &[&str]) -> String {
        let exec = ["lab", "exec", station, "--"];
        let ran = self.lab.run(lab::PORTER, &[&exec, command].concat());
        assert!(ran.status.success(), "{command:?}: {ran:?}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// The node whose agent holds the Lease.
    fn leader(&self) -> Option<&'static str> {
        let kubeconfig = self.directory.path().join("porter-lab/kubeconfig");
        let kubeconfig = fs::read_to_string(kubeconfig).ok()?;
        let (_, server) = kubeconfig.split_once("http://")?;
        let server = server.split('"').next()?;
        let mut stream = TcpStream::connect(server).ok()?;
        let path = "/apis/coordination.k8s.io/v1/namespaces/porter-system/leases/porter-speaker";
        write!(stream, "GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").ok()?;
        let mut lease = String::new();
        stream.read_to_string(&mut lease).ok()?;
        let (_, holder) = lease.split_once("\"holderIdentity\":\"porter-agent-")?;
        let holder = holder.split('_').next()?;
        NODES.into_iter().map(|(name, _)| name).find(|name| *name == holder)
    }

    fn log(&self, node: &str) -> String {
        let log = self.directory.path().join(format!("porter-lab/agent-{node}.log"));
        fs::read_to_string(log).unwrap_or_default()
    }

    /// How often the agent of a node was started.
    fn starts(&self, node: &str) -> usize {
        self.log(node).matches(" starting ").count()
    }

    /// Whether a process of the lab is stopped.
    fn has_a_stopped_process(&self) -> bool {
        self.lab.processes().iter().any(|process| {
            let stat = Path::new("/proc").join(process.to_string()).join("stat");
            let stat = fs::read_to_string(stat).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }
}

/// Tells what the agents said if the test fails, since that goes with the lab.
struct Logs(PathBuf);

impl Drop for Logs {
    #[expect(clippy::print_stdout, reason = "a test harness shows it for tests that fail")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (node, _) in NODES {
                let log = self.0.join(format!("porter-lab/agent-{node}.log"));
                println!("{node}:\n{}", fs::read_to_string(log).unwrap_or_default());
            }
        }
    }
}

#[test]
fn faults_are_made_and_undone_from_a_second_terminal() {
    let told = Told::start();
    let _logs = Logs(told.directory.path().to_owned());

    // First, while every node is known to be there: an EIP rather stays at a drained node than goes to
    // one that was dead a moment ago.
    a_drained_node_is_not_answered_for(&told);
    an_agent_that_is_killed_is_started_again(&told);
    an_agent_that_is_paused_stands_still_until_it_is_healed(&told);
    a_node_is_off_the_lan_while_its_cable_is_cut_or_it_has_no_power(&told);
    a_leader_without_the_api_server_is_replaced(&told);
    a_leader_whose_link_is_cut_or_renamed_is_replaced(&told);
    the_client_follows_the_mac_of_each_node(&told);
    a_leader_whose_link_is_made_again_leads_on_it(&told);
    what_cannot_be_done_is_refused_with_advice(&told);

    told.client_is_served();
    assert!(told.lab.stop().success());
}

fn an_agent_that_is_killed_is_started_again(told: &Told) {
    let before = told.starts("node4");
    told.order("kill agent node4");
    lab::until("a new agent starts", || told.starts("node4") == before + 1);

    let before = told.starts("node1");
    told.order("restart agent node1");
    lab::until("a new agent starts", || told.starts("node1") == before + 1);
    assert!(told.log("node1").contains("asked to stop"), "a restart is an orderly end");
}

fn an_agent_that_is_paused_stands_still_until_it_is_healed(told: &Told) {
    told.order("pause agent node3");
    lab::until("it stands still", || told.has_a_stopped_process());
    assert!(told.refused("pause agent node3").contains("`porter lab heal node3`"));
    told.order("heal node3");
    lab::until("it goes on", || !told.has_a_stopped_process());

    told.order("pause agent node3 --for 100ms");
    lab::until("it goes on", || !told.has_a_stopped_process());
}

fn a_node_is_off_the_lan_while_its_cable_is_cut_or_it_has_no_power(told: &Told) {
    assert!(told.is_on_the_lan("node1"));
    told.order("cut lan node1");
    assert!(!told.is_on_the_lan("node1"));
    told.order("heal lan node1");
    lab::until("the node is back on the LAN", || told.is_on_the_lan("node1"));

    told.order("kill node node1");
    assert!(!told.is_on_the_lan("node1"));
    let starts = told.starts("node1");
    told.order("restart node node1");
    lab::until("the node is back on the LAN", || told.is_on_the_lan("node1"));
    lab::until("its agent starts", || told.starts("node1") == starts + 1);
}

fn a_drained_node_is_not_answered_for(told: &Told) {
    told.client_is_served();
    let target = told.answered().expect("the client has it in its cache");
    told.order(&format!("drain {target}"));
    lab::until("the client turns to another node", || {
        told.answered().is_some_and(|node| node != target)
    });
    told.client_is_served();
    told.order(&format!("heal {target}"));
}

fn a_leader_without_the_api_server_is_replaced(told: &Told) {
    let leader = told.leader().expect("somebody holds the Lease");
    told.order(&format!("cut api {leader}"));
    lab::until("another leads", || told.leader().is_some_and(|node| node != leader));
    told.order("heal api");
}

fn a_leader_whose_link_is_cut_or_renamed_is_replaced(told: &Told) {
    let replaced = |leader: &str| {
        lab::until("another leads", || told.leader().is_some_and(|node| node != leader));
        told.client_is_served();
    };
    let leader = told.leader().expect("somebody holds the Lease");
    let starts = told.starts(leader);
    told.order(&format!("cut lan {leader}"));
    replaced(leader);
    told.order(&format!("heal lan {leader}"));
    assert_eq!(told.starts(leader), starts);

    if !has_ip() {
        return;
    }
    let leader = told.leader().expect("somebody holds the Lease");
    let starts = told.starts(leader);
    rename(told, leader, "eth0", "lan0");
    replaced(leader);
    rename(told, leader, "lan0", "eth0");
    lab::until("the node is back on the LAN", || told.is_on_the_lan(leader));
    assert_eq!(told.starts(leader), starts);
}

fn the_client_follows_the_mac_of_each_node(told: &Told) {
    if !has_ip() {
        return;
    }
    let starts = NODES.map(|(node, _)| told.starts(node));
    told.client_is_served();
    for (node, _) in NODES {
        let old = told.mac(node);
        let new = old.replacen("52:", "56:", 1);
        assert_ne!(old, new);
        told.ip(node, &format!("link set eth0 address {new}"));
        lab::until("nobody takes the old MAC for the EIP", || {
            told.neighbour(SERVICE.0).is_some_and(|mac| mac != old)
        });
        told.client_is_served();
    }
    let known = told.neighbour(SERVICE.0).expect("the client was served");
    assert!(NODES.iter().any(|(node, _)| told.mac(node) == known), "{known}");
    assert_eq!(NODES.map(|(node, _)| told.starts(node)), starts);
}

/// The new link has another index and MAC, and leads to the LAN through the one that was there.
fn a_leader_whose_link_is_made_again_leads_on_it(told: &Told) {
    if !has_ip() {
        return;
    }
    let leader = told.leader().expect("somebody holds the Lease");
    let (_, address) = NODES.into_iter().find(|(node, _)| *node == leader).expect("a node");
    let starts = told.starts(leader);
    rename(told, leader, "eth0", "wire0");
    told.ip(leader, "address flush dev wire0");
    told.ip(leader, "link add link wire0 name eth0 type macvlan");
    told.ip(leader, &format!("address add {address}/24 dev eth0"));
    told.ip(leader, "link set eth0 up");
    lab::until("the node is back on the LAN", || told.is_on_the_lan(leader));
    lab::until("it leads", || match told.leader() {
        Some(node) if node == leader => true,
        Some(node) => {
            told.order(&format!("restart agent {node}"));
            lab::until("another leads", || told.leader().is_some_and(|it| it != node));
            false
        }
        None => false,
    });
    told.client_is_served();
    assert_eq!(told.starts(leader), starts);

    told.ip(leader, "link delete eth0");
    lab::until("another leads", || told.leader().is_some_and(|node| node != leader));
    told.client_is_served();
    rename(told, leader, "wire0", "eth0");
    told.ip(leader, &format!("address add {address}/24 dev eth0"));
    lab::until("the node is back on the LAN", || told.is_on_the_lan(leader));
    assert_eq!(told.starts(leader), starts);
}

/// Whether there is a program that changes links.
fn has_ip() -> bool {
    let has = Command::new("ip").arg("-V").output().is_ok();
    assert!(has || std::env::var_os("CI").is_none(), "CI has to provide ip");
    has
}

fn rename(told: &Told, node: &str, from: &str, to: &str) {
    for change in [format!("{from} down"), format!("{from} name {to}"), format!("{to} up")] {
        told.ip(node, &format!("link set {change}"));
    }
}

fn what_cannot_be_done_is_refused_with_advice(told: &Told) {
    let unknown = told.refused("kill agent node2");
    assert!(unknown.contains("there are node1, node3, node4"), "{unknown}");
    let whole = told.refused("heal");
    assert!(whole.contains("nothing to heal"), "{whole}");
}

#[test]
fn an_order_without_a_lab_says_how_to_start_one() {
    let directory = TempDir::new().expect("there is room for a directory");
    let ran = Command::new(lab::PORTER)
        .env("XDG_RUNTIME_DIR", directory.path())
        .args(["lab", "kill", "agent", "node1"])
        .output()
        .expect("the binary was built with this test");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && said.contains("start one with `porter lab`"), "{said}");
}

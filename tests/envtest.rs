//! A real control plane for a test: `etcd` and `kube-apiserver` on loopback, where `KUBEBUILDER_ASSETS` names a folder
//! with both, as setup-envtest makes it.
//!
//! Each test has one of its own, in a folder that vanishes with it; there is at most one at a time, since each takes
//! some hundred megabytes. Nobody else runs: no controllers, no scheduler, no nodes. Whoever knows the token may do
//! everything.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::PostParams,
    runtime::wait::{await_condition, conditions::is_crd_established},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};

/// Longer than both take to start on the slowest machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_millis(100);
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// A control plane that runs until this is dropped.
pub(crate) struct ControlPlane {
    /// Where the API server listens, with TLS.
    pub(crate) address: SocketAddr,
    token: String,
    /// Ended in this order: the API server before what it keeps its objects in, and the folder last.
    _apiserver: Child,
    _etcd: Child,
    _folder: TempDir,
    _permit: SemaphorePermit<'static>,
}

impl ControlPlane {
    /// A new one with the namespace `porter-system`, or `None` where there are no binaries for it.
    pub(crate) async fn start() -> Option<Self> {
        let binaries =
            PathBuf::from(env::var_os("KUBEBUILDER_ASSETS").filter(|path| !path.is_empty())?);
        let permit = ONE_AT_A_TIME.acquire().await.expect("it is never closed");
        let folder = tempfile::tempdir().expect("a folder");
        let (mut etcd, etcd_address) = start_etcd(&binaries, folder.path()).await;
        let token = uuid::Uuid::new_v4().to_string();
        let address = free_address();
        let mut apiserver = spawn(
            &binaries,
            "kube-apiserver",
            folder.path(),
            &apiserver_flags(folder.path(), address, etcd_address, &token),
        );
        let serving = async {
            while !is_ready(&config(address, &token)).await {
                still_runs(&mut etcd, "etcd", folder.path());
                still_runs(&mut apiserver, "kube-apiserver", folder.path());
                sleep(ASKED_EVERY).await;
            }
        };
        timeout(STARTS_WITHIN, serving).await.expect("the API server is ready in time");
        let plane = Self {
            address,
            token,
            _apiserver: apiserver,
            _etcd: etcd,
            _folder: folder,
            _permit: permit,
        };
        plane.add_namespace("porter-system").await;
        Some(plane)
    }

    /// How a client reaches the API server, at its own address or at that of whoever stands before it.
    pub(crate) fn config(&self, at: SocketAddr) -> Config {
        config(at, &self.token)
    }

    pub(crate) fn client(&self) -> Client {
        Client::try_from(self.config(self.address)).expect("a client")
    }

    /// Makes a kind known, and waits until it is served.
    pub(crate) async fn define(&self, definition: &CustomResourceDefinition) {
        let definitions = Api::all(self.client());
        definitions.create(&PostParams::default(), definition).await.expect("it is accepted");
        let name = definition.name_any();
        let served = await_condition(definitions, &name, is_crd_established());
        timeout(STARTS_WITHIN, served).await.expect("it is served in time").expect("it stays");
    }

    async fn add_namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }));
        let namespace = namespace.expect("a namespace");
        namespaces.create(&PostParams::default(), &namespace).await.expect("creates");
        // The API server makes this one itself, soon after it is ready.
        let default = async {
            while namespaces.get_opt("default").await.expect("reads").is_none() {
                sleep(ASKED_EVERY).await;
            }
        };
        timeout(STARTS_WITHIN, default).await.expect("the namespace default is there in time");
    }
}

fn config(at: SocketAddr, token: &str) -> Config {
    let mut config = Config::new(format!("https://{at}").parse().expect("a URL"));
    // The server makes a certificate up that nobody vouches for. It is reached over loopback.
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(token.to_owned().into());
    config
}

async fn start_etcd(binaries: &Path, folder: &Path) -> (Child, SocketAddr) {
    let (clients, peers) = (free_address(), free_address());
    let flags = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://{clients}"),
        format!("--advertise-client-urls=http://{clients}"),
        format!("--listen-peer-urls=http://{peers}"),
        format!("--initial-advertise-peer-urls=http://{peers}"),
        format!("--initial-cluster=default=http://{peers}"),
    ];
    let mut etcd = spawn(binaries, "etcd", folder, &flags);
    let listening = async {
        while TcpStream::connect(clients).await.is_err() {
            still_runs(&mut etcd, "etcd", folder);
            sleep(ASKED_EVERY).await;
        }
    };
    timeout(STARTS_WITHIN, listening).await.expect("etcd listens in time");
    (etcd, clients)
}

fn apiserver_flags(folder: &Path, at: SocketAddr, etcd: SocketAddr, token: &str) -> Vec<String> {
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::write(&path, content).expect("the folder can be written to");
        path.display().to_string()
    };
    // Accounts of services are not used, but the API server does not start without a key for their tokens.
    let key = rcgen::KeyPair::generate().expect("a key");
    let public_key = write("service-accounts.pub", &key.public_key_pem());
    let key = write("service-accounts.key", &key.serialize_pem());
    let tokens = write("tokens.csv", &format!("{token},tests,tests,system:masters\n"));
    vec![
        format!("--etcd-servers=http://{etcd}"),
        format!("--bind-address={}", at.ip()),
        // Otherwise it looks for a route to the world, which a machine need not have.
        format!("--advertise-address={}", at.ip()),
        format!("--secure-port={}", at.port()),
        format!("--cert-dir={}", folder.join("certificates").display()),
        format!("--service-account-key-file={public_key}"),
        format!("--service-account-signing-key-file={key}"),
        "--service-account-issuer=https://localhost".to_owned(),
        format!("--token-auth-file={tokens}"),
        // Members of `system:masters` may do everything under any mode, and act for those who may not.
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        // Nobody makes service accounts for pods, or takes the taint of a new node away.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".to_owned(),
    ]
}

/// Starts a program, which is killed by its id when its handle is dropped, and keeps what it says.
fn spawn(binaries: &Path, program: &str, folder: &Path, flags: &[String]) -> Child {
    let log = fs::File::create(log_of(program, folder)).expect("the folder can be written to");
    let path = binaries.join(program);
    Command::new(&path)
        .args(flags)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle on the log"))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{} of KUBEBUILDER_ASSETS: {error}", path.display()))
}

fn log_of(program: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{program}.log"))
}

/// Fails with the last words of a program that has ended.
fn still_runs(child: &mut Child, program: &str, folder: &Path) {
    let Some(status) = child.try_wait().expect("it is our child") else { return };
    let log = fs::read_to_string(log_of(program, folder)).unwrap_or_default();
    let last: Vec<_> = log.lines().rev().take(20).collect();
    panic!(
        "{program} ended with {status}:\n{}",
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    );
}

async fn is_ready(config: &Config) -> bool {
    let client = Client::try_from(config.clone()).expect("a client");
    let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
    matches!(timeout(STARTS_WITHIN, client.request_text(request)).await, Ok(Ok(said)) if said == "ok")
}

/// An address of loopback that nobody listens on. Somebody might before it is used; then the test fails.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

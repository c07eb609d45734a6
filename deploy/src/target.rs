//! Which cluster, and which Lease in it: the same flags for whoever serves it and whoever looks at it.

use std::{env, path::PathBuf};

use clap::Args;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use porter_backends::Error;
use porter_core::Namespaced;

/// A cluster, and the Lease that replicas compete for.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// How to reach the API server. Otherwise $KUBECONFIG, ~/.kube/config, or the service account
    /// of the pod, in this order.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The namespace of the Lease. Otherwise $OPENELB_NAMESPACE, or porter-system.
    #[arg(long, env = "PORTER_NAMESPACE")]
    namespace: Option<String>,
    /// The name of the Lease.
    #[arg(long, value_name = "NAME", default_value = "porter-speaker")]
    lease_name: String,
}

impl Target {
    pub(crate) fn lease(&self) -> Namespaced {
        let namespace = self.namespace.clone().or_else(|| env::var("OPENELB_NAMESPACE").ok());
        let namespace = namespace.unwrap_or_else(|| "porter-system".into());
        Namespaced::new(&namespace, &self.lease_name)
    }

    pub(crate) async fn cluster(&self) -> Result<Config, Error> {
        let Some(file) = &self.kubeconfig else {
            return Config::infer().await.map_err(|error| {
                // The library tells of each place that it looked at, which says less where there is none.
                let why = match is_anything_there() {
                    true => error.to_string(),
                    false => {
                        "$KUBECONFIG is not set, there is no ~/.kube/config, and this is no pod"
                            .into()
                    }
                };
                let remedy = "give --kubeconfig FILE, set KUBECONFIG, or run in a pod";
                Error::new("finding the API server", format!("{why}; {remedy}"))
            });
        };
        let reading = |error| Error::new("reading the kubeconfig", error);
        let kubeconfig = Kubeconfig::read_from(file).map_err(reading)?;
        let options = KubeConfigOptions::default();
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(reading)
    }
}

/// Whether there is anything, right or wrong, that should say where the API server is.
fn is_anything_there() -> bool {
    let file = env::home_dir().map(|home| home.join(".kube/config"));
    let named =
        ["KUBECONFIG", "KUBERNETES_SERVICE_HOST"].iter().any(|it| env::var_os(it).is_some());
    named || file.is_some_and(|file| file.exists())
}

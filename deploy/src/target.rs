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
                // What is lacking of the two: a file, if this is no pod.
                let why = match env::var_os("KUBECONFIG") {
                    Some(file) => format!("$KUBECONFIG is {}: {error}", file.display()),
                    None => "there is no ~/.kube/config that can be read, $KUBECONFIG is not set, and this is \
                             no pod"
                        .to_owned(),
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

//! One look at all that is on record, for people who ask how things are.

use std::time::Duration;

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Namespace, Node, Service},
        discovery::v1::EndpointSlice,
    },
    serde::de::DeserializeOwned,
};
use kube::{Api, Client, Config, Resource, ResourceExt as _, api::ListParams};
use porter_core::{LeaseRecord, Namespaced, Observer, ServiceName};
use tokio::time::timeout;

use super::{
    Eip,
    cluster::{client, look_for_eips},
    convert::{self, Watched},
    verdict,
};
use crate::Error;

/// After how long an answer is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that is on record.
pub struct Look {
    /// The objects.
    pub observer: Observer<'static>,
    /// The Lease that is competed for, if there is one.
    pub lease: Option<LeaseRecord>,
    client: Client,
}

impl Look {
    /// Looks at everything that decisions are made of, and at the Lease that is competed for.
    ///
    /// Fails if the API server does not answer, refuses, or does not know the kind `Eip`; the error says
    /// what to do.
    pub async fn at(config: Config, lease: &Namespaced) -> Result<Self, Error> {
        let client = client(&config, PATIENCE)?;
        answers(&client, &config.cluster_url).await?;
        look_for_eips(&client, PATIENCE).await?;
        let mut observer = Observer::new();
        list::<Eip>(&client, &mut observer).await?;
        list::<Service>(&client, &mut observer).await?;
        list::<EndpointSlice>(&client, &mut observer).await?;
        list::<Node>(&client, &mut observer).await?;
        list::<Namespace>(&client, &mut observer).await?;
        let leases = Api::<Lease>::namespaced(client.clone(), lease.namespace());
        let found = answer("reading the Lease", leases.get_opt(lease.name())).await?;
        let lease = found.and_then(|lease| lease.fact());
        Ok(Self { observer, lease, client })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The type of a Service, if there is such a Service: for one that has nothing to do with Porter.
    pub async fn type_of(&self, name: &ServiceName) -> Result<Option<String>, Error> {
        let services = Api::<Service>::namespaced(self.client.clone(), name.namespace());
        let found = answer("reading the Service", services.get_opt(name.name())).await?;
        let type_of = |service: Service| service.spec.and_then(|spec| spec.type_);
        Ok(found.map(|service| type_of(service).unwrap_or_default()))
    }
}

/// Whether an API server answers there, whatever it says.
async fn answers(client: &Client, url: &http::Uri) -> Result<(), Error> {
    let asked = timeout(PATIENCE, client.apiserver_version()).await;
    let why = match asked {
        Ok(Err(error)) if !verdict::is_answer(&error) => verdict::told(&error),
        Ok(Ok(_) | Err(_)) => return Ok(()),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    let remedy = "see whether it runs there, or name another with --kubeconfig";
    Err(Error::new(format!("asking the API server at {url}"), format!("{why}; {remedy}")))
}

/// Tells of all objects of one kind.
async fn list<T>(client: &Client, observer: &mut Observer<'_>) -> Result<(), Error>
where
    T: Watched + Clone + std::fmt::Debug + DeserializeOwned,
    T: Resource<DynamicType = ()>,
{
    let kind = T::kind(&());
    let objects = Api::<T>::all(client.clone());
    let listed = answer(&format!("listing {kind}s"), objects.list(&ListParams::default())).await?;
    for object in listed {
        match convert::sighting(&object) {
            Ok((name, version, fact)) => observer.handle_input(T::seen(name, version, fact)),
            Err(unreadable) => tracing::warn!(%unreadable, "passed over {}", object.name_any()),
        }
    }
    Ok(())
}

async fn answer<T>(
    doing: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::new(doing, verdict::told(&error))),
        Err(_) => {
            let why = format!("the API server did not answer within {PATIENCE:?}");
            Err(Error::new(doing, why))
        }
    }
}

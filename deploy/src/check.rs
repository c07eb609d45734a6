//! `porter check`: what keeps Porter from working, before somebody misses it.

use std::{collections::BTreeSet, error::Error, process::ExitCode};

use clap::Args;
use k8s_openapi::{
    api::{authorization::v1::ResourceAttributes, rbac::v1::PolicyRule},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use porter_backends::{
    check::{self, Finding, Rights, Verdict},
    kube::Look,
};
use porter_core::{LinkName, Whereabouts};
use serde::Deserialize;

use crate::{
    look::{Format, json, leader, print, soon, yaml},
    target::Target,
};

/// What agents may do, as it is installed.
const RBAC: &str = include_str!("../rbac.yaml");

/// A Role or a ClusterRole. What has no rules is a binding.
#[derive(Deserialize)]
struct Grant {
    metadata: ObjectMeta,
    #[serde(default)]
    rules: Vec<PolicyRule>,
}

/// Look for what keeps Porter from working, and say what to do about it: one line for each.
///
/// Looks at the cluster: whether it knows the kind Eip, whether agents may do what they do, whether one
/// leads, whether all that is asked for is announced, and how kube-proxy is set up. With --host also at
/// the host it runs on, which is to be a node: its privileges, the interfaces of Eips, and how its
/// kernel answers ARP. Ends with 1 if something is wrong.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Also look at this host, as at one that an agent runs on.
    #[arg(long)]
    host: bool,
    /// The service account of the agents.
    #[arg(long, value_name = "NAME", default_value = "porter-agent")]
    service_account: String,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    target: Target,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let findings = soon(self.check())?;
        print(&match self.output {
            Format::Text | Format::Wide => {
                findings.iter().map(|finding| format!("{finding}\n")).collect()
            }
            Format::Json => json(&findings)?,
            Format::Yaml => yaml(&findings)?,
        })?;
        let wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
        Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn check(&self) -> Result<Vec<Finding>, Box<dyn Error>> {
        let lease = self.target.lease();
        let looked = match self.target.cluster().await {
            Ok(config) => Look::at(config, &lease).await,
            Err(error) => Err(error),
        };
        let (mut interfaces, mut announced) = (BTreeSet::new(), Vec::new());
        let mut findings = match &looked {
            Ok(look) => {
                let named = look.observer.eips().filter_map(|(_, eip)| eip.interface.as_deref());
                interfaces.extend(named.filter_map(LinkName::new));
                let met = look.observer.announcements().filter_map(|it| it.announced);
                announced.extend(met.flat_map(|said| Whereabouts::told(&said.message)));
                let user =
                    format!("system:serviceaccount:{}:{}", lease.namespace(), self.service_account);
                let rights = Rights { user, needed: needed(lease.namespace())? };
                check::cluster(look, &leader(&lease, look), &rights).await
            }
            Err(error) => vec![Finding::wrong("API server", error.to_string())],
        };
        if self.host {
            findings.extend(self.look_at_host(interfaces, &announced).await);
        }
        Ok(findings)
    }

    #[cfg(target_os = "linux")]
    async fn look_at_host(
        &self,
        interfaces: BTreeSet<LinkName>,
        announced: &[Whereabouts],
    ) -> Vec<Finding> {
        check::host(interfaces, announced).await
    }

    #[cfg(not(target_os = "linux"))]
    async fn look_at_host(&self, _: BTreeSet<LinkName>, _: &[Whereabouts]) -> Vec<Finding> {
        vec![Finding::wrong("host", "agents run on Linux, which this is not")]
    }
}

/// What agents have to be allowed to do, one thing each.
fn needed(namespace: &str) -> Result<Vec<ResourceAttributes>, serde_saphyr::Error> {
    let grants = serde_saphyr::from_multiple::<Grant>(RBAC)?;
    let rules = grants.into_iter().flat_map(|Grant { metadata, rules }| {
        let within = metadata.namespace.map(|_| namespace.to_owned());
        rules.into_iter().map(move |rule| (within.clone(), rule))
    });
    Ok(rules.flat_map(|(within, rule)| attributes(within.as_deref(), &rule)).collect())
}

fn attributes(namespace: Option<&str>, rule: &PolicyRule) -> Vec<ResourceAttributes> {
    let mut all = Vec::new();
    let group = rule.api_groups.iter().flatten().next().cloned();
    let name = rule.resource_names.iter().flatten().next().cloned();
    for resource in rule.resources.iter().flatten() {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (&**resource, None),
        };
        all.extend(rule.verbs.iter().map(|verb| ResourceAttributes {
            group: group.clone(),
            resource: Some(resource.to_owned()),
            subresource: subresource.clone(),
            verb: Some(verb.clone()),
            name: name.clone(),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        }));
    }
    all
}

//! Manifests: what a person applies, read from YAML.
//!
//! Objects become facts by the same conversion that a real agent uses. Kinds that the world knows
//! nothing of are kept as [`Manifest::Ignored`], so that whoever reads them can say so.

use std::{error, fmt};

use k8s_openapi::api::core::v1;
use porter_backends::kube::{self, convert};
use porter_core::{Eip, EipName, Family, Namespaced, Service, ServiceName};
use serde_json::{Value, json};

use super::{
    cluster::{Exposed, Labels, Port, Workload},
    family,
};

/// An object that a person applies.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// `apps/v1 Deployment`.
    #[expect(private_interfaces, reason = "what the stand-ins read of it is their own business")]
    Deployment(Namespaced, Workload),
    /// `network.kubesphere.io/v1alpha2 Eip`.
    Eip(EipName, Eip),
    /// A kind that the world knows nothing of.
    Ignored {
        /// `kind`.
        kind: String,
        /// `metadata.name`.
        name: String,
    },
    /// `v1 Service`.
    #[expect(private_interfaces, reason = "what the stand-ins read of it is their own business")]
    Service(ServiceName, Service, Exposed),
}

/// Why a manifest cannot be read.
#[derive(Debug)]
pub struct ManifestError {
    reason: String,
}

impl Manifest {
    /// Reads all documents of a YAML text; empty ones are skipped.
    pub fn read(yaml: &str) -> Result<Vec<Self>, ManifestError> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)
            .map_err(|error| ManifestError { reason: error.to_string() })?;
        documents.into_iter().filter(|document| !document.is_null()).map(Self::from_json).collect()
    }

    fn from_json(mut object: Value) -> Result<Self, ManifestError> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (Some(kind), Some(group)) = (text("/kind"), text("/apiVersion")) else {
            return Err(refused("a document has no kind or no apiVersion"));
        };
        let Some(name) = text("/metadata/name") else {
            return Err(refused(format!("{kind} without a name")));
        };
        let namespace = text("/metadata/namespace").unwrap_or_else(|| "default".to_owned());
        object["metadata"]["resourceVersion"] = json!("0");
        match (group.as_str(), kind.as_str()) {
            ("apps/v1", "Deployment") => Ok(deployment(&namespace, &name, &object)),
            ("network.kubesphere.io/v1alpha2", "Eip") => {
                let (name, _, eip) = convert::read::<kube::Eip>(object).map_err(refused)?;
                let eip = eip.ok_or_else(|| refused(format!("Eip {name} cannot be understood")))?;
                Ok(Self::Eip(name, eip))
            }
            ("v1", "Service") => {
                object["metadata"]["namespace"] = json!(namespace);
                let exposed = exposed(&object);
                let (name, _, service) = convert::read::<v1::Service>(object).map_err(refused)?;
                let service = service
                    .ok_or_else(|| refused(format!("Service {name} cannot be understood")))?;
                Ok(Self::Service(name, service, exposed))
            }
            (_, _) => Ok(Self::Ignored { kind, name }),
        }
    }
}

impl fmt::Display for Manifest {
    /// As `kubectl apply` calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(name, _) => write!(f, "deployment.apps/{}", name.name()),
            Self::Eip(name, _) => write!(f, "eip.network.kubesphere.io/{name}"),
            Self::Ignored { kind, name } => write!(f, "{}/{name}", kind.to_lowercase()),
            Self::Service(name, ..) => write!(f, "service/{}", name.name()),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl error::Error for ManifestError {}

/// The guide's manifests.
pub(crate) fn guide() -> Vec<Manifest> {
    [
        include_str!("../../../deploy/examples/eip-sample-layer2.yaml"),
        include_str!("../../../deploy/examples/mylbapp.yaml"),
    ]
    .iter()
    .flat_map(|yaml| Manifest::read(yaml).expect("the guide's manifests are right"))
    .collect()
}

/// The guide's manifests for a dual-stack cluster: one Eip more, and a Service of two families.
pub(crate) fn dual_stack() -> Vec<Manifest> {
    let eip = Manifest::read(EIP_V6).expect("this is an Eip");
    let guide = guide().into_iter().map(|manifest| match manifest {
        Manifest::Service(name, mut service, mut exposed) => {
            family::give(0, &mut service, &mut exposed);
            Manifest::Service(name, service, exposed)
        }
        Manifest::Deployment(..) | Manifest::Eip(..) | Manifest::Ignored { .. } => manifest,
    });
    eip.into_iter().chain(guide).collect()
}

/// The IPv6 addresses that go with the EIPs that steps name.
const EIP_V6: &str = "
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: eip-sample-layer2-v6
spec:
  address: fd22::bc-fd22::fa
  interface: eth0
  protocol: layer2
";

fn deployment(namespace: &str, name: &str, object: &Value) -> Manifest {
    let n_pods = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let labels = labels(object, "/spec/template/metadata/labels");
    let n_pods = usize::try_from(n_pods).unwrap_or(usize::MAX).min(N_PODS_MAX);
    Manifest::Deployment(Namespaced::new(namespace, name), Workload { n_pods, labels })
}

/// The most pods that one Deployment gets here.
const N_PODS_MAX: usize = 1_000;

fn exposed(object: &Value) -> Exposed {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let port = |port: &Value| {
        let number = u16::try_from(port["port"].as_u64()?).ok()?;
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
        Some(Port { number, protocol, node_port: 0 })
    };
    Exposed {
        selector: labels(object, "/spec/selector"),
        ports: ports.filter_map(port).collect(),
        cluster_ip: String::new(),
        families: families(object),
    }
}

fn families(object: &Value) -> Vec<Family> {
    let named = object.pointer("/spec/ipFamilies").and_then(Value::as_array).into_iter().flatten();
    let family = |name: &Value| match name.as_str()? {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    };
    named.filter_map(family).collect()
}

fn labels(object: &Value, pointer: &str) -> Labels {
    let labels = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn refused(reason: impl fmt::Display) -> ManifestError {
    ManifestError { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_s_manifests_are_an_eip_a_service_and_a_deployment() {
        let names: Vec<_> = guide().iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "eip.network.kubesphere.io/eip-sample-layer2",
                "service/mylbapp-svc-layer2",
                "deployment.apps/mylbapp",
            ]
        );
    }

    #[test]
    fn a_text_that_is_no_yaml_is_refused_with_its_line() {
        let error = Manifest::read("kind: Eip\n  name: [").expect_err("it is no YAML");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn an_unknown_kind_is_read_and_left_alone() {
        let yaml = "kind: Namespace\napiVersion: v1\nmetadata:\n  name: web\n";
        let read = Manifest::read(yaml).expect("it is a manifest");
        assert!(matches!(&read[..], [Manifest::Ignored { .. }]));
    }
}

//! Dumps: what kubectl prints of a real cluster, read.
//!
//! Objects become facts by the same conversion that a real agent uses. Kinds that decisions are not made
//! of are passed over, but for Pods, which tell where agents run.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Node, Service},
    discovery::v1::EndpointSlice,
};
use porter_backends::kube::{
    self,
    convert::{self, Watched},
};
use porter_core::{EipName, NamespaceName, NodeName, ServiceName, SliceName};
use serde_json::{Value, json};

/// What prints a dump that has all that is needed.
const COMMAND: &str = "kubectl get nodes,services,endpointslices,namespaces,eips.network.kubesphere.io,\
                       leases -A -o json";

/// A cluster as kubectl prints it.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    pub(super) eips: BTreeMap<EipName, porter_core::Eip>,
    pub(super) namespaces: BTreeMap<NamespaceName, porter_core::Namespace>,
    pub(super) nodes: BTreeMap<NodeName, porter_core::Node>,
    pub(super) services: BTreeMap<ServiceName, porter_core::Service>,
    pub(super) slices: BTreeMap<SliceName, porter_core::Slice>,
    pub(super) lease: Option<porter_core::LeaseRecord>,
    /// Where each Pod runs, by its name.
    pub(super) pods: BTreeMap<String, NodeName>,
    /// The nodes on which agents run, as far as their Pods are there.
    pub(super) agents: BTreeSet<NodeName>,
    kinds: BTreeSet<String>,
    remarks: Vec<String>,
}

/// Why a dump cannot be read, or is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// There is no such file.
    #[error("there is no such file; make one of what this prints: {COMMAND}")]
    Absent,
    /// It has no objects at all.
    #[error("there is nothing in it; give what this prints: {COMMAND}")]
    Empty,
    /// Objects of a kind are missing.
    #[error("there is no {0} in it; give what this prints: {COMMAND}")]
    Lacks(&'static str),
    /// It is text of another format.
    #[error("it is neither JSON nor YAML ({0}); give what this prints: {COMMAND}")]
    Malformed(String),
    /// There are nodes, and none could be answered.
    #[error("none of its nodes is Ready and has an InternalIP: there is nobody to simulate")]
    NoNode,
    /// It is JSON or YAML of something else.
    #[error("{0} is no object of Kubernetes; give what this prints: {COMMAND}")]
    NotAnObject(&'static str),
}

impl Dump {
    /// Takes in a text: JSON or YAML, lists or single objects, one after the other. Of an object that is
    /// there twice the last counts.
    ///
    /// `lease` is the name of the Lease that replicas compete for.
    pub fn take_in(&mut self, text: &str, lease: &str) -> Result<(), DumpError> {
        let documents = documents(text)?;
        if documents.is_empty() {
            return Err(DumpError::Empty);
        }
        documents.into_iter().try_for_each(|document| self.take_in_document(document, lease))
    }

    /// Whether all that decisions are made of is there.
    pub fn check(&self) -> Result<(), DumpError> {
        for kind in ["Node", "Eip", "Service", "EndpointSlice"] {
            if !self.kinds.contains(kind) {
                return Err(DumpError::Lacks(kind));
            }
        }
        let usable = |node: &porter_core::Node| node.ready && !node.addresses.is_empty();
        if self.nodes.values().any(usable) { Ok(()) } else { Err(DumpError::NoNode) }
    }

    /// The nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&NodeName, &porter_core::Node)> {
        self.nodes.iter()
    }

    /// What was passed over that would have counted, each a sentence.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The identity of the Lease's holder, and the node on which it runs, as far as that can be told.
    pub(crate) fn holder(&self) -> Option<(String, Option<NodeName>)> {
        let holder = self.lease.as_ref()?.holder.as_ref()?.to_string();
        // The name of the pod. What follows it tells its processes apart.
        let pod = holder.split('_').next().unwrap_or_default();
        let named = |node: &&NodeName| {
            pod.strip_suffix(node.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
        };
        // The longest, since one node may be called as another one ends.
        let by_name = || self.nodes.keys().filter(named).max_by_key(|node| node.as_str().len());
        let node = self.pods.get(pod).or_else(by_name).cloned();
        Some((holder, node))
    }

    fn take_in_document(&mut self, mut document: Value, lease: &str) -> Result<(), DumpError> {
        let Some(of) = ObjectKind::of(&document) else {
            return Err(DumpError::NotAnObject(what(&document)));
        };
        let Some(Value::Array(items)) = document.get_mut("items").map(Value::take) else {
            self.take_in_object(&of, document, lease);
            return Ok(());
        };
        for item in items {
            if !item.is_object() {
                return Err(DumpError::NotAnObject(what(&item)));
            }
            // What a list is of stands on each of its items, unless the list is of one kind.
            let kind = ObjectKind::of(&item).unwrap_or_else(|| of.of_items());
            self.take_in_object(&kind, item, lease);
        }
        Ok(())
    }

    fn take_in_object(&mut self, kind: &ObjectKind, mut object: Value, lease: &str) {
        let text = |pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let shown = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            // Versions are those of the world; a dump may have been made to have none.
            metadata.insert("resourceVersion".to_owned(), json!("1"));
        }
        let taken = match (kind.version.as_str(), kind.kind.as_str()) {
            ("network.kubesphere.io/v1alpha2", "Eip") => take::<kube::Eip>(&mut self.eips, object),
            ("discovery.k8s.io/v1", "EndpointSlice") => {
                take::<EndpointSlice>(&mut self.slices, object)
            }
            ("coordination.k8s.io/v1", "Lease") if name == lease => {
                convert::read::<Lease>(object).map(|(_, _, fact)| self.lease = fact)
            }
            ("v1", "Namespace") => take::<Namespace>(&mut self.namespaces, object),
            ("v1", "Node") => take::<Node>(&mut self.nodes, object),
            ("v1", "Pod") => return self.take_in_pod(name, &object),
            ("v1", "Service") => take::<Service>(&mut self.services, object),
            (_, _) => return,
        };
        self.kinds.insert(kind.kind.clone());
        if let Err(unreadable) = taken {
            self.remarks.push(format!("{} {shown} is passed over: {unreadable}", kind.kind));
        }
    }

    fn take_in_pod(&mut self, name: String, pod: &Value) {
        let Some(node) = pod.pointer("/spec/nodeName").and_then(Value::as_str) else { return };
        let label = |key: &str| pod["metadata"]["labels"][key].as_str().unwrap_or_default();
        if label("app.kubernetes.io/name") == "porter"
            && label("app.kubernetes.io/component") == "agent"
        {
            self.agents.insert(NodeName::from(node));
        }
        self.pods.insert(name, NodeName::from(node));
    }
}

/// `apiVersion` and `kind`.
struct ObjectKind {
    version: String,
    kind: String,
}

impl ObjectKind {
    fn of(object: &Value) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self { version: text("apiVersion")?, kind: text("kind")? })
    }

    /// What the items of a list of one kind are.
    fn of_items(&self) -> Self {
        let kind = self.kind.strip_suffix("List").unwrap_or_default().to_owned();
        Self { version: self.version.clone(), kind }
    }
}

/// Takes an object into the facts of its kind, unless it means as much as if it did not exist.
fn take<T: Watched>(
    facts: &mut BTreeMap<T::Name, T::Fact>,
    object: Value,
) -> Result<(), convert::Unreadable> {
    let (name, _, fact) = convert::read::<T>(object)?;
    match fact {
        Some(fact) => facts.insert(name, fact),
        None => facts.remove(&name),
    };
    Ok(())
}

fn documents(text: &str) -> Result<Vec<Value>, DumpError> {
    // The first line says what is wrong, others show where.
    let malformed = |error: &dyn ToString| {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        DumpError::Malformed(first.trim_start_matches("error: ").to_owned())
    };
    // All JSON is YAML, but read as JSON it takes a fraction of the time.
    let json = serde_json::Deserializer::from_str(text).into_iter();
    let documents: Vec<Value> = match json.collect::<Result<_, _>>() {
        Ok(documents) => documents,
        Err(json_error) => {
            let mut options = serde_saphyr::Options::default();
            options.budget = None; // A big cluster is no attack.
            serde_saphyr::from_multiple_with_options(text, options).map_err(
                |yaml_error| match text.trim_start().starts_with(['{', '[']) {
                    true => malformed(&json_error),
                    false => malformed(&yaml_error),
                },
            )?
        }
    };
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list of something",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a single word or text",
        Value::Null => "nothing",
        Value::Object(_) => "something without apiVersion and kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(text: &str) -> Result<Dump, DumpError> {
        let mut dump = Dump::default();
        dump.take_in(text, "porter-speaker").map(|()| dump)
    }

    fn holder(rest: &str) -> Option<NodeName> {
        let lease = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: porter-speaker}, \
                     spec: {holderIdentity: porter-agent-x7k2p-node1_8f}}";
        let nodes = "---\n{apiVersion: v1, kind: Node, metadata: {name: node1}}\n---\n\
                     {apiVersion: v1, kind: Node, metadata: {name: p-node1}}\n";
        let dump = dump(&format!("{lease}\n{nodes}{rest}")).expect("it is one");
        dump.holder().expect("the Lease is held").1
    }

    #[test]
    fn lists_and_objects_are_read_from_json_and_yaml() {
        let list = r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Node","metadata":{"name":"node1"}}]}
            {"apiVersion":"v1","kind":"NodeList","items":[{"metadata":{"name":"node2"}}]}"#;
        assert_eq!(dump(list).expect("it is JSON").nodes.len(), 2);
        let yaml = "apiVersion: v1\nkind: Node\nmetadata:\n  name: node1\n";
        assert_eq!(dump(yaml).expect("it is YAML").nodes.len(), 1);
    }

    #[test]
    fn what_only_has_the_name_of_a_kind_is_passed_over() {
        let knative = "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}}";
        assert!(dump(knative).expect("it is an object").kinds.is_empty());
    }

    #[test]
    fn the_holder_runs_where_its_pod_does_or_where_its_name_says() {
        assert_eq!(holder(""), Some(NodeName::from("node1")));
        let pod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: porter-agent-x7k2p-node1}, \
                   spec: {nodeName: node9}}";
        assert_eq!(holder(pod), Some(NodeName::from("node9")));
    }

    #[test]
    fn what_is_no_dump_is_refused_with_what_to_do() {
        let refused = |text: &str| dump(text).expect_err("it is no dump").to_string();
        for text in ["", "[]", "7", "a: b", "{apiVersion: v1, kind: List, items: [7]}"] {
            assert!(refused(text).contains("kubectl get nodes,"), "{text}: {}", refused(text));
        }
        assert!(refused("{\"a").starts_with("it is neither JSON nor YAML ("));
        assert!(refused("a: [").contains("line 1 column 4"), "{}", refused("a: ["));
        let nodes = dump("{apiVersion: v1, kind: Node, metadata: {name: node1}}");
        let lacks = nodes.expect("it is an object").check().expect_err("it has no Eip");
        assert!(lacks.to_string().starts_with("there is no Eip in it; "), "{lacks}");
    }
}

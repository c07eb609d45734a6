//! What a person reads: conditions and events, as text.

use std::{net::IpAddr, time::Duration};

use porter_core::{
    About, Condition, Eip, EipName, EipStatus, Ingress, Namespace, NamespaceName, Service,
    ServiceName, Timestamp, Write, keys,
};

use super::{Bench, NODES, asking};

/// The label that names the Eip of a Service, and the annotation that asks for one.
pub(crate) const EIP: &str = "eip.porter.kubesphere.io/v1alpha2";
/// The annotation that asks for an address.
pub(crate) const ADDRESS: &str = "eip.porter.kubesphere.io/v1alpha1";

/// A Service of the namespace `default`.
pub(crate) fn named(name: &str) -> ServiceName {
    ServiceName::new("default", name)
}

/// A Service that asks for layer2, with one more annotation.
pub(crate) fn annotated(key: &str, value: &str) -> Service {
    let mut service = asking();
    service.metadata.annotations.insert(key.to_owned(), value.to_owned());
    service
}

/// A Service that asks for layer2, of this age: the smaller, the older.
pub(crate) fn created(at: i64) -> Service {
    let mut service = asking();
    service.metadata.created = Timestamp(at);
    service
}

impl Bench {
    /// Lets everything be written and said, bad news too.
    pub(crate) fn calm(&mut self) {
        self.run(Duration::from_secs(4));
        self.check_heeded();
    }

    /// Makes sure that what is answered is heard of.
    pub(crate) fn check_heeded(&self) {
        for (link, eip, _) in self.answers.iter() {
            if let (Some(heed), IpAddr::V4(eip)) = (self.heeds.get(&link), eip) {
                assert!(
                    heed.covers(eip),
                    "{eip} is answered on {link}, and not heard of: {heed:?}"
                );
            }
        }
    }

    /// Lets a replica that is cut off find out that nobody else leads either.
    pub(crate) fn nobody_else_leads(&mut self) {
        self.run(Duration::from_secs(20));
    }

    /// Applies a Service with an endpoint on every node.
    pub(crate) fn apply(&mut self, name: &ServiceName, service: Service) {
        self.endpoints(name, &NODES.map(|(node, _)| node));
        self.service(name, Some(service));
    }

    /// Applies the guide's Service under each of these names, one after the other.
    pub(crate) fn apply_all(&mut self, names: &[&str]) {
        for name in names {
            self.apply(&named(name), asking());
        }
    }

    /// Deletes a Service as a person would.
    pub(crate) fn delete(&mut self, name: &ServiceName) {
        self.edit_service(name, |service| service.metadata.deleting = true);
    }

    /// Deletes an Eip as a person would.
    pub(crate) fn delete_eip(&mut self, name: &EipName) {
        self.edit_eip(name, |eip| eip.metadata.deleting = true);
    }

    /// Applies an Eip that is younger than all before it.
    pub(crate) fn apply_eip(&mut self, name: &str, mut eip: Eip) {
        let n_before = i64::try_from(self.api.eips.len()).expect("a test has few Eips");
        eip.metadata.created = Timestamp(n_before);
        self.eip(&EipName::from(name), Some(eip));
    }

    /// Sets the labels of a namespace.
    pub(crate) fn label_namespace(&mut self, name: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let namespace = Namespace { labels: labels.collect() };
        self.api.put_namespace(&NamespaceName::from(name), namespace);
        self.settle();
    }

    /// The status of an Eip.
    pub(crate) fn status(&self, eip: &str) -> &EipStatus {
        &self.api.eips[&EipName::from(eip)].1.status
    }

    /// The condition `Ready` of an Eip: `True Served: served on eth0`.
    pub(crate) fn ready(&self, eip: &str) -> String {
        said(self.status(eip).ready.as_ref())
    }

    /// The condition `Announced` of a Service, likewise.
    pub(crate) fn word(&self, name: &ServiceName) -> String {
        said(self.shown(name).announced.as_ref())
    }

    /// What a Service shows to the world, as text.
    pub(crate) fn shows(&self, name: &ServiceName) -> Vec<String> {
        let text = |entry: &Ingress| match entry {
            Ingress::Address(address) => address.to_string(),
            Ingress::Other(text) => text.clone(),
        };
        self.shown(name).ingress.iter().map(text).collect()
    }

    /// All that is found on a Service which we may have left there.
    pub(crate) fn traces(&self, name: &ServiceName) -> Vec<String> {
        let metadata = &self.shown(name).metadata;
        let layer2 = [keys::Spelling::Porter, keys::Spelling::OpenElb];
        let layer2 = layer2.map(|spelling| keys::LAYER2.spelled(spelling));
        let records = metadata.annotations.iter().filter(|(key, _)| layer2.contains(&key.as_str()));
        let pairs = metadata.labels.iter().chain(records);
        let pairs = pairs.map(|(key, value)| format!("{key}={value}"));
        let finalizers = metadata.finalizers.iter().cloned();
        let conditions = self.shown(name).announced.iter().map(|it| it.reason.clone());
        finalizers.chain(pairs).chain(self.shows(name)).chain(conditions).collect()
    }

    /// The events so far, each once for each time that it was told, as
    /// `Normal Service/web AssignIP: assigned ..`; forgets them.
    pub(crate) fn take_told(&mut self) -> Vec<String> {
        let text = |event: porter_core::Event| {
            let kind = if event.warning { "Warning" } else { "Normal" };
            let about = match &event.about {
                About::Eip(name, _) => format!("Eip/{name}"),
                About::Service(name, _) => format!("Service/{}", name.name()),
            };
            format!("{kind} {about} {}: {}", event.reason, event.message)
        };
        std::mem::take(&mut self.events).into_iter().map(text).collect()
    }

    /// How many writes there are in what follows.
    pub(crate) fn writes_in(&mut self, then: impl FnOnce(&mut Self)) -> Vec<Write> {
        let n_before = self.written.len();
        then(self);
        self.written[n_before..].to_vec()
    }

    /// Whether the API server has an Eip.
    pub(crate) fn has_eip(&self, name: &str) -> bool {
        self.api.eips.contains_key(&EipName::from(name))
    }
}

fn said(condition: Option<&Condition>) -> String {
    let Some(Condition { met, reason, message, .. }) = condition else { return "nothing".into() };
    format!("{} {reason}: {message}", if *met { "True" } else { "False" })
}

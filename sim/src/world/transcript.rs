//! What happened, one line per event worth reading.

use std::{fmt, net::IpAddr};

use porter_core::{
    About, Answers, Condition, ConditionChange, EipChange, Identity, Ingress, Input, LeaseRecord,
    MetadataChange, Read, ServiceChange, Version, Write, WriteError, Written,
};

use super::clock::Moment;

/// The story of a world so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    lines: Vec<(Moment, String)>,
}

impl Transcript {
    pub(crate) fn push(&mut self, now: Moment, line: String) {
        self.lines.push((now, line));
    }

    /// The last lines, or all if there are fewer.
    pub(crate) fn tail(&self, n_lines: usize) -> impl fmt::Display {
        let from = self.lines.len().saturating_sub(n_lines);
        Lines(self.lines[from..].to_vec())
    }
}

struct Lines(Vec<(Moment, String)>);

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(at, line)| writeln!(f, "{at} {line}"))
    }
}

/// The holder that a Lease names, in a write or in what a replica is told of it.
///
/// Renewals are not worth a line: only a Lease that names another holder than before is, and one that
/// another wishes for.
pub(crate) fn holder_written(write: &Write) -> Option<Option<Identity>> {
    match write {
        Write::Lease(_, record) if record.holder.is_some() && record.wanted_by.is_some() => None,
        Write::Lease(_, record) => Some(record.holder.clone()),
        Write::Eip(..) | Write::Service(..) => None,
    }
}

/// As [`holder_written`], of what a replica is told.
pub(crate) fn holder_told(input: &Input) -> Option<Option<Identity>> {
    match input {
        Input::Lease(Some((_, record))) | Input::Written(_, Ok(Written::Lease(_, record))) => {
            Some(record.holder.clone())
        }
        Input::Asked(..)
        | Input::Checked(..)
        | Input::Eip(..)
        | Input::Eips(_)
        | Input::Got(..)
        | Input::Heard(_)
        | Input::Lease(None)
        | Input::Leave
        | Input::Link(..)
        | Input::Lost(_)
        | Input::Node(..)
        | Input::Namespace(..)
        | Input::Namespaces(_)
        | Input::Nodes(_)
        | Input::Probed(_)
        | Input::Route(..)
        | Input::Service(..)
        | Input::Services(_)
        | Input::Silenced(_)
        | Input::Stirred(_)
        | Input::Slice(..)
        | Input::Slices(_)
        | Input::Written(..) => None,
    }
}

/// A write, as in `Lease acquire` or `Service default/web ingress 172.22.0.188`.
pub(crate) fn write(write: &Write) -> String {
    match write {
        Write::Eip(name, version, EipChange::Metadata(change)) => {
            format!("Eip {name} {version} {}", metadata(change))
        }
        Write::Eip(name, version, EipChange::Status(status)) => {
            let used = status.used.iter().map(|(ip, by)| {
                let by: Vec<_> = by.iter().map(ToString::to_string).collect();
                format!("{ip}: {}", by.join(";"))
            });
            let used: Vec<_> = used.collect();
            format!("Eip {name} {version} used {{{}}}", used.join(", "))
        }
        Write::Lease(version, record) => {
            let version = version.map_or("new".to_owned(), |version| version.to_string());
            format!("Lease {version} {}", lease(record))
        }
        Write::Service(name, version, ServiceChange::Status(status)) => {
            let announced = match &status.announced {
                ConditionChange::Set(Condition { met: true, .. }) => " announced".to_owned(),
                ConditionChange::Set(Condition { reason, .. }) => {
                    format!(" not announced: {reason}")
                }
                ConditionChange::Keep | ConditionChange::Remove => String::new(),
            };
            let conflict = match &status.conflict {
                ConditionChange::Set(Condition { reason, .. }) => format!(" conflict: {reason}"),
                ConditionChange::Remove => " no conflict".to_owned(),
                ConditionChange::Keep => String::new(),
            };
            let ingress = ingress(&status.ingress);
            format!("Service {name} {version} ingress [{ingress}]{announced}{conflict}")
        }
        Write::Service(name, version, ServiceChange::Metadata(change)) => {
            format!("Service {name} {version} {}", metadata(change))
        }
    }
}

/// What people are told, as in `event Service default/web AssignIP: 172.22.0.188 of pool`.
pub(crate) fn event(event: &porter_core::Event) -> String {
    let about = match &event.about {
        About::Eip(name, _) => format!("Eip {name}"),
        About::Service(name, _) => format!("Service {name}"),
    };
    let warning = if event.warning { "warning" } else { "event" };
    format!("{warning} {about} {}: {}", event.reason, event.message)
}

/// A read.
pub(crate) fn read(read: Read) -> &'static str {
    match read {
        Read::Lease => "read Lease",
        Read::Services => "read Services",
    }
}

/// What a replica is told, if it is worth a line.
pub(crate) fn input(input: &Input) -> Option<String> {
    Some(match input {
        Input::Eip(name, version, eip) => seen("Eip", name, *version, eip.is_some()),
        Input::Namespace(name, version, ns) => seen("Namespace", name, *version, ns.is_some()),
        Input::Node(name, version, node) => seen("Node", name, *version, node.is_some()),
        Input::Service(name, version, svc) => seen("Service", name, *version, svc.is_some()),
        Input::Slice(name, version, slice) => {
            seen("EndpointSlice", name, *version, slice.is_some())
        }
        Input::Eips(list) => listed("Eips", list.version, list.objects.len()),
        Input::Namespaces(list) => listed("Namespaces", list.version, list.objects.len()),
        Input::Nodes(list) => listed("Nodes", list.version, list.objects.len()),
        Input::Services(list) => listed("Services", list.version, list.objects.len()),
        Input::Slices(list) => listed("EndpointSlices", list.version, list.objects.len()),
        Input::Lease(None) => "no Lease".to_owned(),
        Input::Lease(Some((version, record))) => format!("Lease {version} {}", lease(record)),
        Input::Lost(kind) => format!("watch of {kind:?}s lost"),
        Input::Got(_, Ok(_)) => "read".to_owned(),
        Input::Got(_, Err(error)) => format!("not read: {error}"),
        Input::Written(_, Ok(written)) => format!("written {}", version_of(written)),
        Input::Written(_, Err(WriteError::Conflict)) => "conflict".to_owned(),
        Input::Written(_, Err(WriteError::Rejected(reason))) => format!("rejected: {reason}"),
        Input::Written(_, Err(WriteError::Forbidden(reason))) => format!("forbidden: {reason}"),
        Input::Written(_, Err(WriteError::Busy(span))) => format!("busy for {span:?}"),
        Input::Written(_, Err(WriteError::Unknown)) => "no verdict".to_owned(),
        Input::Leave => "leave".to_owned(),
        Input::Checked(node, health) => format!("kube-proxy of {node}: {health:?}"),
        Input::Asked(..)
        | Input::Heard(_)
        | Input::Link(..)
        | Input::Probed(_)
        | Input::Route(..)
        | Input::Silenced(_)
        | Input::Stirred(_) => return None,
    })
}

/// A snapshot, as in `172.22.0.188 = 52:54:22:40:2a:66`.
pub(crate) fn answers(answers: &Answers) -> String {
    let entry = |(_, eip, answer): (_, IpAddr, Result<_, _>)| match answer {
        Ok(mac) => format!("{eip} = {mac}"),
        Err(silence) => format!("{eip} {silence}"),
    };
    let entries: Vec<_> = answers.iter().map(entry).collect();
    match entries.is_empty() {
        true => "nothing".to_owned(),
        false => entries.join(", "),
    }
}

fn lease(record: &LeaseRecord) -> String {
    let held = match (&record.holder, &record.released_by) {
        (Some(holder), _) => format!("held by {holder} for {:?}", record.duration),
        (None, Some(last)) => format!("released by {last}"),
        (None, None) => "held by nobody".to_owned(),
    };
    match &record.wanted_by {
        Some(other) => format!("{held}, wanted by {other}"),
        None => held,
    }
}

fn metadata(change: &MetadataChange) -> String {
    let MetadataChange { annotations, labels, finalizers } = change;
    let pairs = annotations.iter().chain(labels).map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key}-"),
    });
    let finalizers = finalizers.iter().map(|all| format!("finalizers [{}]", all.join(", ")));
    pairs.chain(finalizers).collect::<Vec<_>>().join(" ")
}

fn ingress(entries: &[Ingress]) -> String {
    let entries = entries.iter().map(|entry| match entry {
        Ingress::Address(address) => address.to_string(),
        Ingress::Other(entry) => entry.clone(),
    });
    entries.collect::<Vec<_>>().join(", ")
}

fn seen(kind: &str, name: &impl fmt::Display, version: Version, exists: bool) -> String {
    match exists {
        true => format!("{kind} {name} {version}"),
        false => format!("{kind} {name} gone at {version}"),
    }
}

fn listed(kind: &str, version: Version, count: usize) -> String {
    format!("{count} {kind} at {version}")
}

fn version_of(written: &Written) -> Version {
    match written {
        Written::Eip(version, _) | Written::Lease(version, _) | Written::Service(version, _) => {
            *version
        }
    }
}

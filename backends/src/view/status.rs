//! Who leads, how full each Eip is, and where each address is.

use std::{fmt, net::IpAddr, time::Duration};

use k8s_openapi::jiff::Timestamp as Time;
use porter_core::{
    Announcement, Condition, Eip, EipName, EipStatus, LeaseRecord, Namespaced, Observer, Timestamp,
    Whereabouts,
};
use serde::Serialize;

use super::{age, table};

/// What stands where there is nothing to be shown.
const NONE: &str = "<none>";

/// How things are, as far as it is on record.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Who leads.
    leader: Leader,
    #[serde(flatten)]
    record: Record,
    /// When it was looked.
    #[serde(skip)]
    at: Timestamp,
}

/// What is on record of Eips and of addresses.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The Eips of layer2, by name.
    eips: Vec<Pool>,
    /// The addresses of Services, and the Services that have none, by name.
    addresses: Vec<Address>,
    /// How many more addresses, and Services that have none, there are.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
}

/// Who leads.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// The Lease, as `namespace/name`.
    pub lease: String,
    /// The identity of its holder; `None`: nobody holds it.
    pub holder: Option<String>,
    /// How many seconds ago it was renewed, by the clocks of two hosts.
    pub renewed_seconds_ago: Option<f64>,
    /// For how many seconds it is held without being renewed.
    pub duration_seconds: Option<u64>,
    /// Whether it is held.
    pub leads: bool,
}

/// An Eip.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    name: String,
    /// `spec.address`.
    address: String,
    interface: Option<String>,
    used: i64,
    total: i64,
    ready: bool,
    reason: String,
    message: String,
}

/// An address of a Service, or a Service that has none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    address: Option<IpAddr>,
    service: String,
    eip: Option<String>,
    node: Option<String>,
    mac: Option<String>,
    interface: Option<String>,
    announced: bool,
    reason: String,
    message: String,
    /// Since when it has been announced, or has not been (RFC 3339).
    since: Option<String>,
    #[serde(skip)]
    since_at: Option<Timestamp>,
    /// What is said of others that claim it.
    conflict: Option<String>,
}

impl Leader {
    /// Who leads, at a time by the clock of this host.
    pub fn of(lease: &Namespaced, record: Option<&LeaseRecord>, now: Timestamp) -> Self {
        let holder = record.and_then(|record| record.holder.clone());
        let record = record.filter(|_| holder.is_some());
        let ago = record.map(|record| span(record.renewed, now));
        let lasts = record.map(|record| record.duration);
        Self {
            lease: lease.to_string(),
            leads: ago.zip(lasts).is_some_and(|(ago, lasts)| ago <= lasts),
            holder: holder.map(|holder| holder.to_string()),
            renewed_seconds_ago: ago.map(|ago| ago.as_secs_f64()),
            duration_seconds: lasts.map(|lasts| lasts.as_secs()),
        }
    }
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lease, holder, renewed_seconds_ago, leads, .. } = self;
        let ago = age(Duration::from_secs_f64(renewed_seconds_ago.unwrap_or_default()));
        // The name of the pod. What follows it tells its processes apart.
        let holder = holder.as_deref().and_then(|holder| holder.split('_').next());
        match (holder, leads) {
            (Some(holder), true) => write!(f, "{holder} leads (Lease {lease}, renewed {ago} ago)"),
            (Some(holder), false) => write!(
                f,
                "nobody leads: {holder} renewed the Lease {lease} last {ago} ago; see whether agents run, \
                 and what they log"
            ),
            (None, _) => write!(
                f,
                "nobody leads: nobody holds the Lease {lease}; see whether agents run, and what they log"
            ),
        }
    }
}

impl Status {
    /// How things are, at a time by the clock of this host.
    pub fn of(observer: &Observer<'_>, leader: Leader, at: Timestamp) -> Self {
        Self { leader, record: Record::of(observer, usize::MAX), at }
    }

    /// As a person reads it. `wide` also shows what is said of each that is not announced.
    pub fn text(&self, wide: bool) -> String {
        let mut text = format!("{}\n", self.leader);
        if self.record.eips.is_empty() {
            text.push_str("\nThere is no Eip of layer2: nothing can be given.\n");
        } else {
            let mut head = vec!["EIP", "ADDRESSES", "INTERFACE", "USED", "OF", "READY", "REASON"];
            head.extend(wide.then_some("MESSAGE"));
            text.push('\n');
            text.push_str(&table(&head, self.record.eips.iter().map(|eip| eip.row(wide))));
        }
        if self.record.addresses.is_empty() {
            text.push_str("\nNo Service asks for an address.\n");
        } else {
            let mut head = vec!["ADDRESS", "SERVICE", "NODE", "MAC", "INTERFACE", "STATE", "SINCE"];
            head.extend(wide.then_some("MESSAGE"));
            text.push('\n');
            text.push_str(&table(
                &head,
                self.record.addresses.iter().map(|it| it.row(self.at, wide)),
            ));
        }
        text
    }
}

impl Record {
    /// What is on record, with so many addresses at most: those that come first.
    pub(crate) fn of(observer: &Observer<'_>, most: usize) -> Self {
        let mut addresses = Vec::new();
        let mut more = 0;
        for announcement in observer.announcements() {
            match addresses.len() < most {
                true => addresses.extend(Address::of(&announcement)),
                false => more += announcement.held.len().max(announcement.asks.is_ok().into()),
            }
        }
        let eips = observer.eips().map(|(name, eip)| Pool::of(name, eip));
        Self { eips: eips.collect(), addresses, more }
    }

    /// The node of each address that is announced.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().filter_map(|address| address.node.as_deref())
    }
}

impl Pool {
    fn of(name: &EipName, eip: &Eip) -> Self {
        let status: &EipStatus = &eip.status;
        let (reason, message) = words(status.ready.as_ref());
        Self {
            name: name.to_string(),
            address: eip.address.clone(),
            interface: eip.interface.clone(),
            used: status.usage(),
            total: status.pool_size,
            ready: status.is_ready(),
            reason,
            message,
        }
    }

    fn row(&self, wide: bool) -> Vec<String> {
        let mut row = vec![
            self.name.clone(),
            self.address.clone(),
            or_none(self.interface.as_deref()),
            self.used.to_string(),
            self.total.to_string(),
            if self.ready { "True" } else { "False" }.to_owned(),
            or_none(Some(&self.reason)),
        ];
        row.extend(wide.then(|| self.message.clone()));
        row
    }
}

impl Address {
    /// Those of a Service that asks for one, or has one.
    fn of(of: &Announcement<'_>) -> Vec<Self> {
        let (reason, message) = words(of.announced);
        let since_at = of.announced.map(|condition| condition.since);
        let conflict = of.conflict.filter(|conflict| conflict.met);
        let without = Self {
            address: None,
            service: of.service.to_string(),
            eip: None,
            node: None,
            mac: None,
            interface: None,
            announced: false,
            reason,
            message,
            since: since_at
                .and_then(|since| Some(Time::from_microsecond(since.0).ok()?.to_string())),
            since_at,
            conflict: conflict.map(|conflict| conflict.message.clone()),
        };
        if of.held.is_empty() {
            return if of.asks.is_ok() { vec![without] } else { vec![] };
        }
        let told = of.announced.iter().flat_map(|it| Whereabouts::told(&it.message));
        let told: Vec<_> = told.collect();
        let held = of.held.iter().map(|(eip, address)| {
            let at = told.iter().find(|it| it.address == *address);
            Self {
                address: Some(*address),
                eip: Some(eip.to_string()),
                node: at.map(|at| at.node.to_string()),
                mac: at.map(|at| at.mac.to_string()),
                interface: at.map(|at| at.link.to_string()),
                announced: at.is_some(),
                ..without.clone()
            }
        });
        held.collect()
    }

    fn row(&self, now: Timestamp, wide: bool) -> Vec<String> {
        let address = self.address.map(|address| address.to_string());
        let mut row = vec![
            or_none(address.as_deref()),
            self.service.clone(),
            or_none(self.node.as_deref()),
            or_none(self.mac.as_deref()),
            or_none(self.interface.as_deref()),
            or_none(Some(&self.reason)),
            self.since_at.map_or_else(|| NONE.to_owned(), |since| age(span(since, now))),
        ];
        row.extend(wide.then(|| match (&self.conflict, self.announced) {
            (Some(conflict), _) => conflict.clone(),
            (None, true) => String::new(),
            (None, false) => self.message.clone(),
        }));
        row
    }
}

fn words(condition: Option<&Condition>) -> (String, String) {
    let said = condition.map(|condition| (condition.reason.clone(), condition.message.clone()));
    said.unwrap_or_default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn or_none(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned()
}

/// How long ago a time was, or zero if it is still to come: clocks of hosts differ.
fn span(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.0.saturating_sub(since.0)).unwrap_or_default())
}

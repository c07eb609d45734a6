//! `coordination.k8s.io/v1 Lease`, the one that is competed for.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime, jiff,
};
use porter_core::{
    Fitness, Identity, Input, Kind, LeaseRecord, Listing, Namespaced, Timestamp, Version, keys,
};
use serde_json::{Value, json};

use super::{Watched, metadata};

impl Watched for Lease {
    const KIND: Kind = Kind::Lease;
    /// There is one: its name says nothing.
    type Name = ();
    type Fact = LeaseRecord;

    fn named(_: &str, _: &str) {}

    fn fact(&self) -> Option<LeaseRecord> {
        let spec = self.spec.clone().unwrap_or_default();
        let identity = |text: &str| (!text.is_empty()).then(|| Identity::from(text));
        let time = |time: Option<MicroTime>| time.map(|time| metadata::timestamp(time.0));
        let natural = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        let annotations = self.metadata.annotations.as_ref();
        let annotated = |key: &str| annotations?.get(key).map(String::as_str);
        let seconds = natural(spec.lease_duration_seconds).unwrap_or_default();
        Some(LeaseRecord {
            holder: spec.holder_identity.as_deref().and_then(identity),
            duration: Duration::from_secs(seconds.into()),
            acquired: time(spec.acquire_time).unwrap_or_default(),
            renewed: time(spec.renew_time).unwrap_or_default(),
            transitions: natural(spec.lease_transitions).unwrap_or_default(),
            released_by: annotated(keys::RELEASED_BY).and_then(identity),
            fitness: annotated(keys::FITNESS).and_then(Fitness::parse),
            wanted_by: annotated(keys::WANTED_BY).and_then(identity),
        })
    }

    fn seen((): (), version: Version, fact: Option<LeaseRecord>) -> Input {
        Input::Lease(fact.map(|record| (version, record)))
    }

    fn listed(listing: Listing<(), LeaseRecord>) -> Input {
        Input::Lease(listing.objects.into_values().next())
    }
}

/// The object to create.
pub(super) fn body(name: &Namespaced, record: &LeaseRecord) -> Value {
    let said = annotations(record).into_iter().filter(|(_, value)| value.is_some());
    let annotations: BTreeMap<_, _> = said.collect();
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": name.namespace(),
            "name": name.name(),
            "annotations": annotations
        },
        "spec": spec(record)
    })
}

/// A merge patch that makes the Lease say exactly this.
///
/// Patched, not put: the API server lets a put create a Lease that does not exist, and a claim must
/// end with the Lease that it was made on.
pub(super) fn patch(version: Version, record: &LeaseRecord) -> Value {
    let mut patch = metadata::precondition(version);
    patch["metadata"]["annotations"] = json!(BTreeMap::from(annotations(record)));
    patch["spec"] = spec(record);
    patch
}

/// The annotations that are ours; `None`: it is to be absent.
fn annotations(record: &LeaseRecord) -> [(&'static str, Option<String>); 3] {
    let identity = |identity: &Option<Identity>| identity.as_ref().map(ToString::to_string);
    [
        (keys::RELEASED_BY, identity(&record.released_by)),
        (keys::FITNESS, record.fitness.map(|fitness| fitness.to_string())),
        (keys::WANTED_BY, identity(&record.wanted_by)),
    ]
}

fn spec(record: &LeaseRecord) -> Value {
    let seconds = i32::try_from(record.duration.as_secs()).unwrap_or(i32::MAX);
    json!({
        "holderIdentity": record.holder.as_ref().map(Identity::as_str),
        "leaseDurationSeconds": (seconds > 0).then_some(seconds),
        "acquireTime": micro_time(record.acquired),
        "renewTime": micro_time(record.renewed),
        "leaseTransitions": i32::try_from(record.transitions).unwrap_or(i32::MAX),
    })
}

/// A time beyond the calendar is shown as 1970; nothing is decided by it.
fn micro_time(time: Timestamp) -> MicroTime {
    MicroTime(jiff::Timestamp::from_microsecond(time.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::convert::read;

    fn record() -> LeaseRecord {
        LeaseRecord {
            holder: Some(Identity::from("porter-7x_1")),
            duration: Duration::from_secs(5),
            acquired: Timestamp(1_596_628_800_000_000),
            renewed: Timestamp(1_596_628_801_500_007),
            transitions: 3,
            released_by: None,
            ..LeaseRecord::default()
        }
    }

    fn name() -> Namespaced {
        Namespaced::new("porter-system", "porter-speaker")
    }

    #[test]
    fn a_lease_is_read_as_it_is_written_to_the_microsecond() {
        let released = LeaseRecord { holder: None, released_by: record().holder, ..record() };
        let wanted = LeaseRecord {
            fitness: Some(Fitness::Fit(7)),
            wanted_by: Some(Identity::from("porter-8y_1")),
            ..record()
        };
        let said = [Fitness::Fit(0), Fitness::Unfit, Fitness::Deaf, Fitness::CutOff];
        let said = said.map(|fitness| LeaseRecord { fitness: Some(fitness), ..record() });
        for record in [record(), released, wanted].into_iter().chain(said) {
            let mut body = body(&name(), &record);
            body["metadata"]["resourceVersion"] = json!("8");
            assert_eq!(read::<Lease>(body).unwrap(), ((), Version(8), Some(record)));
        }
        assert_eq!(body(&name(), &record())["spec"]["renewTime"], "2020-08-05T12:00:01.500007Z");
    }

    #[test]
    fn a_lease_that_another_wrote_carelessly_is_read_as_far_as_it_goes() {
        let spec = json!({ "holderIdentity": "", "leaseDurationSeconds": -1,
                           "leaseTransitions": -7 });
        let annotations = json!({ keys::FITNESS: "many", keys::WANTED_BY: "" });
        let metadata = json!({ "name": "porter-speaker", "resourceVersion": "8",
                               "annotations": annotations });
        let object = json!({ "metadata": metadata, "spec": spec });
        let expected = LeaseRecord {
            holder: None,
            duration: Duration::ZERO,
            acquired: Timestamp(0),
            renewed: Timestamp(0),
            transitions: 0,
            released_by: None,
            ..LeaseRecord::default()
        };
        assert_eq!(read::<Lease>(object).unwrap().2, Some(expected));
    }

    #[test]
    fn a_time_beyond_the_calendar_is_no_panic() {
        for time in [i64::MIN, i64::MAX] {
            let record = LeaseRecord { renewed: Timestamp(time), ..record() };
            assert_eq!(
                patch(Version(1), &record)["spec"]["renewTime"],
                "1970-01-01T00:00:00.000000Z"
            );
        }
    }
}

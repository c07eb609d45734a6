//! Which IP families a Service has: defaulted, inferred from its addresses, added and given up.
//!
//! As the API server of a cluster with Service addresses of both families and IPv4 first does it:
//! `initIPFamilyFields` of its Service allocators, `ValidateServiceClusterIPsRelatedFields` and what
//! an update may change.

use serde_json::{Value, json};

use super::super::status::Cause;
use super::{elements, one_of};

const BOTH: [&str; 2] = ["IPv4", "IPv6"];
const SINGLE: &str = "SingleStack";
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", SINGLE];

/// Settles policy and families of a Service that is no `ExternalName`, in place of `old` if there
/// was one, so that each family is to have an address.
pub(super) fn settle(old: Option<&Value>, spec: &mut Value) -> Vec<Cause> {
    if spec["clusterIPs"].is_null() && !spec["clusterIP"].is_null() {
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
    }
    if spec["ipFamilyPolicy"].is_null() {
        let free = is_headless(spec) && selects_nothing(spec);
        spec["ipFamilyPolicy"] = json!(if free { "RequireDualStack" } else { SINGLE });
    }
    let mut causes = check(spec);
    if !causes.is_empty() {
        return causes;
    }
    if let Some(old) = old {
        causes.extend(give_up(old, spec));
    }
    if is_single(spec) {
        causes.extend(more_than_single(spec));
    }
    infer(spec);
    if let Some(old) = old.filter(|_| causes.is_empty()) {
        causes.extend(immutable(old, spec));
    }
    causes
}

/// Checks each of the fields alone, and that they agree.
fn check(spec: &Value) -> Vec<Cause> {
    let mut causes = one_of("spec.ipFamilyPolicy", &spec["ipFamilyPolicy"], &POLICIES);
    let families: Vec<_> = elements(&spec["ipFamilies"]).collect();
    for (index, family) in families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{index}]");
        causes.extend(one_of(&field, family, &BOTH));
        if families[..index].contains(family) {
            causes.push(Cause::duplicate(field, Some(family)));
        }
    }
    causes.extend(check_addresses(spec));
    causes
}

fn check_addresses(spec: &Value) -> Vec<Cause> {
    let all = &spec["clusterIPs"];
    let addresses: Vec<_> = elements(all).filter_map(Value::as_str).collect();
    let wrong = |why: &str| vec![Cause::invalid("spec.clusterIPs", all, why)];
    match spec["clusterIP"].as_str() {
        None if !addresses.is_empty() => {
            return wrong("must be empty when `clusterIP` is not specified");
        }
        Some(first) if addresses.first() != Some(&first) => {
            return wrong("first value must match `clusterIP`");
        }
        _ => {}
    }
    if is_headless(spec) {
        let alone = addresses.len() == 1;
        return if alone { Vec::new() } else { wrong("'None' must be the first and only value") };
    }
    match addresses.as_slice() {
        [_, _, _, ..] => return wrong("may only hold up to 2 values"),
        [one, other] if family(one) == family(other) => {
            return wrong("may specify no more than one IP for each IP family");
        }
        _ => {}
    }
    let said = elements(&spec["ipFamilies"]).zip(addresses).enumerate();
    let other = said.filter(|(_, (said, address))| **said != family(address));
    other
        .map(|(index, (said, address))| {
            let said = said.as_str().unwrap_or_default();
            let why = format!("expected an {said} value as indicated by `ipFamilies[{index}]`");
            Cause::invalid(format!("spec.clusterIPs[{index}]"), &json!(address), &why)
        })
        .collect()
}

/// Lets the second family go if the policy says so and nothing else was changed. Whoever takes it
/// out without the policy has to say what he means.
fn give_up(old: &Value, spec: &mut Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let single = is_single(spec);
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (had, has) = (elements(&old[field]).count(), elements(&spec[field]).count());
        if single && old[field] == spec[field] {
            if let Some(values) = spec[field].as_array_mut() {
                values.truncate(1);
            }
        } else if !single && 0 < has && has < had {
            let why = format!("must be 'SingleStack' to release the secondary {what}");
            causes.push(Cause::invalid("spec.ipFamilyPolicy", &spec["ipFamilyPolicy"], &why));
        }
    }
    causes
}

fn more_than_single(spec: &Value) -> Vec<Cause> {
    let several = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")];
    let several = several.iter().filter(|(field, _)| elements(&spec[*field]).count() > 1);
    several
        .map(|(_, what)| {
            let why = format!(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            );
            Cause::invalid("spec.ipFamilyPolicy", &spec["ipFamilyPolicy"], &why)
        })
        .collect()
}

/// Adds the families of the addresses, the cluster's first if there is none, and the other one
/// unless the policy is for a single one.
fn infer(spec: &mut Value) {
    let mut families: Vec<String> =
        elements(&spec["ipFamilies"]).filter_map(Value::as_str).map(str::to_owned).collect();
    let addresses = elements(&spec["clusterIPs"]).filter_map(Value::as_str);
    let addresses = addresses.filter(|address| *address != "None");
    families.extend(addresses.skip(families.len()).map(|address| family(address).to_owned()));
    if families.is_empty() {
        families.push(BOTH[0].to_owned());
    }
    if !is_single(spec) && families.len() == 1 {
        let other = BOTH.into_iter().find(|family| *family != families[0]);
        families.extend(other.map(str::to_owned));
    }
    spec["ipFamilies"] = json!(families);
}

/// A Service that has an address keeps its first family, and a second address that it has.
fn immutable(old: &Value, spec: &Value) -> Vec<Cause> {
    if is_headless(old) || is_headless(spec) {
        return Vec::new();
    }
    let changed = |field: &str, index: usize| {
        let (was, is) = (&old[field][index], &spec[field][index]);
        let changed = !was.is_null() && !is.is_null() && was != is;
        let field = format!("spec.{field}[{index}]");
        changed.then(|| Cause::invalid(field, is, "field is immutable"))
    };
    changed("ipFamilies", 0).into_iter().chain(changed("clusterIPs", 1)).collect()
}

fn is_single(spec: &Value) -> bool {
    spec["ipFamilyPolicy"] == SINGLE
}

fn is_headless(spec: &Value) -> bool {
    spec["clusterIP"] == "None"
}

fn selects_nothing(spec: &Value) -> bool {
    spec["selector"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// The family of an address, which may yet turn out to be none.
fn family(address: &str) -> &'static str {
    if address.contains(':') { BOTH[1] } else { BOTH[0] }
}

#[cfg(test)]
mod tests {
    use super::super::super::resource::Resource;
    use super::super::super::store::{Store, Subresource};
    use super::*;

    const V4: &str = "10.233.0.2";
    const V6: &str = "fd85:ee78:d8a6:8607::2";

    fn service(families: Value) -> Value {
        let mut spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }] });
        let fields = families.as_object().cloned().unwrap_or_default();
        spec.as_object_mut().expect("an object").extend(fields);
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" }, "spec": spec })
    }

    /// Policy, families and addresses of a Service.
    fn shown(service: &Value) -> [Value; 3] {
        ["ipFamilyPolicy", "ipFamilies", "clusterIPs"].map(|field| service["spec"][field].clone())
    }

    fn refusal(families: Value) -> String {
        Store::new().create(service(families)).expect_err("it is wrong").message
    }

    #[test]
    fn a_new_service_has_the_families_that_it_asks_for() {
        for (asked, policy, families, addresses) in [
            (json!({}), "SingleStack", json!(["IPv4"]), json!([V4])),
            (json!({ "ipFamilies": ["IPv6"] }), "SingleStack", json!(["IPv6"]), json!([V6])),
            (json!({ "clusterIP": V6 }), "SingleStack", json!(["IPv6"]), json!([V6])),
            (
                json!({ "ipFamilyPolicy": "PreferDualStack" }),
                "PreferDualStack",
                json!(BOTH),
                json!([V4, V6]),
            ),
            (
                json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"] }),
                "RequireDualStack",
                json!(["IPv6", "IPv4"]),
                json!([V6, V4]),
            ),
            (
                json!({ "ipFamilyPolicy": "PreferDualStack", "clusterIP": V6, "clusterIPs": [V6, V4] }),
                "PreferDualStack",
                json!(["IPv6", "IPv4"]),
                json!([V6, V4]),
            ),
            (json!({ "clusterIP": "None" }), "SingleStack", json!(["IPv4"]), json!(["None"])),
            (
                json!({ "clusterIP": "None", "selector": null }),
                "RequireDualStack",
                json!(BOTH),
                json!(["None"]),
            ),
        ] {
            let created = Store::new().create(service(asked.clone())).expect("creates");
            assert_eq!(shown(&created), [json!(policy), families, addresses], "{asked}");
            assert_eq!(created["spec"]["clusterIP"], created["spec"]["clusterIPs"][0], "{asked}");
        }
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        for (asked, said) in [
            (
                json!({ "ipFamilies": BOTH }),
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or \
                 'PreferDualStack' when multiple IP families are specified",
            ),
            (
                json!({ "ipFamilyPolicy": "DualStack" }),
                "spec.ipFamilyPolicy: Unsupported value: \"DualStack\": supported values: \
                 \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\"",
            ),
            (json!({ "ipFamilies": ["IPv5"] }), "spec.ipFamilies[0]: Unsupported value: \"IPv5\""),
            (
                json!({ "ipFamilies": ["IPv6", "IPv6"] }),
                "spec.ipFamilies[1]: Duplicate value: \"IPv6\"",
            ),
            (
                json!({ "clusterIPs": [V4] }),
                "spec.clusterIPs: Invalid value: [\"10.233.0.2\"]: must be empty when `clusterIP` is \
                 not specified",
            ),
            (json!({ "clusterIP": V4, "clusterIPs": [V6] }), "first value must match `clusterIP`"),
            (
                json!({ "clusterIP": V4, "clusterIPs": [V4, "10.233.0.3"] }),
                "may specify no more than one IP for each IP family",
            ),
            (
                json!({ "clusterIP": V4, "ipFamilies": ["IPv6"] }),
                "spec.clusterIPs[0]: Invalid value: \"10.233.0.2\": expected an IPv6 value as \
                 indicated by `ipFamilies[0]`",
            ),
        ] {
            let refused = refusal(asked.clone());
            assert!(refused.contains(said), "{asked}: {refused}");
        }
    }

    #[test]
    fn the_second_family_comes_and_goes_with_the_policy() {
        let store = Store::new();
        store.create(service(json!({}))).expect("creates");
        let patch = |change: Value| {
            let change = super::super::super::patch::Patch::Merge(json!({ "spec": change }));
            let object = Subresource::Object;
            store.patch(&Resource::SERVICES, Some("default"), "web", object, &change)
        };

        let both = patch(json!({ "ipFamilyPolicy": "PreferDualStack" })).expect("upgrades");
        assert_eq!(shown(&both), [json!("PreferDualStack"), json!(BOTH), json!([V4, V6])]);
        let unsaid = patch(json!({ "ipFamilies": ["IPv4"] })).expect_err("it has two").message;
        assert!(unsaid.contains("must be 'SingleStack' to release the secondary IP family"));
        let turned =
            patch(json!({ "ipFamilies": ["IPv6", "IPv4"] })).expect_err("it has one first");
        assert!(turned.message.contains("expected an IPv6 value"), "{}", turned.message);
        let moved =
            patch(json!({ "clusterIPs": [V4, "fd85:ee78:d8a6:8607::9"] })).expect_err("kept");
        assert!(moved.message.contains("spec.clusterIPs[1]"), "{}", moved.message);
        let single = patch(json!({ "ipFamilyPolicy": "SingleStack" })).expect("downgrades");
        assert_eq!(shown(&single), [json!("SingleStack"), json!(["IPv4"]), json!([V4])]);
    }

    #[test]
    fn a_write_that_does_not_mention_the_families_keeps_them() {
        let store = Store::new();
        let both = json!({ "ipFamilyPolicy": "RequireDualStack" });
        let first = store.create(service(both)).expect("creates");
        let again = store.replace(service(json!({}))).expect("replaces");
        assert_eq!(shown(&again), shown(&first));
    }
}

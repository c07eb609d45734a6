//! Lets an object in: drops what its kind does not have, fills in what the schema says is the default, and
//! finds what is not allowed.
//!
//! Rules in CEL are looked at last, and only if what else is wrong lets them make sense of the object.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::super::metadata;
use super::super::resource::Kind;
use super::super::status::{Cause, Status};
use super::Schema;

/// Admits an object of a kind, in place of `old` if there was one. What is known to be wrong with it already is told
/// with the rest. With `strict`, a field that the kind does not have is an error.
pub(crate) fn admit(
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
    causes: Vec<Cause>,
    strict: bool,
) -> Result<(), Status> {
    let mut findings = Findings { causes, ..Findings::default() };
    let schema = Schema::of(kind);
    if let Value::Object(fields) = object {
        let mut metadata = fields.remove("metadata").unwrap_or_default();
        visit(Schema::metadata(), &mut metadata, "metadata", &mut findings);
        findings.causes.extend(metadata::breaches(&metadata));
        // What every object has need not be in the schema of a custom resource.
        let common =
            ["apiVersion", "kind"].map(|field| (field, fields.remove(field).unwrap_or_default()));
        let mut missing = required(schema, fields, "");
        missing.retain(|cause| cause.field != "metadata");
        findings.causes.append(&mut missing);
        visit_fields(schema, fields, "", &mut findings);
        fields.insert("metadata".to_owned(), metadata);
        fields.extend(common.map(|(field, value)| (field.to_owned(), value)));
    }
    let cannot = |why: String| {
        let version = kind.stored().name.as_str();
        Status::bad_request(format!(
            "{0} in version {version:?} cannot be handled as a {0}: {why}",
            kind.kind
        ))
    };
    if let Some(mistyped) = findings.mistyped.first() {
        return Err(cannot(mistyped.clone()));
    }
    if strict && !findings.unknown.is_empty() {
        let unknown: Vec<_> =
            findings.unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        return Err(cannot(format!("strict decoding error: {}", unknown.join(", "))));
    }
    let causes = &mut findings.causes;
    let rules = kind.stored().rules();
    // Rules could make no sense of such an object, or take too long over it.
    let is_senseless = |cause: &Cause| {
        matches!(
            cause.reason,
            "FieldValueNotSupported"
                | "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    };
    if rules.is_empty() {
        // There is nothing more to look at.
    } else if causes.iter().any(is_senseless) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                      errors to complete validation";
        causes.push(Cause::invalid("<nil>", &Value::Null, detail));
    } else {
        causes.extend(rules.breaches(object, old));
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(&kind.resource, &kind.kind, name, &findings.causes))
}

/// What was found on the way through an object.
#[derive(Default)]
struct Findings {
    /// Paths that were dropped.
    unknown: Vec<String>,
    /// Values in a built-in type that could not be decoded at all.
    mistyped: Vec<String>,
    causes: Vec<Cause>,
}

fn visit(schema: Schema<'_>, value: &mut Value, path: &str, findings: &mut Findings) {
    if !fits_type(schema, value, path, findings) {
        return;
    }
    findings.causes.extend(breaches(schema.node, value, path));
    if !schema.builtin {
        findings.causes.extend(duplicates(schema.node, value, path));
    }
    match value {
        Value::Object(fields) => {
            // Which fields a status has to have is its controller's affair.
            if !(schema.builtin && path.starts_with("status")) {
                findings.causes.extend(required(schema, fields, path));
            }
            visit_fields(schema, fields, path, findings);
        }
        Value::Array(elements) => {
            let Some(items) = schema.items() else { return };
            for (index, element) in elements.iter_mut().enumerate() {
                visit(items, element, &format!("{path}[{index}]"), findings);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit_fields(
    schema: Schema<'_>,
    fields: &mut Map<String, Value>,
    path: &str,
    findings: &mut Findings,
) {
    let node = schema.node;
    let open = schema.is_open();
    let below =
        |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    fields.retain(|field, value| {
        let known = schema.field(field);
        if let (Some(known), Value::Null) = (known, &*value) {
            // A null that cannot be stored means that the field was left out.
            return known.node["nullable"] == true;
        }
        if known.is_none() && !open {
            findings.unknown.push(below(field));
        }
        known.is_some() || open
    });
    let declared = node["properties"].as_object().into_iter().flatten();
    for (field, default) in
        declared.filter_map(|(field, _)| Some((field, schema.default_of(field)?)))
    {
        fields.entry(field.clone()).or_insert_with(|| default.clone());
    }
    for (field, value) in fields {
        if let Some(known) = schema.field(field) {
            visit(known, value, &below(field), findings);
        }
    }
}

fn required(schema: Schema<'_>, fields: &Map<String, Value>, path: &str) -> Vec<Cause> {
    let names = schema.node["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let has_default = |name: &str| schema.default_of(name).is_some();
    let missing =
        names.filter(|&name| fields.get(name).is_none_or(Value::is_null) && !has_default(name));
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    missing.map(|name| Cause::required(below(name), "")).collect()
}

fn fits_type(schema: Schema<'_>, value: &Value, path: &str, findings: &mut Findings) -> bool {
    let node = schema.node;
    if node["x-kubernetes-int-or-string"] == true {
        return true;
    }
    let Some(wanted) = node["type"].as_str() else { return true };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = wanted == found
        || wanted == "number" && found == "integer"
        || found == "null" && node["nullable"] == true;
    let format = node["format"].as_str().filter(|format| matches!(*format, "int32" | "int64"));
    if !fits && schema.builtin {
        let wanted = node["format"].as_str().unwrap_or(wanted);
        findings
            .mistyped
            .push(format!("json: cannot unmarshal {found} into field {path} of type {wanted}"));
    } else if !fits {
        let (found, wanted) = match (found, format) {
            ("number", Some(format)) => ("float64", format),
            (found, _) => (found, wanted),
        };
        let message =
            format!("Invalid value: {found:?}: {path} in body must be of type {wanted}: {found:?}");
        findings.causes.push(Cause {
            field: path.to_owned(),
            reason: "FieldValueTypeInvalid",
            message,
        });
        if found == "float64" {
            let why =
                format!("Checked value must be of type integer with format {wanted} in {path}");
            findings.causes.push(Cause::invalid("<nil>", &json!(""), &why));
        }
    }
    fits
}

/// The rules of a schema, other than its type and its fields, that a value breaks.
fn breaches(schema: &Value, value: &Value, path: &str) -> Vec<Cause> {
    let details = match value {
        Value::Number(number) => beyond_bounds(schema, number.as_f64().unwrap_or_default()),
        Value::String(text) => misshapen(schema, text),
        Value::Array(elements) => too_few(schema, "Items", elements.len() as u64, "have", "items"),
        Value::Object(fields) => {
            too_few(schema, "Properties", fields.len() as u64, "have", "properties")
        }
        Value::Null | Value::Bool(_) => Vec::new(),
    };
    let details = details.into_iter().chain(unchosen(schema, value));
    let mut causes: Vec<_> = details
        .map(|detail| Cause::invalid(path, value, &format!("{path} in body {detail}")))
        .collect();
    causes.extend(too_much(schema, value, path));
    if let Some(supported) =
        schema["enum"].as_array().filter(|supported| !supported.contains(value))
    {
        let supported: Vec<_> = supported.iter().map(Value::to_string).collect();
        causes.push(Cause::unsupported(path, value, &supported));
    }
    causes
}

fn beyond_bounds(schema: &Value, number: f64) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(least) = schema["minimum"].as_f64() {
        match schema["exclusiveMinimum"] == true {
            true if number <= least => details.push(format!("should be greater than {least}")),
            false if number < least => {
                details.push(format!("should be greater than or equal to {least}"))
            }
            true | false => {}
        }
    }
    if let Some(most) = schema["maximum"].as_f64() {
        match schema["exclusiveMaximum"] == true {
            true if number >= most => details.push(format!("should be less than {most}")),
            false if number > most => {
                details.push(format!("should be less than or equal to {most}"))
            }
            true | false => {}
        }
    }
    details
}

fn misshapen(schema: &Value, text: &str) -> Vec<String> {
    let mut details = too_few(schema, "Length", text.chars().count() as u64, "be", "chars long");
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
    {
        details.push(format!("should match '{pattern}'"));
    }
    details
}

fn too_few(schema: &Value, what: &str, size: u64, verb: &str, unit: &str) -> Vec<String> {
    let least = schema[format!("min{what}")].as_u64().filter(|&least| size < least);
    least.map(|least| format!("should {verb} at least {least} {unit}")).into_iter().collect()
}

/// What is larger than it may be is told without itself.
fn too_much(schema: &Value, value: &Value, path: &str) -> Option<Cause> {
    let most = |what: &str, size: usize| {
        let size = size as u64;
        schema[what].as_u64().filter(|&most| size > most).map(|most| (size, most))
    };
    match value {
        Value::String(text) => {
            let (_, most) = most("maxLength", text.chars().count())?;
            Some(Cause::too_long(path, most))
        }
        Value::Array(elements) => {
            let (size, most) = most("maxItems", elements.len())?;
            Some(Cause::too_many(path, size, most))
        }
        Value::Object(fields) => {
            let (size, most) = most("maxProperties", fields.len())?;
            Some(Cause::too_many(path, size, most))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The elements of a list that is a set, or a map, which are there already. The built-in kinds check their lists
/// themselves.
fn duplicates(schema: &Value, list: &Value, path: &str) -> Vec<Cause> {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let identity = |element: &Value| -> Option<Value> {
        match (schema["x-kubernetes-list-type"].as_str()?, keys) {
            ("set", _) => Some(element.clone()),
            ("map", Some(keys)) => {
                let keys = keys.iter().filter_map(Value::as_str);
                let values =
                    keys.filter_map(|key| Some((key.to_owned(), element.get(key)?.clone())));
                Some(values.collect())
            }
            _ => None,
        }
    };
    let mut seen = Vec::new();
    let mut causes = Vec::new();
    for (index, element) in list.as_array().into_iter().flatten().enumerate() {
        let Some(identity) = identity(element) else { break };
        if seen.contains(&identity) {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), Some(&identity)));
        }
        seen.push(identity);
    }
    causes
}

/// What is wrong with a value that has to keep to several schemas, or to one of several.
fn unchosen(schema: &Value, value: &Value) -> Vec<String> {
    let held = |rule: &str| {
        let schemas = schema[rule].as_array()?;
        Some((schemas.iter().filter(|schema| holds(schema, value)).count(), schemas.len()))
    };
    let mut details = Vec::new();
    if held("allOf").is_some_and(|(held, all)| held < all) {
        details.push("must validate all the schemas (allOf)".to_owned());
    }
    if held("anyOf").is_some_and(|(held, _)| held == 0) {
        details.push("must validate at least one schema (anyOf)".to_owned());
    }
    if held("oneOf").is_some_and(|(held, _)| held != 1) {
        details.push("must validate one and only one schema (oneOf)".to_owned());
    }
    if schema.get("not").is_some_and(|not| holds(not, value)) {
        details.push("must not validate the schema (not)".to_owned());
    }
    details
}

/// Whether a value keeps to a schema that only restricts.
fn holds(schema: &Value, value: &Value) -> bool {
    let schema = Schema { written: schema, node: schema, builtin: false };
    let mut findings = Findings::default();
    let fields_hold = value.as_object().is_none_or(|fields| {
        required(schema, fields, "").is_empty()
            && fields.iter().all(|(field, value)| {
                schema.field(field).is_none_or(|schema| holds(schema.node, value))
            })
    });
    fits_type(schema, value, "", &mut findings)
        && breaches(schema.node, value, "").is_empty()
        && fields_hold
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::crd;
    use super::super::super::resource::{Resource, builtin_kinds};
    use super::*;

    fn pool() -> Kind {
        crd::kind(&json!({
            "spec": {
                "group": "test.porter.io", "scope": "Cluster",
                "names": { "plural": "pools", "kind": "Pool" },
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": { "spec": {
                        "type": "object", "required": ["address"],
                        "properties": {
                            "address": { "type": "string", "pattern": "^[0-9.]+$" },
                            "size": { "type": "integer", "default": 4, "minimum": 1 },
                            "mode": { "type": "string", "enum": ["layer2", "bgp"] },
                            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                        },
                    } },
                } } }],
            },
        }))
    }

    fn admitted(kind: &Kind, spec: Value, strict: bool) -> Result<Value, String> {
        let mut object =
            json!({ "apiVersion": "a", "kind": "b", "metadata": { "name": "one" }, "spec": spec });
        admit(kind, None, &mut object, Vec::new(), strict).map_err(|refused| refused.message)?;
        Ok(object["spec"].take())
    }

    #[test]
    fn unknown_fields_are_dropped_and_defaults_filled_in() {
        let spec = json!({ "address": "1.2.3.4", "adress": "x", "free": { "any": 1 } });
        let expected = json!({ "address": "1.2.3.4", "size": 4, "free": { "any": 1 } });
        assert_eq!(admitted(&pool(), spec, false), Ok(expected));
    }

    #[test]
    fn a_strict_client_is_told_about_unknown_fields() {
        let refused =
            admitted(&pool(), json!({ "address": "1", "adress": "x" }), true).expect_err("strict");
        let wording = "Pool in version \"v1\" cannot be handled as a Pool: strict decoding error: unknown field \"spec.adress\"";
        assert_eq!(refused, wording);
    }

    #[test]
    fn every_breach_is_named_with_its_field() {
        let refused = admitted(&pool(), json!({ "size": 0, "mode": "vip" }), false)
            .expect_err("three breaches");
        for part in [
            "Pool.test.porter.io \"one\" is invalid: [",
            "spec.address: Required value",
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
            "spec.mode: Unsupported value: \"vip\": supported values: \"layer2\", \"bgp\"",
        ] {
            assert!(refused.contains(part), "{part} in {refused}");
        }
        let mistyped = admitted(&pool(), json!({ "address": 4 }), false).expect_err("a number");
        assert!(
            mistyped.contains("spec.address in body must be of type string: \"integer\""),
            "{mistyped}"
        );
    }

    #[test]
    fn built_in_kinds_have_their_fields_and_no_others() {
        let services = builtin_kinds()
            .into_iter()
            .find(|kind| kind.resource == Resource::SERVICES)
            .expect("built in");
        let spec =
            json!({ "ports": [{ "port": 80, "targetPort": "http", "prot": 1 }], "type": null });
        assert_eq!(
            admitted(&services, spec.clone(), false),
            Ok(json!({ "ports": [{ "port": 80, "protocol": "TCP", "targetPort": "http" }] }))
        );
        assert!(
            admitted(&services, spec, true)
                .expect_err("strict")
                .contains("unknown field \"spec.ports[0].prot\"")
        );
        let mistyped = admitted(&services, json!({ "ports": [{ "port": "80" }] }), false)
            .expect_err("a string");
        assert!(
            mistyped.ends_with(
                "json: cannot unmarshal string into field spec.ports[0].port of type int32"
            ),
            "{mistyped}"
        );
    }
}

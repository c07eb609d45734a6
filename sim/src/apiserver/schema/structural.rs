//! What the schema of a CustomResourceDefinition may be: structural, and with rules that can be evaluated.
//!
//! A useful part of Kubernetes' own checks, in its words (`apiextensions/validation` and
//! `apiserver/schema/validation.go`): a type everywhere, no keyword that Kubernetes does not serve, lists and maps
//! that say what is in them, keys that every element has, and rules that name only what exists. Not there:
//! whether a default fits its schema, and what a rule may cost.

use serde_json::{Value, json};

use super::super::status::Cause;
use super::cel::{RULES, unreadable};
use super::scope::undeclared;

/// What is wrong with the schema of one version, found at `path`.
pub(crate) fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut check = Check { root: path.to_owned(), causes: Vec::new() };
    let mut visible = schema.clone();
    // What every object has and rules may look at, whether or not the schema says so.
    for field in ["apiVersion", "kind"] {
        visible["properties"][field] = json!({ "type": "string" });
    }
    let named = json!({ "name": { "type": "string" }, "generateName": { "type": "string" } });
    visible["properties"]["metadata"] = json!({ "type": "object", "properties": named });
    check.place(schema, path, Place::Root);
    check.rules(schema, &visible, path, true);
    check.causes
}

/// Where a schema stands.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Root,
    Field,
    Item,
}

struct Check {
    root: String,
    causes: Vec<Cause>,
}

impl Check {
    fn place(&mut self, schema: &Value, path: &str, place: Place) {
        self.kind(schema, path, place);
        self.keywords(schema, path, place);
        if schema["type"] == "array" {
            self.list(schema, path);
        }
        for junctor in ["allOf", "anyOf", "oneOf"] {
            for (index, part) in elements(&schema[junctor]).enumerate() {
                self.restriction(part, schema, &format!("{path}.{junctor}[{index}]"), path);
            }
        }
        if schema["not"].is_object() {
            self.restriction(&schema["not"], schema, &format!("{path}.not"), path);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            // Kubernetes itself says what metadata is.
            if place != Place::Root || name != "metadata" {
                self.place(field, &format!("{path}.properties[{name}]"), Place::Field);
            }
        }
        for (each, below) in [("items", Place::Item), ("additionalProperties", Place::Field)] {
            if schema[each].is_object() {
                self.place(&schema[each], &format!("{path}.{each}"), below);
            }
        }
    }

    fn kind(&mut self, schema: &Value, path: &str, place: Place) {
        const KINDS: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
        let field = format!("{path}.type");
        let kind = schema["type"].as_str().unwrap_or_default();
        let untyped = place != Place::Root
            && (schema["x-kubernetes-int-or-string"] == true
                || schema["x-kubernetes-preserve-unknown-fields"] == true);
        let detail = match place {
            Place::Root => "must not be empty at the root",
            Place::Field => "must not be empty for specified object fields",
            Place::Item => "must not be empty for specified array items",
        };
        if kind.is_empty() {
            if !untyped {
                self.causes.push(Cause::required(field, detail));
            }
        } else if !KINDS.contains(&kind) {
            let kinds = KINDS.map(|kind| json!(kind).to_string());
            self.causes.push(Cause::unsupported(field, &schema["type"], &kinds));
        } else if place == Place::Root && kind != "object" {
            self.causes.push(Cause::invalid(field, &json!(kind), "must be object at the root"));
        }
    }

    fn keywords(&mut self, schema: &Value, path: &str, place: Place) {
        let unserved =
            ["$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties"];
        for keyword in unserved.into_iter().filter(|keyword| !schema[keyword].is_null()) {
            let detail = format!("{keyword} is not supported");
            self.causes.push(Cause::forbidden(format!("{path}.{keyword}"), &detail));
        }
        if schema["uniqueItems"] == true {
            let detail =
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.causes.push(Cause::forbidden(format!("{path}.uniqueItems"), detail));
        }
        let additional = &schema["additionalProperties"];
        let field = format!("{path}.additionalProperties");
        if *additional == false {
            let detail = "additionalProperties cannot be set to false";
            self.causes.push(Cause::forbidden(field, detail));
        } else if !additional.is_null() && place == Place::Root {
            self.causes.push(Cause::forbidden(field, "must not be used at the root"));
        } else if !additional.is_null() && schema["properties"].is_object() {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.causes.push(Cause::forbidden(field, detail));
        }
        if schema["x-kubernetes-preserve-unknown-fields"] == false {
            let field = format!("{path}.x-kubernetes-preserve-unknown-fields");
            self.causes.push(Cause::invalid(field, &json!(false), "must be true or undefined"));
        }
        let list_type = &schema["x-kubernetes-list-type"];
        if !list_type.is_null() && schema["type"] != "array" {
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.causes.push(Cause::invalid(format!("{path}.type"), &schema["type"], detail));
        }
    }

    fn list(&mut self, schema: &Value, path: &str) {
        if !schema["items"].is_object() {
            self.causes.push(Cause::required(format!("{path}.items"), "must be specified"));
        }
        let list_type = &schema["x-kubernetes-list-type"];
        let keys: Vec<_> =
            elements(&schema["x-kubernetes-list-map-keys"]).filter_map(Value::as_str).collect();
        if !list_type.is_null() && !["atomic", "set", "map"].iter().any(|known| list_type == known)
        {
            let known = ["atomic", "set", "map"].map(|known| json!(known).to_string());
            let field = format!("{path}.x-kubernetes-list-type");
            self.causes.push(Cause::unsupported(field, list_type, &known));
        }
        if list_type != "map" {
            if !keys.is_empty() {
                let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
                let field = format!("{path}.x-kubernetes-list-type");
                self.causes.push(Cause::invalid(field, list_type, detail));
            }
            return;
        }
        if keys.is_empty() {
            let field = format!("{path}.x-kubernetes-list-map-keys");
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.causes.push(Cause::required(field, detail));
        }
        let items = &schema["items"];
        if items["type"] != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            self.causes.push(Cause::invalid(format!("{path}.items.type"), &items["type"], detail));
        }
        for key in keys {
            let Some(field) = items["properties"].get(key) else {
                let detail = "entries must all be names of item properties";
                let field = format!("{path}.x-kubernetes-list-map-keys");
                self.causes.push(Cause::invalid(field, &json!(key), detail));
                continue;
            };
            let is_required = elements(&items["required"]).any(|required| required == key);
            if !is_required && field["default"].is_null() {
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                              required property";
                let field = format!("{path}.items.properties[{key}].default");
                self.causes.push(Cause::required(field, detail));
            }
        }
    }

    /// A schema that only restricts what another, structural one says.
    fn restriction(&mut self, part: &Value, whole: &Value, path: &str, whole_path: &str) {
        let structural = [
            "type",
            "additionalProperties",
            "default",
            "nullable",
            "title",
            "description",
            RULES,
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
        ];
        // The one place where a type may be restricted.
        let int_or_string = whole["x-kubernetes-int-or-string"] == true;
        for keyword in structural.into_iter().filter(|keyword| !part[keyword].is_null()) {
            if keyword != "type" || !int_or_string {
                let detail = "must be empty to be structural";
                self.causes.push(Cause::forbidden(format!("{path}.{keyword}"), detail));
            }
        }
        for (name, field) in part["properties"].as_object().into_iter().flatten() {
            let same = format!("{whole_path}.properties[{name}]");
            let below = format!("{path}.properties[{name}]");
            match whole["properties"].get(name) {
                Some(whole) => self.restriction(field, whole, &below, &same),
                None => {
                    let detail = format!("because it is defined in {below}");
                    self.causes.push(Cause::required(same, &detail));
                }
            }
        }
    }

    /// The rules at a place and below; `comparable` is whether it is known what was there before.
    fn rules(&mut self, schema: &Value, visible: &Value, path: &str, comparable: bool) {
        for (index, rule) in elements(&schema[RULES]).enumerate() {
            self.rule(rule, visible, &format!("{path}.{RULES}[{index}]"), comparable);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            self.rules(field, field, &format!("{path}.properties[{name}]"), comparable);
        }
        let keyed = comparable && schema["x-kubernetes-list-type"] == "map";
        for (each, comparable) in [("items", keyed), ("additionalProperties", comparable)] {
            let below = &schema[each];
            if below.is_object() {
                self.rules(below, below, &format!("{path}.{each}"), comparable);
            }
        }
    }

    fn rule(&mut self, rule: &Value, schema: &Value, path: &str, comparable: bool) {
        let text = rule["rule"].as_str().unwrap_or_default();
        if text.trim().is_empty() {
            self.causes.push(Cause::required(format!("{path}.rule"), "rule is not specified"));
            return;
        }
        if rule["message"].as_str().is_some_and(|message| message.trim().contains('\n')) {
            let detail = "message must not contain line breaks";
            self.causes.push(Cause::invalid(format!("{path}.message"), &rule["message"], detail));
        }
        let reasons = [
            "FieldValueRequired",
            "FieldValueInvalid",
            "FieldValueForbidden",
            "FieldValueDuplicate",
        ];
        let reason = &rule["reason"];
        if !reason.is_null() && !reasons.iter().any(|known| reason == known) {
            let reasons = reasons.map(|known| json!(known).to_string());
            self.causes.push(Cause::unsupported(format!("{path}.reason"), reason, &reasons));
        }
        if let Some(why) = unreadable(rule, schema) {
            let field =
                if why.starts_with("messageExpression") { "messageExpression" } else { "rule" };
            self.causes.push(Cause::invalid(format!("{path}.{field}"), &rule[field], &why));
            return;
        }
        let optional = rule["optionalOldSelf"] == true;
        for field in ["rule", "messageExpression"] {
            let found = rule[field].as_str().and_then(|text| undeclared(text, schema, optional));
            if let Some(why) = found {
                let why = format!("compilation failed: {why}");
                self.causes.push(Cause::invalid(format!("{path}.{field}"), &rule[field], &why));
            }
        }
        let compares = super::cel::compares(text);
        if compares && !comparable {
            let place = path.rsplit_once('.').map_or(path, |(place, _)| place);
            let place = place.strip_prefix(&self.root).unwrap_or(place).trim_start_matches('.');
            let detail = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {place}"
            );
            self.causes.push(Cause::invalid(format!("{path}.rule"), &rule["rule"], &detail));
        }
        if optional && !compares {
            let detail = "may not be set if oldSelf is not used in rule";
            let field = format!("{path}.optionalOldSelf");
            self.causes.push(Cause::invalid(field, &json!(true), detail));
        }
    }
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

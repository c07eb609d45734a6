//! The rules of a CustomResourceDefinition, in CEL: what they refuse and in which words, and which definitions are
//! refused for theirs.

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use porter_sim::apiserver::{Resource, Status, Store};
use serde_json::{Value, json};

use crate::server::Server;

/// A definition whose objects' spec has this schema, and rules of its own.
fn definition(spec: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "pools.test.porter.io" },
        "spec": {
            "group": "test.porter.io", "scope": "Cluster", "names": { "plural": "pools", "kind": "Pool" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": spec,
                        "status": {
                            "type": "object", "properties": { "used": { "type": "integer" } },
                            "x-kubernetes-validations": [{ "rule": "self.used >= 0", "message": "cannot be negative" }],
                        },
                    },
                } },
            }],
        },
    })
}

/// An object's spec with one field, of this schema, and this rule on the spec.
fn with_rule(field: Value, rule: Value) -> Value {
    definition(json!({
        "type": "object", "properties": { "field": field }, "x-kubernetes-validations": [rule],
    }))
}

fn text_rule(rule: &str) -> Value {
    with_rule(json!({ "type": "string" }), json!({ "rule": rule }))
}

fn pool(spec: Value) -> Value {
    json!({ "apiVersion": "test.porter.io/v1", "kind": "Pool", "metadata": { "name": "one" }, "spec": spec })
}

fn store(definition: Value) -> Store {
    let store = Store::new();
    store.create(definition).expect("the definition is accepted");
    store
}

/// The object, as a change of what is stored.
fn newer(store: &Store, resource: &Resource, mut object: Value) -> Value {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let stored = store.get(resource, None, name).expect("it is there");
    object["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    object
}

fn replace(store: &Store, pool: Value) -> Result<(), Status> {
    store.replace(newer(store, &Resource::new("test.porter.io", "pools"), pool)).map(drop)
}

/// What is said of an object's spec; nothing if it is accepted.
fn said(definition: Value, spec: Value) -> Option<String> {
    store(definition).create(pool(spec)).err().map(|refused| refused.message)
}

fn holds(rule: &str, field: &str) -> bool {
    said(text_rule(rule), json!({ "field": field })).is_none()
}

fn causes(refused: &Status) -> Vec<(&str, &str, &str)> {
    fn text(value: &Value) -> &str {
        value.as_str().expect("a text")
    }
    let causes = refused.details["causes"].as_array().expect("causes").iter();
    causes
        .map(|cause| (text(&cause["field"]), text(&cause["reason"]), text(&cause["message"])))
        .collect()
}

#[test]
fn a_broken_rule_is_told_with_its_message_at_its_field() {
    let rules = json!([
        { "rule": "self.size <= 8", "message": "at most 8", "reason": "FieldValueForbidden", "fieldPath": ".size" },
        { "rule": "self.size != 9", "messageExpression": "'not ' + string(self.size)" },
        { "rule": "self.size < 5 || self.big" },
    ]);
    let spec = json!({
        "type": "object", "x-kubernetes-validations": rules,
        "properties": { "size": { "type": "integer" }, "big": { "type": "boolean", "default": false } },
    });
    let refused =
        store(definition(spec)).create(pool(json!({ "size": 9 }))).expect_err("three rules");
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    assert_eq!(
        causes(&refused),
        [
            ("spec.size", "FieldValueForbidden", "Forbidden: at most 8"),
            ("spec", "FieldValueInvalid", "Invalid value: not 9"),
            ("spec", "FieldValueInvalid", "Invalid value: failed rule: self.size < 5 || self.big"),
        ]
    );
    assert!(
        refused.message.starts_with(
            "Pool.test.porter.io \"one\" is invalid: [spec.size: Forbidden: at most 8, spec: Invalid value: "
        ),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn kube_rs_is_told_of_every_cause() {
    let server = Server::start().await;
    server.store.create(text_rule("self.field.startsWith('a')")).expect("is accepted");
    let pools = pools(server.client());
    let refused = pools.create(&PostParams::default(), &object(json!({ "field": "b" }))).await;
    let Err(Error::Api(status)) = refused else { panic!("not refused: {refused:?}") };
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    let details = status.details.expect("details");
    assert_eq!(details.causes.len(), 1);
    assert_eq!(
        (&*details.causes[0].field, &*details.causes[0].reason),
        ("spec", "FieldValueInvalid")
    );
}

fn pools(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("test.porter.io", "v1", "Pool");
    Api::all_with(client, &ApiResource::from_gvk(&kind))
}

fn object(spec: Value) -> DynamicObject {
    serde_json::from_value(pool(spec)).expect("an object")
}

#[test]
fn the_functions_of_the_language_are_there() {
    for (rule, yes, no) in [
        ("has(self.field) && size(self.field) == 2", "ab", "abc"),
        ("self.field.matches('^[a-c]+$')", "abc", "abd"),
        ("self.field.startsWith('a') && !self.field.endsWith('z')", "ab", "az"),
        ("self.field.split(',').all(part, part.size() > 0)", "a,b", "a,"),
        ("self.field.split(',').exists(part, part == 'b')", "a,b", "a,c"),
        ("self.field.split('-').map(part, isIP(part)).exists_one(is, is)", "x-192.0.2.1", "x-y"),
        ("self.field in ['a', 'b']", "a", "c"),
        ("self.field == 'a' ? true : self.field == 'b'", "b", "c"),
    ] {
        assert!(holds(rule, yes), "{rule} of {yes}");
        assert!(!holds(rule, no), "{rule} of {no}");
    }
}

#[test]
fn addresses_and_networks_are_understood() {
    for (rule, yes, no) in [
        ("isIP(self.field)", "192.0.2.1", "192.0.2.256"),
        ("isIP(self.field)", "2001:db8::1", "::ffff:192.0.2.1"),
        ("isCIDR(self.field)", "192.0.2.0/28", "192.0.2.0/33"),
        ("isCIDR(self.field)", "2001:db8::/64", "192.0.2.1"),
        ("ip(self.field).family() == 4", "192.0.2.1", "2001:db8::1"),
        ("cidr(self.field).prefixLength() >= 24", "192.0.2.0/24", "192.0.0.0/16"),
        ("cidr('192.0.2.0/24').containsIP(self.field)", "192.0.2.9", "192.0.3.9"),
        ("cidr('192.0.2.0/24').containsIP(ip(self.field))", "192.0.2.9", "192.0.3.9"),
        ("cidr('192.0.2.0/24').containsCIDR(self.field)", "192.0.2.0/28", "192.0.0.0/16"),
        ("cidr(self.field) == cidr(self.field).masked()", "192.0.2.0/28", "192.0.2.1/28"),
        ("ip.isCanonical(self.field)", "2001:db8::1", "2001:DB8::1"),
        ("!ip(self.field).isLoopback()", "192.0.2.1", "127.0.0.1"),
        (
            "isCIDR(self.field) || isIP(self.field) || self.field.split('-').all(end, isIP(end))",
            "192.0.2.1-192.0.2.9",
            "192.0.2.1-x",
        ),
    ] {
        assert!(holds(rule, yes), "{rule} of {yes}");
        assert!(!holds(rule, no), "{rule} of {no}");
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses_the_object_and_says_why() {
    let spec = json!({
        "type": "object", "properties": { "field": { "type": "string" } },
        "x-kubernetes-validations": [{ "rule": "self.field == 'a'" }],
    });
    let said = said(definition(spec), json!({})).expect("there is no such field");
    assert_eq!(
        said,
        "Pool.test.porter.io \"one\" is invalid: spec: Invalid value: \"object\": no such key: field evaluating \
         rule: self.field == 'a'"
    );
}

#[test]
fn rules_hold_for_every_element_and_every_value() {
    let positive = json!([{ "rule": "self > 0", "message": "must be positive" }]);
    let number = json!({ "type": "integer", "x-kubernetes-validations": positive });
    let spec = json!({ "type": "object", "properties": {
        "list": { "type": "array", "items": number }, "map": { "type": "object", "additionalProperties": number },
    } });
    let refused = store(definition(spec))
        .create(pool(json!({ "list": [1, 0], "map": { "a": 1, "b": -1 } })))
        .expect_err("two numbers");
    assert_eq!(
        causes(&refused),
        [
            ("spec.list[1]", "FieldValueInvalid", "Invalid value: 0: must be positive"),
            ("spec.map[b]", "FieldValueInvalid", "Invalid value: -1: must be positive"),
        ]
    );
}

#[test]
fn a_rule_on_the_whole_object_sees_its_name_and_nothing_else_of_its_metadata() {
    let mut whole =
        definition(json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }));
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    whole.pointer_mut(schema).expect("a schema")["x-kubernetes-validations"] = json!([{ "rule": "self.metadata.name == 'other' && !has(self.status)", "message": "wrong name" }]);
    assert_eq!(
        said(whole.clone(), json!({})).expect("another name"),
        "Pool.test.porter.io \"one\" is invalid: <nil>: Invalid value: wrong name"
    );
    whole.pointer_mut(schema).expect("a schema")["x-kubernetes-validations"][0]["rule"] =
        json!("has(self.metadata.labels)");
    let refused = Store::new().create(whole).expect_err("labels are not to be seen");
    assert!(refused.message.contains("undefined field 'labels'"), "{}", refused.message);
}

#[test]
fn what_makes_no_sense_is_told_before_any_rule() {
    let spec = json!({
        "type": "object", "required": ["field"], "properties": { "field": { "type": "string" } },
        "x-kubernetes-validations": [{ "rule": "self.field == 'a'" }],
    });
    let refused = store(definition(spec)).create(pool(json!({}))).expect_err("a field is missing");
    assert_eq!(
        causes(&refused).iter().map(|(field, ..)| *field).collect::<Vec<_>>(),
        ["spec.field", "<nil>"]
    );
    assert!(
        refused.message.contains("some validation rules were not checked"),
        "{}",
        refused.message
    );
}

#[test]
fn a_rule_of_a_change_is_looked_at_only_when_there_was_something_before() {
    let store = store(with_rule(
        json!({ "type": "string" }),
        json!({ "rule": "self.field == oldSelf.field", "message": "cannot be changed" }),
    ));
    store.create(pool(json!({ "field": "a" }))).expect("there was nothing before");
    let mut other = pool(json!({ "field": "a" }));
    other["metadata"]["labels"] = json!({ "b": "c" });
    replace(&store, other).expect("nothing changed that matters");
    let refused = replace(&store, pool(json!({ "field": "b" }))).expect_err("it changed");
    assert_eq!(
        causes(&refused),
        [("spec", "FieldValueInvalid", "Invalid value: cannot be changed")]
    );
}

#[test]
fn a_rule_of_a_change_holds_for_every_write_also_for_one_that_changes_nothing_there() {
    let store = store(with_rule(
        json!({ "type": "integer" }),
        json!({ "rule": "self.field > oldSelf.field", "message": "has to grow" }),
    ));
    store.create(pool(json!({ "field": 1 }))).expect("there was nothing before");
    let mut other = pool(json!({ "field": 1 }));
    other["metadata"]["labels"] = json!({ "b": "c" });
    let refused = replace(&store, other.clone()).expect_err("it does not grow");
    assert_eq!(causes(&refused)[0].2, "Invalid value: has to grow");
    other["spec"]["field"] = json!(2);
    replace(&store, other).expect("it grows");
}

#[test]
fn a_rule_may_ask_whether_there_was_something_before() {
    let store = store(with_rule(
        json!({ "type": "string" }),
        json!({
            "rule": "oldSelf.hasValue() ? self.field == oldSelf.value().field : self.field == 'first'",
            "optionalOldSelf": true, "message": "starts as first and stays",
        }),
    ));
    store.create(pool(json!({ "field": "second" }))).expect_err("it does not start as first");
    store.create(pool(json!({ "field": "first" }))).expect("it does");
    replace(&store, pool(json!({ "field": "second" }))).expect_err("it does not stay");
}

#[test]
fn an_element_is_compared_with_the_one_that_had_its_key() {
    let rule = json!([{ "rule": "self.size >= oldSelf.size", "message": "cannot shrink" }]);
    let item = json!({
        "type": "object", "required": ["name"], "x-kubernetes-validations": rule,
        "properties": { "name": { "type": "string" }, "size": { "type": "integer" } },
    });
    let spec = json!({ "type": "object", "properties": { "list": {
        "type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    } } });
    let store = store(definition(spec));
    let list = |list: Value| pool(json!({ "list": list }));
    store
        .create(list(json!([{ "name": "a", "size": 5 }, { "name": "b", "size": 1 }])))
        .expect("creates");
    let swapped =
        json!([{ "name": "b", "size": 1 }, { "name": "a", "size": 5 }, { "name": "c", "size": 0 }]);
    replace(&store, list(swapped)).expect("each is compared with itself, the new one with nothing");
    let refused =
        replace(&store, list(json!([{ "name": "a", "size": 4 }]))).expect_err("it shrank");
    assert_eq!(causes(&refused)[0].0, "spec.list[0]");
}

#[tokio::test]
async fn what_was_there_before_its_rule_may_stay_until_it_changes() {
    let server = Server::start().await;
    let lax = definition(json!({ "type": "object", "properties": {
        "field": { "type": "string" }, "other": { "type": "string" } } }));
    server.store.create(lax).expect("is accepted");
    let pools = pools(server.client());
    pools.create(&PostParams::default(), &object(json!({ "field": "b" }))).await.expect("creates");
    let field =
        json!({ "type": "string", "x-kubernetes-validations": [{ "rule": "self == 'a'" }] });
    let spec = json!({ "type": "object", "properties": { "field": field, "other": { "type": "string" } } });
    let stricter = newer(&server.store, &Resource::CRDS, definition(spec));
    server.store.replace(stricter).expect("a stricter definition");

    let merge = |change: Value| Patch::Merge(change);
    let parameters = PatchParams::default();
    let change = merge(json!({ "spec": { "other": "c" } }));
    pools.patch("one", &parameters, &change).await.expect("the field is not what changes");
    let change = merge(json!({ "spec": { "field": "c" } }));
    let refused = pools.patch("one", &parameters, &change).await;
    assert!(matches!(refused, Err(Error::Api(status)) if status.code == 422));
    let change = merge(json!({ "spec": { "field": "a" } }));
    pools.patch("one", &parameters, &change).await.expect("it is right now");
}

#[test]
fn a_status_is_held_to_the_rules_of_the_whole_object() {
    let store = store(text_rule("self.field != 'b'"));
    let pools = Resource::new("test.porter.io", "pools");
    let mut pool = pool(json!({ "field": "a" }));
    store.create(pool.clone()).expect("creates");
    pool["status"] = json!({ "used": -1 });
    let refused =
        store.replace_status(newer(&store, &pools, pool.clone())).expect_err("it is negative");
    assert_eq!(causes(&refused)[0].0, "status");
    pool["status"] = json!({ "used": 1 });
    // What a write of the status says of the spec does not count.
    pool["spec"] = json!({ "field": "b" });
    store.replace_status(newer(&store, &pools, pool)).expect("it is not");
}

/// Why a definition is refused.
fn refusal(definition: Value) -> String {
    let refused = Store::new().create(definition).expect_err("the definition is refused");
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    refused.message
}

#[test]
fn a_definition_whose_rules_do_not_compile_is_refused() {
    for (rule, why) in [
        ("self.field ==", "compilation failed: "),
        ("self.feild == 'a'", "compilation failed: undefined field 'feild'"),
        (
            "self.field.part == 'a'",
            "compilation failed: type 'string' does not support field selection",
        ),
        ("other == 'a'", "compilation failed: undeclared reference to 'other'"),
        ("self.field.beginsWith('a')", "compilation failed: undeclared reference to 'beginsWith'"),
        ("isIp(self.field)", "compilation failed: undeclared reference to 'isIp'"),
        (
            "self.field.split(',').all(x, y == 'a')",
            "compilation failed: undeclared reference to 'y'",
        ),
        ("", "rule: Required value: rule is not specified"),
    ] {
        let place =
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: ";
        let said = refusal(text_rule(rule));
        assert!(said.contains(place), "{said}");
        assert!(said.contains(why), "{rule}: {said}");
    }
    let field = || json!({ "type": "string" });
    for (rule, why) in [
        (
            json!({ "rule": "true", "messageExpression": "'a' +" }),
            ".messageExpression: Invalid value: ",
        ),
        (json!({ "rule": "true", "messageExpression": "self.feild" }), "undefined field 'feild'"),
        (json!({ "rule": "true", "reason": "Because" }), ".reason: Unsupported value: \"Because\""),
        (
            json!({ "rule": "true", "message": "two\nlines" }),
            "message must not contain line breaks",
        ),
        (
            json!({ "rule": "true", "optionalOldSelf": true }),
            "may not be set if oldSelf is not used in rule",
        ),
    ] {
        let said = refusal(with_rule(field(), rule));
        assert!(said.contains(why), "{said}");
    }
    let item =
        json!({ "type": "string", "x-kubernetes-validations": [{ "rule": "self == oldSelf" }] });
    let said =
        refusal(with_rule(json!({ "type": "array", "items": item }), json!({ "rule": "true" })));
    assert!(
        said.contains("oldSelf cannot be used on the uncorrelatable portion of the schema"),
        "{said}"
    );
}

#[test]
fn a_definition_whose_schema_is_not_structural_is_refused() {
    let place = "spec.validation.openAPIV3Schema.properties[spec].properties[field]";
    for (field, at, why) in [
        (json!({}), ".type", "Required value: must not be empty for specified object fields"),
        (json!({ "type": "list" }), ".type", "Unsupported value: \"list\""),
        (json!({ "type": "array" }), ".items", "Required value: must be specified"),
        (
            json!({ "type": "array", "items": {} }),
            ".items.type",
            "Required value: must not be empty for specified array items",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }),
            ".uniqueItems",
            "Forbidden: ",
        ),
        (json!({ "type": "object", "$ref": "#/a" }), ".$ref", "Forbidden: $ref is not supported"),
        (
            json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": { "type": "string" } }),
            ".additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({ "type": "string", "anyOf": [{ "type": "string" }] }),
            ".anyOf[0].type",
            "Forbidden: must be empty to be structural",
        ),
        (
            json!({ "type": "object", "anyOf": [{ "properties": { "a": { "minimum": 1 } } }] }),
            ".properties[a]",
            "Required value: because it is defined in ",
        ),
        (json!({ "type": "string", "x-kubernetes-list-type": "set" }), ".type", "must be array if"),
    ] {
        let said = refusal(with_rule(field, json!({ "rule": "true" })));
        assert!(said.contains(&format!("{place}{at}: ")), "{at}: {said}");
        assert!(said.contains(why), "{why}: {said}");
    }
    let mut root = text_rule("true");
    root["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = json!("string");
    assert!(
        refusal(root).contains(
            "openAPIV3Schema.type: Invalid value: \"string\": must be object at the root"
        )
    );
}

#[test]
fn the_keys_of_a_list_have_to_be_in_every_element() {
    let list = |item: Value, keys: Value| {
        let list = json!({
            "type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
        });
        with_rule(list, json!({ "rule": "true" }))
    };
    let item = |more: Value| {
        let mut item = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
        add(&mut item, more);
        item
    };
    let said = refusal(list(item(json!({})), json!(["name"])));
    assert!(
        said.contains("items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys"),
        "{said}"
    );
    assert!(
        refusal(list(item(json!({})), json!([])))
            .contains("must not be empty if x-kubernetes-list-type is map")
    );
    assert!(
        refusal(list(item(json!({})), json!(["other"])))
            .contains("entries must all be names of item properties")
    );
    for accepted in [
        item(json!({ "required": ["name"] })),
        item(json!({ "properties": { "name": { "type": "string", "default": "" } } })),
    ] {
        store(list(accepted, json!(["name"])));
    }
}

fn add(object: &mut Value, more: Value) {
    let fields = object.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
}

#[test]
fn the_definition_of_eips_is_structural() {
    let definition = <porter_backends::kube::Eip as kube::CustomResourceExt>::crd();
    store(serde_json::to_value(definition).expect("a definition is JSON"));
}

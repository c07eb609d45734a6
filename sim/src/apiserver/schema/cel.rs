//! The rules in CEL that a structural schema carries (`x-kubernetes-validations`), told as a real server tells
//! what breaks them.
//!
//! `kube-cel` evaluates a rule on a value. Here is what surrounds that: which value and which earlier value a
//! rule is about, which rules need not hold because nothing changed (KEP-4008), and the words. An earlier
//! element of a list is found by its keys; lists without keys have no earlier elements.

use std::collections::BTreeMap;

use kube_cel::cel::Program;
use kube_cel::{CompilationError, CompiledSchema, ErrorKind, ValidationError, compile_schema};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::super::status::Cause;

pub(super) const RULES: &str = "x-kubernetes-validations";

/// The rules of a schema, where there are any.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    here: Vec<Rule>,
    fields: BTreeMap<String, Self>,
    /// The rules of every element of a list, or of every value of a map.
    each: Option<Box<Self>>,
    /// The fields that tell the elements of a list apart.
    keys: Vec<String>,
}

/// One rule, ready to be evaluated.
#[derive(Debug)]
struct Rule {
    /// The schema of the value, with this rule and no other.
    schema: CompiledSchema,
    /// What the schema says the value is.
    kind: String,
    /// What is told instead of the rule, if anything is.
    message: Option<String>,
    text: String,
    /// Whether the rule compares with the earlier value, and so holds for a change rather than for a value.
    of_change: bool,
}

/// What a rule is told about.
#[derive(Clone, Copy)]
struct Seen<'a> {
    value: &'a Value,
    /// `None` if there was none, or if it cannot be told which it was.
    old: Option<&'a Value>,
    /// Whether the value, or one that it is part of, is what it was.
    unchanged: bool,
}

impl Rules {
    /// The rules in a schema that [`super::structural`] found nothing wrong with.
    pub(crate) fn of(schema: &Value) -> Self {
        let bare = without_rules(schema);
        Self::at(schema, &bare)
    }

    fn at(schema: &Value, bare: &Value) -> Self {
        let rules = schema[RULES].as_array().into_iter().flatten();
        let fields = schema["properties"].as_object().into_iter().flatten();
        let fields = fields
            .map(|(name, field)| (name.clone(), Self::at(field, &bare["properties"][name])))
            .filter(|(_, rules)| !rules.is_empty());
        let each =
            ["items", "additionalProperties"].into_iter().find(|each| schema[each].is_object());
        let each = each.map(|each| Self::at(&schema[each], &bare[each]));
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        Self {
            here: rules.map(|rule| Rule::new(rule, bare)).collect(),
            fields: fields.collect(),
            each: each.filter(|rules| !rules.is_empty()).map(Box::new),
            keys: keys.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.fields.is_empty() && self.each.is_none()
    }

    /// The rules that a custom resource breaks.
    pub(crate) fn breaches(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        // Of the metadata, rules see the name and nothing else.
        let visible = |object: &Value| {
            let mut visible = object.clone();
            let named = ["name", "generateName"].into_iter().filter_map(|field| {
                Some((field.to_owned(), object["metadata"].get(field)?.clone()))
            });
            visible["metadata"] = Value::Object(named.collect());
            visible
        };
        let (value, old) = (visible(object), old.map(visible));
        let mut causes = Vec::new();
        self.visit(Seen { value: &value, old: old.as_ref(), unchanged: false }, "", &mut causes);
        causes
    }

    fn visit(&self, seen: Seen<'_>, path: &str, causes: &mut Vec<Cause>) {
        let unchanged = seen.unchanged || seen.old == Some(seen.value);
        let seen = Seen { unchanged, ..seen };
        for rule in &self.here {
            causes.extend(rule.breaches(seen, path));
        }
        match seen.value {
            Value::Object(values) => self.visit_values(values, seen, path, causes),
            Value::Array(elements) => {
                let Some(each) = &self.each else { return };
                for (index, value) in elements.iter().enumerate() {
                    let old = seen.old.and_then(|old| self.earlier(old, value));
                    each.visit(Seen { value, old, unchanged }, &format!("{path}[{index}]"), causes);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn visit_values(
        &self,
        values: &Map<String, Value>,
        seen: Seen<'_>,
        path: &str,
        causes: &mut Vec<Cause>,
    ) {
        for (name, value) in values {
            let old = seen.old.and_then(|old| old.get(name));
            let below = Seen { value, old, ..seen };
            if let Some(rules) = self.fields.get(name) {
                rules.visit(below, &join(path, name), causes);
            } else if let Some(each) = &self.each {
                each.visit(below, &format!("{path}[{name}]"), causes);
            }
        }
    }

    /// The element that an element of a list was before.
    fn earlier<'a>(&self, old: &'a Value, element: &Value) -> Option<&'a Value> {
        let is_same = |other: &&Value| self.keys.iter().all(|key| other[key] == element[key]);
        old.as_array()?.iter().find(is_same).filter(|_| !self.keys.is_empty())
    }
}

impl Rule {
    fn new(rule: &Value, bare: &Value) -> Self {
        let schema = compiled(rule, bare);
        let text = |field: &str| rule[field].as_str().map(|text| text.trim().to_owned());
        Self {
            of_change: schema.validations.iter().flatten().any(|rule| rule.is_transition_rule),
            schema,
            kind: bare["type"].as_str().unwrap_or_default().to_owned(),
            message: text("message").filter(|message| !message.is_empty()),
            text: text("rule").unwrap_or_default(),
        }
    }

    fn breaches(&self, seen: Seen<'_>, path: &str) -> Vec<Cause> {
        if seen.unchanged && !self.of_change {
            return Vec::new();
        }
        match kube_cel::validate_compiled(&self.schema, seen.value, seen.old) {
            Ok(()) => Vec::new(),
            Err(broken) => {
                broken.into_iter().map(|broken| self.cause(&broken, seen.value, path)).collect()
            }
        }
    }

    fn cause(&self, broken: &ValidationError, value: &Value, path: &str) -> Cause {
        let field = match format!("{path}{}", broken.field_path).trim_start_matches('.') {
            // The root has no path, and a real server says it like this.
            "" => "<nil>".to_owned(),
            field => field.to_owned(),
        };
        if broken.kind != ErrorKind::ValidationFailure {
            let why = broken.message.trim_start_matches("rule evaluation error: ");
            // Kubernetes' evaluator begins its sentences in lower case.
            let why = why.replacen("No such key", "no such key", 1);
            let rule = self.message.as_ref().unwrap_or(&self.text);
            let kind = json!(self.kind);
            return Cause::invalid(field, &kind, &format!("{why} evaluating rule: {rule}"));
        }
        let told = broken.message.trim();
        let detail = if told.is_empty() || told.contains('\n') {
            // A message that an expression made and that cannot be shown.
            self.message.clone().unwrap_or_else(|| format!("failed rule: {}", self.text))
        } else {
            told.to_owned()
        };
        let value = Some(value).filter(|_| !matches!(&*self.kind, "object" | "array"));
        match (broken.reason.as_deref(), value) {
            (Some("FieldValueForbidden"), _) => Cause::forbidden(field, &detail),
            (Some("FieldValueRequired"), _) => Cause::required(field, &detail),
            (Some("FieldValueDuplicate"), value) => Cause::duplicate(field, value),
            (_, Some(value)) => Cause::invalid(field, value, &detail),
            (_, None) => Cause::broken(field, &detail),
        }
    }
}

/// Why a rule cannot be evaluated; `None` if it can.
pub(super) fn unreadable(rule: &Value, schema: &Value) -> Option<String> {
    let compiled = compiled(rule, &without_rules(schema));
    let error = compiled.compilation_errors().into_iter().next()?;
    Some(if let CompilationError::MessageExpressionParse { source, .. } = error {
        format!("messageExpression compilation failed: {source}")
    } else if let CompilationError::Parse { source, .. } = error {
        format!("compilation failed: {source}")
    } else {
        error.to_string()
    })
}

/// Whether a rule compares with the earlier value.
pub(super) fn compares(rule: &str) -> bool {
    Program::compile(rule).is_ok_and(|rule| rule.references().has_variable("oldSelf"))
}

fn compiled(rule: &Value, bare: &Value) -> CompiledSchema {
    let mut rule = rule.clone();
    if rule["optionalOldSelf"] == true {
        // `kube-cel` binds a value or null, Kubernetes an optional value.
        let old = Regex::new(r"\boldSelf\b").expect("the pattern is valid");
        let optional = "(oldSelf == null ? optional.none() : optional.of(oldSelf))";
        for field in ["rule", "messageExpression"] {
            if let Some(text) = rule[field].as_str() {
                rule[field] = json!(old.replace_all(text, optional));
            }
        }
    }
    let mut schema = bare.clone();
    schema[RULES] = json!([rule]);
    compile_schema(&schema)
}

/// The schema, as it would be if it had no rules.
fn without_rules(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(field, _)| *field != RULES);
            kept.map(|(field, value)| (field.clone(), without_rules(value))).collect()
        }
        Value::Array(parts) => parts.iter().map(without_rules).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

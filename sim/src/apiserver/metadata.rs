//! What may be in the metadata of an object, whatever its kind.
//!
//! Rules and words are those of `k8s.io/apimachinery` (`ValidateObjectMeta`).

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::status::Cause;

/// The longest name part of a label's key, and the longest value.
const LABEL_MAX: usize = 63;
/// The most that all annotations may take, keys and values.
const ANNOTATIONS_MAX: usize = 256 * 1024;
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// Compiled once: every write has every label checked.
static WHOLE_KEY: LazyLock<Regex> = LazyLock::new(|| whole(KEY));
static WHOLE_SUBDOMAIN: LazyLock<Regex> = LazyLock::new(|| whole(SUBDOMAIN));

/// What is wrong with labels, annotations and finalizers.
pub(crate) fn breaches(metadata: &Value) -> Vec<Cause> {
    let map = |field: &str| metadata[field].as_object().into_iter().flat_map(Map::iter);
    let mut causes = Vec::new();
    for (key, value) in map("labels") {
        let value = value.as_str().unwrap_or_default();
        causes.extend(told("metadata.labels", key, unqualified(key)));
        causes.extend(told("metadata.labels", value, unfit_value(value)));
    }
    for (key, _) in map("annotations") {
        causes.extend(told("metadata.annotations", key, unqualified(&key.to_lowercase())));
    }
    let length = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if map("annotations").map(length).sum::<usize>() > ANNOTATIONS_MAX {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATIONS_MAX as u64));
    }
    for finalizer in metadata["finalizers"].as_array().into_iter().flatten() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        causes.extend(told("metadata.finalizers", finalizer, unqualified(finalizer)));
    }
    causes
}

fn told(field: &str, value: &str, why: Vec<String>) -> impl Iterator<Item = Cause> {
    why.into_iter().map(move |why| Cause::invalid(field, &json!(value), &why))
}

/// What keeps a text from being a qualified name: an optional DNS subdomain with `/`, and a name.
fn unqualified(text: &str) -> Vec<String> {
    let must = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let named = |rule: &str| {
        format!(
            "{rule} {must} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{KEY}')"
        )
    };
    let mut why = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                why.push("prefix part must be non-empty".to_owned());
            } else if !WHOLE_SUBDOMAIN.is_match(prefix) {
                why.push(format!(
                    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
                     '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used \
                     for validation is '{SUBDOMAIN}')"
                ));
            }
            name
        }
        _ => {
            let optional =
                "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("{} {optional}", named("a valid label key"))];
        }
    };
    if name.is_empty() {
        why.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        why.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !WHOLE_KEY.is_match(name) {
        why.push(named("name part"));
    }
    why
}

/// What keeps a text from being the value of a label.
fn unfit_value(text: &str) -> Vec<String> {
    let mut why = Vec::new();
    if text.len() > LABEL_MAX {
        why.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !text.is_empty() && !WHOLE_KEY.is_match(text) {
        why.push(format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
             validation is '({KEY})?')"
        ));
    }
    why
}

fn whole(pattern: &str) -> Regex {
    Regex::new(&format!("^({pattern})$")).expect("the pattern is valid")
}

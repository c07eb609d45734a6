//! Which objects a list or a watch is about: label selectors and field selectors.

mod fields;

use serde_json::Value;

use super::resource::Kind;
use super::status::Status;
use fields::FieldTerm;

/// A label selector and a field selector; the default selects everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selectors {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum LabelTerm {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selectors {
    /// Reads `labelSelector` and `fieldSelector` as a URL has them, for a served version of a kind; an empty
    /// string selects everything.
    ///
    /// # Errors
    /// A 400 for what cannot be parsed, or for a field by which the kind cannot be selected.
    pub(crate) fn parse(
        kind: &Kind,
        version: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Self, Status> {
        let labels = split_terms(labels).into_iter().map(label_term).collect::<Result<_, _>>()?;
        let fields = split_terms(fields).into_iter();
        let fields = fields.map(|term| FieldTerm::parse(kind, version, term));
        Ok(Self { labels, fields: fields.collect::<Result<_, _>>()? })
    }

    /// Objects that carry exactly these labels, among others.
    #[must_use]
    pub fn labelled(labels: &[(&str, &str)]) -> Self {
        let term =
            |&(key, value): &(&str, &str)| LabelTerm::In(key.to_owned(), vec![value.to_owned()]);
        Self { labels: labels.iter().map(term).collect(), fields: Vec::new() }
    }

    /// Whether the object is selected.
    #[must_use]
    pub fn select(&self, object: &Value) -> bool {
        self.labels.iter().all(|term| term.holds(&object["metadata"]["labels"]))
            && self.fields.iter().all(|term| term.holds(object))
    }
}

impl LabelTerm {
    fn holds(&self, labels: &Value) -> bool {
        let label = |key: &str| labels[key].as_str();
        match self {
            Self::In(key, values) => {
                label(key).is_some_and(|found| values.iter().any(|value| value == found))
            }
            Self::NotIn(key, values) => {
                label(key).is_none_or(|found| values.iter().all(|value| value != found))
            }
            Self::Exists(key) => label(key).is_some(),
            Self::Absent(key) => label(key).is_none(),
        }
    }
}

/// The comma-separated terms; a comma inside parentheses separates values, not terms.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms.into_iter().map(str::trim).filter(|term| !term.is_empty()).collect()
}

fn label_term(term: &str) -> Result<LabelTerm, Status> {
    let own = |text: &str| text.trim().to_owned();
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(LabelTerm::NotIn(own(key), vec![own(value)]));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        if value.trim().starts_with('=') {
            return Err(Status::bad_request(
                "unable to parse requirement: found '=', expected: identifier",
            ));
        }
        return Ok(LabelTerm::In(own(key), vec![own(value)]));
    }
    if let Some((head, values)) = term.strip_suffix(')').and_then(|term| term.split_once('(')) {
        let values = values.split(',').map(own).collect();
        return match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Ok(LabelTerm::In(own(key), values)),
            [key, "notin"] => Ok(LabelTerm::NotIn(own(key), values)),
            _ => Err(Status::bad_request(format!("unable to parse requirement: {term:?}"))),
        };
    }
    match term.strip_prefix('!') {
        Some(key) => Ok(LabelTerm::Absent(own(key))),
        None if term.contains(char::is_whitespace) => {
            Err(Status::bad_request(format!("unable to parse requirement: {term:?}")))
        }
        None => Ok(LabelTerm::Exists(own(term))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resource::{Resource, builtin_kinds};
    use super::*;

    fn kind(resource: &Resource) -> Kind {
        let kind = builtin_kinds().into_iter().find(|kind| kind.resource == *resource);
        kind.expect("a built-in kind")
    }

    fn selects(labels: &str, fields: &str) -> bool {
        let pod = json!({
            "metadata": { "name": "web-1", "labels": { "app": "web", "tier": "front" } },
            "spec": { "nodeName": "node1" },
        });
        let selectors = Selectors::parse(&kind(&Resource::PODS), "v1", labels, fields);
        selectors.expect("a selector").select(&pod)
    }

    #[test]
    fn label_terms_are_all_required() {
        assert!(selects("app=web,tier in (front, back)", ""));
        assert!(selects("app==web,!gone,tier", ""));
        assert!(!selects("app=web,tier notin (front)", ""));
        assert!(!selects("app!=web", ""));
    }

    #[test]
    fn field_terms_compare_text() {
        assert!(selects("", "spec.nodeName=node1,metadata.name!=web-2"));
        assert!(!selects("", "status.phase=Running"));
    }

    #[test]
    fn a_flag_that_is_not_set_is_false() {
        assert!(selects("", "spec.hostNetwork=false"));
    }

    #[test]
    fn a_field_that_selects_nothing_is_refused_in_the_words_of_its_kind() {
        let refused = |resource: &Resource| {
            let refused = Selectors::parse(&kind(resource), "v1", "", "spec.colour=red");
            let refused = refused.expect_err("no such field");
            assert_eq!(refused.code, 400);
            refused.message
        };
        assert_eq!(refused(&Resource::SERVICES), "field label not supported: spec.colour");
        assert_eq!(
            refused(&Resource::LEASES),
            "\"spec.colour\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
}

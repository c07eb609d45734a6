//! The two messages that are read in protobuf, which kubectl's typed clients send whatever the server prefers:
//! `DeleteOptions`, with a deletion by `drain`, and `Namespace`, by `create namespace`.
//!
//! The numbers of the fields are those in `generated.proto` of `k8s.io/apimachinery` and `k8s.io/api`.

use serde_json::{Value, json};

/// The media type of Kubernetes' protobuf.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What Kubernetes puts before every message: these bytes, then an envelope that says in its first field what the
/// message in its second field is.
const MAGIC: &[u8] = b"k8s\0";

/// Reads `DeleteOptions` into their JSON form; `None` if these bytes are none.
pub(crate) fn delete_options(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let mut options = json!({});
    for (number, field) in fields(nested(&envelope, 2)?)? {
        match (number, field) {
            (1, Field::Number(seconds)) => options["gracePeriodSeconds"] = json!(seconds),
            (2, Field::Bytes(preconditions)) => {
                for (number, field) in fields(preconditions)? {
                    let name = if number == 1 { "uid" } else { "resourceVersion" };
                    options["preconditions"][name] = json!(field.text()?);
                }
            }
            (3, Field::Number(orphan)) => options["orphanDependents"] = json!(orphan != 0),
            (4, field) => options["propagationPolicy"] = json!(field.text()?),
            (5, field) => options["dryRun"] = json!([field.text()?]),
            _ => {}
        }
    }
    Some(options)
}

/// Reads a `Namespace` into its JSON form: its name, labels and annotations, which is what a client can say of it.
/// `None` if these bytes are none.
pub(crate) fn namespace(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let kind = fields(nested(&envelope, 1)?)?;
    if nested(&kind, 1)? != b"v1" || nested(&kind, 2)? != b"Namespace" {
        return None;
    }
    let object = fields(nested(&envelope, 2)?)?;
    let mut metadata = json!({});
    for (number, field) in fields(nested(&object, 1)?)? {
        match number {
            1 if !field.text()?.is_empty() => metadata["name"] = json!(field.text()?),
            2 if !field.text()?.is_empty() => metadata["generateName"] = json!(field.text()?),
            11 | 12 => {
                let entry = fields(field.bytes()?)?;
                let text = |number| str::from_utf8(nested(&entry, number).unwrap_or_default()).ok();
                let map = if number == 11 { "labels" } else { "annotations" };
                metadata[map][text(1)?] = json!(text(2)?);
            }
            _ => {}
        }
    }
    Some(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
}

/// The bytes of one field.
fn nested<'a>(fields: &[(u64, Field<'a>)], wanted: u64) -> Option<&'a [u8]> {
    fields.iter().find_map(|(number, field)| field.bytes().filter(|_| *number == wanted))
}

/// The value of one field; fixed-width ones do not occur here.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }

    fn text(&self) -> Option<&'a str> {
        self.bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }
}

/// The fields of a message, each with its number.
fn fields(mut rest: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (bytes, after) = rest.split_at_checked(length)?;
                rest = after;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        fields.push((tag >> 3, field));
    }
    Some(fields)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_deletion_are_read() {
        let message = b"\x08\xac\x02\x12\x05\x0a\x03abc\x22\x06Orphan\x2a\x03All";
        let length = u8::try_from(message.len()).expect("a short message");
        let envelope = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12";
        let body = [envelope, &[length][..], message].concat();
        let expected = json!({
            "gracePeriodSeconds": 300, "preconditions": { "uid": "abc" }, "propagationPolicy": "Orphan", "dryRun": ["All"],
        });
        assert_eq!(delete_options(&body), Some(expected));
    }

    #[test]
    fn a_namespace_is_read_with_what_a_client_can_say_of_it() {
        let body = |kind: &str| {
            let field = |number: u8, bytes: &[u8]| {
                let length = u8::try_from(bytes.len()).expect("a short field");
                [&[number << 3 | 2, length], bytes].concat()
            };
            let label = [field(1, b"rack"), field(2, b"a")].concat();
            let metadata = [field(1, b"green"), field(2, b""), field(11, &label)].concat();
            let object = [field(1, &metadata), field(2, b""), field(3, b"")].concat();
            let kind = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
            [MAGIC.to_vec(), field(1, &kind), field(2, &object)].concat()
        };
        let expected = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "green", "labels": { "rack": "a" } },
        });
        assert_eq!(namespace(&body("Namespace")), Some(expected));
        assert_eq!(namespace(&body("Service")), None);
    }

    #[test]
    fn cut_or_foreign_bytes_are_no_options() {
        assert_eq!(delete_options(b"{}"), None);
        assert_eq!(namespace(b"{}"), None);
        assert_eq!(namespace(b"k8s\0\x12\x05\x08"), None);
        assert_eq!(delete_options(b"k8s\0\x12\x05\x08"), None);
        assert_eq!(
            delete_options(b"k8s\0\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
    }
}

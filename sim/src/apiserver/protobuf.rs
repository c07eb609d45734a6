//! The one message that is read in protobuf: `DeleteOptions`, which kubectl's typed clients, such as `drain`,
//! send with a deletion whatever the server prefers.

use serde_json::{Value, json};

/// The media type of Kubernetes' protobuf.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What Kubernetes puts before every message: these bytes, then an envelope whose second field is the message.
const MAGIC: &[u8] = b"k8s\0";

/// Reads `DeleteOptions` into their JSON form; `None` if these bytes are none.
pub(crate) fn delete_options(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let message =
        envelope.iter().find_map(|(number, field)| field.bytes().filter(|_| *number == 2))?;
    let mut options = json!({});
    for (number, field) in fields(message)? {
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
    fn cut_or_foreign_bytes_are_no_options() {
        assert_eq!(delete_options(b"{}"), None);
        assert_eq!(delete_options(b"k8s\0\x12\x05\x08"), None);
        assert_eq!(
            delete_options(b"k8s\0\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
    }
}

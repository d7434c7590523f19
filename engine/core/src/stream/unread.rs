//! Fields of the schema that no message has: mostly a name that is spelled otherwise (`userid`, `userId`), which
//! would be a column of nulls for good.

use std::collections::BTreeSet;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use memchr::memmem;

use super::batch::Batch;
use crate::error::nearest;
use crate::source::RawRows;

/// Messages whose keys are looked at for a name that is like a missing one.
const SAMPLE: usize = 100;

/// A field that no message of a batch has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnreadField {
    /// Its name in the schema.
    pub(super) name: String,
    /// The key of the messages that is most like it and that the schema does not name.
    pub(super) near: Option<String>,
}

impl Batch<'_> {
    /// Once a run, as a schema does not change in it, by the first part that has messages.
    pub(super) fn warn_of_unread_fields(&self, raw: &[RawRows], rows: &RecordBatch) {
        if self.driver.done.rows > 0 {
            return;
        }
        let looked_at: usize = raw.iter().map(RawRows::len).sum();
        for field in unread_fields(raw, rows, self.plan.program.double_encoded) {
            let near = field.near.map(|near| format!("; they have `{near}`")).unwrap_or_default();
            let (batch_id, name) = (self.plan.batch_id, &field.name);
            tracing::warn!(
                batch_id,
                "none of {looked_at} messages has the field `{name}` of the schema{near}"
            );
        }
    }
}

/// The fields of which `rows`, as decoded, have nulls alone and which no message names.
pub(super) fn unread_fields(raw: &[RawRows], rows: &RecordBatch, double_encoded: bool) -> Vec<UnreadField> {
    let schema = rows.schema();
    let of_messages = |name: &str| !crate::decode::METADATA.contains(&name);
    let empty: Vec<&str> = (schema.fields().iter().zip(rows.columns()))
        .filter(|(field, column)| {
            of_messages(field.name()) && !column.is_empty() && column.null_count() == column.len()
        })
        .map(|(field, _)| field.name().as_str())
        .filter(|name| !is_named(raw, name))
        .collect();
    if empty.is_empty() {
        return Vec::new();
    }
    let mut keys = keys(raw, double_encoded);
    keys.retain(|key| schema.index_of(key).is_err());
    let near = |name: &str| {
        let same = keys.iter().find(|key| key.eq_ignore_ascii_case(name)).map(String::as_str);
        same.or_else(|| nearest(name, keys.iter().map(String::as_str))).map(String::from)
    };
    empty.iter().map(|name| UnreadField { name: (*name).to_owned(), near: near(name) }).collect()
}

/// Whether a message has the name between quotes, in whatever place.
fn is_named(raw: &[RawRows], name: &str) -> bool {
    let finder = memmem::Finder::new(name.as_bytes());
    payloads(raw).any(|payload| {
        finder.find_iter(payload).any(|at| {
            let after = payload.get(at + name.len());
            // A quote inside of a string, as in a message that is encoded twice, has a backslash before it.
            at > 0 && payload[at - 1] == b'"' && matches!(after, Some(b'"' | b'\\'))
        })
    })
}

/// Keys of the first messages.
fn keys(raw: &[RawRows], double_encoded: bool) -> BTreeSet<String> {
    type Object = serde_json::Map<String, serde_json::Value>;
    let object = |payload: &[u8]| -> Option<Object> {
        if double_encoded {
            let inner: String = serde_json::from_slice(payload).ok()?;
            return serde_json::from_str(&inner).ok();
        }
        serde_json::from_slice(payload).ok()
    };
    payloads(raw)
        .take(SAMPLE)
        .filter_map(object)
        .flat_map(|object| object.into_iter().map(|(key, _)| key))
        .collect()
}

fn payloads(raw: &[RawRows]) -> impl Iterator<Item = &[u8]> {
    raw.iter().flat_map(|rows| (0..rows.len()).filter_map(|at| rows.payload(at)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::decode::Decoder;

    fn unread(names: &[&str], messages: &[&str], double_encoded: bool) -> Vec<(String, Option<String>)> {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let decoder = Decoder::new(Arc::new(Schema::new(fields))).double_encoded(double_encoded);
        let mut rows = RawRows::new(0);
        for (offset, message) in (0..).zip(messages) {
            rows.push(offset, Some(0), Some(message.as_bytes()));
        }
        let raw = [rows];
        let decoded = decoder.decode(&raw, 0, "t").unwrap();
        let found = unread_fields(&raw, &decoded.rows, double_encoded);
        found.into_iter().map(|field| (field.name, field.near)).collect()
    }

    #[test]
    fn a_field_that_is_spelled_otherwise_is_named_with_what_is_there() {
        let messages = [r#"{"userId":"a","city":null,"amount":1}"#, r#"{"userId":"b","amounts":2}"#];
        let near = |name: &str, near: Option<&str>| (name.to_owned(), near.map(String::from));
        assert_eq!(
            unread(&["userid", "city", "amount", "zzz"], &messages, false),
            [near("userid", Some("userId")), near("zzz", None)],
            "a null is a value that a message has"
        );
        assert_eq!(unread(&["userId", "amount"], &messages, false), []);
        let twice = serde_json::to_string(messages[0]).unwrap();
        assert_eq!(unread(&["userid", "city"], &[&twice], true), [near("userid", Some("userId"))]);
    }

    #[test]
    fn no_message_says_nothing() {
        assert_eq!(unread(&["a"], &[], false), []);
        assert_eq!(unread(&["a"], &["not json"], false), []);
    }
}

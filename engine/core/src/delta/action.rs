//! The lines of a version: what a batch did to a table, as Delta writes it. Fields stand in the order of their names.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::records::FileEntry;
use crate::table::partitioned::{NULL_VALUE, folder_value};
use crate::table::versioned::carried_over;

/// The feature that no other engine knows, and that one has to know who wants to write.
const OWN_FEATURE: &str = "tidemill";
const NTZ_FEATURE: &str = "timestampNtz";

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Action {
    CommitInfo(CommitInfo),
    Protocol(Protocol),
    MetaData(MetaData),
    Txn(Txn),
    Add(Add),
    Remove(Remove),
}

/// When and by what; the first line of each version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitInfo {
    pub(super) engine_info: String,
    pub(super) in_commit_timestamp: i64,
    pub(super) operation: String,
    pub(super) operation_parameters: BTreeMap<String, String>,
    pub(super) timestamp: i64,
}

/// What one has to know to read, or to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: i32,
    pub(super) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reader_features: Option<Vec<String>>,
    pub(super) writer_features: Vec<String>,
}

impl Protocol {
    /// That of a table which has, or has not, a column of timestamps without a zone.
    pub(super) fn of(has_ntz: bool) -> Protocol {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        match has_ntz {
            true => Protocol {
                min_reader_version: 3,
                min_writer_version: 7,
                reader_features: Some(names(&[NTZ_FEATURE])),
                writer_features: names(&["inCommitTimestamp", OWN_FEATURE, NTZ_FEATURE]),
            },
            false => Protocol {
                min_reader_version: 1,
                min_writer_version: 7,
                reader_features: None,
                writer_features: names(&["inCommitTimestamp", OWN_FEATURE]),
            },
        }
    }
}

/// The table itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaData {
    pub(super) configuration: BTreeMap<String, String>,
    pub(super) format: Format,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) partition_columns: Vec<String>,
    pub(super) schema_string: String,
}

/// What the files are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Format {
    pub(super) options: BTreeMap<String, String>,
    pub(super) provider: String,
}

impl MetaData {
    pub(super) fn new(id: String, name: &str, schema_string: String) -> MetaData {
        MetaData {
            configuration: BTreeMap::from([("delta.enableInCommitTimestamps".into(), "true".into())]),
            format: Format { options: BTreeMap::new(), provider: "parquet".into() },
            id,
            name: name.to_owned(),
            partition_columns: Vec::new(),
            schema_string,
        }
    }
}

/// Which batch of which query it is, or which build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: String,
    pub(super) last_updated: i64,
    pub(super) version: u64,
}

/// A file that counts from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    pub(super) data_change: bool,
    pub(super) modification_time: i64,
    pub(super) partition_values: BTreeMap<String, Option<String>>,
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) stats: String,
}

/// A file that counts no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    pub(super) data_change: bool,
    pub(super) deletion_timestamp: i64,
    pub(super) extended_file_metadata: bool,
    pub(super) partition_values: BTreeMap<String, Option<String>>,
    pub(super) path: String,
    pub(super) size: u64,
}

/// Lines, as a version is written.
///
/// # Errors
/// Internal: never, by the types of the fields.
pub(super) fn text(actions: &[Action]) -> Result<String> {
    let mut text = String::new();
    for action in actions {
        let line =
            serde_json::to_string(action).map_err(|e| Error::internal(format!("a Delta action: {e}")))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// What stays as it is in a path: `=` is between a column and its value, `/` between folders.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'=').remove(b'/');

/// Where a listed file is below its table's folder, as Delta writes paths: a URL, of the folders' names as they are, escapes of
/// their own and all.
///
/// # Errors
/// Internal: it is not below it.
pub(super) fn path_in(root: &str, file: &FileEntry) -> Result<String> {
    let path = carried_over(&file.path).unwrap_or_else(|| file.path.clone());
    let below = path.strip_prefix(root).and_then(|below| below.strip_prefix('/'));
    let below = below.ok_or_else(|| Error::internal(format!("{} is not in {root}", file.path)))?;
    Ok(utf8_percent_encode(below, ESCAPED).to_string())
}

/// What the folders of a listed file say of its rows: raw text, or nothing for null.
pub(super) fn partition_values(file: &FileEntry) -> BTreeMap<String, Option<String>> {
    let folders = file.path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let values = folders.split('/').filter_map(folder_value);
    values.map(|(column, value)| (column, (value != NULL_VALUE).then_some(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> FileEntry {
        FileEntry { table: "j.t".into(), path: path.into(), rows: 1, bytes: 1, xxh3: String::new() }
    }

    #[test]
    fn paths_are_below_the_table_and_escaped_once_more() {
        // By the protocol: RFC 2396, of the path as it is on the disk.
        for (path, expected) in [
            ("batch-00000007_0001.parquet", "batch-00000007_0001.parquet"),
            ("k=a b%2F/x.parquet", "k=a%20b%252F/x.parquet"),
            ("k=ü%3A=/x.parquet", "k=%C3%BC%253A=/x.parquet"),
            ("k=a:b#c?d+e/x.parquet", "k=a%3Ab%23c%3Fd%2Be/x.parquet"),
        ] {
            assert_eq!(path_in("j/t", &file(&format!("j/t/{path}"))).unwrap(), expected);
        }
        assert!(path_in("j/t", &file("j/tt/x.parquet")).is_err());
    }

    #[test]
    fn values_of_folders_are_raw() {
        let values = partition_values(&file("j/t/a=x y%2F%C3%BC/b=__HIVE_DEFAULT_PARTITION__/c=/x.parquet"));
        let expected = [("a", Some("x y/ü")), ("b", None), ("c", Some(""))];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(values, BTreeMap::from(expected));
        assert!(partition_values(&file("j/t/x=1.parquet")).is_empty());
    }

    #[test]
    fn lines_have_sorted_keys_and_come_back() {
        let actions = [
            Action::CommitInfo(CommitInfo {
                engine_info: "tidemill".into(),
                in_commit_timestamp: 7,
                operation: "STREAMING UPDATE".into(),
                operation_parameters: BTreeMap::from([("epochId".into(), "3".into())]),
                timestamp: 7,
            }),
            Action::Protocol(Protocol::of(true)),
            Action::Protocol(Protocol::of(false)),
            Action::MetaData(MetaData::new("id".into(), "j.t", "{}".into())),
            Action::Txn(Txn { app_id: "q:j.t".into(), last_updated: 7, version: 3 }),
            Action::Add(Add {
                data_change: true,
                modification_time: 7,
                partition_values: BTreeMap::new(),
                path: "x.parquet".into(),
                size: 1,
                stats: "{}".into(),
            }),
            Action::Remove(Remove {
                data_change: false,
                deletion_timestamp: 7,
                extended_file_metadata: true,
                partition_values: BTreeMap::new(),
                path: "x.parquet".into(),
                size: 1,
            }),
        ];
        let text = text(&actions).unwrap();
        for (line, action) in text.lines().zip(&actions) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), line, "a map of serde_json is sorted");
            assert_eq!(&serde_json::from_str::<Action>(line).unwrap(), action);
        }
        assert!(
            text.starts_with(r#"{"commitInfo":{"engineInfo":"tidemill","inCommitTimestamp":7,"#),
            "{text}"
        );
        assert!(text.contains(r#"{"metaData":{"configuration":{"delta.enableInCommitTimestamps":"true"},"#));
        assert!(text.contains(r#""minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["#));
    }
}

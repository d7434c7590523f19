//! Formats of records: which there are, and what became of a field from one to the next.
//!
//! Each release reads the records of the two before it, and writes its own. The formats, and what wrote them:
//!
//! | format | |
//! | --- | --- |
//! | 1 | until November 2026: one `topic` beside its `partitions`, the fields of `program` each by itself |
//! | 2 | early December 2026: `topics`, `program`, `made_by` in plans, `steps` in learn records, `first` and `snapshot` where a list is cut |
//! | 3 | since: `crc32c` in each record; records of compactions |
//!
//! A driver, or a run of a batch job, carries its job's lake over when it starts: the `format` of `query.json` is raised before
//! its first record is written (see `checkpoint`), which an older version refuses to go on from. Records never change, so those
//! that are there stay as they are, and reading them gives what reading their like of the newest format does.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;

/// The format number of every record that this version writes.
pub const FORMAT: u32 = 3;

/// The first format whose records have a checksum.
pub(super) const FIRST_SEALED: u32 = 3;

/// The formats that this version reads.
pub(crate) const FORMATS: RangeInclusive<u32> = 1..=FORMAT;

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned {
    /// Makes the fields of a record of format 1 those of later ones.
    fn upgrade(_fields: &mut Map<String, Value>) {}

    /// What there is of the records of its list before it.
    fn before(&self) -> Before {
        Before::default()
    }
}

/// What there is of the records before one, where they are not all there. This version cuts no list, writes neither, and refuses
/// a record that has one: what the records said that are gone is in a snapshot, which it cannot read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The oldest that is there: where the list begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Number of the newest snapshot, which says what those that are gone did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
}

/// A record as it is written.
#[derive(Serialize)]
pub(super) struct Written<'a, R> {
    pub(super) format: u32,
    #[serde(flatten)]
    pub(super) record: &'a R,
}

/// The error of a record that has a part which this version cannot read.
pub(super) fn cut(path: &Path) -> Error {
    let what = format!(
        "{} says that records before it are kept in a snapshot, which cannot be read",
        path.display()
    );
    Error::corrupt(what).hint(NEWER)
}

const NEWER: &str = "it was written by a newer version of Tidemill: use that one";

/// The error of a file of another format.
pub(crate) fn newer(path: &Path, format: u64) -> Error {
    let (oldest, newest) = FORMATS.into_inner();
    let what = format!("{} has format {format}, this version reads {oldest} to {newest}", path.display());
    match format > u64::from(newest) {
        true => Error::corrupt(what).hint(NEWER),
        false => Error::corrupt(what).hint(
            "it was written by an older version of Tidemill: a version between the two carries the lake over",
        ),
    }
}

/// Takes fields out of others.
pub(super) fn take(fields: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| fields.remove_entry(*name)).collect()
}

/// A list of one: records have a list of topics, and a job of this version reads one.
pub(super) mod only {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    pub(in crate::records) fn serialize<T, S>(one: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        [one].serialize(serializer)
    }

    pub(in crate::records) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let mut all = Vec::<T>::deserialize(deserializer)?;
        match (all.pop(), all.len()) {
            (Some(one), 0) => Ok(one),
            (_, others) => Err(D::Error::custom(format!(
                "it is of {} topics, and this version of Tidemill reads one a job",
                if others == 0 { 0 } else { others + 1 }
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::list::text_of;
    use super::super::{Commit, Learn, Mark, Plan, TopicRead, parse};
    use super::*;

    fn read<R: Record>(record: &Value) -> crate::error::Result<R> {
        parse(Path::new("7.json"), 7, &serde_json::to_vec(record).unwrap())
    }

    /// As a version wrote it that knew format 1 alone, with every field that such a plan could have.
    fn plan_of_format_1() -> Value {
        json!({
            "format": 1, "batch_id": 7, "query_id": "q", "now": "2026-11-30T12:00:00.000Z",
            "cluster_id": "c", "topic": "t", "topic_id": "i",
            "partitions": [{"partition": 0, "from": 3, "to": 9}],
            "data_loss": [{"partition": 0, "from": 1, "to": 3, "reason": "deleted"}],
            "cut_off": {"0": 4}, "most": {"0": 5},
            "schema_sql": "CREATE TABLE t (n INT)", "transform_sql": "SELECT n FROM batch", "models": [],
            "double_encoded": true, "views": {"v": "SELECT 1"}, "aliases": 2,
        })
    }

    /// The example of this module's page.
    fn example() -> Value {
        let page = include_str!("mod.rs");
        let text: String = page
            .lines()
            .skip_while(|line| *line != "//! ```json")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_plan_of_format_1_is_what_its_like_of_format_2_is() {
        let old: Plan = read(&plan_of_format_1()).unwrap();
        assert_eq!((old.topic.name.as_str(), old.topic.id.as_deref()), ("t", Some("i")));
        assert_eq!((old.topic.cut_off[&0], old.topic.most[&0], old.topic.data_loss.len()), (4, 5, 1));
        assert_eq!((old.offsets(), old.aliases, &old.made_by), (6, 2, &None));
        assert!(old.program.double_encoded && old.program.views["v"] == "SELECT 1");
        assert_eq!(old.program.transform_sql.as_deref(), Some("SELECT n FROM batch"));
        let new = serde_json::to_value(Written { format: FORMAT, record: &old }).unwrap();
        assert_eq!(new["topics"][0]["partitions"], json!([{"partition": 0, "from": 3, "to": 9}]));
        assert_eq!(read::<Plan>(&new).unwrap(), old);
    }

    #[test]
    fn a_commit_of_format_1_is_what_its_like_of_format_2_is() {
        let counts = json!({"rows_read": 1, "dead_letters": 0, "rows_out": 1, "data_loss": 0});
        let mut old = json!({
            "format": 1, "batch_id": 7, "query_id": "q", "added": [], "removed": [], "watermark": null,
            "counts": counts, "ends": {"1": 5}, "marks": {"0": {"offset": 8, "timestamp": 1, "xxh3": null}},
            "condemned": [{"partition": 0, "offset": 8, "reason": "r"}],
        });
        let commit: Commit = read(&old).unwrap();
        let mark = Mark { offset: 8, timestamp: Some(1), xxh3: None };
        assert_eq!((commit.read.ends[&1], &commit.read.marks[&0]), (5, &mark));
        assert_eq!(commit.read.condemned[0].offset, 8);
        let new = serde_json::to_value(Written { format: FORMAT, record: &commit }).unwrap();
        assert_eq!(new["topics"][0]["ends"], json!({"1": 5}));
        assert_eq!(read::<Commit>(&new).unwrap(), commit);
        for field in ["ends", "marks", "condemned"] {
            old.as_object_mut().unwrap().remove(field);
        }
        let none: Commit = read(&old).unwrap();
        assert_eq!(none.read, TopicRead::default());
        let new = serde_json::to_value(Written { format: FORMAT, record: &none }).unwrap();
        assert!(new.get("topics").is_none() && read::<Commit>(&new).unwrap() == none);
    }

    #[test]
    fn the_example_is_a_plan_as_it_is_written() {
        let mut example = example();
        // Of the plan as it is laid out in its file.
        let sum = example.as_object_mut().unwrap().remove("crc32c").unwrap();
        let plan: Plan = read(&example).unwrap();
        let text = text_of(FORMAT, &plan).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["crc32c"], sum);
        assert_eq!(serde_json::to_value(Written { format: FORMAT, record: &plan }).unwrap(), example);
        assert_eq!(plan.offsets(), 10_000);
    }

    #[test]
    fn other_formats_are_told_by_which_side_they_are_of() {
        for (format, side) in [(0, "an older version"), (u64::from(FORMAT) + 1, "a newer version")] {
            let error = read::<Learn>(&json!({ "format": format, "batch_id": 7 })).unwrap_err();
            assert!(error.to_string().contains(&format!("7.json has format {format}")), "{error}");
            assert!(error.next_step().unwrap().contains(side), "{error}");
        }
    }

    #[test]
    fn several_topics_are_told_and_none_is_left_out() {
        let mut plan = example();
        // One without a checksum is not compared with it.
        plan.as_object_mut().unwrap().remove("crc32c");
        let topic = plan["topics"][0].clone();
        plan["topics"].as_array_mut().unwrap().push(topic);
        let error = read::<Plan>(&plan).unwrap_err().to_string();
        assert!(error.contains("it is of 2 topics, and this version"), "{error}");
        plan["topics"] = json!([]);
        let error = read::<Plan>(&plan).unwrap_err().to_string();
        assert!(error.contains("it is of 0 topics"), "{error}");
    }
}

//! A checkpoint: the table itself and all files that count at a version, in one Parquet file.
//!
//! The next one is made of the one before and the versions since, so that no file of rows is opened for it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StructArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::action::{Action, Add, text};
use crate::error::{Error, Result, io_error};
use crate::table::write::parquet_bytes;

fn field(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn group(name: &str, fields: Vec<Field>) -> Field {
    field(name, DataType::Struct(fields.into()))
}

fn texts(name: &str) -> Field {
    field(name, DataType::List(Arc::new(field("element", DataType::Utf8))))
}

/// A map of texts, by the names that Parquet has for its parts.
fn map(name: &str) -> Field {
    let entries = vec![Field::new("key", DataType::Utf8, false), field("value", DataType::Utf8)];
    let entries = Field::new("key_value", DataType::Struct(entries.into()), false);
    field(name, DataType::Map(Arc::new(entries), false))
}

/// The columns of a checkpoint: one a kind of action, of which each line has one.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let (text, long) = (DataType::Utf8, DataType::Int64);
    let columns = vec![
        group(
            "txn",
            vec![
                field("appId", text.clone()),
                field("version", long.clone()),
                field("lastUpdated", long.clone()),
            ],
        ),
        group(
            "add",
            vec![
                field("path", text.clone()),
                map("partitionValues"),
                field("size", long.clone()),
                field("modificationTime", long.clone()),
                field("dataChange", DataType::Boolean),
                field("stats", text.clone()),
            ],
        ),
        group(
            "remove",
            vec![
                field("path", text.clone()),
                field("deletionTimestamp", long.clone()),
                field("dataChange", DataType::Boolean),
                field("extendedFileMetadata", DataType::Boolean),
                map("partitionValues"),
                field("size", long),
            ],
        ),
        group(
            "metaData",
            vec![
                field("id", text.clone()),
                field("name", text.clone()),
                group("format", vec![field("provider", text.clone()), map("options")]),
                field("schemaString", text),
                texts("partitionColumns"),
                map("configuration"),
            ],
        ),
        group(
            "protocol",
            vec![
                field("minReaderVersion", DataType::Int32),
                field("minWriterVersion", DataType::Int32),
                texts("readerFeatures"),
                texts("writerFeatures"),
            ],
        ),
    ];
    Arc::new(Schema::new(columns))
});

/// What a checkpoint says.
#[derive(Debug)]
pub(super) struct Checkpoint(RecordBatch);

impl Checkpoint {
    /// One of these lines: the table itself, and files.
    ///
    /// # Errors
    /// Internal: never, by the types of the lines.
    pub(super) fn new(head: &[Action], adds: impl IntoIterator<Item = Add>) -> Result<Checkpoint> {
        Ok(Checkpoint(concat_batches(&SCHEMA, &[lines(head)?, of_adds(adds)?])?))
    }

    /// The next one: other lines for the table itself, without some of the files (by their paths) and with others.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn next(
        &self,
        head: &[Action],
        adds: impl IntoIterator<Item = Add>,
        removed: &BTreeSet<String>,
    ) -> Result<Checkpoint> {
        let paths = self.adds()?.0;
        let stays = |path: Option<&str>| path.is_some_and(|path| !removed.contains(path));
        let stay: BooleanArray = paths.as_string::<i32>().iter().map(|path| Some(stays(path))).collect();
        let files = filter_record_batch(&self.0, &stay)?;
        Ok(Checkpoint(concat_batches(&SCHEMA, &[lines(head)?, files, of_adds(adds)?])?))
    }

    /// As bytes of a file.
    ///
    /// # Errors
    /// Storage: never, by the types of the columns.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        parquet_bytes(&self.0)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Storage; Corrupt: it is none of this stream's.
    pub(super) fn read(path: &Path) -> Result<Checkpoint> {
        let file = File::open(path).map_err(|e| io_error("open", path, &e))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let is_known = builder.schema().fields() == SCHEMA.fields();
        if !is_known {
            return Err(Error::corrupt(format!("{} has other columns", path.display())));
        }
        let parts = builder.build()?.collect::<Result<Vec<_>, _>>()?;
        Ok(Checkpoint(concat_batches(&SCHEMA, &parts)?))
    }

    /// How many lines it has, and how many of them are files.
    pub(super) fn counts(&self) -> Result<(usize, usize)> {
        Ok((self.0.num_rows(), self.0.num_rows() - self.adds()?.0.null_count()))
    }

    /// The lines before the files.
    ///
    /// # Errors
    /// Corrupt: they are none of this stream's.
    pub(super) fn head(&self) -> Result<Vec<Action>> {
        let paths = self.adds()?.0;
        let count = (0..paths.len()).take_while(|line| paths.is_null(*line)).count();
        let mut bytes = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut bytes);
        writer.write(&self.0.slice(0, count))?;
        writer.finish()?;
        let foreign = |e| Error::corrupt(format!("a checkpoint's line: {e}"));
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(foreign))
            .collect()
    }

    /// Path and size of each file.
    ///
    /// # Errors
    /// Internal: never, by the columns.
    pub(super) fn files(&self) -> Result<Vec<(String, u64)>> {
        let (paths, sizes) = self.adds()?;
        let cells = paths.as_string::<i32>().iter().zip(sizes.as_primitive::<Int64Type>());
        Ok(cells.filter_map(|(path, size)| Some((path?.to_owned(), u64::try_from(size?).ok()?))).collect())
    }

    fn adds(&self) -> Result<(Arc<dyn Array>, Arc<dyn Array>)> {
        let adds: Option<&StructArray> =
            self.0.column_by_name("add").and_then(|column| column.as_struct_opt());
        let both = adds.and_then(|adds| {
            Some((adds.column_by_name("path")?.clone(), adds.column_by_name("size")?.clone()))
        });
        both.ok_or_else(|| Error::internal("a checkpoint without files"))
    }
}

/// Files as a checkpoint has them, of which none is new.
fn of_adds(adds: impl IntoIterator<Item = Add>) -> Result<RecordBatch> {
    let adds: Vec<Action> =
        adds.into_iter().map(|add| Action::Add(Add { data_change: false, ..add })).collect();
    lines(&adds)
}

fn lines(actions: &[Action]) -> Result<RecordBatch> {
    let mut decoder =
        ReaderBuilder::new(SCHEMA.clone()).with_batch_size(actions.len().max(1)).build_decoder()?;
    let text = text(actions)?;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match decoder.decode(rest)? {
            0 => return Err(Error::internal("lines of a checkpoint that are too many")),
            read => rest = &rest[read..],
        }
    }
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(SCHEMA.clone())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::action::{MetaData, Protocol, Txn};
    use super::*;

    fn add(number: u64) -> Add {
        Add {
            data_change: true,
            modification_time: 7,
            partition_values: BTreeMap::from([("k".into(), None), ("l".into(), Some("x/ü".into()))]),
            path: format!("batch-{number:08}.parquet"),
            size: number,
            stats: "{\"numRecords\":1}".into(),
        }
    }

    fn head(version: u64) -> Vec<Action> {
        vec![
            Action::Protocol(Protocol::of(version > 100)),
            Action::MetaData(MetaData::new("id".into(), "j.t", "{}".into())),
            Action::Txn(Txn { app_id: "q:j.t".into(), last_updated: 7, version }),
        ]
    }

    #[test]
    fn what_is_written_is_read_again_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let first = Checkpoint::new(&head(100), (0..3_000).map(add)).unwrap();
        std::fs::write(&path, first.bytes().unwrap()).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.head().unwrap(), head(100));
        assert_eq!(read.counts().unwrap(), (3_003, 3_000));
        assert_eq!(read.bytes().unwrap(), first.bytes().unwrap());
        let removed = (0..2_999).map(|number| add(number).path).collect();
        let next = read.next(&head(200), [add(5_000)], &removed).unwrap();
        assert_eq!(next.head().unwrap(), head(200));
        assert_eq!(next.files().unwrap(), [(add(2_999).path, 2_999), (add(5_000).path, 5_000)]);
        // However it came about, it is the same.
        assert_eq!(
            Checkpoint::new(&head(200), [add(2_999), add(5_000)]).unwrap().bytes().unwrap(),
            next.bytes().unwrap()
        );
    }

    #[test]
    fn what_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(Checkpoint::read(&path).is_err());
        let whole = Checkpoint::new(&head(1), [add(1)]).unwrap().bytes().unwrap();
        for bytes in [&whole[..0], &whole[..whole.len() / 2], &whole[..whole.len() - 1]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(Checkpoint::read(&path).is_err());
        }
        let other =
            RecordBatch::try_from_iter([("a", Arc::new(BooleanArray::from(vec![true])) as _)]).unwrap();
        std::fs::write(&path, parquet_bytes(&other).unwrap()).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("other columns"));
    }
}

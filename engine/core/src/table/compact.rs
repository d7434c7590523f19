//! Many small files of a table made one large one, with the same rows in the same order.
//!
//! ```text
//! batch-00000000.parquet … batch-00000099.parquet         100 files of batches, once all are learned from
//!   └─> batch-00000000.compact-00000000.parquet ─┐
//! batch-00000100.compact-00000001.parquet …      ┼─> batch-00000000.compact-00000099.parquet
//! ```
//!
//! Of the files of a span of batches (100, 10,000, 1,000,000) those become one that follow one another, have the same columns and
//! are not larger together than they shall be; a file that is alone stays. So a row is written anew three times at most. The
//! bytes are a function of the files.
//!
//! What was taken out can be read for a while yet by whoever has planned on it. A file of rows stays where it is, as versions of
//! the table's Delta log name it; one of a system table, which only globs find, is taken out of their sight. [`vacuum`] removes
//! both. Whoever wants the rows of a batch by the name of its file finds them in what the file has become (`read`).

use std::fs::File;
use std::time::{Duration, SystemTime};

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::publish::{discard, is_there, roll_forward, set_aside, stage};
use super::read::{checked_path, read_parts};
use super::write::parquet_writer;
use crate::error::{Context, Error, Result, io_error};
use crate::lake::{Lake, compacted_file_name};
use crate::records::{Compaction, FileEntry, Ledger, Listed, Merged, RecordList};

/// Rows that are read at a time.
const PART_ROWS: usize = 1 << 16;

/// Files that will be one.
struct Run<'a> {
    schema: SchemaRef,
    bytes: u64,
    files: Vec<&'a Listed>,
}

/// Makes and stages what the compaction of this number makes of the files of all tables. A file has at most `target_bytes`, unless
/// it was larger before.
///
/// # Errors
/// Storage; Corrupt: a file is not what its record says.
pub(crate) fn merge(lake: &Lake, ledger: &Ledger, number: u64, target_bytes: u64) -> Result<Vec<Merged>> {
    let batches = Compaction::first_batch(number)..Compaction::due(number);
    let mut merged: Vec<Merged> = Vec::new();
    for (table, files) in ledger.tables() {
        let of_span =
            files.iter().filter(|file| batches.contains(&file.record) && batches.contains(&file.last));
        for run in runs(lake, of_span, target_bytes)? {
            let (Some(first), Some(last)) = (run.files.first(), run.files.last()) else { continue };
            let folder = first.file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let is_same = |of: &&Merged| of.into.table == table && of.first == first.record;
            let part = merged.iter().filter(is_same).count();
            let path = format!("{folder}/{}", compacted_file_name(first.record, number, part));
            let (bytes, rows) = together(lake, &run)?;
            merged.push(Merged {
                first: first.record,
                last: last.last,
                into: stage(lake, table, &path, &bytes, rows)?,
                of: run.files.iter().map(|listed| listed.file.clone()).collect(),
            });
        }
    }
    Ok(merged)
}

fn is_of_system(table: &str) -> bool {
    table.starts_with("system.")
}

/// The files that will be one, of some that follow one another.
fn runs<'a>(lake: &Lake, files: impl Iterator<Item = &'a Listed>, target_bytes: u64) -> Result<Vec<Run<'a>>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for listed in files {
        let schema = columns(lake, &listed.file)?;
        let bytes = listed.file.bytes;
        match runs.last_mut() {
            Some(run) if run.schema == schema && run.bytes + bytes <= target_bytes => {
                run.bytes += bytes;
                run.files.push(listed);
            }
            _ => runs.push(Run { schema, bytes, files: vec![listed] }),
        }
    }
    runs.retain(|run| run.files.len() > 1);
    Ok(runs)
}

/// The columns of a file, as its footer has them.
fn columns(lake: &Lake, file: &FileEntry) -> Result<SchemaRef> {
    let path = checked_path(lake, file)?;
    let opened = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
    let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default());
    Ok(metadata.context_with(|| path.display().to_string())?.schema().clone())
}

/// The bytes of the file that a run becomes, and its rows.
fn together(lake: &Lake, run: &Run<'_>) -> Result<(Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    let mut writer = parquet_writer(&mut bytes, run.schema.clone())?;
    let mut rows = 0;
    for listed in &run.files {
        read_parts(lake, &listed.file, PART_ROWS, |part| {
            rows += part.num_rows() as u64;
            Ok(writer.write(&part)?)
        })?;
    }
    writer.close()?;
    let listed: u64 = run.files.iter().map(|listed| listed.file.rows).sum();
    if rows != listed {
        let from = run.files.first().map(|listed| listed.file.path.clone()).unwrap_or_default();
        return Err(Error::corrupt(format!(
            "the files from {from} on have {rows} rows, their records say {listed}"
        )));
    }
    Ok((bytes, rows))
}

/// Makes visible what a compaction has made, and takes out of sight what it has taken out, as far as globs shall not find it. It
/// can be repeated.
///
/// # Errors
/// Corrupt: a file that it has made is not there; Storage.
pub(crate) fn publish(lake: &Lake, compaction: &Compaction) -> Result<()> {
    let added: Vec<FileEntry> = compaction.added().cloned().collect();
    roll_forward(lake, &added)?;
    compaction.removed().filter(|file| is_of_system(&file.table)).try_for_each(|file| set_aside(lake, file))
}

/// Removes the files that compactions have taken out so long ago, the oldest first; `after_each` is called after each. `committed`
/// is how many batches are committed: files are left that the table's Delta log may name yet.
///
/// # Errors
/// Storage; what `after_each` says.
pub(crate) fn vacuum(
    lake: &Lake,
    compactions: &RecordList<Compaction>,
    committed: u64,
    retained: Duration,
    mut after_each: impl FnMut() -> Result<()>,
) -> Result<u64> {
    let mut old: Vec<Vec<FileEntry>> = Vec::new();
    for number in compactions.numbers()?.rev() {
        let written = compactions.written(number).unwrap_or_else(SystemTime::now);
        // A clock that went back keeps them longer.
        if written.elapsed().unwrap_or_default() < retained {
            continue;
        }
        let compaction = compactions.read(number)?;
        if compaction.committed >= committed {
            continue;
        }
        let left: Vec<FileEntry> =
            compaction.removed().filter(|file| is_there(lake, file)).cloned().collect();
        // Those of older ones went before.
        if left.is_empty() && !compaction.merged.is_empty() {
            break;
        }
        old.push(left);
    }
    let mut removed = 0;
    for file in old.iter().rev().flatten() {
        discard(lake, file)?;
        removed += 1;
        after_each()?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::records::Commit;
    use crate::table::became::is_taken_out;
    use crate::table::read::{read_rows, read_schema};
    use crate::table::write::parquet_bytes;

    fn rows(batch: u64, has_text: bool) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![batch as i64; 3]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("é")]));
        let columns = [("n", numbers), ("t", texts)];
        RecordBatch::try_from_iter(columns.into_iter().take(1 + usize::from(has_text))).unwrap()
    }

    /// A job of 300 batches that are learned from, of which those from 50 to 59 have a column less, and 80 has no rows.
    fn lake(folder: &std::path::Path) -> (Lake, Vec<FileEntry>) {
        let lake = Lake::new(folder);
        let checkpoint = lake.checkpoint("j");
        let commits = RecordList::<Commit>::open(checkpoint.join("commits")).unwrap();
        for list in ["offsets", "learn"] {
            std::fs::create_dir_all(checkpoint.join(list)).unwrap();
        }
        let mut files = Vec::new();
        for number in 0..300 {
            let mut commit = Commit::of_nothing(number);
            if number != 80 {
                let bytes = parquet_bytes(&rows(number, !(50..60).contains(&number))).unwrap();
                let path = format!("j/t/batch-{number:08}.parquet");
                commit.added.push(stage(&lake, "j.t", &path, &bytes, 3).unwrap());
            }
            commits.create(number, &commit).unwrap();
            roll_forward(&lake, &commit.added).unwrap();
            files.extend(commit.added);
            std::fs::write(checkpoint.join(format!("offsets/{number}.json")), "").unwrap();
            let learn =
                format!(r#"{{"format":2,"batch_id":{number},"query_id":"q","models":[],"added":[]}}"#);
            std::fs::write(checkpoint.join(format!("learn/{number}.json")), learn).unwrap();
        }
        (lake, files)
    }

    fn write(lake: &Lake, number: u64, target_bytes: u64) -> Compaction {
        let ledger = Ledger::of(lake, "j").unwrap();
        let merged = merge(lake, &ledger, number, target_bytes).unwrap();
        let record = Compaction { number, query_id: "q".into(), committed: 200, merged };
        let records = RecordList::<Compaction>::open(lake.checkpoint("j").join("compactions")).unwrap();
        records.create(number, &record).unwrap();
        publish(lake, &record).unwrap();
        record
    }

    #[test]
    fn files_of_the_same_columns_become_one_and_their_rows_are_found_by_their_former_names() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, files) = lake(folder.path());
        let first = write(&lake, 0, 1 << 30);
        let spans: Vec<_> = first.merged.iter().map(|m| (m.first, m.last, m.of.len(), m.into.rows)).collect();
        assert_eq!(spans, [(0, 49, 50, 150), (50, 59, 10, 30), (60, 99, 39, 117)]);
        let again = merge(&lake, &Ledger::default(), 0, 1 << 30).unwrap();
        assert!(again.is_empty(), "there is nothing left to be merged");
        // As large as two of them, and no larger.
        let bytes = files[100].bytes;
        let second = write(&lake, 1, 2 * bytes + 1);
        assert_eq!(second.merged.len(), 50);
        assert!(second.merged.iter().all(|merged| merged.of.len() == 2));

        let records = RecordList::<Compaction>::read_only(lake.checkpoint("j").join("compactions"));
        let all = |retained| vacuum(&lake, &records, 300, retained, || Ok(())).unwrap();
        assert_eq!(all(Duration::from_secs(3_600)), 0);
        assert_eq!(
            vacuum(&lake, &records, 200, Duration::ZERO, || Ok(())).unwrap(),
            0,
            "Delta names them yet"
        );
        // A start after one that died in it goes on where that was.
        let mut left = 3;
        let died = vacuum(&lake, &records, 300, Duration::ZERO, || {
            left -= 1;
            if left == 0 { Err(Error::internal("died")) } else { Ok(()) }
        });
        assert!(died.is_err());
        assert_eq!(all(Duration::ZERO), 199 - 3);
        assert_eq!(all(Duration::ZERO), 0);
        for file in &files {
            let batch: u64 = file.path["j/t/batch-".len()..][..8].parse().unwrap();
            assert_eq!(lake.resolve(&file.path).is_file(), batch >= 200);
            let expected = rows(batch, !(50..60).contains(&batch));
            assert_eq!(read_rows(&lake, file).unwrap(), expected, "{batch}");
            assert_eq!(read_schema(&lake, file).unwrap(), expected.schema());
            assert_eq!(is_taken_out(&lake, "j", &file.path).unwrap(), batch < 200);
        }
        // One that nothing took is missed.
        std::fs::remove_file(lake.resolve(&files[250].path)).unwrap();
        assert!(read_rows(&lake, &files[250]).unwrap_err().to_string().contains("listed but is not there"));
    }
}

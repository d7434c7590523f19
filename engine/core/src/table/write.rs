//! Rows to the bytes of Parquet files: the same rows give the same bytes, always.
//!
//! A batch is one file as long as its rows are not many or large. Where the next one begins, the rows alone say, not the
//! parts that they come in: so a batch that is run again, with other memory or threads, makes the same files.

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::Result;

/// Encodes a batch. Nothing of the process (time, version, host) is in the file.
///
/// # Errors
/// Storage, if a column's type has no Parquet form.
pub fn parquet_bytes(batch: &RecordBatch) -> Result<Vec<u8>> {
    parquet_of_parts(batch.schema(), 0, std::iter::once(Ok(batch.clone())))
}

/// Encodes rows that come in parts. The same parts give the same bytes. A part of fewer than `rows` rows ends its row group: so
/// many read at a time are then one part at most, see [`super::read::read_parts`].
///
/// # Errors
/// As [`parquet_bytes`]; whatever a part is instead.
pub(crate) fn parquet_of_parts(
    schema: SchemaRef,
    rows: usize,
    parts: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = parquet_writer(&mut bytes, schema)?;
    for part in parts {
        let part = part?;
        writer.write(&part)?;
        if part.num_rows() < rows {
            writer.flush()?;
        }
    }
    writer.close()?;
    Ok(bytes)
}

/// What encodes rows of these columns.
///
/// # Errors
/// As [`parquet_bytes`].
pub(crate) fn parquet_writer(bytes: &mut Vec<u8>, schema: SchemaRef) -> Result<ArrowWriter<&mut Vec<u8>>> {
    let properties = WriterProperties::builder()
        .set_created_by("tidemill".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    Ok(ArrowWriter::try_new(bytes, schema, Some(properties))?)
}

/// Most rows of a file.
const FILE_ROWS: usize = 1 << 20;
/// Most bytes of the values of a file, as Arrow has them; a row that is larger is a file by itself. No column of a file is
/// near the 2 GiB at which Arrow's offsets end.
const FILE_BYTES: u64 = 64 << 20;

/// Rows on their way to files.
#[derive(Debug)]
pub struct FileCutter {
    most_rows: usize,
    most_bytes: u64,
    pending: Vec<RecordBatch>,
    rows: usize,
    /// Bytes of what is pending, or more.
    bytes: u64,
}

impl Default for FileCutter {
    fn default() -> FileCutter {
        FileCutter { most_rows: FILE_ROWS, most_bytes: FILE_BYTES, pending: Vec::new(), rows: 0, bytes: 0 }
    }
}

impl FileCutter {
    /// Takes the next rows, and gives those of each file that is full.
    ///
    /// # Errors
    /// Data, if rows have other columns than those before.
    pub fn push(&mut self, rows: RecordBatch) -> Result<Vec<RecordBatch>> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        self.rows += rows.num_rows();
        self.bytes += rows.get_array_memory_size() as u64;
        self.pending.push(rows);
        if self.rows <= self.most_rows && self.bytes <= self.most_bytes {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        let mut file: Vec<RecordBatch> = Vec::new();
        let (mut in_file, mut bytes) = (0, 0);
        for batch in std::mem::take(&mut self.pending) {
            let mut start = 0;
            for (row, size) in crate::sizes::row_sizes(&batch).into_iter().enumerate() {
                if in_file == self.most_rows || (in_file > 0 && bytes + size > self.most_bytes) {
                    file.push(batch.slice(start, row - start));
                    files.push(one(&std::mem::take(&mut file))?);
                    (start, in_file, bytes) = (row, 0, 0);
                }
                in_file += 1;
                bytes += size;
            }
            file.push(batch.slice(start, batch.num_rows() - start));
        }
        (self.pending, self.rows, self.bytes) = (file, in_file, bytes);
        Ok(files)
    }

    /// The rows of the last file, if there are any.
    ///
    /// # Errors
    /// As [`FileCutter::push`].
    pub fn finish(self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 { Ok(None) } else { one(&self.pending).map(Some) }
    }
}

fn one(parts: &[RecordBatch]) -> Result<RecordBatch> {
    match parts {
        [only] => Ok(only.clone()),
        [first, ..] => Ok(concat_batches(&first.schema(), parts)?),
        [] => Err(crate::error::Error::internal("a file without rows")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn the_same_rows_give_the_same_bytes() {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from_iter_values(0..5000)) as _),
            ("b", Arc::new(StringArray::from_iter_values((0..5000).map(|i| format!("v{}", i % 7)))) as _),
        ])
        .unwrap();
        assert_eq!(parquet_bytes(&batch).unwrap(), parquet_bytes(&batch).unwrap());
    }

    fn cut(most_rows: usize, most_bytes: u64, parts: impl Iterator<Item = RecordBatch>) -> Vec<RecordBatch> {
        let mut cutter = FileCutter { most_rows, most_bytes, ..FileCutter::default() };
        let mut files: Vec<RecordBatch> = parts.flat_map(|part| cutter.push(part).unwrap()).collect();
        files.extend(cutter.finish().unwrap());
        files
    }

    #[test]
    fn files_are_cut_by_their_rows_however_these_come() {
        let texts: Vec<String> = (0..3000).map(|i| "x".repeat(i * 7919 % 50)).collect();
        let lists = (0..3000).map(|i| Some((0..i % 5).map(|n| Some(n as i64)).collect::<Vec<_>>()));
        let lists = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(lists);
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from_iter_values(0..3000)) as _),
            ("b", Arc::new(StringArray::from_iter_values(&texts)) as _),
            ("c", Arc::new(lists) as _),
        ])
        .unwrap();
        for (most_rows, most_bytes) in
            [(1000, u64::MAX), (700, 1 << 14), (3000, 400), (3000, u64::MAX), (1 << 20, 1 << 20)]
        {
            let expected = cut(most_rows, most_bytes, std::iter::once(batch.clone()));
            let size = |at: usize| 8 + texts[at].len() as u64 + 8 * (at as u64 % 5);
            let mut row = 0;
            for (at, file) in expected.iter().enumerate() {
                let bytes: u64 = (row..row + file.num_rows()).map(size).sum();
                assert!(
                    file.num_rows() <= most_rows && (bytes <= most_bytes || file.num_rows() == 1),
                    "{at}"
                );
                let is_last = at + 1 == expected.len();
                assert!(
                    is_last
                        || file.num_rows() == most_rows
                        || bytes + size(row + file.num_rows()) > most_bytes
                );
                row += file.num_rows();
            }
            assert_eq!(concat_batches(&batch.schema(), &expected).unwrap(), batch);
            for step in [7, 999, 1000, 2048] {
                let parts = (0..3000).step_by(step).map(|from| batch.slice(from, step.min(3000 - from)));
                let files = cut(most_rows, most_bytes, parts);
                assert_eq!(files.len(), expected.len(), "{most_rows} {most_bytes} {step}");
                for (file, expected) in files.iter().zip(&expected) {
                    assert_eq!(parquet_bytes(file).unwrap(), parquet_bytes(expected).unwrap());
                }
            }
        }
    }
}

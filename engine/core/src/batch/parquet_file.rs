//! One Parquet file, its columns encoded side by side.
//!
//! A column needs no other for its encoding and compression: each batch is handed to the writers of all columns at once.
//! The bytes are those that one thread would write.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;

use crate::memory;
use crate::sql::one_nan;
use crate::table::scan::ONE_NAN;

/// Rows of a row group, but for those of its last batch: what the parquet crate takes by default.
const GROUP_ROWS: usize = 1 << 20;
/// A column whose distinct values take more than these bytes has no dictionary. With the crate's megabyte, columns of ids
/// were kept in one and given up late: `olist.wide` was a tenth larger (22.2 MB, not 20) and took longer to write.
const DICTIONARY_BYTES: usize = 1 << 17;

/// Bytes that zstd has for a column while its rows are written, about, however few they are.
const ZSTD_BYTES: u64 = 24 << 10;
/// The part of the memory limit that it may have.
const ZSTD_SHARE: u64 = 8;

/// A file being written.
pub(super) struct ParquetFile<W: Write + Send> {
    schema: SchemaRef,
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    /// Of the row group in hand, a leaf each; none before its first batch.
    columns: Vec<ArrowColumnWriter>,
    /// Rows in it.
    rows: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    /// A file of these columns, compressed, that says `beside` of them.
    ///
    /// # Errors
    /// A type that Parquet does not have; the disk.
    pub(super) fn create(out: W, schema: &SchemaRef, beside: Option<KeyValue>) -> Result<ParquetFile<W>> {
        let one_nan = KeyValue::new(ONE_NAN.to_owned(), "true".to_owned());
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(beside.into_iter().chain([one_nan]).collect()))
            .set_created_by("tidemill".to_owned())
            .set_compression(compression(schema.flattened_fields().len() as u64, memory::limit())?)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES)
            .build();
        // Arrow's own schema would make readers of text ask for views, which not all know ([`super::kept_types`]).
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, schema.clone(), options)?;
        let (file, factory) = writer.into_serialized_writer()?;
        Ok(ParquetFile { schema: schema.clone(), file, factory, columns: Vec::new(), rows: 0 })
    }

    /// Writes some rows, with one NaN and one zero.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.columns = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        let mut leaves = Vec::with_capacity(self.columns.len());
        for (field, column) in self.schema.fields().iter().zip(rows.columns()) {
            leaves.extend(compute_leaves(field, &one_nan(column.clone()))?);
        }
        self.columns.par_iter_mut().zip(&leaves).try_for_each(|(column, leaf)| column.write(leaf))?;
        self.rows += rows.num_rows();
        if self.rows >= GROUP_ROWS { self.end_group() } else { Ok(()) }
    }

    /// Bytes that the row group in hand takes in memory.
    pub(super) fn memory(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// Ends the row group in hand, so that it takes no memory.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn end_group(&mut self) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns);
        self.rows = 0;
        let chunks = columns.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(self.file.flush()?)
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn finish(mut self) -> Result<W> {
        self.end_group()?;
        self.file.into_inner()
    }
}

/// zstd, or Snappy for so many columns that zstd would have too much of the memory: four tables of 4,000 columns and two rows
/// took 334 MB with it under a limit of 100 MB.
fn compression(columns: u64, limit: u64) -> Result<Compression> {
    Ok(match columns * ZSTD_BYTES > limit / ZSTD_SHARE {
        true => Compression::SNAPPY,
        false => Compression::ZSTD(ZstdLevel::try_new(1)?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray};
    use arrow::compute::concat_batches;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn many_columns_are_compressed_by_what_takes_little() {
        for (columns, limit, few) in
            [(4_000, 100_000_000, true), (56, 100_000_000, false), (4_000, 4 << 30, false)]
        {
            let made = compression(columns, limit).unwrap();
            assert_eq!(made == Compression::SNAPPY, few, "{columns} columns in {limit}");
        }
    }

    #[test]
    fn row_groups_and_nested_columns_come_back() {
        let batch = |from: i64| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 300_000));
            let text = (from..from + 300_000).map(|n| (n % 3 > 0).then(|| (n % 1_000).to_string()));
            let text: ArrayRef = Arc::new(text.collect::<StringArray>());
            let both =
                StructArray::try_from(vec![("n", numbers.clone()), ("t", text)]).map(Arc::new).unwrap();
            RecordBatch::try_from_iter([("n", numbers), ("both", both as ArrayRef)]).unwrap()
        };
        let written: Vec<RecordBatch> = (0..5).map(|at| batch(at * 300_000)).collect();
        let schema = written[0].schema();
        let mut file = ParquetFile::create(Vec::new(), &schema, None).unwrap();
        written.iter().for_each(|rows| file.write(rows).unwrap());
        file.write(&RecordBatch::new_empty(schema.clone())).unwrap();
        let bytes = bytes::Bytes::from(file.finish().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [1_200_000, 300_000]);
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let read = concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.columns(), concat_batches(&schema, &written).unwrap().columns());
    }
}
